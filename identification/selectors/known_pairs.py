"""Pairs whose truth is known, to measure reviewers by: which there are, and one drawn from them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Subquery, Value, When
from django.db.models.functions import Coalesce, Now

from ..matching.graph import ordered
from ..models import (
    Adjudication,
    Candidate,
    Decision,
    Detection,
    Flank,
    MatchEdge,
    Opinion,
    Provenance,
    Survey,
    User,
    Verdict,
)
from ..permissions import curators_of
from .check_pool import pool_of
from .opinions import decidable_boxes, standing_opinions

# A pair that a reviewer decided, or was asked as a check, is not asked as a known pair before so long.
KNOWN_AGAIN = timedelta(days=90)
# So many pairs are looked at for one that this reviewer can be asked; of an archive's matches so many, for the
# candidates of both their photos are looked at.
_LOOKED_AT = 40
_LABELS_LOOKED_AT = 4
_ROW = ("one", "other", "basis", "likely")
_Row = tuple[int, int, str, float]


@dataclass(frozen=True)
class Known:
    """A pair, its truth, why that counts as known, and the probability that matching gave it."""

    pair: tuple[int, int]
    truth: str
    basis: str
    probability: float


def known_pairs(*, user: User, survey: Survey, truth_first: str, start: float) -> Iterator[Known]:
    """Known pairs of a survey that this reviewer can be asked, those of one truth first.

    start: 0…1, where in the tables to begin, so that a draw needs no sorting.
    """
    other = Verdict.NO_MATCH if truth_first == Verdict.MATCH else Verdict.MATCH
    for truth in (truth_first, other):
        for one, other_end, basis, probability in _of_edges(user, survey, truth, start):
            yield Known(ordered((one, other_end)), truth, basis, probability)
        if truth == Verdict.NO_MATCH:
            for one, other_end, basis, probability in _of_labels(user, survey, start):
                yield Known(ordered((one, other_end)), truth, basis, probability)


def known_probability(pair: tuple[int, int]) -> float | None:
    """What matching thought of a pair, None where it never compared the two."""
    a, b = pair
    rows = Candidate.objects.filter(Q(anchor=a, detection=b) | Q(anchor=b, detection=a)).order_by("-probability")
    found = rows.values_list("probability", flat=True).first()
    if found is not None:
        return found
    edge = MatchEdge.objects.filter(a=a, b=b).values_list("probability", flat=True).first()
    if edge is not None:
        return edge
    shown = Decision.objects.filter(edge__a=a, edge__b=b, undone_by__isnull=True, probability_shown__isnull=False)
    return shown.order_by("-pk").values_list("probability_shown", flat=True).first()


def _of_edges(user: User, survey: Survey, truth: str, start: float) -> list[_Row]:
    """A few decided pairs from somewhere in the middle, of those that could be known the ones that are."""
    with pool_of(survey) as pool:
        edges = pool.could_be_known(user, survey, truth, start=start, most=_LOOKED_AT)
        rows = _known_edges(user, survey, truth).filter(pk__in=edges).values_list("pk", *_ROW) if edges else []
        found = {pk: row for pk, *row in rows}
        pool.pass_over(user, truth, set(edges) - found.keys())
    return [(one, other, basis, likely) for one, other, basis, likely in (found[pk] for pk in edges if pk in found)]


def known_edges(user: User, survey: Survey, detections: Collection[int]) -> list[int]:
    """Edges of these detections that this reviewer may still be asked as known pairs."""
    around = Q(a__in=detections) | Q(b__in=detections)
    truths = (Verdict.MATCH, Verdict.NO_MATCH)
    return [
        edge
        for truth in truths
        for edge in _known_edges(user, survey, truth).filter(around).values_list("pk", flat=True)
    ]


def _of_labels(user: User, survey: Survey, start: float) -> list[_Row]:
    """A few pairs of two labelled animals, from around a few of an archive's matches."""
    with pool_of(survey) as pool:
        matches = pool.labels(user, survey, start=start, most=_LABELS_LOOKED_AT)
        ends = {end for pair in matches.values() for end in pair}
        rows = _labelled_apart(user, survey).filter(anchor__in=ends).order_by("pk") if ends else None
        found = list(rows.values_list(*_ROW)[:_LOOKED_AT]) if rows is not None else []
        if not found:
            pool.pass_over(user, "labelled", matches)
    return found


def _known_edges(user: User, survey: Survey, truth: str) -> QuerySet[MatchEdge]:
    """Pairs that two others agreed on, that a curator decided, or that an archive's labels join."""
    said = Decision.objects.filter(edge=OuterRef("pk"), undoes__isnull=True, undone_by__isnull=True, verdict=truth)
    curator = said.filter(provenance=Provenance.REVIEWER, acting_user__in=curators_of(survey)).exclude(acting_user=user)
    seconds = standing_opinions().filter(
        kind=Opinion.Kind.SECOND, decision__edge=OuterRef("pk"), decision__undone_by__isnull=True
    )
    two = seconds.filter(verdict=truth, decision__verdict=truth).exclude(user=user).exclude(decision__acting_user=user)
    settled = Adjudication.objects.filter(opinion=OuterRef("pk"), decision__undone_by__isnull=True)
    doubted = seconds.exclude(verdict=F("decision__verdict")).exclude(Exists(settled))
    own = Decision.objects.filter(edge=OuterRef("pk"), acting_user=user, created_at__gt=Now() - KNOWN_AGAIN)
    asked = _asked_lately(user, "a", "b")
    likely = Candidate.objects.filter(
        Q(anchor=OuterRef("a"), detection=OuterRef("b")) | Q(anchor=OuterRef("b"), detection=OuterRef("a"))
    ).order_by("-probability")
    rows = MatchEdge.objects.filter(
        Q(a__image__survey=survey) | Q(b__image__survey=survey),
        verdict=truth,
        a__in=decidable_boxes(user),
        b__in=decidable_boxes(user),
    )
    # A group in conflict with itself is no truth: its members keep the individuals that they had.
    one_animal = Q(a__individual=F("b__individual"))
    rows = rows.filter(one_animal) if truth == Verdict.MATCH else rows.exclude(one_animal)
    opposite = Q(a__flank=Flank.LEFT, b__flank=Flank.RIGHT) | Q(a__flank=Flank.RIGHT, b__flank=Flank.LEFT)
    return (
        rows.exclude(opposite)
        .annotate(two=Exists(two), one=F("a_id"), other=F("b_id"))
        .annotate(
            likely=Coalesce(
                Subquery(likely.values("probability")[:1]),
                "probability",
                Subquery(said.order_by("-pk").values("probability_shown")[:1]),
            )
        )
        .annotate(
            basis=Case(
                When(provenance=Provenance.IMPORTED, then=Value(Opinion.Basis.IMPORTED)),
                When(two=True, then=Value(Opinion.Basis.TWO)),
                default=Value(Opinion.Basis.CURATOR),
            )
        )
        .filter(Q(provenance=Provenance.IMPORTED) | Q(two=True) | Exists(curator), likely__isnull=False)
        .exclude(Exists(doubted))
        .exclude(Exists(own))
        .exclude(Exists(asked))
    )


def _labelled_apart(user: User, survey: Survey) -> QuerySet[Candidate]:
    """Candidates between two animals of an archive: the same flank, labelled as two, and nobody has decided."""
    edge = MatchEdge.objects.filter(
        Q(a=OuterRef("anchor"), b=OuterRef("detection")) | Q(a=OuterRef("detection"), b=OuterRef("anchor"))
    )
    rows = Candidate.objects.filter(
        anchor__image__survey=survey,
        anchor__in=decidable_boxes(user),
        detection__in=decidable_boxes(user),
        anchor__individual__isnull=False,
        detection__individual__isnull=False,
        anchor__flank__in=[Flank.LEFT, Flank.RIGHT],
        anchor__flank=F("detection__flank"),
    ).exclude(anchor__individual=F("detection__individual"))
    for end in ("anchor", "detection"):
        labelled = MatchEdge.objects.filter(
            Q(a=OuterRef(end)) | Q(b=OuterRef(end)), verdict=Verdict.MATCH, provenance=Provenance.IMPORTED
        )
        rows = rows.filter(Exists(labelled))
    rows = rows.exclude(Exists(edge))
    rows = rows.exclude(Exists(_asked_lately(user, "anchor", "detection")))
    rows = rows.exclude(Exists(_asked_lately(user, "detection", "anchor")))
    return rows.annotate(
        one=F("anchor_id"), other=F("detection_id"), basis=Value(Opinion.Basis.IMPORTED), likely=F("probability")
    )


def labelled(first: Detection, second: Detection) -> bool:
    """Whether an archive's labels name the animals of both, so that they can be asked as a known pair undecided."""
    if first.individual_id is None or second.individual_id is None:
        return False
    ends = [first.pk, second.pk]
    imported = MatchEdge.objects.filter(verdict=Verdict.MATCH, provenance=Provenance.IMPORTED)
    pairs = imported.filter(Q(a__in=ends) | Q(b__in=ends)).values_list("a_id", "b_id")
    return set(ends) <= {end for pair in pairs for end in pair}


def _asked_lately(user: User, one: str, other: str) -> QuerySet[Opinion]:
    return standing_opinions().filter(user=user, a=OuterRef(one), b=OuterRef(other), created_at__gt=Now() - KNOWN_AGAIN)

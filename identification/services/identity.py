"""What people say of several detections at once. Everything becomes decisions on pairs, so all of it can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from django.db import transaction
from django.utils.translation import gettext

from .. import permissions
from ..errors import Contradiction, SpotIDError, UndoRefused
from ..models import Candidate, Decision, Detection, Flank, Individual, MatchEdge, User, Verdict
from ..permissions import Action
from ..selectors.graph import component_of
from .audit import audit_record
from .decisions import decision_record, decision_undo
from .individuals import individual_undeclare, population_lock

MOST_JUDGED = 60
_MOST_PAIRED = 12

T = TypeVar("T")


def rehearsed(change: Callable[[], T]) -> T:
    """What a change returns, in a transaction that is rolled back. Raises what the change raises."""
    with transaction.atomic():
        outcome = change()
        transaction.set_rollback(True)
    return outcome


@dataclass(frozen=True)
class JudgePreview:
    """What a verdict on several detections would do. `refused` says why it cannot be given at all."""

    pairs: int = 0
    retired: tuple[Individual, ...] = ()
    survivors: tuple[Individual, ...] = ()
    contradiction: str = ""
    refused: str = ""

    @property
    def needs_confirmation(self) -> bool:
        return bool(self.retired or self.contradiction)


@transaction.atomic
def detections_judge(
    *,
    acting_user: User | None,
    detections: Iterable[Detection],
    verdict: str,
    confirm_contradiction: bool = False,
    note: str = "",
) -> list[Decision]:
    """Say one thing of several detections.

    A match joins each to an earlier one whose coat can be compared, as a chain: what follows is not decided again.
    Every other verdict is said of each pair. All decisions or none. Raises SpotIDError for fewer than two or too
    many detections, and what `decision_record` raises.
    """
    chosen = sorted({detection.pk: detection for detection in detections}.values(), key=lambda row: row.pk)
    if len(chosen) < 2:
        raise SpotIDError(gettext("Choose at least two photos."))
    most = MOST_JUDGED if verdict == Verdict.MATCH else _MOST_PAIRED
    if len(chosen) > most:
        raise SpotIDError(gettext("Choose at most %(number)s photos for this at a time.") % {"number": most})
    decisions = []
    for index, second in enumerate(chosen[1:], 1):
        if verdict == Verdict.MATCH:
            joined = component_of([second.pk])
            partners = [] if any(row.pk in joined for row in chosen[:index]) else [_partner(second, chosen[:index])]
        else:
            partners = [first for first in chosen[:index] if not _stands(first, second, verdict)]
        for first in partners:
            decisions.append(
                decision_record(
                    acting_user=acting_user,
                    first=first,
                    second=second,
                    verdict=verdict,
                    anchor=first,
                    confirm_contradiction=confirm_contradiction,
                    note=note,
                )
            )
    return decisions


def _partner(detection: Detection, others: Sequence[Detection]) -> Detection:
    """The one to compare with: the same flank before an unknown one, the opposite last, never on the same photo."""

    def distance(other: Detection) -> tuple[bool, int, int]:
        flanks = {detection.flank, other.flank}
        apart = 0 if len(flanks) == 1 else 2 if flanks == {Flank.LEFT, Flank.RIGHT} else 1
        return other.image_id == detection.image_id, apart, -other.pk

    return min(others, key=distance)


def _stands(first: Detection, second: Detection, verdict: str) -> bool:
    a, b = sorted((first.pk, second.pk))
    return MatchEdge.objects.filter(a=a, b=b, verdict=verdict).exists()


def detections_judge_preview(*, detections: Iterable[Detection], verdict: str) -> JudgePreview:
    """Rehearse a verdict on several detections in a transaction that is rolled back."""
    chosen = list(detections)

    def judge() -> JudgePreview:
        contradiction = ""
        before = set(_individuals(chosen).values_list("pk", flat=True))
        try:
            decisions = detections_judge(acting_user=None, detections=chosen, verdict=verdict)
        except Contradiction as collision:
            contradiction = str(collision)
            decisions = detections_judge(
                acting_user=None, detections=chosen, verdict=verdict, confirm_contradiction=True
            )
        retired = Individual.objects.filter(pk__in=before, retired=True).select_related("population")
        return JudgePreview(
            pairs=len(decisions),
            retired=tuple(retired.order_by("number")),
            survivors=tuple(_individuals(chosen).select_related("population").order_by("number")),
            contradiction=contradiction,
        )

    try:
        return rehearsed(judge)
    except SpotIDError as refused:
        return JudgePreview(refused=str(refused))


def _individuals(detections: list[Detection]):  # type: ignore[no-untyped-def]
    members = component_of([detection.pk for detection in detections])
    return Individual.objects.filter(detections__in=members, retired=False).distinct()


@transaction.atomic
def detection_detach(*, acting_user: User | None, detection: Detection) -> int:
    """Take back every match that holds the detection, whoever made it; returns how many. For curators.

    A declaration of the detection itself is taken back too, so that it is nobody's afterwards.
    """
    matches = MatchEdge.objects.filter(verdict=Verdict.MATCH).select_related("a__image__survey", "b__image__survey")
    edges = list((matches.filter(a=detection) | matches.filter(b=detection)).order_by("pk"))
    _require(acting_user, Action.UNDO_ANY, [end for edge in edges for end in (edge.a, edge.b)])
    count = 0
    for edge in edges:
        while edge.verdict == Verdict.MATCH:
            standing = edge.decisions.filter(undoes__isnull=True, undone_by__isnull=True).latest("id")
            decision_undo(acting_user=acting_user, decision=standing, any_user=True)
            edge.refresh_from_db()
            count += 1
    detection.refresh_from_db()
    lone = detection.individual
    if lone is not None and lone.declared and not lone.detections.exclude(pk=detection.pk).exists():
        individual_undeclare(acting_user=acting_user, individual=lone)
        detection.refresh_from_db()
    return count


@transaction.atomic
def detection_assign(
    *, acting_user: User | None, detection: Detection, individual: Individual, confirm_contradiction: bool = False
) -> Decision | None:
    """Move a detection to an individual: out of where it was, then matched with the most similar photo there.

    None when it is there already. Raises what `decision_record` raises; nothing is changed then.
    """
    if detection.individual_id == individual.pk:
        return None
    if individual.retired:
        raise SpotIDError(
            gettext("%(code)s is retired; choose the individual that stands for it now.") % {"code": individual.code}
        )
    members = list(individual.detections.select_related("image__survey__population"))
    if not members:
        raise SpotIDError(gettext("%(code)s has no photo left to match with.") % {"code": individual.code})
    likeness = dict(
        Candidate.objects.filter(anchor=detection, detection__in=members).values_list("detection_id", "probability")
    )
    if acting_user is not None:
        own = set(permissions.surveys_for(acting_user, Action.DECIDE).values_list("pk", flat=True))
        members = [row for row in members if row.image.survey_id in own] or members
    detection_detach(acting_user=acting_user, detection=detection)
    similar = sorted(members, key=lambda row: (-likeness.get(row.pk, 0.0), row.pk))
    best = similar[0] if likeness else _partner(detection, similar)
    _require(acting_user, Action.DECIDE, [detection, best])
    return decision_record(
        acting_user=acting_user,
        first=detection,
        second=best,
        verdict=Verdict.MATCH,
        anchor=detection,
        confirm_contradiction=confirm_contradiction,
    )


def _require(acting_user: User | None, action: Action, detections: Iterable[Detection]) -> None:
    """Refuse what would reach into surveys in which the account may not do it. Without an account it is the system."""
    surveys = {detection.image.survey for detection in detections}
    if acting_user is not None and surveys and not permissions.may_for_all(acting_user, action, surveys):
        raise UndoRefused(
            gettext(
                "A match with a photo of another survey is concerned, in which you may not do this. "
                "Nothing was changed."
            )
        )


@transaction.atomic
def individual_affirm(*, acting_user: User | None, individual: Individual) -> None:
    """Declare an individual that stands already: it stays one even when all its matches are taken back."""
    population_lock(individual.population_id)
    individual.refresh_from_db()
    if individual.retired:
        raise SpotIDError(
            gettext("%(code)s is retired: it is part of another individual, or of none.") % {"code": individual.code}
        )
    if individual.declared:
        return
    individual.declared = True
    individual.save(update_fields=["declared"])
    audit_record(
        acting_user=acting_user,
        action="individual.declare",
        target=individual,
        survey=individual.founder.image.survey,
        before={"declared": False},
        after={"declared": True, "detection": individual.founder_id, "code": individual.code},
    )


def representatives(individuals: Iterable[Individual]) -> list[Detection]:
    """One photo of each individual, such that coats can be compared: one flank for all where there is one."""
    groups = [
        list(individual.detections.comparable().select_related("image__survey__population").order_by("pk"))
        or list(individual.detections.select_related("image__survey__population").order_by("pk"))
        for individual in individuals
    ]
    shared = [flank for flank in Flank.values if all(any(d.flank == flank for d in group) for group in groups)]
    flank = shared[0] if shared else None
    return [next((d for d in group if d.flank == flank), group[0]) for group in groups if group]

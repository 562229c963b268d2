"""Merging animals and splitting one by chosen photos. All of it is decisions on pairs, taken back as one.

docs/decisions/0029-merge-and-split.md.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from uuid import UUID, uuid4

from django.db import transaction
from django.utils.translation import gettext

from ..errors import Contradiction, Incomparable, SpotIDError
from ..matching.graph import DisjointSets, SignedGraph, ordered
from ..models import Candidate, Decision, Detection, Flank, Individual, User, Verdict
from ..selectors.graph import component_of, component_state, contradictions_among, edges_among
from .audit import audit_record
from .decisions import decision_record, decision_undo
from .identity import rehearsed
from .individuals import individuals_resolve, population_lock

MOST_CHOSEN = 60
MERGED, SPLIT, SETTLED, PROPOSED = "merge", "split", "conflict settled", "merge proposed"


@dataclass
class Curated:
    """What was said in one step. All decisions share the batch."""

    batch: UUID = field(default_factory=uuid4)
    matches: list[Decision] = field(default_factory=list)
    refusals: list[Decision] = field(default_factory=list)

    @property
    def decisions(self) -> list[Decision]:
        return [*self.refusals, *self.matches]


@dataclass(frozen=True)
class Part:
    """Photos (detection ids) that are one group, and who stands for them; new: under a code that is made for them."""

    photos: tuple[int, ...]
    individual: Individual | None = None
    new: bool = False


@dataclass(frozen=True)
class CurationPreview:
    """What a merge or a split would do.

    refused: why it cannot be done; pairs: those that forbid it. before: who stood for the photos; retired: who of them
    is retired by it.
    """

    parts: tuple[Part, ...] = ()
    before: tuple[Part, ...] = ()
    retired: tuple[Individual, ...] = ()
    matches: int = 0
    refusals: int = 0
    refused: str = ""
    pairs: tuple[tuple[int, int], ...] = ()

    @property
    def sizes(self) -> str:
        return " + ".join(str(len(part.photos)) for part in self.parts)

    @property
    def photos(self) -> int:
        return sum(len(part.photos) for part in self.parts)


@transaction.atomic
def individuals_merge(
    *, acting_user: User | None, detections: Iterable[Detection], expected: str | None = None, propose: bool = False
) -> Curated:
    """Say that the animals of the chosen photos are one: as few matches between chosen photos as join them.

    Photos of one flank are matched before others. propose: the matches wait for a curator. expected: `component_state`
    of the photos as it was shown. Raises SpotIDError when that has changed, when the photos are of one animal already
    or too many, Incomparable when only a left and a right flank were chosen, Contradiction when earlier decisions
    forbid it.
    """
    chosen = _chosen(detections)
    if len(chosen) < 2:
        raise SpotIDError(gettext("Tick at least one photo of each animal."))
    population_lock(chosen[0].image.survey.population_id)
    _check_state(chosen, expected)
    groups = _groups(row.pk for row in chosen)
    if len(set(groups.values())) == 1:
        raise SpotIDError(gettext("These photos are of one animal already."))
    pairs = joining_pairs(chosen, groups)
    if len(pairs) < len(set(groups.values())) - 1:
        raise Incomparable(gettext("These are two animals on one photo: they cannot be the same individual."))
    done = Curated()
    note = PROPOSED if propose else MERGED
    for first, second in pairs:
        said = _say(acting_user, first, second, Verdict.MATCH, done.batch, note, propose=propose)
        done.matches.append(said)
    waits = any(row.proposed for row in done.matches)
    _record(acting_user, "individuals.propose" if waits else "individuals.merge", chosen, done)
    return done


@transaction.atomic
def individual_split(
    *,
    acting_user: User | None,
    detections: Iterable[Detection],
    keep_together: bool = False,
    expected: str | None = None,
) -> Curated:
    """Say that the chosen photos show another animal than the others they are joined with.

    Every match between the two sides becomes a refusal: the earlier match stays in the log, and stands again when the
    refusal is taken back. A side that hung together only through the other falls apart, unless `keep_together` matches
    its pieces. Raises SpotIDError when nothing or everything is chosen or the state is no longer the expected one, and
    what `decision_record` raises.
    """
    chosen = _chosen(detections)
    if not chosen:
        raise SpotIDError(gettext("Tick the photos that show another animal."))
    population = population_lock(chosen[0].image.survey.population_id)
    _check_state(chosen, expected)
    own = frozenset(row.pk for row in chosen)
    whole = component_of(own)
    if not whole - own:
        raise SpotIDError(
            gettext("Every photo is ticked: leave at least one, so that there is something to split from.")
        )
    matches = edges_among(whole, Verdict.MATCH)
    crossing = sorted(pair for pair in matches if (pair[0] in own) != (pair[1] in own))
    rows = _rows(whole)
    done = Curated()
    if keep_together:
        # First, so that the last refusal leaves two groups, of which the larger keeps the code.
        graph = SignedGraph.of(pair for pair in matches if pair not in set(crossing))
        for side in (own, whole - own):
            for first, second in _kept([rows[pk] for pk in sorted(side)], graph):
                done.matches.append(_say(acting_user, first, second, Verdict.MATCH, done.batch, SPLIT))
    for a, b in crossing:
        done.refusals.append(_say(acting_user, rows[a], rows[b], Verdict.NO_MATCH, done.batch, SPLIT))
    # In between the group was a contradiction, of which nothing is assigned.
    individuals_resolve(population=population, detections=whole)
    _record(acting_user, "individuals.split", chosen, done)
    return done


def _kept(side: list[Detection], graph: SignedGraph) -> list[tuple[Detection, Detection]]:
    """Pairs that join the pieces which a side falls into. Raises Contradiction where pieces cannot be one animal."""
    forbidden = [
        pair for pair in contradictions_among([row.pk for row in side]) if graph.root(pair[0]) != graph.root(pair[1])
    ]
    if forbidden:
        raise Contradiction(
            gettext("Earlier decisions say that the pieces of one side are different animals."), pairs=forbidden
        )
    return joining_pairs(side, {row.pk: graph.root(row.pk) for row in side})


@transaction.atomic
def conflict_settle(*, acting_user: User | None, pairs: Mapping[tuple[int, int], int], verdict: str) -> Curated:
    """Settle a contradiction: say one verdict of pairs of detection ids, each at the version that was shown.

    Raises StaleEdge when one was decided meanwhile, and what `decision_record` raises; nothing is changed then.
    """
    rows = _rows({pk for pair in pairs for pk in pair})
    if not pairs or any(pk not in rows for pair in pairs for pk in pair):
        raise SpotIDError(gettext("There is no such pair."))
    done = Curated()
    said = done.matches if verdict == Verdict.MATCH else done.refusals
    for (a, b), version in sorted(pairs.items()):
        said.append(_say(acting_user, rows[a], rows[b], verdict, done.batch, SETTLED, version))
    _record(acting_user, "conflict.settle", list(rows.values()), done)
    return done


@transaction.atomic
def batch_undo(*, acting_user: User | None, decisions: Sequence[Decision], any_user: bool = False) -> int:
    """Take decisions of one step back together, the last first; returns how many. What is taken back already stays so.

    Raises UndoRefused for one that is somebody else's, unless `any_user`.
    """
    standing = [row for row in decisions if not Decision.objects.filter(undoes=row).exists()]
    for decision in sorted(standing, key=lambda row: -row.pk):
        decision_undo(acting_user=acting_user, decision=decision, any_user=any_user)
    return len(standing)


def merge_preview(*, detections: Iterable[Detection]) -> CurationPreview:
    """Rehearse a merge in a transaction that is rolled back."""
    chosen = list(detections)
    return _preview([row.pk for row in chosen], lambda: individuals_merge(acting_user=None, detections=chosen))


def split_preview(*, detections: Iterable[Detection], keep_together: bool = False) -> CurationPreview:
    """Rehearse a split in a transaction that is rolled back."""
    chosen = list(detections)
    return _preview(
        [row.pk for row in chosen],
        lambda: individual_split(acting_user=None, detections=chosen, keep_together=keep_together),
    )


def _preview(chosen: Collection[int], change: Callable[[], Curated]) -> CurationPreview:
    def run() -> CurationPreview:
        members = component_of(chosen)
        before = _parts(members)
        known = {part.individual.pk for part in before if part.individual is not None}
        founded = set(Individual.objects.filter(founder__in=members).values_list("pk", flat=True))
        done = change()
        gone = Individual.objects.filter(pk__in=known, retired=True).select_related("population")
        return CurationPreview(
            parts=_parts(members, known=known | founded),
            before=before,
            retired=tuple(gone.order_by("number")),
            matches=len(done.matches),
            refusals=len(done.refusals),
        )

    try:
        return rehearsed(run)
    except Contradiction as collision:
        return CurationPreview(refused=str(collision), pairs=tuple(ordered(pair) for pair in collision.pairs))
    except SpotIDError as refused:
        return CurationPreview(refused=str(refused))


def _parts(members: Collection[int], *, known: set[int] | None = None) -> tuple[Part, ...]:
    """The groups of the members, the largest first, each with who stands for it."""
    graph = SignedGraph.of(edges_among(members, Verdict.MATCH))
    rows = _rows(members)
    parts = []
    for group in graph.components(members):
        animals = {rows[pk].individual_id: rows[pk].individual for pk in group}
        animal = next(iter(animals.values())) if len(animals) == 1 else None
        new = known is not None and animal is not None and animal.pk not in known
        parts.append(Part(tuple(sorted(group)), animal, new))
    return tuple(sorted(parts, key=lambda part: (-len(part.photos), part.photos)))


def joining_pairs(detections: Sequence[Detection], groups: Mapping[int, int]) -> list[tuple[Detection, Detection]]:
    """The fewest pairs of the detections that join their groups (detection id to a name of its group).

    Kruskal's rule, over coats that can be compared before those that cannot, then by what matching thought of the
    pair; never two boxes of one photo.
    """
    likeness: dict[tuple[int, int], float] = {}
    if len(set(groups.values())) > 1:
        ids = [row.pk for row in detections]
        rated = Candidate.objects.filter(anchor__in=ids, detection__in=ids)
        for a, b, probability in rated.values_list("anchor_id", "detection_id", "probability"):
            likeness[ordered((a, b))] = max(probability, likeness.get(ordered((a, b)), 0.0))
    apart = [
        (one, other)
        for one, other in combinations(detections, 2)
        if groups[one.pk] != groups[other.pk] and one.image_id != other.image_id
    ]
    apart.sort(key=lambda pair: (_distance(*pair), -likeness.get(ordered((pair[0].pk, pair[1].pk)), 0.0)))
    sets, joined = DisjointSets(), []
    for one, other in apart:
        if sets.find(groups[one.pk]) != sets.find(groups[other.pk]):
            sets.join(groups[one.pk], groups[other.pk])
            joined.append((one, other))
    return joined


def _distance(one: Detection, other: Detection) -> int:
    flanks = {one.flank, other.flank}
    if flanks == {Flank.LEFT, Flank.RIGHT}:
        return 2
    return 0 if len(flanks) == 1 and Flank.UNKNOWN not in flanks else 1


def _chosen(detections: Iterable[Detection]) -> list[Detection]:
    chosen = sorted({row.pk: row for row in detections}.values(), key=lambda row: row.pk)
    if len(chosen) > MOST_CHOSEN:
        raise SpotIDError(gettext("Tick at most %(number)s photos at a time.") % {"number": MOST_CHOSEN})
    return chosen


def _check_state(chosen: list[Detection], expected: str | None) -> None:
    if expected is not None and component_state([row.pk for row in chosen]) != expected:
        raise SpotIDError(gettext("Somebody decided on these animals in the meantime: look again at what follows."))


def _groups(detections: Iterable[int]) -> dict[int, int]:
    """By detection, the smallest of the component that it is in."""
    ids = list(detections)
    graph = SignedGraph.of(edges_among(component_of(ids), Verdict.MATCH))
    return {pk: graph.root(pk) for pk in ids}


def _rows(detections: Collection[int]) -> dict[int, Detection]:
    return Detection.objects.select_related("image__survey__population", "individual__population").in_bulk(detections)


def _record(acting_user: User | None, action: str, chosen: Sequence[Detection], done: Curated) -> None:
    """Write the step into the audit log, once for each survey concerned; its decisions are in their own log."""
    surveys = {row.image.survey_id: row.image.survey for row in chosen}
    after = {"matches": len(done.matches), "refusals": len(done.refusals), "batch": str(done.batch)}
    for survey in surveys.values():
        audit_record(
            acting_user=acting_user,
            action=action,
            target=survey.population,
            survey=survey,
            after={"photos": len([row for row in chosen if row.image.survey_id == survey.pk]), **after},
        )


def _say(
    acting_user: User | None,
    first: Detection,
    second: Detection,
    verdict: str,
    batch: UUID,
    note: str,
    version: int | None = None,
    propose: bool = False,
) -> Decision:
    """Without anchor: it answers no question of a review, and taking back there does not reach it."""
    return decision_record(
        acting_user=acting_user,
        first=first,
        second=second,
        verdict=verdict,
        expected_version=version,
        confirm_contradiction=verdict != Verdict.MATCH or note == SETTLED,
        note=note,
        batch=batch,
        propose=propose,
    )

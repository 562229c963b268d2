"""Matches of a sorted archive: joins within a label, and nothing that the archive or people keep apart.

docs/decisions/0013-imported-labels.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

from django.db import transaction

from ..errors import SpotIDError
from ..matching.labels import Identity, Label, apart, parse_label, title
from ..models import AuditEntry, Decision, Detection, Flank, Individual, MatchEdge, Provenance, Survey, User, Verdict
from ..selectors.graph import component_of, edges_among
from .audit import audit_record
from .decisions import decision_record, decision_undo
from .individuals import individual_rename, population_lock

IMPORTED, UNDONE, CORRECTED = "labels.import", "labels.undo", "labels.correct"
_NOTE = "imported: "

Known = Mapping[int, Identity]


def imports_remembered(survey: Survey) -> dict[int, Label]:
    """Labels by detection that standing imported matches of the survey hold, the last one where there are several."""
    standing = Decision.objects.filter(
        provenance=Provenance.IMPORTED,
        undone_by__isnull=True,
        edge__verdict=Verdict.MATCH,
        edge__provenance=Provenance.IMPORTED,
        edge__a__image__survey=survey,
        edge__b__image__survey=survey,
        note__startswith=_NOTE,
    )
    found = {}
    for a, b, note in standing.order_by("id").values_list("edge__a_id", "edge__b_id", "note"):
        found[a] = found[b] = parse_label(note.removeprefix(_NOTE))
    return found


@transaction.atomic
def imports_correct(*, survey: Survey, known: Known, acting_user: User | None, told: list[str]) -> list[int]:
    """Take back the imported matches between photos that are known to show two animals; returns their ends.

    A name that an import gave goes too, because it may stand for the other animal now; joining names anew.
    """
    population_lock(survey.population_id)
    imported = MatchEdge.objects.filter(
        verdict=Verdict.MATCH,
        provenance=Provenance.IMPORTED,
        a__image__survey=survey,
        b__image__survey=survey,
    )
    wrong = [edge for edge in imported.order_by("pk") if _clash([edge.a_id, edge.b_id], known)]
    if not wrong:
        return []
    ends = sorted({end for edge in wrong for end in (edge.a_id, edge.b_id)})
    _unname(survey, ends, acting_user)
    taken = [pk for edge in wrong for pk in _take_back(edge, acting_user)]
    audit_record(
        acting_user=acting_user,
        action=CORRECTED,
        target=survey,
        survey=survey,
        after={"decisions": taken},
    )
    shown = "; ".join(_photos([edge.a_id, edge.b_id], known) for edge in wrong[:5])
    told.append(
        f"{len(wrong)} imported matches are taken back, because the truth tells their photos apart now: {shown}."
    )
    return ends


def _unname(survey: Survey, ends: Sequence[int], acting_user: User | None) -> None:
    entries = AuditEntry.objects.filter(action=IMPORTED, survey=survey).values_list("after", flat=True)
    given = {(after["named"], after["label"]) for after in entries}
    for individual in Individual.objects.filter(detections__in=ends).exclude(name="").distinct():
        if (individual.pk, individual.name) in given:
            individual_rename(acting_user=acting_user, individual=individual, name="")


def _take_back(edge: MatchEdge, acting_user: User | None) -> list[int]:
    """Undo what imports said of a pair; what a person said of it before stands again."""
    standing = edge.decisions.filter(
        provenance=Provenance.IMPORTED, verdict=Verdict.MATCH, undoes__isnull=True, undone_by__isnull=True
    )
    taken = []
    for decision in standing.order_by("-id"):
        decision_undo(acting_user=acting_user, decision=decision, any_user=True)
        taken.append(decision.pk)
    return taken


def labelled_join(
    detections: Sequence[Detection], name: str, known: Known, acting_user: User | None, told: list[str]
) -> tuple[list[Decision], list[Detection]]:
    """Match each detection with one that is joined already: a star on each flank, one match between the flanks.

    Those whose individual holds a photo of another animal are left alone: only people have joined them. Returns the
    new decisions and the detections that are joined. told: grows by what was left alone and why.
    """
    groups = {row.pk: component_of([row.pk]) for row in detections}
    sound = [row for row in detections if not _clash(groups[row.pk], known)]
    for group in sorted({groups[row.pk] for row in detections if row not in sound}, key=min):
        _tell_conflict(group, known, told)
    if not sound:
        return [], []
    taken_back = _taken_back(set().union(*groups.values()))
    hub = _hub(sound, groups, taken_back)
    whole = groups[hub.pk]
    joined = sorted((row for row in sound if row.pk in whole), key=lambda row: (row.pk != hub.pk, row.pk))
    decisions = []
    for row in sound:
        if row.pk in whole:
            continue
        together = whole | groups[row.pk]
        if _clash(together, known):
            told.append(f"{row.image.relative_path}: not joined to {name}. {_photos(together, known)} are kept apart.")
            continue
        partner = None if _between(whole, groups[row.pk], taken_back) else _partner(row, joined)
        if partner is None:
            told.append(f"{row.image.relative_path}: a person decided otherwise on {name}; left alone.")
            continue
        try:
            decisions.append(_match(partner, row, name, acting_user))
        except SpotIDError as collision:
            told.append(f"{row.image.relative_path}: not joined to {name}. {collision}")
            continue
        joined += [other for other in sound if other.pk in groups[row.pk]]
        whole = together
    return decisions, joined


@transaction.atomic
def _match(first: Detection, second: Detection, name: str, acting_user: User | None) -> Decision:
    return decision_record(
        acting_user=acting_user,
        first=first,
        second=second,
        verdict=Verdict.MATCH,
        provenance=Provenance.IMPORTED,
        note=_NOTE + name,
    )


def _clash(members: Iterable[int], known: Known) -> bool:
    """Whether the archive tells some of these apart."""
    identities = sorted({known[pk] for pk in members if pk in known})
    return any(apart(one, other) for one, other in combinations(identities, 2))


def _tell_conflict(group: frozenset[int], known: Known, told: list[str]) -> None:
    """Once for the individual, with the two photos of different names that fewest matches lie between."""
    one, other = _nearest_clash(group, known)
    names = " and ".join(sorted((title(known[one]), title(known[other]))))
    line = f"Conflict: {names} are joined by what people decided ({_photos([one, other], known)}). Left alone."
    if line not in told:
        told.append(line)


def _nearest_clash(group: frozenset[int], known: Known) -> tuple[int, int]:
    near: dict[int, set[int]] = {pk: set() for pk in group}
    for a, b in edges_among(group, Verdict.MATCH):
        near[a].add(b)
        near[b].add(a)
    best: tuple[int, int, int] | None = None
    for start in sorted(pk for pk in group if pk in known):
        seen, ring, steps = {start}, [start], 0
        while ring and (best is None or steps + 1 < best[0]):
            steps += 1
            ring = sorted({pk for at in ring for pk in near[at]} - seen)
            seen.update(ring)
            end = next((pk for pk in ring if pk in known and apart(known[start], known[pk])), None)
            if end is not None:
                best = (steps, start, end)
    assert best is not None, "asked only of a group that clashes"
    return best[1], best[2]


def _photos(members: Iterable[int], known: Known) -> str:
    """Two photos of these that the archive tells apart, with their names."""
    labelled = sorted(pk for pk in members if pk in known)
    pair = next(pair for pair in combinations(labelled, 2) if apart(known[pair[0]], known[pair[1]]))
    rows = Detection.objects.select_related("image").in_bulk(pair)
    return " and ".join(f"{rows[pk].image.relative_path} ({title(known[pk])})" for pk in pair)


def _hub(
    detections: Sequence[Detection], groups: Mapping[int, frozenset[int]], taken_back: set[frozenset[int]]
) -> Detection:
    """One of the group that most others can be joined to, the largest that people or imports have joined first."""
    own = {row.pk for row in detections}
    part_of = {pk: groups[row.pk] for row in detections for pk in groups[row.pk]}
    barred: dict[frozenset[int], set[frozenset[int]]] = defaultdict(set)
    for a, b in taken_back:
        one, other = part_of.get(a), part_of.get(b)
        if one is not None and other is not None and one != other:
            barred[one].add(other)
            barred[other].add(one)
    lost = {part: sum(len(other & own) for other in barred[part]) for part in part_of.values()}
    return min(detections, key=lambda row: (lost[groups[row.pk]], -len(groups[row.pk] & own), row.pk))


def _between(one: Collection[int], other: Collection[int], taken_back: set[frozenset[int]]) -> bool:
    return any((a in one and b in other) or (a in other and b in one) for a, b in taken_back)


def _partner(row: Detection, joined: Sequence[Detection]) -> Detection | None:
    """The first of the same flank, else of an unknown one, else of the other; None where people said otherwise."""

    def distance(other: Detection) -> int:
        flanks = {row.flank, other.flank}
        return 0 if len(flanks) == 1 else 2 if flanks == {Flank.LEFT, Flank.RIGHT} else 1

    pairs = MatchEdge.objects.exclude(verdict="")
    said = set(pairs.filter(a=row).values_list("b_id", flat=True))
    said |= set(pairs.filter(b=row).values_list("a_id", flat=True))
    free = [other for other in joined if other.pk not in said]
    return min(free, key=distance) if free else None


def _taken_back(detections: Collection[int]) -> set[frozenset[int]]:
    """Pairs whose imported match a person has undone. What an import took back itself may come again."""
    undone = Decision.objects.filter(
        provenance=Provenance.IMPORTED,
        undone_by__isnull=False,
        edge__a__in=detections,
        edge__b__in=detections,
    )
    by_import: set[int] = set()
    for after in AuditEntry.objects.filter(action__in=(UNDONE, CORRECTED)).values_list("after", flat=True):
        by_import.update(after["decisions"])
    rows = undone.exclude(pk__in=by_import).values_list("edge__a_id", "edge__b_id")
    return {frozenset(pair) for pair in rows}

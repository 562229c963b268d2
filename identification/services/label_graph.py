"""Matches of a sorted archive: joins within a label, and nothing that the archive or people keep apart.

docs/decisions/0013-imported-labels.md.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import combinations

from django.db import transaction
from django.db.models import Q, QuerySet

from ..errors import SpotIDError
from ..matching.labels import Identity, Label, apart, parse_label, title
from ..models import AuditEntry, Decision, Detection, Flank, Individual, MatchEdge, Provenance, Survey, User, Verdict
from ..selectors.graph import component_of, edges_among
from .audit import audit_record
from .decisions import decision_record, decision_undo
from .individuals import individual_rename, population_lock

IMPORTED, UNDONE, CORRECTED = "labels.import", "labels.undo", "labels.correct"
# What corrections of a source took apart has been joined anew.
REJOINED = "labels.rejoin"
# Matches that are taken back in one transaction.
_PIECE = 20

Known = Mapping[int, Identity]


def note_of(source: str) -> str:
    """What the notes of imported matches begin with. source: of which catalogue the labels are; "" for sorted archives.

    Names of one catalogue say nothing against those of another.
    """
    return f"imported {source}: " if source else "imported: "


def imports_remembered(survey: Survey, source: str = "") -> dict[int, Label]:
    """Labels by detection that standing imported matches of the survey hold, the last one where there are several."""
    standing = Decision.objects.filter(
        provenance=Provenance.IMPORTED,
        undone_by__isnull=True,
        edge__verdict=Verdict.MATCH,
        edge__provenance=Provenance.IMPORTED,
        edge__a__image__survey=survey,
        edge__b__image__survey=survey,
        note__startswith=note_of(source),
    )
    return _labels_of(standing, source)


def imports_loosened(survey: Survey, source: str = "") -> dict[int, Label]:
    """Labels by detection of matches that an import took back and could not replace any more, because it was killed."""
    entries = AuditEntry.objects.filter(survey=survey)
    over = entries.filter(Q(action=UNDONE) | Q(action=REJOINED, after__source=source))
    last = over.order_by("-id").values_list("pk", flat=True).first() or 0
    taken: set[int] = set()
    for after in entries.filter(action=CORRECTED, pk__gt=last).values_list("after", flat=True):
        taken.update(after["decisions"])
    return _labels_of(Decision.objects.filter(pk__in=taken, note__startswith=note_of(source)), source)


def imports_rejoined(*, survey: Survey, acting_user: User | None, source: str = "") -> None:
    """Say that all that corrections of this source took apart has been joined anew, as far as it can be."""
    audit_record(acting_user=acting_user, action=REJOINED, target=survey, survey=survey, after={"source": source})


def _labels_of(decisions: QuerySet[Decision], source: str) -> dict[int, Label]:
    found = {}
    for a, b, note in decisions.order_by("id").values_list("edge__a_id", "edge__b_id", "note"):
        text = note.removeprefix(note_of(source))
        found[a] = found[b] = Label(text) if source else parse_label(text)
    return found


def imports_correct(
    *, survey: Survey, known: Known, acting_user: User | None, told: list[str], source: str = ""
) -> list[int]:
    """Take back matches that imports of the same source made of photos that are known to show two animals; returns
    their ends.

    A name that an import gave goes too, because it may stand for the other animal now; joining names anew.
    """
    imported = MatchEdge.objects.filter(
        verdict=Verdict.MATCH,
        provenance=Provenance.IMPORTED,
        a__image__survey=survey,
        b__image__survey=survey,
        decisions__note__startswith=note_of(source),
    ).distinct()
    wrong = [edge for edge in imported.order_by("pk") if _clash([edge.a_id, edge.b_id], known)]
    if not wrong:
        return []
    ends = sorted({end for edge in wrong for end in (edge.a_id, edge.b_id)})
    given = _names_given(survey)
    for start in range(0, len(wrong), _PIECE):
        with transaction.atomic():
            population_lock(survey.population_id)
            some = wrong[start : start + _PIECE]
            _unname([end for edge in some for end in (edge.a_id, edge.b_id)], given, acting_user)
            taken = [pk for edge in some for pk in _take_back(edge, acting_user, source)]
            audit_record(
                acting_user=acting_user, action=CORRECTED, target=survey, survey=survey, after={"decisions": taken}
            )
    shown = "; ".join(_photos([edge.a_id, edge.b_id], known) for edge in wrong[:5])
    told.append(
        f"{len(wrong)} imported matches are taken back, because the truth tells their photos apart now: {shown}."
    )
    return ends


def _names_given(survey: Survey) -> set[tuple[int, str]]:
    """Individuals with the names that imports gave them."""
    entries = AuditEntry.objects.filter(action=IMPORTED, survey=survey).values_list("after", flat=True)
    return {(after["named"], after.get("name") or after["label"]) for after in entries}


def _unname(ends: Sequence[int], given: Collection[tuple[int, str]], acting_user: User | None) -> None:
    for individual in Individual.objects.filter(detections__in=ends).exclude(name="").distinct():
        if (individual.pk, individual.name) in given:
            individual_rename(acting_user=acting_user, individual=individual, name="")


def _take_back(edge: MatchEdge, acting_user: User | None, source: str) -> list[int]:
    """Undo what imports said of a pair; what a person said of it before stands again."""
    standing = edge.decisions.filter(
        provenance=Provenance.IMPORTED,
        verdict=Verdict.MATCH,
        undoes__isnull=True,
        undone_by__isnull=True,
        note__startswith=note_of(source),
    )
    taken = []
    for decision in standing.order_by("-id"):
        decision_undo(acting_user=acting_user, decision=decision, any_user=True)
        taken.append(decision.pk)
    return taken


def labelled_join(
    detections: Sequence[Detection],
    name: str,
    known: Known,
    acting_user: User | None,
    told: list[str],
    source: str = "",
) -> tuple[list[Decision], list[Detection]]:
    """Match each detection with one that is joined already: a star on each flank, one match between the flanks.

    Those whose individual holds a photo of another animal are left alone: only people have joined them. Returns the
    new decisions and the detections that are joined. told: grows by what was left alone and why.
    """
    groups = {row.pk: component_of([row.pk]) for row in detections}
    sound = [row for row in detections if not _clash(groups[row.pk], known)]
    for group in sorted({groups[row.pk] for row in detections if row not in sound}, key=min):
        _tell_conflict(group, known, told, "what was decided here" if source else "what people decided")
    if not sound:
        return [], []
    taken_back = pairs_taken_back(set().union(*groups.values()))
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
        alone = len(groups[row.pk]) == 1 and row.individual_id is None
        animals = None if alone else animals_apart(whole, groups[row.pk])
        if animals is not None and animals[0].name and animals[1].name:
            told.append(f"{row.image.relative_path}: not joined to {name}. {_two(animals)} are two animals here.")
            continue
        try:
            decisions.append(_match(partner, row, note_of(source) + name, acting_user))
        except SpotIDError as collision:
            told.append(f"{row.image.relative_path}: not joined to {name}. {collision}")
            continue
        if animals is not None:
            told.append(f"{row.image.relative_path}: {_two(animals)} were two animals here, and are one as {name}.")
        joined += [other for other in sound if other.pk in groups[row.pk]]
        whole = together
    return decisions, joined


@transaction.atomic
def _match(first: Detection, second: Detection, note: str, acting_user: User | None) -> Decision:
    return decision_record(
        acting_user=acting_user,
        first=first,
        second=second,
        verdict=Verdict.MATCH,
        provenance=Provenance.IMPORTED,
        note=note,
    )


def animals_apart(one: Collection[int], other: Collection[int]) -> tuple[Individual, Individual] | None:
    """The animals that two groups of boxes stand for here, where these are two of different names, or one of them has
    none; the one with a name first. None where a match joins no two animals."""
    rows = Individual.objects.filter(retired=False).select_related("population").order_by("number").distinct()
    sides = [sorted(rows.filter(detections__in=group), key=lambda row: not row.name) for group in (one, other)]
    for first in sides[0]:
        for second in sides[1]:
            if first != second and not (first.name and first.name == second.name):
                return first, second
    return None


def _two(animals: tuple[Individual, Individual]) -> str:
    return " and ".join(f"{row.code} {row.name}".strip() for row in animals)


def _clash(members: Iterable[int], known: Known) -> bool:
    """Whether the archive tells some of these apart."""
    identities = sorted({known[pk] for pk in members if pk in known})
    return any(apart(one, other) for one, other in combinations(identities, 2))


def _tell_conflict(group: frozenset[int], known: Known, told: list[str], what: str) -> None:
    """Once for the individual, with the two photos of different names that fewest matches lie between."""
    one, other = _nearest_clash(group, known)
    names = " and ".join(sorted((title(known[one]), title(known[other]))))
    line = f"Conflict: {names} are joined by {what} ({_photos([one, other], known)}). Left alone."
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


def pairs_taken_back(detections: Collection[int]) -> set[frozenset[int]]:
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

"""What the queue of a review is made of, read from the database: whole, in part, and whether it has changed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from django.db import connection
from django.db.models import Count, F, Max, Q, QuerySet

from ..matching.graph import ordered
from ..matching.pooling import Pair, agreement
from ..models import (
    Candidate,
    Category,
    Decision,
    Detection,
    Flank,
    MatchEdge,
    PairCalibration,
    Provenance,
    Triage,
    Verdict,
)
from ..prepared import Given, Prepared, Written

_LEFT = {Flank.LEFT.value: 1.0, Flank.RIGHT.value: 0.0}
# Rows are compared in blocks of this many consecutive ids (a power of two): only blocks that differ are read again.
_BLOCK_BITS = 8
_BLOCKS_READ = 40
Sums = dict[int, Decimal]
_COATLESS = (Provenance.SAME_EVENT, Provenance.PAIRED_CAMERAS, Provenance.IMPORTED)
_SURE = (Verdict.MATCH, Verdict.NO_MATCH)

_GLANCE = Written("""
SELECT (SELECT matched_at FROM identification_survey WHERE id = %(survey)s),
       (SELECT id FROM identification_paircalibration WHERE population_id = %(population)s AND active),
       (SELECT max(id) FROM identification_candidate),
       (SELECT max(id) FROM identification_decision),
       pg_snapshot_xmin(pg_current_snapshot()) = pg_snapshot_xmax(pg_current_snapshot())
""")
_STORED = """
SELECT c.anchor_id, array_agg(c.id ORDER BY c.rank), array_agg(c.detection_id ORDER BY c.rank),
       array_agg(c.rank::int ORDER BY c.rank), array_agg(c.probability ORDER BY c.rank)
FROM identification_candidate c
    JOIN identification_detection d ON d.id = c.anchor_id JOIN identification_image i ON i.id = d.image_id
WHERE i.survey_id = %(survey)s {some}
GROUP BY c.anchor_id
"""
_BOX_SUMS = """
SELECT d.id >> %(bits)s, sum(hash_record_extended(ROW(d.id, d.image_id, d.flank, d.left_probability), 0))
FROM identification_survey s JOIN identification_image i ON i.survey_id = s.id
    JOIN identification_detection d ON d.image_id = i.id
WHERE s.population_id = %(population)s AND d.category = 'animal' AND d.usable AND d.triage <> 'other'
GROUP BY 1
"""
_EDGES_AFTER = Written("""
SELECT said.id, e.id, e.a_id, e.b_id, e.verdict
FROM identification_decision said JOIN identification_matchedge e ON e.id = said.edge_id
    JOIN identification_detection d ON d.id = e.a_id JOIN identification_image i ON i.id = d.image_id
    JOIN identification_survey s ON s.id = i.survey_id
WHERE said.id > %(decision)s AND s.population_id = %(population)s
ORDER BY said.id
""")
_EDGE_SUMS = """
SELECT e.id >> %(bits)s, sum(hash_record_extended(ROW(e.id, e.verdict, e.version), 0))
FROM identification_survey s JOIN identification_image i ON i.survey_id = s.id
    JOIN identification_detection d ON d.image_id = i.id JOIN identification_matchedge e ON e.a_id = d.id
WHERE s.population_id = %(population)s
GROUP BY 1
"""


class Box(NamedTuple):
    """What the queue needs to know of a detection. left: probability that it shows the left flank, None: not known."""

    image: int
    survey: int
    flank: str
    left: float | None
    sharpness: float

    @property
    def is_left(self) -> float:
        """What a person said, else the estimate, else a half."""
        return _LEFT.get(self.flank, 0.5 if self.left is None else self.left)


class Edge(NamedTuple):
    """What stands of a pair; no verdict: nothing does."""

    pk: int
    a: int
    b: int
    verdict: str


class Answer(NamedTuple):
    """What people answered of a pair in one survey and have not taken back: in how many decisions, on which photo the
    last one, and the last probability that was shown with what was said to it, in the decision `told`."""

    decisions: int
    anchor: int | None
    shown: tuple[float, str] | None
    told: int = 0


class Glance(NamedTuple):
    """What one small query tells of changes. quiet: nobody else was writing."""

    stamp: tuple[Any, ...]
    newest_candidate: int
    last_decision: int
    quiet: bool

    @property
    def calibrated(self) -> bool:
        """Whether probabilities are fitted to the population."""
        return self.stamp[1] is not None


@dataclass
class Stored:
    """Candidates between boxes that may be compared: by anchor as (row id, detection) in the order of rank; the better
    rank of each pair; each pair once, with the higher of its probabilities."""

    rows: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    ranks: dict[tuple[int, int], int] = field(default_factory=dict)
    pairs: dict[tuple[int, int], Pair] = field(default_factory=dict)


def glance(survey_id: int, population_id: int) -> Glance:
    # Another calibration changes probabilities of candidates in their place.
    ((matched_at, calibration, candidate, decision, quiet),) = _GLANCE(survey=survey_id, population=population_id)
    return Glance((matched_at, calibration), candidate or 0, decision or 0, quiet)


def has_candidates_after(survey_id: int, newest: int) -> bool:
    return Candidate.objects.filter(pk__gt=newest, anchor__image__survey=survey_id).exists()


# ---- boxes ----
def boxes_read(population_id: int, visible: Collection[int], some: Collection[int] | None = None) -> dict[int, Box]:
    """Boxes of the population's visible surveys that take part; of `some` detections only, where they are given."""
    rows = Detection.objects.comparable().filter(image__survey__population=population_id, image__survey__in=visible)
    if some is not None:
        rows = rows.filter(pk__in=some)
    found = rows.values_list("pk", "image_id", "image__survey_id", "flank", "left_probability", "quality__sharpness")
    return {row[0]: Box(row[1], row[2], row[3], row[4], row[5] or 0.0) for row in found.iterator(chunk_size=5000)}


def box_of(row: Detection) -> Box | None:
    """The same of a row that was read with its image."""
    if row.category != Category.ANIMAL or not row.usable or row.triage == Triage.OTHER:
        return None
    sharpness = row.quality.get("sharpness") or 0.0
    return Box(row.image_id, row.image.survey_id, row.flank, row.left_probability, sharpness)


def anchors_read(survey_id: int) -> list[int]:
    """The survey's boxes that take part, in the order of the photos."""
    rows = Detection.objects.comparable().filter(image__survey=survey_id)
    order = rows.order_by(F("image__captured_at").asc(nulls_last=True), "image__relative_path", "pk")
    return list(order.values_list("pk", flat=True))


def box_sums(population_id: int) -> Sums:
    return _sums(_BOX_SUMS, population_id)


def boxes_changed(
    population_id: int, visible: Collection[int], sums: Sums, now: Sums, known: Mapping[int, Box]
) -> dict[int, Box | None] | None:
    """Boxes that are otherwise than `known`, None for those that take part no more; None when too many may be.

    sums: those of the last comparison, which become `now`.
    """
    ids = _of_changed_blocks(sums, now)
    if not ids:
        return {} if ids is not None else None
    boxes = boxes_read(population_id, visible, ids)
    return {pk: boxes.get(pk) for pk in ids if boxes.get(pk) != known.get(pk)}


# ---- candidates ----
def stored_read(survey_id: int, boxes: Mapping[int, Box]) -> Stored:
    """All of a survey. Every box of it is an anchor, in the order of the photos."""
    found = Stored({pk: [] for pk in anchors_read(survey_id) if pk in boxes})
    _add_stored(found, boxes, _STORED.format(some=""), {"survey": survey_id})
    return found


def stored_around(
    survey_id: int, changed: Collection[int], partners: Collection[int], boxes: Mapping[int, Box]
) -> Stored:
    """Candidates of the changed boxes, and of every anchor that has or had one of them among its own.

    Pairs and ranks only of the changed boxes. partners: anchors that had one.
    """
    pks = set(changed)
    having = Candidate.objects.filter(detection__in=pks, anchor__image__survey=survey_id)
    anchors = {*pks, *partners, *having.values_list("anchor_id", flat=True)}
    found = Stored({pk: [] for pk in anchors if pk in boxes and boxes[pk].survey == survey_id})
    some = {"survey": survey_id, "anchors": list(anchors)}
    _add_stored(found, boxes, _STORED.format(some="AND c.anchor_id = ANY(%(anchors)s)"), some)
    found.ranks = {pair: rank for pair, rank in found.ranks.items() if not pks.isdisjoint(pair)}
    found.pairs = {key: pair for key, pair in found.pairs.items() if not pks.isdisjoint(key)}
    return found


def _add_stored(found: Stored, boxes: Mapping[int, Box], query: str, values: dict[str, Any]) -> None:
    rows, ranks, pairs = found.rows, found.ranks, found.pairs
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        while portion := cursor.fetchmany(2000):
            for anchor, *columns in portion:
                one = boxes.get(anchor)
                if one is None or anchor not in rows:
                    continue
                own = rows[anchor]
                for pk, detection, rank, probability in zip(*columns, strict=True):
                    other = boxes.get(detection)
                    if other is None or not _comparable(one, other):
                        continue
                    own.append((pk, detection))
                    key = (anchor, detection) if anchor < detection else (detection, anchor)
                    known = pairs.get(key)
                    if known is None:
                        ranks[key] = rank
                    else:
                        ranks[key] = min(rank, ranks[key])
                        if known.probability >= probability:
                            continue
                    flank = agreement(one.is_left, other.is_left)
                    pairs[key] = Pair(*key, probability, flank, min(one.sharpness, other.sharpness))


def _comparable(a: Box, b: Box) -> bool:
    return a.image != b.image and {a.flank, b.flank} != {"left", "right"}


# ---- what people said ----
def _edges(population: Any) -> QuerySet[MatchEdge, tuple[int, int, int, str]]:
    edges = MatchEdge.objects.filter(a__image__survey__population=population)
    return edges.values_list("pk", "a_id", "b_id", "verdict")


_EDGES_OF = Prepared(lambda: _edges(Given("population")).filter(pk__any_of=Given("edges")))


def edges_read(population_id: int, some: Collection[int] | None = None) -> list[Edge]:
    """Edges of the population; of some ids only, where they are given."""
    if some is not None:
        return [Edge(*row) for row in _EDGES_OF(population=population_id, edges=list(some))]
    return [Edge(*row) for row in _edges(population_id).iterator(chunk_size=5000)]


def edges_after(population_id: int, decision: int) -> tuple[list[Edge], int]:
    """Edges of the population about which something was decided or taken back since, and the last such decision."""
    rows = _EDGES_AFTER(decision=decision, population=population_id)
    edges = {edge: Edge(edge, a, b, verdict) for _, edge, a, b, verdict in rows}
    return list(edges.values()), max((row[0] for row in rows), default=0)


def last_decision(population_id: int) -> int:
    newest = Decision.objects.filter(edge__a__image__survey__population=population_id)
    return newest.aggregate(last=Max("pk"))["last"] or 0


def edge_sums(population_id: int) -> Sums:
    return _sums(_EDGE_SUMS, population_id)


def edges_changed(
    population_id: int, sums: Sums, now: Sums, known: Mapping[int, tuple[int, int]]
) -> tuple[list[Edge], list[int]] | None:
    """Edges that may have changed since the sums were made, and ids of those that are gone; None for too many.

    sums: those of the last comparison, which become `now`. known: pairs of the edges that were there.
    """
    ids = _of_changed_blocks(sums, now)
    if not ids:
        return ([], []) if ids is not None else None
    edges = edges_read(population_id, ids)
    standing = {edge.pk for edge in edges}
    return edges, [pk for pk in ids if pk in known and pk not in standing]


def forget_sums(sums: Sums, edges: Iterable[Edge]) -> set[int]:
    """Have the next comparison read these edges again: what wrote them may be a transaction that comes to nothing.

    Returns the blocks that were forgotten.
    """
    blocks = {edge.pk >> _BLOCK_BITS for edge in edges}
    for block in blocks:
        sums.pop(block, None)
    return blocks


def _said(survey: Any) -> QuerySet[Decision, tuple[Any, ...]]:
    standing = Decision.objects.filter(anchor__image__survey=survey, undoes__isnull=True, undone_by__isnull=True)
    standing = standing.exclude(Q(edge__verdict="") | Q(verdict=Decision.PROPOSED)).order_by("pk")
    return standing.values_list("edge__a_id", "edge__b_id", "anchor_id", "probability_shown", "verdict", "pk")


_SAID_OF = Prepared(lambda: _said(Given("survey")).filter(edge__any_of=Given("edges")))


def answers_read(survey_id: int, edges: Iterable[int] | None = None) -> dict[tuple[int, int], Answer]:
    """What people answered in this survey, pair by pair; of some edges only, where they are given."""
    found: dict[tuple[int, int], Answer] = {}
    # A cursor in the database takes three questions instead of one: worth it for many rows.
    everything = _said(survey_id).iterator(chunk_size=5000) if edges is None else ()
    rows = everything if edges is None else _SAID_OF(survey=survey_id, edges=list(edges))
    for a, b, anchor, shown, verdict, pk in rows:
        before = found.get(ordered((a, b)))
        last, told = (before.shown, before.told) if before else (None, 0)
        if shown is not None:
            last, told = (shown, verdict), pk
        found[a, b] = Answer(1 + (before.decisions if before else 0), anchor, last, told)
    return found


def decided_before(population_id: int) -> int:
    """The last decision before probabilities became what they are; 0 where they were never others."""
    fitted = PairCalibration.objects.filter(population=population_id).order_by("-pk")
    active = fitted.filter(active=True).first()
    # What was shown while one was in use that was withdrawn since is not what those of now would show.
    later = fitted if active is None else fitted.filter(pk__gt=active.pk)
    withdrawn = any(one.report.get("withdrawn") for one in later.only("report"))
    if active is None and not withdrawn:
        return 0
    said = Decision.objects.filter(edge__a__image__survey__population=population_id)
    if active is not None and not withdrawn:
        said = said.filter(created_at__lte=active.created_at)
    return said.aggregate(last=Max("pk"))["last"] or 0


def said_again(
    population_id: int, edges: Iterable[int] | None = None
) -> tuple[dict[tuple[int, int], int], Collection[tuple[int, int]]]:
    """What `Doubts` needs of the population, or of some of its edges.

    Of pairs about which more was said than once: by how many decisions what stands outnumbers the opposite. And the
    pairs whose verdict comes from elsewhere than a comparison of coats: that coats differ says nothing against it.
    """
    standing = MatchEdge.objects.filter(a__image__survey__population=population_id, verdict__in=_SURE)
    if edges is not None:
        standing = standing.filter(pk__in=edges)
    coatless = set(standing.filter(provenance__in=_COATLESS).values_list("a_id", "b_id"))
    said = Decision.objects.filter(edge__in=standing.values("pk"), undoes__isnull=True, undone_by__isnull=True)
    counted = (
        said.values("edge__a_id", "edge__b_id", "edge__verdict")
        .annotate(same=Count("pk", filter=Q(verdict=Verdict.MATCH)), other=Count("pk", filter=Q(verdict="no_match")))
        .exclude(same__lt=2, other=0)
        .exclude(same=0, other__lt=2)
    )
    margins = {}
    for row in counted:
        lead = row["same"] - row["other"]
        margins[row["edge__a_id"], row["edge__b_id"]] = lead if row["edge__verdict"] == Verdict.MATCH else -lead
    return margins, coatless


# ---- comparing ----
def _sums(query: str, population_id: int) -> Sums:
    with connection.cursor() as cursor:
        cursor.execute(query, {"bits": _BLOCK_BITS, "population": population_id})
        return dict(cursor.fetchall())


def _of_changed_blocks(before: Sums, now: Sums) -> list[int] | None:
    """All ids of the blocks whose sums differ; None where they are too many. `before` becomes `now`."""
    blocks = [block for block in {*before, *now} if before.get(block) != now.get(block)]
    before.clear()
    before.update(now)
    if len(blocks) > _BLOCKS_READ:
        return None
    return [pk for block in sorted(blocks) for pk in range(block << _BLOCK_BITS, (block + 1) << _BLOCK_BITS)]

"""What contradicts, found the plain way: the whole graph of each population is read, and every group looked at.

The oracle of test_conflicts_found.py: it says in ids what `contradictions_read` shows. Nothing else uses it.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from django.conf import settings
from django.db.models import Q

from identification.matching.graph import SignedGraph, weakest_links
from identification.matching.travel import Journey, Sighting, too_fast
from identification.models import (
    CameraClock,
    Category,
    Detection,
    Flank,
    MatchEdge,
    Population,
    Provenance,
    User,
    Verdict,
)
from identification.permissions import Action, detections_for, populations_for, surveys_for
from identification.selectors.conflicts import Contradictions
from identification.selectors.consequences import match_path
from identification.selectors.graph import match_doubts, population_graph

Pair = tuple[int, int]
# Two boxes of one photo of another survey.
UNTOLD = (0, 0)


@dataclass
class Plain:
    """What stands in the tuples.

    conflicts: population, visible photos, hidden ones, forbidden pairs, weakest links, ways, sizes after parting.
    jumps: population, both photos, whole kilometres where they are told, seconds, weakest links, sizes.
    opposed: population, pair, sizes.
    """

    conflicts: set[tuple] = field(default_factory=set)  # type: ignore[type-arg]
    jumps: set[tuple] = field(default_factory=set)  # type: ignore[type-arg]
    opposed: set[tuple] = field(default_factory=set)  # type: ignore[type-arg]


def contradictions_plain(user: User) -> Plain:
    found = Plain()
    deciding = surveys_for(user, Action.DECIDE)
    for population in populations_for(user).filter(surveys__in=deciding).distinct():
        _read(user, population, found)
    return found


def _read(user: User, population: Population, found: Plain) -> None:
    graph = population_graph(population)
    joined = {pk for pair in graph.matches for pk in pair}
    groups = {graph.root(min(group)): group for group in graph.components(joined)}
    visible = set(detections_for(user).filter(pk__in=joined).values_list("pk", flat=True))
    placed = set(surveys_for(user, Action.SEE_PLACES).values_list("pk", flat=True))
    forbidden: dict[int, set[Pair]] = defaultdict(set)
    for pair in (*graph.contradictions(), *_on_one_photo(graph, joined)):
        forbidden[graph.root(pair[0])].add(pair)

    def doubts(root: int) -> dict[Pair, float]:
        return match_doubts(groups[root])

    def sizes(root: int, cut: set[Pair]) -> str:
        left = SignedGraph.of(pair for pair in doubts(root) if pair not in cut)
        parts = [len(part & visible) for part in left.components(groups[root])]
        return " + ".join(str(size) for size in sorted(parts, reverse=True) if size)

    for root, pairs in forbidden.items():
        if groups[root] & visible:
            weak = {link for a, b in sorted(pairs)[:12] for link in weakest_links(doubts(root), a, b)}
            ways = {edge for a, b in pairs for edge in match_path(doubts(root), a, b)}
            seen = frozenset(groups[root] & visible)
            hidden = len(groups[root] - visible)
            told = {pair if set(pair) <= visible or _said(pair) else UNTOLD for pair in pairs}
            said = frozenset(told), frozenset(weak), frozenset(ways), sizes(root, weak)
            found.conflicts.add((population.pk, seen, hidden, *said))
    for journey in _journeys(user, population, graph, joined):
        if {journey.first, journey.second} <= visible:
            root = graph.root(journey.first)
            links = set(weakest_links(doubts(root), journey.first, journey.second))
            told = placed.issuperset(_surveys(journey.first, journey.second))
            far = journey.first, journey.second, round(journey.kilometres) if told else None, journey.seconds
            found.jumps.add((population.pk, *far, frozenset(links), sizes(root, links)))
    for pair in _opposed(user, population):
        found.opposed.add((population.pk, pair, sizes(graph.root(pair[0]), {pair})))


def _said(pair: Pair) -> bool:
    return MatchEdge.objects.filter(a=pair[0], b=pair[1]).exists()


def _surveys(*photos: int) -> set[int]:
    return set(Detection.objects.filter(pk__in=photos).values_list("image__survey_id", flat=True))


def _journeys(user: User, population: Population, graph: SignedGraph, joined: set[int]) -> list[Journey]:
    clocks = CameraClock.objects.filter(station__survey__population=population, by_person=True)
    said = set(clocks.values_list("station_id", "camera"))
    rows = Detection.objects.filter(
        pk__in=joined, image__survey__in=surveys_for(user, Action.CURATE), image__station__isnull=False
    ).select_related("image__station")
    animals: dict[int, list[Sighting]] = defaultdict(list)
    for row in rows:
        image, place = row.image, row.image.station
        known = image.captured_at is not None and place.latitude is not None and place.longitude is not None
        if known and ("clock_suspect" not in image.flags or (place.pk, image.camera) in said):
            where = place.pk, image.captured_at, place.latitude, place.longitude
            animals[graph.root(row.pk)].append(Sighting(row.pk, *where))
    return [
        journey
        for sightings in animals.values()
        for journey in too_fast(sightings, speed_kmh=settings.SPOTID_TRAVEL_KMH)
    ]


def _opposed(user: User, population: Population) -> list[Pair]:
    deciding = surveys_for(user, Action.DECIDE).filter(population=population)
    sides = Q(a__flank=Flank.LEFT, b__flank=Flank.RIGHT) | Q(a__flank=Flank.RIGHT, b__flank=Flank.LEFT)
    edges = MatchEdge.objects.filter(
        sides, verdict=Verdict.MATCH, a__image__survey__in=deciding, b__image__survey__in=deciding
    )
    known = (Provenance.PAIRED_CAMERAS, Provenance.SAME_EVENT, Provenance.IMPORTED)
    return list(edges.exclude(provenance__in=known).values_list("a_id", "b_id"))


def _on_one_photo(graph: SignedGraph, joined: set[int]) -> list[Pair]:
    by_image: dict[int, list[int]] = defaultdict(list)
    rows = Detection.objects.filter(pk__in=joined, category=Category.ANIMAL).values_list("pk", "image_id")
    for pk, image_id in rows.order_by("pk"):
        by_image[image_id].append(pk)
    return [
        (a, b)
        for boxes in by_image.values()
        for index, a in enumerate(boxes)
        for b in boxes[index + 1 :]
        if graph.root(a) == graph.root(b)
    ]


def as_plain(found: Contradictions, into: Plain) -> None:
    """Add what a page shows in the same form. For few enough that nothing of a group is cut off."""

    def pairs(shown) -> frozenset[Pair]:  # type: ignore[no-untyped-def]
        return frozenset(ids(pair) for pair in shown)

    def ids(pair) -> Pair:  # type: ignore[no-untyped-def]
        if pair.edge is None and pair.a is None:
            return UNTOLD
        return (pair.edge.a_id, pair.edge.b_id) if pair.edge else (pair.a.pk, pair.b.pk)

    for one in found.conflicts:
        assert len(one.photos) == one.photos_in_all
        seen = frozenset(photo.pk for photo in one.photos)
        said = pairs(one.forbidden), pairs(one.weakest), pairs(one.path), one.part.sizes
        into.conflicts.add((one.population.pk, seen, one.hidden, *said))
    for jump in found.jumps:
        far = jump.first.pk, jump.second.pk, jump.kilometres, jump.seconds
        into.jumps.add((jump.population.pk, *far, pairs(jump.weakest), jump.part.sizes))
    for item in found.opposed:
        into.opposed.add((item.population.pk, ids(item.pair), item.part.sizes))

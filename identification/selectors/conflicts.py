"""Contradictions: what people joined and forbade at once, and animals that would have had to fly."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings

from ..matching.graph import SignedGraph, weakest_links
from ..matching.travel import Journey, Sighting, too_fast
from ..models import CameraClock, Category, Detection, Population, User
from ..permissions import Action, detections_for, populations_for, surveys_for
from ..presenting import span_words
from .consequences import PairShown, match_path, pairs_shown
from .graph import match_doubts, population_graph
from .shots import CLOCK_SUSPECT

# Of one group. Each asks for the weakest link anew, and nobody reads more.
_MOST_PAIRS = 12


@dataclass
class Conflict:
    """A component in which people both joined and forbade.

    path: the matches that join each forbidden pair; weakest: those that are likeliest wrong where it is two animals.
    """

    population: Population
    photos: list[Detection]
    hidden: int
    forbidden: list[PairShown]
    weakest: list[PairShown]
    path: list[PairShown]

    @property
    def others(self) -> list[PairShown]:
        return [pair for pair in self.path if pair not in self.weakest]


@dataclass
class Jump:
    """Two photos of one animal that are too far apart for the time between: a warning, which changes nothing.

    kilometres: None for those who may not know places.
    """

    population: Population
    first: Detection
    second: Detection
    kilometres: int | None
    seconds: float
    weakest: list[PairShown]

    @property
    def apart(self) -> str:
        return span_words(timedelta(seconds=self.seconds))


@dataclass
class Contradictions:
    """What the conflicts page shows. jumps: of surveys that the account curates."""

    conflicts: list[Conflict]
    jumps: list[Jump]


def contradictions_read(*, user: User) -> Contradictions:
    """What contradicts in the populations in which the account decides. Queries per population, not per conflict."""
    deciding = surveys_for(user, Action.DECIDE)
    found = Contradictions([], [])
    for population in populations_for(user).filter(surveys__in=deciding).distinct().order_by("name"):
        graph = population_graph(population)
        if graph.matches:
            _read(user, population, graph, found)
    return found


def _read(user: User, population: Population, graph: SignedGraph, found: Contradictions) -> None:
    joined = {pk for pair in graph.matches for pk in pair}
    components = {root: group for group in graph.components(joined) for root in [graph.root(min(group))]}
    forbidden = _forbidden(graph, joined)
    journeys = _journeys(user, population, graph, joined)
    if not forbidden and not journeys:
        return
    torn = {*forbidden, *(graph.root(journey.first) for journey in journeys)}
    doubts = _doubts_by_component(graph, {pk for root in torn for pk in components[root]})
    visible = _visible(user, [*(components[root] for root in forbidden), *((j.first, j.second) for j in journeys)])
    weak = {root: _weakest(doubts[root], pairs) for root, pairs in forbidden.items()}
    paths = {root: _paths(graph, components[root], pairs) for root, pairs in forbidden.items()}
    links = {j: set(weakest_links(doubts[graph.root(j.first)], j.first, j.second)) for j in journeys}
    wanted = sorted(set().union(*forbidden.values(), *weak.values(), *paths.values(), *links.values()))
    shown = dict(zip(wanted, pairs_shown(user=user, pairs=wanted), strict=True))
    found.conflicts += [
        Conflict(
            population=population,
            photos=[row for pk, row in visible.items() if pk in components[root]],
            hidden=len(components[root] - visible.keys()),
            forbidden=[shown[pair] for pair in sorted(pairs)],
            weakest=[shown[pair] for pair in sorted(weak[root])],
            path=[shown[pair] for pair in sorted(paths[root])],
        )
        for root, pairs in sorted(forbidden.items())
        if components[root] & visible.keys()
    ]
    found.jumps += _jumps(user, population, {j: [shown[pair] for pair in sorted(links[j])] for j in journeys}, visible)


def _jumps(
    user: User, population: Population, weakest: Mapping[Journey, list[PairShown]], visible: Mapping[int, Detection]
) -> list[Jump]:
    """The journeys whose photos the account may see, with the distance where it may know both places."""
    if not weakest:
        return []
    placed = set(surveys_for(user, Action.SEE_PLACES).filter(population=population).values_list("pk", flat=True))
    jumps = []
    for journey, links in weakest.items():
        if journey.first in visible and journey.second in visible:
            first, second = visible[journey.first], visible[journey.second]
            tells = {first.image.survey_id, second.image.survey_id} <= placed
            kilometres = round(journey.kilometres) if tells else None
            jumps.append(Jump(population, first, second, kilometres, journey.seconds, links))
    return jumps


def _visible(user: User, groups: Iterable[Collection[int]]) -> dict[int, Detection]:
    rows = detections_for(user).filter(pk__in={pk for group in groups for pk in group})
    ordered = rows.select_related("image__station", "image__survey", "individual__population")
    return {row.pk: row for row in ordered.order_by("image__captured_at", "pk")}


def _forbidden(graph: SignedGraph, joined: set[int]) -> dict[int, set[tuple[int, int]]]:
    """By component, the pairs that are joined though a person refused them or one photo shows both."""
    forbidden: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for pair in (*graph.contradictions(), *_on_one_photo(graph, joined)):
        forbidden[graph.root(pair[0])].add(pair)
    return forbidden


def _doubts_by_component(graph: SignedGraph, members: set[int]) -> dict[int, dict[tuple[int, int], float]]:
    doubts: dict[int, dict[tuple[int, int], float]] = defaultdict(dict)
    for pair, wrong in match_doubts(members).items():
        doubts[graph.root(pair[0])][pair] = wrong
    return doubts


def _weakest(doubts: Mapping[tuple[int, int], float], pairs: set[tuple[int, int]]) -> set[tuple[int, int]]:
    return {link for a, b in sorted(pairs)[:_MOST_PAIRS] for link in weakest_links(doubts, a, b)}


def _journeys(user: User, population: Population, graph: SignedGraph, joined: set[int]) -> list[Journey]:
    """Impossible ways of the animals, by photos of the surveys that the account curates.

    Photos without place or time take no part, nor do those of a clock that was not set and that nobody has corrected.
    """
    said = set(
        CameraClock.objects.filter(station__survey__population=population, by_person=True).values_list(
            "station_id", "camera"
        )
    )
    rows = Detection.objects.filter(
        pk__in=joined,
        image__survey__in=surveys_for(user, Action.CURATE),
        image__station__isnull=False,
    ).values_list(
        "pk",
        "image__station_id",
        "image__camera",
        "image__captured_at",
        "image__station__latitude",
        "image__station__longitude",
        "image__flags",
    )
    animals: dict[int, list[Sighting]] = defaultdict(list)
    for pk, station, camera, at, latitude, longitude, flags in rows:
        if at is None or latitude is None or longitude is None:
            continue
        if CLOCK_SUSPECT not in flags or (station, camera) in said:
            animals[graph.root(pk)].append(Sighting(pk, station, at, latitude, longitude))
    return [
        journey
        for _, sightings in sorted(animals.items())
        for journey in too_fast(sightings, speed_kmh=settings.SPOTID_TRAVEL_KMH)
    ]


def _paths(graph: SignedGraph, members: frozenset[int], pairs: set[tuple[int, int]]) -> set[tuple[int, int]]:
    inside = [pair for pair in graph.matches if pair[0] in members]
    return {edge for a, b in pairs for edge in match_path(inside, a, b)}


def _on_one_photo(graph: SignedGraph, joined: set[int]) -> list[tuple[int, int]]:
    """Pairs of one component that lie on one photo."""
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

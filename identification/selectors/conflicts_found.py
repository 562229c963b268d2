"""Where catalogues contradict themselves, found by queries that read no group which is sound.

A sound group is one individual, and no match leads out of it. Where a refusal runs inside a group, or one photo shows
two boxes of it, both ends are of one individual, or some match on the way between them joins photos that are not. All
three are asked for by themselves (`_SEEDS`), and only the groups around what they find are read. That holds whatever
the individuals are: along a way of matches between two photos they are the same one, or they change, or are none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Q, QuerySet

from ..matching.graph import SignedGraph
from ..matching.travel import CLOCK_SECONDS, EARTH_KM, PLACE_KM, Journey, Sighting, too_fast
from ..models import (
    CameraClock,
    Category,
    Detection,
    Flank,
    MatchEdge,
    Population,
    Provenance,
    Station,
    Survey,
    User,
    Verdict,
)
from ..permissions import Action, detections_for, populations_for, surveys_for
from .graph import component_matches, edges_among
from .shots import CLOCK_SUSPECT

# What joins a left and a right flank rightly: facing cameras, an animal that turned, the word of a sorted archive.
_BOTH_SIDES = (Provenance.PAIRED_CAMERAS, Provenance.SAME_EVENT, Provenance.IMPORTED)
_SEEDS = """
SELECT unnest(ARRAY[edge.a_id, edge.b_id]) FROM identification_matchedge edge
    JOIN identification_detection a ON a.id = edge.a_id JOIN identification_detection b ON b.id = edge.b_id
    JOIN identification_image photo ON photo.id = a.image_id
WHERE photo.survey_id = ANY(%(surveys)s) AND (
    edge.verdict = 'no_match' AND a.individual_id = b.individual_id
    OR edge.verdict = 'match' AND (a.individual_id IS NULL OR a.individual_id IS DISTINCT FROM b.individual_id))
UNION
SELECT unnest(array_agg(box.id)) FROM identification_detection box
    JOIN identification_image photo ON photo.id = box.image_id
WHERE photo.survey_id = ANY(%(surveys)s) AND box.individual_id IS NOT NULL AND box.category = 'animal'
GROUP BY box.individual_id, box.image_id HAVING count(*) > 1
"""
# Per animal the steps from photo to photo that it cannot have walked, of each two stations the one that exceeds most:
# what matching.travel says of one animal, for all that are sound at once.
_JUMPS = """
WITH seen AS (
    SELECT box.id, box.individual_id, photo.captured_at AS at, photo.station_id AS station,
        radians(place.latitude) AS latitude, radians(place.longitude) AS longitude
    FROM identification_detection box
        JOIN identification_image photo ON photo.id = box.image_id
        JOIN identification_station place ON place.id = photo.station_id
    WHERE photo.survey_id = ANY(%(surveys)s) AND photo.captured_at IS NOT NULL
        AND place.latitude IS NOT NULL AND place.longitude IS NOT NULL
        AND box.individual_id IS NOT NULL AND NOT box.individual_id = ANY(%(apart)s)
        AND (NOT photo.flags @> %(suspect)s::jsonb OR EXISTS (
            SELECT FROM identification_cameraclock clock
            WHERE clock.station_id = photo.station_id AND clock.camera = photo.camera AND clock.by_person))
), steps AS (
    SELECT individual_id, id, at, station, latitude, longitude, lag(id) OVER way AS from_id, lag(at) OVER way AS since,
        lag(station) OVER way AS origin, lag(latitude) OVER way AS from_latitude,
        lag(longitude) OVER way AS from_longitude
    FROM seen WINDOW way AS (PARTITION BY individual_id ORDER BY at, station, id)
), far AS (
    SELECT *, extract(epoch FROM at - since)::float8 AS seconds,
        2 * %(earth)s * asin(least(1.0, sqrt(power(sin((latitude - from_latitude) / 2), 2)
            + cos(from_latitude) * cos(latitude) * power(sin((longitude - from_longitude) / 2), 2)))) AS kilometres
    FROM steps WHERE station <> origin
), worst AS (
    SELECT DISTINCT ON (individual_id, least(station, origin), greatest(station, origin))
        individual_id, from_id, id, kilometres, seconds, since
    FROM far WHERE kilometres > %(place)s + %(speed)s * (seconds + %(clock)s) / 3600
    ORDER BY individual_id, least(station, origin), greatest(station, origin),
        kilometres - %(speed)s * seconds / 3600 DESC, since, from_id
)
SELECT counted.number, shown.* FROM (SELECT count(*) AS number FROM worst) counted
LEFT JOIN LATERAL (
    SELECT worst.from_id, worst.id, worst.kilometres, worst.seconds, animal.population_id FROM worst
        JOIN identification_individual animal ON animal.id = worst.individual_id
        JOIN identification_population home ON home.id = animal.population_id
    ORDER BY home.name, home.id, animal.number, worst.since, worst.from_id LIMIT %(most)s OFFSET %(start)s
) shown ON true
"""


@dataclass(frozen=True)
class Group:
    """A group that is not one individual, or contradicts itself. forbidden: its pairs that people refused, or that one
    photo shows; visible: those of its members that the account may see."""

    population: Population
    members: frozenset[int]
    forbidden: frozenset[tuple[int, int]]
    visible: frozenset[int]


@dataclass(frozen=True)
class Mixed:
    """All such groups, by the name of their population and their first photo. individuals: whose photos are in one."""

    groups: tuple[Group, ...] = ()
    individuals: frozenset[int] = frozenset()

    @property
    def torn(self) -> list[Group]:
        """Those that contradict themselves and show the account a photo."""
        return [group for group in self.groups if group.forbidden and group.visible]


def deciding_populations(user: User) -> dict[int, Population]:
    """Those in which the account decides somewhere, by id."""
    found = populations_for(user).filter(surveys__in=surveys_for(user, Action.DECIDE)).distinct()
    return {population.pk: population for population in found}


def mixed_groups(*, user: User, populations: dict[int, Population]) -> Mixed:
    """Six queries, whatever the catalogue holds; they read the groups that they find, and no other."""
    home = dict(Survey.objects.filter(population__in=populations).values_list("pk", "population_id"))
    with connection.cursor() as cursor:
        cursor.execute(_SEEDS, {"surveys": list(home)})
        seeds = [row[0] for row in cursor.fetchall()]
    if not seeds:
        return Mixed()
    members, matches = component_matches(seeds)
    graph = SignedGraph.of(matches, edges_among(members, Verdict.NO_MATCH))
    names = "pk", "image_id", "category", "individual_id", "image__survey_id"
    boxes: list[Any] = list(Detection.objects.filter(pk__in=members).values_list(*names, named=True))
    visible = set(detections_for(user).filter(pk__in=members).values_list("pk", flat=True))
    where = {box.pk: populations[home[box.image__survey_id]] for box in boxes}
    on_photo: dict[tuple[int, int], list[int]] = defaultdict(list)
    for box in sorted(boxes):
        if box.category == Category.ANIMAL:
            on_photo[graph.root(box.pk), box.image_id].append(box.pk)
    twice = [(a, b) for own in on_photo.values() for index, a in enumerate(own) for b in own[index + 1 :]]
    forbidden: dict[int, set[tuple[int, int]]] = defaultdict(set)
    for pair in (*graph.contradictions(), *twice):
        forbidden[graph.root(pair[0])].add(pair)
    groups = [
        Group(where[min(part)], part, frozenset(forbidden[graph.root(min(part))]), part & visible)
        for part in graph.components(members)
        if len(part) > 1
    ]
    groups.sort(key=lambda group: (group.population.name, group.population.pk, min(group.members)))
    return Mixed(tuple(groups), frozenset(box.individual_id for box in boxes if box.individual_id is not None))


def journeys_of(*, user: User, groups: Iterable[Group]) -> list[tuple[Population, Journey]]:
    """Impossible ways within these groups, by photos of surveys that the account curates.

    Photos without place or time take no part, nor do those of a clock that was not set and that nobody has corrected.
    """
    groups = list(groups)
    members = {pk for group in groups for pk in group.members}
    if not members:
        return []
    seen = Detection.objects.filter(
        pk__in=members, image__survey__in=surveys_for(user, Action.CURATE), image__captured_at__isnull=False
    ).exclude(Q(image__station__latitude=None) | Q(image__station__longitude=None))
    names = "image__station_id", "image__captured_at", "image__station__latitude", "image__station__longitude"
    rows = list(seen.values_list("pk", *names, "image__camera", "image__flags"))
    clocks = CameraClock.objects.filter(
        station__in=Station.objects.filter(pk__in={row[1] for row in rows}), by_person=True
    )
    said = set(clocks.values_list("station_id", "camera"))
    sightings = {row[0]: Sighting(*row[:5]) for row in rows if CLOCK_SUSPECT not in row[6] or (row[1], row[5]) in said}
    return [
        (group.population, journey)
        for group in groups
        for journey in too_fast(
            [sightings[pk] for pk in group.members if pk in sightings], speed_kmh=settings.SPOTID_TRAVEL_KMH
        )
    ]


def journeys_of_sound(
    *, user: User, populations: dict[int, Population], apart: Collection[int], start: int, most: int
) -> tuple[list[tuple[Population, Journey]], int]:
    """The same of all individuals but those that are apart, so many of them from a place on; and how many there are."""
    curated = surveys_for(user, Action.CURATE).filter(population__in=populations)
    asked: dict[str, Any] = {
        "surveys": list(curated.values_list("pk", flat=True)),
        "apart": list(apart),
        "suspect": f'["{CLOCK_SUSPECT}"]',
        "earth": EARTH_KM,
        "place": PLACE_KM,
        "clock": CLOCK_SECONDS,
        "speed": float(settings.SPOTID_TRAVEL_KMH),
        "start": start,
        "most": most,
    }
    if not asked["surveys"]:
        return [], 0
    with connection.cursor() as cursor:
        cursor.execute(_JUMPS, asked)
        rows = cursor.fetchall()
    found = [
        (populations[population], Journey(first, second, kilometres, seconds))
        for _, first, second, kilometres, seconds, population in rows
        if first is not None
    ]
    return found, rows[0][0]


def opposed_pairs(*, user: User) -> QuerySet[MatchEdge]:
    """Matches of opposite flanks between photos of surveys in which the account decides, those people named first."""
    deciding = surveys_for(user, Action.DECIDE)
    sides = Q(a__flank=Flank.LEFT, b__flank=Flank.RIGHT) | Q(a__flank=Flank.RIGHT, b__flank=Flank.LEFT)
    edges = MatchEdge.objects.filter(
        sides, verdict=Verdict.MATCH, a__image__survey__in=deciding, b__image__survey__in=deciding
    )
    edges = edges.exclude(provenance__in=_BOTH_SIDES)
    home = "a__image__survey__population"
    return edges.order_by(f"{home}__name", home, "-a__flank_by_person", "-b__flank_by_person", "pk")

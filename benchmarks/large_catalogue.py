"""A large catalogue half-way through its review, drawn by a seeded generator and written in bulk.

What stands in the database is what ingest, matching and the review services would have left there: photos of which some
show two animals, boxes with flanks that are known, estimated or neither, thirty candidates a box ranked by probability,
decisions with their edges (some taken back), individuals that stand for the components, some of them merged. Used by
review_latency.py; nothing here is measured.

Three populations hold 60, 30 and 10 % of the boxes, in surveys of 20 % down to 1 % (SHARES): of 100 000 the largest
survey has 20 000 anchors. A coat (one flank of an animal) has a log-normal number of photos with median 6 and at most
250, and half of the coats come again in the population's next season. A pair of one coat has log-odds N(1.2, 2.2), a
pair of strangers N(−5, 1.5): near-certain pairs, missed ones, and strangers that look alike all occur.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection, transaction
from numpy.typing import NDArray

from identification.matching.graph import DisjointSets
from identification.models import (
    Decision,
    Detection,
    EncounterEvent,
    Image,
    Individual,
    MatchEdge,
    Membership,
    Population,
    Provenance,
    Role,
    Station,
    Survey,
    User,
    Work,
)

SHARES = ((20, 15, 10, 8, 7), (10, 8, 7, 5), (4, 3, 2, 1))
CANDIDATES = 30
MOST_OF_ONE_COAT = 14
EDGES_PER_DETECTION = 0.5
REFUSED, UNSURE, INCOMPARABLE, TAKEN_BACK = 0.24, 0.025, 0.01, 0.01
START = datetime(2021, 1, 10, tzinfo=UTC)
_ROWS = 2000


@dataclass
class Season:
    """One survey: the ids of its boxes in the order of time, and the coat that each shows."""

    survey: Survey
    detections: NDArray[np.int64]
    coats: NDArray[np.int64]


@dataclass
class Catalogue:
    """Everything that was drawn. coat: the truth of each box."""

    seasons: list[Season] = field(default_factory=list)
    coat: dict[int, int] = field(default_factory=dict)
    edges: int = 0
    candidates: int = 0
    individuals: int = 0


@dataclass
class _Drawn:
    """The boxes of one population as arrays, and its stored pairs with what is said of them."""

    ids: NDArray[np.int64]
    image: NDArray[np.int64]
    coat: NDArray[np.int64]
    left: NDArray[np.bool_]
    season: NDArray[np.int64]
    pairs: dict[tuple[int, int], float] = field(default_factory=dict)
    home: dict[tuple[int, int], int] = field(default_factory=dict)


def catalogue_draw(*, detections: int, seed: int, reviewers: list[User]) -> Catalogue:
    """Write a catalogue of about so many boxes. reviewers: former ones, whose decisions stand in it."""
    random = np.random.default_rng(seed)
    catalogue = Catalogue()
    for number, shares in enumerate(SHARES):
        with transaction.atomic():
            population = Population.objects.create(
                name=f"Landscape {number + 1}", species="Panthera pardus", code_prefix=f"P{number + 1}"
            )
            sizes = [max(12, detections * share // 100) for share in shares]
            drawn = _photos(catalogue, population, sizes, random)
            _candidates(catalogue, drawn, random)
            edges = _decisions(catalogue, drawn, reviewers, random)
            _individuals(catalogue, population, edges, random)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return catalogue


# ---- photos and boxes ----
def _coats(sizes: list[int], random: np.random.Generator) -> list[NDArray[np.int64]]:
    """The coat of each box, season by season, shuffled. An odd coat is a right flank."""
    seasons: list[NDArray[np.int64]] = []
    number, before = 0, np.zeros(0, np.int64)
    for size in sizes:
        chosen: list[int] = []
        back = list(before[random.random(len(before)) < 0.5])
        while len(chosen) < size:
            coat = int(back.pop()) if back else number
            number += coat == number
            photos = int(np.clip(random.lognormal(np.log(6), 1.1), 1, 250))
            chosen += [coat] * photos
        season = np.array(chosen[:size], np.int64)
        before = np.unique(season)
        seasons.append(random.permutation(season))
    return seasons


def _photos(catalogue: Catalogue, population: Population, sizes: list[int], random: np.random.Generator) -> _Drawn:
    parts = []
    for index, (size, coats) in enumerate(zip(sizes, _coats(sizes, random), strict=True)):
        survey = Survey.objects.create(
            population=population,
            name=f"{population.name}, season {index + 1}",
            matching_state=Survey.Matching.DONE,
            matched_at=START + timedelta(days=365 * (index + 1)),
        )
        began = START + timedelta(days=365 * index)
        # One photo in 25 shows two animals, never one animal twice.
        second = (random.random(size) < 0.04) & (coats != np.roll(coats, 1))
        second[1:] &= ~second[:-1]
        photo_of = np.cumsum(~second)
        stations = Station.objects.bulk_create(
            Station(survey=survey, code=f"S{n:03d}", latitude=27.0 + n / 100, longitude=84.0 + n / 100)
            for n in range(max(2, min(90, size // 200)))
        )
        images = _images(survey, stations, began, int(photo_of[-1]) + 1, random)
        left = coats % 2 == 0
        said = random.random(size)
        boxes = Detection.objects.bulk_create(
            (_box(images[photo_of[i]], i, bool(left[i]), float(said[i]), random) for i in range(size)),
            batch_size=_ROWS,
        )
        ids = np.array([box.pk for box in boxes], np.int64)
        season = Season(survey, ids, coats)
        catalogue.seasons.append(season)
        catalogue.coat |= dict(zip(ids.tolist(), (coats + 1_000_000 * population.pk).tolist(), strict=True))
        image = np.array([images[n].pk for n in photo_of], np.int64)
        parts.append((ids, image, coats, left, np.full(size, len(catalogue.seasons) - 1)))
    return _Drawn(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _images(
    survey: Survey, stations: list[Station], began: datetime, number: int, random: np.random.Generator
) -> list[Image]:
    where = random.integers(0, len(stations), number)
    when = [began + timedelta(seconds=float(s)) for s in np.sort(random.random(number)) * 90 * 86400]
    events: dict[int, EncounterEvent] = {}
    made: list[EncounterEvent] = []
    of: list[EncounterEvent] = []
    for station, at in zip(where.tolist(), when, strict=True):
        event = events.get(station)
        if event is None or at - event.ended_at > timedelta(minutes=30):
            event = events[station] = EncounterEvent(
                survey=survey, station=stations[station], started_at=at, ended_at=at
            )
            made.append(event)
        event.ended_at = at
        of.append(event)
    EncounterEvent.objects.bulk_create(made, batch_size=_ROWS)
    images = Image.objects.bulk_create(
        (
            Image(
                survey=survey,
                sha256=f"{survey.pk:08x}{n:056x}",
                relative_path=f"{stations[where[n]].code}/A/IMG_{n:06d}.JPG",
                source_path=f"/nowhere/{survey.pk}/IMG_{n:06d}.JPG",
                size_bytes=2_400_000,
                mtime_ns=n,
                width=2048,
                height=1536,
                format="jpg",
                station=stations[where[n]],
                camera="A",
                event=of[n],
                captured_at=when[n],
                captured_source="exif",
                detector="drawn",
            )
            for n in range(number)
        ),
        batch_size=_ROWS,
    )
    done = (Work(image=image, state="done", stage="features", attempts=1, seconds=2.0) for image in images)
    Work.objects.bulk_create(done, batch_size=_ROWS)
    return images


def _box(image: Image, number: int, left: bool, said: float, random: np.random.Generator) -> Detection:
    """A person has said the flank of 45 %, it is estimated for 50 %, and of 5 % nothing is known."""
    flank = ("left" if left else "right") if said < 0.45 else "unknown"
    estimate = None if said > 0.95 else float(np.clip(random.normal(0.93 if left else 0.07, 0.05), 0.01, 0.99))
    x = 100.0 + number % 400
    return Detection(
        image=image,
        confidence=0.9,
        engine="drawn",
        x1=x,
        y1=300.0,
        x2=x + 800,
        y2=900.0,
        flank=flank,
        flank_by_person=flank != "unknown",
        left_probability=estimate,
        crop=f"drawn/{number}.jpg",
        mask=f"drawn/{number}.png",
        cutout=f"drawn/{number}_cut.jpg",
        edges=f"drawn/{number}_edges.png",
        segmenter="drawn",
        quality={"sharpness": round(float(random.gamma(4, 30)), 2), "coat_pixels": 90000},
    )


# ---- candidates ----
def _candidates(catalogue: Catalogue, drawn: _Drawn, random: np.random.Generator) -> None:
    """Of each box some photos of its coat and strangers for the rest, ranked; a pair has one probability both ways."""
    members: dict[int, NDArray[np.int64]] = {}
    order = np.argsort(drawn.coat, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(drawn.coat[order])) + 1):
        members[int(drawn.coat[group[0]])] = group
    engine = "drawn"
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY identification_candidate (anchor_id, detection_id, rank, similarity, inliers, score, probability, "
            "evidence, engine) FROM STDIN"
        ) as copy,
    ):
        for i in range(len(drawn.ids)):
            own = members[int(drawn.coat[i])]
            own = own[random.random(len(own)) < 0.7]
            own = random.permutation(own)[:MOST_OF_ONE_COAT]
            others = np.unique(np.concatenate([own, random.integers(0, len(drawn.ids), 2 * CANDIDATES)]))
            # Estimated flanks are as good as known here: a matching run compares what is known to be compatible.
            fits = (drawn.image[others] != drawn.image[i]) & (drawn.left[others] == drawn.left[i])
            others = others[fits]
            odds = _log_odds(i, others, drawn.coat[others] == drawn.coat[i])
            best = np.argsort(-odds, kind="stable")[:CANDIDATES]
            for rank, place in enumerate(best, 1):
                _write(copy, drawn, i, int(others[place]), rank, float(odds[place]), engine)
            catalogue.candidates += len(best)


def _write(copy: Any, drawn: _Drawn, i: int, j: int, rank: int, odds: float, engine: str) -> None:
    probability = float(1 / (1 + np.exp(-np.clip(odds, -12, 12))))
    inliers = max(4, int(14 + 4 * odds))
    a, b = int(drawn.ids[i]), int(drawn.ids[j])
    evidence = {
        "inliers": inliers,
        "weight": round(inliers * 0.8, 3),
        "spread": 0.31,
        "others": [0.2, 0.1],
        "rank": rank,
    }
    copy.write_row((a, b, rank, None, inliers, probability, probability, json.dumps(evidence), engine))
    pair = (a, b) if a < b else (b, a)
    drawn.pairs[pair] = probability
    drawn.home.setdefault(pair, i)


def _log_odds(i: int, others: NDArray[np.int64], same: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Normal log-odds out of a hash of each pair (SplitMix64 and Box–Muller), so that both directions agree."""
    low, high = np.minimum(i, others).astype(np.uint64), np.maximum(i, others).astype(np.uint64)
    with np.errstate(over="ignore"):
        state = low * np.uint64(0x9E3779B97F4A7C15) + high * np.uint64(0xD1B54A32D192ED03)
        uniform = []
        for _ in range(2):
            state = state + np.uint64(0x9E3779B97F4A7C15)
            z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            uniform.append(((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(np.float64) / 2**53)
    normal = np.sqrt(-2 * np.log(np.maximum(uniform[0], 1e-15))) * np.cos(2 * np.pi * uniform[1])
    return np.where(same, 1.2 + 2.2 * normal, -5.0 + 1.5 * normal)


# ---- what people have said ----
def _decisions(
    catalogue: Catalogue, drawn: _Drawn, reviewers: list[User], random: np.random.Generator
) -> list[tuple[int, int]]:
    """Edges with their decisions, true to the coats; returns the pairs that are matched.

    Joins from the most probable pair down, some left out, then the strangers that look most alike, and a few unsure.
    """
    coat, matched, said = catalogue.coat, [], []
    ranked = sorted(drawn.pairs, key=lambda pair: -drawn.pairs[pair])
    quota = round(len(drawn.ids) * EDGES_PER_DETECTION)
    refused, unsure, apart = (round(quota * share) for share in (REFUSED, UNSURE, INCOMPARABLE))
    sets = DisjointSets()
    strangers: list[tuple[int, int]] = []
    doubtful: list[tuple[int, int]] = []
    for pair in ranked:
        same = coat[pair[0]] == coat[pair[1]]
        if not same:
            strangers.append(pair)
        elif sets.find(pair[0]) == sets.find(pair[1]):
            continue
        elif random.random() < 0.25:
            doubtful.append(pair)
        elif len(matched) < quota - refused - unsure - apart:
            sets.join(*pair)
            matched.append(pair)
    said += [(pair, "match") for pair in matched]
    said += [(pair, "no_match") for pair in strangers[:refused]]
    waiting = [pair for pair in doubtful if sets.find(pair[0]) != sets.find(pair[1])] + strangers[refused:]
    said += [(pair, "unsure") for pair in waiting[:unsure]]
    said += [(pair, "incomparable") for pair in waiting[unsure : unsure + apart]]
    catalogue.edges += len(said)
    _record(drawn, said, waiting[unsure + apart :][: round(quota * TAKEN_BACK)], reviewers, random)
    return matched


def _record(
    drawn: _Drawn,
    said: list[tuple[tuple[int, int], str]],
    taken_back: list[tuple[int, int]],
    reviewers: list[User],
    random: np.random.Generator,
) -> None:
    rows = [(pair, verdict, True) for pair, verdict in said] + [(pair, "match", False) for pair in taken_back]
    rows = [rows[n] for n in random.permutation(len(rows))]
    edges = MatchEdge.objects.bulk_create(
        (
            MatchEdge(
                a_id=a,
                b_id=b,
                verdict=verdict if stands else "",
                probability=drawn.pairs[(a, b)],
                provenance=Provenance.REVIEWER,
                version=1 if stands else 2,
            )
            for (a, b), verdict, stands in rows
        ),
        batch_size=_ROWS,
    )
    decisions = Decision.objects.bulk_create(
        (
            Decision(
                edge=edge,
                acting_user=reviewers[n % len(reviewers)],
                verdict=verdict,
                anchor_id=int(drawn.ids[drawn.home[pair]]),
                probability_shown=drawn.pairs[pair],
            )
            for n, (edge, (pair, verdict, _)) in enumerate(zip(edges, rows, strict=True))
        ),
        batch_size=_ROWS,
    )
    Decision.objects.bulk_create(
        (
            Decision(
                edge_id=decision.edge_id,
                acting_user_id=decision.acting_user_id,
                previous_verdict=decision.verdict,
                undoes=decision,
                anchor_id=decision.anchor_id,
            )
            for decision, (_, _, stands) in zip(decisions, rows, strict=True)
            if not stands
        ),
        batch_size=_ROWS,
    )


def _individuals(
    catalogue: Catalogue, population: Population, matched: list[tuple[int, int]], random: np.random.Generator
) -> None:
    """One for each component; some large ones grew out of two, of which the younger is retired."""
    sets = DisjointSets()
    for a, b in matched:
        sets.join(a, b)
    parts: dict[int, list[int]] = defaultdict(list)
    for detection in {end for pair in matched for end in pair}:
        parts[sets.find(detection)].append(detection)
    groups = [sorted(part) for part in sorted(parts.values(), key=min)]
    made = Individual.objects.bulk_create(
        (
            Individual(population=population, number=number, founder_id=group[0])
            for number, group in enumerate(groups, 1)
        ),
        batch_size=_ROWS,
    )
    merged = [n for n, group in enumerate(groups) if len(group) >= 6 and random.random() < 0.3]
    Individual.objects.bulk_create(
        (
            Individual(
                population=population,
                number=len(groups) + count,
                founder_id=groups[n][len(groups[n]) // 2],
                retired=True,
                merged_into=made[n],
            )
            for count, n in enumerate(merged, 1)
        ),
        batch_size=_ROWS,
    )
    population.last_number = len(groups) + len(merged)
    population.save(update_fields=["last_number"])
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE drawn_member (detection bigint, individual bigint) ON COMMIT DROP")
        with cursor.copy("COPY drawn_member FROM STDIN") as copy:
            for individual, group in zip(made, groups, strict=True):
                for detection in group:
                    copy.write_row((detection, individual.pk))
        cursor.execute(
            "UPDATE identification_detection SET individual_id = drawn_member.individual FROM drawn_member"
            " WHERE identification_detection.id = drawn_member.detection"
        )
        cursor.execute("DROP TABLE drawn_member")
    catalogue.individuals += len(groups)


def members_add(*, survey: Survey, users: list[User]) -> None:
    """Make the accounts reviewers of every survey of its population."""
    Membership.objects.bulk_create(
        Membership(user=user, survey=season, role=Role.REVIEWER)
        for season in Survey.objects.filter(population=survey.population_id)
        for user in users
    )

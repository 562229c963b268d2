"""A whole season of photos, written in bulk: many rows in little time, without files."""

from __future__ import annotations

import hashlib
import random
from datetime import UTC, datetime, timedelta

from identification.models import Detection, Image, Individual, Station, Survey, Work
from identification.services.events import events_rebuild
from tests.identification import factories as make

FIRST = datetime(2024, 1, 10, tzinfo=UTC)
# Species, how often, and the hours around which it is about.
SPECIES = (
    ("Panthera pardus", 3, (5, 20)),
    ("Axis axis", 40, (7, 17)),
    ("Sus scrofa", 14, (2, 22)),
    ("Gallus gallus", 9, (8, 10)),
    ("", 6, (12, 12)),
)


def make_season(
    *, stations: int = 12, days: int = 75, photos: int = 3000, individuals: int = 9, seed: int = 1
) -> Survey:
    """A survey with people, empty photos, five kinds of animals, one station with a gap and one that died early."""
    rng = random.Random(seed)
    survey = make.make_survey(
        make.make_population(species="Panthera pardus"), name=f"Season {seed}", time_zone="Asia/Kolkata"
    )
    survey.matching_state = "done"
    survey.save()
    places = Station.objects.bulk_create(Station(survey=survey, code=f"ST{n + 1:02d}") for n in range(stations))
    images, said = [], []
    while len(images) < photos:
        place, day = rng.randrange(stations), rng.randrange(days)
        if (place == 0 and 20 <= day < 35) or (place == 1 and day > days * 0.6):
            continue
        kind = rng.choices(("empty", "person", "animal"), (30, 6, 40))[0]
        species, _, peaks = rng.choices(SPECIES, [row[1] for row in SPECIES])[0]
        hour = rng.gauss(rng.choice(peaks if kind == "animal" else (9, 16)), 1.6) % 24
        # By the clock of the zone of the survey, five and a half hours ahead.
        at = FIRST + timedelta(days=day, hours=hour - 5.5)
        for burst in range(rng.choice((1, 3))):
            images.append(_image(survey, places[place], len(images), at + timedelta(seconds=burst), kind == "person"))
            said.append((kind, species))
    Image.objects.bulk_create(images, batch_size=2000)
    Work.objects.bulk_create((Work(image=image, state="done", stage="features") for image in images), batch_size=5000)
    boxes = [_box(image, kind, species) for image, (kind, species) in zip(images, said, strict=True) if kind != "empty"]
    Detection.objects.bulk_create(boxes, batch_size=2000)
    _individuals(survey, [box for box in boxes if box.species == "Panthera pardus"], individuals, rng)
    events_rebuild(survey=survey)
    return survey


def _image(survey: Survey, station: Station, number: int, at: datetime, person: bool) -> Image:
    return Image(
        survey=survey,
        station=station,
        camera="A",
        sha256=hashlib.sha256(f"{survey.pk} {number}".encode()).hexdigest(),
        relative_path=f"{station.code}/A/{number:06d}.JPG",
        source_path=f"/nowhere/{number:06d}.JPG",
        size_bytes=1,
        mtime_ns=1,
        width=640,
        height=400,
        captured_at=at,
        captured_source="exif",
        detector="test detector",
        has_person=person,
    )


def _box(image: Image, kind: str, species: str) -> Detection:
    values = {"category": kind, "species": species if kind == "animal" else ""}
    return Detection(image=image, engine="test detector", confidence=0.9, x1=10, y1=10, x2=300, y2=200, **values)


def _individuals(survey: Survey, boxes: list[Detection], number: int, rng: random.Random) -> None:
    for index in range(min(number, len(boxes))):
        own = boxes[index::number]
        own = own[: max(1, len(own) // (1 + index))]
        individual = Individual.objects.create(population=survey.population, number=index + 1, founder=own[0])
        Detection.objects.filter(pk__in=[box.pk for box in own]).update(individual=individual)

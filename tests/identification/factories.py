"""Small helpers that make rows for tests, with real little pictures in the media folder of the test.

Every function takes what the test is about and invents the rest. Files are written below `settings.MEDIA_ROOT`, which
the fixture `media_root` points to a folder of the test's own; without it the factories refuse to write.
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from django.conf import settings
from django.test import Client
from PIL import Image as Pillow

from identification.models import (
    Candidate,
    Decision,
    Detection,
    Flank,
    Heartbeat,
    Image,
    IngestReport,
    Membership,
    Population,
    ProcessingStage,
    ProcessingState,
    Role,
    SkippedPhoto,
    Station,
    Survey,
    User,
    Verdict,
    Work,
)
from identification.services.decisions import decision_record
from identification.services.media import detection_file, image_file, media_path

PASSWORD = "correct horse battery staple"
FRAME = (640, 400)
BOX = (160.0, 120.0, 480.0, 290.0)
START = datetime(2024, 3, 1, 6, 0, tzinfo=UTC)
_numbers = itertools.count(1)


def make_user(name: str = "", *, superuser: bool = False, **values: Any) -> User:
    name = name or f"user{next(_numbers)}"
    user = User(**{"username": name, "is_superuser": superuser, "is_staff": superuser, **values})
    user.password = _password_hash()
    user.save()
    return user


@functools.cache
def _password_hash() -> str:
    """Hashing takes most of a second and says nothing new for the second user."""
    from django.contrib.auth.hashers import make_password

    return make_password(PASSWORD)


def make_member(survey: Survey, role: str = Role.REVIEWER, *, user: User | None = None, places: bool = False) -> User:
    """An account with a membership of the survey."""
    user = user or make_user()
    Membership.objects.create(user=user, survey=survey, role=role, may_see_places=places)
    return user


def make_population(name: str = "", **values: Any) -> Population:
    return Population.objects.create(name=name or f"Population {next(_numbers)}", **values)


def make_survey(population: Population | None = None, name: str = "", **values: Any) -> Survey:
    return Survey.objects.create(
        population=population or make_population(), name=name or f"Survey {next(_numbers)}", **values
    )


def make_station(survey: Survey, code: str = "", **values: Any) -> Station:
    return Station.objects.get_or_create(survey=survey, code=code or f"ST{next(_numbers):02d}", defaults=values)[0]


def make_image(
    survey: Survey,
    *,
    station: Station | None = None,
    camera: str = "A",
    state: str = ProcessingState.DONE,
    stage: str = ProcessingStage.FEATURES,
    reason: str = "",
    files: bool = True,
    original: Path | None = None,
    **values: Any,
) -> Image:
    """A photo with its work row; `files` writes its derivatives, `original` is a folder that gets the file itself."""
    number = next(_numbers)
    name = f"IMG_{number:04d}.JPG"
    station_code = station.code if station else "loose"
    defaults: dict[str, Any] = {
        "relative_path": f"{station_code}/{camera}/{name}",
        "source_path": str((original or Path("/nowhere")) / name),
        "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        "captured_at": START + timedelta(hours=number),
        "captured_source": "exif",
        "format": "jpg",
        "detector": "test detector",
    }
    data = jpeg(frame_pixels(number))
    if original is not None:
        (original / name).write_bytes(data)
    image = Image.objects.create(
        survey=survey,
        station=station,
        camera=camera,
        size_bytes=len(data),
        mtime_ns=1,
        width=FRAME[0],
        height=FRAME[1],
        **{**defaults, **values},
    )
    if files:
        image.preview = store(image_file(survey.pk, image.pk, "preview.jpg"), data)
        image.thumbnail = store(image_file(survey.pk, image.pk, "thumbnail.jpg"), jpeg(frame_pixels(number)[::4, ::4]))
        image.save(update_fields=["preview", "thumbnail"])
    Work.objects.create(
        image=image, state=state, stage=stage, reason=reason, attempts=1, reason_code="test" if reason else ""
    )
    return image


def make_detection(
    image: Image, *, coat: int = 0, box: tuple[float, float, float, float] = BOX, files: bool = True, **values: Any
) -> Detection:
    """A box on a photo, with a crop that shows the spots of animal `coat`. A person has said its flank."""
    x1, y1, x2, y2 = box
    defaults: dict[str, Any] = {"confidence": 0.9, "engine": "test detector", "flank": Flank.RIGHT}
    defaults["flank_by_person"] = values.get("flank", Flank.RIGHT) != Flank.UNKNOWN
    detection = Detection.objects.create(image=image, x1=x1, y1=y1, x2=x2, y2=y2, **{**defaults, **values})
    if files:
        for kind, name, data in crop_files(coat, detection.pk):
            setattr(detection, kind, store(detection_file(image.survey_id, image.pk, detection.pk, name), data))
        detection.save(update_fields=["crop", "mask", "cutout", "edges"])
    return detection


def make_sighting(survey: Survey, *, coat: int = 0, station: Station | None = None, **values: Any) -> Detection:
    """A processed photo with one animal on it."""
    return make_detection(make_image(survey, station=station or make_station(survey, "ST01"), **values), coat=coat)


def make_candidate(
    anchor: Detection, detection: Detection, *, rank: int = 1, probability: float = 0.9, **values: Any
) -> Candidate:
    defaults: dict[str, Any] = {"similarity": None, "inliers": 24, "score": probability, "engine": "test matcher"}
    return Candidate.objects.create(
        anchor=anchor, detection=detection, rank=rank, probability=probability, **{**defaults, **values}
    )


def make_reviewable_survey(
    *, individuals: int = 2, photos: int = 3, stations: int = 2, population: Population | None = None, **values: Any
) -> tuple[Survey, list[list[Detection]]]:
    """A matched survey: every animal's other photos are its best candidates, another animal's first photo the last one.

    Returns the survey and the detections, one list per animal in the order of their photos.
    """
    survey = make_survey(population, matching_state="done", **values)
    places = [make_station(survey, f"ST{index + 1:02d}") for index in range(stations)]
    animals = [
        [
            make_sighting(survey, coat=animal, station=places[(animal + photo) % stations], camera="AB"[photo % 2])
            for photo in range(photos)
        ]
        for animal in range(individuals)
    ]
    for index, own in enumerate(animals):
        stranger = animals[(index + 1) % individuals][0]
        for anchor in own:
            others = [other for other in own if other != anchor]
            for rank, other in enumerate(others, 1):
                make_candidate(
                    anchor, other, rank=rank, probability=max(0.5, 0.98 - 0.05 * rank), inliers=60 - 5 * rank
                )
            if stranger not in own:
                make_candidate(anchor, stranger, rank=len(others) + 1, probability=0.07, inliers=6)
    return survey, animals


def make_ingest_report(survey: Survey, *, skipped: int = 0, new: int = 0) -> IngestReport:
    report = IngestReport.objects.create(
        survey=survey, read=new, new=new, skipped=skipped, finished_at=datetime(2024, 3, 9, tzinfo=UTC)
    )
    SkippedPhoto.objects.bulk_create(
        SkippedPhoto(
            report=report, relative_path=f"broken/{index:04d}.jpg", code="truncated", reason="The file ends early."
        )
        for index in range(skipped)
    )
    return report


def make_heartbeat(name: str = "cluster", *, age: timedelta = timedelta()) -> Heartbeat:
    beat = Heartbeat.objects.create(name=name)
    Heartbeat.objects.filter(pk=name).update(beat_at=datetime.now(UTC) - age)
    return beat


def client_of(survey: Survey, role: str = Role.CURATOR, *, places: bool = False) -> Client:
    """A browser that is signed in to a new account with that role."""
    client = Client()
    client.force_login(make_member(survey, role, places=places))
    return client


def match(
    user: User | None, first: Detection, second: Detection, verdict: str = Verdict.MATCH, *, confirm: bool = False
) -> Decision:
    """A decision on the pair through the service, as the review page records it."""
    return decision_record(
        acting_user=user,
        first=first,
        second=second,
        verdict=verdict,
        anchor=first,
        confirm_contradiction=confirm,
    )


def store(name: str, data: bytes) -> str:
    """Write a file below the test's media folder and return its name."""
    path = media_path(name)
    if not getattr(settings, "MEDIA_IS_OF_A_TEST", False):
        raise AssertionError("use the fixture media_root: a test must not write into a real media folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return name


@functools.lru_cache(maxsize=64)
def crop_files(coat: int, view: int) -> list[tuple[str, str, bytes]]:
    """(field, file name, bytes) of the crop of an animal and what is derived from it."""
    pixels, mask = coat_pixels(coat, view)
    edges = np.abs(np.diff(pixels.mean(axis=2), axis=1, prepend=0)) > 18
    cutout = np.where(mask[..., None], pixels, 0).astype(np.uint8)
    return [
        ("crop", "crop.jpg", jpeg(pixels)),
        ("mask", "mask.png", png(mask.astype(np.uint8) * 255)),
        ("cutout", "cutout.png", png(np.dstack([cutout, mask.astype(np.uint8) * 255]))),
        ("edges", "edges.png", png((edges & mask).astype(np.uint8) * 255)),
    ]


def coat_pixels(coat: int, view: int, width: int = 320, height: int = 170) -> tuple[np.ndarray, np.ndarray]:
    """H×W×3 uint8 of a spotted ellipse, and its mask. The spots depend on the animal, light and grain on the view."""
    spots = np.random.default_rng(1000 + coat)
    light = np.random.default_rng(view)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    mask = ((x - width / 2) / (0.46 * width)) ** 2 + ((y - height / 2) / (0.42 * height)) ** 2 < 1
    picture = np.full((height, width, 3), (96, 104, 78), np.float32)
    picture[mask] = (188, 150, 96)
    for _ in range(60):
        cx, cy, radius = spots.uniform(0, width), spots.uniform(0, height), spots.uniform(4, 10)
        ring = np.abs(np.hypot(x - cx, (y - cy) * spots.uniform(0.8, 1.3)) - radius) < 2.6
        picture[mask & ring] = (52, 40, 30)
    picture = picture * light.uniform(0.75, 1.15) + light.normal(0, 5, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8), mask


@functools.lru_cache(maxsize=64)
def frame_pixels(number: int) -> np.ndarray:
    """H×W×3 uint8 of a quiet scene with an animal where BOX is."""
    width, height = FRAME
    rng = np.random.default_rng(number)
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    frame = np.array([150, 168, 150], np.float32) * (1 - rows) + np.array([112, 104, 72], np.float32) * rows
    frame = np.broadcast_to(frame, (height, width, 3)) + rng.normal(0, 4, (height, width, 1))
    frame = np.clip(frame, 0, 255).astype(np.uint8)
    x1, y1, x2, y2 = (int(value) for value in BOX)
    animal, mask = coat_pixels(number % 5, number, x2 - x1, y2 - y1)
    frame[y1:y2, x1:x2][mask] = animal[mask]
    return frame


def jpeg(pixels: np.ndarray) -> bytes:
    return _encoded(pixels, "JPEG", quality=80)


def png(pixels: np.ndarray) -> bytes:
    return _encoded(pixels, "PNG")


def _encoded(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(np.ascontiguousarray(pixels)).save(buffer, kind, **options)
    return buffer.getvalue()

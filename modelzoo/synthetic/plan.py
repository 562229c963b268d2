"""What is photographed when and where: the plan of a survey, before any pixel is drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta

import numpy as np

from modelzoo.synthetic.noise import rng_for

CAMERAS = ("A", "B")
FLANKS = ("left", "right")
MOST_FRAMES = 3


@dataclass(frozen=True)
class SurveyPlan:
    """A survey to render. The same values give the same files.

    empty_fraction: photos without an animal; night_fraction: events in the dark (infrared); paired_fraction: animal
    events seen by both cameras of a station; quality: JPEG quality. Raises ValueError where the numbers make no survey.
    """

    seed: int = 0
    individuals: int = 10
    stations: int = 6
    photos: int = 120
    empty_fraction: float = 0.25
    night_fraction: float = 0.5
    paired_fraction: float = 0.35
    width: int = 1280
    height: int = 960
    start: date = date(2024, 2, 1)
    days: int = 45
    quality: int = 88

    def __post_init__(self) -> None:
        if min(self.individuals, self.photos) < 0 or self.stations < 1 or self.days < 1:
            raise ValueError("individuals and photos must not be negative, stations and days at least 1")
        if self.photos and (self.width < 64 or self.height < 48):
            raise ValueError("photos must be at least 64x48 pixels")
        for name in ("empty_fraction", "night_fraction", "paired_fraction"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} must lie between 0 and 1")
        if not 1 <= self.quality <= 100:
            raise ValueError("quality must lie between 1 and 100")


@dataclass(frozen=True)
class PlannedPhoto:
    """One photo to render. file: path below the survey's root; individual and flank: None when empty; frame: place in
    its burst of `frames`; captured_at: camera clock, without zone."""

    file: str
    event: int
    frame: int
    frames: int
    station: str
    camera: str
    individual: int | None
    flank: str | None
    captured_at: datetime
    infrared: bool

    @property
    def individual_name(self) -> str:
        """The name used in the truth table; empty when no animal passes."""
        return "" if self.individual is None else f"L{self.individual + 1:02d}"


@dataclass(frozen=True)
class _Event:
    number: int
    station: int
    individual: int | None
    moment: datetime
    infrared: bool


def _moment(rng: np.random.Generator, config: SurveyPlan, night: bool) -> datetime:
    """A time of day that suits the light; leopards are busiest at dusk and before dawn."""
    day = config.start + timedelta(days=int(rng.integers(config.days)))
    if night:
        hour = float(19.2 + rng.beta(1.0, 1.2) * 10.0) % 24
    else:
        hour = (
            float(rng.choice([6.9, 15.0]) + rng.beta(1.2, 1.2) * 2.5)
            if rng.random() < 0.7
            else float(rng.uniform(7, 17))
        )
    return datetime.combine(day, time()) + timedelta(seconds=int(hour * 3600))


def _home_ranges(config: SurveyPlan) -> list[list[int]]:
    """Stations that each individual visits: up to three neighbours, so that every station has visitors."""
    reach = min(3, config.stations)
    return [[(i + k) % config.stations for k in range(reach)] for i in range(config.individuals)]


def _burst(
    event: _Event, camera: str, flank: str | None, count: int, delay: int, gaps: list[int]
) -> list[PlannedPhoto]:
    """Photos of one camera during an event, not yet named."""
    station = f"ST{event.station + 1:02d}"
    moment = event.moment + timedelta(seconds=delay)
    photos = []
    for frame in range(count):
        photos.append(
            PlannedPhoto(
                "", event.number, frame, count, station, camera, event.individual, flank, moment, event.infrared
            )
        )
        moment += timedelta(seconds=gaps[frame])
    return photos


def _animal_photos(config: SurveyPlan, rng: np.random.Generator, wanted: int) -> list[PlannedPhoto]:
    """Exactly `wanted` photos with an animal; individuals take turns, stations of their range too."""
    photos: list[PlannedPhoto] = []
    ranges, visits = _home_ranges(config), 0
    order: list[int] = []
    while len(photos) < wanted:
        if not order:
            order = rng.permutation(config.individuals).tolist()
        who = order.pop()
        station = ranges[who][int(rng.integers(len(ranges[who])))]
        night = bool(rng.random() < config.night_fraction)
        event = _Event(visits, station, who, _moment(rng, config, night), night)
        side = int(rng.integers(2))
        first = int(rng.integers(2))
        gaps = [int(g) for g in rng.integers(1, 3, MOST_FRAMES)]
        count = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
        paired, delay = bool(rng.random() < config.paired_fraction), int(rng.integers(0, 4))
        other = int(rng.choice([1, 2], p=[0.65, 0.35]))
        seen = _burst(event, CAMERAS[first], FLANKS[side], count, 0, gaps)
        if paired:
            seen += _burst(event, CAMERAS[1 - first], FLANKS[1 - side], other, delay, gaps)
        photos.extend(seen[: wanted - len(photos)])
        visits += 1
    return photos


def _empty_photos(config: SurveyPlan, rng: np.random.Generator, wanted: int, first_event: int) -> list[PlannedPhoto]:
    """Exactly `wanted` photos without an animal, spread over all cameras, day and night in turn."""
    photos: list[PlannedPhoto] = []
    turn = 0
    offset = int(rng.integers(config.stations * len(CAMERAS)))
    while len(photos) < wanted:
        place = (turn + offset) % (config.stations * len(CAMERAS))
        lap = turn // (config.stations * len(CAMERAS))
        night = config.night_fraction > 0 and (config.night_fraction >= 1 or (place + lap) % 2 == 0)
        event = _Event(first_event + turn, place // 2, None, _moment(rng, config, night), night)
        photos.extend(_burst(event, CAMERAS[place % 2], None, 1, 0, [1]))
        turn += 1
    return photos


def plan_survey(config: SurveyPlan) -> list[PlannedPhoto]:
    """All photos of a survey in the order of their file names: exactly `config.photos`, of them
    round(photos × empty_fraction) empty (all, if there are no individuals). Pure and fast."""
    rng = rng_for("plan", config.seed)
    empty = round(config.photos * config.empty_fraction) if config.individuals else config.photos
    photos = _animal_photos(config, rng, config.photos - empty)
    events = 1 + max((photo.event for photo in photos), default=-1)
    photos += _empty_photos(config, rng, empty, events)
    photos.sort(key=lambda photo: (photo.station, photo.camera, photo.captured_at, photo.event, photo.frame))
    named: list[PlannedPhoto] = []
    for photo in photos:
        before = named[-1] if named else None
        same = before is not None and (before.station, before.camera) == (photo.station, photo.camera)
        number = int(before.file[-8:-4]) + 1 if same and before is not None else 1
        moment = photo.captured_at
        if same and before is not None and moment <= before.captured_at:  # one shutter takes one photo at a time
            moment = before.captured_at + timedelta(seconds=1)
        named.append(replace(photo, file=f"{photo.station}/{photo.camera}/IMG_{number:04d}.JPG", captured_at=moment))
    return named

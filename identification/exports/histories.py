"""Capture histories by flank: who was seen where and when, and who must not be counted. Pure functions.

A left coat cannot be compared with a right one, so an animal known by its left flank only and one known by its right
flank only may be one and the same. Three histories follow: left flanks only, right flanks only, and `linked`. Linked
holds every animal whose two flanks are known to be one, by all its photos, and, of animals known by one flank only,
those of the side that more of them are known by (of equal numbers the left). So nobody is counted twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from .output import LeftOut
from .snapshot import ExportIndividual, Sighting

CONFLICT = "decisions on its group contradict each other"
NO_TIME = "no capture time"
NO_STATION = "no station"
NO_CLOCK = "the camera's clock was probably not set: its day is not known"


class Variant(StrEnum):
    LEFT = "left"
    RIGHT = "right"
    LINKED = "linked"


@dataclass(frozen=True)
class Capture:
    """One individual on one day at one station."""

    individual: ExportIndividual
    station_id: int
    day: date


@dataclass(frozen=True)
class History:
    """Captures of one survey in a fixed order, each once. side: of linked, the flank whose one-sided animals count."""

    variant: Variant
    captures: tuple[Capture, ...]
    left_out: tuple[LeftOut, ...]
    side: str = ""


def usable_sightings(sightings: Iterable[Sighting], survey: str) -> tuple[list[Sighting], list[LeftOut]]:
    """Sightings with a day that can be believed, a station and an undisputed identity, and what is left out."""
    kept, out = [], []
    torn: dict[int, ExportIndividual] = {}
    for row in sightings:
        if row.conflict:
            torn[row.individual.id] = row.individual
        elif row.photo.day is None:
            out.append(LeftOut(row.photo.relative_path, survey, NO_TIME))
        elif row.photo.station_id is None:
            out.append(LeftOut(row.photo.relative_path, survey, NO_STATION))
        elif row.photo.clock_suspect:
            out.append(LeftOut(row.photo.relative_path, survey, NO_CLOCK))
        else:
            kept.append(row)
    # One photo in conflict puts the whole animal in doubt.
    kept = [row for row in kept if row.individual.id not in torn]
    return kept, [*(LeftOut(found.code, survey, CONFLICT) for found in torn.values()), *out]


def history_of(variant: Variant, sightings: Sequence[Sighting], survey: str) -> History:
    """The history of one survey from usable sightings."""
    side = one_sided_side(sightings) if variant == Variant.LINKED else ""
    kept = [row for row in sightings if _counts(row, variant, side)]
    captures = {
        (row.individual.number, row.photo.day, row.photo.station, row.photo.station_id): Capture(
            row.individual, row.photo.station_id, row.photo.day
        )
        for row in kept
        if row.photo.station_id is not None and row.photo.day is not None
    }
    present = {row.individual.id for row in kept}
    absent = {row.individual.id: row.individual for row in sightings if row.individual.id not in present}
    out = tuple(LeftOut(found.code, survey, _why(found, variant, side)) for found in absent.values())
    return History(variant, tuple(captures[key] for key in sorted(captures)), out, side)


def one_sided_side(sightings: Iterable[Sighting]) -> str:
    """The flank by which more of the animals are known that are known by one flank only."""
    animals = {row.individual.id: row.individual for row in sightings}
    known = Counter(next(iter(found.flanks)) for found in animals.values() if len(found.flanks) == 1)
    return Variant.RIGHT if known["right"] > known["left"] else Variant.LEFT


def _counts(row: Sighting, variant: Variant, side: str) -> bool:
    if variant == Variant.LINKED:
        return len(row.individual.flanks) == 2 or row.individual.flanks == {side}
    return row.flank == variant


def _why(found: ExportIndividual, variant: Variant, side: str) -> str:
    if variant == Variant.LINKED:
        if not found.flanks:
            return "linked: neither flank is known"
        return f"linked: known by the {next(iter(found.flanks))} flank only, and could be one of the {side} flanks"
    return f"{variant}: no photo of the {variant} flank here"

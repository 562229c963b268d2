"""What can be asked of an export, and which questions are refused. Pure, apart from the words of refusals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from django.utils.translation import gettext

from ..errors import SpotIDError

MOST_DAYS = 366


class Format(StrEnum):
    """The forms in which a survey or a population leaves SpotID."""

    FOLDERS = "folders"
    CSV = "csv"
    CAMTRAPDP = "camtrapdp"
    SECR = "secr"
    CAMTRAPR = "camtrapr"
    WILDBOOK = "wildbook"
    ENCOUNTERS = "encounters"


class Files(StrEnum):
    """Which photo files travel with a Camtrap DP package and a Wildbook sheet. Folders always hold their own."""

    NONE = "none"
    IDENTIFIED = "identified"
    ALL = "all"


@dataclass(frozen=True)
class ExportOptions:
    """formats, in a fixed order and each once. first, last: days of the survey's time zone, both within.

    occasion_days: length of a sampling occasion. with_places: exact coordinates, GPS in photos, folders of originals.
    """

    formats: tuple[Format, ...] = (Format.FOLDERS,)
    with_places: bool = False
    occasion_days: int = 1
    first: date | None = None
    last: date | None = None
    files: Files = Files.NONE

    def __post_init__(self) -> None:
        if not self.formats:
            raise SpotIDError(gettext("Choose at least one format."))
        if not 1 <= self.occasion_days <= MOST_DAYS:
            raise SpotIDError(gettext("An occasion lasts from 1 to %(most)s days.") % {"most": MOST_DAYS})
        if self.first and self.last and self.last < self.first:
            raise SpotIDError(gettext("The last day comes before the first."))
        if Format.SECR in self.formats and not self.with_places:
            raise SpotIDError(
                gettext(
                    "Files for secr need exact places: distances between generalised coordinates would be wrong, "
                    "and the density with them. Export with places, or leave secr out."
                )
            )

    @property
    def dated(self) -> bool:
        return self.first is not None or self.last is not None

    def within(self, day: date | None) -> bool:
        """Whether a day was asked for; a photo without a date only where no days were chosen."""
        if day is None:
            return not self.dated
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)

    def as_json(self) -> dict[str, Any]:
        return {
            "formats": [str(name) for name in self.formats],
            "with_places": self.with_places,
            "occasion_days": self.occasion_days,
            "first": self.first.isoformat() if self.first else None,
            "last": self.last.isoformat() if self.last else None,
            "files": str(self.files),
        }

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> ExportOptions:
        """The inverse of `as_json`. Raises SpotIDError where something in it cannot be."""
        return cls(
            formats=formats_of(said.get("formats") or ()),
            with_places=bool(said.get("with_places")),
            occasion_days=_whole(said.get("occasion_days"), 1),
            first=day_of(said.get("first")),
            last=day_of(said.get("last")),
            files=_files(said.get("files") or Files.NONE),
        )


def formats_of(names: Iterable[str]) -> tuple[Format, ...]:
    """Formats by name, each once, in the order of `Format`. Raises SpotIDError that lists what there is."""
    wanted = {name.strip().lower() for name in names if name.strip()}
    unknown = wanted - set(Format)
    if unknown:
        raise SpotIDError(
            gettext("There is no format %(unknown)s. There are: %(known)s.")
            % {"unknown": ", ".join(sorted(unknown)), "known": ", ".join(Format)}
        )
    return tuple(name for name in Format if name in wanted)


def day_of(text: str | date | None) -> date | None:
    """A day as YYYY-MM-DD; None for an empty text. Raises SpotIDError for anything else."""
    if not text or isinstance(text, date):
        return text or None
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        raise SpotIDError(gettext("%(text)s is no day. Write it as 2026-03-31.") % {"text": text[:40]}) from None


def _files(name: str) -> Files:
    if name not in set(Files):
        raise SpotIDError(
            gettext("%(name)s: choose one of %(known)s.") % {"name": str(name)[:40], "known": ", ".join(Files)}
        )
    return Files(name)


def _whole(value: object, otherwise: int) -> int:
    if value in (None, ""):
        return otherwise
    try:
        return int(str(value))
    except ValueError:
        raise SpotIDError(gettext("%(text)s is no whole number.") % {"text": str(value)[:40]}) from None

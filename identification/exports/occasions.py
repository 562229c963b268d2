"""Sampling occasions: spans of whole days by which detections and effort are counted. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from django.utils.translation import gettext

from ..errors import SpotIDError

MOST_OCCASIONS = 2000
_DAY = timedelta(days=1)
_LEAST = 0.01


@dataclass(frozen=True)
class Occasions:
    """Consecutive occasions of so many days from the first day on. The last one ends with the last day."""

    first: date
    last: date
    length: int

    @property
    def number(self) -> int:
        return -(-((self.last - self.first).days + 1) // self.length)

    def of(self, day: date) -> int | None:
        """The occasion of a day, counted from 1; None outside."""
        if not self.first <= day <= self.last:
            return None
        return (day - self.first).days // self.length + 1

    def span(self, occasion: int) -> tuple[date, date]:
        """First and last day of an occasion."""
        begin = self.first + (occasion - 1) * self.length * _DAY
        return begin, min(begin + (self.length - 1) * _DAY, self.last)

    def effort(self, days: Mapping[date, float]) -> list[float]:
        """By occasion the sum of the shares of days that fall into it, to a hundredth of a day; minutes of work are no
        nought, which would say that nothing can have been photographed."""
        counted = [0.0] * self.number
        for day, share in days.items():
            occasion = self.of(day)
            if occasion is not None:
                counted[occasion - 1] += share
        return [max(round(share, 2), _LEAST) if share > 0 else 0.0 for share in counted]


def occasions_of(days: Collection[date], *, first: date | None, last: date | None, length: int) -> Occasions | None:
    """Occasions from the chosen first to the chosen last day, where none is chosen from the first and to the last of
    these days; None when there is neither. Raises SpotIDError when there are too many.
    """
    begin, end = first or min(days, default=None), last or max(days, default=None)
    if begin is None or end is None or end < begin:
        return None
    found = Occasions(begin, end, length)
    if found.number > MOST_OCCASIONS:
        raise SpotIDError(
            gettext(
                "From %(first)s to %(last)s there are %(number)s occasions; at most %(most)s can be written. "
                "A camera's clock may not have been set: choose the first and the last day, or longer occasions."
            )
            % {"first": begin, "last": end, "number": found.number, "most": MOST_OCCASIONS}
        )
    return found

"""Days and instants as people and spreadsheets write them. Pure functions.

The order of day and month is one for a whole table and is found from all its cells: `14/05/2009` says day first,
`05/14/2009` month first. Where every cell could be both, nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from .reading import UnusableFile

_PARTS = re.compile(
    r"(?P<a>\d{1,4})\s*[-/. ]\s*(?P<b>\d{1,2}|[^\W\d_]{3,12}\.?)\s*[-/. ,]\s*(?P<c>\d{1,4})"
    r"(?:(?:\s*T\s*|[ ,]+)(?P<h>\d{1,2})[:.h](?P<m>\d{2})(?:[:.](?P<s>\d{2})(?:[.,]\d+)?)?"
    r"\s*(?P<half>[AaPp]\.?[Mm]\.?)?)?",
)
_SERIAL = re.compile(r"\d{5}(?:[.,]\d+)?")
_COMPACT = re.compile(r"(?:19|20)\d{6}")
# Day 0 of Excel's calendar of 1900, which counts a 29 February 1900 that never was.
_EXCEL_ZERO = datetime(1899, 12, 30)
_EARLIEST, _LATEST = 1970, 2100
# The first three letters of months in languages of the field; those that are the same are named once.
_MONTHS = (
    ("jan", "ene", "gen", "янв"),
    ("feb", "fev", "fév", "фев"),
    ("mar", "mär", "mrz", "maa", "мар"),
    ("apr", "abr", "avr", "апр"),
    ("may", "mai", "mag", "mei", "май"),
    ("jun", "giu", "июн"),
    ("jul", "lug", "июл"),
    ("aug", "ago", "aoû", "aou", "авг"),
    ("sep", "set", "сен"),
    ("oct", "okt", "out", "ott", "окт"),
    ("nov", "ноя"),
    ("dec", "dez", "dic", "déc", "des", "дек"),
)
_LONG = {"juin": 6, "juil": 7, "juillet": 7}


@dataclass(frozen=True)
class Order:
    """How a table's days are written: "ymd", "dmy", "mdy". ambiguous: every cell could be day first or month first."""

    order: str
    ambiguous: bool = False

    @property
    def words(self) -> str:
        return {
            "ymd": "Days are read as year, month, day.",
            "dmy": "Days are read as day, month, year.",
            "mdy": "Days are read as month, day, year.",
        }[self.order]


def order_of(cells: Iterable[str]) -> Order:
    """The order of all the cells. Raises UnusableFile when some say day first and others month first."""
    day_first = month_first = either = 0
    for cell in cells:
        match = _PARTS.fullmatch(cell.strip())
        if match is None or len(match["a"]) > 2 or not match["b"].isdigit():
            continue
        one, other = int(match["a"]), int(match["b"])
        day_first += one > 12 >= other
        month_first += other > 12 >= one
        either += one <= 12 and other <= 12 and one != other
    if day_first and month_first:
        raise UnusableFile(
            "mixed_dates", "Some days are written with the day first and others with the month first. Write them alike."
        )
    if day_first or month_first:
        return Order("dmy" if day_first else "mdy")
    return Order("dmy", ambiguous=True) if either else Order("ymd")


def moment_in(cell: str, order: str) -> date:
    """A day, or an instant (datetime without zone) where the cell has a time. Raises ValueError with a reason.

    Read are numbers with -, / or . between them, `20240301`, month names, ISO 8601, times of 12 and 24 hours, and the
    serial numbers by which Excel keeps days. Zones are refused: times are those of the survey.
    """
    text = cell.strip()
    if _SERIAL.fullmatch(text):
        return _of_serial(float(text.replace(",", ".")))
    if _COMPACT.fullmatch(text):
        return _checked(int(text[:4]), int(text[4:6]), int(text[6:]))
    match = _PARTS.fullmatch(text)
    if match is None:
        raise ValueError("no day that can be read")
    day = _day_of(match, order)
    if match["h"] is None:
        return day
    hour = int(match["h"])
    if match["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("no time of day")
        hour = hour % 12 + (12 if match["half"][0] in "Pp" else 0)
    minute, second = int(match["m"]), int(match["s"] or 0)
    if hour > 23 or minute > 59 or second > 59:
        raise ValueError("no time of day")
    return datetime(day.year, day.month, day.day, hour, minute, second)


def _day_of(match: re.Match[str], order: str) -> date:
    first, middle, last = match["a"], match["b"], match["c"]
    if len(first) == 4:
        year, month, day = first, middle, last
    elif order == "mdy" and middle.isdigit():
        month, day, year = first, middle, last
    else:
        day, month, year = first, middle, last
    number = int(month) if month.isdigit() else _month(month)
    whole = int(year) + (2000 if len(year) == 2 and int(year) < 70 else 1900 if len(year) == 2 else 0)
    return _checked(whole, number, int(day))


def _month(name: str) -> int:
    said = name.casefold().rstrip(".")
    if said in _LONG:
        return _LONG[said]
    for number, beginnings in enumerate(_MONTHS, 1):
        if said[:3] in beginnings:
            return number
    raise ValueError("no month")


def _checked(year: int, month: int, day: int) -> date:
    if not _EARLIEST <= year <= _LATEST:
        raise ValueError("a year that cannot be")
    try:
        return date(year, month, day)
    except ValueError:
        raise ValueError("no day of the calendar") from None


def _of_serial(number: float) -> date:
    instant = _EXCEL_ZERO + timedelta(seconds=round(number * 86400))
    if not _EARLIEST <= instant.year <= _LATEST:
        raise ValueError("a year that cannot be")
    return instant.date() if number == int(number) else instant

"""Facts in words for people: probabilities, spans of time, places on a coarse grid. Pure functions."""

from __future__ import annotations

import math
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from django.utils.dateformat import format as date_format
from django.utils.formats import get_format
from django.utils.translation import get_language, gettext, gettext_lazy, ngettext, ngettext_lazy, pgettext

GRID_DEGREES = 0.1
# Widths of cells in degrees that an administrator can choose from. About 5, 10, 25, 50 and 100 km.
PLACE_GRIDS = (0.05, 0.1, 0.25, 0.5, 1.0)
# Heights of the strip at the edge of a photo on which a camera prints, as a share of the photo's height.
PRINT_HEIGHTS = (0.0, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.15, 0.2)

# Copies of pictures for pages: their longest sides in pixels, and of what there are copies. Edge maps and masks have
# none: as they are stored they weigh less than a copy of 480 pixels (`bench screen_sizes`).
SCREEN_SIZES = (240, 480, 960, 1600)
SCREEN_KINDS = ("preview", "crop", "cutout")

# What was noticed when a photo was read (`preprocessing.metadata`, `preprocessing.imageio`, ingest).
_FLAGS = {
    "no_time": gettext_lazy("the file holds no capture time"),
    "bad_time": gettext_lazy("the capture time in the file cannot be read"),
    "clock_suspect": gettext_lazy("the camera's clock was probably not set"),
    "time_from_maker_note": gettext_lazy("the time comes from the camera maker's note"),
    "time_from_modified": gettext_lazy("the time is when the file was last changed"),
    "gps_ignored": gettext_lazy("the coordinates in the file cannot be right and were ignored"),
    "exif_bounded": gettext_lazy("the file's metadata was too long and read only in part"),
    "exif_damaged": gettext_lazy("the file's metadata is damaged"),
    "rotated": gettext_lazy("turned upright"),
    "first_frame": gettext_lazy("only the first picture of the file is shown"),
    "clock_change_gap": gettext_lazy("the clocks skipped this hour when summer time began"),
    "clock_change_twice": gettext_lazy("this hour came twice when summer time ended"),
}

# The words say what the number means and no more; the number is always shown beside them.
_WORDS = (
    (0.95, gettext_lazy("almost surely the same animal")),
    (0.80, gettext_lazy("probably the same animal")),
    (0.60, gettext_lazy("rather the same animal")),
    (0.40, gettext_lazy("could be either")),
    (0.20, gettext_lazy("rather two animals")),
    (0.05, gettext_lazy("probably two animals")),
    (0.00, gettext_lazy("almost surely two animals")),
)


def probability_words(probability: float | None) -> str:
    """What a probability (0…1) says in words; an honest 'not known' for None and NaN."""
    if probability is None or math.isnan(probability):
        return gettext("not known")
    return str(next(words for least, words in _WORDS if probability >= least))


_CATALOGUE_WORDS = (
    (0.95, gettext_lazy("almost surely already in the catalogue")),
    (0.80, gettext_lazy("probably already in the catalogue")),
    (0.60, gettext_lazy("rather already in the catalogue")),
    (0.40, gettext_lazy("could be new or in the catalogue")),
    (0.20, gettext_lazy("rather not in the catalogue yet")),
    (0.05, gettext_lazy("probably not in the catalogue yet")),
    (0.00, gettext_lazy("almost surely not in the catalogue yet")),
)


# The same where the catalogue has no animal yet: only photos can be meant.
_ANOTHER_PHOTO_WORDS = (
    (0.95, gettext_lazy("almost surely on another photo, too")),
    (0.80, gettext_lazy("probably on another photo, too")),
    (0.60, gettext_lazy("rather on another photo, too")),
    (0.40, gettext_lazy("could be on another photo or on this one alone")),
    (0.20, gettext_lazy("rather on no other photo")),
    (0.05, gettext_lazy("probably on no other photo")),
    (0.00, gettext_lazy("almost surely on no other photo")),
)


def catalogue_words(probability: float | None, *, catalogued: bool = True) -> str:
    """Whether the animal of a photo is one of the catalogue, in words and number; '' where nothing says so.

    catalogued: whether the catalogue has any animal.
    """
    if probability is None or math.isnan(probability):
        return ""
    scale = _CATALOGUE_WORDS if catalogued else _ANOTHER_PHOTO_WORDS
    words = str(next(words for least, words in scale if probability >= least))
    return f"{words[0].upper()}{words[1:]} ({percent(probability)})"


# Of a flank: it is taken for this side; it is not, but probably or rather this side.
_ESTIMATES = {
    ("left", "taken"): gettext_lazy("estimated left, %(percent)s"),
    ("right", "taken"): gettext_lazy("estimated right, %(percent)s"),
    ("left", "probably"): gettext_lazy("probably left, %(percent)s"),
    ("right", "probably"): gettext_lazy("probably right, %(percent)s"),
    ("left", "rather"): gettext_lazy("rather left, %(percent)s"),
    ("right", "rather"): gettext_lazy("rather right, %(percent)s"),
}
_EVIDENCE = {
    "model": gettext_lazy("the axis of the body"),
    "walking": gettext_lazy("the walking direction"),
    "matches": gettext_lazy("matches of the coat"),
}


def flank_words(flank: str, by_person: bool, left: float | None) -> str:
    """What the software thinks of a flank; '' where a person has spoken or nothing is known.

    flank: "left", "right" or "unknown"; left: estimated probability (0…1) of the left one.
    """
    if by_person or left is None or math.isnan(left):
        return ""
    side, probability = ("left", left) if left >= 0.5 else ("right", 1 - left)
    if flank != side and probability < 0.6:
        return gettext("estimate: could be either")
    how = "taken" if flank == side else "probably" if probability >= 0.8 else "rather"
    return _ESTIMATES[side, how] % {"percent": percent(probability)}


def flank_reasons(evidence: str) -> str:
    """What an estimate rests on, from the short words in which it is stored; '' for none."""
    return ", ".join(str(_EVIDENCE.get(word, word)) for word in evidence.split(", ") if word)


def percent(fraction: float | None) -> str:
    """A fraction as whole per cent that never claims certainty."""
    if fraction is None or math.isnan(fraction):
        return "–"
    if 0.99 < fraction < 1:
        return ">99 %"
    if 0 < fraction < 0.01:
        return "<1 %"
    return f"{fraction * 100:.0f} %"


def completeness_words(
    share: float, low: float, high: float, goal: float, questions: int | None, answers: int, early: bool
) -> str:
    """How much of the true matches is found (shares 0…1, with an interval), and what is left to the goal."""
    if early:
        return ngettext(
            "Too early to say how much of the true matches is found: %(number)s answer so far.",
            "Too early to say how much of the true matches is found: %(number)s answers so far.",
            answers,
        ) % {"number": answers}
    if share == 1:
        return gettext("Every question is answered; no match is expected to be missing.")
    said = {
        "share": percent(share),
        "span": _span(low, high),
        "goal": decimal(f"{goal * 100:.4g} %"),
        "number": questions,
    }
    if questions == 0:
        words = gettext("About %(share)s of the true matches are found (%(span)s); the goal of %(goal)s is reached.")
    elif questions is None:
        words = gettext(
            "About %(share)s of the true matches are found (%(span)s); "
            "%(goal)s is not expected from the candidates that are stored."
        )
    elif questions >= 2000:
        words = gettext(
            "About %(share)s of the true matches are found (%(span)s); %(number)s questions or more to reach %(goal)s."
        )
    else:
        words = ngettext(
            "About %(share)s of the true matches are found (%(span)s); about %(number)s question to reach %(goal)s.",
            "About %(share)s of the true matches are found (%(span)s); about %(number)s questions to reach %(goal)s.",
            questions,
        )
    return words % said


def _span(low: float, high: float) -> str:
    one, other = percent(low), percent(high)
    return one if one == other else f"{one.removesuffix(' %')}–{other.removeprefix('>')}"


def flag_words(flag: str) -> str:
    """What a flag of a photo says; one that is not known, without its underscores."""
    return str(_FLAGS[flag]) if flag in _FLAGS else flag.replace("_", " ")


def span_words(span: timedelta) -> str:
    """A span of time in its one or two largest sensible units."""
    seconds = abs(int(span.total_seconds()))
    if seconds < 60:
        return _count(seconds, "second")
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if minutes < 60:
        return _count(minutes, "minute")
    if hours < 24:
        rest = minutes % 60
        long = {"hours": hours, "minutes": rest}
        return gettext("%(hours)s h %(minutes)s min") % long if rest else _count(hours, "hour")
    if days < 60:
        return _count(days, "day")
    if days < 730:
        return _count(round(days / 30.44), "month")
    return _count(round(days / 365.25), "year")


_UNITS = {
    "second": ngettext_lazy("%(number)s second", "%(number)s seconds", "number"),
    "minute": ngettext_lazy("%(number)s minute", "%(number)s minutes", "number"),
    "hour": ngettext_lazy("%(number)s hour", "%(number)s hours", "number"),
    "day": ngettext_lazy("%(number)s day", "%(number)s days", "number"),
    "month": ngettext_lazy("%(number)s month", "%(number)s months", "number"),
    "year": ngettext_lazy("%(number)s year", "%(number)s years", "number"),
}


def _count(number: int, unit: str) -> str:
    return _UNITS[unit] % {"number": number}


def photos_words(number: int) -> str:
    return ngettext("%(n)s photo", "%(n)s photos", number) % {"n": number}


def decimal(number: str) -> str:
    """A number in digits, written with a point, as the language writes it."""
    return number.replace(".", get_format("DECIMAL_SEPARATOR"))


# How a day and a time are written (the letters of Django's `date` filter).
_DAY = gettext_lazy("j M Y")
_TIME = gettext_lazy("j M Y, H:i:s")


def local_time(moment: datetime | None, zone: str) -> str:
    """An instant as the clock at the camera showed it; 'time unknown' for None."""
    return _local_time(moment, zone, get_language()) if moment else gettext("time unknown")


@lru_cache(maxsize=4096)
def _local_time(moment: datetime, zone: str, language: str | None) -> str:
    """The same photos are shown again and again, a dozen times on one page, and a time takes as long as a question to
    the database. language: the one that is active."""
    return date_format(moment.astimezone(ZoneInfo(zone)), str(_TIME))


def local_day(moment: datetime, zone: str) -> str:
    return day_words(moment.astimezone(ZoneInfo(zone)))


def day_span(first: datetime | None, last: datetime | None, zone: str) -> str:
    """From which day to which, one day once; '' when no time is known."""
    if first is None or last is None:
        return ""
    days = [local_day(first, zone), local_day(last, zone)]
    return " – ".join(dict.fromkeys(days))


def day_words(day: date) -> str:
    return date_format(day, str(_DAY))


def moment_words(moment: date) -> str:
    """A day, with the time where it has one."""
    if isinstance(moment, datetime):
        return f"{day_words(moment.date())} {date_format(moment, 'H:i')}"
    return day_words(moment)


def gap_words(first: date, last: date, *, to_the_end: bool = False) -> str:
    """Days without a photo, from the first to the last of them; to_the_end: of the survey, with none after."""
    days = _count((last - first).days + 1, "day")
    if to_the_end:
        return gettext("since %(day)s (%(days)s)") % {"day": day_words(first), "days": days}
    return f"{day_words(first)} – {day_words(last)} ({days})"


def grid_cell(latitude: float, longitude: float, grid: float = GRID_DEGREES) -> str:
    """The cell of a fixed grid (degrees) that holds a place. Fixed, so that asking often tells no more than asking
    once."""
    north, south = pgettext("latitude", "N"), pgettext("latitude", "S")
    east, west = pgettext("longitude", "E"), pgettext("longitude", "W")
    return f"{_cell(latitude, grid, north, south)}, {_cell(longitude, grid, east, west)}"


def _cell(degrees: float, grid: float, plus: str, minus: str) -> str:
    low = math.floor(degrees / grid + 1e-9)
    near, far = sorted((abs(low), abs(low + 1)))
    decimals = max(1, len(f"{grid:.4f}".rstrip("0").partition(".")[2]))
    span = decimal(f"{near * grid:.{decimals}f}–{far * grid:.{decimals}f}")
    return f"{span}° {plus if low >= 0 else minus}"


def cell_middle(latitude: float, longitude: float, grid: float) -> tuple[float, float]:
    """The middle, in degrees, of the cell of a fixed grid that holds a place."""
    middles = ((math.floor(degrees / grid + 1e-9) + 0.5) * grid for degrees in (latitude, longitude))
    north, east = (round(middle, 6) for middle in middles)
    return min(90.0, max(-90.0, north)), min(180.0, max(-180.0, east))


def cell_size_words(grid: float, latitude: float | None) -> str:
    """How large a cell is, in kilometres from south to north and, at that latitude, from west to east.

    Of a degree of a sphere of the Earth's mean radius (IUGG). Without a latitude: at the equator, where it is largest.
    """
    tall = grid * math.pi * 6371.0088 / 180
    # The middle of the cell: the exact latitude would tell more than the cell.
    middle = 0.0 if latitude is None else (math.floor(latitude / grid + 1e-9) + 0.5) * grid
    wide = tall * math.cos(math.radians(middle))
    north, east = (decimal(f"{side:.1f}" if side < 10 else f"{side:.0f}") for side in (tall, wide))
    return gettext("%(north)s × %(east)s km") % {"north": north, "east": east}


# In the name of what compared coats, where a learned matcher was asked for and could not be had.
NO_LEARNED_MATCHER = "no learned matcher"


def comparing_note(engine: str) -> str:
    """For people, of what compared coats; "" where nothing is to be said."""
    if NO_LEARNED_MATCHER not in engine:
        return ""
    return gettext(
        "The learned matcher that is asked for could not be had, so RootSIFT compared alone. The worker's log says "
        "why; `python3 spotid.py manage weights list` names its files, where they are and where to put them."
    )


def screen_widths(width: int, height: int) -> list[tuple[int, int]]:
    """(longest side asked for, width in pixels of what then comes) of a picture's copies, the smallest first.

    A size beyond the picture gives the picture's own, and there is only one such.
    """
    longest, widths = max(width, height, 1), []
    for size in SCREEN_SIZES:
        widths.append((size, max(1, round(width * min(1.0, size / longest)))))
        if size >= longest:
            break
    return widths

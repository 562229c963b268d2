"""Facts in words for people: probabilities, spans of time, places on a coarse grid. Pure functions."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

GRID_DEGREES = 0.1

# What was noticed when a photo was read (`preprocessing.metadata`, `preprocessing.imageio`, ingest).
_FLAGS = {
    "no_time": "the file holds no capture time",
    "bad_time": "the capture time in the file cannot be read",
    "clock_suspect": "the camera's clock was probably not set",
    "time_from_maker_note": "the time comes from the camera maker's note",
    "time_from_modified": "the time is when the file was last changed",
    "gps_ignored": "the coordinates in the file cannot be right and were ignored",
    "exif_bounded": "the file's metadata was too long and read only in part",
    "exif_damaged": "the file's metadata is damaged",
    "rotated": "turned upright",
    "first_frame": "only the first picture of the file is shown",
    "clock_change_gap": "the clocks skipped this hour when summer time began",
    "clock_change_twice": "this hour came twice when summer time ended",
}

# The words say what the number means and no more; the number is always shown beside them.
_WORDS = (
    (0.95, "almost surely the same animal"),
    (0.80, "probably the same animal"),
    (0.60, "rather the same animal"),
    (0.40, "could be either"),
    (0.20, "rather two animals"),
    (0.05, "probably two animals"),
    (0.00, "almost surely two animals"),
)


def probability_words(probability: float | None) -> str:
    """What a probability (0…1) says in words; an honest 'not known' for None and NaN."""
    if probability is None or math.isnan(probability):
        return "not known"
    return next(words for least, words in _WORDS if probability >= least)


_EVIDENCE = {"model": "the axis of the body", "walking": "the walking direction", "matches": "matches of the coat"}


def flank_words(flank: str, by_person: bool, left: float | None) -> str:
    """What the software thinks of a flank; '' where a person has spoken or nothing is known.

    flank: "left", "right" or "unknown"; left: estimated probability (0…1) of the left one.
    """
    if by_person or left is None or math.isnan(left):
        return ""
    side, probability = ("left", left) if left >= 0.5 else ("right", 1 - left)
    if flank == side:
        return f"estimated {side}, {percent(probability)}"
    if probability >= 0.6:
        return f"{'probably' if probability >= 0.8 else 'rather'} {side}, {percent(probability)}"
    return "estimate: could be either"


def flank_reasons(evidence: str) -> str:
    """What an estimate rests on, from the short words in which it is stored; '' for none."""
    return ", ".join(_EVIDENCE.get(word, word) for word in evidence.split(", ") if word)


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
        so_far = _count(answers, "answer")
        return f"Too early to say how much of the true matches is found: {so_far} so far."
    if share == 1:
        return "Every question is answered; no match is expected to be missing."
    found = f"About {percent(share)} of the true matches are found ({_span(low, high)})"
    wanted = f"{goal * 100:.4g} %"
    if questions == 0:
        return f"{found}; the goal of {wanted} is reached."
    if questions is None:
        return f"{found}; {wanted} is not expected from the candidates that are stored."
    number = f"{questions} questions or more" if questions >= 2000 else f"about {_count(questions, 'question')}"
    return f"{found}; {number} to reach {wanted}."


def _span(low: float, high: float) -> str:
    one, other = percent(low), percent(high)
    return one if one == other else f"{one.removesuffix(' %')}–{other.removeprefix('>')}"


def flag_words(flag: str) -> str:
    """What a flag of a photo says; one that is not known, without its underscores."""
    return _FLAGS.get(flag) or flag.replace("_", " ")


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
        return f"{hours} h {rest} min" if rest else _count(hours, "hour")
    if days < 60:
        return _count(days, "day")
    if days < 730:
        return _count(round(days / 30.44), "month")
    return _count(round(days / 365.25), "year")


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}" if number == 1 else f"{number} {unit}s"


def local_time(moment: datetime | None, zone: str) -> str:
    """An instant as the clock at the camera showed it; 'time unknown' for None."""
    return moment.astimezone(ZoneInfo(zone)).strftime("%d %b %Y, %H:%M:%S").lstrip("0") if moment else "time unknown"


def local_day(moment: datetime, zone: str) -> str:
    return moment.astimezone(ZoneInfo(zone)).strftime("%d %b %Y").lstrip("0")


def day_span(first: datetime | None, last: datetime | None, zone: str) -> str:
    """From which day to which, one day once; '' when no time is known."""
    if first is None or last is None:
        return ""
    days = [local_day(first, zone), local_day(last, zone)]
    return " – ".join(dict.fromkeys(days))


def grid_cell(latitude: float, longitude: float) -> str:
    """The cell of a fixed 0.1° grid that holds a place. Fixed, so that asking often tells no more than asking once."""
    return f"{_cell(latitude, 'N', 'S')}, {_cell(longitude, 'E', 'W')}"


def _cell(degrees: float, plus: str, minus: str) -> str:
    low = math.floor(degrees / GRID_DEGREES + 1e-9)
    near, far = sorted((abs(low), abs(low + 1)))
    return f"{near * GRID_DEGREES:.1f}–{far * GRID_DEGREES:.1f}° {plus if low >= 0 else minus}"

"""Where the marks of a plot go. Pure functions from figures to numbers that templates write into SVG.

Numbers are strings, so that they never follow the reader's language. Marks live in a picture that is stretched over the
whole width of the plot; texts stand beside it at a percentage of that width, so that they keep their size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from django.utils.dateformat import format as date_format
from django.utils.translation import gettext, ngettext

from ..matching.activity import Activity
from ..matching.effort import Accumulation, Gap
from ..presenting import day_words, decimal, gap_words
from ..selectors.figures import Figures, Shown, StationDays

HEIGHT = 1000
# More days than this are drawn several to a cell.
MOST_CELLS = 366
# Photos of a day up to which a cell has this shade.
SHADES = (3, 10, 30, 100)
SPECIES_DRAWN = 12
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Tick:
    """A label on an axis: at a percentage of the width, or for heights at one of HEIGHT."""

    at: str
    text: str
    anchor: str = "middle"

    @property
    def percent(self) -> str:
        """A height as a percentage from above."""
        return f"{float(self.at) * 100 / HEIGHT:.1f}"


@dataclass(frozen=True)
class Bar:
    """One row of the frequency plot on a logarithmic scale; at and share are percentages."""

    row: Shown
    at: str
    share: str


def frequency(shown: Sequence[Shown], photos: int) -> tuple[list[Bar], list[Tick]]:
    """Rows and the ticks of the scale, which begins at 1 and ends at a power of ten."""
    decades = max(1, math.ceil(math.log10(max([row.photos for row in shown], default=1))))
    ticks = [_edge(100 * k / decades, f"{10**k:,}".replace(",", " ")) for k in range(decades + 1)]
    bars = [
        Bar(row, f"{100 * math.log10(row.photos) / decades:.2f}", share_words(row.photos, photos))
        for row in shown
        if row.photos
    ]
    return bars, ticks


def share_words(part: int, whole: int) -> str:
    """A percentage with two digits that count."""
    share = 100 * part / whole if whole else 0.0
    return decimal(f"{share:.0f} %" if share >= 9.95 else f"{share:.1f} %" if share >= 0.095 else f"{share:.2g} %")


@dataclass(frozen=True)
class DayPlot:
    """Events by hour as bars, and the curve through them. top: the height of the plot, in events an hour."""

    label: str
    events: int
    hourly: tuple[int, ...]
    bars: str
    curve: str
    top: str
    words: str


def day_plot(label: str, activity: Activity) -> DayPlot:
    """Both share one scale: the curve is drawn as expected events per hour."""
    curve = [(minute, density * activity.events) for minute, density in activity.density]
    top = max([*activity.hourly, *(value for _, value in curve)], default=0) or 1
    bars = "".join(
        f"M{hour * 60 + 5} {HEIGHT}V{_height(number, top)}h50V{HEIGHT}z"
        for hour, number in enumerate(activity.hourly)
        if number
    )
    line = " ".join(f"{minute},{_height(value, top)}" for minute, value in curve)
    busiest = max(range(24), key=lambda hour: activity.hourly[hour])
    words = _day_words(label, activity, busiest)
    return DayPlot(label, activity.events, activity.hourly, bars, line, decimal(f"{top:.3g}"), words)


def _day_words(label: str, activity: Activity, busiest: int) -> str:
    said = {"label": label, "events": activity.events, "from": busiest, "to": busiest + 1}
    if activity.peak is None:
        words = ngettext(
            "%(label)s: %(events)s events, most between %(from)s:00 and %(to)s:00.",
            "%(label)s: %(events)s events, most between %(from)s:00 and %(to)s:00.",
            activity.events,
        )
        return words % said
    return gettext(
        "%(label)s: %(events)s events, most between %(from)s:00 and %(to)s:00; the curve is highest at %(peak)s."
    ) % (said | {"peak": f"{activity.peak // 60}:{activity.peak % 60:02d}"})


def day_plots(figures: Figures) -> list[DayPlot]:
    """All animals, then each kind by its number of events."""
    if figures.all_animals is None:
        return []
    kinds = [(row.label, row.activity) for row in figures.shown if row.activity is not None]
    kinds.sort(key=lambda item: -item[1].events)
    several = len(kinds) > 1
    rows = [(gettext("All animals"), figures.all_animals), *kinds] if several else kinds
    return [day_plot(label, activity) for label, activity in rows]


@dataclass(frozen=True)
class Strip:
    """Photos of a station by day. shades: a path for each of the shades; gaps: a path over days without a photo."""

    row: StationDays
    shades: tuple[str, ...]
    gaps: str
    words: str
    silent: str


@dataclass(frozen=True)
class Strips:
    """columns: cells of a strip, of so many days each."""

    rows: list[Strip]
    columns: int
    days: int
    ticks: list[Tick]


def strips(figures: Figures) -> Strips | None:
    """A strip for each station over the days of the survey; None without a photo that has a day."""
    span = figures.span
    if span is None:
        return None
    whole = (span[1] - span[0]).days + 1
    days = -(-whole // MOST_CELLS)
    columns = -(-whole // days)
    rows = [_strip(row, span, days, columns) for row in figures.stations]
    return Strips(rows, columns, days, _month_ticks(span, days * columns))


def _strip(row: StationDays, span: tuple[date, date], days: int, columns: int) -> Strip:
    numbers = [0] * columns
    for day, number in row.days.items():
        numbers[(day - span[0]).days // days] += number
    shades = tuple(_runs(numbers, shade, days) for shade in range(len(SHADES) + 1))
    silences = list(row.gaps)
    if row.working is None and row.span is not None and (span[1] - row.span[1]).days >= 7:
        silences.append(Gap(row.span[1] + _DAY, span[1]))
    gaps = "".join(
        f"M{((gap.first - span[0]).days / days):.3g} .5H{((gap.last - span[0]).days + 1) / days:.4g}"
        for gap in silences
    )
    silent = "; ".join(gap_words(gap.first, gap.last, to_the_end=gap.last == span[1]) for gap in silences)
    said = {"station": row.station.label, "photos": row.photos, "days": len(row.days), "nights": row.nights}
    if silent:
        words = gettext("%(station)s: %(photos)s photos on %(days)s of %(nights)s days; none %(silent)s")
    else:
        words = gettext("%(station)s: %(photos)s photos on %(days)s of %(nights)s days")
    return Strip(row, shades, gaps, words % (said | {"silent": silent}), silent)


def shade_of(number: int, days: int = 1) -> int:
    """The index of the shade for so many photos in so many days; -1 for none."""
    if not number:
        return -1
    return next((index for index, most in enumerate(SHADES) if number <= most * days), len(SHADES))


def _runs(numbers: Sequence[int], shade: int, days: int) -> str:
    """A path over the cells of one shade, neighbours in one stroke."""
    path, start = "", None
    for column, number in enumerate([*numbers, 0]):
        inside = column < len(numbers) and shade_of(number, days) == shade
        if inside and start is None:
            start = column
        elif not inside and start is not None:
            path += f"M{start} 0H{column}V1H{start}z"
            start = None
    return path


def _month_ticks(span: tuple[date, date], days: int) -> list[Tick]:
    """The first of every month, or of every second, third, … where they would crowd; else the first day."""
    months = []
    day = span[0].replace(day=1)
    while day <= span[1]:
        if day >= span[0]:
            months.append(day)
        day = (day + timedelta(days=32)).replace(day=1)
    step = -(-len(months) // 6) or 1
    ticks = [
        Tick(f"{100 * (day - span[0]).days / days:.2f}", date_format(day, gettext("M Y")), "start")
        for day in months[::step]
        if (day - span[0]).days / days < 0.9
    ]
    return ticks if len(ticks) > 1 else [Tick("0", day_words(span[0]), "start"), Tick("100", day_words(span[1]), "end")]


@dataclass(frozen=True)
class AccumulationPlot:
    """Both curves, the ticks of both axes, and rows for a table: (nights, observed, expected)."""

    observed: str
    expected: str
    across: list[Tick]
    up: list[Tick]
    rows: list[tuple[int, int, str]]
    words: str


def accumulation_plot(found: Accumulation) -> AccumulationPlot | None:
    """None where no individual was seen at a known place and time."""
    if not found.individuals:
        return None
    nights, top = max(found.nights, 1), _nice(found.individuals)

    def place(night: float, number: float) -> str:
        return f"{1000 * night / nights:.1f},{_height(number, top)}"

    steps = []
    for before, after in zip(((0, 0), *found.observed), found.observed, strict=False):
        steps += [place(after[0], before[1]), place(after[0], after[1])] if after[1] != before[1] else []
    observed = " ".join([place(0, 0), *steps, place(found.nights, found.individuals)])
    expected = " ".join(place(night, number) for night, number in found.expected)
    words = ngettext(
        "%(individuals)s individuals in %(nights)s station-nights; %(once)s of them on one night only.",
        "%(individuals)s individuals in %(nights)s station-nights; %(once)s of them on one night only.",
        found.individuals,
    ) % {"individuals": found.individuals, "nights": found.nights, "once": found.once}
    return AccumulationPlot(
        observed=observed,
        expected=expected,
        across=[_edge(100 * value / nights, str(value)) for value in (0, *_steps(nights))],
        up=[Tick(_height(value, top), str(value)) for value in _steps(top)],
        rows=_table(found),
        words=words,
    )


def _table(found: Accumulation) -> list[tuple[int, int, str]]:
    rows = []
    for night, number in found.expected[:: max(1, len(found.expected) // 10)]:
        rows.append((night, _observed_at(found, night), decimal(f"{number:.1f}")))
    if rows[-1][0] != found.nights:
        rows.append((found.nights, found.individuals, decimal(f"{found.expected[-1][1]:.1f}")))
    return rows


def _observed_at(found: Accumulation, night: int) -> int:
    return max((number for nights, number in found.observed if nights <= night), default=0)


def _nice(value: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, … times a small whole number that is not below the value."""
    step = _step(value)
    return max(1, step * -(-value // step))


def _step(value: int) -> int:
    """A round distance between two to five lines up to the value."""
    power = 10 ** max(0, len(str(max(value, 1))) - 1)
    return next((s for s in (power // 5, power // 2, power, 2 * power) if s and value <= 5 * s), 2 * power)


def _steps(top: int) -> list[int]:
    return list(range(_step(top), top + 1, _step(top)))


def _height(value: float, top: float) -> str:
    return f"{HEIGHT * (1 - value / top):.0f}"


def _edge(at: float, text: str) -> Tick:
    """A tick whose text does not leave the plot at its two ends."""
    return Tick(f"{at:.2f}", text, "start" if at < 1 else "end" if at > 99 else "middle")


HOURS = [_edge(100 * hour / 24, f"{hour}") for hour in (0, 6, 12, 18, 24)]

"""Where the marks of a plot go."""

from __future__ import annotations

import math
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from identification.matching.activity import activity_of
from identification.matching.effort import Accumulation, gaps_of
from identification.selectors.figures import Shown, StationDays
from identification.views import plots


def _figures(*stations: dict[int, int]) -> Any:
    rows = []
    for index, numbers in enumerate(stations):
        days = {date(2024, 1, 1) + timedelta(days=day): number for day, number in numbers.items()}
        rows.append(StationDays(SimpleNamespace(code=f"ST{index}", label=f"ST{index}"), days, gaps_of(days)))  # type: ignore[arg-type]
    spans = [row.span for row in rows if row.span]
    span = (min(a for a, _ in spans), max(b for _, b in spans)) if spans else None
    return SimpleNamespace(stations=rows, span=span)


def test_without_figures_there_is_no_plot() -> None:
    assert plots.strips(_figures({})) is None
    assert plots.accumulation_plot(Accumulation((), (), 0)) is None
    assert plots.frequency([], 0)[0] == []


def test_frequencies_stand_at_their_logarithm() -> None:
    rows = [Shown("a", True, 1000), Shown("b", True, 50), Shown("c", True, 1)]
    bars, ticks = plots.frequency(rows, 2000)
    assert [tick.text for tick in ticks] == ["1", "10", "100", "1 000"]
    assert [float(bar.at) for bar in bars] == pytest.approx([100, 100 * math.log10(50) / 3, 0], abs=0.01)
    assert [bar.share for bar in bars] == ["50 %", "2.5 %", "0.05 %"]


def test_days_of_one_shade_are_one_stroke() -> None:
    strips = plots.strips(_figures({0: 1, 1: 3, 2: 4, 4: 200, 5: 200}))
    assert strips is not None and strips.columns == 6 and strips.days == 1
    shades = strips.rows[0].shades
    assert shades == ("M0 0H2V1H0z", "M2 0H3V1H2z", "", "", "M4 0H6V1H4z")


def test_silence_to_the_end_is_a_line() -> None:
    strips = plots.strips(_figures({0: 1}, {0: 1, 9: 1}))
    assert strips is not None
    assert strips.rows[0].gaps == "M1 .5H10" and strips.rows[0].silent == "since 2 Jan 2024 (9 days)"
    assert strips.rows[1].gaps == "M1 .5H9" and "2 Jan 2024 – 9 Jan 2024 (8 days)" in strips.rows[1].words


def test_years_are_drawn_several_days_to_a_cell() -> None:
    strips = plots.strips(_figures({0: 5, 1: 5, 2: 5, 1000: 1}))
    assert strips is not None and strips.days == 3 and strips.columns == 334
    # Fifteen photos of three days have the shade of five a day.
    assert strips.rows[0].shades[1] == "M0 0H1V1H0z"


def test_bars_and_curve_share_one_scale() -> None:
    day = plots.day_plot("Axis axis", activity_of({8 * 60: 30, 20 * 60: 10}))
    points = [tuple(map(float, point.split(","))) for point in day.curve.split()]
    area = sum((1000 - y) / 1000 * float(day.top) for _, y in points[:-1]) / 4
    assert area == pytest.approx(40, rel=0.03)
    assert day.words.startswith("Axis axis: 40 events, most between 8:00 and 9:00; the curve is highest at 8:00")
    assert (points[0][0], points[-1][0]) == (0, 1440)


def test_the_curve_of_individuals_goes_in_steps_to_the_last_night() -> None:
    found = Accumulation(((0, 0), (10, 1), (20, 1), (30, 3)), ((0, 0.0), (15, 2.0), (30, 3.0)), 1)
    plot = plots.accumulation_plot(found)
    assert plot is not None
    assert plot.observed.split()[0] == "0.0,1000" and plot.observed.split()[-1] == "1000.0,0"
    assert plot.expected.split()[1] == "500.0,333"
    assert plot.rows == [(0, 0, "0.0"), (15, 1, "2.0"), (30, 3, "3.0")]


@pytest.mark.parametrize("number", [1, 2, 3, 7, 9, 12, 55, 101, 866, 7185])
def test_scales_are_round_and_hold_the_highest_value(number: int) -> None:
    top, steps = plots._nice(number), plots._steps(plots._nice(number))
    assert number <= top < 2 * number + 1
    assert 1 <= len(steps) <= 6 and steps[-1] <= top

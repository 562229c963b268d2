"""Charts as inline SVG. Drawn 360 wide, so that their text stays readable on a telephone; colours come by class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ..bootstrap import Figure

SERIES = 8
# Lines are told apart without colour, too.
_DASHES = ("", "7 3", "2 2", "9 3 2 3", "12 4", "4 4", "1 3", "6 2 2 2")
WIDTH, HEIGHT = 360, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 14, 12, 38


@dataclass(frozen=True)
class Line:
    """Points (x, y) of a series; low and high: its interval at the same x."""

    name: str
    series: int
    points: Sequence[tuple[float, float]]
    low: Sequence[float] = ()
    high: Sequence[float] = ()


class _Frame:
    """A plot area with its scales."""

    def __init__(self, x_range: tuple[float, float], y_range: tuple[float, float]) -> None:
        self.x_range, self.y_range = x_range, y_range

    def x(self, value: float) -> float:
        low, high = self.x_range
        return _LEFT + (value - low) / ((high - low) or 1) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return HEIGHT - _BOTTOM - (value - low) / ((high - low) or 1) * (HEIGHT - _TOP - _BOTTOM)

    def path(self, points: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{'L' if i else 'M'}{self.x(x):.1f} {self.y(y):.1f}" for i, (x, y) in enumerate(points))

    def axes(self, x_ticks: Sequence[float], y_ticks: Sequence[float], x_name: str, y_percent: bool = False) -> str:
        parts = []
        for tick in y_ticks:
            y = self.y(tick)
            label = f"{tick:.0%}" if y_percent else f"{tick:g}"
            parts.append(f'<path class="gridline" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
            parts.append(f'<text class="quiet end" x="{_LEFT - 6}" y="{y + 4:.1f}">{label}</text>')
        for tick in x_ticks:
            parts.append(f'<text class="quiet mid" x="{self.x(tick):.1f}" y="{HEIGHT - _BOTTOM + 16}">{tick:g}</text>')
        parts.append(f'<path class="axis" d="M{_LEFT} {HEIGHT - _BOTTOM}H{WIDTH - _RIGHT}"/>')
        middle = (_LEFT + WIDTH - _RIGHT) / 2
        parts.append(f'<text class="quiet mid" x="{middle}" y="{HEIGHT - 4}">{escape(x_name)}</text>')
        return "".join(parts)


def _svg(label: str, body: str, height: float = HEIGHT, extra: str = "") -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(label)}"{extra}>'
        f"<title>{escape(label)}</title>{body}</svg>"
    )


def _line(frame: _Frame, line: Line) -> str:
    drawn = ""
    if line.low and not any(math.isnan(v) for v in (*line.low, *line.high)):
        xs = [x for x, _ in line.points]
        around = [*zip(xs, line.high, strict=True), *zip(reversed(xs), reversed(list(line.low)), strict=True)]
        drawn += f'<path class="band f{line.series % SERIES}" d="{frame.path(around)}Z"/>'
    dash = _DASHES[line.series % SERIES]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return drawn + f'<path class="line s{line.series % SERIES}"{dashed} d="{frame.path(line.points)}"/>'


def curves(
    label: str,
    lines: Sequence[Line],
    *,
    x_ticks: Sequence[float],
    x_name: str,
    chance: Sequence[tuple[float, float]] = (),
) -> str:
    """Lines over 0…1 with their intervals as bands; chance as a dotted line."""
    lines = [line for line in lines if line.points and not any(math.isnan(y) for _, y in line.points)]
    frame = _Frame((min(x_ticks), max(x_ticks)), (0, 1))
    body = frame.axes(x_ticks, (0, 0.25, 0.5, 0.75, 1), x_name)
    if chance:
        body += f'<path class="chance" d="{frame.path(chance)}"/>'
    # The first series is what the report is about: it is drawn last, on top.
    return _svg(label, body + "".join(_line(frame, line) for line in reversed(lines)))


def histogram(label: str, same: Sequence[float], different: Sequence[float], step: float) -> str:
    """Shares of same and different pairs per angle, as filled steps (same) and as a dashed outline (different)."""
    filled = [i for i, pair in enumerate(zip(same, different, strict=True)) if max(pair) > 0]
    first, last = (min(filled), max(filled) + 1) if filled else (0, len(same))
    low, high = 15 * math.floor(first * step / 15), 15 * math.ceil(last * step / 15)
    top = max([*same, *different, 0.01])
    y_step = next((s for s in (0.02, 0.05, 0.1, 0.2, 0.25, 0.5) if top / s <= 4), 1.0)
    frame = _Frame((low, high), (0, y_step * math.ceil(top / y_step)))
    y_ticks = [y_step * i for i in range(math.ceil(top / y_step) + 1)]
    every = 15 if high - low <= 105 else 30
    x_ticks = [tick for tick in range(low, high + 1, 15) if tick % every == 0]
    body = frame.axes(x_ticks, y_ticks, "angle in degrees", y_percent=True)
    for shares, series, kind in ((same, 0, "band"), (different, 1, "")):
        steps: list[tuple[float, float]] = [(first * step, 0.0)]
        for i in range(first, last):
            steps += [(i * step, shares[i]), ((i + 1) * step, shares[i])]
        steps.append((last * step, 0.0))
        if kind:
            body += f'<path class="band f{series}" d="{frame.path(steps)}Z"/>'
        body += _line(frame, Line("", series, steps))
    return _svg(label, body)


def intervals(
    label: str,
    rows: Sequence[tuple[str, int, Figure]],
    *,
    low: float,
    high: float,
    mark: float,
    signed: bool = False,
) -> str:
    """One row per figure: name, dot with its interval, the numbers; `mark`: a dotted line (chance, or no change)."""
    height, left, right = 42 * len(rows) + 22, 10, 180 if signed else 205

    def x(value: float) -> float:
        return left + (min(max(value, low), high) - low) / ((high - low) or 1) * (right - left)

    def spoken(value: float) -> str:
        return f"{value:+.3f}" if signed else f"{value:.3f}"

    body = ""
    for index, (name, series, figure) in enumerate(rows):
        y = 42 * index + 30
        body += f'<text x="{left}" y="{y - 14}">{escape(_short(name, 50))}</text>'
        body += f'<path class="gridline" d="M{left} {y}H{right}"/>'
        if not math.isnan(mark):
            body += f'<path class="chance" d="M{x(mark):.1f} {y - 9}v18"/>'
        if math.isnan(figure.value):
            body += f'<text class="quiet end" x="{WIDTH - 4}" y="{y + 4}">none</text>'
            continue
        numbers = spoken(figure.value)
        if not math.isnan(figure.low):
            body += f'<path class="line s{series % SERIES}" d="M{x(figure.low):.1f} {y}H{x(figure.high):.1f}"/>'
            numbers += f" [{spoken(figure.low)}, {spoken(figure.high)}]"
        body += marker(series, series, x(figure.value), y, 5)
        body += f'<text class="end" x="{WIDTH - 4}" y="{y + 4}">{numbers}</text>'
    for tick in (low, (low + high) / 2, high):
        anchor = "" if tick == low else " end" if tick == high else " mid"
        body += f'<text class="quiet{anchor}" x="{x(tick):.1f}" y="{height - 6}">{tick:g}</text>'
    return _svg(label, body, height)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def marker(colour: int, shape: int, x: float, y: float, size: float, title: str = "") -> str:
    """One of six shapes in one of eight colours."""
    s, t = size, 0.7 * size
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{s:.1f}"',
        f'<path d="M{x - s:.1f} {y - s:.1f}h{2 * s:.1f}v{2 * s:.1f}h{-2 * s:.1f}Z"',
        f'<path d="M{x:.1f} {y - 1.2 * s:.1f}l{1.1 * s:.1f} {2 * s:.1f}h{-2.2 * s:.1f}Z"',
        f'<path d="M{x:.1f} {y - 1.3 * s:.1f}l{1.3 * s:.1f} {1.3 * s:.1f}l{-1.3 * s:.1f} {1.3 * s:.1f}'
        f'l{-1.3 * s:.1f} {-1.3 * s:.1f}Z"',
        f'<path d="M{x:.1f} {y + 1.2 * s:.1f}l{1.1 * s:.1f} {-2 * s:.1f}h{-2.2 * s:.1f}Z"',
        f'<path d="M{x - s / 2:.1f} {y - 1.2 * s:.1f}h{s:.1f}v{t:.1f}h{t:.1f}v{s:.1f}h{-t:.1f}v{t:.1f}h{-s:.1f}'
        f'v{-t:.1f}h{-t:.1f}v{-s:.1f}h{t:.1f}Z"',
    )
    inside = f"><title>{escape(title)}</title></{shapes[shape % 6][1:].split(' ', 1)[0]}>" if title else "/>"
    return f'{shapes[shape % 6]} class="f{colour % SERIES} halo"{inside}'


SHAPES = 6


def key(series: int) -> str:
    """A short line with the look of a series, for legends."""
    dash = _DASHES[series % SERIES]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return (
        f'<svg viewBox="0 0 26 14" aria-hidden="true"><path class="line s{series % SERIES}"{dashed} d="M0 7H26"/>'
        f"{marker(series, series, 13, 7, 4)}</svg>"
    )


def dot(colour: int, shape: int) -> str:
    """A marker alone, for the legend of a map."""
    return f'<svg viewBox="0 0 26 14" aria-hidden="true">{marker(colour, shape, 13, 7, 5)}</svg>'

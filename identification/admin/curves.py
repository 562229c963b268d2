"""Curves of a training as small pictures, drawn without any script."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext

WIDTH, HEIGHT = 460, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 12, 34, 34


def curve(
    rows: Sequence[dict[str, Any]], key: str, *, title: str, epochs: int, top: float | None = None
) -> SafeString | str:
    """A line over epochs of the values that the rows have under a key; empty where there is none.

    top: the end of the scale, which begins at 0; None ends it at the highest value.
    """
    points = [(int(row["epoch"]), float(row[key])) for row in rows if _is_number(row.get(key))]
    if not points:
        return ""
    highest = top if top is not None else max(max(value for _, value in points), 1e-9)
    last = max(epochs, points[-1][0], 1)

    def place(epoch: float, value: float) -> tuple[float, float]:
        x = _LEFT + (WIDTH - _LEFT - _RIGHT) * epoch / last
        y = _TOP + (HEIGHT - _TOP - _BOTTOM) * (1 - min(max(value, 0.0), highest) / highest)
        return round(x, 1), round(y, 1)

    line = " ".join(f"{x},{y}" for x, y in (place(*point) for point in points))
    dots = [place(*point) for point in points] if len(points) <= 60 else [place(*points[-1])]
    said = gettext("%(title)s: %(value)s after epoch %(epoch)s of %(epochs)s.") % {
        "title": title,
        "value": f"{points[-1][1]:.3g}",
        "epoch": points[-1][0],
        "epochs": epochs,
    }
    return format_html(
        '<svg class="spotid-curve" viewBox="0 0 {} {}" role="img" aria-label="{}">{}{}'
        '<polyline points="{}"/>{}<text x="{}" y="{}" text-anchor="end">epoch {}</text>'
        '<text x="{}" y="{}">0</text></svg>',
        WIDTH,
        HEIGHT,
        said,
        _grid(highest, place, last),
        format_html('<text class="spotid-title" x="{}" y="20">{}</text>', 14, title),
        line,
        format_html_join("", '<circle cx="{}" cy="{}" r="2.5"/>', dots),
        WIDTH - _RIGHT,
        HEIGHT - 12,
        last,
        _LEFT,
        HEIGHT - 12,
    )


def _grid(highest: float, place: Any, last: int) -> SafeString:
    """Lines at four heights, with their values."""
    rows = []
    for quarter in range(5):
        value = highest * quarter / 4
        (x1, y), (x2, _) = place(0, value), place(last, value)
        rows.append((x1, x2, y, y, x1 - 6, y + 4, f"{value:.2g}"))
    return format_html_join(
        "",
        '<line x1="{}" x2="{}" y1="{}" y2="{}"/><text x="{}" y="{}" text-anchor="end">{}</text>',
        rows,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

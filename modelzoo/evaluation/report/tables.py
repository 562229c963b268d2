"""The tables of a report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from ..bootstrap import Figure
from ..evaluate import VARIANT_NAMES, VARIANTS, EvaluationReport, Variant
from ..shortcuts import Shortcuts
from ..table import FIGURES, Table
from .words import SHORT


def tables(reports: Mapping[str, EvaluationReport]) -> str:
    return "".join(_table(variant, reports) for variant in VARIANTS)


def _table(variant: Variant, reports: Mapping[str, EvaluationReport]) -> str:
    name = VARIANT_NAMES[variant].capitalize()
    subject = next(iter(reports.values()))[variant]
    shown = {key: report[variant] for key, report in reports.items() if report[variant].known}
    missing = {key: report[variant].reason for key, report in reports.items() if not report[variant].known}
    if not shown:
        reason = next(iter(missing.values()))
        return f'<section class="box"><h3>{escape(name)}</h3><p>Unknown. {escape(reason)}</p></section>'
    first = next(iter(shown.values()))
    said = f"{first.queries} queries of {first.individuals} animals among {first.photos} photos. {first.reason}"
    if missing:
        said += " Unknown for " + "; ".join(f"{key}: {reason}" for key, reason in missing.items())
    body = "".join(
        _row(*SHORT[figure], [table[figure] for table in shown.values()], subject.chance.get(figure), figure)
        for figure in FIGURES
        if any(not math.isnan(table[figure].value) for table in shown.values())
    )
    columns = "".join(f'<th scope="col">{escape(key)}</th>' for key in shown)
    head = f'<thead><tr><th scope="col">Figure</th>{columns}<th scope="col">chance</th></tr></thead>'
    return (
        f'<section class="box"><h3>{escape(name)}</h3><p class="note">{escape(said)}</p>{_scrolling(name)}{head}'
        f"<tbody>{body}</tbody></table></div>{_ranks(shown)}</section>"
    )


def _scrolling(label: str) -> str:
    """A table that scrolls within itself on a narrow screen, by keyboard too."""
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table>'


def _row(name: str, hint: str, figures: Sequence[Figure], chance: float | None, figure: str) -> str:
    digits = 1 if figure.endswith("angle") else 3
    cells = "".join(f"<td>{_cell(value, digits)}</td>" for value in figures)
    by_chance = "–" if chance is None or math.isnan(chance) else f"{chance:.{digits}f}"
    hinted = f"<small>{escape(hint)}</small>" if hint else ""
    return f'<tr><th scope="row">{escape(name)}{hinted}</th>{cells}<td>{by_chance}</td></tr>'


def _cell(figure: Figure, digits: int = 3) -> str:
    if math.isnan(figure.value):
        return "–"
    if math.isnan(figure.low):
        return f"{figure.value:.{digits}f}"
    return f"{figure.value:.{digits}f}<small>{figure.low:.{digits}f} to {figure.high:.{digits}f}</small>"


def _ranks(shown: Mapping[str, Table]) -> str:
    columns = "".join(f'<th scope="col">{escape(key)}</th>' for key in shown)
    rows = []
    for kind, name in (("tkrmd", "T{}RMD"), ("dtkap", "DT{}AP")):
        for k in range(1, 11):
            figures = [getattr(table, kind)[k - 1] for table in shown.values()]
            cells = "".join(f"<td>{_cell(value)}</td>" for value in figures)
            rows.append(f'<tr><th scope="row">{name.format(k)}</th>{cells}</tr>')
    return (
        f"<details><summary>All ranks: TkRMD and DTkAP for k = 1 to 10</summary>{_scrolling('All ranks')}<thead><tr>"
        f'<th scope="col">Figure</th>{columns}</tr></thead><tbody>{"".join(rows)}</tbody></table></div></details>'
    )


def shortcuts(found: Shortcuts) -> str:
    said = "".join(f"<p>{escape(text)}</p>" for text in found.sentences())
    rows = []
    asked: tuple[Variant, ...] = (("all", "as_seen"), ("other_events", "as_seen"))
    for variant in asked:
        for name, report in (
            ("coats as seen", found.plain),
            ("query mirrored", found.mirrored),
            ("animals painted over", found.background),
        ):
            if report is not None and report[variant].known:
                table = report[variant]
                hint = VARIANT_NAMES[variant].split(",")[0]
                rows.append(_row(name, hint, [table["t1"], table["dt5ap"]], table.chance.get("dt5ap"), "dt5ap"))
    return (
        f'<div class="box">{said}{_scrolling("Shortcut tests")}<thead><tr><th scope="col">Asked with</th>'
        '<th scope="col">T1RMD</th><th scope="col">DT5AP</th><th scope="col">chance of DT5AP</th></tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div></div>"
    )

"""What is shown of a model: its card in words, and the figures of its evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..models import EmbeddingModel

_FIGURES = (("dt5ap", "DT5AP"), ("t1", "T1RMD"), ("map", "mAP"), ("auroc", "AUROC of new animals"))
# The strictest first: photos of other events only, heads turned one way.
_TABLES = (
    ("other_events", "normalised"),
    ("other_events", "as_seen"),
    ("all", "normalised"),
    ("all", "as_seen"),
)
_MOST = 40
_MEASURES = {"dt5ap": "DT5AP", "t1": "T1", "t5": "T5", "map": "mAP", "auroc": "AUROC of new animals"}
_KINDS = {
    "coatnet": "network",
    "spotid-original": "network of the original SpotID",
    "rootsift-vlad": "RootSIFT-VLAD, no network",
}


@dataclass(frozen=True)
class FigureRow:
    """One scorer in the strictest table that was measured."""

    name: str
    cells: tuple[str, ...]
    photos: int
    animals: int


def figure_names() -> list[str]:
    return [title for _, title in _FIGURES]


def figure_rows(evaluation: Mapping[str, Any]) -> list[FigureRow]:
    """The figures of an evaluation by scorer; none where it has another form."""
    rows = []
    figures = evaluation.get("figures")
    for name, report in figures.items() if isinstance(figures, Mapping) else ():
        table = strictest(report.get("tables", {})) if isinstance(report, Mapping) else None
        if table is not None:
            cells = tuple(_cell(table["figures"].get(key)) for key, _ in _FIGURES)
            rows.append(FigureRow(str(name), cells, table.get("photos", 0), table.get("individuals", 0)))
    return rows


def strictest(tables: Any) -> Mapping[str, Any] | None:
    """The table of the strictest variant that was measured; cards come from elsewhere and may hold anything."""
    for events, heading in _TABLES:
        table: Any = tables
        for key in (events, heading):
            table = table.get(key) if isinstance(table, Mapping) else None
        if isinstance(table, Mapping) and isinstance(table.get("figures"), Mapping) and table.get("queries"):
            return dict(table)
    return None


def _cell(figure: Any) -> str:
    value = figure.get("value") if isinstance(figure, Mapping) else figure
    if not isinstance(value, int | float):
        return "–"
    low, high = (figure.get(name) for name in ("low", "high")) if isinstance(figure, Mapping) else (None, None)
    return f"{value:.2f}" if low is None or high is None else f"{value:.2f} ({low:.2f}–{high:.2f})"


def headline(evaluation: Mapping[str, Any]) -> str:
    """One line for the list of models."""
    rows = figure_rows(evaluation)
    own = next((row for row in rows if row.name in ("newly trained", "new", "candidate", "model", "embedding")), None)
    if own is not None or len(rows) == 1:
        row = own or rows[0]
        return ", ".join(f"{title} {cell}" for (_, title), cell in zip(_FIGURES[:2], row.cells, strict=False))
    found = [f"{name} {value}" for name, value in plain_figures(evaluation) if _is_main(name)]
    return ", ".join(found[:2]) or "–"


def _is_main(name: str) -> bool:
    return name.rsplit(" · ", 1)[-1].casefold().replace("_", "") in ("dt5ap", "t1", "t1rmd", "dtkap")


def plain_figures(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Figures and texts of an evaluation of any other form, each with the path to it; at most a page of them."""
    return list(_leaves(values, before))[:_MOST]


def _path(before: str, key: str) -> str:
    """The way to a figure in words: measures as they are written elsewhere, without the key that only groups tables."""
    said = "" if key == "tables" else _MEASURES.get(key, key)
    return " · ".join(part for part in (before, said) if part)


def _leaves(values: Mapping[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        name = _path(before, str(key))
        if isinstance(value, Mapping) and "value" in value:
            yield name, _cell(value)
        elif isinstance(value, Mapping):
            yield from _leaves(value, name)
        elif isinstance(value, bool | str):
            yield name, {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else value[:300]
        elif isinstance(value, int):
            yield name, str(value)
        elif isinstance(value, float):
            yield name, f"{value:.3f}"


def facts(model: EmbeddingModel) -> list[tuple[str, str]]:
    """What the card says, in words."""
    config, card = model.config, model.card
    size = f"{config['width']} × {config['height']} pixels" if "width" in config and "height" in config else ""
    found = [
        ("Kind", _KINDS.get(config.get("kind", "coatnet"), str(config.get("kind")))),
        ("Architecture", model.architecture),
        ("Input", ", ".join(part for part in (size, str(config.get("pipeline", ""))) if part)),
        ("Mean, standard deviation", _spread(config)),
        ("Dimensions", str(model.dimension)),
        ("Trained", "yes" if model.trained else "no: its vectors do not count in matching"),
        ("Trained from", str(model.parent) if model.parent else str(card.get("parent", ""))),
        ("Training data", str(card.get("training_data", ""))),
        ("Licence", model.licence),
        ("Source", str(card.get("source", ""))),
        ("Notes", str(card.get("notes", ""))),
        ("File", model.weights_file),
        ("SHA-256", model.checksum),
    ]
    return [(name, text) for name, text in found if text]


def _spread(config: Mapping[str, Any]) -> str:
    mean, std = config.get("mean"), config.get("std")
    if not mean or not std:
        return ""
    return f"{', '.join(f'{v:g}' for v in mean)}; {', '.join(f'{v:g}' for v in std)}"

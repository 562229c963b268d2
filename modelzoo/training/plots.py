"""Pictures of a run: loss, DTkAP and angles by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

CURVES: dict[str, tuple[str, dict[str, str]]] = {
    "loss": ("loss per photo", {"loss": "training photos"}),
    "dtkap": ("share", {"dtkap": "DT5AP, validation", "t1": "first hit right, validation"}),
    "angles": (
        "degrees",
        {
            "angle_same": "same flank, validation",
            "angle_different": "different flanks, validation",
            "train_angle_same": "same flank, training",
            "train_angle_different": "different flanks, training",
            "train_angle_prototype": "to the own prototype, training",
        },
    ),
}


def write_plots(folder: Path, history: Sequence[Mapping[str, Any]]) -> list[Path]:
    """loss.png, dtkap.png and angles.png in the folder; a curve without any value is left out."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (unit, curves) in CURVES.items():
        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.add_subplot(xlabel="epoch", ylabel=unit)
        for key, label in curves.items():
            points = [(row["epoch"], row[key]) for row in history if row.get(key) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=label)
        if axes.lines:
            axes.legend()
        axes.grid(alpha=0.3)
        path = folder / f"{name}.png"
        partial = path.with_name(f".{path.name}")
        FigureCanvasAgg(figure).print_png(str(partial))
        partial.replace(path)
        paths.append(path)
    return paths

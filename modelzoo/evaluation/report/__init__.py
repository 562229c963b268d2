"""An evaluation as one HTML file that needs nothing else: no scripts, charts as SVG, pictures inside.

It shows photos of animals and the names of their files: keep it where the photos are kept, never in public.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from numpy.typing import ArrayLike

from ..comparison import Comparison
from ..evaluate import EvaluationReport, Variant
from ..shortcuts import Shortcuts
from . import sections, tables
from .pictures import Loader, embedding_map, load_crop
from .style import CSS, REPORT_CSP

__all__ = ["REPORT_CSP", "Loader", "load_crop", "render_report", "write_report"]


def write_report(
    path: Path,
    title: str,
    reports: Mapping[str, EvaluationReport],
    *,
    about: Mapping[str, str] | None = None,
    vectors: ArrayLike | None = None,
    loader: Loader = load_crop,
    shortcuts: Shortcuts | None = None,
    comparison: Comparison | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Writes the report beside the path and renames it into place, readable by its owner only. See `render_report`."""
    page = render_report(
        title,
        reports,
        about=about,
        vectors=vectors,
        loader=loader,
        shortcuts=shortcuts,
        comparison=comparison,
        notes=notes,
    )
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(page)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def render_report(
    title: str,
    reports: Mapping[str, EvaluationReport],
    *,
    about: Mapping[str, str] | None = None,
    vectors: ArrayLike | None = None,
    loader: Loader = load_crop,
    shortcuts: Shortcuts | None = None,
    comparison: Comparison | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The page. The first report is its subject; the others stand beside it (old model, untrained network, …).

    about: rows for people, what was measured on what. vectors: n×d of the photos, for the map. loader: a photo's
    picture. comparison: old against new, with its advice. Raises ValueError without any report.
    """
    if not reports:
        raise ValueError("a report needs something that was evaluated")
    subject = next(iter(reports.values()))
    name = next(iter(reports))
    parts = [f"<h1>{escape(title)}</h1>", *(f'<p class="lead">{escape(note)}</p>' for note in notes)]
    if comparison is not None:
        parts.append(sections.verdict(comparison))
    parts += [
        "<h2>What was measured</h2>",
        sections.facts(about or {}, subject),
        "<h2>At a glance: DT5AP</h2>",
        sections.overview(reports),
        '<p class="note">Bars are 95 % intervals; the dotted line is chance.</p>',
        "<h2>Figures</h2>",
        tables.tables(reports),
        "<h2>Curves</h2>",
        *(sections.curves(reports, variant) for variant in _drawn(subject)),
    ]
    if shortcuts is not None:
        parts += ["<h2>Shortcuts: what else the vectors may go by</h2>", tables.shortcuts(shortcuts)]
    parts += [f"<h2>Hardest pairs of {escape(name)}</h2>", sections.pairs(subject, loader)]
    if vectors is not None:
        drawing, how = embedding_map(vectors, subject.photos, seed=subject.seed)
        parts += [
            "<h2>Map of the embedding space</h2>",
            f'<div class="box">{drawing}<p class="note">{escape(how)}</p></div>',
        ]
    parts += ["<h2>What the words mean</h2>", sections.terms()]
    return _page(title, "\n".join(part for part in parts if part))


def _drawn(subject: EvaluationReport) -> list[Variant]:
    """The strictest variant, and all photos as seen where that is another one."""
    honest = subject.honest_variant()
    return [honest] if honest == ("all", "as_seen") else [honest, ("all", "as_seen")]


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(REPORT_CSP)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n<meta name="robots" content="noindex">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n{body}\n"
        "<footer>Evaluated by SpotID. This page holds photos and file names: keep it as you keep the photos.</footer>\n"
        "</main>\n</body>\n</html>\n"
    )

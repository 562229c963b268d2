"""The parts of a report, each a piece of HTML. Everything that comes from outside is escaped here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from ..comparison import Comparison
from ..evaluate import HONEST_FIRST, VARIANT_NAMES, EvaluationReport, Variant
from ..pairs import TITLES, Pair
from ..photos import EvaluationPhoto
from ..table import Table
from . import charts
from .pictures import Loader, thumbnail
from .words import TERMS

Reports = Mapping[str, EvaluationReport]


def facts(about: Mapping[str, str], subject: EvaluationReport) -> str:
    photos = subject.photos
    counts: dict[str, int] = {}
    for photo in filter(lambda photo: photo.labelled, photos):
        counts[photo.identity] = counts.get(photo.identity, 0) + 1
    lone = sum(count == 1 for count in counts.values())
    events = sum(photo.event is not None for photo in photos)
    flanks = [f"{sum(p.flank == side for p in photos)} {side}" for side in ("left", "right", "unknown")]
    queries = subject["all", "as_seen"].queries
    rows = dict(about) | {
        "Photos": f"{len(photos)} of {subject.identities} identities ({subject.individuals} animals); {queries} ask, "
        f"{lone} identities have one photo only",
        "Flanks": ", ".join(flanks),
        "Events": f"known of {events} of {len(photos)} photos" if events else "not known",
        "Intervals": f"95 %, {subject.resamples} draws of the animals, seed {subject.seed}"
        if subject.resamples
        else "none: they need at least two animals",
    }
    items = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in rows.items())
    return f'<dl class="box facts">{items}</dl>'


def verdict(comparison: Comparison) -> str:
    kind = {"activate": " good", "do not activate": " bad"}.get(comparison.advice, "")
    head, _, rest = comparison.sentence.partition(": ")
    rest = rest[:1].upper() + rest[1:]
    rows = [(VARIANT_NAMES[v], index, f) for index, (v, f) in enumerate(comparison.differences.items())]
    reach = max([0.05, *(abs(x) for _, _, f in rows for x in (f.value, f.low, f.high) if not math.isnan(x))])
    reach = math.ceil(reach * 20) / 20
    chart = charts.intervals(
        "Change in DT5AP from the old to the new model", rows, low=-reach, high=reach, mark=0.0, signed=True
    )
    return f'<div class="box verdict{kind}" role="note"><strong>{escape(head)}</strong><p>{escape(rest)}</p></div>' + (
        f'<div class="box"><h3>Change in DT5AP, new minus old</h3>{chart}'
        '<p class="note">The same photos under both models; dotted: no change.</p></div>'
        if rows
        else ""
    )


def overview(reports: Reports) -> str:
    """DT5AP of all scorers in every variant of which something is known."""
    cards = []
    for variant in HONEST_FIRST:
        rows = [
            (name, index, report[variant]["dt5ap"])
            for index, (name, report) in enumerate(reports.items())
            if report[variant].known and report[variant].queries
        ]
        if rows:
            chance = next(iter(reports.values()))[variant].chance.get("dt5ap", math.nan)
            name = VARIANT_NAMES[variant]
            chart = charts.intervals(f"DT5AP: {name}", rows, low=0.0, high=1.0, mark=chance)
            cards.append(f'<div class="box"><h3>{escape(name.capitalize())}</h3>{chart}</div>')
    return (
        f'<div class="grid wide">{"".join(cards)}</div>' if cards else "<p>No photo has another one of its animal.</p>"
    )


def curves(reports: Reports, variant: Variant) -> str:
    shown = {key: report[variant] for key, report in reports.items() if report[variant].known}
    if not shown:
        return ""
    cards = [*_rank_curves(shown), *_roc(shown), *_angles(shown)]
    title = VARIANT_NAMES[variant].capitalize()
    return f'<h3>{escape(title)}</h3>{legend(list(shown))}<div class="grid wide">{"".join(cards)}</div>'


def _rank_curves(shown: Mapping[str, Table]) -> list[str]:
    lines = []
    for index, (key, table) in enumerate(shown.items()):
        points = [(float(k), figure.value) for k, figure in enumerate(table.tkrmd, 1)]
        around = table.tkrmd if index == 0 else ()
        lines.append(charts.Line(key, index, points, [f.low for f in around], [f.high for f in around]))
    chart = charts.curves("TkRMD for k = 1 to 10", lines, x_ticks=(1, 2, 4, 6, 8, 10), x_name="k")
    cards = [_card("Right photo among the first k (TkRMD)", chart, "The band is the 95 % interval of the first.")]
    depth = len(next(iter(shown.values())).cmc)
    if depth > 10:
        longer = [charts.Line(key, i, list(enumerate(table.cmc, 1))) for i, (key, table) in enumerate(shown.items())]
        chart = charts.curves("CMC", longer, x_ticks=(1, *range(10, depth - 3, 10), depth), x_name="k")
        cards.append(_card(f"The same to k = {depth} (CMC)", chart))
    return cards


def _roc(shown: Mapping[str, Table]) -> list[str]:
    lines = [
        charts.Line(key, index, table.open_set.roc)
        for index, (key, table) in enumerate(shown.items())
        if table.open_set is not None and table.open_set.roc
    ]
    if not lines:
        return []
    chart = charts.curves(
        "Share of known cases taken for known against share of new cases taken for known",
        lines,
        x_ticks=(0, 0.25, 0.5, 0.75, 1),
        x_name="new cases taken for known",
        chance=((0, 0), (1, 1)),
    )
    return [_card("Known or new animal (ROC)", chart, "Up: known cases taken for known. Dotted: a coin.")]


def _angles(shown: Mapping[str, Table]) -> list[str]:
    """Of the first scorer that has angles."""
    for key, table in shown.items():
        if table.angles is not None:
            same, different = table.angles.same, table.angles.different
            chart = charts.histogram(f"Angles of same and different pairs: {key}", same, different, 180 / len(same))
            note = "Filled: pairs of one identity. Dashed: of different ones. Each adds up to 100\u00a0%."
            return [_card(f"Angles between photos: {key}", chart, note)]
    return []


def _card(title: str, chart: str, note: str = "") -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f'<div class="box"><h3>{escape(title)}</h3>{chart}{said}</div>'


def legend(names: Sequence[str]) -> str:
    items = "".join(f"<li>{charts.key(index)}{escape(name)}</li>" for index, name in enumerate(names))
    return f'<ul class="legend">{items}</ul>'


def pairs(subject: EvaluationReport, loader: Loader) -> str:
    pictures: dict[int, str] = {}

    def picture(index: int) -> str:
        if index not in pictures:
            pixels = loader(subject.photos[index])
            pictures[index] = (
                '<div class="none">no picture</div>'
                if pixels is None
                else f'<img src="{thumbnail(pixels)}" alt="{escape(subject.photos[index].identity)}" loading="lazy">'
            )
        return pictures[index]

    parts = []
    for kind, title in TITLES.items():
        found = subject.pairs.get(kind, ())
        shown = "".join(_pair(pair, subject.photos, picture(pair.query), picture(pair.other)) for pair in found)
        body = f'<div class="grid four">{shown}</div>' if shown else "<p>There is no such pair.</p>"
        parts.append(f"<h3>{escape(title)}</h3>{body}")
    return "".join(parts)


def _pair(pair: Pair, photos: Sequence[EvaluationPhoto], left: str, right: str) -> str:
    query, other = photos[pair.query], photos[pair.other]
    who = query.identity if query.identity == other.identity else f"{query.identity}, taken for {other.identity}"
    event = " · same event" if query.event is not None and query.event == other.event else ""
    return (
        f'<figure class="box"><div class="pair">{left}{right}</div><figcaption><b>{escape(who)}</b><br>'
        f"similarity {pair.score:.3f} · rank {pair.rank}{event}"
        f'<span class="pair names"><span>{escape(query.key)}</span><span>{escape(other.key)}</span></span>'
        "</figcaption></figure>"
    )


def terms() -> str:
    items = "".join(f"<dt>{escape(term)}</dt><dd>{escape(text)}</dd>" for term, text in TERMS.items())
    return f'<dl class="terms">{items}</dl>'

"""How a report looks: one style sheet for screen and paper, light and dark. No scripts, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib

CSS = """
:root { color-scheme: light dark; --paper: #f5f6f3; --surface: #fff; --sunken: #eceee9; --ink: #1b211d;
  --muted: #59635c; --line: #dcdfd8; --strong: #868f88; --accent: #1d5c4d; --good: #1a6b43; --good-soft: #def0e5;
  --bad: #a5341f; --bad-soft: #f8e4df; --unsure: #7a5600; --unsure-soft: #f7ecd2; --stage: #101311;
  --c0: #1d5c4d; --c1: #b04a00; --c2: #2b5fae; --c3: #8a3a8f; --c4: #6d6100; --c5: #a3284a; --c6: #47616d;
  --c7: #2f7d1f;
  --sans: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif; }
@media screen and (prefers-color-scheme: dark) { :root { --paper: #131614;
  --surface: #1b1f1c; --sunken: #242925; --ink: #e7ebe8;
  --muted: #a1aba4; --line: #2e3430; --strong: #717c75; --accent: #7fcbb2; --good: #7fd3a1; --good-soft: #1b3325;
  --bad: #f19a86; --bad-soft: #3b211b; --unsure: #e8c060; --unsure-soft: #352b13; --stage: #0a0c0b;
  --c0: #7fcbb2; --c1: #f0a35e; --c2: #8fb8f5; --c3: #d99be0; --c4: #d3c65a; --c5: #f294ac; --c6: #a9c1cc;
  --c7: #97d684; } }
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 400 1rem/1.5 var(--sans);
  font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1, h2, h3, p, ul, dl, dd, figure { margin: 0; padding: 0; }
h1 { font-size: 1.6rem; line-height: 1.2; text-wrap: balance; }
h2 { font-size: 1.2rem; line-height: 1.3; margin: 2.5rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
p + p { margin-top: .5rem; }
.lead, .note, figcaption { color: var(--muted); }
.lead, .note { max-width: 48rem; }
.note { font-size: .9rem; margin-top: .5rem; }
.box { background: var(--surface); border: 1px solid var(--line); border-radius: 10px; padding: 1rem;
  margin-top: 1rem; }
.verdict { border-left: 6px solid var(--unsure); background: var(--unsure-soft); }
.verdict.good { border-color: var(--good); background: var(--good-soft); }
.verdict.bad { border-color: var(--bad); background: var(--bad-soft); }
.verdict strong { display: block; font-size: 1.15rem; }
.facts { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .25rem 1.25rem; }
.facts dt { color: var(--muted); }
.facts dd { overflow-wrap: anywhere; }
.grid { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 20rem), 1fr)); }
.grid.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr)); }
.grid.four { grid-template-columns: repeat(auto-fill, minmax(min(100%, 16.5rem), 1fr)); }
.grid .box { margin: 0; }
h3:not(:first-child) { margin-top: 1.5rem; }
.scroll { overflow-x: auto; margin-top: .75rem; }
.scroll:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: right; padding: .35rem .6rem; border-top: 1px solid var(--line); vertical-align: top; }
thead th { border-top: 0; vertical-align: bottom; }
th:first-child { text-align: left; padding-left: 0; font-weight: 500; min-width: 8rem; }
th small, td small { display: block; font-weight: 400; color: var(--muted); white-space: nowrap; }
th:first-child small { white-space: normal; }
tbody td:nth-child(2) { font-weight: 650; }
td.worse { color: var(--bad); } td.better { color: var(--good); }
svg { display: block; width: 100%; height: auto; max-width: 31rem; }
svg.map { max-width: 44rem; }
svg text { font: 12px var(--sans); fill: var(--ink); }
svg .quiet { fill: var(--muted); } svg .end { text-anchor: end; } svg .mid { text-anchor: middle; }
svg .axis { stroke: var(--strong); stroke-width: 1; fill: none; } svg .gridline { stroke: var(--line); fill: none; }
svg .line { fill: none; stroke-width: 2; } svg .band { opacity: .18; stroke: none; } svg .dim { opacity: .55; }
svg .chance { stroke: var(--muted); stroke-width: 1.5; stroke-dasharray: 2 3; fill: none; }
.s0 { stroke: var(--c0); } .s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); } .s3 { stroke: var(--c3); }
.s4 { stroke: var(--c4); } .s5 { stroke: var(--c5); } .s6 { stroke: var(--c6); } .s7 { stroke: var(--c7); }
.f0 { fill: var(--c0); } .f1 { fill: var(--c1); } .f2 { fill: var(--c2); } .f3 { fill: var(--c3); }
.f4 { fill: var(--c4); } .f5 { fill: var(--c5); } .f6 { fill: var(--c6); } .f7 { fill: var(--c7); }
.rest { fill: none; stroke: var(--strong); } .halo { stroke: var(--surface); stroke-width: .8; }
.legend { margin-bottom: .75rem; display: flex; flex-wrap: wrap; gap: .25rem 1rem;
  list-style: none; font-size: .9rem; margin-top: .5rem; }
.legend li { display: flex; align-items: center; gap: .4rem; overflow-wrap: anywhere; }
.legend svg { width: 26px; height: 14px; flex: none; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 4px; }
.pair img, .pair .none { width: 100%; aspect-ratio: 5 / 3; object-fit: contain; background: var(--stage);
  border-radius: 6px; display: block; }
.pair .none { color: #e6eae7; display: grid; place-items: center; font-size: .85rem; }
figcaption { font-size: .85rem; margin-top: .35rem; overflow-wrap: anywhere; }
.names { font-size: .78rem; line-height: 1.3; margin-top: .35rem; }
figcaption b { color: var(--ink); font-weight: 600; }
details { margin-top: 1rem; } summary { cursor: pointer; font-weight: 600; padding: .5rem 0; }
summary:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
.terms dt { font-weight: 600; margin-top: .75rem; } .terms dd { max-width: 48rem; }
footer { margin-top: 3rem; color: var(--muted); font-size: .85rem; }
@media (max-width: 40rem) { main { padding: 1rem .75rem 3rem; } .facts { grid-template-columns: 1fr; gap: 0; }
  .facts dd { margin-bottom: .5rem; } th, td { padding: .35rem .35rem; }
  th:first-child { position: sticky; left: 0; background: var(--surface); min-width: 6.5rem; padding-right: .5rem; }
  th:first-child small { display: none; } }
@media print { :root { color-scheme: light; } body { background: #fff; font-size: 10pt; } main { max-width: none;
  padding: 0; }
  .box, figure, tr { break-inside: avoid; } h2, h3 { break-after: avoid; } .scroll { overflow: visible; }
  .grid, .grid.wide { grid-template-columns: 1fr 1fr; } .grid.four { grid-template-columns: repeat(4, 1fr); }
  details::details-content { content-visibility: visible; height: auto; } }
"""

_HASH = base64.b64encode(hashlib.sha256(CSS.encode()).digest()).decode()
REPORT_CSP = f"default-src 'none'; img-src data:; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'"
"""The policy under which a report shows itself whole; the page states it, and whoever serves it should send it."""

"""How far probabilities hold on folders of individuals, and whether "anyone in the catalogue" is told from nobody.

    python3 spotid.py bench calibration --data DIR … [--work DIR] [--limit N] [--json FILE]

A pair is a query with one of its five best candidates, as the review page shows them. Printed for each folder, with
95 % intervals over individuals: expected calibration error (ten equal bins), Brier score and AUROC of the shipped
coefficients, of those refitted on half of the individuals and tested on the other half (each half a catalogue of its
own, both ways; beside it the shipped ones on the same pairs), and of the original's confidence from the cosine of the
shipped vectors (`spotid`).
Open set: AUROC of known against new animals by the best group's probability, by 1 − Π(1 − p), and by the best weight.
Nothing of DIR enters the coefficients that ship. Pairs are verified once for each state of the local features and kept
below --work.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray
from pair_evidence import PairTable, folder_coats, pair_table, single_threaded

from modelzoo.calibrating import CANDIDATES
from modelzoo.calibration import Calibration, Evidence, spotid_confidence
from modelzoo.evaluation.bootstrap import Resampler
from modelzoo.evaluation.openset import open_set
from modelzoo.reliability import ReliabilityPair, population_start, reliability
from modelzoo.standing import PairModel, Standing, fit_pair_model, standings

RESAMPLES = 200


@dataclass(frozen=True, eq=False)
class Shown:
    """Queries with their best candidates: standings, whether right, row and column in the table."""

    standings: list[Standing]
    same: NDArray[np.bool_]
    query: NDArray[np.int64]
    candidate: NDArray[np.int64]


def evidence_of(table: PairTable, i: int, j: int) -> Evidence:
    numbers = table.numbers
    cosine = float(numbers["cosine"][i, j])
    return Evidence(
        int(numbers["inliers"][i, j]),
        int(numbers["matches"][i, j]),
        int(table.keypoints[i]),
        int(table.keypoints[j]),
        similarity=None if np.isnan(cosine) else cosine,
        embedding=table.embedding,
        weight=float(numbers["weight"][i, j]),
        residual=float(numbers["residual"][i, j]),
        spread=float(numbers["spread"][i, j]),
        sharpness=float(min(table.sharpness[i], table.sharpness[j])),
        flanks_known=bool(table.flanks[i] != "unknown"),
    )


def shown(table: PairTable, calibration: Calibration | None = None, top: int = CANDIDATES) -> Shown:
    """Every query with its best candidates. calibration: that scores pairs; None: the one that ships."""
    calibration = calibration or Calibration.default()
    there = ~np.isnan(table.numbers["weight"])
    np.fill_diagonal(there, False)
    found: list[Standing] = []
    places: list[tuple[int, int]] = []
    for query in range(len(table)):
        others = np.flatnonzero(there[query]).tolist()
        evidence = [evidence_of(table, query, other) for other in others]
        scores = [calibration.score(e) for e in evidence]
        ranked = np.argsort(-np.array(scores), kind="stable")[:top].tolist() if others else []
        all_of_them = standings(evidence, scores)
        found += [all_of_them[rank] for rank in ranked]
        places += [(query, others[rank]) for rank in ranked]
    query_rows, candidates = np.array(places, np.int64).reshape(-1, 2).T
    same = table.labels[query_rows] == table.labels[candidates]
    return Shown(found, np.asarray(same, bool), query_rows, candidates)


def probabilities(model: PairModel, pairs: list[Standing]) -> NDArray[np.float64]:
    return np.array([model.probability(pair) for pair in pairs])


def on_halves(table: PairTable) -> dict[str, dict[str, Any]]:
    """Refitted on half of the individuals and tested on the other half, each half a catalogue of its own, both ways.

    Empty where one of the fits has too few pairs, or pairs of one kind only.
    """
    names = np.unique(table.individuals)
    half = np.isin(table.individuals, names[np.random.default_rng(1).permutation(len(names))[::2]])
    start, scores = PairModel.default(), Calibration.default().version
    sides = [table.of(np.flatnonzero(side)) for side in (half, ~half)]
    pairs = [shown(side) for side in sides]
    fitted: list[NDArray[np.float64]] = []
    for side, learn, test in zip(sides, pairs, pairs[::-1], strict=True):
        who = side.individuals[learn.query], side.individuals[learn.candidate]
        known = [ReliabilityPair(*row) for row in zip(learn.standings, learn.same.tolist(), *who, strict=True)]
        begun = population_start(known, start, scores)
        try:
            # As a population of few animals would: where its own cannot be told apart, with what ships.
            begin = begun[0] if begun else start
            model = fit_pair_model(learn.standings, learn.same.tolist(), begin, version="half", scores=scores)
        except ValueError:
            return {}
        fitted.append(probabilities(model, test.standings))
    tested = list(zip(sides[::-1], pairs[::-1], strict=True))
    shipped = [probabilities(start, test.standings) for _, test in tested]
    same = np.concatenate([test.same for _, test in tested])
    who = np.concatenate([side.individuals[test.query] for side, test in tested])
    return {
        "refitted on the other half": figures(np.concatenate(fitted), same, who),
        "shipped, same pairs": figures(np.concatenate(shipped), same, who),
    }


def figures(p: NDArray[np.float64], same: NDArray[np.bool_], who: NDArray[np.str_]) -> dict[str, Any]:
    """ECE, Brier and AUROC with 95 % intervals over the queries' individuals, and the reliability table."""
    usable = ~np.isnan(p)
    p, same, who = p[usable], same[usable], who[usable]
    whole = reliability(p, same.tolist())
    members = [np.flatnonzero(who == name) for name in np.unique(who)]
    draw = np.random.default_rng(7)
    drawn: dict[str, list[float]] = {"ece": [], "brier": [], "auroc": []}
    for _ in range(RESAMPLES if len(members) > 1 else 0):
        rows = np.concatenate([members[i] for i in draw.integers(len(members), size=len(members))])
        one = reliability(p[rows], same[rows].tolist())
        for name, value in (("ece", one.ece), ("brier", one.brier), ("auroc", auroc(p[rows], same[rows]))):
            drawn[name].append(value)
    values = {"ece": whole.ece, "brier": whole.brier, "auroc": auroc(p, same)}
    return {
        "pairs": whole.pairs,
        "right": whole.right,
        **{name: {"value": value, "interval": _interval(drawn[name])} for name, value in values.items()},
        "log_loss": whole.log_loss,
        "bins": whole.to_dict()["bins"],
    }


def _interval(drawn: list[float]) -> list[float] | None:
    usable = [value for value in drawn if not np.isnan(value)]
    return [float(v) for v in np.quantile(usable, (0.025, 0.975))] if usable else None


def auroc(p: NDArray[np.float64], same: NDArray[np.bool_]) -> float:
    """Share of (right, wrong) pairs in the right order, ties by half; NaN where there is one kind only."""
    right, wrong = np.sort(p[same]), np.sort(p[~same])
    if not len(right) or not len(wrong):
        return float("nan")
    below, not_above = np.searchsorted(wrong, right, "left"), np.searchsorted(wrong, right, "right")
    return float((below + not_above).mean() / 2 / len(wrong))


def known_or_new(table: PairTable, model: PairModel) -> dict[str, Any]:
    """AUROC of "is anyone in the catalogue this animal"; see ``modelzoo.evaluation.openset`` for the cases."""
    n = len(table)
    _, labels = np.unique(table.labels, return_inverse=True)
    _, individuals = np.unique(table.individuals, return_inverse=True)
    gallery = ~np.isnan(table.numbers["weight"])
    np.fill_diagonal(gallery, False)
    calibration = Calibration.default()
    weight = table.numbers["weight"]
    p = np.full((n, n), np.nan)
    for i, j in zip(*np.nonzero(gallery), strict=True):
        e = evidence_of(table, int(i), int(j))
        p[i, j] = model.probability(Standing(e, calibration.score(e), None, None, int(gallery[i].sum())))
    resampler = Resampler(individuals.astype(np.int64), seed=3, resamples=RESAMPLES)
    found = {}
    for name, scores in (("best group", p), ("best weight, as HotSpotter's score", weight)):
        found[name] = open_set(scores, gallery, labels.astype(np.int64), resampler).auroc.to_dict()
    # 1 − Π(1 − p) depends on the gallery: known and new cases are computed apart.
    loss = np.where(gallery, -np.log1p(-np.clip(np.nan_to_num(p), 0, 1 - 1e-12)), 0.0)
    same = individuals[:, None] == individuals[None, :]
    has = (gallery & (labels[:, None] == labels[None, :])).any(axis=1)
    known, new = loss.sum(axis=1)[has], np.where(same, 0.0, loss).sum(axis=1)
    scores = np.concatenate([known, new])
    truth = np.concatenate([np.ones(len(known), bool), np.zeros(len(new), bool)])
    found["1 - product"] = {"value": auroc(scores, truth), "low": None, "high": None}
    return found


def measured(table: PairTable) -> dict[str, Any]:
    pairs = shown(table)
    model = PairModel.default()
    who = table.individuals[pairs.query]
    spotid = np.array(
        [np.nan if s.evidence.similarity is None else spotid_confidence(s.evidence.similarity) for s in pairs.standings]
    )
    ways = {"shipped": probabilities(model, pairs.standings), "spotid": spotid}
    return {
        "photos": len(table),
        "identities": len(set(table.labels.tolist())),
        "shown": {name: figures(p, pairs.same, who) for name, p in ways.items() if not np.isnan(p).all()}
        | on_halves(table),
        "open_set": known_or_new(table, model),
    }


def show(name: str, found: dict[str, Any]) -> None:
    print(f"{name}: {found['photos']} photos, {found['identities']} identities")
    for way, table in found["shown"].items():
        said = "  ".join(f"{key} {_said(table[key])}" for key in ("ece", "brier", "auroc"))
        print(f"  {way}: {table['pairs']} pairs, {table['right']:.2f} right  {said}")
        for row in table["bins"]:
            print(f"    {row['low']:.1f}  {row['pairs']:5d}  said {row['probability']:.3f}  were {row['right']:.3f}")
    for way, value in found["open_set"].items():
        print(f"  anyone, {way}: AUROC {_said({'value': value['value'], 'interval': [value['low'], value['high']]})}")


def _said(figure: dict[str, Any]) -> str:
    low, high = figure["interval"] or (None, None)
    return f"{figure['value']:.3f}" + ("" if low is None else f" [{low:.3f}, {high:.3f}]")


def table_of_folder(data: Path, work: Path, limit: int | None, segmenter: Path | None = None) -> PairTable:
    name = data.name if data.name != "crops" else data.parent.name
    return pair_table(name, folder_coats(data, work / name, limit, segmenter), work)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of one folder per identity")
    parser.add_argument("--work", type=Path, help="keep masks and verified pairs here and use those that are there")
    parser.add_argument("--limit", type=int, default=300, help="larger sets are sampled to so many photos (300)")
    parser.add_argument("--segmenter", type=Path, help="YOLO segmentation weights (.onnx)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    single_threaded()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for data in arguments.data:
            table = table_of_folder(data, arguments.work or Path(scratch), arguments.limit, arguments.segmenter)
            results[table.name] = measured(table)
            show(table.name, results[table.name])
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

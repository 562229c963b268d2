"""Do trained dense descriptors add to RootSIFT what the same network untrained does not?

    python3 spotid.py bench dense_descriptors --weights FILE --data NAME=DIR[:IDENTITIES] … [--work DIR] [--json FILE]

FILE: written by train_dense. NAME=DIR: a folder of one folder per identity, none of it trained on; IDENTITIES: only
that many, evenly spaced by name. Masks come from `real_coats` and are kept below --work, as are the scores of RootSIFT
and of the untrained network, which do not change with FILE. Every scorer ranks all pairs by log(1 + weight of the
inliers). Fusion follows one rule for the trained and the untrained network. "equal": the sum of both scores, each less
its mean and over its spread over all pairs of the set. "fitted": weights from a logistic regression on synthetic pairs
of coats that neither network saw, for each network its own. Decided is by DT5AP of both fusions, and of the trained
fusion and RootSIFT alone, in the paired bootstrap over individuals.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from real_coats import RealCoat, prepare
from sklearn.linear_model import LogisticRegression

from modelzoo.coats import CoatPixels
from modelzoo.dense import DenseNet, compare, extract, from_bytes, open_dense, to_bytes, untrained_dense
from modelzoo.dense.bank import STEP, Bank, render_bank
from modelzoo.dense.photometry import worsen
from modelzoo.evaluation import EvaluationPhoto, EvaluationReport, evaluate_scores
from modelzoo.evaluation import compare as compare_reports
from modelzoo.local import LocalConfig, verify
from modelzoo.local import extract as extract_local

Scores = NDArray[np.float64]
VARIANT = ("all", "as_seen")
UNTRAINED_SEED = 1
BANK_SEED = 12  # coats that no training saw
RULES = ("equal", "fitted")


def sampled(coats: list[RealCoat], identities: int | None) -> list[RealCoat]:
    """The photos of that many identities, evenly spaced over the sorted names."""
    names = sorted({coat.identity for coat in coats})
    if identities is not None and identities < len(names):
        kept = {names[i] for i in np.linspace(0, len(names) - 1, identities).round().astype(int)}
        coats = [coat for coat in coats if coat.identity in kept]
    return coats


def pixels_of(coat: RealCoat) -> CoatPixels:
    image = cv2.imread(str(coat.crop), cv2.IMREAD_COLOR)
    mask = cv2.imread(str(coat.mask), cv2.IMREAD_GRAYSCALE)
    if image is None or mask is None:
        raise SystemExit(f"{coat.crop} or its mask cannot be read")
    return CoatPixels(np.ascontiguousarray(image[:, :, ::-1]), mask=np.asarray(mask, np.uint8))


def pair_scores(features: list[Any], weigh: Callable[[Any, Any], float]) -> Scores:
    """log(1 + weight) of all pairs, symmetric."""
    n = len(features)
    scores = np.full((n, n), np.nan)
    for i in range(n):
        for j in range(i + 1, n):
            scores[i, j] = scores[j, i] = np.log1p(weigh(features[i], features[j]))
    return scores


def rootsift_scores(coats: Iterable[CoatPixels]) -> Scores:
    config = LocalConfig()
    features = [extract_local(coat.crop, coat.mask, config) for coat in coats]
    return pair_scores(features, lambda a, b: verify(a, b, config).weight)


def dense_scores(coats: Iterable[CoatPixels], network: DenseNet) -> tuple[Scores, dict[str, float]]:
    """Scores from features as they would be stored, and what they cost in processor time of one thread."""
    features, sizes = [], []
    start = time.process_time()
    for coat in coats:
        stored = to_bytes(extract(coat, network))
        sizes.append(len(stored))
        features.append(from_bytes(stored))
    extraction = time.process_time() - start
    start = time.process_time()
    scores = pair_scores(features, lambda a, b: compare(a, b).weight)
    pairs = len(features) * (len(features) - 1) / 2
    return scores, {
        "extraction_ms": 1000 * extraction / len(features),
        "pair_ms": 1000 * (time.process_time() - start) / pairs,
        "stored_bytes_mean": float(np.mean(sizes)),
        "keypoints_mean": float(np.mean([len(f) for f in features])),
    }


def synthetic_coats(bank: Bank) -> list[CoatPixels]:
    """The bank's views as worse photos."""
    rng = np.random.default_rng(BANK_SEED)
    coats = []
    for grey, mask in zip(bank.grey, bank.mask, strict=True):
        whole = np.kron(mask, np.ones((STEP, STEP), np.uint8))[: grey.shape[0], : grey.shape[1]] * np.uint8(255)
        coats.append(CoatPixels(np.repeat(worsen(grey, rng)[..., None], 3, axis=2), mask=whole))
    return coats


@dataclass(frozen=True)
class Networks:
    """The trained network, its untrained control, and for each the weights of (RootSIFT, dense) in fitted fusion."""

    trained: DenseNet
    untrained: DenseNet
    slopes: dict[str, list[float]]


def networks_of(trained: DenseNet) -> Networks:
    """The control has the same layers with random weights, its batch norms settled on synthetic views."""
    bank = render_bank(BANK_SEED, flanks=24, views=3)
    untrained = untrained_dense(trained.config, UNTRAINED_SEED, bank)
    coats = synthetic_coats(bank)
    i, j = np.triu_indices(len(coats), 1)
    same = bank.flank[i] == bank.flank[j]
    base = rootsift_scores(coats)[i, j]
    slopes = {}
    for name, network in (("trained", trained), ("untrained", untrained)):
        columns = np.stack([base, dense_scores(coats, network)[0][i, j]], axis=1)
        fitted = LogisticRegression(class_weight="balanced", max_iter=1000).fit(columns, same)
        slopes[name] = [float(v) for v in fitted.coef_[0]]
    return Networks(trained, untrained, slopes)


def fused(rule: str, base: Scores, dense: Scores, slopes: list[float]) -> Scores:
    if rule == "equal":
        return standardised(base) + standardised(dense)
    return slopes[0] * base + slopes[1] * dense


def standardised(scores: Scores) -> Scores:
    known = scores[~np.isnan(scores)]
    return (scores - known.mean()) / max(float(known.std()), 1e-9)


def kept(path: Path | None, make: Callable[[], Scores]) -> Scores:
    """Scores from a file, made and written there when it is missing."""
    if path is not None and path.is_file():
        return np.asarray(np.load(path, allow_pickle=False), np.float64)
    scores = make()
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, scores)
    return scores


def measure(name: str, coats: list[RealCoat], networks: Networks, work: Path, resamples: int) -> dict[str, Any]:
    photos = [EvaluationPhoto(c.key, c.identity, c.individual, flank=c.flank) for c in coats]
    keys = "\n".join([*(c.key for c in coats), json.dumps(networks.trained.config.to_dict()), LocalConfig().version])
    stem = f"{name}-{hashlib.sha256(keys.encode()).hexdigest()[:10]}"
    base = kept(work / f"{stem}-rootsift.npy", lambda: rootsift_scores(map(pixels_of, coats)))
    trained, cost = dense_scores(map(pixels_of, coats), networks.trained)
    control = kept(work / f"{stem}-untrained.npy", lambda: dense_scores(map(pixels_of, coats), networks.untrained)[0])
    scores = {"RootSIFT": base, "dense": trained, "dense untrained": control}
    for rule in RULES:
        scores[f"RootSIFT + dense, {rule}"] = fused(rule, base, trained, networks.slopes["trained"])
        scores[f"RootSIFT + untrained, {rule}"] = fused(rule, base, control, networks.slopes["untrained"])
    reports = {k: evaluate_scores(v, photos, resamples=resamples) for k, v in scores.items()}
    return {
        "photos": len(coats),
        "identities": len({c.identity for c in coats}),
        "individuals": len({c.individual for c in coats}),
        "queries": reports["RootSIFT"][VARIANT].queries,
        **cost,
        "tables": {k: figures(r) for k, r in reports.items()},
        "gain": {rule: gains(reports, rule, resamples) for rule in RULES},
    }


def gains(reports: dict[str, EvaluationReport], rule: str, resamples: int) -> dict[str, Any]:
    """Difference in DT5AP of the trained fusion over the untrained one and over RootSIFT, with 95 % intervals."""
    new = reports[f"RootSIFT + dense, {rule}"]
    over = {"untrained fusion": f"RootSIFT + untrained, {rule}", "RootSIFT": "RootSIFT"}
    return {
        name: compare_reports(reports[old], new, resamples=resamples).differences[VARIANT].to_dict()
        for name, old in over.items()
    }


def figures(report: EvaluationReport) -> dict[str, Any]:
    table = report[VARIANT]
    return {name: table[name].to_dict() for name in ("t1", "t5", "dt5ap")}


def spoken(figure: dict[str, float]) -> str:
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def show(name: str, result: dict[str, Any]) -> None:
    print(
        f"{name}: {result['photos']} photos, {result['identities']} identities, {result['queries']} queries; "
        f"{result['keypoints_mean']:.0f} keypoints, {result['stored_bytes_mean'] / 1024:.1f} KB, "
        f"{result['extraction_ms']:.0f} ms per crop, {result['pair_ms']:.2f} ms per pair"
    )
    for scorer, table in result["tables"].items():
        print(f"{scorer:>30}: " + "  ".join(f"{k.upper()} {spoken(v)}" for k, v in table.items()))
    for rule, found in result["gain"].items():
        for over, gain in found.items():
            print(f"  {rule} fusion gains in DT5AP over {over}: {spoken(gain)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="weights written by train_dense")
    parser.add_argument("--data", nargs="+", required=True, help="NAME=DIR or NAME=DIR:IDENTITIES")
    parser.add_argument("--work", type=Path, default=Path("var") / "bench-dense", help="masks and scores kept here")
    parser.add_argument("--resamples", type=int, default=2000)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    networks = networks_of(open_dense(arguments.weights))
    print("fitted weights of RootSIFT and dense: " + json.dumps(networks.slopes), flush=True)
    results: dict[str, Any] = {"slopes": networks.slopes}
    for given in arguments.data:
        name, _, place = given.partition("=")
        folder, _, count = place.partition(":")
        coats = sampled(prepare(Path(folder), arguments.work / name), int(count) if count else None)
        results[name] = measure(name, coats, networks, arguments.work / "scores", arguments.resamples)
        show(name, results[name])
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

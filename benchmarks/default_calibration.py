"""Fits the calibration that ships, on synthetic camera-trap surveys only, and checks it on folders of real crops.

    python3 spotid.py bench default_calibration [--surveys N] [--photos N] [--work DIR] [--write] [--check DIR …]

Crops and their masks are made as the pipeline makes them without weights: GrabCut within the box. Vectors are those of
the model that ships; coefficients with a similarity belong to its weights, count under no others, and are written only
where they make the Brier score of the held-out survey better by ``modelzoo.calibrating.WORTHWHILE``.
A pair of the fit is a query and one of its five best candidates by verification weight, as the review page shows them;
pairs of one event are left out, because near-duplicates would make the rest look too good. The share of right pairs
among them is the prior. --write replaces modelzoo/default_calibration.py.
--check DIR: a folder of one folder per identity, for a reliability table; nothing of it enters the fit.
"""

import argparse
import csv
import json
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
from calibration import shown
from local_features import photos_below, read
from numpy.typing import NDArray
from pair_evidence import VARIANTS, pair_table, survey_coats

from modelzoo.calibrating import alone, best_candidates, brier, without_similarity, worthwhile
from modelzoo.calibration import Calibration, Evidence, fit
from modelzoo.local import LocalConfig, LocalFeatures, extract, verify
from modelzoo.local.verify import FrameBox
from modelzoo.shipped import DEFAULT, shipped_model
from modelzoo.standing import PairModel, Standing, fit_pair_model
from modelzoo.synthetic import SurveyPlan, write_survey
from modelzoo.vlad import VladConfig, aggregate, read_weights
from preprocessing.segmentation.grabcut import GrabCutSegmenter
from preprocessing.types import Box

ROOT = Path(__file__).resolve().parents[1]
FIRST_SEED = 101
Pair = tuple[Evidence, bool]


@dataclass(frozen=True)
class Seen:
    """A crop of a photo, who it shows, and, in a survey, where it came from."""

    crop: NDArray[np.uint8]
    label: str
    event: str = ""
    camera: str = ""
    box: FrameBox = (0.0, 0.0, 1.0, 1.0)


def synthetic_crops(survey: int, photos: int, work: Path) -> list[Seen]:
    """The animals of one survey; boxes are shaken as a detector's would be."""
    plan = SurveyPlan(
        seed=FIRST_SEED + survey,
        individuals=max(3, round(photos * 0.19)),
        photos=photos,
        stations=6,
        empty_fraction=0.0,
    )
    root = work / f"survey{plan.seed}-{photos}"
    truth = write_survey(plan, root, workers=1, truth=work / f"truth{plan.seed}-{photos}.csv")
    shake = np.random.default_rng(plan.seed)
    crops = []
    with truth.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if not row["individual"] or float(row["visible_fraction"]) < 0.3:
                continue
            image = read(root / row["file"])
            box = np.array([float(row[name]) for name in ("x1", "y1", "x2", "y2")])
            side = np.tile(box[2:] - box[:2], 2)
            box = box + side * shake.normal(0.0, 0.02, 4) + side * np.array([-0.02, -0.02, 0.02, 0.02])
            x1, y1 = np.maximum(box[:2], 0).astype(int)
            x2, y2 = np.minimum(box[2:], [image.shape[1], image.shape[0]]).astype(int)
            if min(x2 - x1, y2 - y1) >= 16:
                label = f"{row['individual']} {row['flank']}"
                crop = np.ascontiguousarray(image[y1:y2, x1:x2])
                place = (float(x1), float(y1), float(x2), float(y2))
                crops.append(Seen(crop, label, row["event"], f"{row['station']} {row['camera']}", place))
    return crops


def masked_features(crop: NDArray[np.uint8], config: LocalConfig) -> LocalFeatures:
    height, width = crop.shape[:2]
    mask = GrabCutSegmenter().segment(crop, Box(0.0, 0.0, float(width), float(height)), None).mask
    return extract(crop, mask, config)


class Vectors:
    """Vectors of the model that ships, from features as they are compared."""

    def __init__(self) -> None:
        shipped = shipped_model()
        self.sha256 = shipped.sha256
        self._config = VladConfig.from_dict(shipped.card.config)
        self._weights = read_weights(shipped.path, shipped.sha256, self._config)

    def of(self, features: LocalFeatures) -> NDArray[np.float32] | None:
        return aggregate(features, self._config, self._weights)


def candidate_pairs(seen: list[Seen], config: LocalConfig) -> list[Pair]:
    """Every query with its five best candidates of other events, and whether they are right."""
    n = len(seen)
    features = [masked_features(s.crop, config) for s in seen]
    model = Vectors()
    vectors = [model.of(f) for f in features]
    found: dict[tuple[int, int], Evidence] = {}
    weight = np.full((n, n), -1.0)
    for i in range(n):
        for j in range(i + 1, n):
            a, b = seen[i], seen[j]
            if a.event and a.event == b.event:
                continue
            scenery = (a.box, b.box) if a.camera and a.camera == b.camera else None
            v = verify(features[i], features[j], config, scenery)
            weight[i, j] = weight[j, i] = v.weight
            one, other = vectors[i], vectors[j]
            found[i, j] = Evidence(
                v.inliers,
                v.matches,
                len(features[i]),
                len(features[j]),
                similarity=None if one is None or other is None else float(one @ other),
                embedding=model.sha256,
                weight=v.weight,
            )
    shown = best_candidates(weight)
    return [(found[min(i, j), max(i, j)], seen[i].label == seen[j].label) for i, j in shown]


def without_vectors(pairs: list[Pair]) -> list[Pair]:
    """The same pairs without their similarity."""
    return [(alone(evidence), same) for evidence, same in pairs]


def usual_weight(pairs: list[Pair]) -> float:
    """Mean weight per inlier over all inliers of the pairs."""
    inliers = sum(evidence.inliers for evidence, _ in pairs)
    return round(sum(evidence.weight or 0.0 for evidence, _ in pairs) / max(inliers, 1), 4)


def reliability(calibration: Calibration, pairs: list[Pair]) -> dict[str, Any]:
    """Ten equal bins of probability: pairs, mean probability, share of right ones; expected calibration error."""
    p = np.array([calibration.probability(evidence) for evidence, _ in pairs])
    y = np.array([same for _, same in pairs], float)
    bins = np.minimum((p * 10).astype(int), 9)
    rows = [
        {"bin": b / 10, "pairs": int(m.sum()), "probability": float(p[m].mean()), "right": float(y[m].mean())}
        for b in range(10)
        if (m := bins == b).any()
    ]
    error = sum(row["pairs"] * abs(row["probability"] - row["right"]) for row in rows) / len(p)
    return {
        "pairs": len(p),
        "right": float(y.mean()),
        "ece": error,
        "brier": brier(p.tolist(), [same for _, same in pairs]),
        "bins": rows,
    }


def show(name: str, table: dict[str, Any]) -> None:
    print(f"{name}: {table['pairs']} pairs, {table['right']:.2f} right, expected calibration error {table['ece']:.3f}")
    for row in table["bins"]:
        print(f"  {row['bin']:.1f}  {row['pairs']:5d} pairs  said {row['probability']:.3f}  were {row['right']:.3f}")


# Of all pairs that the probabilities are fitted on, so many show animals whose background was not removed: masks fail,
# and a survey does not know which. It makes the curve flat enough not to promise more than real coats keep.
FAILED_MASKS = 0.1


def fitted_pair_model(surveys: int, photos: int, work: Path, calibration: Calibration) -> PairModel:
    """The model of probabilities, on the best candidates in synthetic surveys: as rendered, poor, masks failed."""
    of: dict[str, list[tuple[Standing, bool]]] = {variant: [] for variant in VARIANTS}
    for survey in range(surveys):
        plan = SurveyPlan(
            seed=FIRST_SEED + survey, individuals=(12, 20, 14, 30)[survey % 4] * photos // 64, photos=photos,
            stations=6, empty_fraction=0.0,
        )  # fmt: skip
        for variant in VARIANTS:
            name = f"synthetic-{plan.seed}-{variant.replace(' ', '-')}"
            found = shown(pair_table(name, survey_coats(plan, work, variant), work), calibration=calibration)
            of[variant] += zip(found.standings, found.same.tolist(), strict=True)
    masked = [pair for variant in VARIANTS[:2] for pair in of[variant]]
    failed = of[VARIANTS[2]]
    few = np.random.default_rng(FIRST_SEED).permutation(len(failed))[
        : round(len(masked) * FAILED_MASKS / (1 - FAILED_MASKS))
    ]
    pairs = masked + [failed[i] for i in sorted(few.tolist())]
    start = PairModel(0.0, {"score": 0.0}, 0.0, "", "")
    standings, same = [pair for pair, _ in pairs], [right for _, right in pairs]
    model = fit_pair_model(standings, same, start, version=f"pairs-2-{calibration.version}", scores=calibration.version)
    print(f"probabilities: {len(pairs)} pairs, {sum(same) / len(same):.3f} right")
    return model


def write_constants(
    calibration: Calibration, model: PairModel, command: str, pairs: int, right: float, config: LocalConfig
) -> None:
    lines = [
        '"""Coefficients of the calibration that ships. Written by a program: do not edit.',
        "",
        f"Command: {command}",
        f"Fitted on {pairs} candidate pairs ({right:.1%} of them right) of synthetic surveys, seeds from {FIRST_SEED}.",
        f"Local features {config.version}. No real photo had a part in it.",
        f"embedding: SHA-256 of the weights of {DEFAULT}, if its similarities count; empty: they gained nothing.",
        '"""',
        "",
        "COEFFICIENTS: dict[str, float | str] = {",
        *(
            f'    "{name}": {value!r},' if not isinstance(value, str) else f'    "{name}": "{value}",'
            for name, value in calibration.to_dict().items()
        ),
        "}",
        "",
        f"PAIR_MODEL: dict[str, object] = {json.dumps(model.to_dict(), indent=4)}",
    ]
    (ROOT / "modelzoo" / "default_calibration.py").write_text("\n".join(lines) + "\n", encoding="utf-8")


def real_pairs(folder: Path, sample: int | None, config: LocalConfig) -> list[Pair]:
    return candidate_pairs([Seen(read(path), label) for path, label in photos_below(folder, sample)], config)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--surveys", type=int, default=4, help="synthetic surveys (4); the last is held out of the fit")
    parser.add_argument("--photos", type=int, default=64, help="photos of each survey (64)")
    parser.add_argument("--work", type=Path, help="keep the rendered surveys here and use those that are there")
    parser.add_argument("--write", action="store_true", help="replace the shipped coefficients")
    parser.add_argument("--check", type=Path, nargs="*", default=[], help="folders of real crops")
    parser.add_argument("--sample", type=int, default=18, help="identities of each real folder (18)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if arguments.surveys < 2:
        parser.error("at least two surveys: one of them is held out")
    cv2.setNumThreads(1)
    config = LocalConfig()
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        surveys = range(arguments.surveys)
        groups = [candidate_pairs(synthetic_crops(survey, arguments.photos, work), config) for survey in surveys]
    fitting = [pair for group in groups[:-1] for pair in group]
    start = replace(Calibration.default(), usual_weight=usual_weight(fitting))
    version = f"synthetic-{config.version}"
    calibration = fit([e for e, _ in fitting], [same for _, same in fitting], start, version)
    tables = {
        "synthetic, fitted": reliability(calibration, fitting),
        "synthetic, held out": reliability(calibration, groups[-1]),
        "synthetic, held out, local features alone": reliability(calibration, without_vectors(groups[-1])),
    }
    fused, plain = (tables[f"synthetic, held out{rest}"]["brier"] for rest in ("", ", local features alone"))
    counted = worthwhile(fused, plain)
    for folder in arguments.check:
        real = real_pairs(folder, arguments.sample, config)
        tables[folder.name] = reliability(calibration, real)
        tables[f"{folder.name}, local features alone"] = reliability(calibration, without_vectors(real))
    for name, table in tables.items():
        show(name, table)
    print(json.dumps(calibration.to_dict()))
    verdict = "it counts" if counted else "it does not count"
    print(f"held out, Brier {fused:.4f} with the similarity and {plain:.4f} without: {verdict}")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps({"calibration": calibration.to_dict(), **tables}, indent=2) + "\n")
    if arguments.write:
        command = f"bench default_calibration --surveys {arguments.surveys} --photos {arguments.photos} --write"
        shipped = calibration if counted else without_similarity(calibration)
        with tempfile.TemporaryDirectory() as scratch:
            model = fitted_pair_model(arguments.surveys, arguments.photos, arguments.work or Path(scratch), shipped)
        write_constants(shipped, model, command, len(fitting), tables["synthetic, fitted"]["right"], config)


if __name__ == "__main__":
    main()

"""How well a survey's boxes are told apart by species after few marks, on real photos of many species.

    python3 spotid.py bench triage --data DIR [--work DIR] [--draws N] [--json FILE]

DIR holds the real sets (leopards, tigers, nyala, cattle, snow leopards, frames of other people's camera traps). All of
them together are one survey; each of five species is wanted once. Marks are drawn at random, whatever they show, with
at least two of each kind; boxes of marked individuals and frames are not judged. Every source has its own cameras and
framing, which helps: the figures flatter.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import cv2
import numpy as np
from local_features import read
from numpy.typing import NDArray
from triage_sets import Animal, mixed_survey

from identification.matching.triage import (
    LEAST_MARKS,
    VECTOR_SHARE,
    Rows,
    Scale,
    auroc,
    learn,
    likeness,
    ordinariness,
    platt,
)
from modelzoo.coats import CoatPixels, EncodingError
from modelzoo.shipped import shipped_model
from modelzoo.vlad import VladEmbedder
from preprocessing.appearance import appearance

WANTED = ("leopard", "tiger", "nyala", "cattle", "snow leopard")
MARKS = (5, 20, 50)
# Marks that are mixed otherwise than the survey: confirmed animals, and what was put aside in bulk.
BIASED = ((40, 10), (10, 150))
THRESHOLD = 0.1
SEED = 4


@dataclass(frozen=True)
class Mixed:
    """The survey as numbers: one row for each box of each way of looking."""

    species: NDArray[np.str_]
    groups: NDArray[np.str_]
    rows: dict[str, Rows]


def encode(animals: list[Animal], work: Path) -> tuple[Rows, Rows]:
    """Vectors of the shipped model (zeros where a coat has no spot) and appearance of every box; kept in `work`."""
    file = work / f"encoded-{len(animals)}.npz"
    if not file.is_file():
        shipped = shipped_model()
        embedder = VladEmbedder(dict(shipped.card.config), shipped.path, shipped.sha256)
        vectors, looks = np.zeros((len(animals), embedder.dimension)), []
        for index, animal in enumerate(animals):
            crop = read(animal.crop)
            mask = np.asarray(cv2.imread(str(animal.mask), cv2.IMREAD_GRAYSCALE), np.uint8)
            looks.append(appearance(crop, mask))
            try:
                vectors[index] = embedder.encode([CoatPixels(crop, mask=mask)])[0]
            except EncodingError as error:
                print(f"{animal.crop.name}: {error}", file=sys.stderr)
        np.savez(file, vectors=vectors.astype(np.float32), looks=np.stack(looks))
    with np.load(file) as arrays:
        return arrays["vectors"].astype(float), arrays["looks"].astype(float)


def mixed(data: Path, work: Path) -> Mixed:
    animals = mixed_survey(data, work)
    vectors, looks = encode(animals, work)
    rows = {
        "vectors": Scale.of(vectors).apply(vectors),
        "appearance": Scale.of(looks, each=True).apply(looks),
        "both": np.hstack(
            [
                Scale.of(vectors, share=VECTOR_SHARE).apply(vectors),
                Scale.of(looks, each=True, share=1 - VECTOR_SHARE).apply(looks),
            ]
        ),
    }
    species = np.array([animal.species for animal in animals])
    # Three leopards fill their set: there each photo is a group of its own, as they lie days apart.
    groups = np.array([a.crop.as_posix() if a.species == "leopard" else a.group for a in animals])
    return Mixed(species, groups, rows)


def draws_of(
    survey: Mixed, wanted: str, marks: int | tuple[int, int], draws: int, *, only: bool | None = None
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Marked places and those to be judged. marks: at random, or so many wanted and so many others. only: one kind."""
    rng = np.random.default_rng(SEED)
    right = survey.species == wanted
    pool = np.arange(len(right)) if only is None else np.flatnonzero(right == only)
    for _ in range(draws):
        for _ in range(500):
            if isinstance(marks, tuple):
                # Never so many of a rare species that nothing is left to judge.
                few = min(marks[0], int(right.sum() * 0.6))
                marked = np.concatenate(
                    [rng.permutation(np.flatnonzero(right))[:few], rng.permutation(np.flatnonzero(~right))[: marks[1]]]
                )
            else:
                marked = rng.permutation(pool)[:marks]
            enough = all(len(set(survey.groups[marked][right[marked] == k])) >= LEAST_MARKS for k in (True, False))
            if only is not None or enough:
                break
        yield marked, np.flatnonzero(~np.isin(survey.groups, survey.groups[marked]))


def calibration_error(probability: Rows, right: NDArray[np.bool_]) -> float:
    """Expected calibration error in ten bins of equal width."""
    bins = np.minimum((probability * 10).astype(int), 9)
    gaps = [abs(probability[bins == b].mean() - right[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    return float(sum(gaps))


def after_marks(survey: Mixed, wanted: str, marks: int | tuple[int, int], draws: int) -> dict[str, float]:
    """Means over draws: AUROC by each way of looking, that of left-out marks, and how well probabilities hold."""
    right = survey.species == wanted
    found: dict[str, list[float]] = {}
    for marked, judged in draws_of(survey, wanted, marks, draws):
        for name, rows in survey.rows.items():
            learned = learn(rows[marked], list(right[marked]), list(survey.groups[marked]))
            assert learned is not None
            decisions = learned.decision(rows[judged])
            area = auroc(decisions, right[judged])
            if area is None:
                continue
            found.setdefault(f"auroc_{name}", []).append(area)
            if name == "both":
                found.setdefault("auroc_left_out", []).append(learned.auroc)
                plain = platt(learned.left_out, right[marked], balanced=False)
                for words, (slope, offset) in (("", (learned.slope, learned.offset)), ("_unbalanced", plain)):
                    probability = replace(learned, slope=slope, offset=offset).probability(decisions)
                    low = probability < THRESHOLD
                    found.setdefault(f"ece{words}", []).append(calibration_error(probability, right[judged]))
                    found.setdefault(f"others_below{words}", []).append(float(low[~right[judged]].mean()))
                    found.setdefault(f"wanted_below{words}", []).append(float(low[right[judged]].mean()))
    return {name: round(float(np.mean(values)), 4) for name, values in found.items()}


def without_both(survey: Mixed, wanted: str, draws: int, share: float) -> dict[str, float]:
    """AUROC of the orders with no marks, and with twenty of one kind; the wanted species is `share` of the survey."""
    right = survey.species == wanted
    rng = np.random.default_rng(SEED)
    found: dict[str, list[float | None]] = {}
    for _ in range(draws):
        others = rng.permutation(np.flatnonzero(~right))[: round(right.sum() * (1 / share - 1))]
        part = np.concatenate([np.flatnonzero(right), others])
        small = Mixed(survey.species[part], survey.groups[part], {k: rows[part] for k, rows in survey.rows.items()})
        truth = right[part]
        for name in ("vectors", "appearance"):
            rows = small.rows[name]
            found.setdefault(f"nothing_{name}", []).append(auroc(ordinariness(rows, rows), truth))
        for kind, words in ((True, "wanted"), (False, "other")):
            for marked, judged in draws_of(small, wanted, 20, 1, only=kind):
                rows = small.rows["both"]
                order = likeness(rows[judged], rows[marked], wanted=kind)
                found.setdefault(f"only_20_{words}", []).append(auroc(order, truth[judged]))
    clean = {name: [v for v in values if v is not None] for name, values in found.items()}
    return {name: round(float(np.mean(values)), 4) for name, values in clean.items() if values}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of the real sets")
    parser.add_argument("--work", type=Path, help="where crops, masks and vectors are kept")
    parser.add_argument("--draws", type=int, default=20, help="sets of marks for each figure (20)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        survey = mixed(arguments.data, arguments.work or Path(scratch))
    counts = {str(name): int((survey.species == name).sum()) for name in sorted(set(survey.species))}
    print(", ".join(f"{number} {name}" for name, number in counts.items()), flush=True)
    result: dict[str, object] = {"boxes": counts}
    for share in (0.75, 0.5):
        table = {name: without_both(survey, name, arguments.draws, share) for name in WANTED}
        result[f"order_only_{share}"] = table
        show(f"no probability, {share:.0%} wanted", table)
    for marks in MARKS:
        table = {name: after_marks(survey, name, marks, arguments.draws) for name in WANTED}
        result[f"marks_{marks}"] = table
        show(f"{marks} marks", table)
    for mixture in BIASED:
        table = {name: after_marks(survey, name, mixture, arguments.draws) for name in WANTED}
        result[f"marks_{mixture[0]}_wanted_{mixture[1]}_other"] = table
        show(f"{mixture[0]} wanted, {mixture[1]} other", table)
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1))


def show(title: str, table: dict[str, dict[str, float]]) -> None:
    print(f"\n{title:28s}" + "".join(f"{name:>14s}" for name in [*table, "mean"]), flush=True)
    for figure in dict.fromkeys(name for row in table.values() for name in row):
        values = [row.get(figure, float("nan")) for row in table.values()]
        print(
            f"  {figure:26s}" + "".join(f"{value:14.3f}" for value in [*values, float(np.nanmean(values))]), flush=True
        )


if __name__ == "__main__":
    main()

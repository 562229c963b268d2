"""SpotID beside the real HotSpotter, on the same photos in the same run: how often it is right, and how fast.

    python3 spotid.py bench identification --data DIR [--work DIR] [--json FILE] [--without-hotspotter]
    python3 spotid.py bench identification --catalogue 100 1000 10000 [--work DIR] [--json FILE]

DIR/IDENTITY/PHOTO are finished crops (or DIR/FOLDER/flat_table.csv names regions of frames); of more than 300 photos
a fixed sample of whole identities is taken, and exact duplicates are left out. Every photo asks for all others:
  embedding    cosine of the model that a new installation has (RootSIFT-VLAD), nothing else
  local        the best voted for of the inverted file, verified spot by spot
  combined     what SpotID does: those and the nearest by vectors, verified, and links through a third photo of the
               catalogue, whose own candidates are known from before
  hotspotter   ibeis 2.6.0, `csum`, without names, in an environment of its own (made in WORK at first use)
  (untrained)  an untrained network, to see what the set gives away by itself
Seconds per query leave out the query's own extraction, which is told apart, for all of them. Intervals are 95 %,
resampled over individuals; differences are paired over queries. Masks come from WORK/…/weights as in real_coats.

--catalogue: synthetic animals instead (see catalogue.py), for time and memory of a growing catalogue in PostgreSQL.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "spotid_site.settings")
# One thread, as a worker has; HotSpotter may use all cores.
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import cv2
import django
import numpy as np
from numpy.typing import NDArray

django.setup()

import hotspotter
from labelled import LIMIT
from local_features import read
from real_coats import RealCoat, prepare

from identification.inference import engines
from identification.inference.comparison import CoatSet
from identification.matching.candidates import through_a_third
from identification.services.matching_run import SHORTLIST
from modelzoo.calibration import Evidence
from modelzoo.coats import CoatPixels, EncodingError
from modelzoo.evaluation.bootstrap import Figure, Resampler
from modelzoo.metrics import QueryRanking

MEASURES = ("t1", "t5", "dt5ap")
SEED, RESAMPLES = 0, 2000
Matrix = NDArray[np.float64]
# Below every verified score, in the order of what was found before verification.
UNVERIFIED = -1e6


def per_query(scores: Matrix, labels: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Of every photo its T1, T5 and DT5AP; NaN for one whose identity has no other photo."""
    values = {name: np.full(len(labels), np.nan) for name in MEASURES}
    names = np.array(labels)
    for i in range(len(names)):
        others = np.arange(len(names)) != i
        ranking = QueryRanking.from_scores(scores[i, others], names[others] == names[i])
        if ranking.relevant:
            chances = ranking.chances_of_hit(5)
            values["t1"][i], values["t5"][i] = chances[0], chances[-1]
            values["dt5ap"][i] = ranking.dynamic_precisions(5)[-1]
    return values


@dataclass(frozen=True)
class Seconds:
    """Of one query: by the clock, and of the processor, which other work on the machine changes less."""

    clock: float
    processor: float

    def __add__(self, other: "Seconds") -> "Seconds":
        return Seconds(self.clock + other.clock, self.processor + other.processor)


class Clock:
    def __init__(self) -> None:
        self._began = time.perf_counter(), time.process_time()

    def spent(self, queries: int) -> Seconds:
        clock, processor = self._began
        return Seconds((time.perf_counter() - clock) / queries, (time.process_time() - processor) / queries)


class Coats:
    """The photos as a new installation would store them: vectors and local features, and what both took."""

    def __init__(self, coats: list[RealCoat]) -> None:
        self.model = engines.ensure_model()
        vectors = np.zeros((len(coats), self.model.dimension), np.float32)
        stored: list[bytes | None] = []
        began = time.perf_counter()
        for i, coat in enumerate(coats):
            mask = cv2.imread(str(coat.mask), cv2.IMREAD_GRAYSCALE)
            crop = read(coat.crop)
            stored.append(engines.extract(crop, None if mask is None else mask.astype(np.uint8))[1])
            try:
                vectors[i] = engines.encode(self.model, [CoatPixels(crop, mask=mask)])[0]
            except EncodingError as error:
                print(f"{coat.key}: {error}", file=sys.stderr)
        self.extraction = (time.perf_counter() - began) / len(coats)
        known: dict[str, Any] = {"trained": self.model.trained, "model": self.model.pk, "checksum": self.model.checksum}
        self.set = CoatSet(stored, vectors, **known)
        self.n = len(coats)

    def embedding(self) -> tuple[Matrix, Seconds]:
        scores = np.full((self.n, self.n), np.nan)
        began = Clock()
        for i in range(self.n):
            scores[i] = self.set.vectors @ self.set.vectors[i] if self.set.vectors is not None else np.nan
        seconds = began.spent(self.n)
        scores[~self.set.encoded] = scores[:, ~self.set.encoded] = np.nan
        np.fill_diagonal(scores, np.nan)
        return scores, seconds

    def local(self) -> tuple[Matrix, Seconds]:
        """Votes, then verification of the best voted for."""
        return self._verified(lambda i: self.set.shortlist(i, SHORTLIST, nearest=[]))[:2]

    def combined(self) -> tuple[Matrix, Seconds]:
        """The same with the nearest by vectors, and links through a third photo."""
        scores, seconds, found = self._verified(lambda i: self.set.shortlist(i, SHORTLIST))
        weights = {i: {j: e.weight or 0.0 for j, e in row.items()} for i, row in found.items()}
        both: dict[int, dict[int, float]] = {i: dict(row) for i, row in weights.items()}
        for i, row in weights.items():
            for j, weight in row.items():
                both[j][i] = weight
        began = Clock()
        for i in range(self.n):
            # What the catalogue knows of itself without this query.
            known = {k: {j: w for j, w in row.items() if j != i} for k, row in both.items() if k in weights[i]}
            for j, weight in through_a_third(i, known | {i: weights[i]}).items():
                evidence = found[i].get(j) or Evidence(0, 0, 0, 0, weight=0.0)
                if weight > (evidence.weight or 0.0):
                    linked = Evidence(0, 0, 0, 0, evidence.similarity, evidence.embedding, weight)
                    scores[i, j] = max(scores[i, j], self.set.calibration.score(linked))
        return scores, seconds + began.spent(self.n)

    def _verified(self, shortlist: Any) -> tuple[Matrix, Seconds, dict[int, dict[int, Evidence]]]:
        scores = np.full((self.n, self.n), UNVERIFIED)
        found: dict[int, dict[int, Evidence]] = {}
        self.set.votes(0)
        for i in range(self.n):
            # A catalogue's features are decoded when they are stored; here at the first look at them.
            _ = self.set.features[i].rootsift
        began = Clock()
        for i in range(self.n):
            chosen = shortlist(i)
            found[i] = {j: self.set.evidence(i, j) for j in chosen}
            for place, j in enumerate(chosen):
                scores[i, j] = self.set.calibration.score(found[i][j])
                if not found[i][j].inliers:
                    # Nothing was verified: they keep the order in which they were found.
                    scores[i, j] -= 1e-6 * place
        seconds = began.spent(self.n)
        np.fill_diagonal(scores, np.nan)
        return scores, seconds, found


def untrained(coats: list[RealCoat]) -> Matrix:
    """Cosines of an untrained network of the default kind."""
    from modelzoo.embedders import open_embedder
    from modelzoo.network import EmbeddingConfig, initial_weights, save_weights

    config = EmbeddingConfig()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "untrained.safetensors"
        sha256 = save_weights(path, initial_weights(config, SEED), {})
        embedder = open_embedder(config.to_dict(), path, sha256, runtime="torch")
        rows = []
        for coat in coats:
            files = (cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in (coat.edges, coat.mask))
            edges, mask = (None if file is None else file.astype(np.uint8) for file in files)
            rows.append(embedder.encode([CoatPixels(read(coat.crop), edges=edges, mask=mask)])[0])
    vectors = np.array(rows, np.float64)
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, np.nan)
    return cosines


def measure(data: Path, work: Path, segmenter: Path | None, *, with_hotspotter: bool) -> dict[str, Any]:
    """All columns of one folder; see the module."""
    coats = prepare(data, work / data.name, segmenter, limit=LIMIT)
    labels = [coat.identity for coat in coats]
    counts = {label: labels.count(label) for label in set(labels)}
    print(f"{data.name}: {len(coats)} photos, {len(counts)} identities", flush=True)
    ours = Coats(coats)
    columns: dict[str, tuple[Matrix, Seconds | None]] = {
        "embedding": ours.embedding(),
        "local": ours.local(),
        "combined": ours.combined(),
        "untrained": (untrained(coats), None),
    }
    extraction: dict[str, float] = {"spotid": ours.extraction}
    result: dict[str, Any] = {}
    if with_hotspotter:
        try:
            theirs = hotspotter.rank([coat.crop for coat in coats], work)
            took = Seconds(theirs.seconds_per_query, theirs.processor_seconds_per_query)
            columns["hotspotter"] = theirs.scores, took
            extraction["hotspotter"] = theirs.extraction_seconds
        except hotspotter.HotSpotterMissing as missing:
            print(f"HotSpotter is not measured: {missing}", file=sys.stderr)
            result["hotspotter_missing"] = str(missing)
    individuals = np.unique([coat.individual for coat in coats], return_inverse=True)[1].astype(np.int64)
    resampler = Resampler(individuals, seed=SEED, resamples=RESAMPLES)
    values = {name: per_query(scores, labels) for name, (scores, _) in columns.items()}
    for name, (_, seconds) in columns.items():
        figures = {measure: resampler.mean(values[name][measure]) for measure in MEASURES}
        result[name] = {m: f.value for m, f in figures.items()}
        result[name] |= {"seconds_per_query": None if seconds is None else seconds.clock}
        result[name] |= {"processor_seconds_per_query": None if seconds is None else seconds.processor}
        result[name]["intervals"] = {m: [f.low, f.high] for m, f in figures.items()}
        show(name, figures, seconds)
    if "hotspotter" in columns:
        differences = {m: resampler.mean(values["combined"][m] - values["hotspotter"][m]) for m in MEASURES}
        result["combined_minus_hotspotter"] = {m: f.to_dict() for m, f in differences.items()}
        ours_took, theirs_took = columns["combined"][1], columns["hotspotter"][1]
        assert ours_took is not None and theirs_took is not None
        faster = theirs_took.clock / ours_took.clock, theirs_took.processor / ours_took.processor
        result["times_faster"], result["times_less_processor"] = faster
        print("combined − hotspotter: " + "  ".join(f"{m} {signed(f)}" for m, f in differences.items()))
        print(f"HotSpotter's query takes {faster[0]:.1f} times as long, and {faster[1]:.1f} times the processor")
    print("extraction, seconds a photo: " + ", ".join(f"{k} {v:.2f}" for k, v in extraction.items()), flush=True)
    queries = int((~np.isnan(values["combined"]["t1"])).sum())
    about = {"data": data.name, "photos": len(coats), "identities": len(counts), "queries": queries}
    return {**about, "local_features": engines.local_version(), "extraction_seconds": extraction, **result}


def show(name: str, figures: dict[str, Figure], seconds: Seconds | None) -> None:
    took = ""
    if seconds is not None:
        took = f"  {1000 * seconds.clock:.1f} ms a query, {1000 * seconds.processor:.1f} of the processor"
    print(f"{name:>11}: " + "  ".join(f"{m} {f}" for m, f in figures.items()) + took, flush=True)


def signed(figure: Figure) -> str:
    return f"{figure.value:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder of one folder per identity")
    parser.add_argument("--catalogue", type=int, nargs="+", help="sizes of synthetic catalogues, in detections")
    parser.add_argument("--work", type=Path, help="keep masks, HotSpotter and synthetic animals here")
    parser.add_argument("--segmenter", type=Path, help="YOLO segmentation weights (.onnx)")
    parser.add_argument("--without-hotspotter", action="store_true", help="leave its column out: not to be quoted")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if (arguments.data is None) == (arguments.catalogue is None):
        parser.error("give --data DIR or --catalogue N")
    cv2.setNumThreads(1)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        work = (arguments.work or Path(scratch)).resolve()
        work.mkdir(parents=True, exist_ok=True)
        if arguments.data is not None:
            compare = not arguments.without_hotspotter
            result = measure(arguments.data.resolve(), work, arguments.segmenter, with_hotspotter=compare)
        else:
            import catalogue

            result = {"catalogue": [catalogue.measure(size, work) for size in sorted(arguments.catalogue)]}
    result["total_seconds"] = time.perf_counter() - began
    print(f"{result['total_seconds']:.0f} s in all")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

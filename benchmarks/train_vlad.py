"""Learns the vocabulary of the RootSIFT-VLAD that ships, on synthetic coats only, and measures it on real ones.

    python3 spotid.py bench train_vlad [--work DIR] [--write] [--data DIR]

Without --write the files go to the work folder. --data DIR: measure on DIR/spotid/crops, DIR/atrw and DIR/nyala, as far
as they are there; nothing of them enters the vocabulary. Kept in the work folder and taken up again: the features of
each rendered animal, the masks of the real photos. The same seed gives the same bits on the same machine.
"""

import argparse
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import cv2
import numpy as np
from local_features import read
from numpy.typing import NDArray
from real_coats import RealCoat, prepare
from safetensors.numpy import save

from modelzoo.cards import ModelCard
from modelzoo.coats import CoatPixels
from modelzoo.evaluation import (
    VARIANT_NAMES,
    VARIANTS,
    EvaluationPhoto,
    EvaluationReport,
    evaluate_vectors,
    events_from_names,
)
from modelzoo.local import LocalConfig, LocalFeatures, extract, from_bytes, to_bytes
from modelzoo.shipped import DEFAULT, FOLDER, write_shipped
from modelzoo.synthetic import make_crop
from modelzoo.vlad import VladConfig, VladEmbedder, VladWeights
from modelzoo.vlad_training import learn

SEED = 72026
INDIVIDUALS = 160
VIEWS = 4
FLANKS = ("left", "right")
REAL = {"leopards": Path("spotid") / "crops", "tigers": Path("atrw"), "nyala": Path("nyala")}
FIGURES = ("t1", "t5", "dt5ap")
SHAPE = ("words", "descriptor_dimension", "columns", "rows")


def synthetic_features(
    seed: int, individuals: int, views: int, config: LocalConfig, work: Path
) -> Iterator[LocalFeatures]:
    """Features, as the database would give them back, of every view of both flanks of every animal."""
    folder = work / f"{config.version}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    for individual in range(individuals):
        file = folder / f"{individual:04d}-{views}.npz"
        if not file.is_file():
            stored = [_view(seed, individual, flank, view, config) for flank in FLANKS for view in range(views)]
            partial = file.with_suffix(".partial")
            with partial.open("wb") as stream:
                np.savez(stream, *[np.frombuffer(data, np.uint8) for data in stored])
            partial.replace(file)
            if individual % 10 == 0:
                print(f"animal {individual} of {individuals}", flush=True)
        with np.load(file) as arrays:
            yield from (from_bytes(arrays[f"arr_{i}"].tobytes()) for i in range(len(FLANKS) * views))


def _view(seed: int, individual: int, flank: str, view: int, config: LocalConfig) -> bytes:
    crop = make_crop(seed, individual, flank, view)
    return to_bytes(extract(crop.rgb, crop.mask.astype(np.uint8) * 255, config))


def write_weights(weights: VladWeights, path: Path) -> str:
    """Float32: the whole vocabulary is smaller than a photo. Returns the SHA-256."""
    data = save(weights.tensors())
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    partial.replace(path)
    return hashlib.sha256(data).hexdigest()


def encode_all(coats: list[RealCoat], embedder: VladEmbedder, *, mirrored: bool) -> NDArray[np.float32]:
    rows = np.full((len(coats), embedder.dimension), np.nan, np.float32)
    for i, coat in enumerate(coats):
        crop, mask = read(coat.crop), cv2.imread(str(coat.mask), cv2.IMREAD_GRAYSCALE)
        if mirrored:
            crop, mask = crop[:, ::-1], mask[:, ::-1]
        pixels = CoatPixels(np.ascontiguousarray(crop), mask=np.ascontiguousarray(mask, np.uint8))
        rows[i] = embedder.encode([pixels])[0]
    return rows


def evaluate(data: Path, work: Path, embedder: VladEmbedder) -> EvaluationReport:
    coats = prepare(data, work / "real" / data.name)
    events = events_from_names([coat.crop.name for coat in coats])
    photos = [
        EvaluationPhoto(c.key, c.identity, c.individual, event, c.flank.lower(), c.crop)
        for c, event in zip(coats, events, strict=True)
    ]
    seen, mirrored = (encode_all(coats, embedder, mirrored=turned) for turned in (False, True))
    return evaluate_vectors(seen, photos, mirrored=mirrored)


def figures_of(report: EvaluationReport) -> dict[str, Any]:
    """What the card says of one set: per table, value and interval of the main figures."""
    tables: dict[str, Any] = {}
    for variant in VARIANTS:
        if report[variant].known:
            tables[VARIANT_NAMES[variant]] = {name: _rounded(report[variant][name].to_dict()) for name in FIGURES}
    return {"photos": len(report.photos), "identities": report.identities, "tables": tables}


def _rounded(figure: dict[str, float | None]) -> dict[str, float | None]:
    return {name: None if value is None else round(value, 4) for name, value in figure.items()}


def show(name: str, report: EvaluationReport) -> None:
    for variant in VARIANTS:
        table = report[variant]
        figures = "  ".join(f"{figure} {table[figure]}" for figure in FIGURES) if table.known else table.reason
        print(f"{name}, {VARIANT_NAMES[variant]}: {figures}", flush=True)


def make_card(config: VladConfig, crops: int, evaluation: dict[str, Any], command: str) -> ModelCard:
    return ModelCard(
        name=DEFAULT,
        config=config.to_dict(),
        dimension=config.dimension,
        trained=True,
        training_data=f"{crops} crops of synthetic leopards made by modelzoo.synthetic, seed {SEED}; no photo",
        licence="AGPL-3.0-or-later",
        evaluation=evaluation,
        source=f"SpotID, python3 spotid.py bench {command}",
        notes=(
            "Local features of the coat inside its mask, summed up word by word: there is no network. Its settings "
            "were chosen by looking at the real sets under evaluation, so those figures flatter a little; its "
            "vocabulary has seen none of them."
        ),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="keep features and masks here and use those that are there")
    parser.add_argument("--individuals", type=int, default=INDIVIDUALS, help=f"animals to render ({INDIVIDUALS})")
    parser.add_argument("--views", type=int, default=VIEWS, help=f"crops of each of their flanks ({VIEWS})")
    for name in SHAPE:
        default = getattr(VladConfig(), name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default, help=f"({default})")
    parser.add_argument("--write", action="store_true", help="replace the shipped weights and their card")
    parser.add_argument("--data", type=Path, help="folder of the real sets")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        config = replace(VladConfig(), **{name: getattr(arguments, name) for name in SHAPE})
        features = list(synthetic_features(SEED, arguments.individuals, arguments.views, config.local, work))
        weights = learn(features, config, SEED, lambda done, total, message: print(message, flush=True))
        target = FOLDER if arguments.write else work
        path = target / f"{DEFAULT}.safetensors"
        sha256 = write_weights(weights, path)
        embedder = VladEmbedder(config.to_dict(), path, sha256)
        evaluation = {}
        for name, data in REAL.items():
            if arguments.data is not None and (arguments.data / data).is_dir():
                report = evaluate(arguments.data / data, work, embedder)
                evaluation[name] = figures_of(report)
                show(name, report)
        command = f"train_vlad --individuals {arguments.individuals} --views {arguments.views} --data DIR --write"
        write_shipped(target, make_card(config, len(features), evaluation, command), sha256)
        print(f"{path}, SHA-256 {sha256}, {config.dimension} dimensions")


if __name__ == "__main__":
    main()

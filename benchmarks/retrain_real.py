"""What retraining on confirmed individuals brings to individuals that it never saw.

    python3 spotid.py bench retrain_real --data DIR --work DIR [--config train.toml] [--start FILE.safetensors]
        [--folds N] [--json FILE] [--card FILE]

The figures of the cards below benchmarks/cards/ come from

    … --data atrw --config benchmarks/settings/retrain_tigers.toml --card benchmarks/cards/retrained_tigers.json
    … --data nyala --config benchmarks/settings/retrain_nyala.toml --card benchmarks/cards/retrained_nyala.json

DIR/IDENTITY/PHOTO are finished crops, as in `real_coats`. The individuals are dealt into folds. For each fold a network
is trained on the animals of the others, of which some only choose the best epoch, and ranks the photos of the fold
among each other, so that every animal is held out once and no network ever ranks one that it has seen. Side by side, on
the same photos: a network of the same kind with random weights; the starting point; trained from random weights and
from the starting point; RootSIFT-VLAD. Differences are paired, with 95 % intervals from resampled individuals, and end
in the advice that `retrain` gives an administrator. The trained weights stay in WORK; a stopped run goes on there.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
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
from safetensors.torch import load_file

from modelzoo.cards import ModelCard
from modelzoo.coats import CoatPixels, EncodingError
from modelzoo.embedders import Embedder, open_embedder
from modelzoo.evaluation import (
    VARIANT_NAMES,
    VARIANTS,
    EvaluationPhoto,
    EvaluationReport,
    compare,
    evaluate_scores,
    events_from_names,
)
from modelzoo.evaluation.shortcuts import mirrored_coats
from modelzoo.network import initial_weights, save_weights
from modelzoo.shipped import shipped_model
from modelzoo.training.config import TrainConfig
from modelzoo.training.data import TrainingPhoto, load_coat
from modelzoo.training.results import TrainingProgress
from modelzoo.training.splits import Split, paired_individuals, split_individuals
from modelzoo.training.trainer import train

# What two cores can do in minutes; a run of an institution takes the defaults of `train.toml`.
SMALL = TrainConfig(
    width=256,
    height=128,
    dimension=512,
    epochs=24,
    patience=8,
    batch_size=32,
)
VALIDATION = 0.2
THREADS = 1


@dataclass(frozen=True)
class Arm:
    """One way to make vectors of the held-out photos."""

    name: str
    embedder: Embedder
    seconds: float = 0.0
    history: tuple[dict[str, Any], ...] = ()


def training_photos(coats: Sequence[RealCoat]) -> list[TrainingPhoto]:
    events = events_from_names([coat.crop.name for coat in coats])
    return [
        TrainingPhoto(
            key=coat.key,
            identity=coat.identity,
            individual=coat.individual,
            crop=coat.crop,
            edges=coat.edges,
            mask=coat.mask,
            event=event,
            flank=coat.flank,
        )
        for coat, event in zip(coats, events, strict=True)
    ]


def evaluation_photos(photos: Sequence[TrainingPhoto]) -> list[EvaluationPhoto]:
    return [
        EvaluationPhoto(p.key, identity=p.identity, individual=p.individual, event=p.event, flank=p.flank, crop=p.crop)
        for p in photos
    ]


def vectors_of(embedder: Embedder, coats: Sequence[CoatPixels]) -> NDArray[np.float32]:
    """n×d; a row of NaN where a coat cannot be encoded (for example without any keypoint)."""
    try:
        return embedder.encode(coats)
    except EncodingError:
        rows = np.full((len(coats), embedder.dimension), np.nan, np.float32)
    for i, coat in enumerate(coats):
        try:
            rows[i] = embedder.encode([coat])[0]
        except EncodingError as error:
            print(f"photo {i} has no vector: {error}", file=sys.stderr)
    return rows


def trained(
    name: str,
    split: tuple[Sequence[TrainingPhoto], Sequence[TrainingPhoto]],
    config: TrainConfig,
    folder: Path,
    start: Path | None,
) -> Arm:
    """Train (or take what an earlier call of this benchmark has finished in the folder) and open the result."""
    began = time.perf_counter()
    last = 0.0

    def tell(at: TrainingProgress) -> None:
        nonlocal last
        if time.perf_counter() - last > 20:
            last = time.perf_counter()
            print(f"  {name}: epoch {at.epoch}/{at.epochs}, step {at.step}/{at.steps}, {at.message}", file=sys.stderr)

    state = None if start is None else load_file(start)
    result = train(*split, config, folder, start=state, progress=tell, should_stop=lambda: False, threads=THREADS)
    embedder = open_embedder(result.embedding_config, result.weights, result.sha256, runtime="torch", threads=THREADS)
    return Arm(name, embedder, time.perf_counter() - began, tuple(result.history))


def network(name: str, config: TrainConfig, folder: Path, start: Path | None) -> Arm:
    """A network as training from that start finds it: its layers that fit, the others random."""
    embedding = config.embedding_config()
    state = initial_weights(embedding, seed=config.seed)
    if start is not None:
        given = load_file(start)
        state |= {k: v.float() for k, v in given.items() if k in state and state[k].shape == v.shape}
    path = folder / f"{name.replace(' ', '-')}.safetensors"
    sha256 = save_weights(path, state, {})
    return Arm(name, open_embedder(embedding.to_dict(), path, sha256, runtime="torch", threads=THREADS))


def shipped_vlad() -> Arm:
    vlad = shipped_model()
    return Arm("RootSIFT-VLAD", open_embedder(vlad.card.config, vlad.path, vlad.sha256, threads=THREADS))


def main() -> None:
    arguments = parse()
    cv2.setNumThreads(THREADS)
    torch.set_num_threads(THREADS)
    config = SMALL if arguments.config is None else TrainConfig.from_toml(arguments.config)
    photos = training_photos(prepare(arguments.data, arguments.work))
    runs = arguments.work / "runs" / arguments.data.name
    runs.mkdir(parents=True, exist_ok=True)
    folds = []
    for number, held_out in enumerate(dealt(photos, arguments.folds, config.seed)):
        rest = [photo for photo in photos if photo.individual not in held_out]
        split = split_individuals(rest, config.seed, (1 - VALIDATION, VALIDATION, 0.0))
        test = [photo for photo in photos if photo.individual in held_out]
        print(
            f"{arguments.data.name}, fold {number + 1} of {arguments.folds}: {len(split.train)} photos to train on, "
            f"{len(split.validation)} to validate, {len(test)} of {len(held_out)} individuals held out",
            flush=True,
        )
        folds.append((test, arms_of(config, split, runs / f"fold-{number + 1}", arguments.start)))
    table = measure(folds)
    table |= {
        "data": arguments.data.name,
        "start": arguments.start and arguments.start.name,
        "config": config.to_dict(),
    }
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    if arguments.card is not None:
        text = json.dumps(card_of(table).to_dict(), indent=1, ensure_ascii=False, sort_keys=True)
        arguments.card.write_text(text + "\n", encoding="utf-8")


def card_of(table: dict[str, Any]) -> ModelCard:
    """What is said of the networks trained here. Their weights are not given away: the photos are not ours."""
    config = TrainConfig.from_dict(table["config"])
    arm = "trained from start" if "trained from start" in table["arms"] else "trained from random"
    figures = {
        name: {
            variant: {
                key: values["tables"]["all"][variant]["figures"][key] for key in ("t1", "t5", "dt5ap", "map", "auroc")
            }
            for variant in ("as_seen", "normalised")
        }
        for name, values in ((name, row["figures"]) for name, row in table["arms"].items())
    }
    return ModelCard(
        name=f"retrained-{table['data']}",
        config=config.embedding_config().to_dict(),
        dimension=config.dimension,
        trained=True,
        training_data=(
            f"{table['photos']} photos of {table['individuals']} individuals of {table['data']}, in {table['folds']} "
            "folds by individual: one network per fold, measured on the individuals that it has not seen"
        ),
        licence="not given away",
        evaluation={
            "shown": arm,
            "figures": figures,
            "differences": table["differences"],
            "interval": "95 %, percentile bootstrap over individuals",
            "events": "unknown: near-duplicates of one event could not be left out",
            "settings": table["config"],
        },
        source="benchmarks/retrain_real.py",
        parent=table["start"] or "",
    )


def dealt(photos: Sequence[TrainingPhoto], folds: int, seed: int) -> list[set[str]]:
    """The individuals in as many parts, those that can be queries and the others dealt out evenly each."""
    paired = paired_individuals(photos)
    rng = np.random.default_rng(seed)
    parts: list[set[str]] = [set() for _ in range(folds)]
    for group in (paired, {photo.individual for photo in photos} - paired):
        names = sorted(group)
        for place, i in enumerate(rng.permutation(len(names)).tolist()):
            parts[place % folds].add(names[i])
    return parts


def arms_of(config: TrainConfig, split: Split, folder: Path, start: Path | None) -> list[Arm]:
    folder.mkdir(parents=True, exist_ok=True)
    known = (split.train, split.validation)
    arms = [network("untrained", config, folder, None), shipped_vlad()]
    arms.append(trained("trained from random", known, config, folder / "from-random", None))
    if start is not None:
        arms.append(network("starting point", config, folder, start))
        arms.append(trained("trained from start", known, config, folder / f"from-{start.stem}", start))
    return arms


# new against old: what each training has to beat.
PAIRS = (
    ("trained from random", "untrained"),
    ("trained from start", "starting point"),
    ("trained from start", "untrained"),
    ("trained from start", "trained from random"),
    ("trained from start", "RootSIFT-VLAD"),
    ("trained from random", "RootSIFT-VLAD"),
)


def measure(folds: Sequence[tuple[Sequence[TrainingPhoto], Sequence[Arm]]]) -> dict[str, Any]:
    """Print and return figures and paired differences of the arms; photos are ranked within their fold alone."""
    photos = evaluation_photos([photo for test, _ in folds for photo in test])
    blocks: dict[str, list[tuple[NDArray[np.float64], NDArray[np.float64]]]] = {}
    for test, arms in folds:
        coats = [load_coat(photo) for photo in test]
        turned = mirrored_coats(coats)
        for arm in arms:
            seen = vectors_of(arm.embedder, coats).astype(np.float64)
            other = vectors_of(arm.embedder, turned).astype(np.float64)
            blocks.setdefault(arm.name, []).append((seen @ seen.T, other @ seen.T))
    reports: dict[str, EvaluationReport] = {}
    for name, parts in blocks.items():
        plain, mirrored = (diagonal([part[i] for part in parts]) for i in (0, 1))
        reports[name] = evaluate_scores(plain, photos, mirrored=mirrored)
    for variant in VARIANTS:
        shown = next(iter(reports.values()))[variant]
        print(f"\n{VARIANT_NAMES[variant]}" + ("" if shown.known else f": unknown ({shown.reason})"))
        if not shown.known:
            continue
        print(f"{'':<22}{'T1':<24}{'T5':<24}{'DT5AP':<24}{'mAP':<24}")
        for name, report in reports.items():
            row = report[variant]
            print(f"{name:<22}" + "".join(f"{row[key]!s:<24}" for key in ("t1", "t5", "dt5ap", "map")))
    print()
    differences = {}
    for new, old in PAIRS:
        if new in reports and old in reports:
            verdict = compare(reports[old], reports[new])
            differences[f"{new} − {old}"] = verdict.to_dict()
            print(f"{new} against {old}: {verdict.sentence}")
    arms = {
        name: {
            "seconds": [arm.seconds for _, arms in folds for arm in arms if arm.name == name],
            "history": [list(arm.history) for _, arms in folds for arm in arms if arm.name == name],
            "figures": report.to_dict(),
        }
        for name, report in reports.items()
    }
    return {
        "photos": len(photos),
        "individuals": len({photo.individual for photo in photos}),
        "folds": len(folds),
        "arms": arms,
        "differences": differences,
    }


def diagonal(blocks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Square blocks along the diagonal, NaN (not comparable) elsewhere."""
    size = sum(len(block) for block in blocks)
    whole = np.full((size, size), np.nan)
    at = 0
    for block in blocks:
        whole[at : at + len(block), at : at + len(block)] = block
        at += len(block)
    return whole


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of one folder per flank identity")
    parser.add_argument("--work", type=Path, required=True, help="masks, edge maps, checkpoints and weights go here")
    parser.add_argument("--config", type=Path, help="train.toml; without it a small setting")
    parser.add_argument("--start", type=Path, help="weights to start from, of the same architecture")
    parser.add_argument("--folds", type=int, default=2, help="into which the individuals are dealt (2)")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--card", type=Path, help="write a model card with the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()

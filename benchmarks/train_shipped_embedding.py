"""Trains the network that `retrain` may start from: EfficientNetV2-B2 with CosFace, on synthetic coats alone.

    python3 spotid.py bench synthetic_bank --out BANK/train --individuals 250
    python3 spotid.py bench synthetic_bank --out BANK/held_out --individuals 30 --views 6 --first 90000
    python3 spotid.py bench train_shipped_embedding --bank BANK --out DIR [--minutes M] [--threads N] [--quick]

In three stages, each from the best epoch of the one before. From random weights prototypes of many animals teach
nothing for thousands of photos, because light and pose tell photos apart more than coats do; so the first stage sees
one photo of each flank, changed four ways in each batch, where the pattern is all that stays. Then come all views at
128×64, and last 256×128. Every stage can be killed and started again.
DIR gets cosface-synthetic-b2.safetensors (float16; the best epoch so far by DTkAP of held-out synthetic animals,
rewritten whenever there is a better one), cosface-synthetic-b2.json with its settings, size, SHA-256 and history, and
the stages' own folders. No real photo is read here; benchmarks/embedding_transfer.py measures on those.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import numpy as np
import torch
from safetensors.torch import load_file

from modelzoo.network import initial_weights, save_weights
from modelzoo.pipelines import PIPELINES
from modelzoo.training.config import TrainConfig
from modelzoo.training.data import CoatDataset, TrainingPhoto
from modelzoo.training.folders import photos_from_folders
from modelzoo.training.network_run import NetworkRun
from modelzoo.training.results import TrainingProgress, TrainingResult
from modelzoo.training.trainer import train

NAME = "cosface-synthetic-b2"
# Plain CosFace: from random weights the adaptive margin, which vanishes where cosines are large, pays all prototypes
# and photos for gathering in one direction, and did. A low scale and margin learn sooner.
COMMON = {
    "width": 128,
    "height": 64,
    "dimension": 192,
    "loss": "cosface",
    "margin": 0.1,
    "scale": 30.0,
    "batch_size": 32,
    "patience": 0,
    "learning_rate": 0.0004,
    "lr_step": 4,
    "jitter": 0.4,
    "checkpoint_steps": 40,
    "cache_mb": 4096,
    "seed": 3,
}
COPIES = 4
STAGES = {
    "one_view": {"epochs": 12},
    "all_views": {"epochs": 16},
    "256x128": {"width": 256, "height": 128, "epochs": 3, "learning_rate": 0.0002, "lr_step": 1, "lr_gamma": 0.5},
}
QUICK = {"backbone": "test_efficientnet", "epochs": 2}


def centred_start(config: TrainConfig, photos: list[TrainingPhoto]) -> dict[str, torch.Tensor]:
    """Random weights whose last layer's bias takes away the mean vector of 256 photos.

    Without it a random network puts all photos into a narrow cone, and the first epochs only open it.
    """
    state = initial_weights(config.embedding_config(), config.seed)
    chosen = np.random.default_rng(config.seed).permutation(len(photos))[:256]
    pipeline = PIPELINES[config.pipeline]
    dataset = CoatDataset([photos[i] for i in chosen], pipeline, config.width, config.height, cache_bytes=1 << 30)
    run = NetworkRun(config, state, [0, 1])
    run.net.train()
    with torch.inference_mode():
        rows = [
            run.rows(torch.stack([dataset.planes(i) for i in range(first, min(first + 32, len(dataset)))]), unit=False)
            for first in range(0, len(dataset), 32)
        ]
        state["embedding.bias"] = state["embedding.bias"] - torch.cat(rows).mean(0).cpu()
    return state


def export(weights: Path, out: Path, stage: str, config: TrainConfig, history: list[dict]) -> None:
    """The candidate: float16, with what is needed to use it beside it."""
    state = {n: v.half() if v.is_floating_point() else v for n, v in load_file(weights).items()}
    embedding = config.embedding_config().to_dict()
    path = out / f"{NAME}.safetensors"
    sha256 = save_weights(path, state, {"embedding_config": json.dumps(embedding), "trained_on": "synthetic coats"})
    best = max(history, key=lambda row: row["dtkap"])
    about = {
        "config": embedding, "sha256": sha256, "bytes": path.stat().st_size, "stage": stage, "best": best,
        "history": history, "settings": config.to_dict(),
    }  # fmt: skip
    (out / f"{NAME}.json").write_text(json.dumps(about, indent=1))
    print(f"{stage}: exported epoch {best['epoch']}, DTkAP {best['dtkap']:.3f} held-out synthetic", flush=True)


def reporter(run_dir: Path, out: Path, stage: str, config: TrainConfig) -> Callable[[TrainingProgress], None]:
    """Prints now and then, and exports each new best epoch after the first two."""
    exported, started = [0], time.monotonic()

    def tell(progress: TrainingProgress) -> None:
        if progress.step % 10 == 0 or progress.loss is None:
            used = f"{time.monotonic() - started:.0f} s, {time.process_time():.0f} s of processor"
            print(f"{stage} step {progress.step}/{progress.steps}: {progress.message} ({used})", flush=True)
        history = [dict(row) for row in progress.history]
        if not history or progress.loss is None:
            return
        best = max(history, key=lambda row: row["dtkap"])["epoch"]
        file = run_dir / f"best-{best:05d}.safetensors"
        if best > exported[0] and file.is_file():
            exported[0] = best
            export(file, out, stage, config, history)

    return tell


def run_stage(stage: str, arguments: argparse.Namespace, start: dict | None, deadline: float) -> TrainingResult:
    settings = COMMON | STAGES[stage] | (QUICK if arguments.quick else {})
    config = TrainConfig(**settings)
    sets = [
        photos_from_folders(arguments.bank / n / "crops", arguments.bank / n / "edges") for n in ("train", "held_out")
    ]
    if stage == "one_view":
        sets[0] = [replace(p, key=f"{p.key}#{n}") for p in sets[0] if p.crop.stem == "000" for n in range(COPIES)]
    if arguments.quick:
        sets = [photos[:120] for photos in sets]
    run_dir = arguments.out / stage
    start = centred_start(config, sets[0]) if start is None else start
    tell = reporter(run_dir, arguments.out, stage, config)
    result = train(
        *sets, config, run_dir, start=start, progress=tell, should_stop=lambda: time.monotonic() > deadline,
        threads=arguments.threads,
    )  # fmt: skip
    if result.best_epoch:
        export(result.weights, arguments.out, stage, config, result.history)
    print(f"{stage}: {result.outcome} after {result.epochs_run} epochs, best {result.best_epoch}", flush=True)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bank", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=600, help="stop after so long; starting again goes on")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help="a tiny network on a few photos: does it run")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * arguments.minutes
    start = None
    for stage in STAGES:
        result = run_stage(stage, arguments, start, deadline)
        if result.outcome == "cancelled":
            break
        start = load_file(result.weights)


if __name__ == "__main__":
    main()

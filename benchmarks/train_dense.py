"""Trains the dense descriptors on painted synthetic coats and writes their weights.

    python3 spotid.py bench train_dense --out FILE [--work DIR] [--steps N] [--coats N] [--views N] [--seed N]

The bank of rendered views and a checkpoint are kept below --work; a run that was interrupted goes on from there. One
thread. No real photo has a part in it: whether the weights are of use is for `dense_descriptors` to say.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import cv2
import torch

from modelzoo.cards import ModelCard
from modelzoo.dense import DenseNet, save_dense
from modelzoo.dense.bank import Bank, render_bank
from modelzoo.dense.training import DenseTrainer, DenseTraining
from modelzoo.dense.weights import parameters

NAME = "dense-coat"
BANK_SEED = 11


def bank_of(work: Path, coats: int, views: int, start: float) -> Bank:
    path = work / f"bank-{BANK_SEED}-{coats}-{views}.npz"
    if not path.is_file():

        def progress(done: int, total: int, _: str) -> None:
            if done % 100 == 0:
                print(f"rendered {done} of {total}, {time.monotonic() - start:.0f} s", flush=True)

        render_bank(BANK_SEED, coats, views, progress=progress).save(path)
    return Bank.load(path)


def card_of(network: DenseNet, training: DenseTraining, coats: int, views: int, command: str) -> ModelCard:
    config = network.config
    return ModelCard(
        name=NAME,
        config=config.to_dict(),
        dimension=config.dimension,
        trained=True,
        training_data=f"{coats} painted synthetic coats (leopard rosettes, dark and pale stripes, spots, blotches, "
        f"marbling), {views} rendered views each, seed {BANK_SEED}; {training.steps} steps of {training.pairs} pairs. "
        "No real photo.",
        licence="AGPL-3.0-or-later",
        source=command,
        notes=f"{parameters(network)} parameters; local descriptors at every fourth pixel, never one vector per photo.",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--work", type=Path, default=Path("var") / "train-dense", help="bank and checkpoint")
    parser.add_argument("--steps", type=int, default=DenseTraining.steps)
    parser.add_argument("--coats", type=int, default=250)
    parser.add_argument("--views", type=int, default=4)
    parser.add_argument("--seed", type=int, default=DenseTraining.seed)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    start = time.monotonic()
    bank = bank_of(arguments.work, arguments.coats, arguments.views, start)
    horizon = max(arguments.steps, DenseTraining.horizon)
    training = DenseTraining(seed=arguments.seed, steps=arguments.steps, horizon=horizon)
    print(json.dumps({"views": len(bank), "steps": training.steps}), flush=True)

    def progress(step: int, steps: int, text: str) -> None:
        if step % 20 == 0 or step == steps:
            spent, wall = time.process_time(), time.monotonic() - start
            print(f"step {step} of {steps}: {text}; {wall:.0f} s, {spent:.0f} s of processor", flush=True)

    run = f"run-{arguments.coats}-{arguments.views}-{arguments.seed}-{arguments.steps}"
    network = DenseTrainer(training).run(bank, arguments.work / run, progress)
    command = (
        f"bench train_dense --steps {arguments.steps} --coats {arguments.coats} --views {arguments.views} "
        f"--seed {arguments.seed}"
    )
    digest = save_dense(arguments.out, network, card_of(network, training, arguments.coats, arguments.views, command))
    print(f"{arguments.out}: SHA-256 {digest}")


if __name__ == "__main__":
    main()

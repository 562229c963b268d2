"""Milliseconds per image of an embedding network under each runtime, side by side in one run.

    python3 spotid.py bench runtimes [--backbone NAME] [--width 512] [--height 256] [--threads 1] [--weights FILE]

The runtimes take turns image by image, so that whatever else the machine does slows all of them alike; medians are
printed. "CPU" is the processor's time, which a busy machine changes less. "ratio" is that to torch called plainly,
"1 − cos" the largest distance from its vectors on the images timed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from modelzoo.network import CoatNet, EmbeddingConfig, initial_weights, load_weights
from modelzoo.runtimes import Recipe, Runner, torch_cpu
from modelzoo.runtimes.openvino_cpu import OpenVinoRunner
from modelzoo.runtimes.recipe import RuntimeUnavailable, disagreement, probe
from modelzoo.weights import sha256_of

CPU = torch.device("cpu")


def runners(net: CoatNet, config: EmbeddingConfig, threads: int, folder: Path) -> dict[str, Runner]:
    """Every way to run the network that this machine has."""
    shape = (config.in_channels, config.height, config.width)

    def load() -> CoatNet:
        fresh = CoatNet(config).eval()
        fresh.load_state_dict(net.state_dict())
        return fresh

    quick, exact = (Recipe(load, f"benchmark {e}", shape, threads, folder, exact=e) for e in (False, True))
    found: dict[str, Runner] = {"torch, plain": torch_cpu.TorchRunner(exact, CPU)}
    has, torch_cpu.has_bfloat16 = torch_cpu.has_bfloat16, lambda: False
    found["torch, channels last"] = torch_cpu.TorchRunner(quick, CPU)
    torch_cpu.has_bfloat16 = has
    if has():
        found["torch, as chosen"] = torch_cpu.TorchRunner(quick, CPU)
    for name, recipe in (("OpenVINO, float32", exact), ("OpenVINO, as chosen", quick)):
        try:
            found[name] = OpenVinoRunner(recipe)
        except RuntimeUnavailable as error:
            print(f"{name}: {error}", file=sys.stderr)
    return found


def measure(found: dict[str, Runner], images: torch.Tensor, rounds: int) -> dict[str, tuple[float, float]]:
    """Median milliseconds of a turn: by the clock, and of the processor."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in found}
    for turn in range(rounds + 1):
        image = images[turn % len(images)][None]
        for name, runner in found.items():
            begun = time.perf_counter(), time.process_time()
            runner.run(image)
            if turn:
                taken[name].append((time.perf_counter() - begun[0], time.process_time() - begun[1]))
    return {
        name: (1000 * statistics.median(w for w, _ in turns), 1000 * statistics.median(c for _, c in turns))
        for name, turns in taken.items()
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="tf_efficientnetv2_b2")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--weights", type=Path, help="a safetensors file of this network; else random weights")
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(chosen.threads)
    config = EmbeddingConfig(backbone=chosen.backbone, width=chosen.width, height=chosen.height)
    net = CoatNet(config).eval()
    given = chosen.weights
    net.load_state_dict(load_weights(given, sha256=sha256_of(given)) if given else initial_weights(config, 1))
    images = probe((config.in_channels, config.height, config.width))
    with tempfile.TemporaryDirectory() as folder:
        found = runners(net, config, chosen.threads, Path(folder))
        rows = report(found, images, chosen.rounds)
    print(f"{config.backbone}, {config.width}×{config.height}, {chosen.threads} threads, {chosen.rounds} turns")
    print(f"{'':22}{'ms/image':>10}{'CPU':>8}{'ratio':>8}{'1 − cos':>10}  what")
    for row in rows:
        figures = f"{row['ms']:10.1f}{row['cpu_ms']:8.1f}{row['ratio']:8.2f}{row['distance']:10.1e}"
        print(f"{row['name']:22}{figures}  {row['description']}")
    if chosen.json:
        chosen.json.write_text(json.dumps(rows, indent=2), encoding="utf-8")
    return 0


def report(found: dict[str, Runner], images: torch.Tensor, rounds: int) -> list[dict[str, str | float]]:
    taken = measure(found, images, rounds)
    expected = found["torch, plain"].run(images)
    return [
        {
            "name": name,
            "ms": taken[name][0],
            "cpu_ms": taken[name][1],
            "ratio": taken[name][1] / taken["torch, plain"][1],
            "distance": disagreement(runner.run(images), expected),
            "description": runner.description,
        }
        for name, runner in found.items()
    ]


if __name__ == "__main__":
    sys.exit(main())

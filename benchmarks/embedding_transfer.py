"""How well a network ranks real animals that it was not trained on, beside the same network untrained.

    python3 spotid.py bench embedding_transfer --weights FILE.safetensors --data shared/data [--sets spotid,atrw,nyala]
                                               [--seeds 0,1] [--json FILE]

FILE.json beside the weights holds their settings (as benchmarks/train_shipped_embedding.py writes them). Sets: `spotid`
(36 leopard crops with their edge maps), `atrw` (tigers), `nyala`; edge maps that are not there are drawn from the whole
crop. Every figure with its 95 % interval (bootstrap over individuals), as seen and with headings turned one way, and
the difference to the untrained network with the same settings. Nothing is trained here.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import cv2
import numpy as np
import torch
from torch.nn import functional

from modelzoo.coats import CoatPixels
from modelzoo.evaluation import EvaluationPhoto, EvaluationReport, compare, evaluate_vectors, events_from_names
from modelzoo.evaluation.shortcuts import mirrored_coats
from modelzoo.network import CoatNet, EmbeddingConfig, initial_weights, load_weights
from modelzoo.training.data import TrainingPhoto, load_coat
from modelzoo.training.folders import photos_from_folders
from preprocessing.edges import edge_map

SETS = {"spotid": ("spotid/crops", "spotid/edges"), "atrw": ("atrw", None), "nyala": ("nyala", None)}
FIGURES = ("t1", "dt5ap", "map", "auroc")
VARIANTS = [("all", "as_seen"), ("all", "normalised"), ("other_events", "as_seen"), ("other_events", "normalised")]


def photos_of(data: Path, name: str) -> list[TrainingPhoto]:
    crops, edges = SETS[name]
    return photos_from_folders(data / crops, data / edges if edges else None)


def planes_of(photos: list[TrainingPhoto], config: EmbeddingConfig) -> tuple[np.ndarray, np.ndarray]:
    """n×H×W×C uint8 of the coats as seen and mirrored."""
    seen, mirrored = [], []
    for photo in photos:
        coat = load_coat(photo)
        if coat.edges is None:
            coat = CoatPixels(coat.crop, edge_map(coat.crop, None))
        for planes, version in ((seen, coat), (mirrored, mirrored_coats([coat])[0])):
            planes.append(config.preprocessing.planes(version, config.width, config.height))
    return np.stack(seen), np.stack(mirrored)


def vectors(net: CoatNet, planes: np.ndarray) -> np.ndarray:
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (net.config.mean, net.config.std))
    rows = []
    with torch.inference_mode():
        for first in range(0, len(planes), 16):
            images = torch.from_numpy(planes[first : first + 16]).permute(0, 3, 1, 2).float() / 255
            images = ((images - mean) / std).contiguous(memory_format=torch.channels_last)
            rows.append(functional.normalize(net(images).double(), dim=1))
    return torch.cat(rows).numpy()


def untrained(config: EmbeddingConfig, seed: int) -> CoatNet:
    """Random weights, as a training begins with them. (Statistics of its normalisations taken from the photos make it
    rank far worse: tigers' top-1 0.11.)"""
    net = CoatNet(config)
    net.load_state_dict(initial_weights(config, seed))
    return net.to(memory_format=torch.channels_last).eval()


def load(path: Path) -> tuple[CoatNet, dict]:
    about = json.loads(path.with_suffix(".json").read_text())
    net = CoatNet(EmbeddingConfig.from_dict(about["config"]))
    net.load_state_dict(load_weights(path, sha256=about["sha256"]))
    return net.to(memory_format=torch.channels_last).eval(), about


def brief(report: EvaluationReport) -> dict:
    return {
        "/".join(variant): {name: report[variant][name].to_dict() for name in FIGURES}
        for variant in VARIANTS
        if report[variant].known
    }


def show(name: str, report: EvaluationReport) -> None:
    for variant in VARIANTS:
        if report[variant].known:
            figures = "  ".join(f"{figure} {report[variant][figure]}" for figure in FIGURES)
            print(f"  {name:12} {'/'.join(variant):24} {figures}", flush=True)


def measure(name: str, data: Path, net: CoatNet, seeds: list[int]) -> dict:
    photos = photos_of(data, name)
    events = events_from_names([Path(photo.key).name for photo in photos])
    told = [
        EvaluationPhoto(p.key, p.identity, p.individual, event, p.flank, p.crop) for p, event in zip(photos, events)
    ]
    seen, mirrored = planes_of(photos, net.config)
    print(f"{name}: {len(photos)} photos", flush=True)
    trained = evaluate_vectors(vectors(net, seen), told, mirrored=vectors(net, mirrored))
    show("trained", trained)
    result: dict = {"photos": len(photos), "trained": brief(trained), "untrained": {}, "difference": {}}
    for seed in seeds:
        control_net = untrained(net.config, seed)
        control = evaluate_vectors(vectors(control_net, seen), told, mirrored=vectors(control_net, mirrored))
        show(f"untrained {seed}", control)
        difference = compare(control, trained).to_dict()
        print(f"  against untrained {seed}: {difference['sentence']}", flush=True)
        result["untrained"][str(seed)], result["difference"][str(seed)] = brief(control), difference
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=os.environ.get("SPOTID_SHARED_DATA"))
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("say where the real photos are: --data, or SPOTID_SHARED_DATA")
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    net, about = load(arguments.weights)
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    start = time.process_time()
    names = arguments.sets.split(",")
    found = {name: measure(name, Path(arguments.data), net, seeds) for name in names}
    print(f"{time.process_time() - start:.0f} s of processor")
    if arguments.json:
        said = {
            "weights": arguments.weights.name, "sha256": about["sha256"], "config": about["config"],
            "stage": about["stage"], "held_out_synthetic": about["best"], "sets": found,
        }  # fmt: skip
        with tempfile.NamedTemporaryFile("w", dir=arguments.json.parent, delete=False) as stream:
            json.dump(said, stream, indent=1)
        Path(stream.name).replace(arguments.json)


if __name__ == "__main__":
    main()

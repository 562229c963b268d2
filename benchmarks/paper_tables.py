"""Tables 1 and 2 of the SpotID paper, measured on other data at a size for two cores, beside the paper's figures.

    python3 spotid.py bench paper_tables [--quick] [--data DIR --work DIR] [--epochs N] [--width N] [--json FILE]

Table 1: the five preprocessing pipelines under the adaptive-margin CosFace. Table 2: losses, margins and dimensions on
the cropped RGB + edge map; and the prototypes left untrained, as in the original's code. Every row is trained from
random weights on the same individuals, its best epoch is chosen on the same validation individuals, and the held-out
individuals are ranked once. With --data the photos of DIR/IDENTITY/ are used (masks and edge maps go to WORK), else
synthetic coats rendered here. --quick: a few minutes, few synthetic coats, three epochs: it shows that everything runs
and says nothing of what is better. The paper's figures are of 8 900 leopard photos, pretrained weights and 80 epochs on
a GPU, so that only the order of rows can be compared, if at all.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import cv2
import torch
from real_coats import prepare
from retrain_real import Arm, evaluation_photos, network, shipped_vlad, trained, training_photos, vectors_of

from modelzoo.evaluation import EvaluationReport, evaluate_vectors
from modelzoo.evaluation.shortcuts import mirrored_coats
from modelzoo.synthetic import make_crop
from modelzoo.training.config import TrainConfig
from modelzoo.training.data import TrainingPhoto, load_coat
from modelzoo.training.splits import Split, split_individuals
from preprocessing.edges import edge_map
from preprocessing.imageio import save_jpeg, save_png_gray

THREADS = 1
SYNTHETIC_SEED = 77_000


@dataclass(frozen=True)
class Row:
    """One line of a table. paper: DT5AP and T5RMD that the paper reports, None where it has no such row."""

    name: str
    changes: dict[str, Any]
    paper: tuple[float, float] | None = None


TABLE_1 = (
    Row("cropped RGB", {"pipeline": "crop_rgb"}, (0.7815, 0.9148)),
    Row("background-removed RGB", {"pipeline": "cutout_rgb"}, (0.8486, 0.9198)),
    Row("edges", {"pipeline": "edges"}, (0.6094, 0.8034)),
    Row("background-removed RGB + edges", {"pipeline": "cutout_rgb_edges"}, (0.8284, 0.9160)),
    Row("cropped RGB + edges", {}, (0.8814, 0.9533)),
)
TABLE_2 = (
    Row(
        "triplet, d = 128, m = 10",
        {"loss": "triplet", "dimension": 128, "margin": 10.0, "batch_size": 32, "learning_rate": 8e-4,
         "lr_scheduler": False},
        (0.6907, 0.8824),
    ),
    Row("CosFace, d = 1028, m = 0.2", {"loss": "cosface", "dimension": 1028, "margin": 0.2}, (0.8413, 0.9331)),
    Row("adaptive, d = 512, m = 0.28", {"dimension": 512}, (0.7025, 0.8844)),
    Row("adaptive, d = 1028, m = 0.1", {"margin": 0.1}, (0.8092, 0.9210)),
    Row("adaptive, d = 1028, m = 0.28", {}, (0.8814, 0.9533)),
    Row("adaptive, d = 1028, m = 0.4", {"margin": 0.4}, (0.7841, 0.9225)),
    Row("adaptive, d = 2048, m = 0.28", {"dimension": 2048}, (0.7866, 0.9067)),
    Row("adaptive, prototypes untrained", {"train_prototypes": False}),
)  # fmt: skip
NAIVE = (0.01976, 0.09438)
HOTSPOTTER = (0.9475, 0.9654)


def main() -> None:
    arguments = parse()
    cv2.setNumThreads(THREADS)
    torch.set_num_threads(THREADS)
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        config = base_config(arguments)
        photos, data = real_photos(arguments, work) if arguments.data else synthetic_photos(arguments, work)
        split = split_individuals(photos, config.seed, config.shares())
        said = (
            f"{data}; {len(split.train)} photos to train on, {len(split.validation)} to validate, {len(split.test)} of "
            f"{len({p.individual for p in split.test})} individuals held out; {config.backbone} at {config.width}×"
            f"{config.height}, {config.epochs} epochs from random weights, seed {config.seed}"
        )
        print(said)
        result: dict[str, Any] = {"data": said, "config": config.to_dict()}
        done: dict[str, dict[str, Any]] = {}
        for title, rows in (("Table 1: pipelines", TABLE_1), ("Table 2: models", TABLE_2)):
            result[title] = table(title, rows, split, config, work, done)
        result["baselines"] = baselines(split, config, work)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def base_config(arguments: argparse.Namespace) -> TrainConfig:
    """The paper's best row at the size asked for."""
    quick = arguments.quick
    return TrainConfig(
        backbone=arguments.backbone,
        width=arguments.width or (64 if quick else 128),
        height=(arguments.width or (64 if quick else 128)) // 2,
        dimension=1028,
        epochs=arguments.epochs or (3 if quick else 12),
        patience=0,
        batch_size=64,
        # From random weights the paper's 0.001 is too much for a few hundred photos.
        learning_rate=3e-4,
        seed=arguments.seed,
        log_angles=False,
        train_share=0.6,
        validation_share=0.15,
        test_share=0.25,
    )


def real_photos(arguments: argparse.Namespace, work: Path) -> tuple[list[TrainingPhoto], str]:
    coats = prepare(arguments.data, work)
    return training_photos(coats), f"{arguments.data.name}, {len({coat.identity for coat in coats})} flank identities"


def synthetic_photos(arguments: argparse.Namespace, work: Path) -> tuple[list[TrainingPhoto], str]:
    """Rendered crops with their true masks, and edge maps, written below the work folder once."""
    individuals, views = (12, 4) if arguments.quick else (100, 8)
    photos = []
    for individual in range(individuals):
        flank = ("left", "right")[individual % 2]
        for view in range(views):
            name = f"{individual:03d}_{flank}"
            paths = [work / kind / name / f"{view}.{suffix}" for kind, suffix in
                     (("crops", "jpg"), ("masks", "png"), ("edges", "png"))]  # fmt: skip
            if not paths[2].is_file():
                crop = make_crop(SYNTHETIC_SEED, individual, flank, view, (256, 128))
                mask = crop.mask.astype("uint8") * 255
                for path in paths:
                    path.parent.mkdir(parents=True, exist_ok=True)
                save_jpeg(paths[0], crop.rgb, quality=92)
                save_png_gray(paths[1], mask)
                save_png_gray(paths[2], edge_map(crop.rgb, mask))
            photos.append(
                TrainingPhoto(
                    key=f"{name}/{view}",
                    identity=name,
                    individual=f"{individual:03d}",
                    crop=paths[0],
                    mask=paths[1],
                    edges=paths[2],
                    event=f"{name}/{view}",
                    flank=flank,
                )
            )
    return photos, f"synthetic coats, {individuals} flank identities × {views} views"


def table(
    title: str, rows: Sequence[Row], split: Split, config: TrainConfig, work: Path, done: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Train, measure and print the rows; a row that an earlier table has trained is not trained again."""
    heading(title)
    result = {}
    for row in rows:
        settings = replace(config, **row.changes)
        key = json.dumps(settings.to_dict(), sort_keys=True)
        if key not in done:
            folder = work / "runs" / "".join(c if c.isalnum() else "-" for c in row.name)
            began = time.perf_counter()
            arm = trained(row.name, (split.train, split.validation), settings, folder, None)
            done[key] = measured(arm, split.test) | {"seconds": time.perf_counter() - began}
        result[row.name] = done[key] | {"paper": row.paper}
        show(row.name, done[key], row.paper)
    return result


def baselines(split: Split, config: TrainConfig, work: Path) -> dict[str, Any]:
    heading("Beside them")
    result = {}
    for arm, paper in ((network("untrained", config, work, None), NAIVE), (shipped_vlad(), HOTSPOTTER)):
        result[arm.name] = measured(arm, split.test)
        show(arm.name, result[arm.name], paper)
    print("(the paper's naive model had ImageNet weights; beside RootSIFT-VLAD stands the paper's HotSpotter)")
    return result


def measured(arm: Arm, test: Sequence[TrainingPhoto]) -> dict[str, Any]:
    photos = evaluation_photos(test)
    coats = [load_coat(photo) for photo in test]
    report: EvaluationReport = evaluate_vectors(
        vectors_of(arm.embedder, coats), photos, mirrored=vectors_of(arm.embedder, mirrored_coats(coats))
    )
    best = max((row.get("dtkap") or 0.0 for row in arm.history), default=None)
    return {"figures": report.to_dict(), "validation_dt5ap": best, "shown": shown(report)}


def shown(report: EvaluationReport) -> dict[str, str]:
    """DT5AP and T5RMD as text: as seen, and DT5AP with headings normalised."""
    seen, turned = report["all", "as_seen"], report["all", "normalised"]
    return {
        "dt5ap": str(seen["dt5ap"]),
        "t5": str(seen["t5"]),
        "normalised": str(turned["dt5ap"]) if turned.known else "unknown",
    }


def heading(title: str) -> None:
    print(f"\n{title}")
    print(f"{'':<34}{'DT5AP':<24}{'T5RMD':<24}{'DT5AP, headings normalised':<30}{'paper: DT5AP':<14}{'T5RMD':<8}")


def show(name: str, values: dict[str, Any], paper: tuple[float, float] | None) -> None:
    text = values["shown"]
    theirs = "–" if paper is None else f"{paper[0]:<14.4f}{paper[1]:<8.4f}"
    print(f"{name:<34}{text['dt5ap']:<24}{text['t5']:<24}{text['normalised']:<30}{theirs}", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few coats and epochs: does everything run?")
    parser.add_argument("--data", type=Path, help="a folder of one folder per flank identity; else synthetic coats")
    parser.add_argument("--work", type=Path, help="masks, edge maps, renderings and checkpoints go here")
    parser.add_argument("--epochs", type=int, help="of each row (12, quick 3)")
    parser.add_argument("--width", type=int, help="pixels; the height is half of it (128, quick 64)")
    parser.add_argument(
        "--backbone",
        default="resnet18",
        help="any timm backbone (resnet18: from few photos the paper's EfficientNetV2-B2 learns less)",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    arguments = parser.parse_args()
    if arguments.data is not None and arguments.work is None:
        parser.error("--data needs --work")
    return arguments


if __name__ == "__main__":
    main()

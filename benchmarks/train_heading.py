"""Learns the heading model that ships, on rendered animals only, and measures it on real ones that it never saw.

    python3 spotid.py bench train_heading [--work DIR] [--write] [--data DIR] [--views N]
    python3 spotid.py bench train_heading --measure --data DIR [--work DIR] [--json FILE]

Without --write the files go to the work folder; --measure takes the shipped weights and trains nothing. --data DIR: the
real sets DIR/spotid/crops, DIR/snow_leopard and DIR/nyala, whose folders say the flank, and DIR/atrw, whose folders are
one flank each, which one is not said: there the share that agrees with its folder's majority is measured. Kept in the
work folder and taken up again: the rendered views, the trained weights, and the masks of the real photos.
"""

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import cv2
import numpy as np
from labelled import LIMIT
from numpy.typing import NDArray
from real_coats import SEGMENTER, prepare
from safetensors.numpy import save

from modelzoo.cards import ModelCard
from modelzoo.evaluation.bootstrap import Resampler
from modelzoo.heading import NAME, HeadingConfig, HeadingModel, shipped_heading
from modelzoo.shipped import FOLDER, write_shipped
from modelzoo.synthetic.headings import SIZE, headed_view
from preprocessing.crops import crop_box
from preprocessing.imageio import decode_image, save_jpeg
from preprocessing.types import Box

SEED = 112026
COATS, COAT_RESOLUTION, BLOCK = 30, 96, 100
HELD_OUT = 0.1
REAL = {
    "leopards": Path("spotid") / "crops",
    "snow_leopards": Path("snow_leopard"),
    "nyala": Path("nyala"),
    "tigers": Path("atrw"),
}
WHOLE = {"crops", "nyala", "snow_leopard"}  # of other sets the fixed sample
CONFIDENCES = (0.8, 0.9, 0.95, 0.99, 0.995)
DRAWS = 2000


def tell(done: int, total: int, message: str) -> None:
    print(f"{done} of {total}: {message}", flush=True)


def rendered(work: Path, count: int) -> Any:
    """`count` views of rendered animals as HeadingViews, made in blocks that are kept."""
    from modelzoo.dense.coats import painted_coat
    from modelzoo.heading_training import HeadingViews

    folder = work / "views"
    folder.mkdir(parents=True, exist_ok=True)
    coats: list[Any] = []
    blocks = []
    for block in range(-(-count // BLOCK)):
        file = folder / f"{SEED}-{block:03d}.npz"
        if not file.is_file():
            coats = coats or [
                tuple(painted_coat(SEED, i, flank, COAT_RESOLUTION) for flank in ("left", "right"))
                for i in range(COATS)
            ]
            views = [headed_view(SEED, block * BLOCK + i, coats, SIZE) for i in range(BLOCK)]
            arrays = {
                name: np.array([getattr(view, name) for view in views]) for name in ("rgb", "mask", "left", "yaw")
            }
            partial = file.with_suffix(".partial")
            with partial.open("wb") as stream:
                np.savez(stream, **arrays)
            partial.replace(file)
            tell((block + 1) * BLOCK, count, "rendered")
        with np.load(file) as arrays:
            blocks.append({name: arrays[name] for name in ("rgb", "mask", "left", "yaw")})
    return HeadingViews(**{name: np.concatenate([b[name] for b in blocks])[:count] for name in blocks[0]})


@dataclass(frozen=True)
class Answers:
    """What the model says of one set. left: the truth, or per folder the majority of the answers. group: the animal
    (for intervals)."""

    probability: NDArray[np.float64]
    left: NDArray[np.bool_]
    group: NDArray[np.str_]

    @property
    def right(self) -> NDArray[np.bool_]:
        return (self.probability > 0.5) == self.left


def cut_boxes(frames: Path, out: Path) -> Path:
    """Crops of frames with VOC boxes beside them, in folders that end in the flank their frames' folder begins with."""
    for file in sorted(frames.glob("*/*.xml")):
        side, _, cat = file.parent.name.partition("_")
        corners = dict(re.findall(r"<([xy]m(?:in|ax))>(\d+)<", file.read_text(encoding="utf-8")))
        photo = decode_image(file.with_suffix(".JPG")).pixels
        box = Box(*(float(corners[name]) for name in ("xmin", "ymin", "xmax", "ymax")))
        # One cat six times, or different cats, named within their folder only.
        animal = cat if cat == "Cat1" else file.stem
        save_jpeg(out / f"{side}-{animal}_{side}" / f"{file.stem}.jpg", crop_box(photo, box), quality=92)
    return out


def answers_of(model: HeadingModel, data: Path, work: Path) -> Answers:
    segmenter = next(path for path in (data.parent / SEGMENTER, data.parent.parent / SEGMENTER) if path.is_file())
    name = data.name
    if name == "snow_leopard":
        data = cut_boxes(data, work / "real" / f"{name}-crops")
    coats = prepare(data, work / "real" / name, segmenter, None if name in WHOLE else LIMIT)
    said = []
    for coat in coats:
        mask = cv2.imread(str(coat.mask), cv2.IMREAD_GRAYSCALE)
        said.append(model.left_probability(decode_image(coat.crop).pixels, np.asarray(mask, np.uint8)))
    probability = np.array(said, np.float64)
    folders = np.array([coat.identity for coat in coats])
    left = np.array([coat.flank == "left" for coat in coats])
    if all(coat.flank == "unknown" for coat in coats):
        majority = {name: np.mean(probability[folders == name]) > 0.5 for name in set(folders.tolist())}
        left = np.array([majority[name] for name in folders])
    return Answers(probability, left, np.array([coat.individual for coat in coats]))


def figures(answers: Answers) -> dict[str, Any]:
    """Counts and shares, with 95 % intervals resampled over animals, Brier score and expected calibration error."""
    confidence = np.maximum(answers.probability, 1 - answers.probability)
    towards = np.where(answers.left, answers.probability, 1 - answers.probability)
    found: dict[str, Any] = {
        "photos": len(answers.probability),
        "accuracy": _share(answers.right, answers.group),
        "brier": round(float(((1 - towards) ** 2).mean()), 4),
        "ece": round(calibration_error(answers), 4),
    }
    for least in CONFIDENCES:
        sure = confidence >= least
        share = _share(answers.right[sure], answers.group[sure]) if sure.any() else None
        found[f"from_{least}"] = {"photos": int(sure.sum()), "accuracy": share}
    return found


def _share(right: NDArray[np.bool_], group: NDArray[np.str_]) -> dict[str, float | None]:
    """Value with the interval over animals."""
    animals = np.unique(group, return_inverse=True)[1].astype(np.int64)
    share = Resampler(animals, seed=0, resamples=DRAWS).mean(right.astype(np.float64)).to_dict()
    return {name: None if value is None else round(value, 4) for name, value in share.items()}


def calibration_error(answers: Answers, bins: int = 10) -> float:
    """Expected calibration error of the answer's confidence (0.5…1) in equal bins (Guo et al. 2017)."""
    confidence = np.maximum(answers.probability, 1 - answers.probability)
    place = np.minimum(((confidence - 0.5) * 2 * bins).astype(int), bins - 1)
    gaps = [
        (place == b).mean() * abs(answers.right[place == b].mean() - confidence[place == b].mean())
        for b in range(bins)
        if (place == b).any()
    ]
    return float(sum(gaps))


def measure(model: HeadingModel, data: Path, work: Path) -> dict[str, Any]:
    found = {}
    for name, folder in REAL.items():
        if (data / folder).is_dir():
            found[name] = figures(answers_of(model, data / folder, work))
            print(name, json.dumps(found[name]), flush=True)
    return found


def learn(work: Path, count: int, versions: int, steps: int) -> tuple[HeadingModel, dict[str, Any], str]:
    """The trained model, its figures on rendered views that it did not see, and what it was trained on, in words."""
    from modelzoo.heading_training import HeadingTraining, planes_pool, tempered, train

    views, training = rendered(work, count), HeadingTraining(steps=steps)
    cut = round(count * (1 - HELD_OUT))
    file = work / f"trained-{SEED}-{cut}-{versions}-{steps}.npz"
    if not file.is_file():
        pool, left = planes_pool(views.part(0, cut), HeadingConfig(), versions, SEED, tell)
        np.savez(file, **train(pool, left, HeadingConfig(), training, tell).tensors)
    with np.load(file) as kept:
        model = HeadingModel(HeadingConfig(), {name: kept[name] for name in kept.files})
    # Half of the views held out set the temperature, half say how well it holds.
    held, held_left = planes_pool(views.part(cut, count), HeadingConfig(), 4, SEED + 1)
    half = len(held) // 8 * 4
    order = np.argsort(np.arange(len(held)) % (count - cut), kind="stable")
    fit, check = order[:half], order[half:]
    model = tempered(model, held[fit], held_left[fit])
    logits = model.logits_of_planes(held[check]) / model.config.temperature
    said = 1 / (1 + np.exp(-logits.astype(np.float64)))
    groups = np.array([str(i % (count - cut)) for i in check])
    words = (
        f"{cut} rendered views of animals of many builds and coats (modelzoo.synthetic, seed {SEED}), each made worse "
        f"in {versions} ways; {training.steps} steps of {training.batch}. No photo."
    )
    figures_held = figures(Answers(said, held_left[check] > 0.5, groups))
    print("rendered", json.dumps(figures_held), flush=True)
    return model, figures_held, words


def write(model: HeadingModel, folder: Path, card: ModelCard) -> None:
    data = save({name: value.astype(np.float16) for name, value in model.tensors.items()})
    path = folder / f"{NAME}.safetensors"
    partial = path.with_suffix(".partial")
    partial.write_bytes(data)
    partial.replace(path)
    digest = hashlib.sha256(data).hexdigest()
    write_shipped(folder, card, digest)
    print(f"{path}, {len(data)} bytes, SHA-256 {digest}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="keep rendered views and masks here and use those that are there")
    parser.add_argument("--views", type=int, default=2400, help="animals to render (2400)")
    parser.add_argument("--versions", type=int, default=6, help="how often each is made worse (6)")
    parser.add_argument("--steps", type=int, default=2000, help="of training (2000)")
    parser.add_argument("--write", action="store_true", help="replace the shipped weights and their card")
    parser.add_argument("--measure", action="store_true", help="measure the shipped weights only")
    parser.add_argument("--data", type=Path, help="folder of the real sets")
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        evaluation: dict[str, Any] = {}
        if arguments.measure:
            model = shipped_heading()
        else:
            model, evaluation["rendered"], words = learn(work, arguments.views, arguments.versions, arguments.steps)
        if arguments.data is not None:
            evaluation |= measure(model, arguments.data, work)
        if arguments.json is not None:
            arguments.json.write_text(json.dumps(evaluation, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        if not arguments.measure:
            command = (
                f"train_heading --views {arguments.views} --versions {arguments.versions} --steps {arguments.steps}"
            )
            write(model, FOLDER if arguments.write else work, card_of(model, evaluation, words, command))


def card_of(model: HeadingModel, evaluation: dict[str, Any], words: str, command: str) -> ModelCard:
    return ModelCard(
        name=NAME,
        config=model.config.to_dict(),
        dimension=1,
        trained=True,
        training_data=words,
        licence="AGPL-3.0-or-later",
        evaluation=evaluation,
        source=f"SpotID, python3 spotid.py bench {command} --data DIR --write",
        notes=(
            f"{sum(value.size for value in model.tensors.values())} numbers, kept in two bytes each. Antisymmetric "
            "under mirroring by construction. Which flank is seen follows from the axis of the body, not from where "
            "the head looks. The temperature comes from rendered views; real sets set only what its word may count."
        ),
    )


if __name__ == "__main__":
    main()

"""One make-believe survey of many species out of real photos, for measuring how species are told apart.

Every photo is reduced to one size and compressed anew, so that resolution and compression of a source say less of the
species than they would. What else a source has of its own (camera, light, framing) stays: figures flatter.
"""

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray
from real_coats import flat_tables, prepare

from preprocessing.crops import crop_box
from preprocessing.detection.yolo import YoloConfig, YoloDetector
from preprocessing.imageio import decode_image, make_preview, save_jpeg
from preprocessing.types import Box

LONGEST = 400
SET_FOLDERS = {"leopard": ("spotid/crops", 99), "tiger": ("atrw", 2), "nyala": ("nyala", 2), "cattle": ("cattle", 3)}
MOST = 100
CERTAIN = 0.5
# Frames of speciesnet with one copy of each scene.
FRAMES = ("african_elephants", "american_black_bear", "domestic_cattle", "domestic_dog", "ocelot")

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Animal:
    """One crop. group: the individual, or the frame where nobody is named; photos of one group are no news."""

    species: str
    group: str
    crop: Path
    mask: Path


def _folders(data: Path) -> Iterator[tuple[str, str, str, Pixels]]:
    for species, (folder, each) in SET_FOLDERS.items():
        taken = 0
        for individual in sorted(path for path in (data / folder).iterdir() if path.is_dir()):
            files = sorted(p for p in individual.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
            for path in files[:: max(1, len(files) // each)][:each]:
                if taken < MOST:
                    yield species, individual.name, path.stem, decode_image(path).pixels
                    taken += 1


def _snow_leopards(data: Path) -> Iterator[tuple[str, str, str, Pixels]]:
    for region in flat_tables(data / "snow_leopard"):
        pixels = crop_box(decode_image(region.frame).pixels, region.box)
        yield "snow leopard", f"{region.folder} {region.name}", region.frame.stem, pixels


def _camera_traps(data: Path) -> Iterator[tuple[str, str, str, Pixels]]:
    """What the real MegaDetector found in other people's camera traps, species unnamed."""
    folder = data / "camera_traps" / "lila31"
    for image in json.loads((folder / "megadetector_v5a.json").read_text())["images"]:
        found = [d for d in image["detections"] if d["category"] == "1" and d["conf"] >= CERTAIN]
        if not found:
            continue
        pixels = decode_image(folder / image["file"]).pixels
        height, width = pixels.shape[:2]
        for number, detection in enumerate(found):
            x, y, w, h = detection["bbox"]
            box = Box(x * width, y * height, (x + w) * width, (y + h) * height)
            yield (
                "camera traps",
                image["file"][:40],
                f"{Path(image['file']).stem[-30:]}-{number}",
                crop_box(pixels, box),
            )


def _speciesnet(data: Path) -> Iterator[tuple[str, str, str, Pixels]]:
    detector = YoloDetector(YoloConfig(data / "weights" / "yolov8n_int8.onnx"))
    for name in FRAMES:
        pixels = decode_image(data / "camera_traps" / "speciesnet" / f"{name}.jpg").pixels
        for number, found in enumerate(box for box in detector.detect(pixels).boxes if box.category == "animal"):
            yield "camera traps", name, f"{name}-{number}", crop_box(pixels, found.box)


def _safe(text: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in text)


def mixed_survey(data: Path, work: Path) -> list[Animal]:
    """Crops and masks of all sources, made once and kept below `work`; ordered by species and group."""
    crops, done = work / "crops", work / "crops.done"
    if not done.is_file():
        for source in (_folders, _snow_leopards, _camera_traps, _speciesnet):
            for species, group, name, pixels in source(data):
                if min(pixels.shape[:2]) < 24:
                    continue
                path = crops / f"{_safe(species)}__{_safe(group)}" / f"{_safe(name)}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                save_jpeg(path, make_preview(pixels, LONGEST), quality=90)
        done.touch()
    coats = prepare(crops, work / "prepared", data / "weights" / "yolov8n-seg_int8.onnx")
    species_of = {_safe(name): name for name in (*SET_FOLDERS, "snow leopard", "camera traps")}
    by_species: dict[str, list[Animal]] = defaultdict(list)
    for coat in coats:
        species, group = coat.identity.split("__", 1)
        by_species[species_of[species]].append(Animal(species_of[species], f"{species}/{group}", coat.crop, coat.mask))
    return [animal for species in sorted(by_species) for animal in by_species[species]]

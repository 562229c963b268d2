"""Folders of individuals made ready for benchmarks: masks and edge maps beside the photos, exact duplicates left out.

    python3 spotid.py bench real_coats --data DIR --work DIR [--segmenter FILE.onnx]

DIR/IDENTITY/PHOTO are taken as finished crops. Written once to WORK/masks and WORK/edges; what is there is kept. Where
DIR/../edges holds edge maps of the same photos (the original SpotID's), those are taken. Where DIR holds frames with
HotSpotter's tables instead (DIR/FOLDER/flat_table.csv), its regions are cut out to WORK/crops; an identity is then one
name of one folder. Nothing is copied into the checkout.
"""

import argparse
import csv
import hashlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import cv2
import numpy as np
from labelled import sample
from numpy.typing import NDArray

from preprocessing.crops import crop_box
from preprocessing.edges import edge_map
from preprocessing.imageio import ImageRejected, decode_image, save_jpeg, save_png_gray
from preprocessing.segmentation.base import Segmenter
from preprocessing.segmentation.grabcut import GrabCutSegmenter
from preprocessing.segmentation.yolo_seg import YoloSegConfig, YoloSegmenter
from preprocessing.types import Box

SUFFIXES = {".jpg", ".jpeg", ".png"}
SEGMENTER = Path("weights") / "yolov8n-seg_int8.onnx"


@dataclass(frozen=True)
class RealCoat:
    """One photo of a folder of individuals. identity: its folder's name, which is one flank of one animal."""

    identity: str
    crop: Path
    mask: Path
    edges: Path

    @property
    def key(self) -> str:
        return f"{self.identity}/{self.crop.name}"

    @property
    def flank(self) -> str:
        """left or right where the folder's name ends so, else unknown."""
        ending = self.identity.lower().rsplit("_", 1)[-1]
        return ending if ending in ("left", "right") else "unknown"

    @property
    def individual(self) -> str:
        """The animal: the folder's name without its flank."""
        return self.identity if self.flank == "unknown" else self.identity.rsplit("_", 1)[0]


def photos_of(data: Path) -> list[tuple[str, Path]]:
    """(identity, file) below the folder, sorted; of files with the same content only the first."""
    seen: set[str] = set()
    found = []
    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() not in SUFFIXES:
                continue
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if digest not in seen:
                seen.add(digest)
                found.append((folder.name, path))
    return found


@dataclass(frozen=True)
class Region:
    """One row of HotSpotter's table: an animal in a frame."""

    folder: str
    name: str
    frame: Path
    box: Box


def flat_tables(data: Path) -> Iterator[Region]:
    """The rows of all DIR/FOLDER/flat_table.csv."""
    for table in sorted(data.glob("*/flat_table.csv")):
        lines = [line for line in table.read_text().splitlines() if line.strip() and not line.startswith("#")]
        for row in csv.reader(lines, skipinitialspace=True):
            x, y, w, h = (float(value) for value in row[3].strip().strip("[]").split())
            yield Region(table.parent.name, row[2].strip(), table.parent / row[1].strip(), Box(x, y, x + w, y + h))


def _cut(data: Path, crops: Path) -> Path:
    for number, region in enumerate(flat_tables(data)):
        path = crops / f"{region.folder}_{region.name}" / f"{number:03d}_{region.frame.stem}.jpg"
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            save_jpeg(path, crop_box(decode_image(region.frame).pixels, region.box), quality=95)
    return crops


def prepare(data: Path, work: Path, segmenter: Path | None = None, limit: int | None = None) -> list[RealCoat]:
    """Make what is missing and return the photos; one that cannot be read is named and left out.

    limit: of more photos than that, the fixed sample.
    """
    weights = segmenter or data.parent / SEGMENTER
    if not weights.is_file():
        weights = data.parent.parent / SEGMENTER
    if any(data.glob("*/flat_table.csv")):
        data = _cut(data, work / "crops")
    engine: Segmenter | None = None
    given = data.parent / "edges"
    coats = []
    for identity, path in photos_of(data) if limit is None else sample(photos_of(data), limit):
        coat = RealCoat(
            identity,
            path,
            work / "masks" / identity / f"{path.stem}.png",
            work / "edges" / identity / f"{path.stem}.png",
        )
        if not (coat.mask.is_file() and coat.edges.is_file()):
            if engine is None:
                engine = _segmenter(weights, work)
            try:
                _make(coat, engine, given / identity / path.name)
            except ImageRejected as error:
                print(f"{path}: left out: {error.message}", file=sys.stderr)
                continue
        coats.append(coat)
    return coats


def _segmenter(weights: Path, work: Path) -> Segmenter:
    if weights.is_file():
        return YoloSegmenter(YoloSegConfig(weights, config_dir=work / "ultralytics"))
    print("There is no segmenter with weights: GrabCut does it.", file=sys.stderr)
    return GrabCutSegmenter()


def _make(coat: RealCoat, engine: Segmenter, given_edges: Path) -> None:
    crop = decode_image(coat.crop).pixels
    mask = engine.segment(crop, Box.whole(crop.shape[1], crop.shape[0])).mask
    edges = _given(given_edges, crop.shape[:2]) if given_edges.is_file() else edge_map(crop, mask)
    for path, pixels in ((coat.mask, mask), (coat.edges, edges)):
        path.parent.mkdir(parents=True, exist_ok=True)
        save_png_gray(path, pixels)


def _given(path: Path, shape: tuple[int, int]) -> NDArray[np.uint8]:
    grey = decode_image(path).pixels.max(axis=2)
    stretched = cv2.resize(grey, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
    return np.where(stretched >= 64, 255, 0).astype(np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a folder of one folder per identity")
    parser.add_argument("--work", type=Path, required=True, help="where masks and edge maps go")
    parser.add_argument("--segmenter", type=Path, help="YOLO segmentation weights (.onnx)")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    coats = prepare(arguments.data, arguments.work, arguments.segmenter)
    print(
        f"{len(coats)} photos, {len({coat.identity for coat in coats})} identities, masks and edges in {arguments.work}"
    )


if __name__ == "__main__":
    main()

"""Detection and background removal measured against synthetic truth and, where they are, the real photos.

    python3 spotid.py bench preprocessing_engines [--seed N] [--photos N] [--stations N] [--survey DIR] [--json FILE]

1. The station-background detector on a synthetic survey: a box counts with an overlap (IoU) of 0.5 or more.
2. With the real photos (`SPOTID_SHARED_DATA`): the COCO detector on snow leopard frames and on frames that MegaDetector
   calls empty; masks of the original SpotID's leopard crops against silhouettes closed from its edge maps; and our edge
   maps against its maps inside those silhouettes (F1 with two pixels of tolerance).
"""

import argparse
import csv
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np

from modelzoo.synthetic import SurveyPlan, write_survey
from preprocessing.detection.background import StationBackgroundDetector, build_background, mode_of
from preprocessing.detection.yolo import YoloConfig, YoloDetector
from preprocessing.edges import EdgeConfig, edge_map
from preprocessing.imageio import decode_image
from preprocessing.segmentation.base import Segmenter, clean_mask
from preprocessing.segmentation.grabcut import GrabCutSegmenter
from preprocessing.segmentation.yolo_seg import YoloSegConfig, YoloSegmenter
from preprocessing.types import ANIMAL, Box

ROOT = Path(__file__).resolve().parents[1]


def station_background(folder: Path, fewest: int = 3) -> dict[str, Any]:
    """Recall, precision and empty photos with a box, by mode, of cameras with at least `fewest` photos in that mode."""
    cameras = defaultdict(list)
    with (folder / "truth.csv").open(newline="") as handle:
        for row in csv.DictReader(handle):
            pixels = decode_image(folder / "photos" / row["file"]).pixels
            cameras[row["station"], row["camera"], mode_of(pixels)].append((row, pixels))
    counts: dict[str, dict[str, int]] = {mode: defaultdict(int) for mode in ("day", "infrared")}
    for (_, _, mode), photos in sorted(cameras.items()):
        if len(photos) < fewest:
            continue
        detector = StationBackgroundDetector(build_background([pixels for _, pixels in photos], mode), fewest)
        for row, pixels in photos:
            tally, found = counts[mode], detector.detect(pixels).boxes
            tally["photos"] += 1
            tally["boxes"] += len(found)
            if row["x1"]:
                truth = Box(*(float(row[key]) for key in ("x1", "y1", "x2", "y2")))
                tally["animals"] += 1
                tally["found"] += any(one.box.iou(truth) >= 0.5 for one in found)
            else:
                tally["empty"] += 1
                tally["empty_with_box"] += bool(found)
    return {mode: _rates(tally) for mode, tally in counts.items()}


def _rates(tally: dict[str, int]) -> dict[str, Any]:
    recall = tally["found"] / max(tally["animals"], 1)
    precision = tally["found"] / max(tally["boxes"], 1)
    return {**tally, "recall": round(recall, 3), "precision": round(precision, 3)}


def coco_detector(data: Path, settings: Path) -> dict[str, Any]:
    """Frames with an animal box among snow leopards, and among those without MegaDetector box above 0.2."""
    detector = YoloDetector(YoloConfig(data / "weights" / "yolov8n_int8.onnx", config_dir=settings))

    def shown(paths: list[Path]) -> int:
        return sum(any(box.category == ANIMAL for box in detector.detect(decode_image(p).pixels).boxes) for p in paths)

    frames = sorted((data / "snow_leopard").rglob("*.JPG"))
    folder = data / "camera_traps" / "lila31"
    images = json.loads((folder / "megadetector_v5a.json").read_text())["images"]
    empty = [
        folder / image["file"].replace("\\", "/").rsplit("/", 1)[-1]
        for image in images
        if all(detection["conf"] <= 0.2 for detection in image["detections"])
    ]
    return {"snow_leopard": [shown(frames), len(frames)], "empty": [shown(empty), len(empty)]}


def silhouettes(data: Path) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(crop, original's edges, silhouette) of every crop whose original map is not empty."""
    folder = data / "spotid"
    for path in sorted((folder / "crops").rglob("*.jpg")):
        crop = decode_image(path).pixels
        edges = decode_image(folder / "edges" / path.relative_to(folder / "crops")).pixels[:, :, 0]
        factor = 512 / max(edges.shape)
        small = cv2.resize(edges, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        padded = cv2.copyMakeBorder((small > 40).astype(np.uint8) * 255, 40, 40, 40, 40, cv2.BORDER_CONSTANT)
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (17, 17))
        closed = np.asarray(cv2.morphologyEx(padded, cv2.MORPH_CLOSE, kernel), dtype=np.uint8)[40:-40, 40:-40]
        contours, _ = cv2.findContours(clean_mask(closed), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        outline = cv2.drawContours(np.zeros(closed.shape, np.uint8), contours, -1, 255, cv2.FILLED)
        outline = cv2.morphologyEx(outline, cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7)))
        full = cv2.resize(outline, (crop.shape[1], crop.shape[0]), interpolation=cv2.INTER_LINEAR) >= 128
        if full.any():
            yield crop, edges > 127, full


def masks(data: Path, settings: Path) -> dict[str, Any]:
    """Mean overlap (IoU) and share of the silhouette covered, by segmenter."""
    weights = data / "weights" / "yolov8n-seg_int8.onnx"
    segmenters: list[Segmenter] = [GrabCutSegmenter(), YoloSegmenter(YoloSegConfig(weights, config_dir=settings))]
    scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for crop, _, truth in silhouettes(data):
        for segmenter in segmenters:
            mask = segmenter.segment(crop, Box.whole(crop.shape[1], crop.shape[0])).mask > 0
            both = np.count_nonzero(mask & truth)
            scores[segmenter.name].append((both / np.count_nonzero(mask | truth), both / np.count_nonzero(truth)))
    return {
        name: {"crops": len(values), "iou": round(mean[0], 3), "covered": round(mean[1], 3)}
        for name, values in scores.items()
        for mean in [np.mean(values, axis=0).tolist()]
    }


def edge_maps(data: Path) -> dict[str, float]:
    """F1 of edge pixels inside the coat, by equalisation."""
    reference = decode_image(next((data / "spotid" / "histogram_reference").glob("*.jpg"))).pixels
    kernel = np.ones((5, 5), np.uint8)
    scores: dict[str, list[float]] = defaultdict(list)
    for crop, original, truth in silhouettes(data):
        coat = cv2.erode(truth.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
        theirs = original & coat
        for equalise in ("match", "hist", "clahe", "none"):
            mask = truth.astype(np.uint8) * np.uint8(255)
            ours = (edge_map(crop, mask, EdgeConfig(equalise=equalise), reference) > 0) & coat
            precision = np.count_nonzero(ours & (cv2.dilate(theirs.astype(np.uint8), kernel) > 0)) / max(ours.sum(), 1)
            recall = np.count_nonzero(theirs & (cv2.dilate(ours.astype(np.uint8), kernel) > 0)) / max(theirs.sum(), 1)
            scores[equalise].append(2 * precision * recall / max(precision + recall, 1e-9))
    return {name: round(float(np.mean(values)), 3) for name, values in scores.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--photos", type=int, default=150)
    parser.add_argument("--stations", type=int, default=4)
    parser.add_argument("--survey", type=Path, help="keep the synthetic survey here, and use what is there")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as scratch:
        survey = given.survey or Path(scratch) / "survey"
        plan = SurveyPlan(seed=given.seed, photos=given.photos, stations=given.stations)
        write_survey(plan, survey / "photos")
        results["station_background"] = station_background(survey)
        print(json.dumps(results, indent=2))
        data = Path(os.environ.get("SPOTID_SHARED_DATA") or ROOT.parent / "shared" / "data")
        if (data / "README.md").is_file():
            settings = Path(scratch) / "settings"
            results["coco_detector"] = coco_detector(data, settings)
            results["masks"] = masks(data, settings)
            results["edge_maps_f1"] = edge_maps(data)
            print(json.dumps({key: results[key] for key in list(results)[1:]}, indent=2))
        else:
            print(f"No real photos at {data}.")
    if given.json:
        given.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

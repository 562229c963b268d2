"""YOLO weights through ultralytics: coordinates, colours, categories, and which weights are refused."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from preprocessing.detection.categories import category_of, one_box_per_thing
from preprocessing.detection.ultralytics_runtime import WeightsRefused, image_size_of
from preprocessing.detection.whole_frame import WholeFrameDetector
from preprocessing.detection.yolo import YoloConfig, YoloDetector, onnx_weights
from preprocessing.imageio import decode_image
from preprocessing.types import ANIMAL, PERSON, VEHICLE, Box, DetectedBox


def picture(red: int, green: int, blue: int) -> np.ndarray:
    """128×64 pixels of one colour; in the 64×64 network it fills rows 16 to 48 at half size, the rest is grey 114."""
    return np.full((64, 128, 3), (red, green, blue), np.uint8)


RED, BLUE = picture(255, 0, 0), picture(0, 0, 255)


def made(path: Path, tmp_path: Path, **options) -> YoloDetector:
    return YoloDetector(YoloConfig(path, config_dir=tmp_path / "settings", **options))


def test_no_boxes_means_no_detections() -> None:
    assert one_box_per_thing([]) == ()


def test_boxes_are_in_pixels_of_the_photo_and_the_photo_arrives_in_rgb(detector_file, tmp_path: Path) -> None:
    detector = made(detector_file(["animal", "person", "vehicle"], [(32, 32, 20, 10, 0)]), tmp_path)
    (found,) = detector.detect(RED).boxes
    assert found.box.as_tuple() == pytest.approx((44, 22, 84, 42), abs=0.5)
    assert found.confidence == pytest.approx(0.5 * 1 + 0.5 * 114 / 255, abs=0.01)
    assert (found.category, found.label) == (ANIMAL, "animal")
    assert detector.detect(BLUE).boxes == ()


def test_boxes_are_clipped_to_the_photo(detector_file, tmp_path: Path) -> None:
    detector = made(detector_file(["animal"], [(60, 46, 30, 20, 0)]), tmp_path)
    (found,) = detector.detect(RED).boxes
    assert found.box.x2 <= 128 and found.box.y2 <= 64


def test_one_animal_with_two_class_boxes_is_one_box(detector_file, tmp_path: Path) -> None:
    names = ["cat", "bear", "person", "kite"]
    path = detector_file(names, [(32, 32, 20, 10, 0), (33, 32, 20, 10, 1), (32, 32, 20, 10, 2), (10, 32, 8, 8, 3)])
    found = made(path, tmp_path).detect(RED).boxes
    assert [(box.category, box.label) for box in found] == [(ANIMAL, "cat"), (PERSON, "person")]


def test_the_version_names_weights_and_hash(detector_file, tmp_path: Path) -> None:
    path = detector_file(["animal"], [(32, 32, 20, 10, 0)])
    detector = made(path, tmp_path, confidence=0.4)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert detector.version == f"yolo/hand/{digest[:12]}/conf0.4"
    assert detector.detect(RED).engine == detector.version
    assert detector.image_size == (64, 64)


def test_nothing_is_written_outside_the_settings_folder(detector_file, tmp_path: Path, monkeypatch) -> None:
    """In a process of its own, because ultralytics and onnxruntime read their settings once."""
    path, home = detector_file(["animal"], [(32, 32, 20, 10, 0)]), tmp_path / "home"
    home.mkdir()
    program = (
        "import sys, numpy; from pathlib import Path\n"
        "from preprocessing.detection.yolo import YoloConfig, YoloDetector\n"
        f"detector = YoloDetector(YoloConfig(Path({str(path)!r}), config_dir=Path({str(tmp_path / 'settings')!r})))\n"
        "print(len(detector.detect(numpy.full((64, 128, 3), 255, numpy.uint8)).boxes))\n"
    )
    root = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(root)}
    environment.pop("YOLO_CONFIG_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=home, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "1"
    assert list(home.rglob("*")) == []


def test_missing_changed_and_foreign_weights_are_refused(detector_file, tmp_path: Path) -> None:
    path = detector_file(["animal"], [(32, 32, 20, 10, 0)])
    with pytest.raises(WeightsRefused, match="No weights"):
        YoloDetector(YoloConfig(tmp_path / "gone.onnx"))
    with pytest.raises(WeightsRefused, match="not the registered file"):
        YoloDetector(YoloConfig(path, sha256="0" * 64))
    other = tmp_path / "weights.engine"
    other.write_bytes(b"something")
    with pytest.raises(WeightsRefused, match=r"only \.onnx and \.pt"):
        YoloDetector(YoloConfig(other))
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    with pytest.raises(WeightsRefused, match="cannot be read"):
        YoloDetector(YoloConfig(broken))


def test_a_pickle_without_registered_hash_is_never_opened(tmp_path: Path) -> None:
    import pickle

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    weights = tmp_path / "model.pt"
    weights.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(WeightsRefused, match="register its SHA-256"):
        YoloDetector(YoloConfig(weights))
    with pytest.raises(WeightsRefused, match="not the registered file"):
        YoloDetector(YoloConfig(weights, sha256="0" * 64))
    assert not (tmp_path / "sprung").exists()


def test_a_pickle_that_was_converted_before_is_not_opened_again(tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"registered")
    digest = hashlib.sha256(b"registered").hexdigest()
    converted = tmp_path / f"model-{digest[:12]}.onnx"
    converted.write_bytes(b"converted")
    assert onnx_weights(YoloConfig(weights, sha256=digest)) == converted


def test_a_conversion_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    weights = tmp_path / "model.pt"
    weights.write_bytes(b"no model at all")
    config = YoloConfig(weights, hashlib.sha256(b"no model at all").hexdigest(), config_dir=tmp_path / "settings")
    with pytest.raises(WeightsRefused, match=r"model\.pt could not be converted"):
        onnx_weights(config)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["model.pt"]


@pytest.mark.parametrize(
    ("name", "category"),
    [
        ("animal", ANIMAL),
        ("person", PERSON),
        ("human", PERSON),
        ("vehicle", VEHICLE),
        *((name, ANIMAL) for name in ("bird", "cat", "dog", "horse", "sheep")),
        *((name, ANIMAL) for name in ("cow", "elephant", "bear", "zebra", "giraffe")),
        *((name, VEHICLE) for name in ["car", "truck", "bus", "motorcycle", "bicycle", "train", "boat"]),
        ("Animal ", ANIMAL),
        ("bench", None),
        ("teddy bear", None),
        ("", None),
    ],
)
def test_class_names_by_category(name: str, category: str | None) -> None:
    assert category_of(name) == category


def test_two_animals_apart_stay_two_and_a_person_on_an_animal_stays() -> None:
    one = DetectedBox(Box(0, 0, 10, 10), ANIMAL, 0.5)
    two = DetectedBox(Box(6, 0, 16, 10), ANIMAL, 0.9)
    rider = DetectedBox(Box(0, 0, 10, 10), PERSON, 0.4)
    assert one_box_per_thing([one, two, rider]) == (two, one, rider)


@pytest.mark.parametrize(
    ("stored", "size"),
    [({}, None), ({"imgsz": 640}, (640, 640)), ({"imgsz": [480, 640]}, (480, 640)), ({"imgsz": ["a"]}, None)],
)
def test_the_image_size_that_weights_state(stored: dict, size) -> None:
    assert image_size_of(stored) == size


def test_the_whole_frame_is_one_box_of_no_confidence_and_says_so() -> None:
    result = WholeFrameDetector().detect(RED)
    (found,) = result.boxes
    assert (found.box, found.confidence, found.category) == (Box(0, 0, 128, 64), 0.0, ANIMAL)
    assert "No detector" in result.note


@pytest.mark.shared_data
def test_the_coco_detector_on_real_frames(shared_data: Path, tmp_path: Path) -> None:
    """13 of 22 snow leopard frames and none of the empty ones, as the data's README says (every other one is tried)."""
    import json

    detector = YoloDetector(YoloConfig(shared_data / "weights" / "yolov8n_int8.onnx", config_dir=tmp_path))
    assert detector.image_size == (640, 640)

    def shows_animal(path: Path) -> bool:
        return any(found.category == ANIMAL for found in detector.detect(decode_image(path).pixels).boxes)

    frames = sorted((shared_data / "snow_leopard").rglob("*.JPG"))
    assert (sum(map(shows_animal, frames)), len(frames)) == (13, 22)
    folder = shared_data / "camera_traps" / "lila31"
    images = json.loads((folder / "megadetector_v5a.json").read_text())["images"]
    empty = [image["file"].replace("\\", "/").rsplit("/", 1)[-1] for image in images if not _seen(image)]
    assert len(empty) == 14
    assert not any(shows_animal(folder / name) for name in empty[::2])


def _seen(image: dict) -> bool:
    return any(detection["conf"] > 0.2 for detection in image["detections"])


def test_loading_ultralytics_leaves_pillow_alone() -> None:
    """In a fresh interpreter: its replacement of Image.open wants to install a package when a photo is broken."""
    code = (
        "import PIL.Image; before = PIL.Image.open\n"
        "from pathlib import Path\n"
        "from preprocessing.detection.ultralytics_runtime import load_yolo\n"
        "try:\n    load_yolo(Path('/nowhere/none.onnx'), 'detect', None)\n"
        "except Exception as error:\n    print(type(error).__name__)\n"
        "import sys; assert 'ultralytics' in sys.modules; assert PIL.Image.open is before\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]

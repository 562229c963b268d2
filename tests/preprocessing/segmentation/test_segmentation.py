"""Masks of animals painted here, and of the real crops."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from preprocessing.crops import crop_box
from preprocessing.detection.ultralytics_runtime import WeightsRefused
from preprocessing.imageio import decode_image
from preprocessing.segmentation.base import EMPTY_NOTE, clean_mask, finished
from preprocessing.segmentation.grabcut import SEEDS_NOTE, GrabCutConfig, GrabCutSegmenter
from preprocessing.segmentation.rembg_session import RembgSegmenter
from preprocessing.segmentation.yolo_seg import YoloSegConfig, YoloSegmenter
from preprocessing.types import Box


def painted(width: int = 480, height: int = 320) -> tuple[np.ndarray, np.ndarray, Box]:
    """A spotted ellipse before plain ground: the image, its true mask, and its box."""
    rng = np.random.default_rng(3)
    image = np.full((height, width, 3), (110, 100, 80), np.float64) + rng.normal(0, 4, (height, width, 1))
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (250, 170), (130, 70), 0, 0, 360, 255, -1)
    spots = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), 3)
    coat = np.where(spots[:, :, None] > 0.03, np.array([60.0, 45, 30]), np.array([210.0, 170, 100]))
    image = np.where(mask[:, :, None] > 0, coat, image)
    return np.clip(image, 0, 255).astype(np.uint8), mask, Box(120, 100, 380, 240)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return np.count_nonzero((one > 0) & (other > 0)) / np.count_nonzero((one > 0) | (other > 0))


def test_a_mask_without_animal_is_cleaned_to_nothing() -> None:
    assert not clean_mask(np.zeros((8, 8), np.uint8)).any()


def test_cleaning_keeps_large_parts_fills_small_holes_and_leaves_large_ones() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[10:60, 10:60] = 255
    mask[20:22, 20:22] = 0  # a hole of 0.04 %
    mask[30:50, 30:50] = 0  # a hole of 4 %
    mask[80:90, 80:85] = 1  # 50 pixels: a speck
    mask[70:90, 10:40] = 1  # 600 pixels: a part
    cleaned = clean_mask(mask)
    assert set(np.unique(cleaned)) == {0, 255}
    assert cleaned[21, 21] == 255 and cleaned[40, 40] == 0
    assert cleaned[85, 82] == 0 and cleaned[80, 20] == 255


def test_an_empty_mask_becomes_full_with_a_note() -> None:
    result = finished(np.zeros((10, 20), np.uint8), "engine")
    assert result.mask.shape == (10, 20) and result.mask.min() == 255
    assert result.note == EMPTY_NOTE


@pytest.mark.parametrize("whole", [False, True])
def test_grabcut_finds_the_painted_animal(whole: bool) -> None:
    image, truth, box = painted()
    if whole:
        image, truth = crop_box(image, box), crop_box(truth, box)
        box = Box.whole(image.shape[1], image.shape[0])
    result = GrabCutSegmenter().segment(image, box)
    expected = crop_box(truth, box)
    assert result.mask.shape == expected.shape
    assert set(np.unique(result.mask)) <= {0, 255}
    assert overlap(result.mask, expected) > 0.85
    assert result.note == ""


def test_a_cut_that_leaves_next_to_nothing_is_replaced_by_the_middle_of_the_box(monkeypatch) -> None:
    def sliver(image, labels, *rest) -> None:
        labels[:] = cv2.GC_BGD
        labels[labels.shape[0] // 2, :5] = cv2.GC_FGD

    monkeypatch.setattr(cv2, "grabCut", sliver)
    image, truth, box = painted()
    result = GrabCutSegmenter().segment(image, box)
    assert result.note == SEEDS_NOTE
    assert overlap(result.mask, crop_box(truth, box)) > 0.6


def test_grabcut_repeats_itself() -> None:
    image, _, box = painted()
    one, two = (GrabCutSegmenter().segment(image, box).mask for _ in range(2))
    assert (one == two).all()


def test_what_moved_before_the_background_helps() -> None:
    """An animal in the lower left of a box that is far too large."""
    image, truth, _ = painted()
    box = Box(20, 5, 470, 300)
    alone = overlap(GrabCutSegmenter().segment(image, box).mask, crop_box(truth, box))
    moved = cv2.dilate(truth, np.ones((9, 9), np.uint8))
    helped = overlap(GrabCutSegmenter().segment(image, box, moved).mask, crop_box(truth, box))
    assert helped > 0.85 and helped >= alone


def test_a_prior_without_movement_in_the_box_is_not_believed() -> None:
    image, truth, box = painted()
    nothing = np.zeros(image.shape[:2], np.uint8)
    assert overlap(GrabCutSegmenter().segment(image, box, nothing).mask, crop_box(truth, box)) > 0.85


@pytest.mark.parametrize(
    "box",
    [Box(0, 0, 3, 3), Box(479, 0, 480, 320), Box(-50, -50, 30, 30), Box(100.4, 99.6, 101.2, 250), Box(0, 0, 480, 2)],
)
def test_boxes_at_the_edge_and_slivers_give_masks_of_their_size(box: Box) -> None:
    image, _, _ = painted()
    result = GrabCutSegmenter().segment(image, box)
    assert result.mask.shape == crop_box(image, box).shape[:2]
    assert result.mask.any()


@pytest.mark.parametrize("value", [0, 255])
def test_a_photo_of_one_colour_gives_a_mask_and_no_error(value: int) -> None:
    image = np.full((60, 90, 3), value, np.uint8)
    for box in (Box.whole(90, 60), Box(10, 10, 50, 50)):
        result = GrabCutSegmenter().segment(image, box)
        assert result.mask.shape == crop_box(image, box).shape[:2] and result.mask.any()


def test_grabcut_works_on_a_reduced_photo_and_answers_in_full() -> None:
    image, truth, box = painted()
    large = cv2.resize(image, None, fx=4, fy=4)
    result = GrabCutSegmenter(GrabCutConfig(work_side=128)).segment(large, box.scaled(4))
    assert result.mask.shape == (560, 1040)
    assert overlap(cv2.resize(result.mask, (260, 140)), crop_box(truth, box)) > 0.8


def write_brightness_model(path: Path) -> None:
    """U2-Net's shapes, and as its answer the red channel of its input."""
    from onnx import TensorProto, helper, numpy_helper, save

    constants = {"first": np.array([0]), "second": np.array([1]), "axis": np.array([1])}
    graph = helper.make_graph(
        [helper.make_node("Slice", ["input", "first", "second", "axis"], ["output"])],
        "by hand",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 320, 320])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 320, 320])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))


def test_rembg_uses_the_weights_that_are_there(tmp_path: Path) -> None:
    write_brightness_model(tmp_path / "u2net.onnx")
    image = np.zeros((200, 300, 3), np.uint8)
    image[60:140, 100:220] = 255
    segmenter = RembgSegmenter("u2net", tmp_path)
    result = segmenter.segment(image, Box(50, 30, 270, 170))
    expected = np.zeros((140, 220), np.uint8)
    expected[30:110, 50:170] = 255
    assert overlap(result.mask, expected) > 0.95
    assert segmenter.version.startswith("rembg/u2net/")
    dark = segmenter.segment(np.zeros((50, 50, 3), np.uint8), Box.whole(50, 50))
    assert dark.note == EMPTY_NOTE and dark.mask.min() == 255


def test_rembg_never_fetches_weights_or_sends_photos(tmp_path: Path) -> None:
    with pytest.raises(WeightsRefused, match="No weights"):
        RembgSegmenter("u2net", tmp_path)
    with pytest.raises(WeightsRefused, match="none of the rembg models"):
        RembgSegmenter("withoutbg", tmp_path)
    (tmp_path / "u2net.onnx").write_bytes(b"x")
    with pytest.raises(WeightsRefused, match="not the registered file"):
        RembgSegmenter("u2net", tmp_path, sha256="0" * 64)


def test_a_yolo_segmenter_takes_onnx_only(tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(b"x")
    with pytest.raises(WeightsRefused, match=r"only \.onnx"):
        YoloSegmenter(YoloSegConfig(tmp_path / "a.pt"))
    with pytest.raises(WeightsRefused, match="No weights"):
        YoloSegmenter(YoloSegConfig(tmp_path / "gone.onnx"))


@pytest.mark.shared_data
def test_yolo_masks_of_a_real_bear(shared_data: Path, tmp_path: Path) -> None:
    config = YoloSegConfig(shared_data / "weights" / "yolov8n-seg_int8.onnx", config_dir=tmp_path)
    segmenter = YoloSegmenter(config)
    image = decode_image(shared_data / "camera_traps" / "speciesnet" / "american_black_bear.jpg").pixels
    found = segmenter.find(image, Box.whole(image.shape[1], image.shape[0]))
    assert found is not None and found.shape == image.shape[:2]
    ys, xs = np.nonzero(found)
    box = Box(float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1))
    result = segmenter.segment(image, box)
    assert overlap(result.mask, crop_box(found, box)) > 0.7 and result.note == ""
    empty = segmenter.segment(np.full((90, 120, 3), 90, np.uint8), Box.whole(120, 90))
    assert empty.mask.shape == (90, 120) and "saw no animal" in empty.note and "grabcut" in empty.engine


@pytest.mark.shared_data
def test_grabcut_keeps_the_flank_of_real_leopards(shared_data: Path) -> None:
    """The edges of the original's maps lie on the animal: most must be inside the mask, which takes not everything."""
    folder = shared_data / "spotid"
    paths = sorted((folder / "crops").rglob("*.jpg"))[::6]
    inside, covered = [], []
    for path in paths:
        image = decode_image(path).pixels
        edges = decode_image(folder / "edges" / path.relative_to(folder / "crops")).pixels[:, :, 0] > 127
        mask = GrabCutSegmenter().segment(image, Box.whole(image.shape[1], image.shape[0])).mask > 0
        inside.append(np.count_nonzero(edges & mask) / np.count_nonzero(edges))
        covered.append(mask.mean())
    assert np.mean(inside) > 0.8
    assert 0.25 < np.mean(covered) < 0.75

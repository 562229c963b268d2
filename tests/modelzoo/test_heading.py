"""The heading model: its arithmetic against torch, what mirroring must do, its file, and what it was made for."""

import importlib.util
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.numpy import save

from modelzoo.dense.coats import painted_coat
from modelzoo.heading import (
    NAME,
    PLANES,
    HeadingConfig,
    HeadingModel,
    convolved,
    mirrored,
    planes_of,
    shipped_heading,
)
from modelzoo.shipped import shipped_model
from modelzoo.synthetic.headings import HEAD_ON, headed_view
from modelzoo.weights import ChecksumError, WeightsError

SMALL = HeadingConfig(width=16, height=16, kernels=(3, 3), channels=(3, 4), hidden=5)
SEED = 990  # of views that the shipped model was not trained on


def random_model(config: HeadingConfig = SMALL, seed: int = 0) -> HeadingModel:
    rng = np.random.default_rng(seed)
    return HeadingModel(
        config, {name: rng.normal(0, 0.3, shape).astype(np.float32) for name, shape in config.shapes().items()}
    )


def random_coat(seed: int, height: int = 61, width: int = 97) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mask = np.zeros((height, width), np.uint8)
    cv2.ellipse(mask, (width // 3, height // 2), (width // 4, height // 3), 20, 0, 360, 255, -1)
    return rng.integers(0, 256, (height, width, 3), np.uint8), mask


@pytest.fixture(scope="module")
def views() -> list:
    coats = [tuple(painted_coat(SEED, i, flank, 64) for flank in ("left", "right")) for i in range(3)]
    return [headed_view(SEED, i, coats) for i in range(24)]


class TestPlanes:
    def test_a_mask_that_is_not_there_or_empty_takes_the_whole_crop(self) -> None:
        crop, mask = random_coat(1)
        whole = planes_of(crop, np.full_like(mask, 255), SMALL)
        assert np.array_equal(planes_of(crop, None, SMALL), whole)
        assert np.array_equal(planes_of(crop, np.zeros_like(mask), SMALL), whole)

    def test_the_silhouette_fills_the_planes_in_its_proportions(self) -> None:
        config = HeadingConfig(margin=0.0)
        mask = np.zeros((200, 300), np.uint8)
        mask[50:110, 40:200] = 255  # 160 wide, 60 high: as wide as the planes, 24 high in their middle
        planes = planes_of(np.full((200, 300, 3), 90, np.uint8), mask, config)
        expected = np.zeros((48, 64), np.float32)
        expected[12:36] = 1
        assert np.array_equal(planes[0], expected)
        assert np.allclose(planes[1], 0, atol=1e-3)  # a flat grey has nothing to say

    def test_grey_is_normalised_inside_the_mask_only(self) -> None:
        mask = np.zeros((96, 128), np.uint8)
        mask[:, 20:100] = 255
        crop = np.zeros((96, 128, 3), np.uint8)
        crop[:48, 20:100], crop[48:, 20:100], crop[:, :20] = 200, 100, 255
        tone = planes_of(crop, mask, HeadingConfig(margin=0.0))[1]
        assert np.allclose(tone[:23, 15:48], 1, atol=0.05) and np.allclose(tone[25:, 15:48], -1, atol=0.05)
        assert not tone[:, :8].any()

    def test_crumbs_of_a_mask_do_not_move_the_animal(self) -> None:
        crop, mask = random_coat(2)
        crumbs = mask.copy()
        crumbs[1:3, -3:-1] = 255
        assert np.array_equal(planes_of(crop, crumbs, SMALL), planes_of(crop, mask, SMALL))

    @pytest.mark.parametrize("shape", [(61, 97), (60, 96), (5, 3), (1, 1), (400, 31)])
    def test_a_mirrored_photo_gives_mirrored_planes(self, shape: tuple[int, int]) -> None:
        crop, mask = random_coat(3, *shape)
        planes, turned = planes_of(crop, mask, SMALL), planes_of(*mirrored(crop, mask), SMALL)
        assert np.isfinite(planes).all()
        assert np.allclose(turned, planes[:, :, ::-1], atol=2e-3)


def test_the_convolution_is_torch_s() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(5)
    batch, weight, bias = rng.normal(size=(2, 3, 10, 14)), rng.normal(size=(4, 3, 5, 5)), rng.normal(size=4)
    expected = torch.nn.functional.conv2d(*map(torch.from_numpy, (batch, weight, bias)), stride=2, padding=2).relu()
    found = convolved(*(array.astype(np.float32) for array in (batch, weight, bias)))
    assert np.allclose(found, expected.numpy(), atol=1e-4)


def test_what_is_trained_is_what_is_asked() -> None:
    torch = pytest.importorskip("torch")
    from modelzoo.heading_training import HeadingNet, model_of

    torch.manual_seed(3)
    network = HeadingNet(SMALL, dropout=0.3).eval()
    model = model_of(network, SMALL)
    planes = np.random.default_rng(0).normal(size=(3, PLANES, 16, 16)).astype(np.float32)
    with torch.no_grad():
        both = network(torch.from_numpy(np.concatenate([planes, planes[..., ::-1]])))[:, 0].numpy()
    assert np.allclose(model.logits_of_planes(planes), both[:3] - both[3:], atol=2e-3)  # kept in two bytes each


class TestMirroring:
    @pytest.mark.parametrize("seed", range(6))
    def test_the_answer_of_a_mirrored_photo_is_exactly_the_other_one(self, seed: int) -> None:
        model = random_model(seed=seed)
        coat = random_coat(seed, 40 + 7 * seed, 90 - 5 * seed)
        assert model.logits([coat])[0] == -model.logits([mirrored(*coat)])[0] != 0
        assert model.left_probability(*coat) + model.left_probability(*mirrored(*coat)) == pytest.approx(1, abs=1e-6)

    def test_a_symmetrical_picture_is_a_toss(self) -> None:
        crop, mask = random_coat(8)
        both = np.concatenate([crop, crop[:, ::-1]], axis=1), np.concatenate([mask, mask[:, ::-1]], axis=1)
        assert random_model().left_probability(*both) == 0.5

    def test_no_coats_give_no_answers(self) -> None:
        assert random_model().left_probabilities([]).shape == (0,)

    def test_the_temperature_draws_answers_to_the_middle(self) -> None:
        coat = random_coat(4)
        sharp = random_model()
        mild = HeadingModel(replace(SMALL, temperature=3.0), sharp.tensors)
        logit = float(sharp.logits([coat])[0])
        assert mild.left_probability(*coat) == pytest.approx(1 / (1 + np.exp(-logit / 3)), abs=1e-6)


class TestFile:
    def write(self, path: Path, tensors: dict[str, np.ndarray]) -> str:
        import hashlib

        data = save(tensors)
        path.write_bytes(data)
        return hashlib.sha256(data).hexdigest()

    def test_it_comes_back_as_it_was(self, tmp_path: Path) -> None:
        model = random_model()
        digest = self.write(tmp_path / "h.safetensors", model.tensors)
        coat = random_coat(1)
        assert HeadingModel.read(tmp_path / "h.safetensors", digest, SMALL).logits([coat]) == model.logits([coat])

    def test_a_changed_file_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "h.safetensors"
        digest = self.write(path, random_model().tensors)
        path.write_bytes(path.read_bytes()[:-1] + b"\x07")
        with pytest.raises(ChecksumError):
            HeadingModel.read(path, digest, SMALL)

    @pytest.mark.parametrize("spoil", ["shape", "missing", "nan"])
    def test_weights_that_fit_no_network_are_refused(self, tmp_path: Path, spoil: str) -> None:
        tensors = dict(random_model().tensors)
        if spoil == "shape":
            tensors["hidden.bias"] = np.zeros(4, np.float32)
        elif spoil == "missing":
            del tensors["out.weight"]
        else:
            tensors["conv0.bias"] = np.full(3, np.nan, np.float32)
        digest = self.write(tmp_path / "h.safetensors", tensors)
        with pytest.raises(WeightsError):
            HeadingModel.read(tmp_path / "h.safetensors", digest, SMALL)

    def test_what_is_no_safetensors_file_is_refused(self, tmp_path: Path) -> None:
        import hashlib

        (tmp_path / "h.safetensors").write_bytes(b"nothing")
        with pytest.raises(WeightsError):
            HeadingModel.read(tmp_path / "h.safetensors", hashlib.sha256(b"nothing").hexdigest(), SMALL)

    def test_settings_come_back_as_they_were(self) -> None:
        import json

        config = HeadingConfig(temperature=1.7)
        assert HeadingConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
        for bad in ({"kind": "other"}, {"depth": 3}, {"width": 50}, {"kernels": [2, 2, 2, 2]}, {"temperature": 0}):
            with pytest.raises(ValueError):
                HeadingConfig.from_dict({**config.to_dict(), **bad})


class TestShipped:
    def test_the_file_is_small_and_the_one_that_its_card_names(self) -> None:
        shipped = shipped_model(NAME)
        shipped.verify()
        assert shipped.path.stat().st_size < 500_000
        assert shipped.card.training_data.endswith("No photo.")
        assert {"leopards", "nyala", "snow_leopards", "tigers", "rendered"} <= set(shipped.card.evaluation)

    def test_it_works_without_torch(self) -> None:
        code = "import sys, modelzoo.heading as h; h.shipped_heading(); sys.exit('torch' in sys.modules)"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[2])

    def test_it_knows_rendered_animals_that_it_never_saw(self, views: list) -> None:
        model = shipped_heading()
        sideways = [view for view in views if abs(view.yaw) < 0.8]
        assert len(sideways) >= 12
        said = model.left_probabilities([(view.rgb, view.mask.astype(np.uint8) * 255) for view in sideways])
        assert np.mean((said > 0.5) == [view.left for view in sideways]) >= 0.9


class TestViews:
    def test_half_face_left_and_none_is_quite_head_on(self, views: list) -> None:
        assert sum(view.left for view in views) == len(views) // 2
        assert max(abs(view.yaw) for view in views) <= HEAD_ON
        assert all(0.02 < view.mask.mean() < 0.9 and view.rgb.shape[:2] == view.mask.shape for view in views)

    def test_the_same_number_is_the_same_view(self, views: list) -> None:
        coats = [tuple(painted_coat(SEED, i, flank, 64) for flank in ("left", "right")) for i in range(3)]
        again = headed_view(SEED, 7, coats)
        assert np.array_equal(again.rgb, views[7].rgb) and np.array_equal(again.mask, views[7].mask)


def test_training_learns_which_way_a_wedge_points() -> None:
    pytest.importorskip("torch")
    from modelzoo.heading_training import HeadingTraining, HeadingViews, planes_pool, tempered, train

    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 255, (40, 48, 64, 3), np.uint8)
    mask = np.zeros((40, 48, 64), np.uint8)
    left = np.arange(40) % 2 == 0
    for i in range(40):
        tip, back = (8, 56) if left[i] else (56, 8)
        cv2.fillPoly(mask[i], [np.array([[tip, 24], [back, 8], [back, 40]])], 1)
    views = HeadingViews(rgb, mask.astype(bool), left, np.zeros(40, np.float32))
    config = HeadingConfig(width=32, height=16, kernels=(3, 3), channels=(8, 8), hidden=8)
    planes, facing = planes_pool(views.part(0, 30), config, 4, seed=1)
    assert planes.shape == (120, PLANES, 16, 32) and np.array_equal(facing[:30], left[:30])
    training = HeadingTraining(steps=150, batch=32, rate=5e-3, dropout=0.0)
    model = train(planes, facing, config, training)
    again = train(planes, facing, config, training)
    assert all(np.array_equal(model.tensors[name], again.tensors[name]) for name in model.tensors)
    said = model.left_probabilities([(rgb[i], mask[i] * 255) for i in range(30, 40)])
    assert np.array_equal(said > 0.5, left[30:])
    assert 0.25 <= tempered(model, planes, facing).config.temperature <= 8


@pytest.mark.shared_data
def test_real_leopards_face_the_way_their_folders_say(shared_data: Path) -> None:
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("ultralytics is not installed")
    from preprocessing.imageio import decode_image
    from preprocessing.segmentation.yolo_seg import YoloSegConfig, YoloSegmenter
    from preprocessing.types import Box

    segmenter = YoloSegmenter(YoloSegConfig(shared_data / "weights" / "yolov8n-seg_int8.onnx"))
    files = sorted((shared_data / "spotid" / "crops").glob("*/*.jpg"))
    assert len(files) == 36
    left = []
    for file in files:
        crop = decode_image(file).pixels
        mask = segmenter.segment(crop, Box.whole(crop.shape[1], crop.shape[0])).mask
        left.append(shipped_heading().left_probability(crop, mask))
    said, truth = np.array(left), np.array(["left" in file.parent.name.lower() for file in files])
    right = (said > 0.5) == truth
    assert right.mean() >= 0.85
    assert right[np.maximum(said, 1 - said) >= 0.8].all()

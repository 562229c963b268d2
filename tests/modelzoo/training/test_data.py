"""Photos of a training run, from files to planes."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from modelzoo.pipelines import PIPELINES
from modelzoo.training.config import TrainConfig
from modelzoo.training.data import CoatDataset, TrainingPhoto, load_coat
from modelzoo.training.folders import flank_of, photos_from_folders, split_of_folders

RGB = np.zeros((40, 80, 3), np.uint8)
RGB[:, :40] = (250, 120, 10)


def picture(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, image)[1].tobytes())
    return path


def photo(folder: Path, name: str = "a", **paths) -> TrainingPhoto:
    return TrainingPhoto(name, "x_left", "x", picture(folder / f"{name}.png", RGB[:, :, ::-1]), **paths)


def dataset(photos, pipeline="crop_rgb", cache_bytes=1 << 20) -> CoatDataset:
    return CoatDataset(photos, PIPELINES[pipeline], 16, 8, cache_bytes=cache_bytes)


def test_no_photos_make_an_empty_set():
    assert len(dataset([])) == 0


def test_planes_are_channels_first_in_rgb(tmp_path):
    planes = dataset([photo(tmp_path)]).planes(0)
    assert planes.shape == (3, 8, 16)
    assert planes.dtype == torch.uint8
    assert planes[:, 4, 0].tolist() == [250, 120, 10]
    assert planes[:, 4, 15].tolist() == [0, 0, 0]


def test_edge_maps_saved_as_jpeg_are_black_and_white_again(tmp_path):
    lines = np.where(np.random.default_rng(0).random((40, 80)) < 0.2, 255, 0).astype(np.uint8)
    edges = picture(tmp_path / "e.jpg", lines)
    assert len(np.unique(cv2.imread(str(edges), cv2.IMREAD_GRAYSCALE))) > 2
    coat = load_coat(photo(tmp_path, edges=edges))
    assert np.array_equal(coat.edges, lines)


def test_masks_cut_out(tmp_path):
    mask = np.zeros((40, 80), np.uint8)
    mask[:20] = 255
    planes = dataset([photo(tmp_path, mask=picture(tmp_path / "m.png", mask))], "cutout_rgb").planes(0)
    assert planes[:, 0, 0].tolist() == [250, 120, 10]
    assert planes[:, 7, 0].tolist() == [0, 0, 0]


def test_photos_that_cannot_be_used_are_left_out_with_a_reason(tmp_path):
    missing = TrainingPhoto("gone", "x_left", "x", tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "empty.png").touch()
    text, empty = (TrainingPhoto(n, "x_left", "x", tmp_path / f"{n}.png") for n in ("text", "empty"))
    small = picture(tmp_path / "m.png", np.zeros((3, 3), np.uint8))
    odd = photo(tmp_path, "odd", mask=small)
    good = photo(tmp_path, "good")
    found = dataset([missing, text, good, empty, odd])
    assert [p.key for p in found.photos] == ["good"]
    reasons = {row.key: row.reason for row in found.left_out}
    assert set(reasons) == {"gone", "text", "empty", "odd"}
    assert "gone.png cannot be read: No such file" in reasons["gone"]
    assert reasons["text"] == "text.png is no picture"
    assert "differ in size" in reasons["odd"]


def test_a_missing_edge_map_leaves_a_photo_out_of_pipelines_with_edges(tmp_path):
    found = dataset([photo(tmp_path)], "crop_rgb_edges")
    assert len(found) == 0
    assert "edge map" in found.left_out[0].reason


@pytest.mark.parametrize(("budget", "cached"), [(3 * 8 * 16 * 2, True), (3 * 8 * 16 * 2 - 1, False)])
def test_planes_are_kept_when_they_fit_and_are_the_same_either_way(tmp_path, budget, cached):
    photos = [photo(tmp_path, "a"), photo(tmp_path, "b")]
    found = dataset(photos, cache_bytes=budget)
    assert found.cached == cached
    assert torch.equal(found.planes(1), dataset(photos).planes(1))
    (tmp_path / "b.png").unlink()
    if cached:
        assert found.planes(1).shape == (3, 8, 16)
    else:
        with pytest.raises(RuntimeError, match=r"b\.png cannot be read"):
            found.planes(1)


def test_reading_is_told(tmp_path):
    told = []
    CoatDataset(
        [photo(tmp_path)], PIPELINES["crop_rgb"], 16, 8, cache_bytes=0, progress=lambda *step: told.append(step)
    )
    assert told == [(1, 1)]


def test_keys_must_differ(tmp_path):
    with pytest.raises(ValueError, match="same key"):
        dataset([photo(tmp_path), photo(tmp_path)])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BGL09_right", ("BGL09", "right")),
        ("BRL17_Left", ("BRL17", "left")),
        ("7-LEFT", ("7", "left")),
        ("000", ("000", "unknown")),
        ("upright", ("upright", "unknown")),
        ("_left", ("_left", "unknown")),
    ],
)
def test_flank_is_read_from_the_folder(name, expected):
    assert flank_of(name) == expected


def test_folders_of_identities_become_photos(tmp_path):
    for name in ("crops/a_left/2.jpg", "crops/a_left/1.JPG", "crops/b/3.png", "crops/b/.hidden.png", "crops/.x/4.png"):
        picture(tmp_path / name, RGB)
    (tmp_path / "crops" / "a_left" / "notes.txt").touch()
    picture(tmp_path / "edges" / "a_left" / "1.png", RGB)
    photos = photos_from_folders(tmp_path / "crops", tmp_path / "edges")
    assert [p.key for p in photos] == ["a_left/1.JPG", "a_left/2.jpg", "b/3.png"]
    assert {(p.identity, p.individual, p.flank) for p in photos} == {("a_left", "a", "left"), ("b", "b", "unknown")}
    assert [p.edges for p in photos] == [tmp_path / "edges" / "a_left" / "1.png", None, None]


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(NotADirectoryError, match="nowhere is no folder"):
        photos_from_folders(tmp_path / "nowhere")


def test_settings_that_name_folders_give_the_split(tmp_path):
    for animal in range(8):
        for view in range(2):
            folder = "held" if animal > 5 else "crops"
            picture(tmp_path / folder / f"{animal}_left" / f"{view}.png", RGB)
            picture(tmp_path / "edges" / f"{animal}_left" / f"{view}.png", RGB)
    config = TrainConfig(train_data_dir=str(tmp_path / "crops"), train_edges_dir=str(tmp_path / "edges"))
    split = split_of_folders(config)
    assert [len(part) for part in (split.train, split.validation, split.test)] == [4, 4, 4]
    assert all(photo.edges is not None for photo in split.train)
    apart = split_of_folders(TrainConfig(train_data_dir=str(tmp_path / "crops"), test_data_dir=str(tmp_path / "held")))
    assert [len(part) for part in (apart.train, apart.validation, apart.test)] == [8, 4, 4]
    assert {photo.individual for photo in apart.test} == {"6", "7"}


def test_folders_to_train_from_are_needed_and_share_no_animal_with_the_test(tmp_path):
    with pytest.raises(ValueError, match="train_data_dir"):
        split_of_folders(TrainConfig())
    picture(tmp_path / "a_left" / "1.png", RGB)
    with pytest.raises(ValueError, match="both have a"):
        split_of_folders(TrainConfig(train_data_dir=str(tmp_path), test_data_dir=str(tmp_path)))

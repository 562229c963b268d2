"""Model cards in the metadata of safetensors files."""

import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from modelzoo.cards import CARD_KEY, ModelCard, read_card, read_metadata, write_with_card
from modelzoo.weights import WeightsError

CARD = ModelCard(
    name="leopards 1",
    config={"backbone": "resnet18", "dimension": 16},
    dimension=16,
    trained=True,
    training_data="ten made-up leopards",
    licence="CC0-1.0",
    evaluation={"tigers": {"dt5ap": 0.5}},
)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    tensors = {"a": np.arange(7, dtype=np.float32), "b": np.ones((3, 5), np.float16)}
    save_file(tensors, str(path), {"trained": "true"})
    return path


def test_a_file_without_card_has_none(weights: Path) -> None:
    assert read_card(weights) is None
    assert read_metadata(weights) == {"trained": "true"}


def test_a_card_travels_with_the_file_and_leaves_the_tensors_as_they_are(weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "elsewhere" / "out.safetensors"
    write_with_card(weights, out, CARD)
    assert read_card(out) == CARD
    assert read_metadata(out)["trained"] == "true"
    before, after = load_file(str(weights)), load_file(str(out))
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name], after[name]) and before[name].dtype == after[name].dtype for name in before)


def test_a_card_is_replaced_by_the_newer_one(weights: Path, tmp_path: Path) -> None:
    write_with_card(weights, weights, CARD)
    newer = ModelCard(**{**CARD.to_dict(), "notes": "ø" * 33})
    write_with_card(weights, weights, newer)
    assert read_card(weights) == newer
    assert load_file(str(weights))["b"].shape == (3, 5)


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480])
def test_a_header_whose_length_looks_like_a_pickle_is_read(tmp_path: Path, length: int) -> None:
    header = json.dumps({"__metadata__": {"x": "y"}}).encode()
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", length) + header + b" " * (length - len(header)))
    assert read_metadata(path) == {"x": "y"}


def test_pickles_are_refused_by_what_they_are(tmp_path: Path) -> None:
    path = tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps({"weights": list(range(20))}))
    with pytest.raises(WeightsError, match="pickle"):
        read_card(path)
    path.write_bytes(b"PK\x03\x04" + bytes([20, 0, 8, 8]) + bytes(100))
    with pytest.raises(WeightsError, match="pickle"):
        read_card(path)


@pytest.mark.parametrize(
    "data", [b"", b"short", bytes(100), struct.pack("<Q", 50) + b"{}", struct.pack("<Q", 2) + b"[]"]
)
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="safetensors"):
        read_card(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere"):
        read_card(tmp_path / "nowhere.safetensors")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": ""}, "name"),
        ({"name": "a/b"}, "slash"),
        ({"name": 3}, "text"),
        ({"dimension": 0}, "dimension"),
        ({"dimension": 20000}, "dimension"),
        ({"dimension": "16"}, "dimension"),
        ({"dimension": 8}, "config 16"),
        ({"config": []}, "tables"),
        ({"trained": "yes"}, "true or false"),
        ({"mood": "good"}, "mood"),
    ],
)
def test_cards_of_no_use_are_refused(change: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ModelCard.from_dict({**CARD.to_dict(), **change})


def test_a_card_that_lacks_what_is_needed_says_what(weights: Path) -> None:
    with pytest.raises(ValueError, match="config, name"):
        ModelCard.from_dict({"dimension": 3})
    save_file({"a": np.zeros(1, np.float32)}, str(weights), {CARD_KEY: "[1]"})
    with pytest.raises(WeightsError, match="card"):
        read_card(weights)

"""`embed`: finished crops in, a table of unit vectors out, bad photos named."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from PIL import Image as Pillow

from identification.inference import engines
from identification.inference.coats import load_coat
from identification.models import Detection, EmbeddingModel
from identification.services.ingest import survey_ingest
from identification.services.media import media_path
from identification.services.processing import survey_process_inline
from tests.identification.factories import coat_pixels

pytestmark = pytest.mark.django_db


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    folder = tmp_path / "crops"
    for number in range(3):
        path = folder / f"animal{number}" / "view.png"
        path.parent.mkdir(parents=True)
        Pillow.fromarray(coat_pixels(number, number)[0]).save(path)
    return folder


def embed(*arguments: object, model: str = "tiny") -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("embed", "--model", model, *map(str, arguments), stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_crops_become_unit_vectors_with_names(tiny_model, crops, tmp_path) -> None:
    said, _ = embed("--out", tmp_path / "out.npz", crops)
    assert "3 photos encoded under tiny, 16 dimensions" in said
    table = np.load(tmp_path / "out.npz")
    assert table["vectors"].shape == (3, 16) and table["vectors"].dtype == np.float32
    assert list(table["names"]) == [f"animal{number}/view.png" for number in range(3)]
    assert np.linalg.norm(table["vectors"], axis=1) == pytest.approx([1, 1, 1], abs=1e-5)
    assert str(table["model"]) == "tiny" and str(table["sha256"]) == tiny_model.checksum


def test_the_vectors_are_those_that_a_survey_of_the_same_crops_stores(tiny_model, crops, tmp_path) -> None:
    embed("--out", tmp_path / "out.npz", crops)
    survey_process_inline(survey=survey_ingest(root=crops, survey_name="Crops", crops_only=True).survey)
    table = np.load(tmp_path / "out.npz")
    ours = dict(zip(table["names"], table["vectors"], strict=True))
    assert Detection.objects.count() == 3
    for detection in Detection.objects.all():
        # Stored crops are JPEG, so that the last digits differ.
        stored = np.asarray(detection.embeddings.get().vector, np.float32)
        assert stored @ ours[detection.image.relative_path] > 0.99


def test_given_edge_maps_are_taken_by_their_relative_name(tiny_model, crops, tmp_path) -> None:
    edges = tmp_path / "edges"
    for number in range(3):
        path = edges / f"animal{number}" / "view.png"
        path.parent.mkdir(parents=True)
        plane = np.zeros((170, 320), np.uint8)
        plane[number * 40 : number * 40 + 20] = 255
        Pillow.fromarray(plane).save(path)
    embed("--out", tmp_path / "given.npz", "--edges", edges, crops)
    embed("--out", tmp_path / "drawn.npz", crops)
    given, drawn = np.load(tmp_path / "given.npz")["vectors"], np.load(tmp_path / "drawn.npz")["vectors"]
    assert not np.allclose(given, drawn, atol=1e-4)
    pixels = load_coat(crops / "animal1" / "view.png", edges / "animal1" / "view.png")
    expected = engines.encode(tiny_model, [pixels])[0]
    assert given[1] @ expected == pytest.approx(1, abs=1e-4)


def test_bad_photos_are_named_and_the_rest_goes_on(tiny_model, crops, tmp_path) -> None:
    (crops / "animal1" / "view.png").write_bytes(b"no picture at all")
    (crops / "animal2" / "view.png").write_bytes((crops / "animal0" / "view.png").read_bytes()[:500])
    err = io.StringIO()
    with pytest.raises(CommandError, match="2 of 3 photos have no vector"):
        call_command("embed", "--model", "tiny", "--out", str(tmp_path / "out.npz"), str(crops), stderr=err)
    assert "animal1/view.png: " in err.getvalue() and "animal2/view.png: " in err.getvalue()
    assert list(np.load(tmp_path / "out.npz")["names"]) == ["animal0/view.png"]


def test_an_edge_map_that_is_missing_is_said(tiny_model, crops, tmp_path) -> None:
    (tmp_path / "edges").mkdir()
    err = io.StringIO()
    with pytest.raises(CommandError, match="3 of 3"):
        call_command(
            "embed",
            *("--model", "tiny", "--out", str(tmp_path / "out.npz"), "--edges", str(tmp_path / "edges"), str(crops)),
            stderr=err,
        )
    assert "there is no edge map" in err.getvalue()
    assert np.load(tmp_path / "out.npz")["vectors"].shape == (0, 16)


def test_what_cannot_work_is_said_before_anything_is_encoded(tiny_model, crops, tmp_path) -> None:
    with pytest.raises(CommandError, match="There are: tiny"):
        embed("--out", tmp_path / "out.npz", crops, model="huge")
    with pytest.raises(CommandError, match="no photo"):
        embed("--out", tmp_path / "out.npz", tmp_path / "nothing.png")
    with pytest.raises(CommandError, match="no folder"):
        embed("--out", tmp_path / "nowhere" / "out.npz", crops)
    EmbeddingModel.objects.update(checksum="0" * 64)
    with pytest.raises(CommandError, match="SHA-256"):
        embed("--out", tmp_path / "out.npz", crops)
    assert media_path("x").parent.is_dir() and not (tmp_path / "out.npz").exists()

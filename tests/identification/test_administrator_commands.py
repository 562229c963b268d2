"""`process` and `weights` as an administrator types them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from tests.identification.factories import make_survey

pytestmark = pytest.mark.django_db


def said(*arguments: str) -> str:
    out = io.StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def test_waiting_for_a_survey_without_photos_is_no_waiting(monkeypatch) -> None:
    survey = make_survey()

    def sleeps(seconds: float) -> None:
        raise AssertionError("it waits")

    monkeypatch.setattr("time.sleep", sleeps)
    assert "0 photos through" in said("process", "--survey", survey.name, "--wait")


def test_weights_are_registered_by_their_path_or_by_their_name_in_the_folder(settings, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    settings.SPOTID_WEIGHTS_DIR = folder
    (folder / "u2net.onnx").write_bytes(b"weights")
    assert "u2net.onnx: it was given by an administrator" in said("weights", "register", "u2net.onnx")
    assert "u2net.onnx: it was given by an administrator" in said("weights", "list")
    (tmp_path / "own.onnx").write_bytes(b"others")
    assert "own.onnx" in said("weights", "register", str(tmp_path / "own.onnx"))
    with pytest.raises(CommandError, match=f"no weights file {folder}/missing.onnx"):
        said("weights", "register", "missing.onnx")

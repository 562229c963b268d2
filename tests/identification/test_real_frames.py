"""Real camera-trap frames through the whole path, with a real detector in MegaDetector's place."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from django.core.management import call_command

from identification.inference.engines import engines_forget
from identification.models import Category, Detection, Image, Work
from identification.permissions import images_for
from identification.services.ingest import survey_ingest
from identification.services.processing import survey_process_inline
from tests.identification.factories import make_member

pytestmark = [pytest.mark.shared_data, pytest.mark.django_db]


@pytest.fixture
def detector(shared_data: Path, tiny_model, settings, tmp_path) -> None:
    weights = tmp_path / "yolov8n.onnx"
    shutil.copy(shared_data / "weights" / "yolov8n_int8.onnx", weights)
    settings.SPOTID_DETECTOR_WEIGHTS = str(weights)
    engines_forget()


@pytest.mark.usefixtures("detector")
def test_snow_leopards_are_found_and_empty_frames_stay_empty(shared_data: Path, capsys) -> None:
    """Measured beforehand: an animal in 13 of the 22 snow leopard frames, in none of the 14 empty frames of lila31."""
    call_command("ingest", str(shared_data / "snow_leopard"), "--survey", "Snow leopards", "--timezone", "Asia/Bishkek")
    call_command("ingest", str(shared_data / "camera_traps" / "lila31"), "--survey", "LILA")
    assert Image.objects.filter(survey__name="Snow leopards").exclude(captured_at=None).exists()
    survey_process_inline(survey=None)
    assert not Work.objects.exclude(state="done").exists()
    with_cat = Image.objects.filter(survey__name="Snow leopards", detections__category=Category.ANIMAL).distinct()
    assert with_cat.count() >= 12
    for detection in Detection.objects.select_related("image"):
        assert detection.source == "detector" and detection.engine.startswith("yolo/")
        assert 0 <= detection.x1 < detection.x2 <= detection.image.width
        assert 0 <= detection.y1 < detection.y2 <= detection.image.height
    animals = Detection.objects.filter(category=Category.ANIMAL)
    assert all(d.crop and d.mask and d.edges for d in animals)
    assert not Detection.objects.exclude(category=Category.ANIMAL).exclude(crop="").exists()


@pytest.mark.usefixtures("detector")
def test_bad_people_and_colour_spaces_of_real_files(shared_data: Path) -> None:
    result = survey_ingest(root=shared_data / "camera_traps" / "speciesnet", survey_name="Mixed")
    assert {code for _, code, _ in result.skipped} >= {"truncated"}
    survey_process_inline(survey=result.survey)
    assert not Work.objects.exclude(state="done").exists()
    person = Image.objects.filter(has_person=True)
    assert person.exists() and all("human" in image.name for image in person)
    viewer, curator = make_member(result.survey, "viewer"), make_member(result.survey, "curator")
    assert not images_for(viewer).filter(pk__in=person).exists()
    assert images_for(curator).filter(pk__in=person).count() == person.count()

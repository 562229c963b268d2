"""Bringing a detector's file along in the browser: by keyboard, dry run, then the import."""

from __future__ import annotations

import json
import zipfile
from datetime import date, datetime
from pathlib import Path

import pytest
from playwright.sync_api import expect

from identification.matching.operation import Operation
from identification.models import Image, ImportRun, Individual, Role
from identification.services.camera_operation import operations_set
from identification.services.imports_run import import_run
from tests.browser.test_browser_every_page import axe  # noqa: F401 (a fixture)
from tests.browser.test_browser_exports import look_at
from tests.identification import factories as make

pytestmark = pytest.mark.django_db(transaction=True)


def _file(tmp_path: Path) -> Path:
    box = {"category": "1", "conf": 0.91, "bbox": [0.2, 0.3, 0.4, 0.3]}
    person = {"category": "2", "conf": 0.8, "bbox": [0.6, 0.3, 0.2, 0.6]}
    names = [image.relative_path for image in Image.objects.order_by("pk")]
    images = [{"file": f"D:/season/{name}", "detections": [box]} for name in names]
    images[1]["detections"] = [person]
    images[2]["detections"] = []
    images += [
        {"file": f"D:/season/ST09/A/A_long_name_of_a_photo_that_is_not_here_{n:04d}.JPG", "detections": [box]}
        for n in range(3)
    ]
    images.append({"file": f"D:/season/{names[3]}", "failure": "image access", "detections": None})
    path = tmp_path / "megadetector_v5a_season_2024.json"
    said = {"images": images, "detection_categories": {"1": "animal", "2": "person"}, "info": {"detector": "md_v5a"}}
    path.write_text(json.dumps(said))
    return path


def test_a_dry_run_is_looked_at_and_imported(new_page, axe, tmp_path, settings, monkeypatch) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    settings.SPOTID_IMPORT_DIR = tmp_path / "imports"
    settings.SPOTID_UPLOAD_KEEP_FREE_GB = 0
    monkeypatch.setattr("django_q.tasks.async_task", lambda *a, **b: None)
    survey, _ = make.make_reviewable_survey(individuals=3, photos=2)
    page = new_page(make.make_member(survey, Role.CURATOR))
    page.goto(f"/surveys/{survey.pk}/", timeout=60_000)
    page.get_by_role("link", name="Bring what you have").press("Enter")
    look_at(page, axe, "imports", tmp_path)
    page.get_by_label("File", exact=True).set_input_files(_file(tmp_path))
    page.get_by_text("How it is read").press("Enter")
    page.get_by_label("Leave out boxes").fill("0,3")
    page.get_by_role("button", name="Dry run").press("Enter")
    expect(page.get_by_text("Waiting", exact=True)).to_be_visible()
    look_at(page, axe, "waiting", tmp_path)
    assert import_run(run_id=ImportRun.objects.get().pk)
    button = page.get_by_role("button", name="Import", exact=True)
    expect(button).to_be_visible()
    page.get_by_text("could not be used").press("Enter")
    look_at(page, axe, "dry", tmp_path)
    assert not Image.objects.exclude(imported={}).exists()
    button.press("Enter")
    expect(page.get_by_text("Waiting", exact=True)).to_be_visible()
    assert import_run(run_id=ImportRun.objects.get(dry_run=False).pk)
    expect(page.get_by_text("Done", exact=True)).to_be_visible()
    expect(page.get_by_role("row", name="boxes of animals")).to_be_visible()
    look_at(page, axe, "done", tmp_path)
    assert Image.objects.exclude(imported={}).count() == 6


def test_when_cameras_worked_is_told_on_the_page_of_places(new_page, axe, tmp_path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    survey, _ = make.make_reviewable_survey(individuals=2, photos=2)
    dead = ((date(2024, 3, 3), date(2024, 3, 4)), (date(2024, 3, 9), datetime(2024, 3, 9, 17, 30)))
    rows = [
        ("ST01", Operation(datetime(2024, 2, 28, 17, 30), date(2024, 4, 20), dead, "A")),
        ("ST01", Operation(date(2024, 2, 28), None, (), "B")),
        ("A station with a rather long name 12", Operation(date(2024, 2, 28), date(2024, 4, 20))),
    ]
    operations_set(survey=survey, acting_user=None, rows=rows)
    page = new_page(make.make_member(survey, Role.VIEWER))
    page.goto(f"/surveys/{survey.pk}/stations/", timeout=60_000)
    expect(page.get_by_text("still stands")).to_be_visible()
    look_at(page, axe, "operation", tmp_path)


def test_folders_by_animal_come_along_with_their_photos(new_page, axe, tmp_path, settings, monkeypatch) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    settings.SPOTID_IMPORT_DIR, settings.SPOTID_UPLOAD_DIR = tmp_path / "imports", tmp_path / "photos"
    settings.SPOTID_UPLOAD_KEEP_FREE_GB = 0
    monkeypatch.setattr("django_q.tasks.async_task", lambda *a, **b: None)
    survey = make.make_survey()
    with zipfile.ZipFile(tmp_path / "Sorted by hand.zip", "w") as archive:
        for number, name in enumerate(("Asha_left/1.jpg", "Asha_left/2.jpg", "Bela/3.jpg", "unknown/4.jpg")):
            archive.writestr(name, make.jpeg(make.frame_pixels(number)))
    page = new_page(make.make_member(survey, Role.CURATOR))
    page.goto(f"/surveys/{survey.pk}/imports/", timeout=60_000)
    page.get_by_label("File", exact=True).set_input_files(tmp_path / "Sorted by hand.zip")
    page.locator("select[name=kind]").select_option("labelled")
    page.get_by_text("How it is read").press("Enter")
    page.get_by_label("the photos are finished crops of animals").press("Space")
    look_at(page, axe, "options", tmp_path)
    page.get_by_role("button", name="Dry run").press("Enter")
    expect(page.get_by_text("Waiting", exact=True)).to_be_visible()
    assert import_run(run_id=ImportRun.objects.get().pk)
    expect(page.get_by_role("row", name="photos that come along and are new here")).to_be_visible()
    assert not survey.images.exists()
    page.get_by_role("button", name="Import", exact=True).press("Enter")
    expect(page.get_by_text("Waiting", exact=True)).to_be_visible()
    assert import_run(run_id=ImportRun.objects.get(dry_run=False).pk)
    expect(page.get_by_text("Done", exact=True)).to_be_visible()
    look_at(page, axe, "animals", tmp_path)
    names = Individual.objects.filter(retired=False).order_by("name").values_list("name", flat=True)
    assert list(names) == ["Asha left", "Bela"] and survey.images.count() == 4

"""Real files of other tools, each as dry run, run, and a repeat that adds nothing."""

from __future__ import annotations

import json
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from identification.imports.camtrapr import layout_of, tags_of
from identification.models import Category, Detection, DetectionSource, Image, ImportRun, Individual, Survey, Work
from identification.selectors.imports import UNCHANGED
from identification.services.ingest import survey_ingest
from identification.services.processing import survey_process_inline
from tests.identification import factories as make

pytestmark = [pytest.mark.shared_data, pytest.mark.django_db]


def _import(kind: str, path: Path, survey: Survey, tmp_path: Path, *more: str) -> dict[str, Any]:
    """The report of a dry run and, with --run, of the run."""
    report = tmp_path / "report.json"
    call_command("import_data", kind, path, "--survey", survey.name, "--json", report, *more, stdout=StringIO())
    said: dict[str, Any] = json.loads(report.read_text())
    return said


def _unchanged(counts: dict[str, int]) -> set[str]:
    return set(counts) - UNCHANGED


def _ingested(tmp_path: Path, folder: Path, names: list[str], **options: Any) -> Survey:
    """A survey of small copies, so that little is decoded; the names are what matters."""
    for name in names:
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / name, tmp_path / "photos" / name)
    return survey_ingest(root=tmp_path / "photos", survey_name="Real", **options).survey


def test_megadetector_s_boxes_of_31_projects(shared_data: Path, tmp_path: Path, tiny_model: Any) -> None:
    folder = shared_data / "camera_traps/lila31"
    file = folder / "megadetector_v5a.json"
    said = json.loads(file.read_text())
    names = [item["file"] for item in said["images"]]
    survey = _ingested(tmp_path, folder, names)
    assert Image.objects.count() == 31
    dry = _import("auto", file, survey, tmp_path)
    assert list(dry) == ["dry_run"] and dry["dry_run"]["kind"] == "megadetector"
    assert Image.objects.exclude(imported={}).count() == 0 and not dry["dry_run"]["issues"]
    done = _import("megadetector", file, survey, tmp_path, "--run")
    assert done["run"]["counts"] == done["dry_run"]["counts"] == dry["dry_run"]["counts"]
    wanted = {
        item["file"]: sum(box["conf"] >= 0.2 for box in item["detections"] if box["category"] in "123")
        for item in said["images"]
    }
    assert done["run"]["counts"]["photos_matched"] == 31
    assert done["run"]["counts"]["boxes_animal"] == sum(
        box["conf"] >= 0.2 and box["category"] == "1" for item in said["images"] for box in item["detections"]
    )
    again = _import("megadetector", file, survey, tmp_path, "--run")["run"]["counts"]
    assert _unchanged(again) == set() and again["photos_same"] == 31
    few = sorted(wanted, key=lambda name: (folder / name).stat().st_size)[:6]
    Work.objects.exclude(image__relative_path__in=few).delete()
    survey_process_inline(survey=survey)
    for image in Image.objects.filter(relative_path__in=few):
        boxes = image.detections.all()
        assert boxes.count() == wanted[image.relative_path], image
        assert all(box.source == DetectionSource.IMPORTED and box.confidence >= 0.2 for box in boxes)
        assert image.detector.startswith("megadetector_v5") and image.detector.endswith("(imported)")
        assert image.has_person == boxes.filter(category=Category.PERSON).exists()
    assert Detection.objects.filter(category=Category.ANIMAL).exclude(crop="").exists()
    assert ImportRun.objects.filter(state="done").count() == 5


def test_detections_come_with_the_photos(shared_data: Path, tmp_path: Path, tiny_model: Any) -> None:
    folder = shared_data / "camera_traps/lila31"
    said = json.loads((folder / "megadetector_v5a.json").read_text())
    name = min((item["file"] for item in said["images"]), key=lambda name: (folder / name).stat().st_size)
    (tmp_path / "photos").mkdir()
    shutil.copyfile(folder / name, tmp_path / "photos" / name)
    out = StringIO()
    call_command(
        *("ingest", tmp_path / "photos", "--survey", "S"),
        detections=folder / "megadetector_v5a.json",
        threshold=0.3,
        stdout=out,
    )
    wanted = [
        box for item in said["images"] if item["file"] == name for box in item["detections"] if box["conf"] >= 0.3
    ]
    assert len(Image.objects.get().imported["boxes"]) == len(wanted)
    (run,) = ImportRun.objects.filter(dry_run=False)
    assert run.counts == {"photos_matched": 1, "photos_same": 1} and run.issues.count() == 30
    assert "1 new" in out.getvalue()
    for wrong in (shared_data / "camera_traps/speciesnet/instances.json", tmp_path / "no.json"):
        with pytest.raises(CommandError):
            call_command("ingest", tmp_path / "photos", survey="S", detections=wrong, stdout=out)


def test_mdtools_output_and_its_conversions(shared_data: Path, tmp_path: Path) -> None:
    folder, survey = shared_data / "formats/megadetector", make.make_survey()
    said = json.loads((folder / "test_folder_output.json").read_text())
    photos = [make.make_image(survey, files=False, relative_path=f"a/{item['file']}") for item in said["images"]]
    once = _import("auto", folder / "test_folder_output.json", survey, tmp_path, "--run")
    boxes = [box for item in said["images"] for box in item["detections"] if box["conf"] >= 0.2]
    assert once["run"]["counts"]["boxes_animal"] == len(boxes) and once["run"]["issues"] == []
    assert once["run"]["counts"] == once["dry_run"]["counts"]
    assert once["run"]["counts"]["photos_processed_again"] == len(photos) == 8
    again = _import("auto", folder / "test_folder_output.json", survey, tmp_path, "--run")
    assert _unchanged(again["run"]["counts"]) == set()
    for name in ("test_folder_output_coco.json", "test_images_output_coco_ct.json", "test_folder_output_ls.json"):
        with pytest.raises(CommandError, match=r"COCO|JSON"):
            _import("megadetector", folder / name, survey, tmp_path)


def test_speciesnet_s_real_prediction(shared_data: Path, tmp_path: Path) -> None:
    file, survey = shared_data / "camera_traps/speciesnet/real_prediction_v4.0.0a_from_blog.json", make.make_survey()
    survey.population.species = "Panthera pardus"
    survey.population.save()
    image = make.make_image(survey, files=False, relative_path="demo.JPG", state="pending", detector="")
    dry = _import("auto", file, survey, tmp_path)["dry_run"]
    run = _import("auto", file, survey, tmp_path, "--run")["run"]
    assert (
        run["counts"]
        == dry["counts"]
        == {
            "photos_matched": 1,
            "photos_changed": 1,
            "boxes_animal": 1,
            "photos_named": 1,
        }
    )
    image.refresh_from_db()
    assert image.imported["species"] == "Herpestes urva" and image.imported["engine"] == "SpeciesNet 4.0.0a"
    assert _unchanged(_import("auto", file, survey, tmp_path, "--run")["run"]["counts"]) == set()


@pytest.mark.parametrize(
    ("folder", "layout"),
    [
        ("raw_images", "station"),
        ("sample_images_species_tag", "station"),
        ("sample_images_species_dir", "station/species"),
    ],
)
def test_camtrapr_s_folders_say_what_they_mean(folder: str, layout: str, shared_data: Path) -> None:
    root = shared_data / "formats/camtrapR/pictures" / folder
    found = layout_of(str(path.relative_to(root)) for path in root.rglob("*.JPG"))
    assert found is not None and found.sure and found.text == layout


def test_camtrapr_s_species_folders_and_tags(shared_data: Path, tmp_path: Path) -> None:
    pictures = shared_data / "formats/camtrapR/pictures"
    out = StringIO()
    call_command("ingest", pictures / "sample_images_species_dir", survey="Dir", stdout=out)
    assert "The folders look like station/species" in out.getvalue()
    survey = Survey.objects.get(name="Dir")
    said = _import_photos("camtrapr", survey, tmp_path)
    assert said["run"]["counts"] == said["dry_run"]["counts"]
    assert set(survey.stations.values_list("code", flat=True)) == {"StationA", "StationB", "StationC"}
    species = {image.imported.get("species", "") for image in survey.images.all()}
    assert species == {"PBE", "MNE", "VTA", "EGY", "TRA", ""}
    assert _unchanged(_import_photos("camtrapr", survey, tmp_path)["run"]["counts"]) == set()
    tagged = survey_ingest(root=pictures / "sample_images_species_tag", survey_name="Tag").survey
    _import_photos("camtrapr", tagged, tmp_path)
    by_tag = {image.imported.get("species", "") for image in tagged.images.all()}
    assert "Leopard Cat" in by_tag and tagged.images.exclude(imported={}).count() > 50


def test_camtrapr_s_individuals_become_confirmed_matches(shared_data: Path, tmp_path: Path, tiny_model: Any) -> None:
    root = shared_data / "formats/camtrapR/pictures/sample_images_indiv_tag"
    survey = survey_ingest(root=root, survey_name="Cats", crops_only=True).survey
    early = _import_photos("camtrapr", survey, tmp_path)["run"]
    assert any("not processed yet" in issue["words"] for issue in early["issues"])
    survey_process_inline(survey=survey)
    said = _import_photos("camtrapr", survey, tmp_path)
    assert said["run"]["counts"] == said["dry_run"]["counts"] and said["run"]["counts"]["animals_matches"] > 0
    wanted = {tags_of(path)["individual"][0] for path in root.rglob("*.JPG")}
    assert set(Individual.objects.exclude(name="").values_list("name", flat=True)) == wanted
    assert _unchanged(_import_photos("camtrapr", survey, tmp_path)["run"]["counts"]) == set()


def _import_photos(kind: str, survey: Survey, tmp_path: Path) -> dict[str, Any]:
    report = tmp_path / "report.json"
    call_command("import_data", kind, "--survey", survey.name, "--run", "--json", report, stdout=StringIO())
    said: dict[str, Any] = json.loads(report.read_text())
    return said

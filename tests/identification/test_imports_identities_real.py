"""Real files that name animals or come with photos, each as dry run, run, and a repeat that adds nothing."""

from __future__ import annotations

import json
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from identification.models import CameraOperation, Category, Detection, Image, Individual, MatchEdge, Survey
from identification.selectors.imports import UNCHANGED
from identification.services.ingest import survey_ingest
from tests.identification import factories as make
from tests.identification.test_imports_round_trip import bring, codes, state

pytestmark = [pytest.mark.shared_data, pytest.mark.django_db]


def test_the_command_makes_an_empty_survey(shared_data: Path) -> None:
    asked = ("import_data", "camtrapdp", shared_data / "formats/camtrap_dp", "--survey", "Rivers", "--run")
    with pytest.raises(CommandError, match="Rivers"):
        call_command(*asked, stdout=StringIO())
    call_command(*asked, "--population", "Herons", "--time-zone", "Europe/Brussels", stdout=StringIO())
    survey = Survey.objects.get()
    assert (survey.population.name, survey.time_zone, survey.images.count()) == ("Herons", "Europe/Brussels", 10)


@pytest.fixture(autouse=True)
def _own_folders(settings: Any, tmp_path: Path) -> None:
    settings.SPOTID_IMPORT_DIR = tmp_path / "imports"


def three_times(survey: Any, path: Path, kind: str, **options: Any) -> tuple[dict[str, int], dict[str, int]]:
    """Counts and codes of the run, which a dry run foretold and a repeat does not add to."""
    before = state()
    dry = bring(survey, path, kind, dry_run=True, **options)
    assert state() == before
    survey.refresh_from_db()
    run = bring(survey, path, kind, **options)
    assert run.counts == dry.counts and codes(run) == codes(dry)
    after = state()
    again = bring(survey, path, kind, **options)
    assert set(again.counts) - UNCHANGED == set() and state() == after
    return run.counts, codes(run)


def test_the_camtrap_dp_package_of_agouti(shared_data: Path) -> None:
    survey = make.make_survey(make.make_population(species=""), "Rivers", time_zone="Europe/Brussels")
    counts, told = three_times(survey, shared_data / "formats/camtrap_dp", "camtrapdp")
    line = survey.import_runs.order_by("pk").first().issues.filter(code="elsewhere").order_by("row").first()
    assert (line.file, line.row) == ("media.csv", 2) and "multimedia.agouti.eu" in line.detail
    # Ten of 423 photos lie in the package, the others at agouti.eu.
    assert told == {"event_level": 36, "elsewhere": 413}
    assert counts["photos_new"] == counts["photos_matched"] == 10 and counts["stations_new"] == 4
    assert counts["places_set"] == counts["operations_set"] == 4
    first = Image.objects.order_by("relative_path").first()
    assert first is not None and first.station is not None and first.station.code == "B_DM_val 4_'t WAD"
    assert first.camera == "315" and first.captured_at is not None
    assert str(first.captured_at.astimezone(make.START.tzinfo))[:4] == "2021"
    assert CameraOperation.objects.filter(camera="320", set_up="2020-05-30").count() == 1
    boxes = sum(len(row.imported["boxes"]) for row in Image.objects.all() if row.imported.get("boxes"))
    assert boxes == counts["boxes_animal"] > 0
    assert {row.imported["boxes"][0][6] for row in Image.objects.all() if row.imported.get("boxes")} == {"Ardea"}


def test_sorted_crops_of_leopards(shared_data: Path) -> None:
    survey = make.make_survey(name="Crops")
    counts, told = three_times(survey, shared_data / "spotid/crops", "labelled", crops="yes")
    assert told == {} and counts["photos_new"] == 36 and counts["animals"] == 3
    seen = {one.name: one.detections.count() for one in Individual.objects.filter(retired=False)}
    assert seen == {"BGL09 right": 17, "BHA32 right": 8, "BRL17 left": 11}
    assert set(Detection.objects.values_list("flank", "flank_by_person")) == {("left", True), ("right", True)}


def test_hotspotter_s_tables_of_snow_leopards(shared_data: Path) -> None:
    survey = make.make_survey(name="Snow")
    counts, told = three_times(survey, shared_data / "snow_leopard", "hotspotter")
    assert told == {} and counts["photos_new"] == 22 and counts["animals"] == 17
    assert counts["animals_matches"] == 5 and MatchEdge.objects.count() == 5
    seen = {one.name: one.detections.count() for one in Individual.objects.filter(retired=False)}
    assert seen["right_Cat1 Cat1"] == 6 and len(seen) == 17 and "left_diff_cats Cat1" in seen
    row = Detection.objects.get(image__relative_path__contains="right_Cat1/02__Station12__Camera2__2012-6-14")
    assert (row.x1, row.y1, row.x2, row.y2) == (320, 466, 1244, 1030) and row.category == Category.ANIMAL


def test_matches_of_the_desktop_spotid_over_its_own_crops(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "spotid/crops"
    survey = survey_ingest(root=folder, survey_name="Leopards", crops_only=True).survey
    photos = sorted(path for path in folder.rglob("*.jpg"))
    # Cropped a second time, as its guide shows them.
    names = [f"/Users/d/data/crop_output/{path.parent.name}/0_0_{path.name}" for path in photos]
    (tmp_path / "image_filenames.txt").write_text("\n".join(names) + "\n")
    links = [{"source": one, "target": two} for one, two in pairwise(names) if Path(one).parent == Path(two).parent]
    graph = {
        "directed": False,
        "multigraph": False,
        "graph": {},
        "nodes": [{"id": name} for name in names],
        "links": links,
    }
    (tmp_path / "leopard_matches.json").write_text(json.dumps({"graph": graph, "last_processed_index": 35}))
    counts, told = three_times(survey, tmp_path, "spotid")
    assert told == {} and counts["photos_matched"] == 36 and counts["matches_new"] == 33
    assert sorted(one.detections.count() for one in Individual.objects.all()) == [8, 11, 17]

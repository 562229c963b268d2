"""Imports into a survey: dry run, run, repeat; what is replaced and what stays."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
import zipfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from identification.errors import SpotIDError
from identification.models import (
    AuditEntry,
    Category,
    Detection,
    DetectionSource,
    Image,
    ImportRun,
    ProcessingState,
    Role,
    Survey,
    Triage,
    Work,
)
from identification.services import imports, imports_write
from identification.services.imports_run import import_run
from identification.services.imports_writing import Writing
from identification.services.ingest import survey_ingest
from identification.services.processing import survey_process_inline
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_folder(settings: Any, tmp_path: Path) -> None:
    settings.SPOTID_IMPORT_DIR = tmp_path / "imports"
    settings.SPOTID_UPLOAD_KEEP_FREE_GB = 0


def _file(tmp_path: Path, images: list[Any], **more: Any) -> Path:
    path = tmp_path / "md.json"
    said = {"images": images, "detection_categories": {"1": "animal", "2": "person"}, "info": {"detector": "md_v5a"}}
    path.write_text(json.dumps(said | more))
    return path


def _box(category: str = "1", conf: float = 0.9, bbox: tuple[float, ...] = (0.25, 0.3, 0.5, 0.4)) -> dict[str, Any]:
    return {"category": category, "conf": conf, "bbox": list(bbox)}


def _run(survey: Survey, path: Path, kind: str = "megadetector", *, dry_run: bool = False, **options: Any) -> ImportRun:
    run = imports.import_begin(
        survey=survey,
        kind=imports.kind_by_code(kind),
        path=path,
        options=options,
        acting_user=None,
        dry_run=dry_run,
    )
    assert import_run(run_id=run.pk)
    run.refresh_from_db()
    return run


def _codes(run: ImportRun) -> list[str]:
    return list(run.issues.values_list("code", flat=True))


@pytest.fixture
def ingested(tmp_path: Path, tiny_model: Any) -> Survey:
    """Three photos that nothing has looked at yet, of a population of leopards."""
    for number in range(3):
        (tmp_path / "photos").mkdir(exist_ok=True)
        (tmp_path / f"photos/{number}.jpg").write_bytes(make.jpeg(make.frame_pixels(number)))
    population = make.make_population(species="Panthera pardus")
    make.make_survey(population, "Season")
    return survey_ingest(root=tmp_path / "photos", survey_name="Season").survey


def test_photos_that_wait_use_the_imported_boxes_and_no_detector(ingested: Survey, tmp_path: Path) -> None:
    images = [
        {"file": "ST01/0.jpg", "detections": [_box(), _box("1", 0.1), _box("2", 0.7, (0.0, 0.0, 0.2, 0.2))]},
        {"file": "ST01/1.jpg", "detections": []},
        {"file": "ST01/7.jpg", "detections": [_box()]},
    ]
    path = _file(tmp_path, images)
    dry = _run(ingested, path, dry_run=True)
    assert Image.objects.exclude(imported={}).count() == 0
    run = _run(ingested, path)
    assert run.state == "done" and run.counts == dry.counts and _codes(run) == _codes(dry) == ["no_photo"]
    counts = {"photos_matched": 2, "photos_not_in_file": 1, "photos_changed": 2, "photos_empty": 1}
    assert run.counts == counts | {"boxes_animal": 1, "boxes_person": 1}
    again = _run(ingested, path)
    assert again.counts == {"photos_matched": 2, "photos_not_in_file": 1, "photos_same": 2}
    survey_process_inline(survey=ingested)
    first, second, third = Image.objects.order_by("relative_path")
    assert [first.has_person, second.has_person] == [True, False]
    assert first.detector == second.detector == "md_v5a (imported)"
    assert third.detections.get().source == DetectionSource.WHOLE_FRAME
    animal = first.detections.get(category=Category.ANIMAL)
    assert (animal.source, animal.confidence, animal.x1) == ("imported", 0.9, 0.25 * first.width)
    assert animal.crop and not second.detections.exists()
    entry = AuditEntry.objects.filter(action="import.run").order_by("pk").first()
    assert entry is not None and entry.after["counts"] == run.counts


def test_an_import_replaces_a_detector_s_boxes_and_no_person_s(ingested: Survey, tmp_path: Path) -> None:
    survey_process_inline(survey=ingested)
    first, second, third = Image.objects.order_by("relative_path")
    match(None, second.detections.get(), third.detections.get())
    drawn = Detection.objects.create(image=third, source="drawn", engine="person", x1=0, y1=0, x2=90, y2=90)
    path = _file(tmp_path, [{"file": f"{n}.jpg", "detections": [_box(), _box("1", 0.5)]} for n in range(3)])
    dry = _run(ingested, path, dry_run=True)
    assert (dry.counts["boxes_replaced"], dry.counts["boxes_kept"]) == (1, 3)
    assert not Work.objects.filter(state=ProcessingState.PENDING).exists()
    assert _run(ingested, path).counts == dry.counts
    survey_process_inline(survey=ingested)
    assert {box.source for box in first.detections.all()} == {"imported"}
    assert second.detections.filter(source="whole_frame").count() == 1
    assert set(third.detections.filter(pk=drawn.pk)) == {drawn}
    # A lower threshold brings no new boxes over the same place, a higher one takes imported boxes away again.
    _run(ingested, path, threshold=0.8)
    survey_process_inline(survey=ingested)
    assert [box.confidence for box in first.detections.all()] == [0.9]


def test_species_decide_about_the_population_s_own(ingested: Survey, tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    species = ("panthera;pardus;leopard", "axis;axis;chital", "axis;axis;chital")
    path.write_text(
        json.dumps(
            {
                "predictions": [
                    {
                        "filepath": f"/kaggle/{n}.jpg",
                        "detections": [_box() | {"label": "animal"}],
                        "prediction": f"u;mammalia;o;f;{name}",
                        "prediction_score": 0.9,
                    }
                    for n, name in enumerate(species)
                ]
            }
        )
    )
    run = _run(ingested, path, "speciesnet")
    assert run.counts["photos_named"] == 3
    survey_process_inline(survey=ingested)
    found = {box.image.name: (box.species, box.triage) for box in Detection.objects.select_related("image")}
    assert found["0.jpg"] == ("Panthera pardus", Triage.UNDECIDED)
    assert found["1.jpg"] == ("Axis axis", Triage.OTHER)


def test_a_species_without_boxes_names_what_is_there_unless_a_person_has(ingested: Survey, tmp_path: Path) -> None:
    survey_process_inline(survey=ingested)
    first = Image.objects.order_by("relative_path")[0]
    Detection.objects.filter(image=first).update(species="Panthera uncia", triage_by_person=True)
    path = tmp_path / "predictions.json"
    said = [
        {"filepath": f"{n}.jpg", "prediction": "u;m;o;f;axis;axis;chital", "failures": ["DETECTOR"]} for n in (0, 1)
    ]
    path.write_text(json.dumps({"predictions": said}))
    dry = _run(ingested, path, "speciesnet", dry_run=True)
    assert Detection.objects.filter(species="Axis axis").count() == 0
    run = _run(ingested, path, "speciesnet")
    assert run.counts == dry.counts and run.counts["boxes_named"] == 1 and run.counts["species_kept"] == 1
    assert run.counts["put_aside_by_name"] == 1
    assert Detection.objects.get(species="Axis axis").triage == Triage.OTHER
    assert not Work.objects.filter(state=ProcessingState.PENDING).exists()


def test_photos_are_found_by_md5(ingested: Survey, tmp_path: Path) -> None:
    data = (tmp_path / "photos/2.jpg").read_bytes()
    name = hashlib.md5(data, usedforsecurity=False).hexdigest()
    run = _run(ingested, _file(tmp_path, [{"file": f"images/batch_5/{name}.jpg", "detections": [_box()]}]))
    assert run.counts["photos_matched"] == 1 and not _codes(run)
    assert Image.objects.exclude(imported={}).get().name == "2.jpg"


def test_a_table_of_stations_sets_operation_and_places_for_who_may(tmp_path: Path) -> None:
    survey = make.make_survey()
    path = tmp_path / "stations.csv"
    path.write_text("Station;Lat;Lon;Setup_date;Retrieval_date\nST01;27,5;84;14.03.2024;20.03.2024\nST02;x;84;;\n")
    run = _run(survey, path, "stations", dry_run=True)
    assert not survey.stations.exists() and _codes(run) == ["bad_coordinate", "no_set_up"]
    run = _run(survey, path, "stations")
    assert run.counts == {"stations_new": 1, "places_set": 1, "operations_set": 1}
    assert _run(survey, path, "stations").counts == {"places_same": 1, "operations_same": 1}
    curator = make.make_member(survey, Role.CURATOR)
    asked = imports.import_begin(
        survey=survey, kind=imports.kind_by_code("stations"), path=path, options={}, acting_user=curator
    )
    import_run(run_id=asked.pk)
    assert "no_right_to_places" in _codes(asked)
    viewer = make.make_member(survey, Role.REVIEWER)
    with pytest.raises(SpotIDError, match="no curator"):
        imports.import_begin(
            survey=survey, kind=imports.kind_by_code("stations"), path=path, options={}, acting_user=viewer
        )


@pytest.mark.parametrize("data", [b"", b"{", b"<html>", b'{"images": []}'])
def test_a_file_that_is_useless_fails_with_words(data: bytes, tmp_path: Path) -> None:
    survey = make.make_survey()
    path = tmp_path / "md.json"
    path.write_bytes(data)
    run = _run(survey, path)
    assert run.state == "failed" and run.error.endswith(".") and run.attempts == 1
    with pytest.raises(CommandError, match=r"\w"):
        call_command("import_data", "megadetector", path, "--survey", survey.name, stdout=io.StringIO())


def test_the_command_runs_only_when_told_and_writes_the_report(ingested: Survey, tmp_path: Path) -> None:
    path, report, out = _file(tmp_path, [{"file": "0.jpg", "detections": [_box()]}]), tmp_path / "r.json", io.StringIO()
    call_command("import_data", "auto", path, "--survey", "season", stdout=out)
    assert "Nothing was changed" in out.getvalue() and "1 boxes of animals" in " ".join(out.getvalue().split())
    call_command("import_data", "auto", path, "--survey", "season", "--run", "--json", report, stdout=out)
    said = json.loads(report.read_text())
    assert said["run"]["counts"]["boxes_animal"] == 1 and said["run"]["sha256"] == said["dry_run"]["sha256"]
    for wrong in (["megadetector"], ["auto"], ["megadetector", tmp_path / "no"], ["auto", tmp_path / "photos"]):
        with pytest.raises(CommandError):
            call_command("import_data", *wrong, "--survey", "season", stdout=out)
    with pytest.raises(CommandError, match="0 to 1"):
        call_command("import_data", "auto", path, "--survey", "season", "--threshold", "7", stdout=out)
    with pytest.raises(CommandError, match="write one of: megadetector, "):
        call_command("import_data", "auto", tmp_path / "photos", "--survey", "season", stdout=out)
    call_command("import_data", "auto", path, "--survey", "new", "--population", "valley", stdout=out)
    assert "The survey new was made, for its photos. Nothing else was changed." in out.getvalue()


def test_the_page_shows_a_dry_run_before_it_imports(
    ingested: Survey, tmp_path: Path, django_capture_on_commit_callbacks: Any
) -> None:
    client, page = client_of(ingested, Role.CURATOR), reverse("survey-imports", args=[ingested.pk])
    data = _file(
        tmp_path, [{"file": "0.jpg", "detections": [_box()]}, {"file": "=x.jpg", "detections": []}]
    ).read_bytes()

    def ask(name: str, address: str, **form: Any) -> str:
        return client.post(reverse(address, args=[ingested.pk]), form, follow=True).content.decode()

    assert "Choose a file, or the kind" in ask("", "imports-request")
    assert "cannot be told" in ask("", "imports-request", file=SimpleUploadedFile("x.json", b"{}"))
    assert "from 0 to 1" in ask("", "imports-request", threshold="7", file=SimpleUploadedFile("x.json", data))
    assert not ImportRun.objects.exists() and not list((tmp_path / "imports").glob("*"))
    asked = ask("", "imports-request", file=SimpleUploadedFile("<b>.json", data), threshold="0,5")
    assert "Waiting" in asked and "&lt;b&gt;.json" in asked and "<b>.json" not in asked
    dry = ImportRun.objects.get()
    assert dry.options == {"threshold": 0.5}
    assert "Only what a dry run has shown" in ask("", "imports-confirm", run=dry.pk)
    assert import_run(run_id=dry.pk)
    shown = client.get(page).content.decode()
    assert "boxes of animals" in shown and "1 thing could not be used" in shown
    report = client.get(reverse("imports-report", args=[ingested.pk]), {"run": dry.pk}).content.decode()
    assert "no_photo" in report and "'=x.jpg" in report
    ask("", "imports-confirm", run=dry.pk)
    ask("", "imports-confirm", run=dry.pk)
    run = ImportRun.objects.get(dry_run=False)
    assert import_run(run_id=run.pk) and not import_run(run_id=run.pk)
    assert Image.objects.exclude(imported={}).count() == 1
    assert not Path(run.path).exists()
    assert "cannot be given up" in ask("", "imports-discard", run=dry.pk)
    again = ask("", "imports-request", file=SimpleUploadedFile("md.json", data), threshold="0.5")
    assert import_run(run_id=ImportRun.objects.order_by("-pk")[0].pk) and "Waiting" in again
    assert "nothing in it that the survey does not have" in client.get(page).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        ask("", "imports-discard", run=ImportRun.objects.order_by("-pk")[0].pk)
    assert not list((tmp_path / "imports").glob("*"))
    other = client_of(make.make_survey(), Role.CURATOR)
    assert other.get(reverse("imports-report", args=[ingested.pk]), {"run": run.pk}).status_code == 404


def test_an_archive_is_unpacked_and_hostile_members_are_refused(ingested: Survey, tmp_path: Path) -> None:
    path = tmp_path / "md.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(_file(tmp_path, [{"file": "0.jpg", "detections": [_box()]}]), "md.json")
        archive.writestr("../evil.json", "{}")
    run = _run(ingested, path)
    assert run.counts["photos_matched"] == 1 and _codes(run) == ["zip_path"]
    assert not list((tmp_path / "imports").glob("spotid-import-*"))


def test_a_run_whose_worker_died_is_taken_up_and_given_up_in_the_end(ingested: Survey, tmp_path: Path) -> None:
    path = _file(tmp_path, [])
    run = imports.import_begin(
        survey=ingested, kind=imports.kind_by_code("megadetector"), path=path, options={}, acting_user=None
    )
    assert imports.imports_waiting() == [run.pk]
    dead = ImportRun.objects.filter(pk=run.pk)
    dead.update(state="running", attempts=1, lease_until="2020-01-01T00:00Z")
    assert imports.imports_waiting() == [run.pk]
    dead.update(attempts=3)
    assert imports.imports_waiting() == [] and ImportRun.objects.get().state == "failed"


def test_files_that_nobody_imports_are_deleted_after_a_week(tmp_path: Path) -> None:
    waiting = ImportRun.objects.create(survey=make.make_survey(), kind="megadetector")
    for name, age in (("1000000", 8), ("1000001", 6), (str(waiting.pk), 8), ("spotid-import-x", 8)):
        folder = tmp_path / "imports" / name
        folder.mkdir(parents=True)
        os.utime(folder, (time.time() - age * 86400,) * 2)
    assert imports.imports_tidy() == 2
    assert {path.name for path in (tmp_path / "imports").iterdir()} == {"1000001", str(waiting.pk)}


def test_people_are_kept_from_view_before_the_photo_is_processed_again(ingested: Survey, tmp_path: Path) -> None:
    survey_process_inline(survey=ingested)
    _run(ingested, _file(tmp_path, [{"file": "0.jpg", "detections": [_box("2", 0.8)]}]))
    assert [image.name for image in Image.objects.filter(has_person=True)] == ["0.jpg"]
    path = tmp_path / "t.csv"
    path.write_text("File,RelativePath,DeleteFlag,Species\n1.jpg,x,false,Human\n")
    assert _run(ingested, path, "timelapse").counts["photos_processed_again"] == 1
    survey_process_inline(survey=ingested)
    boxes = Detection.objects.filter(category=Category.PERSON).order_by("image__relative_path")
    assert [(box.image.name, box.confidence) for box in boxes] == [("0.jpg", 0.8), ("1.jpg", 0.0)]


def test_imported_boxes_can_be_taken_back(ingested: Survey, tmp_path: Path) -> None:
    path = _file(tmp_path, [{"file": f"{n}.jpg", "detections": [_box()]} for n in range(3)])
    _run(ingested, path)
    survey_process_inline(survey=ingested)
    first, second, _ = Image.objects.order_by("relative_path")
    match(None, first.detections.get(), second.detections.get())

    def forget(dry_run: bool) -> dict[str, int]:
        kind = imports.kind_by_code("forget")
        with pytest.raises(SpotIDError, match="give no file"):
            imports.import_begin(survey=ingested, kind=kind, path=path, options={}, acting_user=None)
        run = imports.import_begin(survey=ingested, kind=kind, path=None, options={}, acting_user=None, dry_run=dry_run)
        assert import_run(run_id=run.pk)
        run.refresh_from_db()
        return dict(run.counts)

    dry = forget(dry_run=True)
    assert Image.objects.exclude(imported={}).count() == 3
    assert forget(dry_run=False) == dry == {"boxes_kept": 2, "boxes_replaced": 1, "photos_looked_at_again": 3}
    assert forget(dry_run=False) == {}
    survey_process_inline(survey=ingested)
    sources = {image.name: {box.source for box in image.detections.all()} for image in Image.objects.all()}
    assert sources["2.jpg"] == {"whole_frame"} and "imported" in sources["0.jpg"]


def test_what_was_read_is_never_more_than_there_are(
    ingested: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "TimelapseData.csv"
    table.write_text("File,RelativePath,DeleteFlag,Empty\n0.jpg,,true,\n1.jpg,,false,true\n2.jpg,,false,\n")
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(Writing, "progress", lambda self, done, total: told.append((done, total)))
    run = _run(ingested, table, "timelapse")
    assert told[-1] == (1, 1) and _codes(run) == ["delete_flag"]


def test_a_run_that_dies_half_way_is_gone_on_with(
    ingested: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports_write, "CHUNK", 1)
    path = _file(tmp_path, [{"file": f"{n}.jpg", "detections": [_box()]} for n in range(3)])
    kind = imports.kind_by_code("megadetector")
    run = imports.import_begin(survey=ingested, kind=kind, path=path, options={}, acting_user=None, dry_run=False)
    real, calls = Writing.progress, []

    def dying(self: Writing, done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 2:
            raise RuntimeError("killed")
        real(self, done, total)

    monkeypatch.setattr(Writing, "progress", dying)
    assert import_run(run_id=run.pk)
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("pending", 1) and Image.objects.exclude(imported={}).count() == 2
    assert import_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "done" and "photos_same" not in run.counts
    assert run.counts["photos_changed"] == run.counts["boxes_animal"] == 3
    assert Image.objects.exclude(imported={}).count() == 3


def test_a_photo_that_a_worker_began_meanwhile_is_looked_at_again(
    ingested: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was waiting when its record was matched; the worker has read it before the boxes were written."""
    find = imports_write._matched

    def slow(*args: Any) -> Any:
        found = find(*args)
        Work.objects.update(state=ProcessingState.RUNNING, token=7, lease_until=timezone.now() + timedelta(hours=1))
        return found

    monkeypatch.setattr(imports_write, "_matched", slow)
    run = _run(ingested, _file(tmp_path, [{"file": "0.jpg", "detections": [_box()]}]))
    assert run.counts["photos_processed_again"] == 1
    work = Work.objects.get(image__relative_path="0.jpg")
    assert (work.state, work.token) == (ProcessingState.PENDING, 0), "its worker loses the claim"


def test_an_import_takes_locks_in_the_order_of_workers_and_reviewers(ingested: Survey, tmp_path: Path) -> None:
    survey_process_inline(survey=ingested)
    path = tmp_path / "predictions.json"
    said = {"filepath": "0.jpg", "prediction": "u;m;o;f;axis;axis;chital", "detections": [_box() | {"label": "animal"}]}
    path.write_text(json.dumps({"predictions": [said]}))
    with CaptureQueriesContext(connection) as asked:
        _run(ingested, path, "speciesnet")
    found = [query["sql"] for query in asked]

    def first(begin: str, within: str = "") -> int:
        return next(at for at, sql in enumerate(found) if sql.startswith(begin) and within in sql)

    graph = first('SELECT "identification_population"', "FOR NO KEY UPDATE")
    work = first('SELECT "identification_work"', "FOR UPDATE")
    assert graph < work < first('UPDATE "identification_image"')

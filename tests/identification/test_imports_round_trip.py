"""What leaves one SpotID as Camtrap DP arrives in an empty one: the same animals, and once more adds nothing."""

from __future__ import annotations

import csv
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from identification.exports import ExportOptions, Files, Format, export_write
from identification.models import (
    CameraOperation,
    Decision,
    Detection,
    Image,
    ImportRun,
    Individual,
    MatchEdge,
    Population,
    Provenance,
    Survey,
    Verdict,
)
from identification.selectors.imports import UNCHANGED
from identification.services import imports
from identification.services.catalogue import individual_describe
from identification.services.decisions import decision_undo
from identification.services.imports_run import import_run
from identification.services.individuals import individual_declare, individual_rename
from identification.services.processing import survey_process_inline
from tests.identification import factories as make
from tests.identification.export_season import Season, make_season
from tests.identification.factories import match
from tests.identification.test_exports_camtrapdp import faults

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_folders(settings: Any, tmp_path: Path) -> None:
    settings.SPOTID_IMPORT_DIR = tmp_path / "imports"
    settings.SPOTID_UPLOAD_DIR = tmp_path / "photos"
    settings.SPOTID_UPLOAD_KEEP_FREE_GB = 0


@pytest.fixture
def season(tmp_path: Path) -> Season:
    folder = tmp_path / "originals"
    folder.mkdir()
    season = make_season(folder)
    # One photo of two animals, one of them seen only there, and a box that is not usable.
    first, second = season.survey.images.order_by("pk")[3:5]
    lone = make.make_detection(first, box=(2, 2, 60, 60), flank="unknown", flank_by_person=False, files=False)
    individual_describe(
        acting_user=season.user, individual=individual_declare(acting_user=season.user, detection=lone), sex="male"
    )
    blurred = make.make_detection(second, box=(2, 2, 60, 60), files=False, usable=False, unusable_reason="blurred")
    assert not blurred.usable
    operation = CameraOperation.objects.create(
        station=season.stations["RIVER"],
        camera="A",
        set_up="2024-03-01",
        set_up_time="08:30",
        retrieved="2024-03-07",
        retrieved_time="10:00",
        problems=[["2024-03-05T10:00", "2024-03-06"]],
    )
    assert operation.pk
    return season


@pytest.fixture
def package(season: Season, tmp_path: Path) -> Path:
    asked = ExportOptions(formats=(Format.CAMTRAPDP,), with_places=True, files=Files.ALL)
    export_write(population=season.survey.population, surveys=[season.survey], out=tmp_path / "out", options=asked)
    return tmp_path / "out" / "camtrapdp"


@pytest.fixture
def empty(season: Season) -> Survey:
    """Of another population, which knows no animal."""
    population = make.make_population("Elsewhere", species="Panthera pardus")
    return make.make_survey(population, "Arrived", time_zone="Asia/Kathmandu")


def bring(survey: Survey, path: Path, kind: str = "camtrapdp", *, dry_run: bool = False, **options: Any) -> ImportRun:
    user = options.pop("user", None)
    run = imports.import_begin(
        survey=survey, kind=imports.kind_by_code(kind), path=path, options=options, acting_user=user, dry_run=dry_run
    )
    assert import_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "done", run.error
    return run


def codes(run: ImportRun) -> dict[str, int]:
    found: dict[str, int] = defaultdict(int)
    for code in run.issues.values_list("code", flat=True):
        found[code] += 1
    return dict(found)


def catalogue(survey: Survey, *, torn: bool = False) -> dict[str, Any]:
    """Animals by their code: what they are called, and on which photos, where, from which side they are seen."""
    found = {}
    for one in Individual.objects.filter(population=survey.population, retired=False):
        rows = one.detections.filter(image__survey=survey).select_related("image")
        seen = {
            (row.image.sha256, row.image.relative_path, round(row.x1), round(row.y1), row.flank, row.flank_by_person)
            for row in rows
        }
        found[one.code] = (one.name, one.sex, one.age_class, frozenset(seen))
    return found


def photos(survey: Survey) -> set[tuple[Any, ...]]:
    rows = survey.images.select_related("station")
    return {
        (row.sha256, row.relative_path, row.captured_at, row.station.code if row.station else "", row.camera)
        for row in rows
    }


def state() -> list[Any]:
    return [
        list(Image.objects.order_by("pk").values_list("pk", "imported")),
        list(Detection.objects.order_by("pk").values_list("pk", "individual", "flank", "usable")),
        list(MatchEdge.objects.order_by("pk").values_list("a", "b", "verdict")),
        list(Individual.objects.order_by("pk").values_list("number", "name", "retired", "declared", "sex")),
        list(Population.objects.order_by("pk").values_list("last_number", flat=True)),
        list(CameraOperation.objects.order_by("pk").values_list("pk", flat=True)),
        Decision.objects.count(),
    ]


def test_an_empty_installation_gets_the_same_animals(
    season: Season, package: Path, empty: Survey, tiny_model: Any
) -> None:
    before = catalogue(season.survey)
    torn = {code for code, said in before.items() if code == "L-0005"}
    dry = bring(empty, package, dry_run=True)
    assert catalogue(empty) == {} and not empty.images.exists() and not empty.stations.exists()
    run = bring(empty, package)
    assert run.counts == dry.counts and codes(run) == codes(dry)
    after = catalogue(empty)
    assert len(torn) == 1 and after == {code: said for code, said in before.items() if code not in torn}
    assert {name for name, *_ in after.values()} == {"Asha", ""} and len(after) == 5
    assert photos(empty) == photos(season.survey)
    places = {(row.code, row.latitude, row.longitude) for row in season.survey.stations.all()}
    assert {(row.code, row.latitude, row.longitude) for row in empty.stations.all()} == places
    told = list(CameraOperation.objects.filter(station__survey=empty).values_list("camera", "set_up_time", "problems"))
    assert [(camera, str(at), problems) for camera, at, problems in told] == [
        ("A", "08:30:00", [["2024-03-05T10:00", "2024-03-06"]])
    ]
    edges = MatchEdge.objects.filter(a__image__survey=empty)
    assert {edge.provenance for edge in edges} == {Provenance.IMPORTED}
    assert empty.images.filter(detections__usable=False, detections__unusable_reason="blurred").count() == 1
    standing = state()
    again = bring(empty, package)
    assert set(again.counts) - UNCHANGED == set() and state() == standing
    survey_process_inline(survey=empty)
    assert catalogue(empty) == after
    seen = Detection.objects.filter(image__survey=empty, individual__isnull=False)
    assert seen.count() == 11 and not seen.filter(crop="").exists()
    assert set(bring(empty, package).counts) - UNCHANGED == set() and catalogue(empty) == after


def test_folders_and_their_table_bring_the_same_animals(season: Season, empty: Survey, tmp_path: Path) -> None:
    asked = ExportOptions(formats=(Format.FOLDERS,), with_places=True, files=Files.ALL)
    export_write(population=season.survey.population, surveys=[season.survey], out=tmp_path / "out", options=asked)
    dry = bring(empty, tmp_path / "out", "animals", dry_run=True)
    run = bring(empty, tmp_path / "out", "animals")
    assert run.counts == dry.counts and codes(run) == codes(dry) == {"conflict": 3}
    assert _seen(empty) == {code: said for code, said in _seen(season.survey).items() if code != "L-0005"}
    assert photos(empty) <= photos(season.survey) and empty.images.count() == 13
    standing = state()
    assert set(bring(empty, tmp_path / "out", "animals").counts) - UNCHANGED == set() and state() == standing


def _seen(survey: Survey) -> dict[str, Any]:
    """Without what the table does not say: sex, age class, and whose word a flank is."""
    return {code: (said[0], {one[:5] for one in said[3]}) for code, said in catalogue(survey).items()}


@pytest.mark.shared_data
def test_what_comes_back_is_a_valid_package(package: Path, shared_data: Path, tmp_path: Path) -> None:
    assert faults(package.parent, shared_data / "formats/camtrap_dp/schemas", tmp_path) == []


def test_photos_of_a_sent_archive_are_kept(package: Path, empty: Survey, tmp_path: Path) -> None:
    sent = Path(shutil.make_archive(str(tmp_path / "sent"), "zip", package))
    bring(empty, sent, dry_run=True)
    assert not (tmp_path / "photos").exists()
    bring(empty, sent)
    shutil.rmtree(package)
    sources = [Path(row.source_path) for row in empty.images.all()]
    assert len(sources) == 13 and all(path.is_file() for path in sources)
    assert {path.is_relative_to(tmp_path / "photos" / str(empty.pk)) for path in sources} == {True}
    assert not list((tmp_path / "imports").iterdir())


def test_a_package_that_a_browser_sends_is_known_by_its_files(package: Path, empty: Survey, tmp_path: Path) -> None:
    client = make.client_of(empty, "curator")
    sent = Path(shutil.make_archive(str(tmp_path / "sent"), "zip", package.parent))
    with sent.open("rb") as file:
        client.post(reverse("imports-request", args=[empty.pk]), {"file": file, "camtrapdp.prefix": "N-"})
    dry = ImportRun.objects.get()
    assert (dry.kind, dry.dry_run, dry.file_name) == ("camtrapdp", True, "sent.zip")
    assert import_run(run_id=dry.pk)
    client.post(reverse("imports-confirm", args=[empty.pk]), {"run": dry.pk})
    run = ImportRun.objects.get(dry_run=False)
    assert import_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.counts["photos_new"] == 13 and run.counts["animals"] == 5 and codes(run)["no_right_to_places"] == 1
    page = client.get(reverse("survey-imports", args=[empty.pk])).content.decode()
    assert "photos that come along and are new here" in page and "animals that keep their code" in page
    assert all(Path(row.source_path).is_file() for row in empty.images.all())


def test_a_run_that_was_killed_is_gone_on_with(
    package: Path, season: Season, empty: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    from identification.services import imports_identities

    run = imports.import_begin(
        survey=empty, kind=imports.kind_by_code("camtrapdp"), path=package, options={}, acting_user=None, dry_run=False
    )
    joined = imports_identities.labels_join

    def killed(**options: Any) -> None:
        joined(**options | {"groups": dict(list(options["groups"].items())[:2])})
        raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(imports_identities, "labels_join", killed)
        assert import_run(run_id=run.pk)
    run.refresh_from_db()
    assert run.state == "pending" and empty.images.count() == 13 and len(catalogue(empty)) == 2
    assert import_run(run_id=run.pk)
    wanted = {code: said for code, said in catalogue(season.survey).items() if code != "L-0005"}
    assert catalogue(empty) == wanted
    assert set(bring(empty, package).counts) - UNCHANGED == set()


def test_photos_of_people_are_kept_from_view_at_once(package: Path, empty: Survey) -> None:
    file = package / "observations.csv"
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    person = rows[0] | {"observationID": "p", "observationType": "human", "individualID": "", "scientificName": ""}
    with file.open("w", encoding="utf-8", newline="") as out:
        table = csv.DictWriter(out, list(rows[0]))
        table.writeheader()
        table.writerows([*rows, person])
    bring(empty, package)
    assert empty.images.filter(has_person=True).count() == 1


def _known(survey: Survey, name: str = "") -> Individual:
    rows = [make.make_sighting(survey) for _ in range(2)]
    match(None, *rows)
    found = Individual.objects.get(detections=rows[0])
    if name:
        individual_rename(acting_user=None, individual=found, name=name)
    return found


def test_codes_of_other_letters_stay_where_no_animal_was_known(season: Season, empty: Survey, tmp_path: Path) -> None:
    Population.objects.filter(pk=season.survey.population_id).update(code_prefix="DL")
    season.survey.population.refresh_from_db()
    asked = ExportOptions(formats=(Format.CAMTRAPDP,), with_places=True, files=Files.ALL)
    export_write(population=season.survey.population, surveys=[season.survey], out=tmp_path / "dl", options=asked)
    dry = bring(empty, tmp_path / "dl/camtrapdp", dry_run=True)
    empty.population.refresh_from_db()
    assert empty.population.code_prefix == "L"
    run = bring(empty, tmp_path / "dl/camtrapdp")
    assert "Codes begin with DL here from now on, as in the file." in run.notes and run.notes == dry.notes
    assert run.counts == dry.counts and run.counts["animals_numbered"] == run.counts["animals"] == 5
    empty.population.refresh_from_db()
    found = {code: said[0] for code, said in catalogue(empty).items()}
    assert found["DL-0001"] == "Asha" and all(code.startswith("DL-") for code in found)
    assert set(found.values()) == {"Asha", ""}
    assert set(bring(empty, tmp_path / "dl/camtrapdp").counts) - UNCHANGED == set()


def test_codes_of_other_letters_are_names_where_animals_are_known(season: Season, package: Path, empty: Survey) -> None:
    Population.objects.filter(pk=empty.population_id).update(code_prefix="N")
    empty.population.refresh_from_db()
    _known(empty, "Bijli")
    bring(empty, package)
    empty.population.refresh_from_db()
    assert empty.population.code_prefix == "N"
    assert "L-0004" in {said[0] for said in catalogue(empty).values()}


def test_a_code_that_another_animal_has_is_told_and_not_taken(package: Path, empty: Survey) -> None:
    there = _known(empty, "Asha")
    assert there.code == "L-0001"
    run = bring(empty, package)
    assert codes(run)["code_taken"] == 1 and codes(run)["name_taken"] == 1
    assert there.detections.count() == 2
    asha = Individual.objects.filter(population=empty.population, name="Asha").exclude(pk=there.pk).get()
    assert asha.detections.count() == 3 and asha.code == "L-0007"
    detail = run.issues.get(code="code_taken").detail
    assert detail == "L-0001: L-0007"
    standing = state()
    assert set(bring(empty, package).counts) - UNCHANGED == set() and state() == standing


def test_a_prefix_names_them_apart(package: Path, empty: Survey) -> None:
    _known(empty, "Asha")
    bring(empty, package, prefix="North-")
    names = set(Individual.objects.filter(population=empty.population).values_list("name", flat=True))
    assert {"Asha", "North-Asha"} <= names


def test_what_people_decided_stands(package: Path, empty: Survey) -> None:
    bring(empty, package)
    individual = Individual.objects.get(population=empty.population, number=3)
    first, second = individual.detections.order_by("pk")
    match(make.make_user(), first, second, Verdict.NO_MATCH, confirm=True)
    run = bring(empty, package)
    assert any("decided otherwise" in words for words in run.issues.values_list("words", flat=True))
    assert MatchEdge.objects.get(a=first, b=second).verdict == Verdict.NO_MATCH


def test_a_copy_without_its_places_is_the_photo_that_is_here(
    season: Season, package: Path, empty: Survey, tmp_path: Path
) -> None:
    bring(empty, package)
    for file in (package / "media").rglob("*.*"):
        file.write_bytes(file.read_bytes() + b" without places")
    standing = state()
    run = bring(empty, package)
    assert set(run.counts) - UNCHANGED == set() and state() == standing


def test_an_import_joins_no_two_animals_that_have_names(package: Path, empty: Survey) -> None:
    bring(empty, package)
    first = Individual.objects.get(population=empty.population, number=2)
    edges = MatchEdge.objects.filter(a__individual=first)
    for edge in edges:
        decision_undo(acting_user=None, decision=edge.decisions.get(), any_user=True)
    rows = list(Detection.objects.filter(image__in=[end.image_id for edge in edges for end in (edge.a, edge.b)]))
    for row, name in zip(rows[:2], ("Mira", "Nila"), strict=True):
        lone = individual_declare(acting_user=None, detection=row)
        individual_rename(acting_user=None, individual=lone, name=name)
    bring(empty, package)
    named = Individual.objects.filter(population=empty.population, retired=False).values_list("name", flat=True)
    assert {"Mira", "Nila"} <= set(named)


def test_one_box_of_two_animals_is_nobody_s(package: Path, empty: Survey) -> None:
    file = package / "observations.csv"
    rows = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
    double = next(row for row in rows if row["individualID"] == "L-0003")
    rows.append(double | {"observationID": "x", "individualID": "L-0004"})
    with file.open("w", encoding="utf-8", newline="") as out:
        table = csv.DictWriter(out, list(rows[0]))
        table.writeheader()
        table.writerows(rows)
    run = bring(empty, package)
    assert codes(run)["two_individuals"] == 1
    assert "L-0003, L-0004" in run.issues.get(code="two_individuals").detail
    seen = catalogue(empty)
    # The other photo of L-0003 shows an animal of a single photo now.
    assert len(seen["L-0003"][3]) == 1 and len(seen["L-0004"][3]) == 2


def test_places_are_for_those_who_may_see_them(package: Path, empty: Survey) -> None:
    user = make.make_member(empty, "curator")
    run = bring(empty, package, user=user)
    assert codes(run)["no_right_to_places"] == 1
    assert not empty.stations.exclude(latitude=None).exists() and empty.stations.count() == 3

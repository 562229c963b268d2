"""An export appears whole or not at all, replaces only what an export made, and is of one moment."""

import threading

import pytest
from django.db import connection, connections

from identification.errors import SpotIDError
from identification.exports import files, survey_export
from identification.exports.folders import CSV_NAME, MANIFEST_NAME
from identification.exports.snapshot import survey_snapshot
from identification.models import AuditEntry, Individual
from identification.services.individuals import individual_declare, individual_rename
from tests.identification.factories import make_sighting, make_survey


@pytest.fixture
def out(tmp_path):
    return tmp_path / "exports here" / "out [1]"


def declared(survey, coat=0):
    return individual_declare(acting_user=None, detection=make_sighting(survey, coat=coat))


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.django_db
class TestFolder:
    def test_an_empty_folder_is_used_and_nothing_is_left_beside_it(self, out):
        out.mkdir(parents=True)
        survey_export(survey=make_survey(), out=out)
        assert names(out) == [CSV_NAME, MANIFEST_NAME]
        assert [path.name for path in out.parent.iterdir()] == [out.name]

    def test_a_folder_with_other_files_is_refused_and_left_alone(self, out):
        out.mkdir(parents=True)
        (out / "thesis.txt").write_text("three years")
        with pytest.raises(SpotIDError, match="not from an export"):
            survey_export(survey=make_survey(), out=out)
        assert names(out) == ["thesis.txt"]
        assert [path.name for path in out.parent.iterdir()] == [out.name]
        assert not AuditEntry.objects.filter(action="survey.export").exists()

    @pytest.mark.parametrize("manifest", ["[]", "{}", "not json", '{"format": "other", "files": {}}'])
    def test_somebody_elses_manifest_does_not_open_the_folder(self, out, manifest):
        out.mkdir(parents=True)
        (out / MANIFEST_NAME).write_text(manifest)
        with pytest.raises(SpotIDError, match="not from an export"):
            survey_export(survey=make_survey(), out=out)

    def test_a_file_or_link_in_the_way_is_refused(self, out, tmp_path):
        out.parent.mkdir(parents=True)
        out.write_text("a file")
        with pytest.raises(SpotIDError, match="not a folder"):
            survey_export(survey=make_survey(), out=out)
        link = tmp_path / "link"
        link.symlink_to(tmp_path)
        with pytest.raises(SpotIDError, match="not a folder"):
            survey_export(survey=make_survey(), out=link)

    def test_stale_folders_of_an_earlier_export_go(self, out):
        survey = make_survey()
        individual = declared(survey)
        survey_export(survey=survey, out=out)
        individual_rename(acting_user=None, individual=individual, name="Asha")
        survey_export(survey=survey, out=out)
        assert {path.name for path in out.iterdir() if path.is_dir()} == {"Asha"}

    def test_files_that_no_export_made_stay(self, out):
        survey = make_survey()
        individual = declared(survey)
        survey_export(survey=survey, out=out)
        (out / "leopard_1" / "notes.txt").write_text("limps")
        (out / "table.ods").write_text("mine")
        (out / "link").symlink_to(out.parent, target_is_directory=True)
        individual_rename(acting_user=None, individual=individual, name="Asha")
        survey_export(survey=survey, out=out)
        assert (out / "leopard_1" / "notes.txt").read_text() == "limps"
        assert (out / "table.ods").read_text() == "mine"
        assert (out / "link").is_symlink()
        assert [path.name for path in (out / "leopard_1").iterdir()] == ["notes.txt"]

    def test_a_file_of_somebody_whose_place_is_now_taken_is_kept_elsewhere(self, out):
        survey = make_survey()
        survey_export(survey=survey, out=out)
        (out / "leopard_1").write_text("a note of mine")
        declared(survey)
        survey_export(survey=survey, out=out)
        (kept,) = out.glob("kept-*/leopard_1")
        assert kept.read_text() == "a note of mine"
        assert (out / "leopard_1").is_dir()

    def test_an_export_that_fails_leaves_the_earlier_one_as_it_was(self, out, monkeypatch):
        survey = make_survey()
        survey_export(survey=survey, out=out)
        before = names(out)
        declared(survey)

        def full(*args, **options):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("identification.exports.survey.stage_photo", full)
        with pytest.raises(SpotIDError, match="No space left"):
            survey_export(survey=survey, out=out)
        assert names(out) == before
        assert [path.name for path in out.parent.iterdir()] == [out.name]

    def test_what_killed_exports_left_is_cleared_and_the_earlier_export_brought_back(self, out):
        survey = make_survey()
        survey_export(survey=survey, out=out)
        (out / "notes.txt").write_text("mine")
        out.rename(out.with_name(f".{out.name}.old-0123abcd"))
        half = out.with_name(f".{out.name}.partial-0123abcd")
        (half / "leopard_1").mkdir(parents=True)
        survey_export(survey=survey, out=out)
        assert names(out) == [CSV_NAME, MANIFEST_NAME, "notes.txt"]
        assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.django_db(transaction=True)
def test_two_exports_to_one_folder_do_not_meet(out):
    refused = []

    def second():
        try:
            with files.published_folder(out):
                pass
        except SpotIDError as error:
            refused.append(str(error))
        finally:
            connections.close_all()

    with files.published_folder(out):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(refused) == 1 and "Another export" in refused[0]
    with files.published_folder(out):
        pass


@pytest.mark.django_db(transaction=True)
def test_a_decision_made_during_the_export_is_not_half_in_it(monkeypatch):
    survey = make_survey()
    declared(survey)
    waiting = make_sighting(survey, coat=1)
    from identification.exports import identities

    original = identities.undeclared_singles

    def meanwhile(individuals):
        def decide():
            try:
                individual_declare(acting_user=None, detection=waiting)
                Individual.objects.update(name="Renamed")
            finally:
                connections.close_all()

        thread = threading.Thread(target=decide)
        thread.start()
        thread.join()
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            assert cursor.fetchone()[0] == "repeatable read"
        assert Individual.objects.count() == 1
        return original(individuals)

    monkeypatch.setattr(identities, "undeclared_singles", meanwhile)
    seen = survey_snapshot(survey)
    assert [individual.name for individual in seen.individuals] == [""]
    assert Individual.objects.count() == 2

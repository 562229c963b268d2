"""The survey list, the dashboard, and what is asked of a survey as a whole."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from identification.errors import SpotIDError
from identification.models import (
    AuditEntry,
    Image,
    ProcessingState,
    Role,
    Survey,
    Work,
)
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db


def test_without_a_survey_the_list_says_what_to_do() -> None:
    boss, guest = Client(), Client()
    boss.force_login(make.make_user(superuser=True))
    guest.force_login(make.make_user())
    assert "spotid.py manage ingest" in boss.get(reverse("survey-list")).content.decode()
    assert "Ask a curator" in guest.get(reverse("survey-list")).content.decode()


def test_an_empty_survey_says_how_to_fill_it() -> None:
    survey = make.make_survey(name="South <b>2024</b>")
    text = client_of(survey).get(reverse("survey-detail", args=[survey.pk])).content.decode()
    assert "No photos yet" in text
    assert "South &lt;b&gt;2024&lt;/b&gt;" in text and "<b>2024" not in text


def test_the_dashboard_counts_what_is_there() -> None:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=2)
    make.make_image(survey)
    make.make_image(survey, has_person=True)
    make.make_image(survey, state=ProcessingState.FAILED, reason="It ends early.", stage="decode", detector="")
    match(None, *animals[0])
    board = client_of(survey).get(reverse("survey-detail", args=[survey.pk])).context["board"]
    assert (board.photos.total, board.photos.done, board.photos.failed, board.photos.percent) == (7, 6, 1, 100)
    assert (board.with_animals, board.people, board.animals, board.identified, board.individuals) == (4, 1, 4, 2, 1)
    assert [work.reason for work in board.failures] == ["It ends early."]
    assert [(station.code, station.photos) for station in board.stations] == [("ST01", 2), ("ST02", 2)]


def test_how_many_photos_show_people_is_for_those_who_may_see_them() -> None:
    survey = make.make_survey()
    make.make_image(survey, has_person=True)
    viewer = client_of(survey, Role.VIEWER)
    text = viewer.get(reverse("survey-detail", args=[survey.pk])).content.decode()
    assert "with people" not in text
    listed = viewer.get(reverse("photo-list", args=[survey.pk]) + "?show=people")
    assert (listed.context["chosen"], listed.context["page"].paginator.count) == ("all", 0)


def test_failed_photos_are_retried_one_by_one_and_all_at_once() -> None:
    survey = make.make_survey()
    images = [make.make_image(survey, state="failed", reason="It ends early.", files=False) for _ in range(3)]
    client = client_of(survey)
    client.post(reverse("photo-retry", args=[images[0].pk]))
    assert Work.objects.filter(state="failed").count() == 2
    assert (
        "2 photos are waiting" in client.post(reverse("survey-retry", args=[survey.pk]), follow=True).content.decode()
    )
    assert not Work.objects.filter(state="failed").exists()


def test_progress_for_scripts_says_when_all_is_through() -> None:
    survey = make.make_survey()
    running = {"state": ProcessingState.RUNNING, "lease_until": make.START, "stage": "detect"}
    Work.objects.filter(image=make.make_image(survey, files=False)).update(**running)
    client = client_of(survey, Role.VIEWER)
    address = reverse("survey-progress", args=[survey.pk])
    now = client.get(address).json()
    assert (now["total"], now["running"], now["percent"], now["finished"]) == (1, 1, 0, False)
    Work.objects.update(state=ProcessingState.DONE)
    Survey.objects.update(matching_state="done")
    assert client.get(address).json()["finished"] is True


def test_skipped_files_are_listed_in_pages() -> None:
    survey = make.make_survey()
    make.make_ingest_report(survey, skipped=130)
    client = client_of(survey)
    address = reverse("survey-skipped", args=[survey.pk])
    assert client.get(address).content.decode().count("ends early.") == 100
    assert client.get(address + "?page=2").content.decode().count("ends early.") == 30
    assert client.get(address + "?page=nonsense").status_code == 200


def test_matching_again_waits_for_the_photos() -> None:
    survey = make.make_survey(matching_state="done")
    image = make.make_image(survey, state=ProcessingState.PENDING, files=False)
    client = client_of(survey)
    refused = client.post(reverse("survey-match", args=[survey.pk]), follow=True)
    assert "not through yet" in refused.content.decode()
    Work.objects.filter(pk=image.pk).update(state=ProcessingState.DONE)
    client.post(reverse("survey-match", args=[survey.pk]))
    assert Survey.objects.get().matching_state == "stale"


def test_places_are_cells_until_they_are_asked_for_and_that_is_audited() -> None:
    survey = make.make_survey()
    make.make_station(survey, "ST01", latitude=27.51234, longitude=-84.31234)
    make.make_station(survey, "ST02")
    client = client_of(survey, places=True)
    address = reverse("survey-stations", args=[survey.pk])
    coarse = client.get(address).content.decode()
    assert "27.5–27.6° N, 84.3–84.4° W" in coarse and "27.51" not in coarse
    assert not AuditEntry.objects.exists()
    exact = client.post(address).content.decode()
    assert "27.51234, -84.31234" in exact
    assert AuditEntry.objects.get().action == "stations.reveal"


def test_the_export_is_a_zip_file_that_opens(settings, tmp_path: Path) -> None:
    settings.SPOTID_HOME = tmp_path
    survey, animals = make.make_reviewable_survey(individuals=2, photos=2, name="Süd / 2024")
    match(None, *animals[0])
    response = client_of(survey).post(reverse("survey-export", args=[survey.pk]))
    assert response["Content-Disposition"] == "attachment; filename*=utf-8''spotid_S%C3%BCd___2024.zip"
    names = zipfile.ZipFile(io.BytesIO(b"".join(response))).namelist()
    assert any(name.endswith("leopard_matches.csv") for name in names)
    assert any("leopard_1/" in name for name in names)


def test_an_export_that_cannot_be_written_says_so(monkeypatch) -> None:
    survey = make.make_survey()

    def full(**kwargs: object) -> None:
        raise SpotIDError("The export could not be written: No space left on device.")

    monkeypatch.setattr("identification.views.downloads.survey_export_zip", full)
    response = client_of(survey).post(reverse("survey-export", args=[survey.pk]), follow=True)
    assert "No space left on device" in response.content.decode()


def test_admin_and_page_hand_out_the_same_file(monkeypatch, tmp_path: Path) -> None:
    archive = tmp_path / "x.zip"
    archive.write_bytes(b"PK")
    monkeypatch.setattr("identification.views.downloads.survey_export_zip", lambda **kwargs: archive)
    survey = make.make_survey(name="Nord 1")
    client = Client()
    client.force_login(make.make_user(superuser=True))
    page = client.post(reverse("survey-export", args=[survey.pk]))
    chosen = {"action": "download", "_selected_action": [survey.pk]}
    admin = client.post(reverse("admin:identification_survey_changelist"), chosen)
    assert page["Content-Disposition"] == admin["Content-Disposition"] == 'attachment; filename="spotid_Nord_1.zip"'
    assert b"".join(page) == b"".join(admin) == b"PK"


def test_photos_that_nothing_has_looked_at_are_announced_to_those_from_whom_they_are_kept() -> None:
    survey = make.make_survey()
    make.make_image(survey)
    Image.objects.filter(pk=make.make_image(survey, state=ProcessingState.PENDING).pk).update(detector="")
    address = reverse("survey-detail", args=[survey.pk])
    words = "1 photo has not been looked at yet"
    assert words in client_of(survey, Role.VIEWER).get(address).content.decode()
    assert words not in client_of(survey, Role.CURATOR).get(address).content.decode()
    Image.objects.update(detector="finished-crop/1")
    assert "looked at yet" not in client_of(survey, Role.REVIEWER).get(address).content.decode()


def test_an_engine_that_cannot_tell_people_is_named_to_those_who_ingest() -> None:
    survey = make.make_survey()
    make.make_image(survey, detector="background/1", detector_note="It cannot tell animals from people.")
    address = reverse("survey-detail", args=[survey.pk])
    assert "cannot tell animals from people" in client_of(survey, Role.CURATOR).get(address).content.decode()
    assert "cannot tell animals from people" not in client_of(survey, Role.VIEWER).get(address).content.decode()


def test_matching_waits_for_photos_only_while_photos_wait() -> None:
    survey = make.make_survey()
    make.make_image(survey)
    waiting = make.make_image(survey, state=ProcessingState.PENDING)
    client = client_of(survey)
    pages = [reverse("survey-detail", args=[survey.pk]), reverse("survey-progress", args=[survey.pk])]
    pages += [reverse("survey-list"), reverse("review", args=[survey.pk])]
    make.make_detection(waiting)

    def texts() -> list[str]:
        return [client.get(page).content.decode() for page in pages]

    assert all("Waiting for photos" in text for text in texts())
    Work.objects.update(state=ProcessingState.DONE)
    assert all("Waiting to be matched" in text and "Waiting for photos" not in text for text in texts())


def test_the_time_of_matching_follows_the_clocks_of_the_survey() -> None:
    survey = make.make_survey(matching_state="done", matched_at=make.START, time_zone="Asia/Kolkata")
    make.make_image(survey)
    text = client_of(survey).get(reverse("survey-detail", args=[survey.pk])).content.decode()
    assert "Matched, 1 Mar 2024, 11:30:00" in text

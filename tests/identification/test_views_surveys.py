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

    monkeypatch.setattr("identification.views.surveys.survey_export_zip", full)
    response = client_of(survey).post(reverse("survey-export", args=[survey.pk]), follow=True)
    assert "No space left on device" in response.content.decode()

"""The survey list, the dashboard, and what is asked of a survey as a whole."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from identification.errors import SpotIDError
from identification.models import (
    AuditEntry,
    Heartbeat,
    Image,
    IngestRequest,
    ProcessingState,
    Role,
    Survey,
    Work,
)
from identification.selectors.coming import drawing_name
from identification.selectors.figures import EMPTY, PEOPLE, survey_figures
from tests.identification import factories as make
from tests.identification.factories import client_of, match
from tests.identification.season import make_season

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


def test_the_dashboard_says_what_the_photos_show_as_the_figures_do() -> None:
    survey = make_season(photos=200, stations=3, days=20)
    for role in (Role.CURATOR, Role.VIEWER):
        user = make.make_member(survey, role)
        client = Client()
        client.force_login(user)
        page = client.get(reverse("survey-detail", args=[survey.pk]))
        shown = {bar.row.label: (bar.row.photos, bar.row.events) for bar in page.context["bars"]}
        figures = survey_figures(user=user, survey=survey)
        assert shown == {row.label: (row.photos, row.events) for row in figures.shown}
        assert len(shown) > 3 and EMPTY in shown
        assert (PEOPLE in shown) == (PEOPLE in page.content.decode()) == (role == Role.CURATOR)


def test_the_dashboard_fetches_the_plots_from_the_figures() -> None:
    survey = make_season(photos=60, stations=2, days=10)
    client = client_of(survey, Role.VIEWER)
    address = reverse("survey-figures", args=[survey.pk])
    page = client.get(reverse("survey-detail", args=[survey.pk])).content.decode()
    assert f'id="figures-more" hx-get="{address}" hx-select="#figures-more"' in page
    figures = client.get(address).content.decode()
    wanted = figures[figures.index('id="figures-more"') :]
    for heading in ("Activity by hour of day", "Photos per station and day", "Individuals over effort"):
        assert heading in wanted


def test_a_survey_says_what_its_photos_wait_for() -> None:
    survey = make.make_survey()
    client = client_of(survey, Role.VIEWER)
    address, part = (
        reverse("survey-detail", args=[survey.pk]),
        reverse("survey-progress", args=[survey.pk]) + "?empty=1",
    )
    make.make_heartbeat(drawing_name(survey), age=timedelta(minutes=5))
    assert "No photos yet" in client.get(address).content.decode(), "who drew died"
    assert client.get(part)["HX-Refresh"] == "true"
    Heartbeat.objects.all().delete()
    make.make_heartbeat(drawing_name(survey))
    other = make.make_survey(survey.population)
    assert "No photos yet" in client_of(other).get(reverse("survey-detail", args=[other.pk])).content.decode()
    for text in (client.get(address).content.decode(), client.get(part).content.decode()):
        assert "The demonstration is being drawn" in text and "No photos yet" not in text and f'hx-get="{part}"' in text
    IngestRequest.objects.create(survey=survey, kind="folder", state="pending", folder="/secret", done=3, total=80)
    text = client.get(part).content.decode()
    assert "Photos are being read" in text and "3 of 80 files" in text and "secret" not in text
    make.make_image(survey, state=ProcessingState.PENDING)
    assert client.get(part)["HX-Refresh"] == "true", "the first photo is there"


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


def test_photos_stand_in_the_stage_that_they_are_in() -> None:
    survey = make.make_survey()
    for state, stage in (
        ("done", "features"),
        ("done", "features"),
        ("failed", "detect"),
        ("set_aside", "embed"),
        ("pending", "decode"),
        # It waits anew, from the beginning, after it failed here.
        ("pending", "isolate"),
    ):
        make.make_image(survey, state=state, stage=stage, files=False)
    running = {"state": ProcessingState.RUNNING, "lease_until": make.START, "stage": "isolate"}
    Work.objects.filter(image=make.make_image(survey, files=False)).update(**running)
    client = client_of(survey, Role.VIEWER)
    board = client.get(reverse("survey-detail", args=[survey.pk])).context["board"]
    rows = [[row.waiting, row.running, row.failed, row.through] for row in board.progress.stages]
    assert rows == [[2, 0, 0, 5], [2, 0, 1, 4], [2, 1, 0, 3], [3, 0, 1, 2], [3, 0, 0, 2]]
    part = client.get(reverse("survey-progress", args=[survey.pk]))
    shown = re.findall(r"<td[^>]*>(\d+)</td>", part.content.decode().partition('id="reasons"')[0])
    assert [int(number) for number in shown] == [number for row in rows for number in row]


def test_failures_are_counted_by_reason() -> None:
    survey = make.make_survey()
    for index in range(5):
        make.make_image(survey, state="failed", stage="decode", reason=f"It ends early, at byte {index}.", files=False)
    odd = make.make_image(survey, state="set_aside", stage="embed", reason="No weights.", files=False)
    Work.objects.filter(image=odd).update(reason_code="no_weights")
    hidden = make.make_image(survey, state="failed", stage="decode", reason="A person.", files=False, has_person=True)
    Work.objects.filter(image=hidden).update(reason_code="person")
    for role, photos in ((Role.CURATOR, [5, 1, 1]), (Role.VIEWER, [5, 1])):
        response = client_of(survey, role).get(reverse("survey-detail", args=[survey.pk]))
        reasons = response.context["board"].reasons
        assert [reason.number for reason in reasons] == photos
        assert (reasons[0].stage, reasons[0].code, reasons[0].example) == (
            "Reading",
            "test",
            "It ends early, at byte 0.",
        )
        assert ("A person." in response.content.decode()) == (role == Role.CURATOR)


def test_failures_by_reason_move_with_the_progress_for_those_who_may_see_the_photos() -> None:
    survey = make.make_survey()
    make.make_image(survey, state=ProcessingState.PENDING, files=False)
    page, part = reverse("survey-detail", args=[survey.pk]), reverse("survey-progress", args=[survey.pk])
    viewer, curator = client_of(survey, Role.VIEWER), client_of(survey, Role.CURATOR)
    for client in (viewer, curator):
        assert '<div id="reasons"></div>' in client.get(page).content.decode(), "empty to the last blank: not shown"
        assert '<div id="reasons" hx-swap-oob="true"></div>' in client.get(part).content.decode()
    make.make_image(survey, state="failed", stage="decode", reason="A person.", files=False, has_person=True)
    make.make_image(survey, state="failed", stage="decode", reason="It ends early.", files=False)
    Work.objects.filter(reason="A person.").update(reason_code="person")
    said = [client.get(part).content.decode() for client in (viewer, curator)]
    assert all("It ends early." in text and "2 photos could not be processed" in text for text in said)
    assert ["A person." in text for text in said] == [False, True]
    assert ["Retry all" in text for text in said] == [False, True]


def test_the_part_that_moves_asks_for_the_whole_page_when_all_is_through() -> None:
    survey = make.make_survey(name="Secret valley")
    running = {"state": ProcessingState.RUNNING, "lease_until": make.START, "stage": "detect"}
    Work.objects.filter(image=make.make_image(survey, files=False)).update(**running)
    client = client_of(survey, Role.VIEWER)
    address = reverse("survey-progress", args=[survey.pk])
    now = client.get(address)
    words = now.content.decode()
    assert "0 of 1" in words and "1 working" in words and f'hx-get="{address}"' in words
    assert "HX-Refresh" not in now and "no-store" in now["Cache-Control"] and "Secret" not in words
    Work.objects.update(state=ProcessingState.DONE)
    Survey.objects.update(matching_state="running", matching_progress=0.42)
    assert "42 %" in client.get(address).content.decode()
    Survey.objects.update(matching_state="done")
    assert client.get(address)["HX-Refresh"] == "true"


def test_who_is_signed_out_meanwhile_signs_in_on_a_whole_page() -> None:
    survey = make.make_survey()
    address = reverse("survey-progress", args=[survey.pk])
    answer = Client().get(address, headers={"HX-Request": "true"})
    assert (answer.status_code, answer["HX-Refresh"], answer.content) == (200, "true", b"")
    assert Client().get(address).status_code == 302, "without htmx as ever"


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

"""The leaks of which the trials speak, each tried: what somebody may not know is not told by another way either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import translation

from identification.exports import ExportOptions, Files, Format
from identification.exports.requests import export_request, export_run
from identification.exports.snapshot import survey_snapshot
from identification.exports.survey import export_write
from identification.models import (
    AuditEntry,
    ExportRun,
    Image,
    ImportIssue,
    ImportRun,
    Individual,
    Membership,
    Role,
    Station,
    Survey,
    User,
)
from identification.services.audit import audit_record
from identification.services.individuals import individual_declare, individual_rename
from identification.services.places import PlacesPolicy, places_choose
from tests.identification import factories as make
from tests.identification.factories import client_of
from tests.identification.test_api_matrix import RULES as API_RULES
from tests.identification.test_api_matrix import ask
from tests.identification.test_api_matrix import everything as everything
from tests.identification.test_views_matrix import RULES, _args, _rolled_back
from tests.identification.test_views_matrix import world as world

pytestmark = pytest.mark.django_db
SECRET = "ZAMBEZI"
_NOT_GRANTED = ("viewer", "reviewer", "curator")


def _hide(survey: Survey) -> None:
    """Stations and files whose names tell where they are, hidden by an administrator."""
    for station in survey.stations.all():
        Station.objects.filter(pk=station.pk).update(code=f"{SECRET}-{station.code}")
    for image in survey.images.all():
        told = f"{SECRET}/{image.relative_path.replace('IMG', SECRET)}"
        Image.objects.filter(pk=image.pk).update(relative_path=told)
    places_choose(acting_user=make.make_user(superuser=True), survey=survey, shown=PlacesPolicy(0.5, True))


def _told(response: HttpResponse) -> str:
    body = b"".join(response.streaming_content) if response.streaming else response.content  # type: ignore[attr-defined]
    return json.dumps(dict(response.headers)) + body.decode("utf-8", "replace")


# ---- names that tell a place ----
@pytest.mark.parametrize("who", _NOT_GRANTED)
def test_no_address_tells_a_hidden_name(who: str, world: dict[str, Any]) -> None:
    _hide(world["survey"])
    telling = []
    for rule in RULES:
        client = Client()
        client.force_login(world["accounts"][who])
        with _rolled_back():
            args = _args(rule, {name: found.pk for name, found in world.items() if hasattr(found, "pk")})
            form = {key: str(world[value].pk) if value in world else value for key, value in rule.form.items()}
            answer = getattr(client, rule.method)(reverse(rule.name, args=args), form)
            if SECRET in _told(answer):
                telling.append(str(rule))
            if answer.status_code == 302 and SECRET in _told(client.get(answer["Location"])):
                telling.append(f"after {rule}")
    assert telling == []


@pytest.mark.parametrize("who", _NOT_GRANTED)
def test_no_address_of_the_api_tells_a_hidden_name(who: str, everything: dict[str, Any]) -> None:
    _hide(everything["survey"])
    ids = {name: found.pk for name, found in everything.items() if hasattr(found, "pk")}
    telling, answered = [], 0
    for rule in API_RULES:
        client = Client()
        client.force_login(everything["accounts"][who])
        with _rolled_back():
            answer = ask(client, rule, ids)
            answered += answer.status_code < 300
            said = b"" if answer.streaming else answer.content
            if SECRET in json.dumps(dict(answer.headers)) or SECRET.encode() in said:
                telling.append(str(rule))
    assert telling == []
    assert answered > 20, "or nothing was asked"


def test_who_may_see_places_reads_the_names_as_they_are(world: dict[str, Any]) -> None:
    survey = world["survey"]
    _hide(survey)
    client = client_of(survey, Role.CURATOR, places=True)
    for address in (reverse("photo-detail", args=[world["image"].pk]), reverse("survey-stations", args=[survey.pk])):
        assert SECRET in _told(client.get(address)), "else the test above would find nothing either"


def test_neutral_names_stay_and_are_not_in_the_order_of_the_codes() -> None:
    survey = make.make_survey()
    stations = [make.make_station(survey, f"ST{number:02d}") for number in range(40)]
    numbers = [Station.objects.get(pk=station.pk).number for station in stations]
    assert len(set(numbers)) == 40
    assert numbers != sorted(numbers) and all(1 <= number <= 99 for number in numbers if number)
    make.make_station(survey, "A new one")
    assert [Station.objects.get(pk=station.pk).number for station in stations] == numbers
    assert Station.objects.get(code="ST00").neutral == f"Station {numbers[0]:02d}"


def test_a_list_of_stations_is_not_in_the_order_of_hidden_codes() -> None:
    survey = make.make_survey()
    for number in range(12):
        make.make_image(survey, station=make.make_station(survey, f"ST{number:02d}", latitude=27.5, longitude=84.3))
    _hide(survey)
    page = client_of(survey, Role.VIEWER).get(reverse("photo-list", args=[survey.pk]))
    labels = [words for _, words in page.context["stations"].options]
    assert len(labels) == 12 and labels == sorted(labels)
    assert set(labels) == {station.neutral for station in survey.stations.all()}


@pytest.mark.parametrize("formats", [tuple(f for f in Format if f != Format.SECR)])
def test_no_export_without_places_tells_a_hidden_name(formats, tmp_path: Path) -> None:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=2)
    originals = tmp_path / "originals"
    originals.mkdir()
    for photo, other in animals:
        make.match(None, photo, other)
    for image in survey.images.all():
        (originals / f"{SECRET}-{image.pk}.jpg").write_bytes(make.jpeg(make.frame_pixels(image.pk)))
        Image.objects.filter(pk=image.pk).update(source_path=str(originals / f"{SECRET}-{image.pk}.jpg"))
    _hide(survey)
    for with_places, told in ((False, False), (True, True)):
        options = ExportOptions(formats=formats, files=Files.ALL, with_places=with_places)
        out = tmp_path / f"out{with_places}"
        export_write(population=survey.population, surveys=[survey], out=out, options=options)
        files = [file for file in out.rglob("*") if file.is_file()]
        assert len(files) > 5
        telling = {
            file.name for file in files if SECRET in str(file.relative_to(out)) or SECRET.encode() in file.read_bytes()
        }
        assert bool(telling) == told, telling


def test_neutral_names_in_exports_do_not_follow_the_language() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    make.match(None, *animals[0])
    _hide(survey)
    with translation.override("es"):
        stations = {sighting.photo.station for sighting in survey_snapshot(survey).sightings}
    assert stations and all(name.startswith("Station ") for name in stations)


def test_the_grid_is_the_surveys_own_and_its_size_is_said_at_that_latitude() -> None:
    survey = make.make_survey()
    make.make_station(survey, "HIGH", latitude=60.21, longitude=10.74)
    administrator = make.client_of(survey, Role.ADMINISTRATOR)
    address = reverse("survey-places", args=[survey.pk])
    assert administrator.post(address, {"grid": "0.5"}).status_code == 302
    page = client_of(survey, Role.VIEWER).get(reverse("survey-stations", args=[survey.pk])).content.decode()
    assert "60.0–60.5° N, 10.5–11.0° E" in page
    assert "56 × 28 km" in page
    (row,) = AuditEntry.objects.filter(action="survey.places")
    assert (row.before["grid"], row.after["grid"]) == (0.1, 0.5)
    for grid in ("0.0001", "nan", "", "-1"):
        administrator.post(address, {"grid": grid})
        assert Survey.objects.get(pk=survey.pk).place_grid == 0.5


def test_the_map_in_cells_tells_no_more_than_the_cells() -> None:
    survey = make.make_survey(place_grid=0.5)
    places = [(27.61234, 84.31234), (27.71111, 84.22222), (28.3, 84.9)]
    stations = [make.make_station(survey, f"ST{n}", latitude=x, longitude=y) for n, (x, y) in enumerate(places)]
    photos = [make.make_sighting(survey, station=station) for station in stations]
    make.match(None, photos[0], photos[1])
    animal = Individual.objects.get()
    address = reverse("individual-map", args=[animal.pk])
    page = client_of(survey, Role.VIEWER).get(address)
    seen = [row for row in page.context["captures"].stations if row.visits]
    assert [(row.code, row.latitude, row.longitude, row.photos) for row in seen] == [
        ("27.5–28.0° N, 84.0–84.5° E", 27.75, 84.25, 2)
    ]
    for place in places:
        assert all(f"{degrees:.3f}" not in page.content.decode() for degrees in place)
    for x, y in places[:2]:
        Station.objects.filter(latitude=x).update(latitude=x + 0.1, longitude=y + 0.1)
    assert client_of(survey, Role.VIEWER).get(address).context["sketch"] == page.context["sketch"]
    assert not AuditEntry.objects.filter(action="stations.reveal").exists()


def test_the_admin_shows_no_row_that_names_a_hidden_station(client: Client) -> None:
    survey = make.make_survey()
    make.make_sighting(survey)
    _hide(survey)
    user = make.make_user(is_staff=True)
    Membership.objects.create(user=user, survey=survey, role=Role.CURATOR)
    client.force_login(user)
    for name in ("image", "detection", "station", "work", "decision", "candidate", "cameraclock", "encounterevent"):
        page = client.get(reverse(f"admin:identification_{name}_changelist"), {"q": SECRET})
        assert page.status_code == 200
        assert list(page.context["cl"].result_list) == [], name
    Membership.objects.filter(user=user).update(may_see_places=True)
    assert (
        len(client.get(reverse("admin:identification_image_changelist"), {"q": SECRET}).context["cl"].result_list) == 1
    )


def test_the_audit_log_tells_no_hidden_name() -> None:
    survey = make.make_survey()
    station = make.make_station(survey, SECRET)
    for action, target, after in (
        ("station.update", station, {"code": SECRET}),
        ("stations.place", survey, {"stations": [SECRET], "new": [SECRET]}),
        ("import.request", survey, {"file": f"{SECRET}.csv"}),
    ):
        audit_record(acting_user=None, action=action, target=target, survey=survey, before=after, after=after)
    places_choose(acting_user=make.make_user(superuser=True), survey=survey, shown=PlacesPolicy(0.1, True))
    curator, granted = client_of(survey, Role.CURATOR), client_of(survey, Role.CURATOR, places=True)
    for address, method in (("audit", "get"), ("audit-table", "post"), ("api-audit", "get")):
        assert SECRET not in _told(getattr(curator, method)(reverse(address))), address
        assert SECRET in _told(getattr(granted, method)(reverse(address))), address


# ---- other surveys ----
def test_whatever_is_named_by_a_foreign_id_is_not_there(world: dict[str, Any]) -> None:
    """A curator of another survey of the same population: not refused, which would tell that there is something."""
    elsewhere = make.make_survey(world["population"])
    client = client_of(elsewhere, Role.CURATOR)
    named = {
        "survey",
        "image",
        "detection",
        "person",
        "person_box",
        "decision",
        "join",
        "membership",
        "above",
        "export",
    }
    answers = {}
    for rule in RULES:
        if not named & set(rule.args.split(":")):
            continue
        args = _args(rule, {name: found.pk for name, found in world.items() if hasattr(found, "pk")})
        with _rolled_back():
            answers[str(rule)] = getattr(client, rule.method)(reverse(rule.name, args=args), rule.form).status_code
    assert len(answers) > 80
    assert {rule: status for rule, status in answers.items() if status != 404} == {}


def test_search_and_counts_of_the_catalogue_hold_nothing_of_another_survey() -> None:
    survey = make.make_survey()
    foreign = make.make_survey(survey.population)
    photo = make.make_sighting(foreign)
    individual_declare(acting_user=None, detection=photo)
    individual_rename(acting_user=None, individual=Individual.objects.get(), name=SECRET)
    client = client_of(survey, Role.CURATOR)
    for query in ({}, {"q": SECRET}, {"q": SECRET, "order": "photos"}, {"survey": foreign.pk}, {"q": "L-0001"}):
        page = client.get(reverse("individual-list"), query)
        assert page.context["cards"] == [] and page.context["page"].paginator.count == 0
        assert "L-0001" not in _told(client.get(reverse("individual-list"), {**query, "q": ""}))
    assert client.get(reverse("individual-detail", args=[Individual.objects.get().pk])).status_code == 404


def test_a_candidate_of_another_survey_is_neither_asked_nor_shown() -> None:
    survey = make.make_survey()
    foreign = make.make_survey(survey.population)
    mine, theirs = make.make_sighting(survey), make.make_sighting(foreign)
    make.make_candidate(mine, theirs)
    make.make_candidate(theirs, mine)
    client = client_of(survey, Role.REVIEWER)
    for query in ({}, {"anchor": mine.pk}, {"anchor": mine.pk, "offer": theirs.pk}, {"pair": f"{mine.pk}-{theirs.pk}"}):
        page = client.get(reverse("review", args=[survey.pk]), query, follow=True)
        assert f"/crop/{theirs.pk}/" not in _told(page)
    beside = {"anchor": mine.pk, "candidate": theirs.pk}
    for name in ("review-beside", "review-spots"):
        assert client.get(reverse(name, args=[survey.pk]), beside).status_code == 404
    form = {**beside, "version": 0, "verdict": "match"}
    assert client.post(reverse("review-decide", args=[survey.pk]), form).status_code == 404


def test_an_error_page_says_the_same_of_nothing_and_of_what_is_not_ones_own() -> None:
    survey, foreign = make.make_survey(), make.make_survey(name=SECRET)
    client = client_of(survey, Role.CURATOR)
    told = [client.get(reverse("survey-detail", args=[pk])) for pk in (foreign.pk, 10**9)]
    assert [answer.status_code for answer in told] == [404, 404]
    assert SECRET not in _told(told[0])
    told = [client.post(reverse("survey-match", args=[foreign.pk])), client.get("/no/such/page/")]
    assert all(SECRET not in _told(answer) and "Traceback" not in _told(answer) for answer in told)


# ---- fields that are not shown ----
@pytest.mark.parametrize(
    "query", [{"show": "people"}, {"show": "person"}, {"order": "gps_latitude"}, {"has_person": "1"}]
)
def test_no_filter_and_no_order_tells_what_a_photo_would_not_show(query: dict[str, str]) -> None:
    survey = make.make_survey()
    make.make_image(survey, has_person=True, gps_latitude=1.0, gps_longitude=2.0)
    shown = make.make_image(survey)
    page = client_of(survey, Role.VIEWER).get(reverse("photo-list", args=[survey.pk]), query)
    if page.status_code == 200:
        listed = {image.pk for image in page.context["page"].object_list}
        assert listed <= {shown.pk}
        assert page.context["page"].paginator.count <= 1
    dashboard = client_of(survey, Role.VIEWER).get(reverse("survey-detail", args=[survey.pk]))
    assert dashboard.context["board"].people is None


def test_what_an_import_could_not_use_tells_no_hidden_name() -> None:
    survey = make.make_survey()
    run = ImportRun.objects.create(survey=survey, kind="stations", state=ImportRun.State.DONE)
    told = f"{SECRET} 4"
    ImportIssue.objects.create(run=run, file=f"{SECRET}/IMG_1.JPG", row=3, code="x", words="No such", detail=told)
    page = reverse("survey-imports", args=[survey.pk])
    addresses = [page, f"{reverse('imports-report', args=[survey.pk])}?run={run.pk}"]
    addresses.append(reverse("api-import-issues", args=[run.pk]))
    curator, granted = client_of(survey, Role.CURATOR), client_of(survey, Role.CURATOR, places=True)
    assert all(_told(curator.get(address)).count(SECRET) == 2 for address in addresses), "nothing is hidden yet"
    _hide(survey)
    assert all(SECRET not in _told(curator.get(address)) for address in addresses)
    assert all(_told(granted.get(address)).count(SECRET) == 2 for address in addresses)


# ---- kept links and sessions ----
def _exported(user: User, survey: Survey) -> ExportRun:
    """An export of the survey as a table that the account asked for, and that is written."""
    options = ExportOptions(formats=(Format.CSV,))
    run = export_request(acting_user=user, population=survey.population, survey=survey, options=options)
    export_run(run_id=run.pk)
    return run


def test_an_export_is_fetched_by_whoever_asked_for_it_and_only_while_they_may(client: Client) -> None:
    survey, _ = make.make_reviewable_survey(individuals=1, photos=2)
    curator, other = (make.make_member(survey, Role.CURATOR) for _ in range(2))
    run = _exported(curator, survey)
    address = reverse("export-download", args=[run.pk])
    client.force_login(other)
    assert client.post(address).status_code == 404
    client.force_login(curator)
    assert b"".join(client.post(address).streaming_content)[:2] == b"PK"
    Membership.objects.filter(user=curator).update(role=Role.REVIEWER)
    assert client.post(address).status_code in {403, 404}
    Membership.objects.filter(user=curator).delete()
    assert client.post(address).status_code == 404


def test_an_export_from_before_names_were_hidden_is_fetched_by_those_who_may_see_places_alone() -> None:
    survey, _ = make.make_reviewable_survey(individuals=1, photos=2)
    curator, granted = make.make_member(survey, Role.CURATOR), make.make_member(survey, Role.CURATOR, places=True)
    addresses = {}
    for user in (curator, granted):
        run = _exported(user, survey)
        addresses[user] = (
            reverse("export-download", args=[run.pk]),
            reverse("api-export-file", args=[run.pk]),
        )
    _hide(survey)
    for user, (page, api) in addresses.items():
        client = Client()
        client.force_login(user)
        answers = [client.post(page, follow=True), client.post(api)]
        got = [answer.streaming and b"".join(answer.streaming_content)[:2] == b"PK" for answer in answers]
        assert got == [user == granted] * 2
        if user == curator:
            assert all("Ask for the export again" in _told(answer) for answer in answers)


def test_a_membership_withdrawn_in_mid_session_ends_pictures_parts_and_answers() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    first, second = animals[0]
    client = client_of(survey, Role.REVIEWER)
    picture = client.get(reverse("media", args=["crop", first.pk]))
    assert b"".join(picture.streaming_content)
    tag, ahead = picture["ETag"], reverse("review-ahead", args=[survey.pk])
    assert client.get(ahead, headers={"Accept": "application/json"}).status_code == 200
    survey.memberships.all().delete()
    assert client.get(reverse("media", args=["crop", first.pk]), headers={"If-None-Match": tag}).status_code == 404
    assert client.get(ahead, headers={"Accept": "application/json"}).status_code == 404
    form = {"anchor": first.pk, "candidate": second.pk, "version": 0, "verdict": "match"}
    said = client.post(reverse("review-decide", args=[survey.pk]), form, headers={"Accept": "application/json"})
    assert said.status_code == 404


def test_the_tag_of_an_original_tells_nothing_of_the_whole_file(tmp_path: Path) -> None:
    survey = make.make_survey()
    image = make.make_image(survey, original=tmp_path)
    address = reverse("media", args=["original", image.pk])
    granted, curator = client_of(survey, Role.CURATOR, places=True), client_of(survey, Role.CURATOR)
    kept = granted.get(address)
    whole = kept["ETag"]
    assert b"".join(kept.streaming_content)
    answer = curator.get(address, headers={"If-None-Match": whole})
    assert answer.status_code == 200 and answer["ETag"] != whole
    assert "private" in answer["Cache-Control"]


# ---- rooms of administrators ----
def test_staff_sees_neither_the_queue_nor_results_of_tasks(client: Client) -> None:
    survey = make.make_survey()
    user = make.make_user(is_staff=True)
    Membership.objects.create(user=user, survey=survey, role=Role.CURATOR)
    client.force_login(user)
    for name in ("ormq", "failure", "success", "schedule"):
        assert client.get(reverse(f"admin:django_q_{name}_changelist")).status_code in {302, 403}
    assert client.get(reverse("admin:identification_user_changelist")).status_code == 403

"""What pages and the admin show and do beside accounts, asked through the API: each with the rights of the pages."""

from __future__ import annotations

from typing import Any

import pytest

from identification.models import (
    AuditEntry,
    CalibrationRun,
    Decision,
    Individual,
    Membership,
    Role,
    Survey,
    User,
    Verdict,
)
from identification.services.decisions import decision_record
from tests.identification import factories as make
from tests.identification.api_client import address, pair, problem, send, signed_in

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("no_api_limit")]


def test_members_of_a_population_are_listed_for_those_who_curate_all_of_it() -> None:
    survey = make.make_survey()
    user = make.make_user("head")
    Membership.objects.create(user=user, population=survey.population, role=Role.CURATOR)
    rows = signed_in(user).get(address("population-members", survey.population_id)).json()["results"]
    assert [(row["member"]["user"]["username"], row["may_give"], row["gives_places"]) for row in rows] == [
        ("head", [], False)
    ]
    of_one = make.client_of(survey, Role.CURATOR)
    problem(of_one.get(address("population-members", survey.population_id)), 403)


def _animal() -> tuple[Any, Individual]:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    one, two = animals[0][:2]
    station = make.make_station(survey, "PLACE", latitude=27.51234, longitude=84.31234)
    one.image.station = station
    one.image.save()
    curator = make.make_member(survey, Role.CURATOR)
    decision_record(acting_user=curator, first=one, second=two, verdict=Verdict.MATCH, anchor=one)
    return survey, Individual.objects.get()


def test_notes_are_read_and_written_by_curators_alone() -> None:
    survey, animal = _animal()
    where = address("individual", animal.pk)
    curator, reviewer = make.client_of(survey, Role.CURATOR), make.client_of(survey, Role.REVIEWER)
    assert (
        send(curator, "patch", where, {"notes": "Torn ear; den by the river."}).json()["notes"].startswith("Torn ear")
    )
    assert reviewer.get(where).json()["notes"] is None
    problem(send(reviewer, "patch", where, {"notes": "mine"}), 403)
    assert AuditEntry.objects.filter(action="individual.note").count() == 1
    assert Individual.objects.get().notes == "Torn ear; den by the river."


def test_an_animal_is_placed_in_cells_without_a_place_and_without_a_record() -> None:
    survey, animal = _animal()
    told = make.client_of(survey, Role.VIEWER).get(address("individual-places", animal.pk))
    (cell,) = told.json()["cells"]
    assert (cell["photos"], cell["latitude"], cell["longitude"]) == (1, 27.55, 84.35)
    assert "27.512" not in told.content.decode()
    assert not AuditEntry.objects.filter(action="stations.reveal").exists()


def test_what_others_see_of_places_is_chosen_by_administrators_of_the_survey() -> None:
    survey, animal = _animal()
    chief, viewer = make.client_of(survey, Role.ADMINISTRATOR), make.client_of(survey, Role.VIEWER)
    where = address("places-shown", survey.pk)
    got = chief.get(where)
    assert got.json() == {"grid": 0.1, "hide_stations": False, "print_top": 0.0, "print_bottom": 0.0}
    assert send(chief, "patch", where, {"grid": 1}, **{"If-Match": got["ETag"]}).json()["grid"] == 1.0
    problem(send(chief, "patch", where, {"grid": 0.5}, **{"If-Match": got["ETag"]}), 412)
    problem(send(chief, "patch", where, {"grid": 0.07}), 422)
    assert viewer.get(address("survey-settings", survey.pk)).json()["place_grid"] == 1.0
    (cell,) = viewer.get(address("individual-places", animal.pk)).json()["cells"]
    assert (cell["latitude"], cell["longitude"]) == (27.5, 84.5)
    problem(send(chief, "patch", where, {"print_top": 0.123}), 422)
    hidden = send(chief, "patch", where, {"hide_stations": True, "print_bottom": 0.05}).json()
    assert hidden == {"grid": 1.0, "hide_stations": True, "print_top": 0.0, "print_bottom": 0.05}
    names = [row["code"] for row in viewer.get(address("stations", survey.pk)).json()["results"]]
    assert "PLACE" not in names
    problem(viewer.get(where), 403)
    assert AuditEntry.objects.filter(action="survey.places").count() == 2


def test_the_place_in_a_photo_is_told_to_whom_it_is_granted_and_written_down() -> None:
    survey = make.make_survey()
    image = make.make_image(survey, source_path="/photos/ridge/a.jpg", gps_latitude=27.5, gps_longitude=84.3)
    where = address("photo-place", image.pk)
    problem(make.client_of(survey, Role.CURATOR).post(where), 403)
    told = make.client_of(survey, Role.CURATOR, places=True).post(where).json()
    assert told == {"latitude": 27.5, "longitude": 84.3, "path": "/photos/ridge/a.jpg"}
    assert AuditEntry.objects.filter(action="image.place_shown", object_id=image.pk).count() == 1
    said = make.client_of(survey, Role.VIEWER).get(address("photo", image.pk)).content.decode()
    assert "27.5" not in said
    assert "ridge" not in said


def test_calibrations_are_told_with_what_came_of_them(boss: User) -> None:
    survey, _ = _animal()
    client, population = signed_in(boss), survey.population
    standing = client.get(address("calibration-standing", population.pk)).json()
    assert standing["in_use"] is None
    assert standing["decided"]["enough"] is False
    CalibrationRun.objects.create(population=population, state="failed", error="Too few pairs.", requested_by=boss)
    (row,) = client.get(address("calibrations", population.pk)).json()["results"]
    assert (row["state"], row["words"], row["requested_by"]["username"]) == ("failed", "Too few pairs.", "boss")


def test_kinds_of_imports_say_what_they_ask() -> None:
    rows = signed_in(make.make_user("somebody")).get(address("import-kinds")).json()
    kinds = {row["code"]: row for row in rows}
    assert {"megadetector", "camtrapdp", "hotspotter"} <= kinds.keys()
    assert all(row["title"] and row["help"] for row in rows)
    assert any(row["fields_of_its_own"] for row in rows)


def test_curators_say_category_and_species_of_a_box_and_declare_what_stands() -> None:
    survey, animal = _animal()
    curator, reviewer = make.client_of(survey, Role.CURATOR), make.client_of(survey, Role.REVIEWER)
    where = address("box", animal.founder_id)
    problem(send(reviewer, "patch", where, {"category": "vehicle"}), 403)
    assert send(curator, "patch", where, {"species": "Panthera uncia"}).json()["species"] == "Panthera uncia"
    declared = send(curator, "post", address("declare", animal.pk)).json()
    assert declared["declared"] is True
    assert send(curator, "post", address("undeclare", animal.pk)).json()["declared"] is False
    problem(send(reviewer, "post", address("declare", animal.pk)), 403)


def test_a_note_is_kept_with_its_decision() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    body = pair(survey, animals) | {"note": "the notch in the ear"}
    assert send(make.client_of(survey, Role.REVIEWER), "post", address("decisions", survey.pk), body).status_code == 201
    assert Decision.objects.get().note == "the notch in the ear"


def test_a_survey_is_told_as_its_dashboard_shows_it() -> None:
    survey, _ = _animal()
    survey.images.update(detector="md", detector_note="weights of /srv/models/ridge.pt")
    Survey.objects.filter(pk=survey.pk).update(hide_stations=True, matching_error="It was told to stop.")
    where = address("survey", survey.pk)
    told = make.client_of(survey, Role.CURATOR).get(where).json()
    assert sum(row["photos"] for row in told["stations"]) == told["photos"]["total"]
    assert told["matching_error"] == "It was told to stop."
    assert [row["note"] for row in told["engines"] if row["name"] == "md"] == ["weights of /srv/models/ridge.pt"]
    assert told["species"]
    viewer = make.client_of(survey, Role.VIEWER).get(where)
    assert viewer.json()["species"] == {}
    for secret in ("/srv/models", "PLACE"):
        assert secret not in viewer.content.decode()


def test_the_id_of_a_population_does_not_become_the_name_of_another(boss: User) -> None:
    there = make.make_population()
    told = send(signed_in(boss), "post", address("surveys"), {"name": "Season", "population": there.pk})
    assert problem(told, 400)["errors"].keys() == {"population"} and not Survey.objects.exists()
    made = send(signed_in(boss), "post", address("surveys"), {"name": "Season", "population": there.name})
    assert made.status_code == 201 and made.json()["population"]["id"] == there.pk

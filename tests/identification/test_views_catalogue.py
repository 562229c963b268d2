"""The catalogue and the page of one animal: what is shown, to whom, and with how many queries."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from identification.errors import SpotIDError
from identification.models import AuditEntry, Detection, Flank, Individual, Role, Survey
from identification.selectors.captures import StationSeen
from identification.selectors.individual_page import HISTORY_SHOWN, PHOTOS_PER_PAGE
from identification.services.catalogue import individual_describe
from identification.services.curation import batch_undo, individual_split
from identification.services.events import events_rebuild
from identification.services.individuals import individual_declare, individual_rename
from identification.views.sketches import MAP_HEIGHT, MAP_WIDTH, sketch
from tests.identification import factories as make
from tests.identification.factories import START, client_of, match

pytestmark = pytest.mark.django_db


@pytest.fixture
def catalogue() -> tuple[Survey, list[Individual]]:
    """Three animals: one with both flanks, one with a right one, one of which nothing is known."""
    survey, animals = make.make_reviewable_survey(individuals=3, photos=2)
    for animal in animals:
        match(None, *animal)
    Detection.objects.filter(pk=animals[0][1].pk).update(flank=Flank.LEFT)
    Detection.objects.filter(pk__in=[row.pk for row in animals[2]]).update(flank=Flank.UNKNOWN)
    both, right, _ = individuals = list(Individual.objects.order_by("number"))
    individual_describe(acting_user=None, individual=both, sex="female", age_class="adult")
    individual_describe(acting_user=None, individual=right, sex="male")
    return survey, individuals


def found(client: Client, query: str) -> list[int]:
    response = client.get(reverse("individual-list") + query)
    return [card.individual.number for card in response.context["cards"]]


def detail(individual: Individual, query: str = "") -> str:
    return reverse("individual-detail", args=[individual.pk]) + query


def test_a_card_shows_the_best_photo_of_each_flank_and_what_is_known(catalogue) -> None:
    survey, (both, _right, _) = catalogue
    client = client_of(survey)
    cards = client.get(reverse("individual-list")).context["cards"]
    assert [sorted(card.flanks) for card in cards] == [["left", "right"], ["right"], ["unknown"]]
    assert cards[0].individual == both and cards[0].traits == "Female, adult"
    assert (cards[0].photos, cards[0].surveys, cards[2].traits) == (2, 1, "")
    text = client.get(reverse("individual-list")).content.decode()
    assert "no left flank" in text and "2 photos in 1 survey" in text


def test_the_catalogue_is_narrowed_down_and_ordered(catalogue) -> None:
    survey, _ = catalogue
    make.make_sighting(survey)
    client = client_of(survey)
    assert found(client, "?sex=female") == [1] and found(client, "?sex=unknown") == [3]
    assert found(client, "?age_class=unknown") == [2, 3] and found(client, "?age_class=adult&sex=male") == []
    assert found(client, "?flanks=both") == [1] and found(client, "?flanks=right") == [2]
    assert found(client, "?flanks=none") == [3] and found(client, "?flanks=left") == []
    assert found(client, "?order=last") == [3, 2, 1] and found(client, "?order=first") == [1, 2, 3]
    assert found(client, "?order=nonsense&sex=%27") == [1, 2, 3], "what is no choice narrows nothing"
    assert found(client, "?q=X-0001") == [] and found(client, "?q=l-0001") == [1] == found(client, "?q=1")


def test_the_most_often_seen_come_first_when_asked_for(catalogue) -> None:
    survey, (_, second, _third) = catalogue
    match(None, second.founder, make.make_sighting(survey))
    assert found(client_of(survey), "?order=photos") == [2, 1, 3]


def test_a_retired_code_is_found_and_says_so(catalogue) -> None:
    survey, (first, second, _) = catalogue
    match(None, first.detections.get(flank="right"), second.detections.first())
    client = client_of(survey)
    response = client.get(reverse("individual-list") + "?q=L-0002")
    assert response.context["retired"] == [second] and response.context["cards"] == []
    assert detail(second) in response.content.decode()
    outsider = client_of(make.make_survey(survey.population))
    assert outsider.get(reverse("individual-list") + "?q=L-0002").context["retired"] == []


def test_pages_of_the_catalogue_keep_the_filter(catalogue, monkeypatch) -> None:
    monkeypatch.setattr("identification.views.individuals.CARDS_PER_PAGE", 1)
    survey, _ = catalogue
    text = client_of(survey).get(reverse("individual-list") + "?age_class=unknown&page=1").content.decode()
    assert "?age_class=unknown&amp;page=2" in text and "Page 1 of 2" in text


def test_sex_and_age_class_are_said_by_curators_and_written_down(catalogue) -> None:
    survey, (first, *_) = catalogue
    user = make.make_member(survey, Role.CURATOR)
    client = Client()
    client.force_login(user)
    address = reverse("individual-describe", args=[first.pk])
    client.post(address, {"sex": "male", "age_class": "subadult"})
    entry = AuditEntry.objects.get(acting_user=user)
    assert (entry.action, entry.before, entry.after) == (
        "individual.describe",
        {"sex": "female", "age_class": "adult"},
        {"sex": "male", "age_class": "subadult"},
    )
    client.post(address, {"sex": "male", "age_class": "subadult"})
    assert AuditEntry.objects.filter(acting_user=user).count() == 1, "nothing changed, nothing is written"
    assert "is no sex" in client.post(address, {"sex": "both"}, follow=True).content.decode()
    text = client.get(detail(first)).content.decode()
    assert "changed sex from “female” to “male” and age class from “adult” to “subadult”" in text
    assert client_of(survey, Role.REVIEWER).post(address, {"sex": ""}).status_code == 403
    first.refresh_from_db()
    assert (first.sex, first.age_class) == ("male", "subadult")


def test_no_other_word_is_a_sex_or_an_age_class(catalogue) -> None:
    _, (first, *_) = catalogue
    with pytest.raises(SpotIDError, match="is no age class"):
        individual_describe(acting_user=None, individual=first, age_class="old")
    for field in ("sex", "age_class"):
        with pytest.raises(IntegrityError), transaction.atomic():
            Individual.objects.filter(pk=first.pk).update(**{field: "odd"})


def animal(survey: Survey, visits: list[tuple[str, float, str]], **station: Any) -> Individual:
    """An animal with a photo per (station, hours, flank)."""
    rows = []
    for code, hours, flank in visits:
        image = make.make_image(
            survey,
            station=make.make_station(survey, code, **station) if code else None,
            captured_at=START + timedelta(hours=hours),
            files=False,
        )
        rows.append(make.make_detection(image, files=False, flank=flank, flank_by_person=False))
    for row in rows[1:]:
        match(None, rows[0], row)
    events_rebuild(survey=survey)
    return Individual.objects.latest("pk")


def test_photos_are_shown_by_flank_or_by_visit_and_visits_on_a_timeline() -> None:
    survey = make.make_survey(time_zone="Asia/Kolkata")
    seen = [("ST01", 0, "right"), ("ST01", 0.1, "left"), ("ST02", 700, "unknown"), ("", 1500, "left")]
    individual = animal(survey, seen)
    client = client_of(survey)
    page = client.get(detail(individual)).context["page"]
    assert [(group.title, len(group.rows)) for group in page.groups] == [
        ("Left flank", 2),
        ("Right flank", 1),
        ("Flank unknown", 1),
    ]
    assert [(v.station, v.photos, v.sides) for v in page.visits] == [
        ("ST01", 2, "left and right"),
        ("ST02", 1, "unknown"),
        ("", 1, "left"),
    ]
    response = client.get(detail(individual, "?by=visit"))
    titles = [group.title for group in response.context["page"].groups]
    assert titles == ["ST01, 1 Mar 2024, 11:30:00", "ST02, 30 Mar 2024, 15:30:00", "Without station or time"]
    text = response.content.decode()
    assert text.count("<circle") == 3 and "1 Mar 2024 – 2 May 2024" in text
    assert "<title>ST01, 1 Mar 2024, 11:30:00, 2 photos, flank left and right</title>" in text
    marks = [mark.x for lane in response.context["timeline"].lanes for mark in lane.marks]
    assert marks == ["2.00", "46.80", "98.00"]
    assert [text for _, _, text in response.context["timeline"].ticks] == ["Apr 2024", "May 2024"]


def test_visits_that_would_cover_each_other_are_one_mark() -> None:
    survey = make.make_survey()
    individual = animal(survey, [("ST01", 0, "left"), ("ST02", 1, "right"), ("ST01", 2000, "left")])
    (lane,) = client_of(survey).get(detail(individual)).context["timeline"].lanes
    assert [mark.words.split(",")[0] for mark in lane.marks] == ["2 visits", "ST01"]
    assert float(lane.marks[0].radius) > float(lane.marks[1].radius)


def test_an_animal_without_any_time_has_no_timeline() -> None:
    survey = make.make_survey()
    image = make.make_image(survey, files=False, captured_at=None)
    individual = individual_declare(acting_user=None, detection=make.make_detection(image, files=False))
    response = client_of(survey).get(detail(individual))
    assert response.context["timeline"] is None and response.context["page"].groups[0].rows


def test_many_photos_come_in_pages() -> None:
    survey = make.make_survey()
    individual = animal(survey, [("ST01", hour, "left") for hour in range(PHOTOS_PER_PAGE + 3)])
    client = client_of(survey)
    assert len(client.get(detail(individual)).context["page"].groups[0].rows) == PHOTOS_PER_PAGE
    second = client.get(detail(individual, "?page=2"))
    assert len(second.context["page"].groups[0].rows) == 3
    assert second.context["page"].seen.photos == PHOTOS_PER_PAGE + 3
    assert "?by=visit&amp;page=1" in client.get(detail(individual, "?by=visit&page=2")).content.decode()


def test_the_history_tells_every_change_in_pages_and_a_step_in_one_line() -> None:
    survey = make.make_survey()
    individual = animal(survey, [("ST01", hour, "left") for hour in range(4)])
    user = make.make_member(survey, Role.CURATOR)
    rows = list(individual.detections.order_by("pk"))
    done = individual_split(acting_user=user, detections=rows[:1], keep_together=True)
    batch_undo(acting_user=user, decisions=done.decisions)
    for number in range(HISTORY_SHOWN):
        individual_rename(acting_user=user, individual=individual, name=f"Luna {number}")
    client = client_of(survey)
    first = client.get(detail(individual)).context["page"]
    assert len(first.history) == HISTORY_SHOWN and first.history_page.has_next()
    rest = client.get(detail(individual, "?log=2"))
    lines = [line.what for line in rest.context["page"].history]
    assert lines[:2] == ["took back that somebody split it (5 decisions)", "split it (5 decisions)"]
    assert len(lines) == 5 and all("said “Match”" in line for line in lines[2:])
    assert not rest.context["page"].history_page.has_next() and "?log=1#history" in rest.content.decode()


def test_what_happened_with_photos_of_another_survey_is_not_told() -> None:
    survey = make.make_survey()
    individual = animal(survey, [("ST01", 0, "left"), ("ST01", 5, "left")])
    hidden = make.make_survey(survey.population)
    image = make.make_image(hidden, station=make.make_station(hidden, "SECRET"), files=False)
    match(make.make_user("quentin"), individual.founder, make.make_detection(image, files=False, flank="left"))
    text = client_of(survey).get(detail(individual)).content.decode()
    assert "quentin" not in text and "SECRET" not in text


def test_the_map_is_for_those_who_may_know_places_and_is_written_down() -> None:
    survey = make.make_survey()
    individual = animal(survey, [("ST01", 0, "left"), ("ST01", 5, "left")], latitude=27.51234, longitude=84.3)
    make.make_station(survey, "ST02", latitude=27.6, longitude=84.4)
    make.make_station(survey, "ST03")
    address = reverse("individual-map", args=[individual.pk])
    plain = client_of(survey)
    assert f'action="{address}"' not in plain.get(detail(individual)).content.decode()
    assert "27.51234" not in plain.get(address).content.decode(), "in cells for everybody"
    assert plain.post(address).status_code == 403 and not AuditEntry.objects.filter(action="stations.reveal").exists()
    client = client_of(survey, places=True)
    page = client.get(detail(individual)).content.decode()
    assert address in page and "27.5" not in page
    response = client.post(address)
    text = response.content.decode()
    assert (
        "27.51234, 84.30000" in text and "<svg" in text and "km</text>" in text and "http" not in text.split("<svg")[1]
    )
    assert [(s.code, s.visits, s.photos) for s in response.context["captures"].stations] == [
        ("ST01", 2, 2),
        ("ST02", 0, 0),
    ]
    entry = AuditEntry.objects.get(action="stations.reveal")
    assert entry.survey == survey and entry.after == {"individual": individual.code}
    assert "reveal" not in client.get(detail(individual)).content.decode(), "a look is no change of the animal"


def test_stations_of_a_survey_whose_places_are_not_hers_are_left_out() -> None:
    survey = make.make_survey()
    individual = animal(survey, [("ST01", 0, "left"), ("ST01", 5, "left")], latitude=27.5, longitude=84.3)
    other = make.make_survey(survey.population)
    place = make.make_station(other, "OTHER", latitude=27.9, longitude=84.9)
    image = make.make_image(other, station=place, files=False)
    match(None, individual.founder, make.make_detection(image, files=False, flank="left"))
    user = make.make_member(survey, Role.CURATOR, places=True)
    make.make_member(other, Role.CURATOR, user=user)
    client = Client()
    client.force_login(user)
    response = client.post(reverse("individual-map", args=[individual.pk]))
    assert "OTHER" not in response.content.decode() and "1 photo is left out" in response.content.decode()


def test_distances_on_the_map_are_true_and_everything_lies_within() -> None:
    survey = Survey(name="S")
    degree = 1 / 111.195
    places = {"A": (60.0, 20.0), "B": (60.0 + 10 * degree, 20.0), "C": (60.0, 20.0 + 10 * degree / 0.5)}
    drawn = sketch([StationSeen(survey, code, *place, visits=1, photos=1) for code, place in places.items()])
    assert drawn is not None
    at = {spot.station.code: (float(spot.x), float(spot.y)) for spot in drawn.spots}
    assert at["A"][1] - at["B"][1] == pytest.approx(at["C"][0] - at["A"][0], rel=0.01), "10 km north, 10 km east"
    kilometre = (at["A"][1] - at["B"][1]) / 10
    length = float(drawn.bar_text.removesuffix(" km"))
    assert float(drawn.bar) - 20 == pytest.approx(length * kilometre, rel=0.01)
    assert all(0 < x < MAP_WIDTH and 0 < y < MAP_HEIGHT for x, y in at.values())


def test_a_lone_station_and_stations_beyond_the_180th_meridian_are_drawn() -> None:
    survey = Survey(name="S")
    lone = sketch([StationSeen(survey, "A", -17.0, 179.9, 3, 4)])
    assert lone is not None and (lone.spots[0].x, lone.spots[0].y) == ("400.0", "260.0")
    assert lone.bar_text == "500 m"
    two = sketch([StationSeen(survey, "A", -17.0, 179.95, 1, 1), StationSeen(survey, "B", -17.0, -179.95, 1, 1)])
    assert two is not None and two.bar_text == "2 km", "ten kilometres apart, not the way around the world"
    assert sketch([]) is None


@pytest.mark.parametrize("query", ["", "?by=visit"])
def test_a_page_asks_equally_often_for_few_and_many(query: str) -> None:
    counted = []
    for number in (2, 20):
        survey = make.make_survey()
        individual = animal(survey, [(f"ST{hour % 5:02d}", hour, "left") for hour in range(number)])
        client = client_of(survey, places=True)
        with CaptureQueriesContext(connection) as asked:
            client.get(detail(individual, query))
        counted.append(len(asked))
    assert counted[0] == counted[1]

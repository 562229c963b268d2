"""The conflicts page: impossible travel for curators, and the weakest link of every contradiction."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from identification.models import Detection, Image, MatchEdge, Role, Survey, Verdict
from identification.services.clocks import camera_clock_set
from tests.identification import factories as make
from tests.identification.factories import START, client_of, match

pytestmark = pytest.mark.django_db

KM = 1 / 111.195


def seen(survey: Survey, place: str, hours: float, north_km: float | None = 0.0) -> Detection:
    where = {} if north_km is None else {"latitude": 27 + north_km * KM, "longitude": 84.0}
    station = make.make_station(survey, place, **where)
    image = make.make_image(survey, station=station, captured_at=START + timedelta(hours=hours), files=False)
    return make.make_detection(image, files=False)


def page(client: Client):
    return client.get(reverse("conflict-list"))


def flown(survey: Survey) -> tuple[Detection, Detection]:
    """One animal at two stations, 30 km apart within an hour."""
    first, second = seen(survey, "ST01", 0), seen(survey, "ST02", 1, north_km=30)
    match(None, first, second)
    return first, second


def test_an_animal_that_flew_is_raised_to_curators_and_changes_nothing() -> None:
    survey = make.make_survey()
    first, second = flown(survey)
    response = page(client_of(survey))
    (jump,) = response.context["jumps"]
    assert (jump.first, jump.second, jump.kilometres) == (first, second, None)
    assert [(p.a.pk, p.b.pk) for p in jump.weakest] == [(first.pk, second.pk)]
    text = response.content.decode()
    assert "too far in 1 hour" in text and "km" not in text.split("Too far for the time")[1].split("<footer")[0]
    assert response.context["conflicts"] == []
    first.refresh_from_db()
    assert first.individual is not None, "a warning takes nobody apart"


def test_the_distance_is_for_those_who_may_know_places() -> None:
    survey = make.make_survey()
    flown(survey)
    response = page(client_of(survey, places=True))
    assert response.context["jumps"][0].kilometres == 30 and "30 km in 1 hour" in response.content.decode()


def test_reviewers_and_curators_of_other_surveys_are_told_nothing() -> None:
    survey = make.make_survey()
    flown(survey)
    assert page(client_of(survey, Role.REVIEWER)).context["jumps"] == []
    assert page(client_of(make.make_survey(survey.population), places=True)).context["jumps"] == []


def test_what_is_possible_or_not_known_is_no_warning() -> None:
    survey = make.make_survey()
    start = seen(survey, "ST01", 0)
    match(None, start, seen(survey, "ST02", 4, north_km=30))
    match(None, start, seen(survey, "ST03", 0.1, north_km=None))
    timeless = seen(survey, "ST04", 0.1, north_km=50)
    Image.objects.filter(pk=timeless.image_id).update(captured_at=None)
    match(None, start, timeless)
    apart = seen(survey, "ST05", 0.1, north_km=90)
    assert page(client_of(survey)).context["jumps"] == []
    match(None, start, apart)
    assert len(page(client_of(survey)).context["jumps"]) >= 1


def test_a_clock_that_was_not_set_raises_no_warning_until_a_person_says_how_it_goes() -> None:
    survey = make.make_survey()
    _, second = flown(survey)
    Image.objects.filter(pk=second.image_id).update(flags=["clock_suspect"])
    assert page(client_of(survey)).context["jumps"] == []
    camera_clock_set(acting_user=None, station=second.image.station, camera="A", offset_seconds=0)
    assert len(page(client_of(survey)).context["jumps"]) == 1
    camera_clock_set(acting_user=None, station=second.image.station, camera="A", offset_seconds=4 * 3600)
    assert page(client_of(survey)).context["jumps"] == []


def test_a_contradiction_names_the_match_that_rests_on_least() -> None:
    survey = make.make_survey()
    rows = [seen(survey, "ST01", hours) for hours in range(4)]
    for a, b, probability in ((0, 1, 0.99), (1, 2, 0.3), (2, 3, 0.97)):
        make.make_candidate(rows[a], rows[b], probability=probability)
        match(None, rows[a], rows[b])
    match(None, rows[0], rows[3], Verdict.NO_MATCH, confirm=True)
    response = page(client_of(survey))
    (conflict,) = response.context["conflicts"]
    assert [(p.a.pk, p.b.pk) for p in conflict.weakest] == [(rows[1].pk, rows[2].pk)]
    assert len(conflict.path) == 3 and len(conflict.others) == 2
    assert "The first is the weakest link" in response.content.decode()


def test_a_verdict_that_contradicts_is_shown_the_weakest_link_first() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=3)
    a, b, c = animals[0]
    match(None, a, b)
    match(None, b, c)
    MatchEdge.objects.filter(a=a, b=b).update(probability=0.2)
    form = {"anchor": a.pk, "candidate": c.pk, "version": 0, "verdict": "no_match"}
    response = client_of(survey).post(reverse("review-decide", args=[survey.pk]), form)
    assert response.status_code == 409
    clash = response.context["clash"]
    assert [(p.a.pk, p.b.pk) for p in clash.weakest] == [(a.pk, b.pk)]
    assert [(p.a.pk, p.b.pk) for p in clash.others] == [(b.pk, c.pk)]


def settle(client: Client, part, verdict: str = "no_match"):
    return client.post(reverse("conflict-settle"), {"pair": part.tokens, "verdict": verdict}, follow=True)


def test_one_key_parts_at_the_weakest_link_and_another_takes_it_back() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=5)
    rows = animals[0]
    for a, b in pairwise(rows):
        match(None, a, b)
    MatchEdge.objects.filter(a=rows[2], b=rows[3]).update(probability=0.1)
    match(None, rows[0], rows[4], Verdict.NO_MATCH, confirm=True)
    client = client_of(survey)
    (conflict,) = page(client).context["conflicts"]
    assert conflict.kinds == ["Refused and joined"] and conflict.part.sizes == "3 + 2"
    assert "parts it into 3 + 2" in page(client).content.decode()
    response = settle(client, conflict.part)
    assert response.context["conflicts"] == [] and response.context["done"].words == "Settled"
    assert list(Detection.objects.order_by("pk").values_list("individual__number", flat=True)) == [1, 1, 1, 2, 2]
    client.post(reverse("batch-undo", args=[response.context["done"].decision.pk]))
    (again,) = page(client).context["conflicts"]
    assert "decided in the meantime" in settle(client, conflict.part).content.decode(), "the page was an old one"
    assert settle(client, again.keep, "match").context["conflicts"] == []
    assert set(Detection.objects.values_list("individual__number", flat=True)) == {1}


def test_an_animal_twice_on_one_photo_can_only_be_parted() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=2)
    image = make.make_image(survey)
    twins = [make.make_detection(image, box=(x, 10, x + 90, 90)) for x in (10, 200)]
    match(None, animals[0][0], twins[0])
    match(None, *animals[0])
    match(None, animals[0][1], twins[1], confirm=True)
    client = client_of(survey)
    (conflict,) = page(client).context["conflicts"]
    assert conflict.kinds == ["Twice on one photo"] and conflict.part.tokens and conflict.keep.tokens == []
    assert "it is one animal" not in page(client).content.decode()
    assert "contradicts itself" in client.get(reverse("individual-list")).content.decode()
    assert settle(client, conflict.part).context["conflicts"] == []


def test_a_jump_is_settled_by_its_weakest_link() -> None:
    survey = make.make_survey()
    flown(survey)
    client = client_of(survey)
    (jump,) = page(client).context["jumps"]
    assert jump.part.sizes == "1 + 1"
    assert settle(client, jump.part).context["jumps"] == []


@pytest.fixture
def sides() -> tuple[Survey, Detection, Detection]:
    """A left and a right flank that a person has named."""
    survey = make.make_survey()
    right, left = make.make_sighting(survey), make.make_sighting(survey)
    Detection.objects.filter(pk=left.pk).update(flank="unknown", flank_by_person=False)
    left.refresh_from_db()
    return survey, left, right


def test_left_matched_with_right_is_listed_and_settled(sides) -> None:
    survey, left, right = sides
    match(None, left, right)
    client = client_of(survey)
    assert page(client).context["opposed"] == [], "one flank is unknown"
    Detection.objects.filter(pk=left.pk).update(flank="left")
    (item,) = page(client).context["opposed"]
    assert {item.pair.a, item.pair.b} == {left, right} == {item.weakest[0].a, item.weakest[0].b}
    assert item.estimated and "estimated" in page(client).content.decode()
    Detection.objects.filter(pk=left.pk).update(flank_by_person=True)
    assert not page(client).context["opposed"][0].estimated
    assert settle(client, item.part).context["opposed"] == []
    assert set(Detection.objects.values_list("individual", flat=True)) == {None}


@pytest.mark.parametrize(
    ("provenance", "listed"), [("paired_cameras", 0), ("same_event", 0), ("imported", 0), ("reviewer", 1)]
)
def test_what_may_join_two_flanks_is_not_listed(sides, provenance: str, listed: int) -> None:
    survey, left, right = sides
    match(None, left, right)
    Detection.objects.filter(pk=left.pk).update(flank="left")
    MatchEdge.objects.update(provenance=provenance)
    assert len(page(client_of(survey, Role.REVIEWER)).context["opposed"]) == listed
    assert page(client_of(make.make_survey(survey.population))).context["opposed"] == []


def test_of_many_only_the_first_are_shown_those_that_people_named_before_estimates(sides, monkeypatch) -> None:
    monkeypatch.setattr("identification.selectors.conflicts.MOST_SHOWN", 1)
    survey, left, right = sides
    match(None, left, right)
    named = [make.make_sighting(survey) for _ in range(2)]
    match(None, *named)
    Detection.objects.filter(pk=left.pk).update(flank="left")
    Detection.objects.filter(pk=named[0].pk).update(flank="left")
    response = page(client_of(survey))
    (item,) = response.context["opposed"]
    assert {item.pair.a, item.pair.b} == set(named) and not item.estimated
    assert response.context["found"].opposed_in_all == 2 and "Page 1 of 2" in response.content.decode()


def test_reviewers_are_offered_no_key_and_refused() -> None:
    survey, animals = make.make_reviewable_survey(individuals=1, photos=3)
    a, b, c = animals[0]
    match(None, a, b)
    match(None, b, c)
    match(None, a, c, Verdict.NO_MATCH, confirm=True)
    reviewer, curator = client_of(survey, Role.REVIEWER), client_of(survey)
    (conflict,) = page(reviewer).context["conflicts"]
    assert conflict.part.tokens == [] and "data-part" not in page(reviewer).content.decode()
    tokens = {"pair": page(curator).context["conflicts"][0].part.tokens}
    assert reviewer.post(reverse("conflict-settle"), tokens).status_code == 403
    elsewhere = client_of(make.make_survey(survey.population))
    assert elsewhere.post(reverse("conflict-settle"), tokens).status_code == 404
    for broken in ("1", "1-2", "a-b-c", "-1-2-3", "1-2-3-4"):
        assert curator.post(reverse("conflict-settle"), {"pair": broken}).status_code == 404
    assert MatchEdge.objects.filter(verdict="match").count() == 2


def test_the_page_asks_equally_often_for_few_and_many_conflicts() -> None:
    counted = []
    for conflicts in (1, 6):
        survey, animals = make.make_reviewable_survey(individuals=conflicts, photos=3)
        for a, b, c in animals:
            match(None, a, b)
            match(None, b, c)
            match(None, a, c, Verdict.NO_MATCH, confirm=True)
        client = client_of(survey)
        with CaptureQueriesContext(connection) as asked:
            assert len(page(client).context["conflicts"]) == conflicts
        counted.append(len(asked))
    assert counted[0] == counted[1]

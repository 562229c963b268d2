"""Which part of a review is asked, and how long that is remembered."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from identification.models import Decision, Detection, Image, Individual, ReviewPosition, Role, Survey, User
from identification.selectors.review_modes import Scope, scope_parse, scope_shown
from identification.selectors.review_queue import review_of
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db

Reviewed = tuple[Client, User, Survey, list[list[Detection]]]


@pytest.fixture
def reviewed(media_root) -> Reviewed:
    """Three animals with three photos each, all in question, on two stations."""
    survey, animals = make.make_reviewable_survey(individuals=3, photos=3, stations=3)
    user = make.make_member(survey)
    client = Client()
    client.force_login(user)
    return client, user, survey, animals


def page(client: Client, survey: Survey, query: str = "") -> Any:
    return client.get(reverse("review", args=[survey.pk]) + query)


def choose(client: Client, survey: Survey, **said: object) -> Any:
    return client.post(reverse("review-mode", args=[survey.pk]), said, follow=True)


def asked(client: Client, survey: Survey, query: str = "") -> list[tuple[int, int]]:
    """Every question of the part, in its order, by putting each off."""
    found = []
    for _ in range(60):
        response = page(client, survey, query)
        question = response.context.get("page")
        if question is None:
            return found
        pair = question.question.pair
        if (pair.a, pair.b) in found:
            return found
        found.append((pair.a, pair.b))
        client.post(
            reverse("review-later", args=[survey.pk]), {"pair": f"{pair.a}-{pair.b}", "within": query.lstrip("?")}
        )
    raise AssertionError("the questions do not end")


@pytest.mark.parametrize(
    ("said", "scope"),
    [
        ({}, None),
        ({"mode": "nonsense"}, None),
        ({"mode": "queue"}, Scope("queue")),
        ({"mode": "mine"}, Scope("mine")),
        ({"mode": "station"}, None),
        ({"mode": "station", "station": "12"}, Scope("station", station=12)),
        ({"mode": "station", "station": "12 OR 1=1"}, None),
        ({"mode": "station", "station": "9" * 30}, None),
        ({"mode": "individual", "individual": 7}, Scope("individual", individual=7)),
        ({"mode": "date"}, None),
        ({"mode": "date", "from": "2024-02-30"}, None),
        ({"mode": "date", "from": "0001-01-01"}, None),
    ],
)
def test_what_is_no_part_is_not_taken_for_one(said: dict[str, object], scope: Scope | None) -> None:
    assert scope_parse(said) == scope


def test_dates_may_be_open_or_the_wrong_way_round_and_go_back_into_the_address() -> None:
    whole = scope_parse({"mode": "date", "from": "2024-03-05", "to": "2024-03-01"})
    assert whole is not None and whole.query == "mode=date&from=2024-03-01&to=2024-03-05"
    half = scope_parse({"mode": "date", "to": "2024-03-01"})
    assert half is not None and half.first is None and half.query == "mode=date&to=2024-03-01"


def test_a_station_asks_about_its_animals_only(reviewed: Reviewed) -> None:
    client, _, survey, _ = reviewed
    station = survey.stations.order_by("code").first()
    there = set(Detection.objects.filter(image__station=station).values_list("pk", flat=True))
    everything = asked(client, survey)
    ReviewPosition.objects.all().delete()
    part = asked(client, survey, f"?mode=station&station={station.pk}")
    assert part and set(map(frozenset, part)) == {frozenset(pair) for pair in everything if there & set(pair)}
    assert len(part) < len(everything)


def test_an_animal_is_asked_about_through_any_of_its_photos(reviewed: Reviewed) -> None:
    """A question between groups may show a photo of another station: it is about the animal all the same."""
    client, _, survey, animals = reviewed
    a, b, c = animals[0]
    match(None, a, b)
    station = a.image.station
    assert station is not None and b.image.station != station
    found = asked(client, survey, f"?mode=station&station={station.pk}")
    own = {a.pk, b.pk}
    assert any(own & set(pair) and c.pk in pair for pair in found)


def test_dates_are_days_of_the_surveys_clock(reviewed: Reviewed) -> None:
    client, _, survey, animals = reviewed
    Survey.objects.filter(pk=survey.pk).update(time_zone="Asia/Kolkata")
    late = animals[0][0]
    # 20:00 in London on 3 March is 01:30 of the fourth in Delhi.
    Image.objects.filter(pk=late.image_id).update(captured_at=make.START.replace(day=3, hour=20))
    Image.objects.exclude(pk=late.image_id).update(captured_at=make.START.replace(day=20))
    assert asked(client, survey, "?mode=date&from=2024-03-03&to=2024-03-03") == []
    found = asked(client, survey, "?mode=date&from=2024-03-04&to=2024-03-04")
    assert found and all(late.pk in pair for pair in found)


def test_one_individual_asks_what_may_be_it(reviewed: Reviewed) -> None:
    client, _, survey, animals = reviewed
    match(None, animals[0][0], animals[0][1])
    animal = Individual.objects.get()
    members = {animals[0][0].pk, animals[0][1].pk}
    found = asked(client, survey, f"?mode=individual&individual={animal.pk}")
    assert found and all(members & set(pair) for pair in found)
    assert str(animal) in page(client, survey, f"?mode=individual&individual={animal.pk}").content.decode()


def test_mine_is_what_somebody_is_at_work_on(reviewed: Reviewed) -> None:
    client, user, survey, animals = reviewed
    response = page(client, survey, "?mode=mine")
    assert "page" not in response.context and "is yours yet" in response.content.decode()
    match(user, animals[0][0], animals[0][1])
    match(make.make_member(survey), animals[1][0], animals[1][1])
    own = {animals[0][0].pk, animals[0][1].pk}
    found = pairs_of(user, survey, Scope("mine"))
    assert found and all(own & pair for pair in found)
    match(user, animals[0][0], animals[2][0], "no_match")
    assert all(own & pair for pair in pairs_of(user, survey, Scope("mine"))), "a stranger does not become hers"


def pairs_of(user: User, survey: Survey, scope: Scope) -> list[frozenset[int]]:
    """The photos of every question of a part."""
    shown = scope_shown(user=user, survey=survey, scope=scope)
    assert shown is not None and shown.only is not None
    with review_of(user=user, survey=survey) as review:
        return [frozenset((q.pair.a, q.pair.b)) for q in review.queue.questions() if shown.only(q)]


def test_what_was_put_off_and_left_unsure_is_mine(reviewed: Reviewed) -> None:
    client, user, survey, animals = reviewed
    a, b, _ = animals[0]
    c, d, _ = animals[1]
    client.post(reverse("review-later", args=[survey.pk]), {"pair": f"{a.pk}-{b.pk}"})
    match(user, c, d, "unsure")
    found = pairs_of(user, survey, Scope("mine"))
    assert frozenset((a.pk, b.pk)) in found
    assert all(pair == {a.pk, b.pk} or c.pk in pair for pair in found), "filed under c, and the one that was put off"
    text = client.get(reverse("review-modes", args=[survey.pk])).content.decode()
    assert "Pairs that you left unsure" in text
    assert reverse("decision-undo", args=[Decision.objects.get().pk]) in text
    other = client_of(survey, Role.REVIEWER)
    assert "left unsure <" not in other.get(reverse("review-modes", args=[survey.pk])).content.decode()


def test_a_part_is_kept_for_this_reviewer_in_this_survey(reviewed: Reviewed) -> None:
    client, user, survey, animals = reviewed
    station = animals[0][0].image.station
    response = choose(client, survey, mode="station", station=station.pk)
    assert response.redirect_chain[-1][0].endswith(f"?mode=station&station={station.pk}")
    kept = ReviewPosition.objects.get(user=user, survey=survey)
    assert (kept.mode, kept.focus) == ("station", {"station": station.pk})
    assert page(client, survey).context["scope"].title == f"station {station.code}"
    assert not page(client_of(survey, Role.REVIEWER), survey).context["scope"].narrow
    choose(client, survey, mode="date", **{"from": "2024-03-01", "to": ""})
    kept.refresh_from_db()
    assert (kept.mode, kept.focus) == ("date", {"from": "2024-03-01"})
    choose(client, survey, mode="queue")
    kept.refresh_from_db()
    assert (kept.mode, kept.focus) == ("queue", {})


def test_an_address_shows_a_part_and_chooses_nothing(reviewed: Reviewed) -> None:
    client, user, survey, animals = reviewed
    station = animals[0][0].image.station
    query = f"mode=station&station={station.pk}"
    shown = page(client, survey, f"?{query}")
    assert shown.context["scope"].query == query
    assert not ReviewPosition.objects.filter(user=user, mode="station").exists()
    assert not page(client, survey).context["scope"].narrow
    said = {"anchor": shown.context["page"].left.detection.pk, "candidate": shown.context["page"].right.detection.pk}
    answer = client.post(
        reverse("review-decide", args=[survey.pk]), said | {"version": 0, "verdict": "unsure", "within": query}
    )
    assert answer.status_code == 302 and answer.url.endswith(f"?{query}"), "the answer goes on within the part"
    evil = client.post(
        reverse("review-decide", args=[survey.pk]),
        said | {"version": 1, "verdict": "unsure", "within": "https://evil.example/&mode=mine&x=%0d%0aSet-Cookie:a"},
    )
    assert evil.url in {reverse("review", args=[survey.pk]), reverse("review", args=[survey.pk]) + "?mode=mine"}


def test_the_end_of_a_part_says_why_and_leads_back(reviewed: Reviewed) -> None:
    client, _, survey, _ = reviewed
    empty = make.make_station(survey, "EMPTY")
    text = page(client, survey, f"?mode=station&station={empty.pk}").content.decode()
    assert "Nothing is left to ask about station EMPTY" in text and "No photo that takes part" in text
    assert f'action="{reverse("review-mode", args=[survey.pk])}"' in text and "Back to the whole survey" in text
    text = page(client, survey, "?mode=date&from=1999-01-01&to=1999-01-02").content.decode()
    assert "1 Jan 1999 – 2 Jan 1999" in text


def test_what_is_not_there_or_not_ones_own_counts_as_no_part(reviewed: Reviewed) -> None:
    client, _, survey, _ = reviewed
    foreign, strangers = make.make_reviewable_survey(individuals=1, photos=2)
    match(None, *strangers[0])
    hidden = Individual.objects.get()
    for query in (f"?mode=station&station={foreign.stations.first().pk}", f"?mode=individual&individual={hidden.pk}"):
        response = page(client, survey, query)
        assert not response.context["scope"].narrow and str(hidden) not in response.content.decode()
        said = dict(part.split("=") for part in query[1:].split("&"))
        assert "not part of this survey" in choose(client, survey, **said).content.decode()
    assert not ReviewPosition.objects.filter(mode__in=["station", "individual"]).exists()
    text = client.get(reverse("review-modes", args=[survey.pk])).content.decode()
    assert hidden.code not in text


def test_a_station_that_goes_leaves_the_review_with_the_whole_survey(reviewed: Reviewed) -> None:
    client, _, survey, _ = reviewed
    station = make.make_station(survey, "GONE")
    choose(client, survey, mode="station", station=station.pk)
    station.delete()
    assert not page(client, survey).context["scope"].narrow


def test_lists_lead_to_their_part_of_the_review(reviewed: Reviewed) -> None:
    client, _, survey, animals = reviewed
    station = animals[0][0].image.station
    match(None, animals[0][0], animals[0][1])
    link = f"{reverse('review', args=[survey.pk])}?mode=station&amp;station={station.pk}"
    assert link in client.get(reverse("survey-stations", args=[survey.pk])).content.decode()
    photos = reverse("photo-list", args=[survey.pk])
    assert link in client.get(f"{photos}?station={station.pk}").content.decode()
    day = (make.START + timedelta(hours=1)).date().isoformat()
    assert f"?mode=date&amp;from={day}" in client.get(f"{photos}?from={day}").content.decode()
    animal = Individual.objects.get()
    text = client.get(reverse("individual-detail", args=[animal.pk])).content.decode()
    assert f"?mode=individual&amp;individual={animal.pk}" in text
    viewer = client_of(survey, Role.VIEWER)
    for address in (reverse("survey-stations", args=[survey.pk]), f"{photos}?station={station.pk}"):
        assert "?mode=" not in viewer.get(address).content.decode()


def test_photos_are_listed_by_day(reviewed: Reviewed) -> None:
    client, _, survey, animals = reviewed
    # The factory counts hours from the first photo that any test has made.
    Image.objects.filter(pk=animals[0][0].image_id).update(captured_at=make.START)
    Image.objects.exclude(pk=animals[0][0].image_id).update(captured_at=make.START + timedelta(days=30))
    photos = reverse("photo-list", args=[survey.pk])
    first = client.get(f"{photos}?to=2024-03-20").context["page"]
    assert [image.pk for image in first.object_list] == [animals[0][0].image_id]
    assert client.get(f"{photos}?from=2024-03-20&to=2024-04-30").context["page"].paginator.count == 8
    assert client.get(f"{photos}?from=nonsense").context["page"].paginator.count == 9


def test_photos_that_matched_nothing_are_listed_with_the_likeliest_first(reviewed: Reviewed) -> None:
    client, _, survey, animals = reviewed
    match(None, animals[0][0], animals[0][1])
    response = client.get(reverse("review-alone", args=[survey.pk]))
    rows = response.context["found"].rows
    assert {row.detection.pk for row in rows} == {detection.pk for animal in animals for detection in animal} - {
        animals[0][0].pk,
        animals[0][1].pk,
    }
    likely = [row.probability for row in rows]
    assert likely == sorted(likely, reverse=True)
    address = reverse("review-alone", args=[survey.pk])
    for place in (reverse("survey-detail", args=[survey.pk]), reverse("individual-list")):
        assert address in client.get(place).content.decode()
        assert address not in client_of(survey, Role.VIEWER).get(place).content.decode()
    for anchor in [row.detection for row in rows]:
        for other in [row.detection for row in rows]:
            if anchor.pk < other.pk:
                match(None, anchor, other, "no_match", confirm=True)
    assert "caught once" in client.get(address).content.decode() or client.get(address).context["found"].rows


def test_the_page_asks_the_database_as_often_in_a_part(reviewed: Reviewed, django_assert_max_num_queries) -> None:
    client, _, survey, animals = reviewed
    query = f"?mode=station&station={animals[0][0].image.station_id}"
    page(client, survey, query)
    with django_assert_max_num_queries(60):
        assert page(client, survey, query).status_code == 200

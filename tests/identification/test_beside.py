"""What lies beside the pictures: distance, other frames, known photos, earlier answers; and who sees what of it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from identification.models import Detection, Flank, Image, Provenance, Role, Station, Survey, User, Verdict
from identification.selectors.review_queue import review_of
from identification.services.decisions import decision_record, decision_undo
from identification.services.events import events_rebuild
from identification.services.proposals import proposals_refresh
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db

Shown = tuple[Survey, list[list[Detection]]]


@pytest.fixture
def shown(media_root) -> Shown:
    """Two animals at two placed stations about 11 km apart."""
    survey, animals = make.make_reviewable_survey(individuals=2, photos=3)
    for index, code in enumerate(("ST01", "ST02")):
        Station.objects.filter(survey=survey, code=code).update(latitude=27.0 + 0.1 * index, longitude=84.0)
    return survey, animals


def notes(client: Client, survey: Survey, first: Detection, second: Detection, **more: object) -> Any:
    said = {"anchor": first.pk, "candidate": second.pk, "part": 1, **more}
    return client.get(reverse("review-beside", args=[survey.pk]), said)


def far_apart(animals: list[list[Detection]]) -> tuple[Detection, Detection]:
    first, second = animals[0][0], animals[0][1]
    assert first.image.station_id != second.image.station_id
    return first, second


# ---- places ----
@pytest.mark.parametrize(
    ("role", "places", "told"),
    [
        (Role.REVIEWER, False, False),
        (Role.REVIEWER, True, False),  # places are for curators, whatever was ticked
        (Role.CURATOR, False, False),
        (Role.CURATOR, True, True),
    ],
)
def test_the_distance_is_told_to_those_who_may_know_places(shown: Shown, role: str, places: bool, told: bool) -> None:
    survey, animals = shown
    first, second = far_apart(animals)
    client = client_of(survey, role, places=places)
    text = notes(client, survey, first, second).content.decode()
    # One tenth of a degree of latitude on a sphere of 6371.0088 km.
    assert ("11 km" in text) == told and ("between the stations" in text) == told
    page = client.get(reverse("review", args=[survey.pk]) + f"?pair={first.pk}-{second.pk}").content.decode()
    assert "11 km" not in page


def test_the_distance_needs_the_grant_for_both_surveys(shown: Shown) -> None:
    survey, animals = shown
    other = make.make_survey(survey.population)
    place = make.make_station(other, "FAR", latitude=28.0, longitude=84.0)
    there = make.make_sighting(other, station=place)
    user = make.make_member(survey, Role.CURATOR, places=True)
    make.make_member(other, Role.CURATOR, user=user)
    client = Client()
    client.force_login(user)
    response = notes(client, survey, animals[0][0], there)
    assert response.context["notes"].kilometres is None and "111 km" not in response.content.decode()
    user.memberships.filter(survey=other).update(may_see_places=True)
    assert notes(client, survey, animals[0][0], there).context["notes"].kilometres == pytest.approx(111.2, abs=0.1)


def test_one_station_is_said_to_be_one_and_a_place_that_is_missing_is_no_distance(shown: Shown) -> None:
    survey, animals = shown
    client = client_of(survey, places=True)
    first, second = far_apart(animals)
    assert "Both at station ST01" in notes(client, survey, animals[0][0], animals[0][2]).content.decode()
    Station.objects.filter(survey=survey, code="ST02").update(latitude=None, longitude=None)
    text = notes(client, survey, first, second).content.decode()
    assert "the place of one is not known" in text and "km" not in text


# ---- frames ----
def burst(survey: Survey, animals: list[list[Detection]], frames: int = 3) -> list[Detection]:
    """Further frames of the first photo, two seconds apart, each sharper than the one before, compared like it."""
    first = animals[0][0]
    Detection.objects.filter(pk=first.pk).update(quality={"sharpness": 10.0})
    made = []
    for index in range(1, frames):
        image = make.make_image(
            survey,
            station=first.image.station,
            camera=first.image.camera,
            captured_at=first.image.captured_at + timedelta(seconds=2 * index),
        )
        made.append(make.make_detection(image, quality={"sharpness": 10.0 * (index + 1)}))
    events_rebuild(survey=survey)
    proposals_refresh(survey=survey)
    return [Detection.objects.select_related("image").get(pk=row.pk) for row in (first, *made)]


def test_a_sharper_frame_of_the_same_group_takes_its_place_in_the_same_question(shown: Shown) -> None:
    survey, animals = shown
    frames = burst(survey, animals)
    other = animals[1][0]
    match(None, frames[0], frames[2])
    client = client_of(survey, Role.REVIEWER)
    side = notes(client, survey, frames[0], other).context["notes"].first
    assert [frame.image.pk for frame in side.frames] == [frame.image_id for frame in frames]
    assert [frame.pair for frame in side.frames] == [None, None, (frames[2].pk, other.pk)]
    assert side.sharpest == side.frames[2] and side.frames[2].joined
    assert side.frames[2].apart == "+4 seconds" and side.frames[2].sharper == pytest.approx(3.0)
    address = reverse("review", args=[survey.pk])
    before = client.get(f"{address}?pair={frames[0].pk}-{other.pk}").context["page"]
    after = client.get(f"{address}?pair={frames[2].pk}-{other.pk}&frame=1").context["page"]
    assert (after.left.detection.pk, after.right.detection.pk) == (frames[2].pk, other.pk)
    assert {before.question.left, before.question.right} == {after.question.left, after.question.right}
    assert after.question.probability == before.question.probability and after.evidence is None
    said = {"anchor": frames[2].pk, "candidate": other.pk, "version": after.version, "verdict": "no_match"}
    client.post(reverse("review-decide", args=[survey.pk]), said)
    edge = other.edges_as_a.union(other.edges_as_b.all()).get()
    assert {edge.a_id, edge.b_id} == {frames[2].pk, other.pk}, "filed under the two photos that were on the page"
    with review_of(user=make.make_member(survey), survey=survey) as review:
        assert review.queue.question(frames[0].pk, other.pk) is None, (
            "the answer settles the question of the whole group"
        )


def test_a_frame_of_a_burst_that_waits_can_be_compared_where_it_was_compared_itself(shown: Shown) -> None:
    survey, animals = shown
    frames = burst(survey, animals)
    other = animals[1][0]
    make.make_candidate(frames[1], other, probability=0.4)
    client = client_of(survey, Role.REVIEWER)
    side = notes(client, survey, frames[0], other).context["notes"].first
    assert [frame.pair for frame in side.frames] == [None, (frames[1].pk, other.pk), None]
    assert not side.frames[1].joined
    text = notes(client, survey, frames[0], other).content.decode()
    assert "burst not confirmed" in text and "look only" in text


def test_a_frame_of_the_other_flank_or_of_no_use_is_only_looked_at(shown: Shown) -> None:
    survey, animals = shown
    frames = burst(survey, animals)
    match(None, frames[0], frames[1])
    match(None, frames[0], frames[2])
    Detection.objects.filter(pk=frames[1].pk).update(flank=Flank.LEFT)
    Detection.objects.filter(pk=frames[2].pk).update(usable=False)
    client = client_of(survey, Role.REVIEWER)
    side = notes(client, survey, frames[0], animals[1][0]).context["notes"].first
    assert [frame.pair for frame in side.frames] == [None, None, None]
    address = reverse("review", args=[survey.pk]) + f"?pair={frames[1].pk}-{animals[1][0].pk}&frame=1"
    question = client.get(address).context["page"].question
    assert frames[1].pk not in (question.pair.a, question.pair.b), "an address cannot oppose a left to a right flank"


def test_frames_that_may_show_people_are_for_those_who_see_people(shown: Shown) -> None:
    survey, animals = shown
    frames = burst(survey, animals)
    Image.objects.filter(pk=frames[1].image_id).update(detector="")
    for role, number in ((Role.REVIEWER, 2), (Role.CURATOR, 3)):
        side = notes(client_of(survey, role), survey, frames[0], animals[1][0]).context["notes"].first
        assert len(side.frames) == number


# ---- known photos and earlier answers ----
def test_a_known_animal_is_shown_by_flank_the_sharpest_first(shown: Shown) -> None:
    survey, animals = shown
    a, b, c = animals[0]
    left = make.make_sighting(survey)
    Detection.objects.filter(pk=left.pk).update(flank=Flank.LEFT, flank_by_person=False)
    for pk, sharpness in ((b.pk, 1.0), (c.pk, 5.0)):
        Detection.objects.filter(pk=pk).update(quality={"sharpness": sharpness})
    for pk in (b.pk, c.pk, left.pk):
        match(None, a, Detection.objects.select_related("image__survey").get(pk=pk))
    side = notes(client_of(survey, Role.REVIEWER), survey, a, animals[1][0]).context["notes"].first
    found = {gallery.title: [photo.pk for photo in gallery.photos] for gallery in side.galleries}
    assert found == {"left flank": [left.pk], "right flank": [c.pk, b.pk]}


def reviewer_of(*surveys: Survey) -> tuple[Client, User]:
    user = make.make_user("mira")
    for survey in surveys:
        make.make_member(survey, user=user)
    client = Client()
    client.force_login(user)
    return client, user


def test_earlier_answers_say_who_when_and_what(shown: Shown) -> None:
    survey, animals = shown
    first, second = far_apart(animals)
    client, user = reviewer_of(survey)
    match(user, first, animals[1][0], Verdict.NO_MATCH)
    decision_undo(acting_user=user, decision=match(user, first, second, Verdict.UNSURE))
    text = notes(client, survey, first, second).content.decode()
    assert "Not a match" in text and "mira" in text and "Unsure" in text
    assert "on this very pair" in text and "taken back" in text


def test_of_a_settled_pair_nothing_is_told_that_gives_the_answer_away(shown: Shown) -> None:
    """It is asked again for a second opinion; the page must look as it would if nobody had answered."""
    survey, animals = shown
    first, second, third = animals[0]
    client, user = reviewer_of(survey)
    match(user, first, animals[1][0], Verdict.NO_MATCH)
    match(user, first, third)
    match(user, second, third)
    found = notes(client, survey, first, second)
    told = found.context["notes"]
    assert told.first.galleries == told.second.galleries == []
    assert told.answers == [] and told.answers_more == 0
    assert str(Detection.objects.get(pk=first.pk).individual) not in found.content.decode()
    refused = notes(client, survey, first, animals[1][0]).content.decode()
    assert "on this very pair" not in refused and "Not a match" not in refused


@pytest.mark.parametrize("answer", [Verdict.MATCH, Verdict.NO_MATCH])
def test_beside_a_check_what_others_said_of_either_photo_with_third_ones_is_not_told(shown: Shown, answer) -> None:
    """What joined one photo to a third, and the other to that, says as much as what was said of the pair itself."""
    survey, animals = shown
    first, second, third = animals[0]
    asked = reviewer_of(survey)[0]
    others = [make.make_member(survey, user=make.make_user(name)) for name in ("olga", "pavel")]
    match(others[0], first, second, answer)
    for other in others:
        match(other, first, third)
        match(other, second, third, answer)
        match(other, second, animals[1][1], Verdict.NO_MATCH)
    known = {str(Detection.objects.get(pk=photo.pk).individual) for photo in animals[0]}
    for one, two in ((first, second), (second, first)):
        text = notes(asked, survey, one, two).content.decode()
        assert not [told for told in (*known, "olga", "pavel", "Not a match", "on this very pair") if told in text]
        assert "Match</" not in text and third.image.name not in text.replace(f'alt="{third.image.name}"', "")


def test_beside_two_animals_of_an_archive_neither_is_named_while_such_pairs_are_asked_as_known(shown: Shown) -> None:
    survey, animals = shown
    for animal in animals:
        decision_record(
            acting_user=None, first=animal[0], second=animal[1], verdict="match", provenance=Provenance.IMPORTED
        )
    first, second = animals[0][0], animals[1][0]
    codes = [str(Detection.objects.get(pk=photo.pk).individual) for photo in (first, second)]
    client = reviewer_of(survey)[0]
    assert all(code in notes(client, survey, first, second).content.decode() for code in codes)
    Survey.objects.filter(pk=survey.pk).update(known_pairs_share=0.1)
    found = notes(client, survey, first, second)
    assert found.context["notes"].answers == []
    assert not [code for code in codes if code in found.content.decode()]
    assert codes[0] in notes(client, survey, first, animals[1][2]).content.decode(), "no label says who this one is"


def test_photos_and_people_of_another_survey_are_not_named(shown: Shown) -> None:
    survey, animals = shown
    foreign = make.make_survey(survey.population, name="Secret valley")
    there = make.make_sighting(foreign, station=make.make_station(foreign, "HIDDEN"))
    stranger = make.make_member(foreign, user=make.make_user("stranger"))
    match(stranger, animals[0][0], there)
    text = notes(client_of(survey, Role.REVIEWER), survey, animals[0][0], animals[0][1]).content.decode()
    assert "a photo that is not open to you" in text
    for secret in ("HIDDEN", "Secret valley", "stranger", there.image.name, reverse("media", args=["crop", there.pk])):
        assert secret not in text


def test_a_pair_of_which_one_photo_is_not_ones_own_is_not_there(shown: Shown) -> None:
    survey, animals = shown
    foreign = make.make_sighting(make.make_survey(survey.population))
    client = client_of(survey, Role.CURATOR, places=True)
    assert notes(client, survey, animals[0][0], foreign).status_code == 404
    assert notes(client, survey, foreign, animals[0][0]).status_code == 404
    assert notes(client, survey, animals[0][0], animals[0][0]).status_code == 404
    assert client.get(reverse("review-beside", args=[survey.pk])).status_code == 404
    assert notes(client_of(survey, Role.VIEWER), survey, *far_apart(animals)).status_code == 403


def test_it_is_a_page_of_its_own_without_a_script(shown: Shown) -> None:
    survey, animals = shown
    first, second = far_apart(animals)
    text = notes(client_of(survey, Role.REVIEWER), survey, first, second, part=0).content.decode()
    assert "Back to the question" in text and f"?pair={first.pk}-{second.pk}" in text


def test_the_database_is_asked_as_often_for_many_frames_as_for_few(shown: Shown, django_assert_max_num_queries) -> None:
    survey, animals = shown
    frames = burst(survey, animals, frames=20)
    for other in frames[1:]:
        match(None, frames[0], other)
    client = client_of(survey, places=True)
    notes(client, survey, frames[10], animals[1][0])
    with django_assert_max_num_queries(45):
        response = notes(client, survey, frames[10], animals[1][0])
    side = response.context["notes"].first
    assert len(side.frames) == 12 and side.event_more == 8 and any(frame.current for frame in side.frames)

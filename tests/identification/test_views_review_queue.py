"""The review by what is settled: questions between groups, near-certain pairs at a glance, the end, the goal."""

from __future__ import annotations

import re
import time

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from identification.models import (
    AuditEntry,
    Candidate,
    Decision,
    Detection,
    Flank,
    Image,
    Individual,
    MatchEdge,
    PairCalibration,
    ReviewPosition,
    Role,
    Survey,
    User,
    Verdict,
)
from identification.services.decisions import decision_record
from tests.identification import factories as make
from tests.identification.factories import client_of, match

pytestmark = pytest.mark.django_db

Animals = list[list[Detection]]


@pytest.fixture
def reviewed() -> tuple[Client, User, Survey, Animals]:
    """A reviewer at work on three animals with three photos each: 0.93 and 0.88 inside an animal, 0.07 between two."""
    survey, animals = make.make_reviewable_survey(individuals=3, photos=3)
    user = make.make_member(survey, Role.REVIEWER)
    client = Client()
    client.force_login(user)
    return client, user, survey, animals


def page(client: Client, survey: Survey, query: str = ""):  # type: ignore[no-untyped-def]
    return client.get(reverse("review", args=[survey.pk]) + query)


def pair_of(response) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    asked = response.context["page"]
    return asked.left.detection.pk, asked.right.detection.pk


def say(client: Client, survey: Survey, response, verdict: str, **form: object):  # type: ignore[no-untyped-def]
    asked = response.context["page"]
    data = {"anchor": asked.left.detection.pk, "candidate": asked.right.detection.pk, "version": asked.version}
    data |= {"verdict": verdict, "shown": asked.question.probability, **form}
    return client.post(reverse("review-decide", args=[survey.pk]), data, follow=True)


def certain_survey(animals: int = 2, photos: int = 3) -> tuple[Survey, Animals]:
    """Every animal's photos are near-certain to be one, in a chain."""
    survey, own = make.make_reviewable_survey(individuals=animals, photos=photos)
    Candidate.objects.filter(probability__gt=0.5).update(probability=0.97)
    return survey, own


def test_the_most_probable_pair_is_asked_first_with_its_facts(reviewed) -> None:
    client, _, survey, animals = reviewed
    response = page(client, survey)
    assert set(pair_of(response)) <= {detection.pk for detection in animals[0]}
    text = response.content.decode()
    assert "93 %" in text and "55 points agree" in text and "The same one?" in text
    assert "Too early to say" in text


def test_review_by_the_queue_joins_every_animal_and_ends(reviewed) -> None:
    client, user, survey, animals = reviewed
    truth = {detection.pk: index for index, animal in enumerate(animals) for detection in animal}
    response, answers = page(client, survey), 0
    while response.context.get("page"):
        left, right = pair_of(response)
        response = say(client, survey, response, "match" if truth[left] == truth[right] else "no_match")
        answers += 1
        assert answers < 12
    assert "Everything is settled" in response.content.decode()
    groups = {frozenset(i.detections.values_list("pk", flat=True)) for i in Individual.objects.filter(retired=False)}
    assert groups == {frozenset(detection.pk for detection in animal) for animal in animals}
    assert answers == 9, "six joins, and each of the three pairs of animals once"
    assert set(Decision.objects.values_list("acting_user", flat=True)) == {user.pk}


def test_groups_are_asked_about_as_groups_and_the_shown_number_is_kept(reviewed) -> None:
    client, _, survey, animals = reviewed
    match(None, animals[0][0], animals[0][1])
    match(None, animals[1][0], animals[1][1])
    response = page(client, survey, f"?pair={animals[0][0].pk}-{animals[1][0].pk}")
    asked = response.context["page"]
    assert (asked.left.size, asked.right.size) == (2, 2)
    assert asked.question.settles == 4
    text = response.content.decode()
    assert "an answer settles 4 pairs" in text and "2 photos" in text and "follows, not asked" in text
    say(client, survey, response, "no_match")
    assert Decision.objects.latest("id").probability_shown == pytest.approx(asked.question.probability)
    following = page(client, survey, f"?pair={animals[0][1].pk}-{animals[1][1].pk}")
    assert set(pair_of(following)) != {animals[0][1].pk, animals[1][1].pk}, "it follows"


def test_the_same_flank_is_shown_of_two_groups(reviewed) -> None:
    client, _, survey, animals = reviewed
    a, b, c = animals[0]
    match(None, a, b)
    Candidate.objects.exclude(anchor__in=animals[0], detection__in=animals[0]).delete()
    assert set(pair_of(page(client, survey))) == {a.pk, c.pk}, "the more probable pair"
    Detection.objects.filter(pk=c.pk).update(flank=Flank.LEFT)
    Detection.objects.filter(pk=a.pk).update(flank=Flank.UNKNOWN, left_probability=0.03)
    Detection.objects.filter(pk=b.pk).update(flank=Flank.UNKNOWN, left_probability=0.98)
    assert set(pair_of(page(client, survey))) == {b.pk, c.pk}


def test_later_puts_a_question_off_until_nothing_else_is_left(reviewed) -> None:
    client, user, survey, _ = reviewed
    first = pair_of(page(client, survey))
    seen = set()
    while (response := page(client, survey)).context.get("page"):
        pair = pair_of(response)
        assert pair not in seen
        seen.add(pair)
        client.post(reverse("review-later", args=[survey.pk]), {"pair": f"{pair[0]}-{pair[1]}"})
    assert "you have put off" in response.content.decode()
    assert not Decision.objects.exists()
    assert len(ReviewPosition.objects.get(user=user).put_off) == len(seen)
    client.post(reverse("review-return", args=[survey.pk]))
    assert pair_of(page(client, survey)) == first


def test_an_unsure_pair_is_not_asked_again_but_its_groups_may_be(reviewed) -> None:
    client, _, survey, animals = reviewed
    match(None, animals[0][0], animals[0][1])
    response = page(client, survey, f"?pair={animals[0][0].pk}-{animals[0][2].pk}")
    shown = pair_of(response)
    say(client, survey, response, "unsure")
    again = page(client, survey, f"?pair={shown[0]}-{shown[1]}")
    assert set(pair_of(again)) != set(shown)
    assert set(pair_of(again)) <= {detection.pk for detection in animals[0]}
    assert "left unsure" in again.content.decode()


def test_undo_shows_the_pair_again(reviewed) -> None:
    client, _, survey, _ = reviewed
    response = page(client, survey)
    pair = pair_of(response)
    say(client, survey, response, "match")
    back = client.post(reverse("review-undo", args=[survey.pk]), follow=True)
    assert set(pair_of(back)) == set(pair)
    assert "Taken back" in back.content.decode()


def test_the_second_of_two_reviewers_gets_409(reviewed) -> None:
    client, _, survey, _ = reviewed
    response = page(client, survey)
    left, right = (response.context["page"].left.detection, response.context["page"].right.detection)
    decision_record(acting_user=make.make_member(survey), first=left, second=right, verdict="no_match", anchor=left)
    assert say(client, survey, response, "match").status_code == 409
    assert MatchEdge.objects.get().verdict == Verdict.NO_MATCH


def test_a_photo_of_a_survey_that_is_not_hers_to_decide_is_never_asked_about(reviewed) -> None:
    client, user, survey, animals = reviewed
    neighbour = make.make_survey(survey.population)
    foreign = make.make_sighting(neighbour)
    make.make_candidate(animals[0][0], foreign, rank=9, probability=0.99)
    assert foreign.pk not in pair_of(page(client, survey))
    make.make_member(neighbour, Role.VIEWER, user=user)
    assert foreign.pk not in pair_of(page(client, survey))
    user.memberships.filter(survey=neighbour).update(role=Role.REVIEWER)
    response = page(client, survey)
    assert pair_of(response) == (animals[0][0].pk, foreign.pk), "the photo of this survey is the one decided about"
    assert neighbour.name in response.content.decode()
    assert say(client, survey, response, "match").status_code == 200


def test_what_changes_elsewhere_is_seen_at_once(reviewed) -> None:
    """The queue is kept in memory between requests: decisions, undos, boxes and candidates of others still count."""
    client, _, survey, animals = reviewed
    first = pair_of(page(client, survey))
    decision = match(None, *(Detection.objects.get(pk=pk) for pk in first))
    assert pair_of(page(client, survey)) != first
    from identification.services.decisions import decision_undo

    decision_undo(acting_user=None, decision=decision)
    assert pair_of(page(client, survey)) == first
    Detection.objects.filter(pk=first[0]).update(usable=False)
    assert first[0] not in pair_of(page(client, survey))
    Detection.objects.filter(pk=first[0]).update(usable=True, flank=Flank.LEFT)
    assert pair_of(page(client, survey)) != first, "a left flank beside right ones"
    make.make_candidate(animals[2][0], animals[1][2], rank=20, probability=0.999)
    assert set(pair_of(page(client, survey))) == {animals[2][0].pk, animals[1][2].pk}


# ---- near-certain pairs ----
def boxes(response) -> list[str]:  # type: ignore[no-untyped-def]
    return [pair.value for pair in response.context["pairs"]]


def test_near_certain_pairs_are_confirmed_in_one_glance_and_taken_back_in_one() -> None:
    survey, animals = certain_survey(animals=2, photos=3)
    client = client_of(survey, Role.REVIEWER)
    address = reverse("review-certain", args=[survey.pk])
    response = client.get(address)
    values = boxes(response)
    assert len(values) == 4, "two joins for each of two animals; the third pair follows"
    assert "checked" not in response.content.decode().split("<form", 2)[2], "nothing is ticked beforehand"
    confirmed = client.post(reverse("review-confirm", args=[survey.pk]), {"pair": values}, follow=True)
    assert "4 matches recorded" in confirmed.content.decode()
    assert Decision.objects.count() == 4
    assert len(set(Decision.objects.values_list("batch", flat=True))) == 1
    assert {i.detections.count() for i in Individual.objects.filter(retired=False)} == {3}
    back = client.post(reverse("review-undo", args=[survey.pk]), follow=True)
    assert "4 matches that you confirmed together" in back.content.decode()
    assert not Individual.objects.filter(retired=False).exists()
    assert len(boxes(back)) == 4
    assert not MatchEdge.objects.exclude(verdict="").exists()
    del animals


def test_what_stays_unticked_is_not_recorded_and_not_shown_again() -> None:
    survey, _ = certain_survey(animals=2, photos=2)
    client = client_of(survey, Role.REVIEWER)
    values = boxes(client.get(reverse("review-certain", args=[survey.pk])))
    assert len(values) == 2
    shown = [":".join(value.split(":")[:2]) for value in values]
    form = {"pair": values[:1], "shown": shown}
    following = client.post(reverse("review-confirm", args=[survey.pk]), form, follow=True)
    assert boxes(following) == []
    assert "No near-certain pair is left" in following.content.decode()
    assert Decision.objects.count() == 1
    left = tuple(int(pk) for pk in shown[1].split(":"))
    assert set(pair_of(page(client, survey))) == set(left), "it is asked by itself"


def test_a_pair_that_collides_is_shown_and_the_rest_goes_on() -> None:
    survey, animals = certain_survey(animals=2, photos=3)
    client = client_of(survey, Role.REVIEWER)
    values = boxes(client.get(reverse("review-certain", args=[survey.pk])))
    a, b, c = animals[0]
    for first, second in ((a, b), (b, c), (a, c)):
        match(None, first, second, Verdict.NO_MATCH)
    response = client.post(reverse("review-confirm", args=[survey.pk]), {"pair": values})
    assert response.status_code == 409
    text = response.content.decode()
    assert "2 pairs were left out" in text and "2 matches were recorded" in text
    assert "decided in the meantime" in text
    assert {i.detections.count() for i in Individual.objects.filter(retired=False)} == {3}


def test_two_ticked_pairs_that_contradict_each_other_do_not_join() -> None:
    survey, animals = certain_survey(animals=1, photos=3)
    client = client_of(survey, Role.REVIEWER)
    a, b, c = animals[0]
    match(None, a, c, Verdict.NO_MATCH)
    values = [f"{a.pk}:{b.pk}:0:0.970000", f"{b.pk}:{c.pk}:0:0.970000"]
    response = client.post(reverse("review-confirm", args=[survey.pk]), {"pair": values})
    assert response.status_code == 409
    assert "different animals" in response.content.decode()
    assert MatchEdge.objects.filter(verdict="match").count() == 1


@pytest.mark.parametrize(
    "value", ["", "1:2", "x:y:0:0.9", "0:5:0:0.9", "1:2:0:7.5", "9" * 30 + ":2:0:0.9", "1:2:0:nan"]
)
def test_boxes_that_the_page_cannot_send_record_nothing(value: str) -> None:
    survey, _ = certain_survey()
    response = client_of(survey, Role.REVIEWER).post(
        reverse("review-confirm", args=[survey.pk]), {"pair": [value]}, follow=True
    )
    assert "Nothing was ticked" in response.content.decode()
    assert not Decision.objects.exists()


def test_a_box_of_a_foreign_photo_records_nothing() -> None:
    survey, animals = certain_survey()
    foreign = make.make_sighting(make.make_survey(survey.population))
    client = client_of(survey, Role.REVIEWER)
    for pair in (f"{animals[0][0].pk}:{foreign.pk}:0:0.99", f"{foreign.pk}:{animals[0][0].pk}:0:0.99"):
        client.post(reverse("review-confirm", args=[survey.pk]), {"pair": [pair]})
    later, sent = reverse("review-later", args=[survey.pk]), {"pair": f"{animals[0][0].pk}-{foreign.pk}"}
    assert "nothing was put off" in client.post(later, sent, follow=True).content.decode()
    refused = client.post(later, sent, HTTP_ACCEPT="application/json")
    assert refused.status_code == 422 and "nothing was put off" in refused.json()["words"]
    assert not Decision.objects.exists()
    assert not ReviewPosition.objects.exclude(put_off=[]).exists()


# ---- the end ----
def test_photos_that_stand_alone_are_told_at_the_end(reviewed) -> None:
    client, _, survey, _ = reviewed
    while (response := page(client, survey)).context.get("page"):
        left, right = pair_of(response)
        client.post(reverse("review-later", args=[survey.pk]), {"pair": f"{left}-{right}"})
    text = response.content.decode()
    assert "Perhaps a missed match" in text
    assert len(response.context["alone"]) == 9
    likely = [one.probability for one in response.context["alone"]]
    assert likely == sorted(likely, reverse=True) and likely[0] > 0.9
    assert 'title="Probably on another photo, too (93 %)"' in text


def test_before_an_animal_is_declared_it_is_said_whether_the_catalogue_has_it(reviewed) -> None:
    client, _, survey, animals = reviewed
    (a, b, c), stranger = animals[0], animals[1][0]
    assert "Probably on another photo, too (93 %)" in page(client, survey, f"?pair={a.pk}-{b.pk}").content.decode()
    match(None, *animals[2][:2])
    assert "Probably already in the catalogue (93 %)" in page(client, survey, f"?pair={a.pk}-{b.pk}").content.decode()
    text = page(client, survey, f"?pair={a.pk}-{stranger.pk}").content.decode()
    assert "Probably already in the catalogue (93 %)" in text, "of all that is open, not of the shown pair"
    assert "Probably already in the catalogue (93 %)" in page(client, survey, f"?anchor={a.pk}").content.decode()
    for other in (b, c):
        match(None, a, other, "no_match")
    for query in (f"?pair={a.pk}-{stranger.pk}", f"?anchor={a.pk}"):
        text = page(client, survey, query).content.decode()
        assert "Probably not in the catalogue yet (7 %)" in text and "An animal of its own" in text
    match(None, b, c)
    text = page(client, survey, f"?pair={b.pk}-{stranger.pk}").content.decode()
    assert "the catalogue" not in text, "it has a name already"


def test_the_order_by_photo_is_remembered_until_the_other_is_chosen(reviewed) -> None:
    client, user, survey, _ = reviewed
    choose = reverse("review-mode", args=[survey.pk])
    assert client.post(choose, {"mode": "photo"}, follow=True).context["state"].anchor is not None
    response = page(client, survey, "?mode=queue")
    assert response.context["state"].anchor is not None, "an address chooses nothing"
    assert re.search(r'value="photo" aria-pressed="true"', response.content.decode())
    refused = client.post(choose, {"mode": "nonsense"}, follow=True)
    assert "is no order of review" in refused.content.decode() and refused.context["state"].anchor is not None
    assert client.post(choose, {"mode": "queue"}, follow=True).context["page"].question
    assert re.search(r'value="queue" aria-pressed="true"', page(client, survey).content.decode())
    assert client.get(choose).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(user)
    assert strict.post(choose, {"mode": "photo"}).status_code == 403
    assert ReviewPosition.objects.get(user=user).mode == "queue"


def test_from_a_photo_that_is_settled_the_review_goes_on_with_the_queue(reviewed) -> None:
    client, _, survey, animals = reviewed
    anchor = animals[0][0]
    response = page(client, survey, f"?anchor={anchor.pk}")
    for offer in response.context["state"].offers:
        match(None, anchor, offer.detection, "match" if offer.detection in animals[0] else "no_match")
    following = page(client, survey, f"?anchor={anchor.pk}")
    assert set(pair_of(following)) <= {detection.pk for animal in animals[1:] for detection in animal}


def test_a_curator_chooses_the_goal_and_it_is_audited() -> None:
    survey, _ = make.make_reviewable_survey()
    client = client_of(survey, Role.CURATOR)
    address = reverse("survey-goal", args=[survey.pk])
    assert client.post(address, {"goal": "95"}).status_code == 302
    survey.refresh_from_db()
    assert survey.completeness_goal == 0.95
    assert AuditEntry.objects.get(action="survey.goal").after == {"goal": 0.95}
    for bad in ("", "x", "49", "101", "nan"):
        client.post(address, {"goal": bad})
    survey.refresh_from_db()
    assert survey.completeness_goal == 0.95
    assert 'value="95"' in client.get(reverse("survey-detail", args=[survey.pk])).content.decode()


def test_the_page_asks_the_database_as_often_for_many_photos_as_for_few(django_assert_max_num_queries) -> None:
    survey, _ = make.make_reviewable_survey(individuals=5, photos=4)
    client = client_of(survey, Role.REVIEWER)
    page(client, survey)
    with django_assert_max_num_queries(36):  # ten of them for the lease
        assert page(client, survey).status_code == 200
    with django_assert_max_num_queries(28):
        assert client.get(reverse("review-certain", args=[survey.pk])).status_code == 200


def test_a_survey_of_thousands_of_photos_is_answered_at_once(django_assert_max_num_queries) -> None:
    """1 500 photos with 20 candidates each: after the first page, a page costs a moment of this process's own time."""
    survey, photos = _many(1500, candidates=20)
    client = client_of(survey, Role.REVIEWER)
    began = time.process_time()
    response = page(client, survey)
    first = time.process_time() - began
    began = time.process_time()
    with django_assert_max_num_queries(80):  # the answer, and the page that follows
        following = say(client, survey, response, "match")
    after = time.process_time() - began
    assert set(pair_of(following)) != set(pair_of(response))
    assert len(photos) == 1500
    assert first < 20 and after < 2, (first, after)


def _many(number: int, *, candidates: int) -> tuple[Survey, list[Detection]]:
    """Photos without files; every one's candidates are spread over the survey with probabilities that fall."""
    survey = make.make_survey(matching_state="done")
    images = Image.objects.bulk_create(
        Image(
            survey=survey,
            relative_path=f"{index:05d}.jpg",
            source_path=f"/nowhere/{index:05d}.jpg",
            sha256=f"{index:064d}",
            size_bytes=1,
            mtime_ns=1,
            width=640,
            height=400,
            format="jpg",
            detector="test detector",
        )
        for index in range(number)
    )
    photos = Detection.objects.bulk_create(
        Detection(image=image, x1=1, y1=1, x2=9, y2=9, engine="test detector", crop="none.jpg") for image in images
    )
    Candidate.objects.bulk_create(
        (
            Candidate(
                anchor=photo,
                detection=photos[(index * 7 + rank * rank * 13 + rank) % number],
                rank=rank,
                score=1 / rank,
                probability=0.9 / rank,
                engine="test matcher",
            )
            for index, photo in enumerate(photos)
            for rank in range(1, candidates + 1)
            if (index * 7 + rank * rank * 13 + rank) % number != index
        ),
        batch_size=2000,
        ignore_conflicts=True,
    )
    with connection.cursor() as cursor:  # as the server does by itself soon after so many new rows
        cursor.execute("ANALYZE identification_image, identification_detection, identification_candidate")
    return survey, photos


def test_probabilities_of_another_calibration_are_shown_at_once(reviewed) -> None:
    client, _, survey, _ = reviewed
    before = page(client, survey).context["page"].question.probability
    Candidate.objects.update(probability=0.6)
    PairCalibration.objects.create(
        population=survey.population, coefficients={}, version="own", features="", pairs=1, right=1, active=True
    )
    assert before != page(client, survey).context["page"].question.probability == pytest.approx(0.6)

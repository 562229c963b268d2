"""The order by photo as a session in one page: pairs ahead, keys of steps, and counts that follow what is said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from identification.models import Decision, Detection, MatchEdge, ReviewLease, ReviewPosition, Survey, User
from identification.selectors import photo_order
from identification.selectors.photo_ahead import photos_ahead
from identification.selectors.review_ahead import Waiting
from identification.selectors.review_queue import review_of
from identification.services.decisions import decision_undo_last
from identification.services.review_leases import questions_lease
from tests.identification import factories as make
from tests.identification.factories import match

pytestmark = pytest.mark.django_db

JSON = {"HTTP_ACCEPT": "application/json"}
Many = tuple[Survey, list[Detection], list[list[Detection]]]


@pytest.fixture
def many() -> Many:
    """Five photos, each with six candidates of its own."""
    survey = make.make_survey(matching_state="done")
    anchors = [make.make_sighting(survey) for _ in range(5)]
    others = [[make.make_sighting(survey, coat=index) for _ in range(6)] for index in range(5)]
    for anchor, own in zip(anchors, others, strict=True):
        for rank, other in enumerate(own, 1):
            make.make_candidate(anchor, other, rank=rank, probability=0.9 - 0.05 * rank)
    return survey, anchors, others


@pytest.fixture
def reviewer(many: Many) -> User:
    user = make.make_member(many[0])
    ReviewPosition.objects.create(user=user, survey=many[0], mode="photo")
    return user


@pytest.fixture
def client(reviewer: User) -> Client:
    client = Client()
    client.force_login(reviewer)
    return client


def named(*pair: Detection) -> str:
    return "-".join(str(detection.pk) for detection in pair)


def ahead(client: Client, survey: Survey, **query: str) -> dict[str, Any]:
    answer = client.get(reverse("review-ahead", args=[survey.pk]), {"order": "photo", **query}, **JSON)
    assert answer.status_code == 200
    return answer.json()


def pairs(answer: dict[str, Any]) -> list[str]:
    return [row["pair"] for row in answer["order"]]


def refuse_all(
    client: Client, survey: Survey, anchor: Detection, others: list[Detection], key: str, **form: str
) -> Any:
    values = [f"{other.pk}:0:0.500000" for other in others]
    data = {"anchor": anchor.pk, "candidate": values, "key": key, "order": "photo", **form}
    return client.post(reverse("review-none", args=[survey.pk]), data, **JSON)


def test_the_other_candidates_come_first_then_the_next_photos(client, many: Many) -> None:
    survey, anchors, others = many
    answer = ahead(client, survey, showing=named(anchors[0], others[0][0]))
    wanted = [named(anchors[0], other) for other in others[0][1:5]]
    wanted += [named(anchors[1], other) for other in others[1][:5]] + [named(anchors[2], others[2][0])]
    assert pairs(answer) == wanted
    assert answer["shown"] is True and not answer["over"] and not answer["elsewhere"]
    for row in answer["order"]:
        assert f'data-question="{row["pair"]}"' in row["html"] and f'data-token="{row["token"]}"' in row["html"]
        assert "<html" not in row["html"] and "csrfmiddlewaretoken" in row["html"] and "review/ahead" not in row["html"]
    assert set(answer["parts"]) == {str(anchor.pk) for anchor in anchors[:3]}
    assert f'data-look="{wanted[0]}"' in answer["parts"][str(anchors[0].pk)]["strip"]
    held = {tuple(map(int, pair.split("-"))) for pair in answer["held"]}
    assert held == {tuple(sorted(map(int, pair.split("-")))) for pair in [answer_shown(anchors, others), *wanted]}
    assert held == set(ReviewLease.objects.values_list("a", "b")), "what is shown or at hand is hers"


def test_what_the_browser_has_is_not_sent_again_and_answers_change_little(client, many: Many, reviewer) -> None:
    survey, anchors, others = many
    first = ahead(client, survey)
    have = ",".join(row["token"] for row in first["order"])
    assert all("html" not in row for row in ahead(client, survey, have=have)["order"])
    match(reviewer, anchors[0], others[0][0], "no_match")
    then = ahead(client, survey, have=have)
    sent = [row["pair"] for row in then["order"] if "html" in row]
    assert pairs(then)[0] == named(anchors[0], others[0][1])
    assert all(not pair.startswith(f"{anchors[0].pk}-") for pair in sent), "its other candidates keep their places"
    assert f'data-look="{named(anchors[0], others[0][0])}"' not in then["parts"][str(anchors[0].pk)]["strip"]


def test_what_waits_is_not_asked_and_a_match_leaves_what_it_does_not_settle(many: Many, reviewer) -> None:
    survey, anchors, others = many
    a, (b, c, d) = anchors[0], others[0][:3]
    match(None, b, c, "no_match")
    found = photos_ahead(user=reviewer, survey=survey, waiting=[Waiting((a.pk, b.pk), "match")])
    asked = [one.pair for one in found.pairs]
    assert (a.pk, b.pk) not in asked
    assert (a.pk, c.pk) not in asked, "it follows: b is the photo's animal, and c is not b's"
    assert asked[0] == (a.pk, d.pk)
    before = photos_ahead(user=reviewer, survey=survey)
    spared = {one.pair: one.spared for one in before.pairs}
    assert b.pk not in spared[a.pk, c.pk] and b.pk in spared[a.pk, d.pk]
    past = photos_ahead(user=reviewer, survey=survey, waiting=[Waiting((a.pk, b.pk), "later")])
    assert {one.pair[0] for one in past.pairs} == {anchor.pk for anchor in anchors[1:4]}


def test_no_two_pairs_ask_about_the_same_two_animals() -> None:
    survey, _ = make.make_reviewable_survey(individuals=3, photos=3)
    user = make.make_member(survey)
    found = photos_ahead(user=user, survey=survey)
    groups = [tuple(sorted(one.groups)) for one in found.pairs]
    assert len(groups) > 5 and len(groups) == len(set(groups))


def test_a_named_photo_in_the_order_of_the_queue_ends_with_itself(client, many: Many, reviewer) -> None:
    survey, anchors, others = many
    ReviewPosition.objects.update(mode="queue")
    answer = ahead(client, survey, at=str(anchors[2].pk), more="1")
    assert pairs(answer) == [named(anchors[2], others[2][5])]
    match(reviewer, anchors[2], others[2][5], "no_match")
    assert len(pairs(ahead(client, survey, at=str(anchors[2].pk)))) == 4
    assert ahead(client, survey)["over"] is True


def test_none_of_these_is_recorded_once_for_each_key(client, many: Many) -> None:
    survey, anchors, others = many
    key = str(uuid4())
    for _ in range(2):
        answer = refuse_all(client, survey, anchors[0], others[0][:5], key)
        assert answer.status_code == 200 and "5 candidates are refused" in answer.json()["words"]
        assert answer.json()["link"]["href"].endswith("more=1")
        assert pairs(answer.json()["next"])[0] == named(anchors[1], others[1][0])
    assert Decision.objects.count() == 5 and {str(row.batch) for row in Decision.objects.all()} == {key}
    assert refuse_all(client, survey, anchors[0], others[0][5:], key).status_code == 422
    other = Client()
    other.force_login(make.make_member(survey))
    assert refuse_all(other, survey, anchors[0], others[0][:5], key).json()["said"] == "refused"
    assert Decision.objects.count() == 5


def test_none_of_these_is_taken_back_by_its_key_as_one(client, many: Many) -> None:
    survey, anchors, others = many
    key, undo = str(uuid4()), {"key": str(uuid4()), "order": "photo"}
    refuse_all(client, survey, anchors[0], others[0][:5], key)
    for _ in range(2):
        answer = client.post(reverse("review-undo", args=[survey.pk]), {"of": key, **undo}, **JSON)
        assert answer.status_code == 200 and "5 refusals" in answer.json()["words"]
        assert answer.json()["next"]["first"] and pairs(answer.json()["next"])[0] == named(anchors[0], others[0][0])
    assert Decision.objects.count() == 10 and not MatchEdge.objects.exclude(verdict="").exists()


def test_what_was_left_out_is_told_again_when_it_arrives_again(client, many: Many) -> None:
    survey, anchors, others = many
    match(None, anchors[0], others[0][1])
    key = str(uuid4())
    for _ in range(2):
        words = refuse_all(client, survey, anchors[0], others[0][:5], key).json()["words"]
        assert "4 candidates are refused" in words and f"{others[0][1].image.name} was left out" in words
    assert MatchEdge.objects.filter(verdict="no_match").count() == 4


def test_a_decision_and_a_pass_answer_with_what_comes_next(client, many: Many) -> None:
    survey, anchors, others = many
    form = {"anchor": anchors[0].pk, "candidate": others[0][0].pk, "version": 0, "verdict": "unsure", "order": "photo"}
    said = client.post(reverse("review-decide", args=[survey.pk]), {**form, "key": str(uuid4())}, **JSON).json()
    assert pairs(said["next"])[0] == named(anchors[0], others[0][1]) and "undo" not in said["next"]
    assert ReviewPosition.objects.get().anchor == anchors[0]
    form = {"anchor": anchors[0].pk, "order": "photo"}
    said = client.post(reverse("review-pass", args=[survey.pk]), form, **JSON).json()
    assert said["said"] == "later" and pairs(said["next"])[0] == named(anchors[1], others[1][0])


def answer_shown(anchors: list[Detection], others: list[list[Detection]]) -> str:
    return named(anchors[0], others[0][0])


def another(survey: Survey) -> Client:
    """Somebody else who works by photo, too."""
    user = make.make_member(survey)
    ReviewPosition.objects.create(user=user, survey=survey, mode="photo")
    client = Client()
    client.force_login(user)
    return client


def run_out() -> None:
    ReviewLease.objects.update(until=timezone.now() - timedelta(seconds=1))


def test_two_who_go_photo_by_photo_never_get_the_same_pair(client, many: Many) -> None:
    survey, anchors, others = many
    other = another(survey)
    review = reverse("review", args=[survey.pk])
    first, second = (who.get(review).context["state"] for who in (client, other))
    assert (first.anchor, second.anchor) == (anchors[0], anchors[1]), "who opens the page has all that it shows"
    assert len(first.offers) == len(second.offers) == 5
    own = set(pairs(ahead(client, survey, showing=named(anchors[0], others[0][0]))))
    theirs = set(pairs(ahead(other, survey, showing=named(anchors[1], others[1][0]))))
    assert len(own) > 4 and len(theirs) > 4 and own.isdisjoint(theirs)
    assert not any(pair.startswith(f"{anchors[1].pk}-") for pair in own), "she has the photo after the other's"


def test_a_named_photo_leaves_out_what_somebody_else_looks_at_and_says_so(client, many: Many) -> None:
    survey, anchors, others = many
    other, review = another(survey), reverse("review", args=[survey.pk])
    taken = tuple(sorted((anchors[2].pk, others[2][1].pk)))
    questions_lease(user=make.make_member(survey), survey=survey, pairs=[taken])
    page = other.get(review, {"anchor": anchors[2].pk, "offer": others[2][1].pk})
    assert "Another reviewer looks at that pair now" in page.content.decode()
    assert [offer.number for offer in page.context["state"].offers] == [1, 3, 4, 5], "the others keep their numbers"
    text = page.content.decode()
    assert "1 with another reviewer" in text and "Candidate 1 of 5" in text
    page = client.get(review, {"anchor": anchors[2].pk})
    assert "look at the candidates of that photo now" in page.content.decode()
    assert page.context["state"].anchor == anchors[0], "all five are with others"


def test_where_everything_is_with_others_the_page_says_so_until_it_is_given_back(client) -> None:
    survey = make.make_survey(matching_state="done")
    anchor = make.make_sighting(survey)
    make.make_candidate(anchor, make.make_sighting(survey))
    other, review = another(survey), reverse("review", args=[survey.pk])
    user = make.make_member(survey)
    ReviewPosition.objects.create(user=user, survey=survey, mode="photo")
    client.force_login(user)
    assert other.get(review).context["state"].anchor == anchor
    page = client.get(review)
    assert "What is left, others look at now" in page.content.decode() and page.context["state"].elsewhere == 1
    assert ahead(client, survey)["over"] is True
    other.post(reverse("review-pass", args=[survey.pk]), {"anchor": anchor.pk})
    assert not ReviewLease.objects.exists(), "who goes past a photo gives it back"
    assert client.get(review).context["state"].anchor == anchor
    run_out()
    ReviewPosition.objects.get(user__pk=other.session["_auth_user_id"]).passed.clear()
    assert other.get(review).context["state"].anchor == anchor, "and so does who says nothing for two minutes"


def test_what_the_queue_asks_somebody_is_not_asked_by_photo(client, many: Many) -> None:
    survey, anchors, others = many
    asked = Client()
    asked.force_login(make.make_member(survey))
    page = asked.get(reverse("review", args=[survey.pk])).context["page"]
    pair = named(page.left.detection, page.right.detection)
    assert pair == named(anchors[0], others[0][0])
    assert pair not in pairs(ahead(client, survey)) and len(pairs(ahead(client, survey))) == 10


def test_somebody_else_at_the_pair_on_the_page_is_told(client, many: Many) -> None:
    """Who said nothing for two minutes has lost her pair to whoever asked since."""
    survey, anchors, others = many
    showing = named(anchors[0], others[0][0])
    assert not ahead(client, survey, showing=showing)["elsewhere"]
    run_out()
    other = another(survey)
    assert not ahead(other, survey, showing=showing)["elsewhere"]
    answer = ahead(client, survey, showing=showing)
    assert answer["elsewhere"] and answer["shown"] is True
    assert not any(pair.startswith(f"{anchors[0].pk}-") for pair in pairs(answer)), "its other candidates, too"


def test_as_many_queries_for_many_pairs_as_for_one(client, many: Many) -> None:
    survey, anchors, others = many
    ahead(client, survey)
    with CaptureQueriesContext(
        connection,
    ) as all_of_them:
        assert len(ahead(client, survey)["order"]) == 11
    for anchor, own in zip(anchors[:-1], others, strict=False):
        for other in own[:5]:
            match(None, anchor, other, "unsure")
        ReviewPosition.objects.get().passed.add(anchor)
    for other in others[4][:4]:
        match(None, anchors[4], other, "unsure")
    ahead(client, survey)
    with CaptureQueriesContext(connection) as few:
        assert 1 <= len(ahead(client, survey)["order"]) < 11
    assert len(all_of_them) <= len(few) + 1 and len(all_of_them) < 40


def test_counts_that_follow_are_those_that_are_made_anew() -> None:
    """Matches, refusals, what is taken back, and boxes that go: after each the counts are as if counted anew."""
    survey, animals = make.make_reviewable_survey(individuals=3, photos=4)
    user = make.make_member(survey)
    (a, b, c, d), (e, f, *_), _ = animals

    def same() -> None:
        most = settings.SPOTID_CANDIDATES
        with review_of(user=user, survey=survey) as review:
            kept = dict(photo_order.open_questions(review))
            assert kept == {anchor: photo_order._open(review, anchor, most) for anchor in review.rows}
            assert review.by_photo.settled == sum(not number for number in kept.values())

    same()
    for one, two, verdict in ((a, b, "match"), (e, f, "match"), (c, d, "match"), (a, e, "no_match"), (b, c, "match")):
        match(user, one, two, verdict)
        same()
    match(user, d, f, "unsure")
    same()
    while Decision.objects.filter(undoes__isnull=True, undone_by__isnull=True).exists():
        decision_undo_last(acting_user=user, survey=survey)
        same()
    Detection.objects.filter(pk=b.pk).update(usable=False)
    same()

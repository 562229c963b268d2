"""Checks inside the ordinary review: blind, answered and taken back like anything else, and no decision."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest
from django.test import Client
from django.urls import reverse

from identification.models import Decision, Detection, MatchEdge, Opinion, Provenance, ReviewLease, Role, Survey
from identification.selectors.checks import Check
from identification.selectors.review_ahead import questions_ahead
from identification.selectors.review_leases import leased_elsewhere
from identification.selectors.review_questions import picked_check
from identification.selectors.review_queue import review_of
from identification.services.decisions import decision_record
from identification.services.opinions import opinion_record
from identification.services.review_leases import picks_over
from tests.identification import factories as make

pytestmark = pytest.mark.django_db
JSON = {"HTTP_ACCEPT": "application/json"}


class Reviewer:
    """A browser of one reviewer in one survey."""

    def __init__(self, survey: Survey, role: str = Role.REVIEWER) -> None:
        self.survey = survey
        self.user = make.make_member(survey, role)
        self.client = Client()
        self.client.force_login(self.user)

    def open(self, query: str = "") -> str:
        response = self.client.get(reverse("review", args=[self.survey.pk]) + query)
        assert response.status_code == 200
        return response.content.decode()

    def form(self, query: str = "") -> dict[str, str]:
        """What the form of the question on the page holds."""
        return fields(self.open(query))

    def answer(self, form: dict[str, str], verdict: str, **more: Any) -> Any:
        sent = {**form, "verdict": verdict, **more}
        headers = JSON if "key" in more else {}
        return self.client.post(reverse("review-decide", args=[self.survey.pk]), sent, **headers)

    def undo(self, **sent: Any) -> Any:
        headers = JSON if "key" in sent else {}
        return self.client.post(reverse("review-undo", args=[self.survey.pk]), sent, **headers)

    def ahead(self, **sent: str) -> dict[str, Any]:
        return json.loads(self.client.get(reverse("review-ahead", args=[self.survey.pk]), sent, **JSON).content)


def fields(page: str) -> dict[str, str]:
    form = re.search(r'<form class="verdicts".*?</form>', page, re.DOTALL)
    assert form, "no question on the page"
    found = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form[0]))
    found.pop("csrfmiddlewaretoken")
    return found


def pair_of(form: dict[str, str]) -> tuple[int, int]:
    a, b = sorted((int(form["anchor"]), int(form["candidate"])))
    return a, b


class World:
    """Two animals of two photos; Ann has matched the first, and all that is left is settled but one pair."""

    def __init__(self) -> None:
        self.survey, self.animals = make.make_reviewable_survey(individuals=2, photos=2)
        self.ann, self.ben = Reviewer(self.survey), Reviewer(self.survey)
        a, b = self.animals[0]
        self.decision = make.match(self.ann.user, a, b)
        self.pair = (a.pk, b.pk)

    def share(self, second: float = 1.0) -> None:
        Survey.objects.filter(pk=self.survey.pk).update(second_review_share=second)
        self.survey.refresh_from_db()

    def settle(self) -> None:
        """Nothing is left to ask."""
        (a, _), (c, d) = self.animals
        make.match(self.ann.user, c, d)
        make.match(self.ann.user, a, c, "no_match")

    def check(self, who: Reviewer) -> dict[str, str]:
        """The form of the question on the match of the first animal, once it comes."""
        for _ in range(60):
            form = who.form()
            if pair_of(form) == self.pair:
                return form
            who.client.post(
                reverse("review-later", args=[self.survey.pk]), {"pair": f"{form['anchor']}-{form['candidate']}"}
            )
        raise AssertionError("the check never came")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def settled(world: World) -> World:
    world.settle()
    world.share()
    return world


def graph() -> list[Any]:
    return [
        *MatchEdge.objects.order_by("pk").values_list("pk", "verdict", "version"),
        *Detection.objects.order_by("pk").values_list("pk", "individual"),
        Decision.objects.count(),
    ]


def test_beside_another_pair_nothing_is_told_of_what_is_to_be_judged_blindly(world) -> None:
    (a, b), (c, _) = world.animals
    make.match(world.ann.user, c, a, "unsure")

    def told(who: Reviewer) -> list[tuple[int, int]]:
        query = {"anchor": b.pk, "candidate": c.pk, "part": "1"}
        notes = who.client.get(reverse("review-beside", args=[world.survey.pk]), query).context["notes"]
        return sorted((one.decision.edge.a_id, one.decision.edge.b_id) for one in notes.answers)

    assert told(world.ben) == [world.pair, (a.pk, c.pk)], "nobody is asked for second opinions yet"
    world.share()
    assert told(world.ben) == [(a.pk, c.pk)], "what is unsure is not judged again"
    assert told(world.ann) == [world.pair, (a.pk, c.pk)], "what she said herself"
    world.ben.answer(world.check(world.ben), "match")
    assert told(world.ben) == [world.pair, (a.pk, c.pk)], "he has said what he thinks"


def test_without_a_share_the_review_ends_where_it_ended(world) -> None:
    world.settle()
    assert "verdicts" not in world.ben.open()


def test_what_waits_for_a_second_opinion_is_asked_before_the_review_ends(settled) -> None:
    asked = []
    for _ in range(3):
        form = settled.ben.form()
        asked.append(pair_of(form))
        settled.ben.answer(form, "match")
    assert len(set(asked)) == 3 and settled.pair in asked
    assert "verdicts" not in settled.ben.open()
    assert "verdicts" not in settled.ann.open(), "her own decisions are not hers to check"
    assert Opinion.objects.filter(user=settled.ben.user, kind="second").count() == 3


def test_the_page_of_a_check_tells_nothing_of_the_decision(settled) -> None:
    form = settled.check(settled.ben)
    page = settled.ben.open()
    code = Detection.objects.get(pk=settled.pair[0]).individual.code
    assert form["version"] == "0"
    assert code not in page and str(settled.ann.user) not in page
    assert page.count("not identified yet") == 2
    assert "Same animal: follows" not in page
    beside = re.search(r'data-beside="([^"]+)"', page)[1].replace("&amp;", "&")
    notes = settled.ben.client.get(beside + "&part=1").content.decode()
    assert code not in notes and "on this very pair" not in notes


def test_a_check_is_built_like_an_ordinary_question(world) -> None:
    ordinary = world.ben.open()
    world.settle()
    world.share()
    world.check(world.ben)
    check = world.ben.open()

    def shape(page: str) -> list[str]:
        """Every tag of the question with its class, without what differs between any two."""
        return re.findall(r'<([a-z]+(?: class="[^"]*")?)', page[page.index('class="compare"') :])

    assert shape(check) == shape(ordinary)
    assert len(fields(check)["check"]) == len(fields(ordinary)["check"]) == 32


@pytest.mark.parametrize("verdict", ["match", "no_match", "unsure", "incomparable"])
def test_the_answer_is_an_opinion_and_leaves_the_graph_alone(settled, verdict) -> None:
    form, before = settled.check(settled.ben), graph()
    response = settled.ben.answer(form, verdict)
    assert response.status_code == 302
    opinion = Opinion.objects.get()
    assert (opinion.verdict, opinion.decision, opinion.user) == (verdict, settled.decision, settled.ben.user)
    assert (opinion.probability_shown, graph()) == (float(form["shown"]), before)


def test_the_same_answer_in_the_background_comes_back_like_a_decision(settled) -> None:
    key = "6a3c1f9e-0b6f-4a52-9f8e-2c9d2b7f0a11"
    form = settled.check(settled.ben)
    for _ in range(2):
        answer = settled.ben.answer(form, "no_match", key=key).json()
        assert answer["said"] == "recorded" and "next" in answer
    assert str(Opinion.objects.get().key) == key
    assert "undo" not in answer["next"], "nor is it in a decision's answer"
    spared = settled.ben.answer(form, "no_match", key=key, spare="1").json()
    assert spared == {"said": "recorded", "decision": answer["decision"]}


def test_a_lost_or_forged_token_makes_no_decision_of_it(settled) -> None:
    form, before = settled.check(settled.ben), graph()
    for token in ("", "0" * 32):
        assert settled.ben.answer(form | {"check": token}, "no_match").status_code == 409
    assert settled.ann.answer(form, "no_match").status_code == 409, "a token is of one person"
    assert graph() == before


def test_taking_the_decision_back_voids_a_check_on_the_page(settled) -> None:
    form = settled.check(settled.ben)
    settled.ann.client.post(reverse("decision-undo", args=[settled.decision.pk]))
    response = settled.ben.answer(form, "no_match")
    assert response.status_code == 302
    assert not Opinion.objects.exists()
    assert MatchEdge.objects.get(a=settled.pair[0], b=settled.pair[1]).verdict == ""


def test_undo_takes_the_check_back_and_not_the_decision_before_it(world) -> None:
    ben = world.ben
    own = make.match(ben.user, *world.animals[1])
    (a, _), (c, _) = world.animals
    make.match(world.ann.user, a, c, "no_match")
    world.share()
    form = world.check(ben)
    ben.answer(form, "no_match")
    response = ben.undo()
    assert not Decision.objects.filter(undoes=own).exists()
    assert Opinion.objects.filter(withdraws__isnull=False).count() == 1
    again = ben.form(response.headers["Location"].partition("/review/")[2])
    assert (pair_of(again), again["check"]) == (world.pair, form["check"])
    ben.undo()
    assert Decision.objects.filter(undoes=own).exists(), "the next step back is the decision"


def test_undo_in_the_background_shows_the_check_first(settled) -> None:
    form = settled.check(settled.ben)
    key = "6a3c1f9e-0b6f-4a52-9f8e-2c9d2b7f0a12"
    settled.ben.answer(form, "no_match", key=key)
    answer = settled.ben.undo(of=key, key="6a3c1f9e-0b6f-4a52-9f8e-2c9d2b7f0a13").json()
    assert answer["said"] == "undone" and answer["next"]["first"]
    first = answer["next"]["order"][0]
    assert tuple(sorted(map(int, first["pair"].split("-")))) == settled.pair
    assert fields(first["html"])["check"] == form["check"]


def test_what_was_answered_is_listed_with_the_decisions(settled) -> None:
    settled.ben.answer(settled.check(settled.ben), "no_match")
    page = settled.ben.client.get(reverse("review-decisions", args=[settled.survey.pk])).content.decode()
    assert "Not a match" in page and "The pair is open again." in page
    of = re.search(r'name="of" value="([^"]+)"', page)[1]
    settled.ben.undo(of=of)
    assert (
        "You have decided nothing here yet"
        in settled.ben.client.get(reverse("review-decisions", args=[settled.survey.pk])).content.decode()
    )


def test_the_question_on_the_page_stands_while_it_is_a_check(settled) -> None:
    form = settled.check(settled.ben)
    showing = f"{form['anchor']}-{form['candidate']}"
    assert settled.ben.ahead(showing=showing, checking=form["check"])["shown"] is True
    assert settled.ben.ahead(showing=showing)["shown"] is False
    settled.ben.answer(form, "match")
    assert settled.ben.ahead(showing=showing, checking=form["check"])["shown"] is False


def test_a_reload_and_a_changed_flank_lead_back_to_the_same_check(settled) -> None:
    form = settled.check(settled.ben)
    here = re.search(r'data-here="([^"]+)"', settled.ben.open())[1].replace("&amp;", "&")
    query = "?" + here.partition("?")[2]
    assert settled.ben.form(query) == form
    settled.ben.answer(form, "match")
    assert pair_of(settled.ben.form(query)) != settled.pair, "answered is answered"


def test_checks_come_among_the_questions_ahead_and_are_asked_of_one_reviewer_at_a_time(settled) -> None:
    cat = Reviewer(settled.survey)
    order = settled.ben.ahead()["order"]
    assert settled.pair in {tuple(sorted(map(int, row["pair"].split("-")))) for row in order}
    assert settled.pair in leased_elsewhere(user=cat.user, survey=settled.survey)
    assert cat.ahead()["order"] == []
    ReviewLease.objects.all().delete()
    assert cat.ahead()["order"] != []


def test_part_of_a_review_has_no_checks(settled) -> None:
    assert "verdicts" not in settled.ben.open(f"?mode=station&station={settled.animals[0][0].image.station_id}")


def test_later_puts_a_check_off(settled) -> None:
    form = settled.check(settled.ben)
    settled.ben.client.post(
        reverse("review-later", args=[settled.survey.pk]), {"pair": f"{form['anchor']}-{form['candidate']}"}
    )
    page = settled.ben.open()
    assert "verdicts" not in page or pair_of(fields(page)) != settled.pair
    assert not Opinion.objects.exists()


def test_who_was_shown_the_decision_is_not_asked_for_a_blind_opinion(world) -> None:
    ben, (a, b) = world.ben, world.pair
    sent = {"anchor": a, "candidate": b, "version": 0, "verdict": "no_match"}
    for _ in range(2):
        page = ben.client.post(reverse("review-decide", args=[world.survey.pk]), sent)
    assert page.status_code == 409 and str(world.ann.user) in page.content.decode()
    assert Opinion.objects.get().kind == "seen"
    world.settle()
    world.share()
    asked = set()
    while "verdicts" in (page := ben.open()):
        asked.add(pair_of(fields(page)))
        ben.answer(fields(page), "match")
    assert len(asked) == 2 and world.pair not in asked


def test_known_pairs_are_asked_in_between_and_count_only_as_opinions(world) -> None:
    curator = Reviewer(world.survey, Role.CURATOR)
    c, d = world.animals[1]
    known = make.match(curator.user, c, d)
    Survey.objects.filter(pk=world.survey.pk).update(known_pairs_share=0.5)
    before = None
    for _ in range(40):
        form = world.ben.form()
        if pair_of(form) == (c.pk, d.pk):
            before = graph()
            world.ben.answer(form, "no_match")
            break
        # A step and one back: the question stays, the place in her questions moves on.
        world.ben.answer(form, "unsure")
        world.ben.undo()
    else:
        pytest.fail("no known pair was asked")
    opinion = Opinion.objects.get()
    assert (opinion.kind, opinion.truth, opinion.basis, opinion.verdict) == ("known", "match", "curator", "no_match")
    assert graph() == before and MatchEdge.objects.get(pk=known.edge_id).verdict == "match"


def test_an_animal_of_its_own_said_within_a_check_names_nobody(settled) -> None:
    form = settled.check(settled.ben)
    page = settled.ben.open(f"?pair={form['anchor']}-{form['candidate']}&check={form['check']}")
    declare = re.search(r'<form method="post" action="(/boxes/\d+/declare/)".*?</form>', page, re.DOTALL)
    assert declare, "as of any photo that nothing is known of"
    sent = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', declare[0]))
    before = graph()
    text = settled.ben.client.post(declare[1], {**sent, "next": sent["next"].replace("&amp;", "&")}, follow=True)
    names = set(map(str, Detection.objects.get(pk=settled.pair[0]).individual.population.individuals.all()))
    found = text.content.decode()
    assert "counts as an animal of its own" in found and not [name for name in names if name in found]
    assert graph() == before, "it has an animal already"


def test_beside_a_pair_a_curators_answer_that_is_to_be_asked_as_known_is_not_told(world) -> None:
    (a, _), (c, d) = world.animals
    cleo = Reviewer(world.survey, Role.CURATOR)
    make.match(cleo.user, c, d)

    def told(who: Reviewer) -> list[tuple[int, int]]:
        query = {"anchor": a.pk, "candidate": c.pk, "part": "1"}
        notes = who.client.get(reverse("review-beside", args=[world.survey.pk]), query).context["notes"]
        return sorted((one.decision.edge.a_id, one.decision.edge.b_id) for one in notes.answers)

    both = [world.pair, (c.pk, d.pk)]
    assert told(world.ben) == both, "nobody is asked known pairs yet"
    Survey.objects.filter(pk=world.survey.pk).update(known_pairs_share=0.2)
    assert told(world.ben) == [world.pair] and told(cleo) == both
    check = Check(Opinion.Kind.KNOWN, (c.pk, d.pk), 0.9, truth="match", basis=Opinion.Basis.CURATOR)
    world.survey.refresh_from_db()
    opinion_record(user=world.ben.user, survey=world.survey, check=check, verdict="match", shown=0.9, key=uuid4())
    assert told(world.ben) == both, "he has said what he thinks"


def test_a_pair_that_is_asked_as_a_check_is_no_ordinary_question_beside_it() -> None:
    survey, animals = make.make_reviewable_survey(individuals=2, photos=2)
    for one, other in animals:
        decision_record(acting_user=None, first=one, second=other, verdict="match", provenance=Provenance.IMPORTED)
    Survey.objects.filter(pk=survey.pk).update(known_pairs_share=0.5)
    survey.refresh_from_db()
    checked = 0
    for _ in range(12):
        user = make.make_member(survey)
        picks = [one.pick for one in questions_ahead(user=user, survey=survey, most=6).questions]
        ReviewLease.objects.all().delete()
        picks_over(user)
        if any(pick.check for pick in picks):
            checked += 1
            asked = {frozenset(pick.pair) for pick in picks if pick.check is None}
            assert asked.isdisjoint(frozenset(pick.pair) for pick in picks if pick.check)
    assert checked > 3


def test_of_a_check_the_likeliest_of_all_that_is_open_is_told_as_of_any_question(world) -> None:
    """A check with a low probability of its own would else be told by it."""
    (_, b), (c, _) = world.animals
    make.match(world.ann.user, b, c, "no_match")
    with review_of(user=world.ben.user, survey=world.survey) as review:
        check = Check(Opinion.Kind.SECOND, (b.pk, c.pk), 0.01)
        pick = picked_check(review, check)
        most = review.queue.anyone(pick.pair[0])
        assert most is not None and most > 0.01 and pick.anyone == most
        assert picked_check(review, replace(check, probability=0.999)).anyone == 0.999

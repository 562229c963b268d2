"""The agreement page and the disagreements: figures, rights, and what settling one does."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from identification.errors import SpotIDError
from identification.models import Adjudication, AuditEntry, Decision, MatchEdge, Membership, Opinion, Role, User
from identification.selectors.adjudication import disagreements, disagreements_for
from identification.selectors.agreement import agreement_own, agreement_report
from identification.selectors.checks import Check
from identification.services.adjudication import opinion_adjudicate
from identification.services.decisions import decision_undo
from identification.services.opinions import opinion_record, opinion_withdraw
from tests.identification import factories as make
from tests.identification.test_second_review import World, second

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World(photos=12, second_review_share=1.0)


def disagree(world: World, a: int = 0, b: int = 1, said: str = "match", then: str = "no_match") -> Opinion:
    """Ann decides, Ben differs."""
    world.decide(world.ann, a, b, said)
    opinion = second(world, world.ben, a, b, then)
    assert opinion is not None
    return opinion


def known(world: World, user: User, a: int, b: int, truth: str, said: str) -> None:
    check = Check("known", world.pair(a, b), 0.5, truth=truth, basis="curator")
    opinion_record(user=user, survey=world.survey, check=check, verdict=said)


def settle(world: World, opinion: Opinion, verdict: str = "no_match", **values: Any) -> Adjudication:
    return opinion_adjudicate(acting_user=world.cleo, opinion=opinion, verdict=verdict, **values)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


# ---- the figures ----


def test_nothing_said_gives_no_figure(world) -> None:
    report = agreement_report(survey=world.survey)
    assert (report.all.pairs, report.twos, report.people, report.waiting, report.open) == (0, [], [], 0, 0)
    together, person = agreement_own(user=world.ann, survey=world.survey)
    assert (together.kappa, person.known, person.faults.splitting.share) == (None, 0, None)


def test_agreement_counts_blind_answers_of_two_people(world) -> None:
    for index, (said, also) in enumerate(
        [("match", "match"), ("no_match", "no_match"), ("match", "no_match"), ("no_match", "unsure")]
    ):
        disagree(world, 2 * index, 2 * index + 1, said, also)
    world.decide(world.ann, 8, 9)
    report = agreement_report(survey=world.survey)
    (two,) = report.twos
    assert {two.one, two.other} == {world.ann, world.ben}
    assert (two.agreement.pairs, two.agreement.same) == (4, 2)
    # Rows of Ann: 2 match, 2 not; columns of Ben: 1 match, 2 not, 1 open. Chance 1/2*1/4 + 1/2*1/2.
    assert two.agreement.kappa == pytest.approx((0.5 - 0.375) / (1 - 0.375))
    assert (report.waiting, report.open) == (1, 2)


def test_unsure_and_incomparable_are_one_answer(world) -> None:
    for a, b in ((0, 1), (2, 3)):
        known(world, world.ann, a, b, "match", "unsure")
        known(world, world.ben, a, b, "match", "incomparable")
    (two,) = agreement_report(survey=world.survey).twos
    assert (two.agreement.pairs, two.agreement.same) == (2, 2)


def test_rates_come_from_known_pairs_and_from_what_was_judged_twice(world) -> None:
    known(world, world.ann, 0, 1, "match", "no_match")
    known(world, world.ann, 2, 3, "match", "match")
    known(world, world.ann, 4, 5, "no_match", "match")
    known(world, world.ann, 6, 7, "match", "unsure")
    disagree(world, 8, 9, "match", "match")
    opinion = disagree(world, 10, 11, "match", "no_match")
    people = {person.user: person for person in agreement_report(survey=world.survey).people}
    ann = people[world.ann]
    assert (ann.faults.splitting.wrong, ann.faults.splitting.n) == (1, 3)
    assert (ann.faults.lumping.wrong, ann.faults.lumping.n, ann.faults.undecided) == (1, 1, 1)
    assert (ann.known, ann.second) == (4, 2)
    settle(world, opinion, "no_match")
    people = {person.user: person for person in agreement_report(survey=world.survey).people}
    assert (people[world.ann].faults.lumping.wrong, people[world.ann].faults.lumping.n) == (2, 2)
    assert (people[world.ben].faults.lumping.wrong, people[world.ben].faults.lumping.n) == (0, 1)


def test_what_was_taken_back_counts_nowhere(world) -> None:
    disagree(world, 0, 1, "match", "match")
    known(world, world.ben, 2, 3, "match", "match")
    opinion_withdraw(user=world.ben, survey=world.survey)
    assert agreement_report(survey=world.survey).all.pairs == 1
    decision_undo(acting_user=world.ann, decision=Decision.objects.get())
    report = agreement_report(survey=world.survey)
    assert (report.all.pairs, report.people) == (0, [])


def test_the_figures_cost_as_many_queries_for_many_answers(world, django_assert_num_queries) -> None:
    disagree(world)
    with django_assert_num_queries(6):
        agreement_report(survey=world.survey)
    for index in range(2, 12, 2):
        disagree(world, index, index + 1, "match", "match")
    with django_assert_num_queries(6):
        agreement_report(survey=world.survey)


# ---- settling ----


def test_agreement_leaves_things_and_a_difference_is_to_be_settled(world) -> None:
    disagree(world, 0, 1, "match", "match")
    opinion = disagree(world, 2, 3, "no_match", "match")
    unsure = disagree(world, 4, 5, "match", "unsure")
    assert list(disagreements(survey=world.survey)) == [opinion, unsure]


def test_settling_is_an_ordinary_decision_with_both_answers_in_its_note(world) -> None:
    opinion = disagree(world)
    adjudication = settle(world, opinion, note="Spots  on the\nhip.")
    decision = adjudication.decision
    assert (decision.acting_user, decision.verdict, decision.previous_verdict) == (world.cleo, "no_match", "match")
    assert decision.note == (
        f"Adjudication: {world.ann} said Match, {world.ben} said Not a match, without knowing of it. Spots on the hip."
    )
    assert (decision.provenance, decision.anchor, decision.probability_shown) == ("reviewer", world.photos[0], 0.7)
    assert MatchEdge.objects.get().verdict == "no_match"
    assert not disagreements(survey=world.survey).exists()
    assert world.rest(make.make_member(world.survey)) == [], "what was settled needs no further opinion"
    with pytest.raises(SpotIDError, match="settled by now"):
        settle(world, opinion)


def test_taking_the_settlement_back_opens_the_disagreement_again(world) -> None:
    opinion = disagree(world)
    decision_undo(acting_user=world.cleo, decision=settle(world, opinion).decision)
    assert MatchEdge.objects.get().verdict == "match"
    assert list(disagreements(survey=world.survey)) == [opinion]
    settle(world, opinion, "match")
    assert Adjudication.objects.count() == 2


@pytest.mark.parametrize("who", ["first", "second"])
def test_a_disagreement_is_void_when_either_answer_is_taken_back(world, who) -> None:
    opinion = disagree(world)
    if who == "first":
        decision_undo(acting_user=world.ann, decision=opinion.decision)
    else:
        opinion_withdraw(user=world.ben, survey=world.survey)
    assert not disagreements(survey=world.survey).exists()
    with pytest.raises(SpotIDError):
        settle(world, opinion)
    assert not Adjudication.objects.exists()


def test_a_party_settles_only_where_there_is_no_other_curator(world) -> None:
    world.decide(world.cleo, 0, 1)
    opinion = second(world, world.ben, 0, 1, "no_match")
    dora = make.make_member(world.survey, Role.CURATOR)
    queue = disagreements_for(user=world.cleo, survey=world.survey)
    assert (queue.shown, queue.open, queue.others) == (None, 0, 1)
    with pytest.raises(SpotIDError, match="Another curator"):
        settle(world, opinion)
    assert disagreements_for(user=dora, survey=world.survey).shown == opinion
    Membership.objects.filter(user=dora).update(role=Role.REVIEWER)
    queue = disagreements_for(user=world.cleo, survey=world.survey)
    assert (queue.shown, queue.alone) == (opinion, True)
    assert settle(world, opinion).party


def test_the_queue_goes_on_and_begins_again(world) -> None:
    first, then = disagree(world), disagree(world, 2, 3)
    ask = {"user": world.cleo, "survey": world.survey}
    assert disagreements_for(**ask).shown == first
    assert disagreements_for(after=first.pk, **ask).shown == then
    assert disagreements_for(after=then.pk, **ask).shown == first
    assert disagreements_for(wanted=then.pk, **ask).shown == then


# ---- the pages ----


def test_a_curator_sees_everybody_and_a_reviewer_only_herself(world) -> None:
    disagree(world)
    address = reverse("agreement", args=[world.survey.pk])
    page = browser(world.cleo).get(address).content.decode()
    assert f"{min(str(world.ann), str(world.ben))} and {max(str(world.ann), str(world.ben))}" in page
    assert "too few: 30 pairs are needed" in page
    assert "Settle disagreements (1)" in page
    page = browser(world.ann).get(address).content.decode()
    assert str(world.ben) not in page
    assert "You and all others" in page
    assert "What is checked" not in page
    other = make.make_member(world.survey)
    assert "No pair has been judged by two people yet" in browser(other).get(address).content.decode()


def test_a_curator_sets_the_shares_in_per_cent(world) -> None:
    address = reverse("agreement-shares", args=[world.survey.pk])
    client = browser(world.cleo)
    client.post(address, {"second": "12.5", "known": "5"})
    world.survey.refresh_from_db()
    assert (world.survey.second_review_share, world.survey.known_pairs_share) == (0.125, 0.05)
    for wrong in ({"second": "101", "known": "0"}, {"second": "nan", "known": "0"}, {"second": "10"}, {}):
        client.post(address, wrong)
        world.survey.refresh_from_db()
        assert world.survey.second_review_share == 0.125
    assert AuditEntry.objects.get(action="survey.checks").acting_user == world.cleo
    assert browser(world.ann).post(address, {"second": "0", "known": "0"}).status_code == 403
    page = client.get(reverse("agreement", args=[world.survey.pk])).content.decode()
    assert 'value="12.5"' in page and 'value="5"' in page


def test_the_page_of_a_disagreement_shows_both_and_settles_it(world) -> None:
    opinion = disagree(world)
    client = browser(world.cleo)
    page = client.get(reverse("adjudication", args=[world.survey.pk])).content.decode()
    assert str(world.ann) in page and str(world.ben) in page and "which stands now" in page
    sent = {"opinion": opinion.pk, "verdict": "no_match", "note": "clear"}
    client.post(reverse("adjudicate", args=[world.survey.pk]), sent)
    assert Adjudication.objects.get().decision.note.endswith("clear")
    assert "Nothing to settle" in client.get(reverse("adjudication", args=[world.survey.pk])).content.decode()
    again = client.post(reverse("adjudicate", args=[world.survey.pk]), sent, follow=True)
    assert "settled by now" in again.content.decode()
    assert Adjudication.objects.count() == 1


def test_a_contradiction_asks_before_it_is_recorded(world) -> None:
    world.decide(world.cleo, 0, 2)
    world.decide(world.cleo, 1, 2, "no_match")
    opinion = disagree(world, 0, 1, "no_match", "match")
    client = browser(make.make_member(world.survey, Role.CURATOR))
    sent = {"opinion": opinion.pk, "verdict": "match", "note": "sure"}
    asked = client.post(reverse("adjudicate", args=[world.survey.pk]), sent)
    assert asked.status_code == 409
    assert "contradicts earlier decisions" in asked.content.decode() and 'value="sure"' in asked.content.decode()
    assert not Adjudication.objects.exists()
    client.post(reverse("adjudicate", args=[world.survey.pk]), sent | {"confirm": "on"})
    assert Adjudication.objects.get().decision.verdict == "match"


def test_a_photo_of_a_survey_that_is_not_the_curators_keeps_it_for_another(world) -> None:
    sister = make.make_survey(world.survey.population)
    for user in (world.ann, world.ben):
        make.make_member(sister, user=user)
    world.photos[1] = make.make_detection(make.make_image(sister, files=False), files=False)
    opinion = disagree(world)
    queue = disagreements_for(user=world.cleo, survey=world.survey)
    assert (queue.shown, queue.others) == (None, 1)
    sent = {"opinion": opinion.pk, "verdict": "match"}
    page = browser(world.cleo).post(reverse("adjudicate", args=[world.survey.pk]), sent, follow=True).content.decode()
    assert not Adjudication.objects.exists()
    assert "Nothing was recorded" in page and sister.name not in page


def test_an_opinion_of_another_survey_is_nothing_here(world) -> None:
    opinion = disagree(world)
    elsewhere = make.make_survey()
    make.make_member(elsewhere, Role.CURATOR, user=world.cleo)
    sent = {"opinion": opinion.pk, "verdict": "match"}
    browser(world.cleo).post(reverse("adjudicate", args=[elsewhere.pk]), sent)
    assert not Adjudication.objects.exists()

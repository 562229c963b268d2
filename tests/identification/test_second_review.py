"""Second opinions and known pairs: who is asked what, what an answer does, and what taking back does to it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction

from identification.errors import KeyTaken, SpotIDError
from identification.models import AuditEntry, Decision, Detection, Flank, MatchEdge, Opinion, Provenance, Role, Survey
from identification.selectors.checks import (
    Check,
    check_again,
    check_question,
    check_read,
    check_stands,
    check_token,
    checks_due,
    seconds_wanted,
)
from identification.selectors.known_pairs import known_pairs
from identification.services.decisions import decision_record, decision_undo
from identification.services.opinions import opinion_record, opinion_seen, opinion_withdraw, survey_checks_set
from identification.services.surveys import survey_delete
from tests.identification import factories as make

pytestmark = pytest.mark.django_db


class World:
    """A survey with photos, two reviewers and a curator; every decision is on a pair that was shown as 0.7."""

    def __init__(self, photos: int = 8, **values: float) -> None:
        self.survey: Survey = make.make_survey(**values)
        self.photos: list[Detection] = [
            make.make_detection(make.make_image(self.survey, files=False), files=False) for _ in range(photos)
        ]
        self.ann, self.ben = make.make_member(self.survey), make.make_member(self.survey)
        self.cleo = make.make_member(self.survey, Role.CURATOR)

    def pair(self, a: int, b: int) -> tuple[int, int]:
        return self.photos[a].pk, self.photos[b].pk

    def decide(self, user, a: int, b: int, verdict: str = "match", **values) -> Decision:
        first, second = self.photos[a], self.photos[b]
        values = {"anchor": first, "shown": 0.7} | values
        return decision_record(acting_user=user, first=first, second=second, verdict=verdict, **values)

    def rest(self, user, **values) -> list[Check]:
        """Everything that waits for a second opinion of this reviewer."""
        return list(checks_due(user=user, survey=self.survey, most=20, rest=True, **values).values())

    def pairs(self, user) -> list[tuple[int, int]]:
        return [check.pair for check in self.rest(user)]

    def known(self, user, first: str = "match") -> set[tuple[tuple[int, int], str, str]]:
        rows = known_pairs(user=user, survey=self.survey, truth_first=first, start=0.4)
        return {(row.pair, row.truth, row.basis) for row in rows}


@pytest.fixture
def world() -> World:
    return World(second_review_share=1.0)


def second(world: World, user, a: int, b: int, verdict: str, **values) -> Opinion | None:
    """Answer the second review of a pair."""
    (check,) = [check for check in world.rest(user) if check.pair == world.pair(a, b)]
    return opinion_record(user=user, survey=world.survey, check=check, verdict=verdict, shown=0.7, **values)


# ---- who is asked ----


def test_without_shares_nobody_is_asked() -> None:
    world = World()
    world.decide(world.ann, 0, 1)
    assert checks_due(user=world.ben, survey=world.survey, most=50) == {}
    assert world.rest(world.ben) == []


def test_others_are_asked_about_what_one_decided_and_nobody_about_her_own(world) -> None:
    decision = world.decide(world.ann, 0, 1)
    (check,) = world.rest(world.ben)
    assert (check.kind, check.pair, check.decision, check.probability) == ("second", world.pair(0, 1), decision.pk, 0.7)
    assert world.rest(world.ann) == []


@pytest.mark.parametrize("verdict", ["unsure", "incomparable"])
def test_what_was_left_open_needs_no_second_opinion(world, verdict) -> None:
    world.decide(world.ann, 0, 1, verdict)
    assert world.rest(world.ben) == []


def test_what_was_not_seen_on_photos_needs_none(world) -> None:
    world.decide(world.ann, 0, 1, provenance=Provenance.SAME_EVENT)
    world.decide(None, 2, 3, provenance=Provenance.IMPORTED)
    world.decide(world.ann, 4, 5, anchor=None)
    assert world.rest(world.ben) == []


def test_one_second_opinion_is_enough_and_each_person_gives_one(world) -> None:
    world.decide(world.ann, 0, 1)
    second(world, world.ben, 0, 1, "match")
    assert world.rest(world.ben) == world.rest(world.cleo) == []


def test_a_decision_that_was_taken_back_or_replaced_is_not_asked_about(world) -> None:
    gone = world.decide(world.ann, 0, 1)
    decision_undo(acting_user=world.ann, decision=gone)
    world.decide(world.ann, 2, 3, "no_match")
    world.decide(world.cleo, 2, 3, "match")
    (check,) = world.rest(world.ben)
    assert Decision.objects.get(pk=check.decision).acting_user == world.cleo
    assert world.rest(world.ann) == [], "she has decided the pair herself"


def test_somebody_who_saw_the_decision_is_not_asked_for_a_blind_opinion(world) -> None:
    decision = world.decide(world.ann, 0, 1)
    opinion_seen(user=world.ben, survey=world.survey, decision=decision)
    opinion_seen(user=world.ann, survey=world.survey, decision=decision)
    assert Opinion.objects.count() == 1, "nobody is kept from judging her own decision"
    assert world.rest(world.ben) == []
    assert world.pairs(world.cleo) == [world.pair(0, 1)]


def test_pairs_held_by_others_are_left_out(world) -> None:
    world.decide(world.ann, 0, 1)
    world.decide(world.ann, 2, 3)
    (a, b) = world.pair(0, 1)
    assert [check.pair for check in world.rest(world.ben, without=[(b, a)])] == [world.pair(2, 3)]


def test_only_photos_that_may_be_compared_and_seen_are_asked(world) -> None:
    sister = make.make_survey(world.survey.population)
    stranger = make.make_detection(make.make_image(sister, files=False), files=False)
    both = make.make_member(world.survey)
    make.make_member(sister, user=both)
    decision_record(
        acting_user=both, first=world.photos[0], second=stranger, verdict="match", anchor=world.photos[0], shown=0.5
    )
    world.decide(both, 2, 3)
    world.decide(both, 4, 5)
    Detection.objects.filter(pk=world.photos[5].pk).update(usable=False)
    assert world.pairs(world.ben) == [world.pair(2, 3)]


def test_a_share_draws_pairs_by_a_secret_and_always_the_same_ones(settings) -> None:
    world = World(photos=40, second_review_share=0.5)
    for index in range(0, 40, 2):
        world.decide(world.ann, index, index + 1)
    rows = list(seconds_wanted(survey=world.survey).values_list("pk", flat=True))
    assert 2 <= len(rows) <= 18
    assert list(seconds_wanted(survey=world.survey).values_list("pk", flat=True)) == rows
    settings.SECRET_KEY = "another secret key of another installation"
    assert list(seconds_wanted(survey=world.survey).values_list("pk", flat=True)) != rows
    Survey.objects.filter(pk=world.survey.pk).update(second_review_share=0)
    world.survey.refresh_from_db()
    assert not seconds_wanted(survey=world.survey).exists()


def test_checks_come_in_between_as_often_as_they_are_wanted_and_stay_in_their_places() -> None:
    world = World(photos=2, second_review_share=0.2, known_pairs_share=0.1)
    world.survey.second_review_share = 1.0
    world.decide(world.ann, 0, 1)
    slots = 400
    due = checks_due(user=world.ben, survey=world.survey, most=slots)
    assert len(due) == 1, "one pair is asked once in a list"
    every = [bool(checks_due(user=world.ben, survey=world.survey, start=place)) for place in range(slots)]
    assert 0.4 < sum(every) / slots < 0.6
    assert every == [bool(checks_due(user=world.ben, survey=world.survey, start=place)) for place in range(slots)]
    opinion_seen(user=world.ben, survey=world.survey, decision=world.decide(world.ann, 0, 1))
    moved = [bool(checks_due(user=world.cleo, survey=world.survey, start=place)) for place in range(50)]
    assert moved != every[:50], "another person is asked at other places"


# ---- what an answer does ----


def test_an_opinion_changes_nothing_but_its_own_record(world) -> None:
    world.decide(world.ann, 0, 1)
    world.decide(world.ann, 2, 3, "no_match")
    before = list(MatchEdge.objects.values_list("pk", "verdict", "version", "updated_at"))
    individuals = list(Detection.objects.values_list("pk", "individual"))
    opinion = second(world, world.ben, 0, 1, "no_match")
    second(world, world.ben, 2, 3, "match")
    assert (opinion.verdict, opinion.probability_shown, opinion.user) == ("no_match", 0.7, world.ben)
    assert list(MatchEdge.objects.values_list("pk", "verdict", "version", "updated_at")) == before
    assert list(Detection.objects.values_list("pk", "individual")) == individuals
    assert Decision.objects.count() == 2


def test_opinions_are_append_only_and_go_with_their_survey(world) -> None:
    world.decide(world.ann, 0, 1)
    opinion = second(world, world.ben, 0, 1, "match")
    for change in (lambda: Opinion.objects.update(verdict="no_match"), opinion.delete):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()
    survey_delete(acting_user=world.cleo, survey=world.survey)
    assert not Opinion.objects.exists()


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "second", "verdict": "match"},
        {"kind": "known", "verdict": "match"},
        {"kind": "known", "verdict": "match", "truth": "unsure", "basis": "curator"},
        {"kind": "known", "verdict": "", "truth": "match", "basis": "curator"},
        {"kind": "known", "verdict": "perhaps", "truth": "match", "basis": "curator"},
    ],
)
def test_the_database_refuses_opinions_about_nothing(world, values) -> None:
    a, b = world.pair(0, 1)
    with pytest.raises(IntegrityError), transaction.atomic():
        Opinion.objects.create(survey=world.survey, user=world.ben, a_id=a, b_id=b, **values)


def test_no_verdict_is_refused(world) -> None:
    world.decide(world.ann, 0, 1)
    with pytest.raises(SpotIDError, match="no verdict"):
        second(world, world.ben, 0, 1, "perhaps")


def test_what_arrives_twice_is_recorded_once(world) -> None:
    world.decide(world.ann, 0, 1)
    (check,) = world.rest(world.ben)
    sent = {"user": world.ben, "survey": world.survey, "check": check, "key": uuid4()}
    assert opinion_record(verdict="match", **sent) == opinion_record(verdict="match", **sent)
    assert Opinion.objects.count() == 1
    with pytest.raises(KeyTaken):
        opinion_record(verdict="no_match", **sent)


def test_a_check_is_answered_once_whatever_page_still_shows_it(world) -> None:
    world.decide(world.ann, 0, 1)
    world.decide(world.cleo, 2, 3)
    checks = [world.rest(world.ben)[0], Check("known", world.pair(2, 3), 0.7, truth="match", basis="curator")]
    for check in checks:
        sent = {"user": world.ben, "survey": world.survey, "check": check}
        first = opinion_record(verdict="match", key=uuid4(), **sent)
        assert opinion_record(verdict="no_match", key=uuid4(), **sent) is None, "a second tab, or a page gone back to"
        assert opinion_withdraw(user=world.ben, survey=world.survey, of=first.key) == first
        assert opinion_record(verdict="no_match", key=uuid4(), **sent) is not None, "taken back, it can be answered"
    assert Opinion.objects.filter(verdict="no_match").count() == 2


# ---- taking back ----


def test_taking_the_decision_back_voids_the_check(world) -> None:
    decision = world.decide(world.ann, 0, 1)
    (check,) = world.rest(world.ben)
    decision_undo(acting_user=world.ann, decision=decision)
    assert world.rest(world.ben) == []
    assert not check_stands(check)
    assert opinion_record(user=world.ben, survey=world.survey, check=check, verdict="match") is None
    assert not Opinion.objects.exists()


def test_the_last_answer_is_taken_back_whichever_kind_it_was(world) -> None:
    world.decide(world.ann, 0, 1)
    world.decide(world.ann, 2, 3)
    assert opinion_withdraw(user=world.ben, survey=world.survey) is None
    opinion = second(world, world.ben, 0, 1, "match")
    assert opinion_withdraw(user=world.ben, survey=world.survey) == opinion
    assert world.pair(0, 1) in world.pairs(world.ben), "it is asked again"
    assert check_again(user=world.ben, survey=world.survey, pair=world.pair(1, 0)).decision == opinion.decision_id
    second(world, world.ben, 0, 1, "no_match")
    assert check_again(user=world.ben, survey=world.survey, pair=world.pair(0, 1)) is None
    world.decide(world.ben, 4, 5)
    assert opinion_withdraw(user=world.ben, survey=world.survey) is None, "a decision came last"
    assert opinion_withdraw(user=world.ann, survey=world.survey) is None


def test_an_answer_is_taken_back_by_its_key_and_once(world) -> None:
    world.decide(world.ann, 0, 1)
    opinion = second(world, world.ben, 0, 1, "match")
    world.decide(world.ben, 4, 5)
    step = uuid4()
    for _ in range(2):
        assert opinion_withdraw(user=world.ben, survey=world.survey, of=opinion.key, key=step) == opinion
    assert Opinion.objects.filter(withdraws=opinion).count() == 1
    assert opinion_withdraw(user=world.ann, survey=world.survey, of=opinion.key) is None
    assert opinion_withdraw(user=world.ben, survey=world.survey, of=uuid4()) is None


# ---- tokens ----


def test_the_token_tells_the_server_alone_what_is_asked(world) -> None:
    decision = world.decide(world.ann, 0, 1)
    (check,) = world.rest(world.ben)
    seen = {"user": world.ben, "survey": world.survey, "pair": world.pair(0, 1)}
    plain, secret = check_token(check=None, **seen), check_token(check=check, **seen)
    assert len(plain) == len(secret) == 32
    assert plain != secret
    assert check_read(token=plain, **seen) is None
    assert check_read(token=secret, **seen).decision == decision.pk
    known = Check("known", world.pair(0, 1), 0.5, truth="no_match", basis="curator")
    read = check_read(token=check_token(check=known, **seen), **seen)
    assert (read.kind, read.truth, read.basis, read.decision) == ("known", "no_match", "curator", None)
    for token in ("", "0" * 32, secret[:-1] + "x"):
        assert check_read(token=token, **seen) is None
    for other in ({"user": world.ann}, {"pair": world.pair(0, 2)}, {"survey": make.make_survey()}):
        assert check_read(token=secret, **(seen | other)) is None


def test_a_check_looks_like_any_question_between_two_photos(world) -> None:
    world.decide(world.ann, 0, 1)
    question = check_question(world.rest(world.ben)[0])
    assert ((question.pair.a, question.pair.b), question.probability, question.settles) == (world.pair(0, 1), 0.7, 1)


# ---- known pairs ----


def test_what_a_curator_decided_is_known_to_others(world) -> None:
    for detection in (0, 2):
        make.make_candidate(world.photos[detection], world.photos[detection + 1], probability=0.6)
    world.decide(world.cleo, 0, 1)
    world.decide(world.cleo, 2, 3, "no_match")
    world.decide(world.ann, 4, 5)
    matched, refused = (world.pair(0, 1), "match", "curator"), (world.pair(2, 3), "no_match", "curator")
    assert world.known(world.ben) == {matched, refused}
    assert world.known(world.cleo) == set(), "not what she decided herself"
    first = next(known_pairs(user=world.ben, survey=world.survey, truth_first="no_match", start=0.9))
    assert (first.truth, first.probability) == ("no_match", 0.6)


def test_what_two_agreed_on_is_known_to_a_third(world) -> None:
    world.decide(world.ann, 0, 1)
    world.decide(world.ann, 2, 3, "no_match")
    second(world, world.ben, 0, 1, "match")
    second(world, world.ben, 2, 3, "match")
    assert world.known(make.make_member(world.survey)) == {(world.pair(0, 1), "match", "two")}
    assert world.known(world.ben) == world.known(world.ann) == set()


def test_a_doubted_decision_of_a_curator_is_no_truth(world) -> None:
    world.decide(world.cleo, 0, 1)
    second(world, world.ben, 0, 1, "no_match")
    assert world.known(world.ann) == set()


def test_imported_labels_are_known_and_two_labelled_animals_of_one_flank_are_two(world) -> None:
    for a, b in ((0, 1), (2, 3), (4, 5)):
        world.decide(None, a, b, provenance=Provenance.IMPORTED, shown=None)
    assert world.known(world.ann) == set(), "nothing was compared, so there is no probability to show"
    for a, b in ((0, 1), (2, 3), (5, 4)):
        make.make_candidate(world.photos[a], world.photos[b], probability=0.9, rank=2)
    make.make_candidate(world.photos[0], world.photos[2], probability=0.2)
    make.make_candidate(world.photos[1], world.photos[4], probability=0.2, rank=1)
    Detection.objects.filter(pk=world.photos[4].pk).update(flank=Flank.UNKNOWN)
    assert world.known(world.ann) == {
        *((world.pair(a, b), "match", "imported") for a, b in ((0, 1), (2, 3), (4, 5))),
        (world.pair(0, 2), "no_match", "imported"),
    }
    world.decide(world.ben, 0, 2, "no_match")
    assert (world.pair(0, 2), "no_match", "imported") not in world.known(world.ann), "a decision is no label"


def test_a_group_in_conflict_and_opposite_flanks_are_no_truth(world) -> None:
    world.decide(world.cleo, 0, 1)
    world.decide(world.cleo, 1, 2)
    world.decide(world.cleo, 0, 2, "no_match", confirm_contradiction=True)
    assert (world.pair(0, 2), "no_match", "curator") not in world.known(world.ann)
    Detection.objects.filter(pk=world.photos[4].pk).update(flank=Flank.LEFT, flank_by_person=False)
    world.photos[4].refresh_from_db()
    world.decide(world.cleo, 4, 5)
    assert not {pair for pair, _, _ in world.known(world.ann)} & {world.pair(4, 5)}


def test_a_known_pair_is_not_asked_again_soon(world, monkeypatch) -> None:
    world.decide(world.cleo, 0, 1)
    check = Check("known", world.pair(0, 1), 0.7, truth="match", basis="curator")
    opinion_record(user=world.ann, survey=world.survey, check=check, verdict="match")
    assert world.known(world.ann) == set()
    assert world.known(world.ben) != set()
    monkeypatch.setattr("identification.selectors.known_pairs.KNOWN_AGAIN", timedelta())
    assert world.known(world.ann) != set()


def test_known_pairs_are_mixed_in_at_their_share_and_blind() -> None:
    world = World(known_pairs_share=0.25)
    for a, b in ((0, 1), (2, 3)):
        world.decide(world.cleo, a, b)
    world.decide(world.cleo, 4, 5, "no_match")
    found = [checks_due(user=world.ann, survey=world.survey, start=place).get(0) for place in range(300)]
    asked = [check for check in found if check]
    assert 0.15 < len(asked) / 300 < 0.35
    truths = [check.truth for check in asked]
    assert 0.25 < truths.count("match") / len(truths) < 0.75
    assert checks_due(user=world.ann, survey=world.survey, most=5, rest=True) == {}


# ---- the setting ----


def test_the_shares_are_set_with_an_audit_row_and_kept_in_bounds(world) -> None:
    survey_checks_set(acting_user=world.cleo, survey=world.survey, second=0.1, known=0.05)
    world.survey.refresh_from_db()
    assert (world.survey.second_review_share, world.survey.known_pairs_share) == (0.1, 0.05)
    entry = AuditEntry.objects.get(action="survey.checks")
    assert entry.before == {"second_review": 1.0, "known_pairs": 0.0}
    assert entry.after == {"second_review": 0.1, "known_pairs": 0.05}
    survey_checks_set(acting_user=world.cleo, survey=world.survey, second=0.1, known=0.05)
    assert AuditEntry.objects.filter(action="survey.checks").count() == 1
    for wrong in ({"second": 1.01, "known": 0}, {"second": -0.1, "known": 0}, {"second": 0, "known": 0.51}):
        with pytest.raises(SpotIDError):
            survey_checks_set(acting_user=world.cleo, survey=world.survey, **wrong)
    with pytest.raises(IntegrityError), transaction.atomic():
        Survey.objects.filter(pk=world.survey.pk).update(known_pairs_share=0.6)

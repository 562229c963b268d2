"""The queue of questions against an oracle that builds everything anew from the list of decisions."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from identification.matching.graph import LoggedDecision, SignedGraph, fold
from identification.matching.pooling import Pair, agreement, best_view, from_log_odds, log_odds, pooled
from identification.matching.queue import CERTAIN, Question, Queue, Stage

# On a busy machine a slow example says nothing about the code.
UNHURRIED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PHOTOS = {detection: detection for detection in range(8)}


def queue_of(pairs: dict[tuple[int, int], float], decisions=(), photos=None) -> Queue:  # type: ignore[no-untyped-def]
    return Queue(photos or PHOTOS, [Pair(a, b, p) for (a, b), p in pairs.items()], decisions)


def asked(queue: Queue) -> list[tuple[int, int]]:
    return [(question.pair.a, question.pair.b) for question in queue.questions()]


def answer(queue: Queue, question: Question, verdict: str) -> None:
    queue.decide(question.pair.a, question.pair.b, verdict)


# ---- pooling ----
def test_two_photos_have_the_probability_of_their_pair() -> None:
    (question,) = queue_of({(0, 1): 0.37}).questions()
    assert question.probability == 0.37
    assert question.settles == question.compared == 1


def test_one_look_among_many_photos_says_less_than_between_two() -> None:
    assert pooled([0.9], 1) == pytest.approx(0.9)
    assert log_odds(pooled([0.9], 10)) == pytest.approx(log_odds(0.9) - log_odds(10 / 11))


def test_further_looks_add_something_but_never_all_of_their_odds() -> None:
    one, two = pooled([0.9, 0.02], 4), pooled([0.9, 0.9], 4)
    assert one < two
    assert log_odds(two) < 2 * log_odds(0.9)
    assert pooled([0.9] * 60, 60) < 0.9975, "sixty looks at the same thing are no certainty"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(1, 400))
def test_pooled_is_a_probability_that_more_evidence_never_lowers(probabilities: list[float], between: int) -> None:
    between = max(between, len(probabilities))
    value = pooled(probabilities, between)
    assert 0 < value < 1
    raised = [min(1.0, p + 0.1) for p in probabilities]
    assert pooled(raised, between) >= value
    assert pooled(probabilities, between * 2) < value


def test_log_odds_and_back() -> None:
    assert from_log_odds(log_odds(0.2)) == pytest.approx(0.2)
    assert 0 < from_log_odds(-1e9) < from_log_odds(1e9) < 1
    assert (log_odds(0.0), log_odds(1.0)) == (-12, 12)


def test_the_view_is_of_one_flank_then_probable_then_sharp() -> None:
    other_flank = Pair(0, 2, 0.9, one_flank=agreement(1.0, 0.05), sharpness=9.0)
    blurred, sharp = Pair(0, 3, 0.8, 1.0, sharpness=1.0), Pair(1, 3, 0.8, 1.0, sharpness=5.0)
    assert best_view([other_flank, blurred, sharp]) == sharp
    assert best_view([Pair(0, 3, 0.97, 1.0, 1.0), sharp]).probability == 0.97
    assert agreement(1.0, 0.0) == 0.0 and agreement(0.5, 0.5) == 0.5


# ---- what is asked ----
def test_nothing_is_asked_of_nothing() -> None:
    queue = Queue({}, [])
    assert list(queue.questions()) == [] and queue.open == 0 and queue.certain(5) == [] and queue.alone() == []
    assert queue.question(1, 2) is None


def test_near_certain_pairs_come_first_then_what_finds_most() -> None:
    joined = [(0, 1, "match"), (1, 2, "match"), (3, 4, "match")]
    queue = queue_of({(2, 3): 0.6, (5, 6): 0.7, (6, 7): 0.97}, joined)
    questions = list(queue.questions())
    assert (questions[0].pair.a, questions[0].pair.b) == (6, 7)
    assert questions[0].stage == Stage.CERTAIN and questions[0].probability >= CERTAIN
    assert next(q for q in questions if q.pair.a == 2).settles == 6


def test_a_match_joins_and_one_refusal_settles_all_pairs_of_two_groups() -> None:
    queue = queue_of({(0, 1): 0.9, (2, 3): 0.9, (0, 2): 0.5, (0, 3): 0.4, (1, 2): 0.3, (1, 3): 0.2, (4, 5): 0.1})
    queue.decide(0, 1, "match")
    queue.decide(2, 3, "match")
    assert sorted(asked(queue)) == [(0, 2), (4, 5)], "one question for the four pairs of the two groups"
    question = queue.question(1, 3)
    assert question is not None and (question.pair.a, question.pair.b) == (1, 3) and question.settles == 4
    queue.decide(1, 3, "no_match")
    assert asked(queue) == [(4, 5)]


def test_what_was_refused_stays_refused_when_groups_grow() -> None:
    queue = queue_of({(0, 1): 0.5, (1, 2): 0.6, (0, 2): 0.7})
    queue.decide(0, 1, "no_match")
    queue.decide(1, 2, "match")
    assert asked(queue) == [] and queue.settled(0, 2)


def test_groups_on_one_photo_are_two_animals() -> None:
    photos = PHOTOS | {1: 100, 2: 100}
    queue = queue_of({(0, 1): 0.8, (0, 2): 0.7, (1, 2): 0.9}, photos=photos)
    assert (1, 2) not in asked(queue)
    queue.decide(0, 1, "match")
    assert asked(queue) == [] and queue.settled(0, 2)


def test_an_unsure_pair_is_not_asked_again_but_another_pair_of_its_groups_is() -> None:
    queue = queue_of({(0, 1): 0.99, (1, 2): 0.8, (0, 2): 0.7, (4, 5): 0.5})
    queue.decide(0, 1, "match")
    assert asked(queue)[0] == (1, 2)
    queue.decide(1, 2, "unsure")
    assert asked(queue) == [(4, 5), (0, 2)], "it waits behind others"
    assert queue.question(1, 2).unsure == 1  # type: ignore[union-attr]
    queue.decide(0, 2, "incomparable")
    assert asked(queue) == [(4, 5)]


def test_photos_that_may_not_be_shown_join_groups_and_are_not_counted() -> None:
    queue = queue_of({(0, 1): 0.5}, [(0, 900, "match"), (900, 1, "match")])
    assert asked(queue) == []
    queue = queue_of({(0, 1): 0.5}, [(0, 900, "match")])
    assert next(queue.questions()).settles == 1
    assert queue.members(0) == [0]


def test_near_certain_pairs_shown_together_do_not_follow_from_each_other() -> None:
    pairs = {(0, 1): 0.99, (1, 2): 0.98, (0, 2): 0.97, (3, 4): 0.96, (5, 6): 0.9}
    chosen = [(q.pair.a, q.pair.b) for q in queue_of(pairs).certain(10)]
    assert chosen == [(0, 1), (1, 2), (3, 4)]
    assert [(q.pair.a, q.pair.b) for q in queue_of(pairs).certain(10, without=[(1, 0)])] == [(1, 2), (0, 2), (3, 4)]
    assert len(queue_of(pairs).certain(1)) == 1


def test_near_certain_pairs_shown_together_do_not_collide() -> None:
    refused = queue_of({(0, 1): 0.99, (1, 2): 0.98}, [(0, 2, "no_match")])
    assert [(q.pair.a, q.pair.b) for q in refused.certain(10)] == [(0, 1)]
    on_one_photo = queue_of({(0, 1): 0.99, (1, 2): 0.98}, photos=PHOTOS | {2: 0})
    assert [(q.pair.a, q.pair.b) for q in on_one_photo.certain(10)] == [(0, 1)]


def test_photos_alone_are_told_with_the_chance_of_a_missed_match() -> None:
    queue = queue_of({(0, 1): 0.5, (1, 2): 0.2, (3, 4): 0.9})
    queue.decide(3, 4, "match")
    alone = dict(queue.alone())
    assert set(alone) == {0, 1, 2}
    assert [alone[photo] for photo in (0, 1, 2)] == pytest.approx([0.5, 0.5, 0.2]), "the likeliest question counts"
    assert list(alone) == [0, 1, 2] and [queue.anyone(photo) for photo in alone] == list(alone.values())
    queue.decide(0, 1, "no_match")
    assert set(dict(queue.alone())) == {1, 2}
    assert queue.anyone(0) is None, "nobody is left to be asked about"
    assert queue.anyone(99) is None


def test_the_best_group_tells_whether_anyone_is_the_animal_of_a_photo() -> None:
    queue = queue_of({(0, 1): 0.6, (0, 2): 0.6, (0, 3): 0.3})
    assert queue.anyone(0) == 0.6, "not one minus the product of the doubts"
    queue.decide(1, 2, "match")
    assert queue.anyone(0) == queue.question(0, 1).probability != 0.6


# ---- against the oracle ----
detections = st.integers(0, 7)
couples = st.tuples(detections, detections).filter(lambda pair: pair[0] < pair[1])
candidates = st.dictionaries(couples, st.floats(0.01, 0.99), max_size=16)
verdicts = st.sampled_from(["match", "match", "no_match", "unsure", "incomparable", ""])
said = st.lists(st.tuples(couples, verdicts), max_size=12)
photos = st.fixed_dictionaries({detection: st.integers(0, 30) for detection in range(8)})


def oracle(pairs: dict[tuple[int, int], float], decisions: list, on: dict[int, int]) -> dict[frozenset[int], float]:  # type: ignore[type-arg]
    """For every two groups with an open question the probability, by walking everything."""
    graph = SignedGraph.of(
        [pair for pair, verdict in decisions if verdict == "match"],
        [pair for pair, verdict in decisions if verdict == "no_match"],
    )
    unsure = {pair for pair, verdict in decisions if verdict in ("unsure", "incomparable")}
    groups = graph.components(range(8))
    found = {}
    for one, other in itertools.combinations(groups, 2):
        between = [pair for pair in pairs if (pair[0] in one) != (pair[1] in one) and {*pair} <= one | other]
        refused = any(graph.follows(a, b) == "no_match" for a in one for b in other)
        if not between or refused or {on[a] for a in one} & {on[b] for b in other}:
            continue
        if any(pair not in unsure for pair in between):
            size = len(one) * len(other)
            single = size == 1
            found[one | other] = pairs[between[0]] if single else pooled([pairs[pair] for pair in between], size)
    return found


@given(candidates, said, photos)
@settings(UNHURRIED, max_examples=150)
def test_following_decisions_agrees_with_the_oracle(pairs: dict, decisions: list, on: dict) -> None:  # type: ignore[type-arg]
    queue = queue_of(pairs, photos=on)
    for (a, b), verdict in decisions:
        queue.decide(a, b, verdict)
    # Of several answers on a pair the last one stands; none does where it was taken back.
    decisions = [(pair, verdict) for pair, verdict in dict(decisions).items() if verdict]
    found = {frozenset({*queue.members(q.pair.a), *queue.members(q.pair.b)}): q.probability for q in queue.questions()}
    assert found == pytest.approx(oracle(pairs, decisions, on))
    assert queue.open == len(found)
    at_once = queue_of(pairs, [(a, b, verdict) for (a, b), verdict in decisions], on)
    assert sorted(asked(at_once)) == sorted(asked(queue))
    values = [
        (q.stage != Stage.CERTAIN, -q.probability * q.settles ** _exponent() * 0.25**q.unsure)
        for q in queue.questions()
    ]
    assert values == sorted(values)
    counted = sorted((round(value, 6), pairs_, squares) for value, pairs_, squares in queue.weights.rows())
    assert counted == sorted((round(value, 6), p, s) for value, p, s in at_once.weights.rows())
    assert sum(pairs_ for _, pairs_, _ in counted) == sum(q.settles for q in queue.questions())


def _exponent() -> float:
    from identification.matching.queue import SIZE_EXPONENT

    return SIZE_EXPONENT


@given(candidates, st.data())
@settings(UNHURRIED, max_examples=60)
def test_the_questions_come_to_an_end_and_leave_the_true_groups(pairs: dict, data: st.DataObject) -> None:  # type: ignore[type-arg]
    truth = [data.draw(st.integers(0, 2)) for _ in range(8)]
    queue = queue_of(pairs)
    answers = 0
    while (question := next(queue.questions(), None)) is not None:
        same = truth[question.pair.a] == truth[question.pair.b]
        answer(queue, question, "match" if same else "no_match")
        answers += 1
        assert answers <= len(pairs)
    links = [pair for pair in pairs if truth[pair[0]] == truth[pair[1]]]
    assert {frozenset(group) for group in queue.groups()} == set(SignedGraph.of(links).components(range(8)))


@given(st.lists(st.tuples(couples, st.sampled_from(["match", "no_match", "unsure", "undo"])), max_size=14), st.data())
@settings(UNHURRIED, max_examples=120)
def test_any_sequence_with_undos_gives_the_components_of_what_is_left(steps: list, data: st.DataObject) -> None:  # type: ignore[type-arg]
    """The log of each pair is folded; an oracle strikes undone decisions out of one list and folds the rest."""
    logs: dict[tuple[int, int], list[LoggedDecision]] = {}
    standing: list[tuple[int, tuple[int, int], str]] = []
    for number, (pair, verdict) in enumerate(steps):
        if verdict == "undo":
            if not standing:
                continue
            struck = data.draw(st.sampled_from(standing))
            standing.remove(struck)
            logs[struck[1]].append(LoggedDecision(number, "", undoes=struck[0]))
        else:
            logs.setdefault(pair, []).append(LoggedDecision(number, verdict))
            standing.append((number, pair, verdict))
    folded = {pair: decision.verdict for pair, log in logs.items() if (decision := fold(log)) is not None}
    left: dict[tuple[int, int], str] = {}
    for _, pair, verdict in standing:
        left[pair] = verdict
    graph, oracle_graph = _graph(folded), _graph(left)
    assert graph.components(range(8)) == oracle_graph.components(range(8))
    assert graph.contradictions() == oracle_graph.contradictions()
    for a, b in itertools.combinations(range(8), 2):
        assert graph.follows(a, b) == oracle_graph.follows(a, b)


def _graph(verdicts_: dict[tuple[int, int], str]) -> SignedGraph:
    return SignedGraph.of(
        [pair for pair, verdict in verdicts_.items() if verdict == "match"],
        [pair for pair, verdict in verdicts_.items() if verdict == "no_match"],
    )


def test_tens_of_thousands_of_candidates_are_no_trouble() -> None:
    """60 000 pairs of 2 000 photos: built in seconds, a decision in milliseconds of this process's own time."""
    count = 2000
    pairs = {
        (min(a, b), max(a, b)): 0.001 + (a * 7919 + b * 104729) % 997 / 1000
        for a in range(count)
        for b in ((a * 31 + step * step * 17 + 1) % count for step in range(1, 31))
        if a != b
    }
    assert len(pairs) > 50_000
    began = time.process_time()
    queue = queue_of(pairs, photos={detection: detection for detection in range(count)})
    built = time.process_time() - began
    for number in range(200):
        question = next(queue.questions())
        answer(queue, question, "match" if number % 3 else "no_match")
    assert built < 10
    assert time.process_time() - began - built < 4


changes = st.one_of(
    st.tuples(st.just("say"), couples, verdicts),
    st.tuples(st.just("photo"), detections, st.one_of(st.none(), st.integers(0, 30))),
)


@given(candidates, st.lists(changes, max_size=14), photos)
@settings(UNHURRIED, max_examples=200)
def test_whatever_is_said_taken_back_and_changed_gives_the_queue_that_is_built_anew(
    pairs: dict,
    steps: list,
    on: dict,  # type: ignore[type-arg]
) -> None:
    """Photos leave, come back and move to another image; answers are replaced and taken back."""
    queue, on, standing = queue_of(pairs, photos=dict(on)), dict(on), {}
    for kind, what, how in steps:
        if kind == "say":
            standing[what] = how
            queue.decide(*what, how)
            continue
        on.pop(what, None) if how is None else on.update({what: how})
        own = [Pair(a, b, p) for (a, b), p in pairs.items() if what in (a, b) and a in on and b in on]
        queue.replace(what, how, own)
    shown = {pair: p for pair, p in pairs.items() if pair[0] in on and pair[1] in on}
    anew = queue_of(shown, [(a, b, verdict) for (a, b), verdict in standing.items() if verdict], dict(on))

    def told(of: Queue) -> list[tuple]:  # type: ignore[type-arg]
        return sorted(
            (q.pair.a, q.pair.b, q.probability, q.stage, q.settles, q.compared, q.unsure) for q in of.questions()
        )

    for about in ([0], [1, 2, 3], range(8), [99]):
        groups = {queue.group(pk) for pk in about}
        some = [(q.left, q.right) for q in queue.questions() if {q.left, q.right} & groups]
        assert [(q.left, q.right) for q in queue.questions_about(about)] == some
    assert told(queue) == told(anew) and queue.open == anew.open == len(told(anew))
    assert queue.alone() == anew.alone()
    assert sorted(map(sorted, queue.groups())) == sorted(map(sorted, anew.groups()))
    assert sorted(queue.weights.rows()) == sorted(anew.weights.rows())
    for members in anew.groups():
        inside = [sorted((p.a, p.b) for p in of.pairs_inside(of.group(members[0]))) for of in (queue, anew)]
        assert inside[0] == inside[1]
    for a, b in itertools.combinations(range(8), 2):
        assert queue.settled(a, b) == anew.settled(a, b)


def test_old_entries_do_not_pile_up_before_the_next_question() -> None:
    """After thousands of answers the next question is found as quickly as after the first."""
    pairs = {(a, a + 10_000): 0.9 - a / 20_000 for a in range(6000)}
    queue = Queue({pk: pk for pair in pairs for pk in pair}, [Pair(a, b, p) for (a, b), p in pairs.items()])
    put_off = [next(queue.questions())]
    for _ in range(4000):
        question = next(q for q in queue.questions() if q not in put_off)
        queue.decide(question.pair.a, question.pair.b, "no_match")
    assert queue.open == 2000
    entries = sorted(entry for heap in queue._heaps for entry in heap)
    assert next(place for place, entry in enumerate(entries) if entry[-1].open) <= 64
    walked = sum(1 for _ in itertools.islice(queue.in_order(), 2))
    assert walked == 2 and sum(map(len, queue._heaps)) < 2200


def test_a_group_that_grows_leaves_no_more_old_entries_than_open_ones() -> None:
    """Each match weighs all links of a group anew; their old entries go, a part with each step, and the order stays."""
    pairs = [Pair(a, b, 0.3 + (a * 7 + b) % 97 / 300) for a in range(60) for b in range(60, 200)]
    queue = Queue({pk: pk for pk in range(200)}, pairs)
    for a in range(1, 60):
        queue.decide(0, a, "match")
        held = sum(map(len, queue._heaps))
        assert held <= 3 * queue.open + 2000
        found = [queue._entry(link) for link in queue.in_order()]
        assert found == sorted(found) and len(found) == queue.open
    assert queue.open == 140 and held < 2 * queue.open + 1500

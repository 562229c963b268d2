"""The signed graph against an oracle that knows nothing of disjoint sets."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from identification.matching.candidates import Scored, Side, compatible, keep
from identification.matching.graph import LoggedDecision, SignedGraph, fold

pairs = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(lambda p: p[0] != p[1]), max_size=14)


def reachable(start: int, matches: list[tuple[int, int]]) -> set[int]:
    seen = {start}
    while True:
        more = {b for a, b in matches if a in seen} | {a for a, b in matches if b in seen}
        if more <= seen:
            return seen
        seen |= more


def test_an_empty_graph_says_nothing() -> None:
    graph = SignedGraph.of([], [])
    assert graph.follows(1, 2) == ""
    assert graph.components([]) == []
    assert graph.contradictions() == []


def test_matches_join_and_refusals_reach_whole_groups() -> None:
    graph = SignedGraph.of([(1, 2), (2, 3), (4, 5)], [(3, 4)])
    assert graph.follows(1, 3) == "match"
    assert graph.follows(1, 5) == "no_match"
    assert graph.follows(1, 6) == ""
    assert graph.components([1, 2, 3, 4, 5, 6]) == [frozenset({1, 2, 3}), frozenset({4, 5}), frozenset({6})]


def test_a_refusal_inside_a_group_is_a_contradiction() -> None:
    graph = SignedGraph.of([(1, 2), (2, 3)], [(3, 1)])
    assert graph.follows(1, 2) == "contradiction"
    assert graph.contradictions() == [(1, 3)]


@given(pairs, pairs)
def test_what_follows_agrees_with_walking_the_graph(matches: list, refusals: list) -> None:
    graph = SignedGraph.of(matches, refusals)
    groups = {item: frozenset(reachable(item, matches)) for item in range(10)}
    for a, b in itertools.combinations(range(10), 2):
        refused = any(
            {x in groups[a], y in groups[b]} == {True} or {y in groups[a], x in groups[b]} == {True}
            for x, y in refusals
        )
        if groups[a] == groups[b]:
            refused = any(x in groups[a] and y in groups[a] for x, y in refusals)
            assert graph.follows(a, b) == ("contradiction" if refused else "match")
        else:
            assert graph.follows(a, b) == ("no_match" if refused else "")
    assert set(graph.components(range(10))) == set(groups.values())


def test_no_decision_stands_of_an_empty_log() -> None:
    assert fold([]) is None


def test_an_undo_brings_back_what_was_before() -> None:
    log = [LoggedDecision(1, "match"), LoggedDecision(2, "no_match"), LoggedDecision(3, "", undoes=2)]
    assert fold(log) == log[0]


def test_an_undo_of_an_undo_restores() -> None:
    log = [LoggedDecision(1, "match"), LoggedDecision(2, "", undoes=1), LoggedDecision(3, "", undoes=2)]
    assert fold(log) == log[0]


@given(st.lists(st.one_of(st.sampled_from(["match", "no_match", "unsure"]), st.just("undo")), max_size=12), st.data())
@settings(max_examples=200)
def test_the_fold_is_the_last_decision_left_when_the_undone_are_struck_out(
    steps: list[str], data: st.DataObject
) -> None:
    """Oracle: a list from which each undo strikes a decision that still stands."""
    log: list[LoggedDecision] = []
    standing: list[LoggedDecision] = []
    for number, step in enumerate(steps):
        if step == "undo":
            if not standing:
                continue
            struck = data.draw(st.sampled_from(standing))
            standing.remove(struck)
            log.append(LoggedDecision(number, "", undoes=struck.id))
        else:
            log.append(LoggedDecision(number, step))
            standing.append(log[-1])
    assert fold(log) == (standing[-1] if standing else None)


def test_no_candidates_of_nothing() -> None:
    assert keep([]) == []


def test_the_best_are_kept_and_then_one_of_each_further_group() -> None:
    crowd = [Scored(i, 100.0 - i, group=1) for i in range(8)]
    others = [Scored(50, 5.0, group=2), Scored(51, 4.0, group=2), Scored(52, 3.0, group=3)]
    kept = [item.detection for item in keep([*others, *crowd], best=3, kept=5)]
    assert kept == [0, 1, 2, 50, 52]


def test_equal_scores_go_by_id() -> None:
    assert [s.detection for s in keep([Scored(9, 1.0, 1), Scored(3, 1.0, 2)])] == [3, 9]


def test_two_boxes_of_one_photo_are_never_compared() -> None:
    assert not compatible(Side(1, 7, "unknown", 1), Side(2, 7, "unknown", 1))


def test_a_left_coat_is_never_compared_with_a_right_one() -> None:
    left, right, unknown = (Side(i, i, flank, 1) for i, flank in enumerate(("left", "right", "unknown")))
    assert not compatible(left, right)
    assert compatible(left, unknown)
    assert compatible(right, unknown)

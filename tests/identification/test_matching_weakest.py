"""Which matches would have to be wrong for two detections to be two animals."""

from __future__ import annotations

import math
from itertools import chain, combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identification.matching.graph import SignedGraph, doubt, weakest_links


def test_what_is_not_connected_has_no_weakest_link() -> None:
    assert weakest_links({}, 1, 2) == []
    assert weakest_links({(1, 3): 0.1, (2, 4): 0.1}, 1, 2) == []
    assert weakest_links({(1, 2): 0.1}, 1, 1) == []


def test_on_a_chain_it_is_the_most_doubtful_match() -> None:
    assert weakest_links({(1, 2): 0.01, (2, 3): 0.3, (3, 4): 0.02}, 1, 4) == [(2, 3)]
    assert weakest_links({(1, 2): 0.01, (2, 3): 0.3, (3, 4): 0.02}, 3, 4) == [(3, 4)]


def test_branches_that_lead_elsewhere_are_not_named() -> None:
    assert weakest_links({(1, 2): 0.01, (2, 9): 0.9, (2, 3): 0.02}, 1, 3) == [(2, 3)]


def test_where_two_ways_lead_both_must_be_wrong() -> None:
    square = {(1, 2): 0.1, (2, 4): 0.3, (1, 3): 0.2, (3, 4): 0.1}
    assert weakest_links(square, 1, 4) == [(1, 3), (2, 4)]


def test_one_bridge_is_likelier_wrong_than_two_ways_at_once() -> None:
    edges = {(1, 2): 0.05, (2, 3): 0.2, (2, 4): 0.2, (3, 5): 0.2, (4, 5): 0.2}
    assert weakest_links(edges, 1, 5) == [(1, 2)]
    assert weakest_links(edges | {(1, 2): 0.01}, 1, 5) == [(2, 3), (2, 4)]


def test_doubt_falls_with_the_probability_of_the_coats() -> None:
    grades = [doubt("reviewer", p) for p in (0.0, 0.2, 0.5, 0.9, 1.0)]
    assert grades == sorted(grades, reverse=True) and grades[-1] > 0 and grades[0] < 1
    assert doubt("reviewer", None) == doubt("reviewer", 0.5) == pytest.approx(0.02)
    assert doubt("reviewer", 0.98) < doubt("same_event", None)
    assert doubt("reviewer", 0.1) > doubt("paired_cameras", None)
    assert doubt("something new", None) == doubt("reviewer", None)


edges = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda pair: pair[0] < pair[1]),
    st.sampled_from([0.01, 0.05, 0.2, 0.5, 0.9]),
    max_size=9,
)


def _separates(doubts: dict[tuple[int, int], float], taken: tuple[tuple[int, int], ...]) -> bool:
    graph = SignedGraph.of(pair for pair in doubts if pair not in taken)
    return graph.root(0) != graph.root(5)


@given(edges)
def test_it_is_the_likeliest_set_of_mistakes_by_trying_them_all(doubts: dict[tuple[int, int], float]) -> None:
    named = tuple(weakest_links(doubts, 0, 5))
    assert _separates(doubts, named)
    every = chain.from_iterable(combinations(doubts, size) for size in range(len(doubts) + 1))
    best = max(math.prod(doubts[pair] for pair in taken) for taken in every if _separates(doubts, taken))
    assert math.prod(doubts[pair] for pair in named) == pytest.approx(best)
    for pair in named:
        assert not _separates(doubts, tuple(other for other in named if other != pair))

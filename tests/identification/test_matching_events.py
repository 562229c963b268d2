"""Bursts and facing cameras: what time and place propose."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identification.matching import events
from identification.matching.events import MOST_IN_GROUP, Group, Link, Shot, bursts_of, cautions, groups_of, links
from identification.matching.graph import SignedGraph

START = datetime(2024, 3, 1, 6, tzinfo=UTC)


def shot(number: int, second: float, camera: str = "A", *, station: int = 1, **values) -> Shot:
    """A photo with one readable animal, `second` seconds after START; detection = 100 + image."""
    defaults = {"in_view": 1, "detection": 100 + number}
    return Shot(number, station, camera, START + timedelta(seconds=second), **{**defaults, **values})


def crowd(number: int, second: float, camera: str = "A", animals: int | None = 2) -> Shot:
    return shot(number, second, camera, in_view=animals, detection=None)


def found(shots: list[Shot]) -> list[tuple[str, tuple[int, ...]]]:
    return [(group.kind, tuple(s.image for s in group.shots)) for group in groups_of(shots)]


def test_nothing_comes_of_nothing() -> None:
    assert groups_of([]) == [] and bursts_of([]) == []
    assert groups_of([shot(1, 0)]) == []


def test_photos_of_one_camera_at_most_a_minute_apart_are_a_burst() -> None:
    assert found([shot(3, 120), shot(1, 0), shot(2, 60), shot(4, 181), shot(5, 200)]) == [
        ("same_event", (1, 2, 3)),
        ("same_event", (4, 5)),
    ]


def test_other_cameras_and_stations_are_other_bursts() -> None:
    assert found([shot(1, 0), shot(2, 30, "B"), shot(3, 31, station=2)]) == []


def test_two_animals_on_a_photo_end_the_burst_and_begin_another() -> None:
    assert found([shot(1, 0), shot(2, 1), crowd(3, 2), shot(4, 3), shot(5, 4)]) == [
        ("same_event", (1, 2)),
        ("same_event", (4, 5)),
    ]
    assert found([shot(1, 0), crowd(2, 1), shot(3, 2)]) == []


def test_a_photo_that_nothing_looked_at_ends_the_burst_too() -> None:
    assert found([shot(1, 0), crowd(2, 1, animals=None), shot(3, 2)]) == []


def test_an_empty_photo_neither_joins_nor_parts() -> None:
    empty = crowd(2, 40, animals=0)
    assert found([shot(1, 0), empty, shot(3, 55)]) == [("same_event", (1, 3))]
    assert found([shot(1, 0), empty, shot(3, 80)]) == []


def test_an_unreadable_coat_holds_a_burst_together_and_is_no_part_of_it() -> None:
    blurred = shot(2, 50, detection=None)
    assert found([shot(1, 0), blurred, shot(3, 100)]) == [("same_event", (1, 3))]
    assert found([shot(1, 0), blurred]) == []


def test_facing_cameras_that_fire_within_seconds_are_one_visit_with_all_photos_of_both() -> None:
    rows = [shot(1, 0), shot(2, 2), shot(3, 12, "B"), shot(4, 30, "B")]
    assert found(rows) == [("paired_cameras", (1, 2, 3, 4))]
    assert groups_of(rows)[0].seconds == 30


def test_cameras_that_fire_later_are_not_paired() -> None:
    assert found([shot(1, 0), shot(2, 10.5, "B")]) == []
    assert found([shot(1, 0), shot(2, 10, "B")]) == [("paired_cameras", (1, 2))]


def test_a_camera_without_a_name_has_bursts_but_no_partner() -> None:
    assert found([shot(1, 0, ""), shot(2, 5, ""), shot(3, 6, "B")]) == [("same_event", (1, 2))]


def test_a_clock_that_may_be_wrong_pairs_nothing() -> None:
    rows = [shot(1, 0, clock_known=False), shot(2, 5, clock_known=False), shot(3, 6, "B")]
    assert found(rows) == [("same_event", (1, 2))]


@pytest.mark.parametrize("camera", ["A", "B"])
def test_two_animals_near_in_time_keep_cameras_from_being_paired(camera: str) -> None:
    """A mother alone in front of one camera and her cub in front of the other, after both were seen together."""
    assert found([crowd(1, 0, camera), shot(2, 40, "A"), shot(3, 42, "B")]) == []
    assert found([crowd(1, 0, camera), shot(2, 62, "A"), shot(3, 64, "B")]) == [("paired_cameras", (2, 3))]


def test_each_burst_has_one_partner_the_nearest() -> None:
    rows = [shot(1, 0), shot(2, 3, "B"), shot(3, 70, "B"), shot(4, 68)]
    assert found(rows) == [("paired_cameras", (1, 2)), ("paired_cameras", (4, 3))]
    contested = [shot(1, 0), shot(2, 5, "B"), shot(3, 58, "B"), shot(4, 61)]
    assert found(contested) == [("paired_cameras", (2, 3, 4))]


def test_three_cameras_of_one_station_are_one_visit() -> None:
    assert found([shot(1, 0), shot(2, 8, "B"), shot(3, 16, "C")]) == [("paired_cameras", (1, 2, 3))]


def test_a_group_is_joined_by_neighbours_and_one_link_across() -> None:
    [group] = groups_of([shot(1, 0), shot(2, 2, "B"), shot(3, 3), shot(4, 5, "B")])
    assert links(group) == [
        Link(101, 103, "same_event"),
        Link(102, 103, "paired_cameras"),
        Link(102, 104, "same_event"),
    ]
    assert links(group, {101, 104}) == [Link(101, 104, "paired_cameras")]
    assert links(group, {101, 103}) == [Link(101, 103, "same_event")]
    assert links(group, {101}) == []


def test_a_long_stay_is_cut_into_groups_that_share_a_photo() -> None:
    stay = [shot(i, 10 * i) for i in range(100)]
    parts = groups_of(stay)
    assert [len(part.shots) for part in parts] == [40, 40, 22]
    assert parts[0].shots[-1] == parts[1].shots[0]
    pairs = [(link.first, link.second) for part in parts for link in links(part)]
    assert len(SignedGraph.of(pairs).components(range(100, 200))) == 1


def test_a_long_stay_before_two_cameras_is_tied_by_its_nearest_photos() -> None:
    stay = [shot(i, 10 * i) for i in range(60)] + [shot(60 + i, 10 * i + 1, "B") for i in range(3)]
    kinds = [(group.kind, len(group.shots)) for group in groups_of(stay)]
    assert sorted(kinds) == [("paired_cameras", 2), ("same_event", 3), ("same_event", 21), ("same_event", 40)]


def test_the_key_follows_the_photos_and_the_kind_alone() -> None:
    one, same = groups_of([shot(1, 0), shot(2, 5)])[0], groups_of([shot(1, 900), shot(2, 903)])[0]
    assert one.key == same.key and len(one.key) == 64
    assert one.key != groups_of([shot(1, 0), shot(2, 5), shot(3, 6)])[0].key
    assert one.key != Group("paired_cameras", one.shots).key


def test_an_animal_that_turns_stays_in_the_group_and_is_pointed_out() -> None:
    [group] = groups_of([shot(1, 0, flank="left"), shot(2, 5), shot(3, 9, flank="right")])
    assert len(group.shots) == 3 and cautions(group.shots) == ("turned",)
    assert cautions([shot(1, 0, flank="left"), shot(2, 5), shot(3, 5, flank="left")]) == ()


def test_the_same_flank_before_facing_cameras_is_pointed_out() -> None:
    left = shot(1, 0, flank="left")
    assert cautions([left, shot(2, 1, "B", flank="left")]) == ("same_side",)
    assert cautions([left, shot(2, 1, "B", flank="right")]) == ()
    assert cautions([left, shot(2, 1, "B")]) == ()
    assert cautions([left, shot(3, 2, flank="right"), shot(2, 1, "B", flank="right")]) == ("turned",)


shots = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.sampled_from(["A", "B", ""]),
        st.integers(1, 2),
        st.sampled_from([1, 1, 1, 1, 0, 2, None]),
        st.booleans(),
    ),
    max_size=24,
).map(
    lambda rows: [
        shot(
            i,
            second,
            camera,
            station=place,
            in_view=animals,
            detection=100 + i if animals == 1 else None,
            clock_known=ok,
        )
        for i, (second, camera, place, animals, ok) in enumerate(rows)
    ]
)


@given(shots)
def test_no_group_breaks_a_rule(rows: list[Shot]) -> None:
    groups = groups_of(rows)
    seen = [pk for group in groups for pk in group.detections]
    assert len(seen) == len(set(seen)), "short bursts: a photo is in one group"
    for group in groups:
        assert len({s.station for s in group.shots}) == 1
        assert len(group.shots) >= 2 and all(s.in_view == 1 and s.detection for s in group.shots)
        pairs = links(group)
        assert len(pairs) == len(group.shots) - 1
        assert len(SignedGraph.of((p.first, p.second) for p in pairs).components(group.detections)) == 1
        for place in range(1, len(pairs)):
            before = {pk for pair in pairs[:place] for pk in (pair.first, pair.second)}
            assert len(before & {pairs[place].first, pairs[place].second}) == 1, "each link adds one photo"
        by_id = {s.detection: s for s in group.shots}
        for pair in pairs:
            one, other = by_id[pair.first], by_id[pair.second]
            apart = (other.at - one.at).total_seconds()
            across = one.camera != other.camera
            assert pair.kind == ("paired_cameras" if across else "same_event")
            assert 0 <= apart <= (events.PAIR_SECONDS if across else events.BURST_SECONDS)
            assert not across or (one.clock_known and other.clock_known)
            between = [
                s for s in rows if (s.station, s.camera) == (one.station, one.camera) and one.at < s.at < other.at
            ]
            assert across or not any(s.crowded for s in between)
        assert (group.kind == "paired_cameras") == (len({s.camera for s in group.shots}) > 1)


@given(shots, st.randoms())
def test_the_order_of_the_photos_says_nothing(rows: list[Shot], random) -> None:
    mixed = rows[:]
    random.shuffle(mixed)
    assert groups_of(mixed) == groups_of(rows)


def _oracle(rows: list[Shot]) -> set[tuple[int, int]]:
    """Pairs of one camera that a burst joins: by the definition, pair by pair, without sweeping."""
    joined = set()
    for a, b in combinations([s for s in rows if s.detection], 2):
        one, other = sorted((a, b), key=lambda s: (s.at, s.image))
        if (one.station, one.camera) != (other.station, other.camera):
            continue
        camera = [s for s in rows if (s.station, s.camera) == (one.station, one.camera) and s.in_view != 0]
        way = sorted(
            (s for s in camera if (one.at, one.image) <= (s.at, s.image) <= (other.at, other.image)),
            key=lambda s: (s.at, s.image),
        )
        steps = [(y.at - x.at).total_seconds() for x, y in pairwise(way)]
        if max(steps) <= events.BURST_SECONDS and not any(s.crowded for s in way):
            joined.add((one.image, other.image))
    return joined


@given(shots)
def test_bursts_join_exactly_the_pairs_of_the_definition(rows: list[Shot]) -> None:
    joined = {(a.image, b.image) for group in bursts_of(rows) for a, b in combinations(group.shots, 2)}
    assert joined == _oracle(rows)
    assert MOST_IN_GROUP > 24

"""The traps that are closed by construction: heading, near-duplicates of one event; and what is not known."""

from __future__ import annotations

import numpy as np
import pytest

from modelzoo.evaluation import EvaluationPhoto, evaluate_scores, evaluate_vectors, events_from_names


def test_a_scorer_that_sees_only_the_heading_falls_to_chance_when_headings_are_normalised() -> None:
    """One animal of three walks left: its vectors say so and nothing else."""
    rng = np.random.default_rng(4)
    names = ["l"] * 40 + ["r"] * 40 + ["s"] * 40
    for known in (True, False):
        photos = [
            EvaluationPhoto(str(i), name, name, flank=("left" if name == "l" else "right") if known else "unknown")
            for i, name in enumerate(names)
        ]
        heading = np.where(np.array(names) == "l", -1.0, 1.0)
        grain = 0.01 * rng.normal(size=(120, 40))
        vectors = np.column_stack([heading, grain])
        mirrored = np.column_stack([-heading, grain])
        report = evaluate_vectors(vectors, photos, mirrored=mirrored, resamples=0)
        seen, turned = report["all", "as_seen"], report["all", "normalised"]
        assert seen["t1"].value > 0.55
        assert turned["t1"].value == pytest.approx(turned.chance["t1"], abs=0.12)
        left = np.flatnonzero(heading < 0)
        assert seen.per_query["t1"][left].mean() == 1.0
        assert turned.per_query["t1"][left].mean() < 0.6


def test_near_duplicates_of_an_event_do_not_help_when_events_are_left_out() -> None:
    """Each photo is like its neighbour in the event and like nothing else."""
    rng = np.random.default_rng(4)
    photos, vectors = [], []
    for event in range(12):
        moment = rng.normal(size=30)
        for shot in range(2):
            photos.append(EvaluationPhoto(f"{event}/{shot}", str(event % 3), str(event % 3), str(event), "right"))
            vectors.append(moment + 0.01 * rng.normal(size=30))
    report = evaluate_vectors(np.array(vectors), photos, resamples=0)
    assert report["all", "as_seen"]["t1"].value == 1.0
    strict = report["other_events", "as_seen"]
    assert strict["t1"].value < 0.6
    assert strict.queries == 24 and "share" not in strict.reason


def test_what_is_not_known_is_said_and_not_filled_with_other_numbers() -> None:
    photos = [EvaluationPhoto(str(i), name, name, flank="left" if i else "right") for i, name in enumerate("aabb")]
    report = evaluate_vectors(np.eye(4) + 0.1, photos, resamples=0)
    assert report["all", "as_seen"].known
    assert not report["all", "normalised"].known and "mirrored" in report["all", "normalised"].reason
    assert not report["other_events", "as_seen"].known and "not known" in report["other_events", "as_seen"].reason
    values = report.to_dict()["tables"]["other_events"]["normalised"]
    assert set(values) == {"known", "reason"}
    assert report.honest_variant() == ("all", "as_seen")


def test_photos_of_unknown_event_neither_ask_nor_answer_and_it_is_said() -> None:
    events = ["1", "2", None, "3"]
    photos = [EvaluationPhoto(str(i), "aaab"[i], "aaab"[i], events[i], "right") for i in range(4)]
    report = evaluate_vectors(np.eye(4) + 0.1, photos, resamples=0)
    table = report["other_events", "as_seen"]
    assert (table.photos, table.queries) == (3, 2)
    assert "known of 3 of 4 photos" in table.reason and "No two photos share an event" in table.reason
    assert report.honest_variant() == ("other_events", "normalised")


def test_animals_that_all_face_one_way_need_no_mirrored_vectors() -> None:
    photos = [EvaluationPhoto(str(i), name, name, flank="left") for i, name in enumerate("aabb")]
    report = evaluate_vectors(np.eye(4) + 0.1, photos, resamples=0)
    assert report["all", "normalised"] == report["all", "as_seen"]


def test_scores_are_taken_mirrored_where_the_flanks_differ() -> None:
    flanks = ["left", "right", "unknown", "left"]
    photos = [EvaluationPhoto(str(i), "a" if i < 2 else "b", "a" if i < 2 else "b", flank=flanks[i]) for i in range(4)]
    seen = np.zeros((4, 4))
    seen[0, 3] = 3.0
    mirrored = np.full((4, 4), 2.0)
    mirrored[0, 1] = 7.0
    mirrored[2, 0] = 6.5
    table = evaluate_scores(seen, photos, mirrored=mirrored, resamples=0)["all", "normalised"]
    # Query 0 (left): photo 1 (right) by its own mirror image 7, photo 2 (unknown) by the best 6.5, photo 3 (left) 3.
    # Query 1 (right): photo 0 by the mirror image of photo 0, also 7.
    assert table.per_query["t1"][:2].tolist() == [1.0, 1.0]
    assert evaluate_scores(seen, photos, resamples=0)["all", "normalised"].known is False


def test_events_come_from_names_that_state_station_and_time_and_are_never_guessed() -> None:
    names = [
        "0_0_BG-102B-2019-03-01_19-49-36.jpg",
        "BHA32/0_0_BG-102A-2019-03-01_20-10-00.jpg",  # the other camera of the station, 20 minutes later
        "0_0_BG-102B-2019-03-01_20-39-00.jpg",  # 29 minutes after that: still the same event
        "0_0_BG-102B-2019-03-01_21-10-00.jpg",
        "0_0_BG-103B-2019-03-01_19-50-00.jpg",
        "02__Station12__Camera2__2012-6-14__11-53-34(5).JPG",
        "02__Station12__Camera1__2012-6-14__11-53-0(5).JPG",
        "000384.jpg",
        "126_leftphoto.jpg",
        "2019-03-01_19-49-36.jpg",
        "X1A-2019-13-01_19-49-36.jpg",
    ]
    events = events_from_names(names)
    assert events[0] == events[1] == events[2] == "bg-102 2019-03-01 19:49:36"
    assert events[3] not in (None, events[0])
    assert events[4] not in (None, events[0], events[3])
    assert events[5] == events[6] is not None
    assert events[7:] == [None, None, None, None]
    assert events_from_names(names, minutes=5)[1] != events[0]
    assert events_from_names([]) == []


@pytest.mark.shared_data
def test_events_of_the_real_sets(shared_data) -> None:  # type: ignore[no-untyped-def]
    leopards = sorted(path.name for path in (shared_data / "spotid" / "crops").rglob("*.jpg"))
    events = events_from_names(leopards)
    assert None not in events
    # Two photos of 118A are a second apart; every other one stands alone.
    assert len(set(events)) == 35
    tigers = [path.name for path in (shared_data / "atrw").rglob("*.jpg")]
    assert set(events_from_names(tigers)) == {None}

"""Which animals are trained on, which decide when to stop, which are seen once."""

from pathlib import Path

import pytest

from modelzoo.training.data import TrainingPhoto
from modelzoo.training.splits import TooFewPhotosError, split_individuals


def photos(counts: dict[str, int]) -> list[TrainingPhoto]:
    """{identity: photos}; an identity is INDIVIDUAL_FLANK."""
    return [
        TrainingPhoto(f"{name}/{i}", name, name.split("_")[0], Path(f"{name}-{i}.png"), flank=name.split("_")[1])
        for name, count in counts.items()
        for i in range(count)
    ]


def animals(part) -> set[str]:
    return {photo.individual for photo in part}


MANY = {f"a{i}_{flank}": 3 for i in range(20) for flank in ("left", "right")} | {f"s{i}_left": 1 for i in range(20)}


def test_no_photos_are_too_few():
    with pytest.raises(TooFewPhotosError, match=r"at least 6 individuals .* there are 0"):
        split_individuals([], 0)


def test_every_photo_is_in_one_part_and_no_animal_in_two():
    everything = photos(MANY)
    split = split_individuals(everything, 1)
    parts = (split.train, split.validation, split.test)
    assert sorted(p.key for part in parts for p in part) == sorted(p.key for p in everything)
    assert sum(len(animals(part)) for part in parts) == 40
    assert not animals(split.train) & animals(split.validation)


def test_each_part_gets_its_share_of_animals_with_and_without_a_second_photo():
    split = split_individuals(photos(MANY), 1, (0.6, 0.2, 0.2))
    for part, expected in ((split.train, 12), (split.validation, 4), (split.test, 4)):
        assert sum(name[0] == "a" for name in animals(part)) == expected
        assert sum(name[0] == "s" for name in animals(part)) == expected


def test_same_seed_same_split_whatever_the_order():
    everything = photos(MANY)
    first, again = split_individuals(everything, 5), split_individuals(everything[::-1], 5)
    assert animals(first.train) == animals(again.train)
    assert animals(first.train) != animals(split_individuals(everything, 6).train)


def test_small_shares_still_get_two_animals_that_can_be_ranked():
    split = split_individuals(photos({f"a{i}_left": 2 for i in range(6)}), 0, (0.98, 0.01, 0.01))
    assert [len(animals(p)) for p in (split.train, split.validation, split.test)] == [2, 2, 2]


def test_a_test_share_of_nothing_leaves_no_test_photos():
    split = split_individuals(photos({f"a{i}_left": 2 for i in range(4)}), 0, (0.5, 0.5, 0.0))
    assert len(animals(split.train)) == len(animals(split.validation)) == 2
    assert split.test == ()


def test_two_single_photos_of_two_flanks_are_no_pair():
    counts = {f"a{i}_left": 2 for i in range(5)} | {"b_left": 1, "b_right": 1}
    with pytest.raises(TooFewPhotosError, match="there are 5"):
        split_individuals(photos(counts), 0)


def test_a_flank_of_two_animals_is_refused():
    muddled = [TrainingPhoto("1", "x_left", "x", Path("1.png")), TrainingPhoto("2", "x_left", "y", Path("2.png"))]
    with pytest.raises(ValueError, match="two individuals: x_left"):
        split_individuals(muddled, 0)


@pytest.mark.parametrize("shares", [(1, 0, 0), (0.5, 0.5), (0.5, 0.4, 0.2), (1.2, -0.1, -0.1)])
def test_impossible_shares_are_refused(shares):
    with pytest.raises(ValueError, match="shares are three numbers"):
        split_individuals(photos(MANY), 0, shares)

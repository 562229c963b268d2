"""Batches: a few photos of each identity, every photo once an epoch."""

from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest

from modelzoo.training.sampler import IdentitySampler

LABELS = [f"{name}_{side}" for name in "abcdefgh" for side in ("left", "right") for _ in range(7)]


def sampler(labels=LABELS, *, batch_size=16, per_identity=4, seed=3, drop_singletons=True) -> IdentitySampler:
    return IdentitySampler(
        labels, batch_size=batch_size, per_identity=per_identity, seed=seed, drop_singletons=drop_singletons
    )


def seen(batches) -> list[int]:
    return sorted(chain.from_iterable(batches))


def test_no_photos_give_no_batches():
    assert sampler([]).batches(1) == []


def test_every_photo_is_seen_once_an_epoch():
    for epoch in range(3):
        assert seen(sampler().batches(epoch)) == list(range(len(LABELS)))


def test_no_identity_has_more_than_its_photos_in_a_batch():
    for batch in sampler().batches(1):
        assert len(batch) <= 16
        assert max(Counter(LABELS[i] for i in batch).values()) <= 4


def test_photos_of_an_identity_stand_together_so_that_parts_of_a_batch_keep_pairs():
    for batch in sampler().batches(1):
        names = [LABELS[i] for i in batch]
        changes = sum(a != b for a, b in pairwise(names))
        assert changes == len(set(names)) - 1


def test_full_batches_have_four_of_each():
    first = sampler().batches(1)[0]
    assert set(Counter(LABELS[i] for i in first).values()) == {4}


def test_both_flanks_of_an_animal_meet_in_a_batch():
    together = 0
    for epoch in range(5):
        for batch in sampler(batch_size=48).batches(epoch):
            names = {LABELS[i] for i in batch}
            together += sum(f"{name}_right" in names for name in "abcdefgh" if f"{name}_left" in names)
    assert together > 5


def test_same_seed_and_epoch_give_the_same_batches():
    assert sampler().batches(4) == sampler().batches(4)
    assert sampler().batches(4) != sampler().batches(5)
    assert sampler().batches(4) != sampler(seed=4).batches(4)


def test_singletons_are_dropped_or_kept():
    labels = ["a", "a", "b", "c", "c"]
    assert seen(sampler(labels).batches(1)) == [0, 1, 3, 4]
    assert sampler(labels).photos == 4
    assert seen(sampler(labels, drop_singletons=False).batches(1)) == [0, 1, 2, 3, 4]


def test_a_last_photo_alone_joins_the_batch_before():
    batches = sampler(["a"] * 5, per_identity=4).batches(1)
    assert [len(b) for b in batches] == [5]


def test_identities_are_drawn_by_the_logarithm_of_what_remains():
    labels = ["many"] * 63 + ["two"] * 2 + ["other"] * 2
    first = Counter(labels[sampler(labels, batch_size=2, per_identity=2, seed=s).batches(1)[0][0]] for s in range(1000))
    weight = {"many": np.log(64), "two": np.log(3), "other": np.log(3)}
    for name, value in weight.items():
        assert first[name] / 1000 == pytest.approx(value / sum(weight.values()), abs=0.05)


@pytest.mark.parametrize(("batch_size", "per_identity"), [(1, 1), (4, 0)])
def test_batches_of_one_are_refused(batch_size, per_identity):
    with pytest.raises(ValueError, match="at least two"):
        sampler(batch_size=batch_size, per_identity=per_identity)

import numpy as np
import pytest

from modelzoo.local import LocalConfig, LocalFeatures, extract
from modelzoo.local.inverted import _BITS, InvertedIndex
from modelzoo.synthetic import make_crop

CONFIG = LocalConfig()


@pytest.fixture(scope="module")
def catalogue() -> list[LocalFeatures]:
    """Two views of each of ten coats, one after the other."""
    crops = [make_crop(5, animal, "left", view, (320, 160)) for animal in range(10) for view in (1, 2)]
    return [extract(crop.rgb, crop.mask.astype(np.uint8) * 255, CONFIG) for crop in crops]


def test_an_empty_catalogue_and_an_empty_query_have_no_votes(catalogue):
    assert len(InvertedIndex([]).votes(catalogue[0])) == 0
    assert InvertedIndex([]).shortlist(catalogue[0], 5)[0].tolist() == []
    index = InvertedIndex([LocalFeatures.empty(), *catalogue[:2]])
    assert index.votes(LocalFeatures.empty()).tolist() == [0, 0, 0]
    assert index.votes(catalogue[0])[0] == 0


def test_every_photo_finds_itself_and_then_its_own_animal(catalogue):
    index = InvertedIndex(catalogue)
    firsts = [index.shortlist(query, 2)[0].tolist() for query in catalogue]
    assert [first[0] for first in firsts] == list(range(20))
    assert np.mean([first[1] // 2 == i // 2 for i, first in enumerate(firsts)]) >= 0.8


def test_the_same_catalogue_gives_the_same_votes(catalogue):
    one, other = InvertedIndex(catalogue), InvertedIndex(catalogue)
    assert np.array_equal(one.votes(catalogue[3]), other.votes(catalogue[3]))


def test_a_catalogue_that_is_read_again_and_again_is_never_asked_for_a_place(catalogue):
    class Stream:
        def __len__(self) -> int:
            return len(catalogue)

        def __iter__(self):
            return iter(catalogue)

        def __contains__(self, item: object) -> bool:
            raise NotImplementedError

    assert np.array_equal(InvertedIndex(Stream()).votes(catalogue[0]), InvertedIndex(catalogue).votes(catalogue[0]))


def test_votes_are_those_of_a_plain_search_where_every_list_is_looked_into(catalogue):
    """An independent loop over all pairs of keypoints, with the index's own signatures."""
    few = [_strongest(f, 40) for f in catalogue[:6]]
    index = InvertedIndex(few, keypoints=40, cells=10**6)
    query = few[2]
    bits = [np.unpackbits(index._signatures(index._rows(f)).view(np.uint8), axis=1).astype(int) for f in few]
    expected = np.zeros(len(few))
    moves: list[list[tuple[float, float, float]]] = [[] for _ in few]
    for k in range(len(query)):
        nearest = []
        for d, f in enumerate(few):
            best = None
            for m in range(len(f)):
                moved = _place(f, m) - _place(query, k)
                if abs(moved[0]) >= 0.5 or abs(moved[1]) >= 0.5 or abs(moved[2]) >= 0.8:
                    continue
                distance = int((bits[d][m] != bits[2][k]).sum())
                if best is None or distance < best[0]:
                    best = (distance, d, moved)
            if best is not None:
                nearest.append(best)
        ordered = sorted(item[0] for item in nearest)
        background = ordered[2] if len(ordered) > 2 else _BITS / 2
        for distance, d, moved in nearest:
            moves[d].append((max(background - distance, 0) / _BITS, float(moved[0]), float(moved[1])))
    for d, votes in enumerate(moves):
        for across in (0.0, 0.5):
            for down in (0.0, 0.5):
                cells: dict[tuple[int, int], float] = {}
                for gain, x, y in votes:
                    cell = (int(np.floor(x / 0.2 + across)), int(np.floor(y / 0.2 + down)))
                    cells[cell] = cells.get(cell, 0.0) + gain
                expected[d] = max([expected[d], *cells.values()])
    found = index.votes(query)
    # Of equally near descriptors either may be taken, so a move can differ; what is far ahead may not.
    assert int(np.argmax(found)) == int(np.argmax(expected)) == 2
    assert np.allclose(found, expected, atol=0.15)


def _strongest(features: LocalFeatures, count: int) -> LocalFeatures:
    return LocalFeatures(features.points[:count], features.descriptors[:count], features.width, features.height)


def _place(features: LocalFeatures, k: int) -> np.ndarray:
    side = (features.width * features.height) ** 0.5
    x, y = features.points[k, 0] * features.width / side, features.points[k, 1] * features.height / side
    return np.array([x, y, np.log2(max(features.points[k, 2], 0.1))])

"""What a training advises, from comparisons that are made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from identification.inference.evaluating import Stored, _load
from identification.inference.training import Trained
from identification.inference.training_report import SERVING, START, UNTRAINED, _advise, _coat, _unreadable
from identification.selectors.training_set import TrainingRow
from modelzoo.evaluation.bootstrap import Figure
from modelzoo.evaluation.comparison import Comparison

NAMES = {SERVING: "old – in use now", START: "begun from", UNTRAINED: "same network, untrained"}


def compared(advice: str) -> Comparison:
    change = {"activate": 0.2, "do not activate": -0.2}.get(advice, 0.0)
    return Comparison(
        variant=("all", "as_seen"),
        old=0.5,
        new=0.5 + change,
        difference=Figure(change, change - 0.1, change + 0.1),
        queries=30,
        individuals=10,
        advice=advice,  # type: ignore[arg-type]
        sentence=f"{advice}.",
        differences={},
    )


def trained(best_epoch: int = 3) -> Trained:
    return Trained(Path("w"), "0" * 64, {}, [], best_epoch, 5, False, False, [])


BETTER, SAME, WORSE = "activate", "no measurable difference", "do not activate"


@pytest.mark.parametrize(
    ("serving", "untrained", "advice"),
    [
        (BETTER, BETTER, BETTER),
        (BETTER, SAME, SAME),
        (BETTER, WORSE, SAME),
        (SAME, BETTER, SAME),
        (WORSE, BETTER, WORSE),
        (WORSE, WORSE, WORSE),
    ],
)
def test_a_gain_must_show_against_the_model_in_use_and_against_the_untrained_network(
    serving: str, untrained: str, advice: str
) -> None:
    said, sentences, verdict = _advise({SERVING: compared(serving), UNTRAINED: compared(untrained)}, NAMES, trained())
    assert said == verdict.advice == advice, "the page and the report must say the same"
    assert any("old – in use now" in sentence for sentence in sentences)
    assert any("learned coats" in sentence for sentence in sentences) == (serving == BETTER and untrained != BETTER)


def test_without_a_model_in_use_the_start_or_the_untrained_network_is_what_counts() -> None:
    assert _advise({START: compared(WORSE), UNTRAINED: compared(BETTER)}, NAMES, trained())[0] == WORSE
    assert _advise({UNTRAINED: compared(BETTER)}, NAMES, trained())[0] == BETTER
    said, sentences, verdict = _advise({}, NAMES, trained())
    assert (said, verdict) == (SAME, None) and "nothing to hold" in sentences[0]


def test_a_training_in_which_no_epoch_was_better_says_so() -> None:
    sentences = _advise({SERVING: compared(SAME)}, NAMES, trained(best_epoch=0))[1]
    assert any("nothing was learned" in sentence for sentence in sentences)


def test_no_gain_counts_where_the_measured_animals_may_be_known() -> None:
    comparisons = {SERVING: compared(BETTER), UNTRAINED: compared(BETTER)}
    said, sentences, verdict = _advise(comparisons, NAMES, trained(), "They are known.")
    assert said == verdict.advice == SAME and sentences[0] == "They are known." in verdict.sentence
    assert _advise({SERVING: compared(WORSE)}, NAMES, trained(), "They are known.")[0] == WORSE


def test_photos_that_cannot_be_read_are_left_out_and_named(settings, tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    settings.MEDIA_ROOT = tmp_path
    for name, size in (("crop.png", (8, 8, 3)), ("mask.png", (8, 8)), ("small.png", (4, 4))):
        Image.fromarray(np.zeros(size, "u1")).save(tmp_path / name)
    rows = [
        TrainingRow(number, number, "right", None, crop, "", mask)
        for number, (crop, mask) in enumerate([("crop.png", "mask.png"), ("crop.png", "small.png"), ("none.png", "")])
    ]
    readable = [(row, coat) for row in rows if (coat := _coat(row)) is not None]
    assert [row.detection for row, _ in readable] == [0]
    assert _unreadable(rows, readable) == [
        "2 held-back photos could not be read and are not measured on: detections 1, 2."
    ]
    stored = [Stored(0, "right", tmp_path / row.crop, None, tmp_path / row.mask if row.mask else None) for row in rows]
    assert [_load(item) is None for item in stored] == [False, True, True]

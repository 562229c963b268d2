"""What a training advises, from comparisons that are made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from identification.inference.training import Trained
from identification.inference.training_report import SERVING, START, UNTRAINED, _advise
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

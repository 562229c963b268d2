"""Answers to probabilities that are no longer those of now, as if they had been asked today.

The estimate of completeness learns from answers whether the probabilities that were shown hold. When a population's
probabilities are fitted anew, what was shown before says nothing of the new ones: the last answers are gone through
again, each question as it would be shown now, with what was decided before it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ..matching.queue import Queue
from .review_reading import Answer

# So many are gone through again; older ones are left out of what the estimate learns from. A step takes a millisecond.
RETOLD = 300

Pair = tuple[int, int]
Standing = tuple[int, int, str]


def retold(
    build: Callable[[Iterable[Standing]], Queue], standing: list[Standing], answers: Mapping[Pair, Answer], before: int
) -> tuple[Queue, dict[Pair, Answer]]:
    """The queue of everything that stands, and the answers with what would have been shown.

    build: makes a queue of what stands of pairs. before: the last decision to other probabilities; 0: there is none.
    """
    old = sorted((one.told, pair) for pair, one in answers.items() if one.shown and one.told <= before)
    if not old:
        return build(standing), dict(answers)
    again = [pair for _, pair in old[-RETOLD:]]
    since = [
        pair for _, pair in sorted((answer.told, pair) for pair, answer in answers.items() if answer.told > before)
    ]
    verdicts = {(a, b): verdict for a, b, verdict in standing}
    later = {*again, *since}
    queue = build([one for one in standing if one[:2] not in later])
    told = dict(answers)
    for _, pair in old:
        told[pair] = told[pair]._replace(shown=None)
    for pair in again:
        said = answers[pair].shown
        if said is not None and (question := queue.question(*pair)) is not None:
            told[pair] = told[pair]._replace(shown=(question.probability, said[1]))
        queue.decide(*pair, verdicts.get(pair, ""))
    if len(since) > RETOLD:
        return build(standing), told  # quicker than one by one
    for pair in since:
        queue.decide(*pair, verdicts.get(pair, ""))
    return queue, told

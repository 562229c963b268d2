"""Slow recomputations that share no code with the evaluation: plain loops over lists."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from modelzoo.evaluation import EvaluationPhoto


@dataclass
class Case:
    """What one table is computed from. score(i, j) is a float or None."""

    photos: list[EvaluationPhoto]
    score: Callable[[int, int], float | None]
    other_events: bool

    def gallery(self, i: int) -> list[int]:
        found = []
        for j, other in enumerate(self.photos):
            if j == i:
                continue
            if self.other_events:
                own = self.photos[i].event
                if own is None or other.event is None or own == other.event:
                    continue
            found.append(j)
        return found

    def same(self, i: int, j: int) -> bool:
        return self.photos[i].identity == self.photos[j].identity

    def queries(self) -> list[int]:
        return [i for i in range(len(self.photos)) if any(self.same(i, j) for j in self.gallery(i))]

    def ranked(self, i: int) -> list[bool]:
        """Whether each photo of the gallery is right, best first; photos that are not comparable last and never so."""
        scored = [j for j in self.gallery(i) if self.score(i, j) is not None]
        scored.sort(key=lambda j: -self.score(i, j))  # type: ignore[operator]
        return [self.same(i, j) for j in scored] + [False] * (len(self.gallery(i)) - len(scored))

    def relevant(self, i: int) -> int:
        return sum(self.same(i, j) for j in self.gallery(i))

    def tkrmd(self, i: int, k: int) -> float:
        return float(any(self.ranked(i)[:k]))

    def dtkap(self, i: int, k: int) -> float:
        depth = min(self.relevant(i), k)
        return sum(sum(self.ranked(i)[:j]) / j for j in range(1, depth + 1)) / depth

    def ap(self, i: int) -> float:
        order = self.ranked(i)
        return sum(sum(order[: r + 1]) / (r + 1) for r in range(len(order)) if order[r]) / self.relevant(i)

    def ccdr(self, i: int) -> float | None:
        own = [1 - self.score(i, j) for j in self.gallery(i) if self.same(i, j)]  # type: ignore[operator]
        others = [1 - self.score(i, j) for j in self.gallery(i) if not self.same(i, j)]  # type: ignore[operator]
        return (sum(own) / len(own)) / (sum(others) / len(others)) if own and others else None

    def angles(self, same: bool) -> list[float]:
        return [
            math.degrees(math.acos(max(-1.0, min(1.0, self.score(i, j)))))  # type: ignore[type-var]
            for i in range(len(self.photos))
            for j in self.gallery(i)
            if self.same(i, j) == same
        ]

    def best(self, i: int, others: list[int]) -> float:
        return max([-math.inf] + [s for j in others if (s := self.score(i, j)) is not None])

    def known_scores(self) -> list[float]:
        return [self.best(i, self.gallery(i)) for i in self.queries()]

    def new_scores(self) -> list[float]:
        found = []
        for i, photo in enumerate(self.photos):
            others = [j for j in self.gallery(i) if self.photos[j].individual != photo.individual]
            if others and photo.labelled:
                found.append(self.best(i, others))
        return found

    def auroc(self) -> float:
        known, new = self.known_scores(), self.new_scores()
        wins = sum(1.0 if k > n else 0.5 if k == n else 0.0 for k in known for n in new)
        return wins / (len(known) * len(new))

    def false_new(self) -> float:
        known, new = self.known_scores(), self.new_scores()
        threshold = min(t for t in new if sum(n > t for n in new) <= 0.01 * len(new))
        return sum(k <= threshold for k in known) / len(known)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)

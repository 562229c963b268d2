"""How far reviewers agree, and how often one is wrong. Pure.

Kappa: J. Cohen, "A coefficient of agreement for nominal scales", Educational and Psychological Measurement 20 (1960);
its standard error: J. L. Fleiss, J. Cohen, B. S. Everitt, "Large sample standard errors of kappa and weighted kappa",
Psychological Bulletin 72 (1969). Interval of a share: E. B. Wilson, "Probable inference, the law of succession, and
statistical inference", Journal of the American Statistical Association 22 (1927).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

# The 97.5 % point of the normal distribution: intervals are of 95 %.
Z = 1.959963984540054
# Below this many pairs the large-sample interval of kappa means nothing, and none is given.
KAPPA_PAIRS_LEAST = 30


@dataclass(frozen=True)
class Agreement:
    """How far two reviewers agree over the same pairs.

    same: pairs with the same answer. kappa: None without a pair, or where both gave one and the same answer to all, so
    that chance alone explains it. low, high: its 95 % interval, cut off at -1 and 1, None where there are too few.
    """

    pairs: int
    same: int
    kappa: float | None
    low: float | None
    high: float | None

    @property
    def share(self) -> float | None:
        """Share of pairs with the same answer, 0…1."""
        return self.same / self.pairs if self.pairs else None

    @property
    def few(self) -> bool:
        """Whether there are too few pairs for an interval."""
        return self.pairs < KAPPA_PAIRS_LEAST


@dataclass(frozen=True)
class Rate:
    """`wrong` of `n` answers, as a share with its 95 % interval by Wilson; all None without an answer."""

    wrong: int
    n: int
    share: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Judged:
    """What one reviewer said of a pair whose truth is known: 'match' or 'no_match' is the truth."""

    said: str
    truth: str


@dataclass(frozen=True)
class Faults:
    """How often a reviewer splits (says no match of one animal) and lumps (says match of two).

    Of answers that were a match or not; undecided: those that were unsure or incomparable.
    """

    splitting: Rate
    lumping: Rate
    undecided: int


def agreement_of(answers: Iterable[tuple[str, str]]) -> Agreement:
    """Cohen's kappa of what two reviewers said, pair by pair.

    Any words are categories; which of the two comes first does not matter.
    """
    table = Counter(answers)
    n = sum(table.values())
    same = sum(count for (one, other), count in table.items() if one == other)
    if not n:
        return Agreement(0, 0, None, None, None)
    names = sorted({name for pair in table for name in pair})
    shares = {(one, other): table[(one, other)] / n for one in names for other in names}
    rows = {name: sum(shares[(name, other)] for other in names) for name in names}
    columns = {name: sum(shares[(other, name)] for other in names) for name in names}
    chance = sum(rows[name] * columns[name] for name in names)
    if chance >= 1 - 1e-12:
        return Agreement(n, same, None, None, None)
    kappa = (same / n - chance) / (1 - chance)
    if n < KAPPA_PAIRS_LEAST:
        return Agreement(n, same, kappa, None, None)
    half = Z * _kappa_error(shares, rows, columns, kappa, chance, n)
    return Agreement(n, same, kappa, max(-1.0, kappa - half), min(1.0, kappa + half))


def _kappa_error(
    shares: dict[tuple[str, str], float],
    rows: dict[str, float],
    columns: dict[str, float],
    kappa: float,
    chance: float,
    n: int,
) -> float:
    """Large-sample standard error of kappa, equation 13 of Fleiss, Cohen and Everitt."""
    on = sum(shares[(i, i)] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in rows)
    off = (1 - kappa) ** 2 * sum(p * (columns[i] + rows[j]) ** 2 for (i, j), p in shares.items() if i != j)
    variance = (on + off - (kappa - chance * (1 - kappa)) ** 2) / (n * (1 - chance) ** 2)
    return sqrt(max(0.0, variance))


def rate_of(wrong: int, n: int) -> Rate:
    """A share with its Wilson interval. Raises ValueError unless 0 <= wrong <= n."""
    if not 0 <= wrong <= n:
        raise ValueError(f"{wrong} of {n} is no share.")
    if not n:
        return Rate(0, 0, None, None, None)
    share = wrong / n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    # At the ends the interval reaches them exactly, whatever rounding does.
    return Rate(wrong, n, share, 0.0 if not wrong else middle - half, 1.0 if wrong == n else middle + half)


def faults_of(judged: Sequence[Judged]) -> Faults:
    """The rates of splitting and lumping of one reviewer."""
    decided = [one for one in judged if one.said in ("match", "no_match")]
    same = [one.said for one in decided if one.truth == "match"]
    other = [one.said for one in decided if one.truth == "no_match"]
    return Faults(
        splitting=rate_of(same.count("no_match"), len(same)),
        lumping=rate_of(other.count("match"), len(other)),
        undecided=len(judged) - len(decided),
    )

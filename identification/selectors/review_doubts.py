"""Standing answers of a review that are worth a second look: docs/decisions/0037."""

from __future__ import annotations

from dataclasses import dataclass

from ..matching.doubts import Doubt
from ..models import Survey, User
from .check_pool import seconds_wanted
from .consequences import PairShown, pairs_shown
from .review_queue import review_of

MOST_SHOWN = 12


@dataclass(frozen=True)
class Doubtful:
    """A doubt with what its page shows."""

    doubt: Doubt
    shown: PairShown

    @property
    def token(self) -> str:
        """What its form sends: the pair, and the version of its edge."""
        version = self.shown.edge.version if self.shown.edge is not None else 0
        return f"{self.doubt.pair[0]}:{self.doubt.pair[1]}:{version}"


def doubtful_answers(*, user: User, survey: Survey, most: int = MOST_SHOWN) -> list[Doubtful]:
    """Answers that may be wrong, the most valuable look first; those of which the account sees both photos.

    Without those that she may be asked for a second opinion about, which is to be blind.
    """
    with review_of(user=user, survey=survey) as review:
        found = review.doubtful()[: 4 * most]
    if survey.second_review_share and found:
        ids = [pk for doubt in found for pk in doubt.pair]
        waiting = seconds_wanted(survey=survey).filter(edge__a__in=ids).exclude(acting_user=user)
        blind = set(waiting.values_list("edge__a_id", "edge__b_id"))
        found = [doubt for doubt in found if doubt.pair not in blind]
    pairs = pairs_shown(user=user, pairs=[doubt.pair for doubt in found])
    shown = [Doubtful(doubt, pair) for doubt, pair in zip(found, pairs, strict=True)]
    both = [one for one in shown if one.shown.a is not None and one.shown.b is not None]
    return both[:most]

"""A curator settles a disagreement between a decision and a second opinion of it, by an ordinary decision."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext, override

from ..errors import SpotIDError
from ..models import Adjudication, Opinion, User, Verdict
from ..selectors.adjudication import disagreements, other_curators
from .decisions import decision_record
from .individuals import population_lock


@transaction.atomic
def opinion_adjudicate(
    *, acting_user: User, opinion: Opinion, verdict: str, note: str = "", confirm_contradiction: bool = False
) -> Adjudication:
    """Decide the pair of a disagreement. Both earlier answers stay in their records.

    Raises SpotIDError when the disagreement is settled or void by now, or when the curator is one of the two and there
    is another one; what `decision_record` raises, too.
    """
    population_lock(opinion.survey.population_id)
    opinion = disagreements(survey=opinion.survey).filter(pk=opinion.pk).first() or _over()
    first = opinion.decision
    assert first is not None and first.acting_user is not None
    party = acting_user.pk in (first.acting_user_id, opinion.user_id)
    if party and other_curators(opinion=opinion).exists():
        raise SpotIDError(gettext("You are one of the two who disagree here. Another curator of this survey decides."))
    # What is stored is English, whatever language it is written in.
    with override(None):
        words = (
            f"Adjudication: {first.acting_user} said {Verdict(first.verdict).label}, "
            f"{opinion.user} said {Verdict(opinion.verdict).label}, without knowing of it."
        )
    decision = decision_record(
        acting_user=acting_user,
        first=opinion.a,
        second=opinion.b,
        verdict=verdict,
        anchor=first.anchor,
        confirm_contradiction=confirm_contradiction,
        note=f"{words} {' '.join(note.split())}".strip()[:2000],
        shown=first.probability_shown,
    )
    return Adjudication.objects.create(opinion=opinion, decision=decision, party=party)


def _over() -> Opinion:
    raise SpotIDError(gettext("This disagreement is settled by now, or one of the two answers was taken back."))

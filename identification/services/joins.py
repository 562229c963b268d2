"""What becomes of a reviewer's match of two named animals. docs/decisions/0046-joins-that-wait.md."""

from __future__ import annotations

from django.db import transaction
from django.utils.translation import gettext

from .. import permissions
from ..errors import SpotIDError
from ..models import Decision, User, Verdict
from ..permissions import Action
from ..selectors.joins import joins_waiting
from .audit import audit_record
from .decisions import decision_record
from .individuals import population_lock

CONFIRMED, REFUSED = "join confirmed", "join refused"
_ACTIONS = {Verdict.MATCH.value: ("join.confirm", CONFIRMED), Verdict.NO_MATCH.value: ("join.refuse", REFUSED)}


@transaction.atomic
def join_settle(*, acting_user: User, proposal: Decision, verdict: str) -> Decision:
    """Join two named animals as a reviewer proposed, or refuse it, by an ordinary decision; leaves an audit row.

    Raises SpotIDError where the account does not curate both surveys, the match does not wait any longer or the verdict
    is neither match nor no match, and what `decision_record` raises; nothing is changed then.
    """
    edge = proposal.edge
    surveys = {end.image.survey_id: end.image.survey for end in (edge.a, edge.b)}
    population_lock(edge.a.image.survey.population_id)
    if verdict not in _ACTIONS:
        raise SpotIDError(gettext("Say whether it is a match or not."))
    if not permissions.may_for_all(acting_user, Action.CURATE, surveys.values()):
        raise SpotIDError(gettext("This is for curators of both surveys."))
    if not joins_waiting(acting_user).filter(pk=proposal.pk).exists():
        raise SpotIDError(gettext("This match does not wait any longer: it was settled or taken back."))
    action, note = _ACTIONS[verdict]
    shown = proposal.probability_shown
    decision = decision_record(
        acting_user=acting_user,
        first=edge.a,
        second=edge.b,
        verdict=verdict,
        note=note,
        shown=shown,
    )
    for survey in surveys.values():
        audit_record(
            acting_user=acting_user,
            action=action,
            target=edge,
            survey=survey,
            before={"proposed": proposal.pk, "by": str(proposal.acting_user)},
            after={"decision": decision.pk},
        )
    return decision

"""What reviewers say of pairs that are asked to check. Nothing here touches the graph."""

from __future__ import annotations

from uuid import UUID, uuid4

from django.db import transaction
from django.utils.translation import gettext

from ..errors import KeyTaken, SpotIDError
from ..models import Decision, Opinion, Survey, User, Verdict
from ..selectors.checks import Check, check_open
from ..selectors.opinions import last_opinion
from .audit import audit_record
from .individuals import population_lock

KNOWN_SHARE_MOST = 0.5


@transaction.atomic
def opinion_record(
    *, user: User, survey: Survey, check: Check, verdict: str, shown: float | None = None, key: UUID | None = None
) -> Opinion | None:
    """Append what a reviewer says of a check; None where it has become void: the decision was taken back meanwhile, or
    she has answered it, on another page that shows it still.

    key: made by who sends it; what was recorded under it already is returned. Raises SpotIDError for no verdict, and
    KeyTaken when something else was recorded under the key.
    """
    if verdict not in Verdict.values:
        raise SpotIDError(
            gettext("%(verdict)s is no verdict; use one of %(values)s.")
            % {"verdict": repr(verdict), "values": ", ".join(Verdict.values)}
        )
    # Serialised with decisions, so that an undo comes either before the opinion or after it.
    population_lock(survey.population_id)
    recorded = Opinion.objects.filter(key=key).first() if key else None
    if recorded is not None:
        if (recorded.user_id, recorded.a_id, recorded.b_id, recorded.verdict) != (user.pk, *check.pair, verdict):
            raise KeyTaken(gettext("Another answer was recorded under this key. Nothing was changed."))
        return recorded
    if not check_open(user=user, check=check):
        return None
    return Opinion.objects.create(
        survey=survey,
        user=user,
        kind=check.kind,
        a_id=check.pair[0],
        b_id=check.pair[1],
        verdict=verdict,
        decision_id=check.decision,
        truth=check.truth,
        basis=check.basis,
        probability_shown=shown,
        key=key or uuid4(),
    )


@transaction.atomic
def opinion_withdraw(*, user: User, survey: Survey, of: UUID | None = None, key: UUID | None = None) -> Opinion | None:
    """Take back the reviewer's answer `of` that key, or her last answer in the survey when that was a check.

    Returns the opinion that was taken back; None when no opinion is meant, so that a decision is. key: as of
    `opinion_record`, of the step back.
    """
    population_lock(survey.population_id)
    again = Opinion.objects.filter(key=key, user=user, withdraws__isnull=False).first() if key else None
    if again is not None:
        return again.withdraws
    meant = last_opinion(user=user, survey=survey, of=of)
    if meant is None:
        return None
    Opinion.objects.create(
        survey=meant.survey,
        user=user,
        kind=meant.kind,
        a_id=meant.a_id,
        b_id=meant.b_id,
        decision_id=meant.decision_id,
        truth=meant.truth,
        basis=meant.basis,
        withdraws=meant,
        key=key or uuid4(),
    )
    return meant


@transaction.atomic
def opinion_seen(*, user: User, survey: Survey, decision: Decision) -> None:
    """Remember that somebody was shown a decision on a question that she was about to answer: she is not asked for a
    second opinion on it, for it would not be a blind one."""
    if decision.acting_user_id == user.pk or Opinion.objects.filter(user=user, decision=decision).exists():
        return
    Opinion.objects.create(
        survey=survey,
        user=user,
        kind=Opinion.Kind.SEEN,
        a_id=decision.edge.a_id,
        b_id=decision.edge.b_id,
        decision=decision,
    )


@transaction.atomic
def survey_checks_set(*, acting_user: User, survey: Survey, second: float, known: float) -> None:
    """Say which share of the decided pairs gets a second opinion (0…1), and of the questions is known (0…0.5)."""
    if not (0 <= second <= 1 and 0 <= known <= KNOWN_SHARE_MOST):
        raise SpotIDError(gettext("The second review is a share from 0 to 100 %, known pairs one from 0 to 50 %."))
    before = {"second_review": survey.second_review_share, "known_pairs": survey.known_pairs_share}
    after = {"second_review": second, "known_pairs": known}
    if before == after:
        return
    survey.second_review_share, survey.known_pairs_share = second, known
    survey.save(update_fields=["second_review_share", "known_pairs_share"])
    audit_record(
        acting_user=acting_user, action="survey.checks", target=survey, survey=survey, before=before, after=after
    )

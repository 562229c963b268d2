"""Where a reviewer is in a survey, in which order she works, and when its review counts as finished."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..models import Detection, ReviewPosition, Survey, User
from .audit import audit_record

# Of questions put off, the last ones are remembered.
PUT_OFF_KEPT = 500


@transaction.atomic
def review_position_set(*, user: User, survey: Survey, anchor: Detection | None) -> None:
    """Remember the anchor that the reviewer works on, so that leaving and coming back resumes there."""
    ReviewPosition.objects.update_or_create(user=user, survey=survey, defaults={"anchor": anchor})


@transaction.atomic
def review_anchor_pass(*, user: User, survey: Survey, anchor: Detection) -> None:
    """Go on to the next anchor without answering what is left on this one."""
    position, _ = ReviewPosition.objects.get_or_create(user=user, survey=survey, defaults={"anchor": anchor})
    position.anchor = anchor
    position.save(update_fields=["anchor", "updated_at"])
    position.passed.add(anchor)


@transaction.atomic
def review_anchor_return(*, user: User, survey: Survey, anchor: Detection | None = None) -> None:
    """Take up one passed anchor again, or all of them."""
    position = ReviewPosition.objects.filter(user=user, survey=survey).first()
    if position is None:
        return
    if anchor is None:
        position.passed.clear()
        position.anchor = None
    else:
        position.passed.remove(anchor)
        position.anchor = anchor
    position.save(update_fields=["anchor", "updated_at"])


@transaction.atomic
def review_mode_set(*, user: User, survey: Survey, mode: str, focus: Mapping[str, str | int] | None = None) -> None:
    """Work by what an answer settles, by photo, or on a part of the survey, which `focus` names, from now on."""
    if mode not in ReviewPosition.Mode.values:
        raise SpotIDError(gettext("%(mode)s is no order of review.") % {"mode": repr(mode)})
    chosen = {"mode": mode, "focus": dict(focus or {})}
    ReviewPosition.objects.update_or_create(user=user, survey=survey, defaults=chosen)


@transaction.atomic
def review_question_put_off(*, user: User, survey: Survey, pair: tuple[int, int]) -> None:
    """Go on to the next question; the one between these two photos' groups comes when nothing else is left."""
    ReviewPosition.objects.get_or_create(user=user, survey=survey)
    position = ReviewPosition.objects.select_for_update().get(user=user, survey=survey)
    kept = [one for one in position.put_off if sorted(one) != sorted(pair)]
    position.put_off = [*kept, sorted(pair)][-PUT_OFF_KEPT:]
    position.save(update_fields=["put_off", "updated_at"])


@transaction.atomic
def review_questions_return(*, user: User, survey: Survey) -> None:
    """Take up again what was put off."""
    ReviewPosition.objects.filter(user=user, survey=survey).update(put_off=[])


@transaction.atomic
def survey_goal_set(*, acting_user: User, survey: Survey, goal: float) -> None:
    """Say which share of the true matches (0.5…1) has to be found for the review to count as finished."""
    if not 0.5 <= goal <= 1:
        raise SpotIDError(gettext("The goal is a share between 50 and 100 %."))
    before = survey.completeness_goal
    survey.completeness_goal = goal
    survey.save(update_fields=["completeness_goal"])
    audit_record(
        acting_user=acting_user,
        action="survey.goal",
        target=survey,
        survey=survey,
        before={"goal": before},
        after={"goal": goal},
    )

"""Where a reviewer is in a survey."""

from __future__ import annotations

from django.db import transaction

from ..models import Detection, ReviewPosition, Survey, User


@transaction.atomic
def review_position_set(*, user: User, survey: Survey, anchor: Detection | None) -> None:
    """Remember the anchor that the reviewer looks at, so that leaving and coming back resumes there."""
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

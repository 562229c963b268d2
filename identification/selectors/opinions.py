"""Opinions that stand, decisions that stand, and what somebody said last."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from ..models import Decision, Detection, Opinion, Survey, User, Verdict
from ..permissions import Action, surveys_for
from .remarks import standing_remarks


def decidable_boxes(user: User) -> QuerySet[Detection]:
    """Boxes that this reviewer can be asked about."""
    return Detection.objects.comparable().filter(image__survey__in=surveys_for(user, Action.DECIDE))


def standing_decisions() -> QuerySet[Decision]:
    """Decisions that say what their pair stands for now: not taken back, and the last such of the pair."""
    # Joined the other way round (`undone_by` is null), PostgreSQL takes one row of a thousand for what stands, and then
    # compares each with all boxes.
    said = Decision.objects.filter(undoes__isnull=True).exclude(verdict=Decision.PROPOSED)
    kept = said.exclude(Exists(Decision.objects.filter(undoes=OuterRef("pk"))))
    return kept.exclude(Exists(kept.filter(edge=OuterRef("edge"), pk__gt=OuterRef("pk"))))


def standing_opinions() -> QuerySet[Opinion]:
    """Opinions that were not withdrawn, and are no withdrawals."""
    taken_back = Opinion.objects.filter(withdraws=OuterRef("pk"))
    return Opinion.objects.filter(withdraws__isnull=True).exclude(Exists(taken_back))


def last_opinion(*, user: User, survey: Survey, of: UUID | None = None) -> Opinion | None:
    """The reviewer's standing answer to a check that has the key `of`, or her last one in the survey where it is the
    last thing that she said there; else None."""
    own = standing_opinions().filter(user=user, verdict__in=Verdict.values)
    if of is not None:
        return own.filter(key=of).first()
    last = own.filter(survey=survey).order_by("-pk").first()
    if last is None:
        return None
    later = Decision.objects.filter(
        acting_user=user,
        anchor__image__survey=survey,
        undoes__isnull=True,
        undone_by__isnull=True,
        created_at__gt=last.created_at,
    )
    remarks = standing_remarks(user=user, survey=survey).filter(created_at__gt=last.created_at)
    return None if later.exists() or remarks.exists() else last

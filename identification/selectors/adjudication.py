"""Decisions that a second opinion does not agree with, and who may settle them."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Exists, F, OuterRef, QuerySet

from ..models import Adjudication, Opinion, Survey, User
from ..permissions import Action, curators_of, surveys_for
from .opinions import standing_decisions, standing_opinions


def disagreements(*, survey: Survey) -> QuerySet[Opinion]:
    """Second opinions that differ from the decision that they are of, while that stands and nobody has settled it.

    The oldest first, with the decision, both people and both photos at hand.
    """
    settled = Adjudication.objects.filter(opinion=OuterRef("pk"), decision__undone_by__isnull=True)
    return (
        standing_opinions()
        .filter(kind=Opinion.Kind.SECOND, survey=survey, decision__in=standing_decisions())
        .exclude(verdict=F("decision__verdict"))
        .exclude(Exists(settled))
        .select_related(
            "user",
            "survey",
            "decision__acting_user",
            "decision__anchor",
            "a__image__survey__population",
            "a__image__station",
            "b__image__survey__population",
            "b__image__station",
        )
        .order_by("pk")
    )


def other_curators(*, opinion: Opinion) -> QuerySet[User]:
    """Curators of the survey that are neither of the two who disagree."""
    assert opinion.decision is not None
    return curators_of(opinion.survey).exclude(pk__in=[opinion.user_id, opinion.decision.acting_user_id])


@dataclass(frozen=True)
class Queue:
    """The disagreements of a survey for one curator.

    shown: the one to settle now, None without any. open: how many she may settle; others: how many wait for another
    curator, because she is one of the two or does not see both photos. alone: whether she is one of the two of `shown`,
    for there is no other curator.
    """

    shown: Opinion | None
    open: int
    others: int
    alone: bool


def disagreements_for(*, user: User, survey: Survey, wanted: int | None = None, after: int = 0) -> Queue:
    """What a curator has to settle: `wanted`, else the first after the opinion of that id, else the first of all."""
    curators = set(curators_of(survey).values_list("pk", flat=True))
    decidable = set(surveys_for(user, Action.DECIDE).values_list("pk", flat=True))
    rows = disagreements(survey=survey).values_list(
        "pk", "user_id", "decision__acting_user_id", "a__image__survey_id", "b__image__survey_id"
    )
    found: dict[int, bool] = {}
    others = 0
    for pk, second, first, *surveys in rows:
        party = user.pk in (first, second)
        if (party and curators - {first, second}) or not decidable.issuperset(surveys):
            others += 1
        else:
            found[pk] = party
    chosen = wanted if wanted in found else next((pk for pk in found if pk > after), next(iter(found), None))
    shown = disagreements(survey=survey).filter(pk=chosen).first() if chosen is not None else None
    return Queue(shown, len(found), others, chosen is not None and found[chosen])

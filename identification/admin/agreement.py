"""What several reviewers leave: leases of questions, opinions, adjudications. Only to be looked at, by administrators.

Opinions are blind: somebody who still has to judge the same pair must not come across them.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from ..models import Adjudication, Opinion, ReviewLease
from .base import ReadOnlyAdmin
from .filters import survey_filter, yes_no_filter
from .pairs import VERDICT_LABELS
from .pictures import clock, linked


@admin.register(ReviewLease)
class ReviewLeaseAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("user", "survey")
    list_display = ("user", "survey", "a_id", "b_id", "taken_at", "until")
    list_filter = (survey_filter("survey"),)
    search_fields = ("user__username", "survey__name")
    ordering = ("-id",)


@admin.register(Opinion)
class OpinionAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("user", "survey", "decision__edge", "withdrawn_by")
    list_display = ("when", "user", "survey", "kind", "verdict_shown", "truth", "basis", "stands", "a_id", "b_id")
    list_display_links = ("when",)
    list_filter = (
        survey_filter("survey"),
        ("kind", ChoicesDropdownFilter),
        ("verdict", ChoicesDropdownFilter),
        yes_no_filter("withdrawn", _("taken back"), Q(withdrawn_by__isnull=False)),
    )
    search_fields = ("user__username", "survey__name")
    date_hierarchy = "created_at"
    ordering = ("-id",)

    @display(description=_("When"), ordering="created_at")
    def when(self, row: Opinion) -> Any:
        return clock(row.created_at)

    @display(description=_("Verdict"), ordering="verdict", label=VERDICT_LABELS)
    def verdict_shown(self, row: Opinion) -> str:
        return row.get_verdict_display() or gettext("none")

    @display(description=_("Stands"), boolean=True)
    def stands(self, row: Opinion) -> bool:
        return row.withdraws_id is None and getattr(row, "withdrawn_by", None) is None


@admin.register(Adjudication)
class AdjudicationAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("opinion__user", "opinion__survey", "decision__acting_user", "decision__edge")
    list_display = ("when", "curator", "survey", "settled", "party")
    list_display_links = ("when",)
    list_filter = (survey_filter("opinion__survey"), yes_no_filter("party", _("one of the two herself"), Q(party=True)))
    search_fields = ("decision__acting_user__username", "opinion__survey__name")
    ordering = ("-id",)

    @display(description=_("When"), ordering="created_at")
    def when(self, row: Adjudication) -> Any:
        return clock(row.created_at)

    @display(description=_("Curator"))
    def curator(self, row: Adjudication) -> str:
        return str(row.decision.acting_user or "–")

    @display(description=_("Survey"))
    def survey(self, row: Adjudication) -> str:
        return str(row.opinion.survey)

    @display(description=_("Decision"))
    def settled(self, row: Adjudication) -> str:
        return linked("decision", row.decision_id, row.decision.get_verdict_display())

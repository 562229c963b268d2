"""Candidates, the log of decisions, and where reviewers are."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.db.models.functions import Greatest, Least
from django.http import HttpRequest
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display

from .. import permissions
from ..models import Candidate, Decision, Detection, MatchEdge, Remark, ReviewPosition, Survey, User, Verdict
from ..permissions import Action
from ..services.decisions import decision_undo
from .base import ReadOnlyAdmin, account
from .filters import survey_filter, yes_no_filter
from .pairs import OF_PHOTO, VERDICT_LABELS, PairsAdmin, candidates_seen
from .pictures import clock, linked, pair_picture


@admin.register(Candidate)
class CandidateAdmin(PairsAdmin, ReadOnlyAdmin):
    related = tuple(f"{end}__{path}" for end in ("anchor", "detection") for path in OF_PHOTO)
    list_display = ("picture", "photos", "rank", "probability_shown", "inliers", "similarity", "verdict", "engine")
    list_display_links = ("photos",)
    list_filter = (
        survey_filter("anchor__image__survey"),
        yes_no_filter("likely", _("probable (≥ 0.5)"), Q(probability__gte=0.5)),
    )
    telling = ("anchor__image__survey", "detection__image__survey")
    search_fields = ("anchor__image__relative_path", "detection__image__relative_path")
    ordering = ("-probability", "id")
    actions = ("match", "no_match", "unsure", "incomparable")

    def visible(self, user: User) -> QuerySet[Any]:
        seen = candidates_seen(user)
        return Candidate.objects.filter(anchor__in=seen, detection__in=seen)

    def ends(self, row: Candidate) -> tuple[Detection, Detection]:
        return row.anchor, row.detection

    def version_of(self, row: Any) -> int:
        return row.edge_version or 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        edge = MatchEdge.objects.filter(
            a=Least(OuterRef("anchor_id"), OuterRef("detection_id")),
            b=Greatest(OuterRef("anchor_id"), OuterRef("detection_id")),
        )
        return (
            super()
            .get_queryset(request)
            .annotate(
                edge_verdict=Subquery(edge.values("verdict")[:1]), edge_version=Subquery(edge.values("version")[:1])
            )
        )

    @display(description=_("Probability"), ordering="probability")
    def probability_shown(self, row: Candidate) -> str:
        return f"{row.probability:.2f}"

    @display(description=_("Decided"))
    def verdict(self, row: Any) -> str:
        return str(Verdict(row.edge_verdict).label) if row.edge_verdict else "–"


@admin.register(Decision)
class DecisionAdmin(ReadOnlyAdmin):
    seen_by = Action.SEE_CANDIDATES
    related = (
        "acting_user",
        "undone_by",
        "undoes",
        "anchor__image",
        *(f"edge__{end}__{path}" for end in ("a", "b") for path in ("image__survey", "image__station")),
    )
    list_display = ("picture", "when", "acting_user", "verdict_shown", "was", "provenance", "stands", "pair")
    list_display_links = ("when",)
    list_filter = (
        survey_filter("edge__a__image__survey", "edge__b__image__survey"),
        ("verdict", ChoicesDropdownFilter),
        ("provenance", ChoicesDropdownFilter),
        yes_no_filter("undone", _("taken back"), Q(undone_by__isnull=False)),
    )
    telling = ("edge__a__image__survey", "edge__b__image__survey")
    search_fields = ("acting_user__username", "note", "edge__a__image__relative_path", "edge__b__image__relative_path")
    search_help_text = _("Account, note or path of a photo")
    date_hierarchy = "created_at"
    ordering = ("-id",)
    actions = ("take_back",)

    def visible(self, user: User) -> QuerySet[Any]:
        seen = candidates_seen(user)
        return Decision.objects.filter(edge__a__in=seen, edge__b__in=seen)

    def surveys_of(self, obj: Decision) -> list[Survey]:
        return [obj.edge.a.image.survey, obj.edge.b.image.survey]

    @display(description=_("Pair"))
    def picture(self, row: Decision) -> str:
        return pair_picture(row.edge.a, row.edge.b)

    @display(description=_("When"), ordering="created_at")
    def when(self, row: Decision) -> Any:
        return clock(row.created_at)

    @display(
        description=_("Verdict"),
        ordering="verdict",
        label=VERDICT_LABELS,
    )
    def verdict_shown(self, row: Decision) -> str:
        return row.get_verdict_display() or gettext("taken back")

    @display(description=_("Was"))
    def was(self, row: Decision) -> str:
        return row.get_previous_verdict_display() or "–"

    @display(description=_("Stands"), boolean=True)
    def stands(self, row: Decision) -> bool:
        return row.undoes_id is None and getattr(row, "undone_by", None) is None

    @display(description=_("Edge"))
    def pair(self, row: Decision) -> str:
        return linked("matchedge", row.edge_id, f"pair {row.edge_id}")

    @admin.action(description=_("Take back"), permissions=["decide"])
    def take_back(self, request: HttpRequest, chosen: QuerySet[Decision]) -> None:
        rows = [row for row in chosen if self.stands(row)]
        if not rows:
            messages.info(request, gettext("None of the chosen decisions stands."))
        elif self.allowed(request, rows, Action.DECIDE):

            def change() -> str:
                for row in rows:
                    curator = permissions.may_for_all(account(request), Action.UNDO_ANY, self.surveys_of(row))
                    decision_undo(acting_user=account(request), decision=row, any_user=curator)
                return ngettext("%(n)s decision taken back.", "%(n)s decisions taken back.", len(rows)) % {
                    "n": len(rows)
                }

            self.told(request, change)


@admin.register(ReviewPosition)
class ReviewPositionAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("user", "survey", "anchor__image")
    list_display = ("user", "survey", "anchor", "updated_at")
    list_filter = (survey_filter("survey"),)
    search_fields = ("user__username", "survey__name")
    ordering = ("-updated_at",)


@admin.register(Remark)
class RemarkAdmin(ReadOnlyAdmin):
    """What was said of single photos from questions; `candidates` is for taking it back."""

    administrators_only = True
    related = ("user", "survey", "detection__image")
    list_display = ("user", "survey", "detection", "kind", "word", "created_at", "undone_at")
    list_filter = (survey_filter("survey"),)
    search_fields = ("user__username", "survey__name", "word")
    exclude = ("candidates",)
    ordering = ("-id",)

"""Pairs of detections, and verdicts on them, singly and in bulk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import ChoicesDropdownFilter
from unfold.decorators import display
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from .. import permissions
from ..errors import Contradiction, SpotIDError, StaleEdge
from ..models import Decision, Detection, MatchEdge, Survey, User, Verdict
from ..permissions import Action, detections_for, surveys_for
from ..services.decisions import decision_record, decision_undo
from ..services.individuals import population_lock
from .base import LabelColours, RoomAdmin, ServiceForm, account, pairs_decided, rehearse
from .confirm import SEEN, ConfirmForm, ask, confirmed
from .filters import survey_filter, yes_no_filter
from .pictures import clock, gallery, linked, pair_picture

OF_PHOTO = ("image__survey__population", "image__station", "individual__population")

VERDICT_LABELS = LabelColours({"Match": "success", "Not a match": "danger", "Unsure": "warning"})


def candidates_seen(user: User) -> QuerySet[Detection]:
    """Detections whose pairs the account sees."""
    return detections_for(user).filter(image__survey__in=surveys_for(user, Action.SEE_CANDIDATES))


def _undo_last(user: User, edge: MatchEdge, surveys: list[Survey], seen: int | None) -> None:
    """Take back the decision that stands. Somebody else's needs a curator.

    Raises StaleEdge when the pair is no longer at the version that was seen. Call it in a transaction.
    """
    population_lock(edge.a.image.survey.population_id)
    edge.refresh_from_db(fields=["verdict", "version"])
    if seen not in (None, edge.version):
        raise StaleEdge(
            gettext("This pair was decided in the meantime: %(verdict)s.")
            % {"verdict": edge.get_verdict_display() or gettext("undecided")},
            verdict=edge.verdict,
            version=edge.version,
        )
    kept = edge.decisions.filter(undoes__isnull=True, undone_by__isnull=True).exclude(verdict=Decision.PROPOSED)
    standing = kept.order_by("-id").first()
    if standing is None:
        raise SpotIDError(gettext("No decision on this pair stands."))
    decision_undo(acting_user=user, decision=standing, any_user=permissions.may_for_all(user, Action.UNDO_ANY, surveys))


class MatchEdgeForm(ServiceForm):
    """One pair. Leaving the verdict empty takes the standing decision back."""

    verdict = forms.ChoiceField(
        choices=[("", "undecided"), *Verdict.choices], required=False, widget=UnfoldAdminSelectWidget()
    )
    note = forms.CharField(max_length=500, required=False, widget=UnfoldAdminTextInputWidget())
    version_seen = forms.IntegerField(required=False, widget=forms.HiddenInput())
    confirm_contradiction = forms.BooleanField(
        required=False,
        widget=UnfoldBooleanSwitchWidget(),
        help_text=_("Only when the verdict is refused because it contradicts earlier decisions."),
    )

    class Meta:
        model = MatchEdge
        fields = ("a", "b", "verdict")

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.instance.pk:
            self.fields["version_seen"].initial = self.instance.version

    def _post_clean(self) -> None:
        """The row is the service's: the form puts nothing into it."""

    def apply(self, acting_user: User) -> None:
        said = self.cleaned_data
        edge = self.stored() if self.instance.pk else None
        if edge is not None and not said["verdict"]:
            if edge.verdict:
                surveys = [edge.a.image.survey, edge.b.image.survey]
                _undo_last(acting_user, edge, surveys, said.get("version_seen"))
            return
        if edge is not None and said["verdict"] == edge.verdict and not said["note"]:
            return
        if not said["verdict"]:
            raise SpotIDError(gettext("Say what is to be decided of this pair."))
        first, second = (edge.a, edge.b) if edge is not None else (said["a"], said["b"])
        decision = decision_record(
            acting_user=acting_user,
            first=first,
            second=second,
            verdict=said["verdict"],
            anchor=first,
            expected_version=said.get("version_seen") if edge is not None else None,
            confirm_contradiction=said["confirm_contradiction"],
            note=said["note"],
        )
        self.decided = decision.edge

    def save(self, commit: bool = True) -> Any:
        return self.instance

    def save_m2m(self) -> None:
        """Nothing: a pair has no further relations."""


class PairsAdmin(RoomAdmin):
    """Verdicts on many pairs at once."""

    seen_by = Action.SEE_CANDIDATES

    def ends(self, row: Any) -> tuple[Detection, Detection]:
        raise NotImplementedError

    def surveys_of(self, obj: Any) -> list[Survey]:
        return [end.image.survey for end in self.ends(obj)]

    def version_of(self, row: Any) -> int:
        """The version of the pair as the list shows it; 0 for one that nobody has said anything of."""
        raise NotImplementedError

    def action_checkbox(self, obj: Any) -> str:
        """The box to choose a row, and which state of the pair it shows: actions refuse what changed since."""
        a, b = _key(*self.ends(obj))
        hidden = format_html('<input type="hidden" name="{}" value="{}-{}-{}">', SEEN, a, b, self.version_of(obj))
        return format_html("{}{}", super().action_checkbox(obj), hidden)

    action_checkbox.short_description = ModelAdmin.action_checkbox.short_description  # type: ignore[attr-defined]

    @display(description=_("Pair"))
    def picture(self, row: Any) -> str:
        return pair_picture(*self.ends(row))

    @display(description=_("Photos"))
    def photos(self, row: Any) -> str:
        return " – ".join(end.image.name for end in self.ends(row))

    @admin.action(description=_("Match …"), permissions=["decide"])
    def match(self, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse | None:
        return self._decide(request, chosen, "match", Verdict.MATCH)

    @admin.action(description=_("Not a match"), permissions=["decide"])
    def no_match(self, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse | None:
        return self._decide(request, chosen, "no_match", Verdict.NO_MATCH)

    @admin.action(description=_("Unsure"), permissions=["decide"])
    def unsure(self, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse | None:
        return self._decide(request, chosen, "unsure", Verdict.UNSURE)

    @admin.action(description=_("Incomparable"), permissions=["decide"])
    def incomparable(self, request: HttpRequest, chosen: QuerySet[Any]) -> HttpResponse | None:
        return self._decide(request, chosen, "incomparable", Verdict.INCOMPARABLE)

    def _decide(
        self, request: HttpRequest, chosen: QuerySet[Any], action: str, verdict: Verdict
    ) -> HttpResponse | None:
        rows = list(chosen)
        if not self.allowed(request, rows, Action.DECIDE):
            return None
        pairs = [self.ends(row) for row in rows]
        warning = _collision(pairs, verdict)
        merges = verdict == Verdict.MATCH and _merges(pairs)
        form = ConfirmForm(request.POST if confirmed(request) else None, contradiction=bool(warning))
        if (warning or merges) and not (confirmed(request) and form.is_valid()):
            return ask(
                self,
                request,
                action=action,
                title=ngettext("%(verdict)s: %(n)s pair", "%(verdict)s: %(n)s pairs", len(pairs))
                % {"verdict": verdict.label, "n": len(pairs)},
                button=gettext("Decide"),
                warning=warning,
                lines=[gettext("This merges individuals. Taking the decision back restores them.")] if merges else [],
                form=form,
                pictures=gallery({end.pk: end for pair in pairs for end in pair}.values()),
            )

        def change() -> str:
            _record(account(request), pairs, verdict, confirm=bool(warning), seen=_seen(request))
            return pairs_decided(len(pairs), verdict)

        self.told(request, change)
        return None


def _key(first: Detection, second: Detection) -> tuple[int, int]:
    return min(first.pk, second.pk), max(first.pk, second.pk)


def _seen(request: HttpRequest) -> dict[tuple[int, int], int]:
    """The versions of the pairs that the page showed, by the photos of the pair. Pairs on other pages are not in it."""
    found = {}
    for value in request.POST.getlist(SEEN):
        parts = value.split("-")
        if len(parts) == 3 and all(part.isascii() and part.isdigit() for part in parts):
            a, b, version = map(int, parts)
            found[a, b] = version
    return found


def _record(
    user: User | None,
    pairs: list[tuple[Detection, Detection]],
    verdict: Verdict,
    *,
    confirm: bool,
    seen: Mapping[tuple[int, int], int],
) -> None:
    expected = dict(seen)
    for first, second in pairs:
        decision_record(
            acting_user=user,
            first=first,
            second=second,
            verdict=verdict,
            anchor=first,
            # Only once: two candidates may be the same pair, seen from either end.
            expected_version=expected.pop(_key(first, second), None),
            confirm_contradiction=confirm,
        )


def _merges(pairs: list[tuple[Detection, Detection]]) -> bool:
    """Whether a match would put photos of two individuals into one."""
    standing = [(a.individual_id, b.individual_id) for a, b in pairs]
    return any(a is not None and b is not None and a != b for a, b in standing)


def _collision(pairs: list[tuple[Detection, Detection]], verdict: Verdict) -> str:
    """What earlier decisions the verdicts contradict, in words; empty where they do not."""
    found = ""

    def attempt() -> None:
        nonlocal found
        try:
            _record(None, pairs, verdict, confirm=False, seen={})
        except Contradiction as collision:
            found = str(collision)

    rehearse(attempt)
    return found


@admin.register(MatchEdge)
class MatchEdgeAdmin(PairsAdmin):
    form = MatchEdgeForm
    changed_by = Action.DECIDE
    related = tuple(f"{end}__{path}" for end in ("a", "b") for path in OF_PHOTO)
    list_display = (
        "picture",
        "photos",
        "verdict_shown",
        "probability_shown",
        "provenance",
        "individuals",
        "version",
        "updated",
    )
    list_display_links = ("photos",)
    list_filter = (
        survey_filter("a__image__survey", "b__image__survey"),
        ("verdict", ChoicesDropdownFilter),
        ("provenance", ChoicesDropdownFilter),
        yes_no_filter("decided", _("decided"), ~Q(verdict="")),
    )
    telling = ("a__image__survey", "b__image__survey")
    search_fields = ("a__image__relative_path", "b__image__relative_path", "a__individual__name", "b__individual__name")
    search_help_text = _("Path of a photo or name of an individual")
    date_hierarchy = "updated_at"
    ordering = ("-updated_at", "-id")
    autocomplete_fields = ("a", "b")
    actions = ("match", "no_match", "unsure", "incomparable", "take_back")

    def visible(self, user: User) -> QuerySet[Any]:
        seen = candidates_seen(user)
        return MatchEdge.objects.filter(a__in=seen, b__in=seen)

    def ends(self, row: MatchEdge) -> tuple[Detection, Detection]:
        return row.a, row.b

    def version_of(self, row: MatchEdge) -> int:
        return row.version

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_decide_permission(request)

    def get_fieldsets(self, request: HttpRequest, obj: MatchEdge | None = None) -> Any:
        said: tuple[str, ...] = ("verdict", "note", "confirm_contradiction", "version_seen")
        if obj is None:
            return [(None, {"fields": (("a", "b"), *said)})]
        if not self.has_change_permission(request, obj):
            said = ("verdict_shown",)
        return [
            (None, {"fields": ("pair_shown", *said)}),
            (
                _("State"),
                {"fields": (("probability_shown", "provenance"), ("version", "updated"), "individuals", "log")},
            ),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: MatchEdge | None = None) -> Any:
        if obj is None:
            return ()
        return (
            "pair_shown",
            "verdict_shown",
            "probability_shown",
            "provenance",
            "version",
            "updated",
            "individuals",
            "log",
            "a",
            "b",
        )

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        options["queryset"] = detections_for(account(request)).filter(
            image__survey__in=surveys_for(account(request), Action.DECIDE)
        )
        return super().formfield_for_foreignkey(db_field, request, **options)

    def save_model(self, request: HttpRequest, obj: MatchEdge, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        decided = getattr(form, "decided", None)
        if decided is not None:
            obj.pk = decided.pk
            obj.refresh_from_db()

    @display(
        description=_("Verdict"),
        ordering="verdict",
        label=VERDICT_LABELS,
    )
    def verdict_shown(self, edge: MatchEdge) -> str:
        return edge.get_verdict_display() or gettext("undecided")

    @display(description=_("Probability"), ordering="probability")
    def probability_shown(self, edge: MatchEdge) -> str:
        return "–" if edge.probability is None else f"{edge.probability:.2f}"

    @display(description=_("Updated"), ordering="updated_at")
    def updated(self, edge: MatchEdge) -> str:
        return clock(edge.updated_at)

    @display(description=_("Individuals"))
    def individuals(self, edge: MatchEdge) -> str:
        ends = [linked("individual", end.individual_id, str(end.individual or "none")) for end in self.ends(edge)]
        return ends[0] if edge.a.individual_id == edge.b.individual_id else format_html("{} – {}", *ends)

    @display(description=_("Pair"))
    def pair_shown(self, edge: MatchEdge) -> str:
        return gallery(self.ends(edge), large=True)

    @display(description=_("Decisions"))
    def log(self, edge: MatchEdge) -> str:
        rows = edge.decisions.select_related("acting_user").order_by("id")
        lines = [
            f"{row.created_at:%Y-%m-%d %H:%M} {row.acting_user or 'command line'}: "
            f"{row.get_verdict_display() or 'taken back'}{f' ({row.note})' if row.note else ''}"
            for row in rows
        ]
        return "; ".join(lines) or gettext("none")

    @admin.action(description=_("Take the standing decision back"), permissions=["decide"])
    def take_back(self, request: HttpRequest, chosen: QuerySet[MatchEdge]) -> None:
        seen = _seen(request)
        rows = [
            edge for edge in chosen if edge.verdict or seen.get((edge.a_id, edge.b_id), edge.version) != edge.version
        ]
        if not rows:
            messages.info(request, gettext("No decision on the chosen pairs stands."))
            return
        if not self.allowed(request, rows, Action.DECIDE):
            return

        def change() -> str:
            for edge in rows:
                _undo_last(account(request), edge, self.surveys_of(edge), seen.get((edge.a_id, edge.b_id)))
            return ngettext("%(n)s decision taken back.", "%(n)s decisions taken back.", len(rows)) % {"n": len(rows)}

        self.told(request, change)

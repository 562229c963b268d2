"""What all admin classes share: rows and rights from `permissions`, writes through services, no free lookups."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.db import IntegrityError, models, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext, gettext_lazy, ngettext
from unfold.admin import ModelAdmin

from .. import permissions
from ..errors import SpotIDError
from ..models import Survey, User, Verdict
from ..permissions import Action
from ..services.identity import rehearsed

_THERE = gettext_lazy("There is such a row already.")

# What may follow the name of a filter in an address.
_LOOKUPS = {"", "exact", "isnull", "in", "gt", "gte", "lt", "lte", "year", "month", "day"}


def account(request: HttpRequest) -> User:
    """Who asks. The admin site has made sure that it is a member of staff."""
    return cast(User, request.user)


def moving(response: HttpResponse, *, is_open: bool) -> HttpResponse:
    """The part of a page that is asked for again while it moves; when it stands, htmx loads the whole page anew."""
    response["Cache-Control"] = "no-store"
    if not is_open:
        response["HX-Refresh"] = "true"
    return response


def rehearse(change: Callable[[], Any]) -> str:
    """Try a change in a transaction that is rolled back; returns why it is refused, or an empty text."""
    try:
        rehearsed(change)
    except SpotIDError as refused:
        return str(refused)
    except IntegrityError:
        return str(_THERE)
    return ""


class ServiceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form that only services write for. `apply` is rehearsed while the form is checked."""

    acting_user: User

    def apply(self, acting_user: User) -> None:
        raise NotImplementedError

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            refused = rehearse(lambda: self.apply(self.acting_user))
            if refused:
                self.add_error(None, refused)
        return cleaned

    def changes(self, *names: str) -> dict[str, Any]:
        """The new values of those of the fields that were changed."""
        return {name: self.cleaned_data[name] for name in names if name in self.changed_data}

    def stored(self) -> Any:
        """The row as it is in the database, without what the form has put into it."""
        return type(self.instance)._default_manager.get(pk=self.instance.pk)


class RoomAdmin(ModelAdmin):
    """Rows are those that `permissions` shows; nothing can be added, changed or deleted unless a class says so."""

    administrators_only = False
    seen_by = Action.SEE
    changed_by: Action | None = None
    related: tuple[str, ...] = ()
    # Ways to the surveys of whose stations and files a row tells, by what it shows, is found by or stands in order of.
    telling: tuple[str, ...] = ()
    list_per_page = 50
    list_filter_submit = True
    show_full_result_count = False
    warn_unsaved_form = True

    def visible(self, user: User) -> models.QuerySet[Any] | None:
        """The rows that an account other than an administrator sees; None for none."""
        return None

    def surveys_of(self, obj: Any) -> Iterable[Survey]:
        """The surveys whose roles decide over a row."""
        return ()

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        rows = (
            super().get_queryset(request).select_related(*self.related)
            if self.related
            else super().get_queryset(request)
        )
        user = account(request)
        if permissions.is_administrator(user):
            return rows
        visible = None if self.administrators_only else self.visible(user)
        if visible is None:
            return rows.none()
        if self.telling and (hidden := permissions.surveys_nameless(user)):
            for survey in self.telling:
                visible = visible.exclude(**{f"{survey}__in": hidden})
        return rows.filter(pk__in=visible.values("pk"))

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        obj = super().get_object(request, object_id, from_field)
        if obj is not None:
            obj.shown_to = account(request)
        return obj

    @staticmethod
    def viewer(obj: Any) -> User:
        """The account that a row's form is shown to; computed fields get no request."""
        return cast(User, obj.shown_to)

    def _any(self, request: HttpRequest, action: Action) -> bool:
        user = account(request)
        return permissions.is_administrator(user) or permissions.surveys_for(user, action).exists()

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        user = account(request)
        if not (user.is_active and user.is_staff):
            return False
        if self.administrators_only:
            return permissions.is_administrator(user)
        return self._any(request, self.seen_by)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if self.changed_by is None or not self.has_view_permission(request):
            return False
        if obj is None:
            return self._any(request, self.changed_by)
        return permissions.may_for_all(account(request), self.changed_by, self.surveys_of(obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return self._any(request, Action.DECIDE)

    def has_curate_permission(self, request: HttpRequest) -> bool:
        return self._any(request, Action.CURATE)

    def has_ingest_permission(self, request: HttpRequest) -> bool:
        return self._any(request, Action.INGEST)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return self._any(request, Action.EXPORT)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Only what the page itself offers: any other lookup could be used to guess at hidden fields."""
        if lookup in ("id", "pk", "id__exact", "id__in", "pk__in"):
            return True
        if lookup in {getattr(item, "parameter_name", None) for item in self.list_filter}:
            return True
        offered = [item[0] if isinstance(item, tuple) else item for item in self.list_filter]
        names = [item for item in (*offered, self.date_hierarchy) if isinstance(item, str)]
        for name in names:
            for path in (name, f"{name}__id", f"{name}__pk"):
                if lookup == path or (lookup.startswith(path + "__") and lookup[len(path) + 2 :] in _LOOKUPS):
                    return True
        return False

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change=change, **kwargs)
        return (
            type(form.__name__, (form,), {"acting_user": account(request)}) if issubclass(form, ServiceForm) else form
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Hand what was said to the service; the row follows from it."""
        form.apply(account(request))
        if obj.pk is not None:
            obj.refresh_from_db()

    def changeform_view(self, request: HttpRequest, *args: Any, **options: Any) -> Any:
        """Save once more where somebody else was quicker than the rehearsal: the form then refuses it by itself.

        A refusal rolls everything back, and the form comes again with what was typed and with the reason.
        """
        try:
            return super().changeform_view(request, *args, **options)
        except (SpotIDError, IntegrityError):
            if request.method != "POST":
                raise
        try:
            return super().changeform_view(request, *args, **options)
        except SpotIDError as refused:
            messages.error(request, str(refused))
        except IntegrityError:
            messages.error(request, _THERE)
        return HttpResponseRedirect(request.get_full_path())

    def allowed(self, request: HttpRequest, rows: Iterable[Any], action: Action) -> bool:
        """Whether the account may take the action on every row; says so where it may not."""
        surveys = {survey for row in rows for survey in self.surveys_of(row)}
        if permissions.may_for_all(account(request), action, surveys):
            return True
        messages.error(
            request,
            gettext("Some of the chosen rows belong to surveys in which you may not do this. Nothing was changed."),
        )
        return False

    def told(self, request: HttpRequest, change: Callable[[], str]) -> None:
        """Run a change and tell what came of it, or why it was refused."""
        try:
            with transaction.atomic():
                done = change()
        except SpotIDError as refused:
            messages.error(request, str(refused))
        else:
            messages.success(request, done)


class ReadOnlyAdmin(RoomAdmin):
    """Rows that only the software writes."""

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return [field.name for field in self.model._meta.fields]


def photos_waiting(number: int) -> str:
    """What came of asking for photos to be processed again."""
    words = ngettext("%(n)s photo waits to be processed again.", "%(n)s photos wait to be processed again.", number)
    return words % {"n": number}


def pairs_decided(number: int, verdict: Verdict) -> str:
    words = ngettext("%(n)s pair decided: %(verdict)s.", "%(n)s pairs decided: %(verdict)s.", number)
    return words % {"n": number, "verdict": verdict.label.lower()}


class LabelColours(dict[str, str]):
    """Colours of labels, given by the English words of choices and found by what these are in the reader's language."""

    def _shown(self) -> dict[str, str]:
        return {gettext(words): colour for words, colour in self.items()}

    def __contains__(self, words: object) -> bool:
        return str(words) in self._shown()

    def __getitem__(self, words: str) -> str:
        return self._shown()[str(words)]

"""Accounts, members and the record of what was done."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as BaseGroupAdmin
from django.contrib.auth.admin import UserAdmin as BaseUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.contrib.filters.admin import AllValuesCheckboxFilter, ChoicesDropdownFilter
from unfold.decorators import display
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from .. import permissions
from ..errors import SpotIDError
from ..models import AuditEntry, Membership, Survey, User
from ..permissions import (
    Action,
    member_may_be_changed_by,
    memberships_managed_by,
    populations_managed_by,
    surveys_for,
)
from ..selectors.audit import who_words
from ..services.accounts import membership_remove, membership_set
from ..services.audit import audit_record
from ..services.catalogue import account_update
from ..services.sign_ins import second_factors_remove, sign_on_disconnect
from .base import ReadOnlyAdmin, RoomAdmin, ServiceForm, account
from .filters import survey_filter, yes_no_filter
from .pictures import clock

_RIGHTS = ("is_active", "is_staff", "is_superuser")


class _Administrators:
    """Only for administrators of the installation; being staff is not enough."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return permissions.is_administrator(account(request))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return permissions.is_administrator(account(request))

    has_add_permission = has_module_permission
    has_change_permission = has_view_permission

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Accounts are switched off, not deleted: their decisions stay theirs."""
        return False


@admin.register(User)
class UserAdmin(_Administrators, BaseUserAdmin, ModelAdmin):
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "full_name", "email", "is_active", "is_staff", "is_superuser", "surveys", "last_login")
    list_filter = (
        yes_no_filter("active", _("active"), Q(is_active=True)),
        yes_no_filter("staff", _("staff"), Q(is_staff=True)),
        yes_no_filter("administrator", _("administrator"), Q(is_superuser=True)),
    )
    list_filter_submit = True
    ordering = ("username",)
    readonly_fields = ("last_login", "date_joined")
    add_fieldsets = ((None, {"fields": ("username", "usable_password", "password1", "password2")}),)
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": (("first_name", "last_name"), "email")}),
        (_("Rights"), {"fields": ("is_active", "is_staff", "is_superuser", "groups")}),
        (_("Times"), {"fields": (("last_login", "date_joined"),)}),
    )

    actions = ("two_factor_remove", "sign_on_disconnect")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).annotate(survey_count=Count("memberships"))

    @admin.action(description=_("Take the second factor away (it was lost)"), permissions=["change"])
    def two_factor_remove(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        done = [user.username for user in queryset if second_factors_remove(acting_user=account(request), user=user)]
        self.message_user(request, gettext("Without a second factor now: %(names)s.") % {"names": _names(done)})

    @admin.action(description=_("Disconnect from single sign-on"), permissions=["change"])
    def sign_on_disconnect(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        done = [user.username for user in queryset if sign_on_disconnect(acting_user=account(request), user=user)]
        self.message_user(request, gettext("Disconnected from single sign-on: %(names)s.") % {"names": _names(done)})

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Nobody changes their own rights, in either direction."""
        own = obj is not None and obj.pk == request.user.pk
        return (*self.readonly_fields, *_RIGHTS, "groups") if own else self.readonly_fields

    @display(description=_("Name"), ordering="last_name")
    def full_name(self, user: User) -> str:
        return user.get_full_name() or "–"

    @display(description=_("Surveys"), ordering="survey_count")
    def surveys(self, user: Any) -> int:
        return int(user.survey_count)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        names = ("username", "email", *_RIGHTS)
        before = User.objects.filter(pk=obj.pk).values(*names).first() if change else None
        super().save_model(request, obj, form, change)
        account_update(
            acting_user=account(request),
            account=obj,
            before=before,
            after={name: getattr(obj, name) for name in names},
        )

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        before = sorted(form.instance.groups.values_list("name", flat=True))
        super().save_related(request, form, formsets, change)
        after = sorted(form.instance.groups.values_list("name", flat=True))
        if before != after:
            audit_record(
                acting_user=account(request),
                action="user.groups",
                target=form.instance,
                before={"groups": before},
                after={"groups": after},
            )

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        if "password" in json.dumps(message, default=str).lower():
            audit_record(acting_user=account(request), action="user.password", target=obj)
        return super().log_change(request, obj, message)


def _names(names: list[str]) -> str:
    return ", ".join(names) or "–"


admin.site.unregister(Group)


@admin.register(Group)
class GroupAdmin(_Administrators, BaseGroupAdmin, ModelAdmin):
    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return permissions.is_administrator(account(request))


class MembershipForm(ServiceForm):
    class Meta:
        model = Membership
        fields = ("user", "survey", "population", "role", "may_see_places")

    def clean(self) -> dict[str, Any]:
        said = self.cleaned_data
        if not self.instance.pk and bool(said.get("survey")) == bool(said.get("population")):
            raise forms.ValidationError(gettext("Choose either a survey or a population."))
        return super().clean()

    def apply(self, acting_user: User) -> None:
        said = self.cleaned_data
        target = self.stored() if self.instance.pk else Membership(**said)
        reach: dict[str, Any] = {"user": target.user, "survey": target.survey, "population": target.population}
        if not self.instance.pk and Membership.objects.filter(**reach).exists():
            raise SpotIDError(gettext("This account is a member of that survey already."))
        self.made = membership_set(
            acting_user=acting_user, role=said["role"], may_see_places=said["may_see_places"], **reach
        )


@admin.register(Membership)
class MembershipAdmin(RoomAdmin):
    form = MembershipForm
    seen_by = Action.MANAGE_MEMBERS
    changed_by = Action.MANAGE_MEMBERS
    related = ("user", "survey", "population")
    list_display = ("user", "survey", "population", "role", "may_see_places")
    list_filter = (
        survey_filter("survey"),
        ("role", ChoicesDropdownFilter),
        yes_no_filter("places", _("may see places"), Q(may_see_places=True)),
    )
    search_fields = ("user__username", "survey__name", "population__name")
    ordering = ("survey", "population", "user")
    fields = ("user", "survey", "population", "role", "may_see_places")

    def visible(self, user: User) -> QuerySet[Any]:
        return memberships_managed_by(user)

    def surveys_of(self, obj: Membership) -> list[Survey]:
        return [obj.survey] if obj.survey else []

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._any(request, Action.MANAGE_MEMBERS)

    def has_change_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        if obj is None:
            return super().has_change_permission(request, obj)
        return self.has_view_permission(request) and member_may_be_changed_by(account(request), obj)

    def has_delete_permission(self, request: HttpRequest, obj: Membership | None = None) -> bool:
        return self.has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Membership | None = None) -> Any:
        return () if obj is None else ("user", "survey", "population")

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **options: Any) -> forms.Field | None:
        if db_field.name == "survey":
            options["queryset"] = surveys_for(account(request), Action.MANAGE_MEMBERS).order_by("name")
        if db_field.name == "population":
            options["queryset"] = populations_managed_by(account(request)).order_by("name")
        if db_field.name == "user":
            options["queryset"] = User.objects.filter(is_active=True).order_by("username")
        return super().formfield_for_foreignkey(db_field, request, **options)

    def save_model(self, request: HttpRequest, obj: Membership, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if not change:
            obj.pk = form.made.pk
            obj.refresh_from_db()

    def delete_model(self, request: HttpRequest, obj: Membership) -> None:
        membership_remove(acting_user=account(request), membership=obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Membership]) -> None:
        rows = list(queryset)
        if all(member_may_be_changed_by(account(request), row) for row in rows):
            for row in rows:
                membership_remove(acting_user=account(request), membership=row)
        else:
            self.message_user(
                request, gettext("Some of these members are not yours to remove. Nobody was removed."), "error"
            )

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: int) -> HttpResponse:
        return super().response_delete(request, obj_display, obj_id)


@admin.register(AuditEntry)
class AuditEntryAdmin(ReadOnlyAdmin):
    administrators_only = True
    related = ("acting_user", "survey")
    list_display = ("when", "who", "action", "survey", "object_shown", "after_shown")
    list_filter = (survey_filter("survey"), ("action", AllValuesCheckboxFilter))
    search_fields = ("acting_user__username", "action", "object_type")
    search_help_text = _("Account, action or kind of row")
    date_hierarchy = "created_at"
    ordering = ("-id",)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["created_at", "who", "action", "survey", "object_shown", "before_shown", "after_shown"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return self.get_readonly_fields(request, obj)

    @display(description=_("When"), ordering="created_at")
    def when(self, entry: AuditEntry) -> str:
        return clock(entry.created_at)

    @display(description=_("Who"), ordering="acting_user__username")
    def who(self, entry: AuditEntry) -> str:
        return who_words(entry) or "–"

    @display(description=_("On"))
    def object_shown(self, entry: AuditEntry) -> str:
        return f"{entry.object_type} {entry.object_id}"

    @display(description=_("Before"))
    def before_shown(self, entry: AuditEntry) -> str:
        return _as_text(entry.before)

    @display(description=_("After"))
    def after_shown(self, entry: AuditEntry) -> str:
        return _as_text(entry.after)


def _as_text(values: dict[str, Any]) -> str:
    said = ", ".join(f"{name}: {value}" for name, value in values.items())
    return format_html('<span class="spotid-values">{}</span>', said or "–")

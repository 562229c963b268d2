"""The page between choosing a bulk action and doing it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget, UnfoldBooleanSwitchWidget

from ..models import Category, Flank

_AS_IT_IS = ("", "leave as it is")

# Of each pair on a page: both photos and the version that the page showed.
SEEN = "version_seen"


class AnnotateForm(forms.Form):
    """What to say of all chosen detections. What is left empty stays as it is."""

    flank = forms.ChoiceField(choices=[_AS_IT_IS, *Flank.choices], required=False, widget=UnfoldAdminSelectWidget())
    category = forms.ChoiceField(
        choices=[_AS_IT_IS, *Category.choices], required=False, widget=UnfoldAdminSelectWidget()
    )
    species = forms.CharField(max_length=200, required=False, widget=UnfoldAdminTextInputWidget())
    usable = forms.ChoiceField(
        choices=[_AS_IT_IS, ("yes", "Usable"), ("no", "Not usable")], required=False, widget=UnfoldAdminSelectWidget()
    )
    unusable_reason = forms.CharField(
        max_length=200, required=False, label=_("Why not usable"), widget=UnfoldAdminTextInputWidget()
    )

    def changes(self) -> dict[str, Any]:
        said = self.cleaned_data
        found: dict[str, Any] = {name: said[name] for name in ("flank", "category", "species") if said[name]}
        if said["usable"]:
            found["usable"] = said["usable"] == "yes"
            found["unusable_reason"] = "" if found["usable"] else said["unusable_reason"]
        return found

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors and not self.changes():
            raise forms.ValidationError(gettext("Say at least one thing of the chosen photos."))
        return cleaned


class ConfirmForm(forms.Form):
    """Only a yes; the second one where decisions of people are overruled."""

    confirm_contradiction = forms.BooleanField(
        required=False,
        label=_("Decide it all the same: the contradiction is shown to curators until it is solved"),
        widget=UnfoldBooleanSwitchWidget(),
    )

    def __init__(self, *args: Any, contradiction: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        if contradiction:
            self.fields["confirm_contradiction"].required = True
        else:
            del self.fields["confirm_contradiction"]


def confirmed(request: HttpRequest) -> bool:
    """Whether the person has seen the page and said yes."""
    return request.method == "POST" and request.POST.get("confirmed") == "yes"


def ask(
    admin: Any,
    request: HttpRequest,
    *,
    action: str,
    title: str,
    button: str,
    lines: Sequence[str] = (),
    warning: str = "",
    form: forms.Form | None = None,
    pictures: Any = "",
    cancel: str = "",
) -> TemplateResponse:
    """The page. Its form comes back to the same action with `confirmed=yes`. cancel: where a no leads, else back."""
    seen = format_html_join(
        "", '<input type="hidden" name="{}" value="{}">', ((SEEN, v) for v in request.POST.getlist(SEEN))
    )
    context = {
        **admin.admin_site.each_context(request),
        "opts": admin.opts,
        "title": title,
        "action": action,
        "button": button,
        "lines": lines,
        "warning": warning,
        "form": form,
        "pictures": format_html("{}{}", seen, pictures),
        "chosen": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "checkbox": ACTION_CHECKBOX_NAME,
        "across": request.POST.get("select_across", "0"),
        "back": request.get_full_path(),
        "cancel": cancel or request.get_full_path(),
    }
    request.current_app = admin.admin_site.name  # type: ignore[attr-defined]
    return TemplateResponse(request, "admin/identification/confirm.html", context)

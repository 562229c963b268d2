"""Languages that the pages can be shown in."""

from __future__ import annotations

from django import template
from django.conf import settings
from django.urls import reverse
from django.utils.translation import get_language

register = template.Library()


@register.simple_tag
def other_languages() -> list[tuple[str, str]]:
    """(code, its name in itself) of every language but the active one."""
    return [(code, str(name)) for code, name in settings.LANGUAGES if code != get_language()]


@register.simple_tag
def text_catalogue() -> str:
    """Address of the words for scripts; '' in the language that they are written in."""
    language = get_language()
    return "" if language in {None, settings.LANGUAGE_CODE} else f"{reverse('text-catalogue')}?language={language}"

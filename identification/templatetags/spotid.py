"""Filters of the pages."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Any

from django import template
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language, gettext
from django.utils.translation import gettext_lazy as _

from spotid_site.folding import constant

from .. import presenting, sentences
from ..matching.progress import Completeness
from ..models import Detection, Image, Individual, Survey
from ..models.image import Unusable

register = template.Library()

# Keys that bear a word. Their words in scripts: static/spotid/js/keys.js.
_CAPS = {"Space": _("Space"), "Enter": _("Enter")}


@register.filter
def percent(fraction: float | None) -> str:
    return presenting.percent(fraction)


@register.filter
def probability_words(probability: float | None) -> str:
    return presenting.probability_words(probability)


@register.filter
def catalogue_words(probability: float | None, catalogued: object = True) -> str:
    """catalogued: whether the catalogue has any animal; may be lazy."""
    return presenting.catalogue_words(probability, catalogued=bool(catalogued))


@register.filter
def flank_words(detection: Detection) -> str:
    """What is estimated of the flank, where no person has named it."""
    return presenting.flank_words(detection.flank, detection.flank_by_person, detection.left_probability)


@register.filter
def stored_words(sentence: str) -> str:
    """A reason that is stored in English, in the reader's language."""
    return sentences.stored_words(sentence)


@register.filter
def unusable_words(reason: str) -> str:
    return Unusable.words(reason)


@register.filter
def flank_reasons(detection: Detection) -> str:
    return presenting.flank_reasons(detection.flank_evidence)


@register.filter
def completeness_words(progress: Completeness) -> str:
    """How much of the true matches is found, in a sentence."""
    return presenting.completeness_words(
        progress.share,
        progress.low,
        progress.high,
        progress.goal,
        progress.questions,
        progress.answers,
        progress.early,
    )


@register.filter
def flag_words(flags: list[str]) -> str:
    """The flags of a photo in words."""
    return "; ".join(presenting.flag_words(flag) for flag in flags)


@register.filter
def captured(image: Image, survey: Survey) -> str:
    """When the photo was taken, by the clock at the camera."""
    return presenting.local_time(image.captured_at, survey.time_zone)


@register.filter
def at(moment: datetime | None, survey: Survey | None) -> str:
    """The time by the clock at the camera; of what belongs to several surveys in UTC, which is said."""
    if moment is None:
        return ""
    return presenting.local_time(moment, survey.time_zone) if survey else f"{presenting.local_time(moment, 'UTC')} UTC"


@register.filter
def on_day(moment: datetime | None, survey: Survey) -> str:
    """The date by the clock at the camera."""
    return presenting.local_day(moment, survey.time_zone) if moment else ""


@register.filter
def split_words(text: str) -> list[str]:
    return text.split()


@register.filter
def names(named: Iterable[Any]) -> str:
    return ", ".join(one.name for one in named)


@register.filter
def codes_and_names(individuals: Iterable[Individual]) -> str:
    """'A-1, A-2 “Tara” and A-3'."""
    words = [f"{one.code} “{one.name}”" if one.name else one.code for one in individuals]
    if len(words) < 2:
        return "".join(words)
    return gettext("%(others)s and %(last)s") % {"others": ", ".join(words[:-1]), "last": words[-1]}


@register.filter
def get(mapping: dict[Any, Any], key: Any) -> Any:
    return mapping.get(key)


@register.simple_tag
def box(detection: Detection) -> SafeString:
    """The box as an SVG rectangle in pixels of the photo; numbers never follow the reader's language."""
    takes_part = detection.usable and detection.triage != "other"
    style = detection.category if takes_part else "unusable"
    width, height = detection.x2 - detection.x1, detection.y2 - detection.y1
    numbers = (f"{value:.1f}" for value in (detection.x1, detection.y1, width, height))
    return format_html('<rect class="{}" x="{}" y="{}" width="{}" height="{}"></rect>', style, *numbers)


@register.simple_tag
@constant
def key(name: str) -> SafeString:
    """A key cap."""
    return format_html('<kbd aria-hidden="true">{}</kbd>', _CAPS.get(name, name))


@register.simple_tag
def reason_buttons(empty: object) -> SafeString:
    """Why a picture is set aside, as buttons with their digits. empty: whether `no animal` has a button of its own."""
    return _reason_buttons(bool(empty), get_language())


@lru_cache(maxsize=32)
def _reason_buttons(empty: bool, language: str | None) -> SafeString:
    left_out = {Unusable.OTHER, *([Unusable.NOTHING] if empty else [])}
    buttons = [
        (value, digit, label, key(str(digit)))
        for digit, (value, label) in enumerate(Unusable.choices, 1)
        if value not in left_out
    ]
    words = '<button name="unusable_reason" value="{}" data-digit="{}">{} {}</button>'
    return format_html_join("", words, buttons)


@register.simple_tag(takes_context=True)
def here(context: dict[str, Any], *names: str) -> SafeString | str:
    """aria-current for a link of the navigation."""
    match = context["request"].resolver_match if "request" in context else None
    return mark_safe('aria-current="page"') if match and match.url_name in names else ""

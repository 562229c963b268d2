"""Filters of the pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from .. import presenting
from ..matching.progress import Completeness
from ..models import Detection, Image, Survey

register = template.Library()


@register.filter
def percent(fraction: float | None) -> str:
    return presenting.percent(fraction)


@register.filter
def probability_words(probability: float | None) -> str:
    return presenting.probability_words(probability)


@register.filter
def flank_words(detection: Detection) -> str:
    """What is estimated of the flank, where no person has named it."""
    return presenting.flank_words(detection.flank, detection.flank_by_person, detection.left_probability)


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
def at(moment: datetime | None, survey: Survey) -> str:
    return presenting.local_time(moment, survey.time_zone) if moment else ""


@register.filter
def on_day(moment: datetime | None, survey: Survey) -> str:
    """The date by the clock at the camera."""
    return presenting.local_day(moment, survey.time_zone) if moment else ""


@register.filter
def split_words(text: str) -> list[str]:
    return text.split()


@register.filter
def plural(number: int, words: str) -> str:
    """`{{ n|plural:"photo,photos" }}`: the number with the right word."""
    one, many = words.split(",")
    return f"{number} {one if number == 1 else many}"


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
def key(name: str) -> SafeString:
    """A key cap."""
    return format_html('<kbd aria-hidden="true">{}</kbd>', name)


@register.simple_tag(takes_context=True)
def here(context: dict[str, Any], *names: str) -> SafeString | str:
    """aria-current for a link of the navigation."""
    match = context["request"].resolver_match if "request" in context else None
    return mark_safe('aria-current="page"') if match and match.url_name in names else ""

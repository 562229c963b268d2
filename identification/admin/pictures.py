"""Pictures in lists and forms. They are served by the media view, which asks `permissions` for each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from zoneinfo import ZoneInfo

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from ..models import Detection, Image
from ..presenting import SCREEN_KINDS

_NONE = mark_safe('<span class="spotid-none" aria-hidden="true">–</span>')


def photo_picture(image: Image | None, *, large: bool = False) -> SafeString:
    """The photo, small or large; links to the photo's page."""
    if image is None or not image.preview:
        return _NONE
    return _picture("preview", image.pk, image.name, reverse("photo-detail", args=[image.pk]), large)


def crop_picture(detection: Detection | None, *, large: bool = False, kind: str = "crop") -> SafeString:
    """The crop of a detection, or its cutout or edges; links to the page of its photo."""
    if detection is None or not getattr(detection, kind):
        return _NONE
    return _picture(kind, detection.pk, str(detection.pk), reverse("photo-detail", args=[detection.image_id]), large)


def _picture(kind: str, pk: int, name: str, link: str, large: bool) -> SafeString:
    sized = kind in SCREEN_KINDS
    return format_html(
        '<a href="{}" class="spotid-picture{}"><img src="{}" alt="{}" loading="lazy"></a>',
        link,
        " spotid-large" if large else "",
        reverse("media-screen", args=[kind, pk, 960 if large else 240]) if sized else reverse("media", args=[kind, pk]),
        f"{kind} {name}",
    )


def views(detection: Detection) -> SafeString:
    """The crop, the same without its background, and its edge map, each with its name."""
    shown = [("crop", "Crop"), ("cutout", "Without background"), ("edges", "Edge map")]
    figures = format_html_join(
        "",
        "<figure>{}<figcaption>{}</figcaption></figure>",
        [(crop_picture(detection, large=True, kind=kind), title) for kind, title in shown],
    )
    return format_html('<div class="spotid-views">{}</div>', figures)


def clock(moment: datetime | None, zone: str = "UTC") -> SafeString:
    """A moment on one line, as the clock of the zone showed it."""
    if moment is None:
        return format_html('<span class="spotid-time">{}</span>', "unknown")
    return format_html(
        '<time class="spotid-time" datetime="{}">{}</time>', moment.isoformat(), plain_clock(moment, zone)
    )


def plain_clock(moment: datetime, zone: str = "UTC") -> str:
    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M}"


def gallery(detections: Iterable[Detection], *, large: bool = False) -> SafeString:
    """Crops side by side, each with its photo, station, time and flank and a link to its form."""
    rows = [
        (
            crop_picture(detection),
            reverse("admin:identification_detection_change", args=[detection.pk]),
            detection.image.name,
            detection.image.station_label or "no station",
            clock(detection.image.captured_at, detection.image.survey.time_zone),
            detection.get_flank_display(),
        )
        for detection in detections
    ]
    if not rows:
        return _NONE
    figures = format_html_join(
        "",
        '<figure>{}<figcaption><a href="{}">{}</a><br>{} · {} · {}</figcaption></figure>',
        rows,
    )
    return format_html('<div class="spotid-gallery{}">{}</div>', " spotid-wide-gallery" if large else "", figures)


def pair_picture(first: Detection, second: Detection) -> SafeString:
    return format_html('<span class="spotid-pair">{}{}</span>', crop_picture(first), crop_picture(second))


def linked(view: str, pk: int | None, text: str) -> SafeString:
    """A link into the admin; only the text where there is nothing to link to."""
    if pk is None:
        return format_html("{}", text)
    return format_html(
        '<a class="spotid-link" href="{}">{}</a>', reverse(f"admin:identification_{view}_change", args=[pk]), text
    )

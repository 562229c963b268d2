"""Pictures in lists and forms. They are served by the media view, which asks `permissions` for each."""

from __future__ import annotations

from collections.abc import Iterable

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from ..models import Detection, Image

_NONE = mark_safe('<span class="spotid-none" aria-hidden="true">–</span>')


def photo_picture(image: Image | None, *, large: bool = False) -> SafeString:
    """The photo's thumbnail, or its preview where it is large; links to the photo's page."""
    kind = "preview" if large else "thumbnail"
    if image is None or not getattr(image, kind):
        return _NONE
    return _picture(kind, image.pk, image.name, reverse("photo-detail", args=[image.pk]), large)


def crop_picture(detection: Detection | None, *, large: bool = False, kind: str = "crop") -> SafeString:
    """The crop of a detection, or its cutout or edges; links to the page of its photo."""
    if detection is None or not getattr(detection, kind):
        return _NONE
    return _picture(kind, detection.pk, str(detection.pk), reverse("photo-detail", args=[detection.image_id]), large)


def _picture(kind: str, pk: int, name: str, link: str, large: bool) -> SafeString:
    return format_html(
        '<a href="{}" class="spotid-picture{}"><img src="{}" alt="{}" loading="lazy"></a>',
        link,
        " spotid-large" if large else "",
        reverse("media", args=[kind, pk]),
        f"{kind} {name}",
    )


def gallery(detections: Iterable[Detection]) -> SafeString:
    """Crops side by side, each with its photo, station, time and flank and a link to its form."""
    rows = [
        (
            crop_picture(detection),
            reverse("admin:identification_detection_change", args=[detection.pk]),
            detection.image.name,
            detection.image.station.code if detection.image.station else "no station",
            f"{detection.image.captured_at:%Y-%m-%d %H:%M}" if detection.image.captured_at else "time unknown",
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
    return format_html('<div class="spotid-gallery">{}</div>', figures)


def pair_picture(first: Detection, second: Detection) -> SafeString:
    return format_html('<span class="spotid-pair">{}{}</span>', crop_picture(first), crop_picture(second))


def linked(view: str, pk: int | None, text: str) -> SafeString:
    """A link into the admin; only the text where there is nothing to link to."""
    if pk is None:
        return format_html("{}", text)
    return format_html(
        '<a class="spotid-link" href="{}">{}</a>', reverse(f"admin:identification_{view}_change", args=[pk]), text
    )

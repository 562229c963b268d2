"""Pictures in the sizes that fit the screen."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache

from django import template
from django.urls import get_script_prefix, reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from ..models import Detection, Image
from ..presenting import local_time, screen_widths

register = template.Library()
_LAZY = ' loading="lazy"'

# How wide a picture is shown, for the browser to choose by; narrow screens first (static/spotid/css).
SLOTS = {
    "strip": "7rem",
    "pair": "8rem",
    "box": "(max-width: 60rem) 30vw, 9rem",
    "tile": "(max-width: 40rem) 46vw, 14rem",
    "card": "(max-width: 40rem) 92vw, 18rem",
    "half": "(max-width: 40rem) 46vw, 9rem",
    "large": "(max-width: 40rem) 92vw, 42vw",
    "photo": "(max-width: 60rem) 92vw, 54rem",
}


@register.simple_tag
def picture(shown: Detection | Image, kind: str, slot: str, *alt: str, lazy: bool = True) -> SafeString:
    """An img element of a stored picture with its copies for screens and, so that nothing jumps, its size.

    kind: one of `SCREEN_KINDS`; slot: a name in `SLOTS`; alt: parts of the text for those who do not see it. Lazy is
    not for what is at the top of its page.
    """
    width, tall = size_of(shown)
    widths = screen_widths(width, tall)
    address = f"{_folder(kind, get_script_prefix())}{shown.pk}/"
    sources = [(f"{address}{longest}/", across) for longest, across in widths]
    words = escape(", ".join(str(part) for part in alt if part))
    # A page has dozens of them: only the words can hold anything that is to be escaped.
    return mark_safe(
        f'<img src="{sources[min(1, len(sources) - 1)][0]}"'
        f' srcset="{", ".join(f"{source} {across}w" for source, across in sources)}" sizes="{SLOTS[slot]}"'
        f' width="{width}" height="{tall}" alt="{words}"{_LAZY if lazy else ""} decoding="async">'
    )


@register.simple_tag
def strip(photos: Iterable[Detection]) -> SafeString:
    """Links to photos, each with its picture. As one tag, because a page may have two dozen of them."""
    prefix = get_script_prefix()
    return mark_safe("".join(_linked(photo, prefix) for photo in photos))


def _linked(photo: Detection, prefix: str) -> str:
    image = photo.image
    title = (
        f"{image.station_label} {local_time(image.captured_at, image.survey.time_zone)}, {photo.get_flank_display()}"
    )
    shown = picture(photo, "crop", "strip", image.name)
    return f'<a href="{_photo(prefix)}{photo.image_id}/" title="{escape(title)}">{shown}</a>'


@lru_cache(maxsize=64)
def _photo(prefix: str) -> str:
    return reverse("photo-detail", args=[0]).removesuffix("0/")


@lru_cache(maxsize=64)
def _folder(kind: str, prefix: str) -> str:
    """Where the pictures of a kind are, below the prefix that the application is served at."""
    return reverse("media", args=[kind, 0]).removesuffix("0/")


def size_of(shown: Detection | Image) -> tuple[int, int]:
    """(width, height) in pixels: of the photo, or of what was cut out of it: every pixel that the box touches."""
    if isinstance(shown, Image):
        return max(1, shown.width or 1), max(1, shown.height or 1)
    across = math.ceil(shown.x2) - math.floor(shown.x1)
    return max(1, across), max(1, math.ceil(shown.y2) - math.floor(shown.y1))

"""Photos and what is made of them, served after asking `permissions`. No part of a path ever comes from the URL."""

from __future__ import annotations

from urllib.parse import quote

from django.conf import settings
from django.http import FileResponse, Http404, HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotModified
from django.shortcuts import get_object_or_404
from django.utils.cache import patch_cache_control
from django.utils.http import parse_etags
from django.views.decorators.http import require_safe

from ..exports.placeless import without_places
from ..models import Detection, Image
from ..permissions import Action, detections_for, images_for, may, people_blurred, print_covered
from ..presenting import SCREEN_KINDS, SCREEN_SIZES
from ..services.catalogue import places_shown
from ..services.media import blurred_copy, covered_copy, media_path, screen_copy
from .access import account

IMAGE_KINDS = ("thumbnail", "preview")
DETECTION_KINDS = ("crop", "mask", "cutout", "edges")
# What a derivative may be, by its first bytes. Anything else is not served at all.
_TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png"}
_ORIGINAL_TYPES = {
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "heic": "image/heic",
    "heif": "image/heif",
}


@require_safe
def media(request: HttpRequest, kind: str, object_id: int) -> HttpResponseBase:
    """One picture. 404 for what is not there and for what the account may not see."""
    if kind == "original":
        images = images_for(account(request)).select_related("survey")
        return _original(request, get_object_or_404(images, pk=object_id))
    return _derivative(request, _stored(request, kind, _shown(request, kind, object_id)))


@require_safe
def screen(request: HttpRequest, kind: str, object_id: int, longest: int) -> HttpResponseBase:
    """A picture in a size for screens. Seen by whom the picture itself is; 404 for a size that no page asks for."""
    if kind not in SCREEN_KINDS or longest not in SCREEN_SIZES:
        raise Http404("There is no such size.")
    shown = _shown(request, kind, object_id)
    name = _stored(request, kind, shown)
    try:
        return _derivative(request, screen_copy(name, longest) if name and not _blurred(request, shown) else name)
    except (OSError, ValueError):
        raise Http404("This picture is not there.") from None


def _shown(request: HttpRequest, kind: str, object_id: int) -> Image | Detection:
    """What a picture is of. 404 for what the account may not see."""
    user = account(request)
    if kind in DETECTION_KINDS:
        return get_object_or_404(detections_for(user).select_related("image__survey"), pk=object_id)
    return get_object_or_404(images_for(user).select_related("survey"), pk=object_id)


def _stored(request: HttpRequest, kind: str, shown: Image | Detection) -> str:
    """Name of the stored picture of that kind as the account may see it: people blurred, whatever the kind and the
    size, and what cameras print covered. 404 where that cannot be made."""
    name = str(getattr(shown, kind))
    survey = shown.survey if isinstance(shown, Image) else shown.image.survey
    try:
        if name and isinstance(shown, Image) and _blurred(request, shown):
            return blurred_copy(shown)
        printed = name and kind != "mask" and print_covered(account(request), survey)
        return covered_copy(shown, name) if printed else name
    except (OSError, ValueError):
        raise Http404("This picture is not there.") from None


def _blurred(request: HttpRequest, shown: Image | Detection) -> bool:
    return isinstance(shown, Image) and people_blurred(account(request), shown)


def _original(request: HttpRequest, image: Image) -> HttpResponseBase:
    """The file itself, without what may tell a place unless the account may know it.

    A format that cannot be cleaned so is answered with the preview, and so is a photo on which the place is printed.
    """
    from ..inference.photos import openable_path  # the web process reaches engines only when it must

    user = account(request)
    if not may(user, Action.SEE_ORIGINAL, image.survey):
        raise Http404("Originals are for curators.")
    path = openable_path(image.source_path)
    kind = _ORIGINAL_TYPES.get(image.format.lower())
    if kind is None or not path.is_file():
        raise Http404("The original file is not where it was read. Its preview is kept.")
    if print_covered(user, image.survey):
        return _derivative(request, _stored(request, "preview", image))
    places = may(user, Action.SEE_PLACES, image.survey)
    etag = f'"{image.sha256}-{"whole" if places else "placeless"}"'
    response = _conditional(request, etag)
    if response is None and places:
        if image.gps_latitude is not None:
            places_shown(acting_user=user, target=image)
        response = FileResponse(path.open("rb"), content_type=kind)
    elif response is None:
        clean = without_places(path.read_bytes())
        if clean is None:
            return _derivative(request, image.preview)
        response = HttpResponse(clean, content_type=kind)
    response["Content-Disposition"] = f"inline; filename*=UTF-8''{quote(image.name.encode('utf-8', 'replace'))}"
    return _private(response, etag)


def _derivative(request: HttpRequest, name: str) -> HttpResponseBase:
    if not name:
        raise Http404("This picture has not been made yet.")
    try:
        path = media_path(name)
        with path.open("rb") as handle:
            start = handle.read(12)
        state = path.stat()
    except (OSError, ValueError):
        raise Http404("This picture is not there.") from None
    kind = next((kind for magic, kind in _TYPES.items() if start.startswith(magic)), None)
    if start.startswith(b"RIFF") and start.endswith(b"WEBP"):
        kind = "image/webp"
    if kind is None:
        raise Http404("This file is no picture.")
    etag = f'"{state.st_mtime_ns:x}-{state.st_size:x}"'
    response = _conditional(request, etag)
    if response is None:
        if prefix := settings.SPOTID_ACCEL_PREFIX:
            # Of the checked path, not of the stored name: nginx would follow `..`.
            below = path.relative_to(media_path("")).as_posix()
            response = HttpResponse(content_type=kind)
            response["X-Accel-Redirect"] = f"{prefix.rstrip('/')}/{quote(below)}"
        else:
            response = FileResponse(path.open("rb"), content_type=kind)
    return _private(response, etag)


def _conditional(request: HttpRequest, etag: str) -> HttpResponseBase | None:
    known = parse_etags(request.headers.get("If-None-Match", ""))
    return HttpResponseNotModified() if etag in {tag.removeprefix("W/") for tag in known} else None


def _private(response: HttpResponseBase, etag: str) -> HttpResponseBase:
    """Kept by the browser, but asked for again each time: a membership may have been withdrawn."""
    response["ETag"] = etag
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = "default-src 'none'; sandbox"
    patch_cache_control(response, private=True, no_cache=True)
    return response

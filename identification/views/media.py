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
from ..models import Image
from ..permissions import Action, detections_for, images_for, may
from ..services.media import media_path
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
    user = account(request)
    if kind in DETECTION_KINDS:
        detection = get_object_or_404(detections_for(user), pk=object_id)
        return _derivative(request, getattr(detection, kind))
    image = get_object_or_404(images_for(user).select_related("survey"), pk=object_id)
    if kind == "original":
        return _original(request, image)
    if kind in IMAGE_KINDS:
        return _derivative(request, getattr(image, kind))
    raise Http404("No such kind of picture.")


def _original(request: HttpRequest, image: Image) -> HttpResponseBase:
    """The file itself, without what may tell a place unless the account may know it.

    A format that cannot be cleaned so is answered with the preview.
    """
    from ..inference.photos import openable_path  # the web process reaches engines only when it must

    user = account(request)
    if not may(user, Action.SEE_ORIGINAL, image.survey):
        raise Http404("Originals are for curators.")
    path = openable_path(image.source_path)
    kind = _ORIGINAL_TYPES.get(image.format.lower())
    if kind is None or not path.is_file():
        raise Http404("The original file is not where it was read. Its preview is kept.")
    places = may(user, Action.SEE_PLACES, image.survey)
    etag = f'"{image.sha256}-{"whole" if places else "placeless"}"'
    response = _conditional(request, etag)
    if response is None and places:
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
            start = handle.read(4)
        state = path.stat()
    except (OSError, ValueError):
        raise Http404("This picture is not there.") from None
    kind = next((kind for magic, kind in _TYPES.items() if start.startswith(magic)), None)
    if kind is None:
        raise Http404("This file is no picture.")
    etag = f'"{state.st_mtime_ns:x}-{state.st_size:x}"'
    response = _conditional(request, etag)
    if response is None:
        prefix = getattr(settings, "SPOTID_X_ACCEL", "")
        if prefix:
            response = HttpResponse(content_type=kind)
            response["X-Accel-Redirect"] = f"{prefix.rstrip('/')}/{quote(name)}"
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

"""`Idempotency-Key`: what arrives twice is done once, and answered as it was the first time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid5

from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.utils.translation import gettext
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response

from ..permissions import rights_digest
from ..services.request_keys import KeyUsed, request_key_answer, request_key_take
from .problems import KeyOfAnother

HEADER = "Idempotency-Key"
_SPACE = UUID("0a6a4c2e-53c7-4f43-8d0f-0b7c7a7b6f10")


def key_of(request: Any) -> str:
    """The key that a request carries; '' for none. Raises ValidationError for one that is none."""
    key: str = request.headers.get(HEADER, "").strip()
    if key and (len(key) > 200 or not (key.isascii() and key.isprintable())):
        raise ValidationError({HEADER: ["At most 200 printable ASCII characters."]})
    return key


def decision_key(request: Any, text: str | None = None) -> UUID | None:
    """The key of a decision: a UUID as it is, any other text as a UUID of the account's own."""
    key = key_of(request) if text is None else text
    if not key:
        return None
    try:
        return UUID(key)
    except ValueError:
        return uuid5(_SPACE, f"{request.user.pk}:{key}")


def once(request: Any, act: Callable[[], Response]) -> Response:
    """Do it, unless it was done under this key within a day: then the answer of that time.

    The key is taken in the transaction of the change itself, so that either both are there or neither.
    """
    key = key_of(request)
    if not key:
        return act()
    with transaction.atomic():
        try:
            digest, rights = digest_of(request), rights_digest(request.user)
            taken = request_key_take(user=request.user, key=key, digest=digest, rights=rights)
        except KeyUsed as used:
            if used.digest != digest:
                raise KeyOfAnother from None
            if used.rights != rights:
                # An answer of then may say what the account may not read now.
                raise PermissionDenied(
                    gettext("Your rights have changed since this was asked under the key.")
                ) from None
            return Response(used.answer, status=used.status, headers={"Idempotent-Replayed": "true"})
        response = act()
        body = json.loads(json.dumps(response.data, default=str)) if response.data is not None else None
        request_key_answer(taken=taken, status=response.status_code, answer=body)
    return response


def digest_of(request: Any) -> str:
    """SHA-256 of method, address and content, files included."""
    found = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    data = request.data
    if not hasattr(data, "lists"):
        found.update(json.dumps(data, sort_keys=True, default=str).encode())
        return found.hexdigest()
    for name, values in sorted(data.lists()):
        for value in values:
            found.update(f"{len(name)}:{name}=".encode())
            if isinstance(value, UploadedFile):
                for piece in value.chunks():
                    found.update(piece)
                value.seek(0)
            else:
                found.update(str(value).encode("utf-8", "surrogatepass"))
    return found.hexdigest()

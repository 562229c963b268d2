"""Whatever is refused, as RFC 9457 says: `application/problem+json` with title, status and detail."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.core.exceptions import ValidationError as ModelError
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, JsonResponse
from django.utils.translation import gettext
from rest_framework import exceptions
from rest_framework.views import set_rollback

from ..errors import Contradiction, KeyTaken, SpotIDError, StaleEdge
from ..permissions import detections_for
from ..services.receiving import WrongOffset

CONTENT_TYPE = "application/problem+json"
RETRY_SECONDS = "10"


class TooLarge(exceptions.APIException):
    """The body is longer than this address takes."""

    status_code = 413
    default_detail = "The body is too large."
    default_code = "too_large"


class PreconditionFailed(exceptions.APIException):
    """`If-Match` names a state that is not the present one."""

    status_code = 412
    default_detail = "This was changed meanwhile. Read it again."
    default_code = "changed"


class KeyOfAnother(exceptions.APIException):
    """The idempotency key was used for a request with other content."""

    status_code = 422
    default_detail = "Another request was made under this Idempotency-Key."
    default_code = "key_taken"


def problem(status: int, *, detail: str = "", code: str = "", headers: Any = None, **more: Any) -> JsonResponse:
    """One problem. more: members of its own, such as `errors` by field."""
    said = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status}
    if detail:
        said["detail"] = detail
    if code:
        said["code"] = code
    response = JsonResponse(said | more, status=status, content_type=CONTENT_TYPE)
    for name, value in (headers or {}).items():
        response[name] = value
    return response


def exception_handler(error: Exception, context: dict[str, Any]) -> JsonResponse | None:
    """What a view raised, for a program. None: nobody expected it, and it is a 500."""
    set_rollback()
    if isinstance(error, exceptions.APIException):
        return _api(error)
    if isinstance(error, Http404):
        return problem(404, detail=gettext("There is nothing here that you may see."), code="not_found")
    if isinstance(error, PermissionDenied):
        return problem(403, detail=str(error) or gettext("You may not do this."), code="forbidden")
    if isinstance(error, RequestDataTooBig):
        return problem(413, detail=gettext("The body is too large."), code="too_large")
    if isinstance(error, SpotIDError):
        return _refused(error, context)
    if isinstance(error, OperationalError | InterfaceError):
        detail = gettext("The database is away. Nothing was recorded.")
        return problem(503, detail=detail, code="unavailable", headers={"Retry-After": RETRY_SECONDS})
    if isinstance(error, ModelError):
        errors = error.message_dict if hasattr(error, "error_dict") else {"": error.messages}
        return problem(400, detail=gettext("Something in the request cannot be."), code="invalid", errors=errors)
    if isinstance(error, IntegrityError):
        return problem(409, detail=gettext("This collides with what is there already."), code="collides")
    if isinstance(error, DataError):
        return problem(400, detail=gettext("A value is too long or too large."), code="invalid")
    return None


def _api(error: exceptions.APIException) -> JsonResponse:
    headers = {}
    if getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = error.auth_header
    if getattr(error, "wait", None) is not None:
        headers["Retry-After"] = str(max(1, int(error.wait)))
    if isinstance(error, exceptions.ValidationError):
        errors = error.detail if isinstance(error.detail, dict) else {"": error.detail}
        detail = gettext("Something in the request cannot be.")
        return problem(400, detail=detail, code="invalid", errors=errors, headers=headers)
    code = error.get_codes() if isinstance(error.get_codes(), str) else "refused"
    return problem(error.status_code, detail=str(error.detail), code=code, headers=headers)


def _refused(error: SpotIDError, context: dict[str, Any]) -> JsonResponse:
    said = refusal(error, context["request"].user)
    status = said.pop("status")
    return problem(status, **said)


def refusal(error: Exception, user: Any) -> dict[str, Any]:
    """Status, code and words of a refusal, with the present state of a pair where that is what was missed."""
    said: dict[str, Any] = {"status": 422, "code": "refused", "detail": str(error)}
    if isinstance(error, StaleEdge):
        said |= {"status": 409, "code": "stale", "verdict": error.verdict, "version": error.version}
    elif isinstance(error, Contradiction):
        said |= {"status": 409, "code": "contradiction", "pairs": _visible(error.pairs, user)}
    elif isinstance(error, WrongOffset):
        said |= {"status": 409, "code": "offset", "received": error.received}
    elif isinstance(error, KeyTaken):
        said["code"] = "key_taken"
    elif isinstance(error, Http404):
        said |= {"status": 404, "code": "not_found", "detail": gettext("There is nothing here that you may see.")}
    elif isinstance(error, PermissionDenied):
        said |= {"status": 403, "code": "forbidden"}
    return said


def _visible(pairs: list[tuple[int, int]], user: Any) -> list[list[int]]:
    """The pairs of which the account may see both photos; of others it learns nothing."""
    ends: set[int] = {pk for pair in pairs for pk in pair}
    seen = set(detections_for(user).filter(pk__in=ends).values_list("pk", flat=True)) if ends else set()
    return [list(pair) for pair in pairs if set(pair) <= seen]

"""What no form of ours sends, and the database does not take: a NUL character in an address or in a field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.exceptions import BadRequest
from django.db import DataError
from django.http import HttpRequest, HttpResponse, HttpResponseBase, QueryDict, RawPostDataException
from django.shortcuts import render

_NUL = "\x00"


class ReadableText:
    """Middleware: pages and the admin answer 400 to a NUL, before any of them reads it.

    The API refuses it by its serializers, with the name of the field.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, named: Any) -> None:
        """Raises BadRequest. The form has been read by now, for its CSRF token."""
        if request.path.startswith("/api/"):
            return
        if _NUL in request.path or _holds(request.GET) or (request.method == "POST" and _holds(request.POST)):
            raise BadRequest("A NUL character in the request.")

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """The same for what came in another form, such as JSON, and was refused by the database; and for a form in
        place of the bytes that an address reads."""
        nul = isinstance(error, DataError) and ("(0x00)" in str(error) or "\\u0000" in str(error))
        refused = nul or isinstance(error, RawPostDataException)
        return render(request, "400.html", status=400) if refused else None


def _holds(form: QueryDict) -> bool:
    return any(_NUL in text for name, values in form.lists() for text in (name, *values))

"""Parts of pages that are loaded alone (htmx)."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from django_htmx.http import HttpResponseClientRefresh


class WholePages:
    """Middleware: who asks for a part and is sent elsewhere, to sign in mostly, gets that as a whole page.

    Otherwise the sign-in page would appear where the progress stood.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        asked_for_part = request.headers.get("HX-Request") == "true"
        return HttpResponseClientRefresh() if asked_for_part and 300 < response.status_code < 304 else response

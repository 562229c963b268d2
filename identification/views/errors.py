"""Error pages that need neither database nor session."""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from ..api.problems import RETRY_SECONDS, problem


def server_error(request: HttpRequest) -> HttpResponse:
    """503 with a retry hint while the database is away, 500 otherwise; never a half page."""
    away = isinstance(sys.exc_info()[1], OperationalError | InterfaceError)
    if request.path.startswith("/api/"):
        # Where the sign-in is read already nothing of the API has been reached yet.
        return problem(503 if away else 500, headers={"Retry-After": RETRY_SECONDS} if away else None)
    response = render(None, "errors/503.html" if away else "errors/500.html", status=503 if away else 500)
    if away:
        response["Retry-After"] = "10"
    return response

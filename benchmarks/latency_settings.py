"""SpotID's own settings, and how long the server took over each request in its answer's `Server-Timing` header.

Used by review_latency.py for the server that it starts; a service has no such header.
"""

import time
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse

from spotid_site.settings import *  # noqa: F403
from spotid_site.settings import MIDDLEWARE as _OWN

MIDDLEWARE = ["benchmarks.latency_settings.server_timing", *_OWN]


def server_timing(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """total: milliseconds from the first middleware to the finished answer; cpu: of this thread; db: waiting for the
    database, in so many queries."""

    def answer(request: HttpRequest) -> HttpResponse:
        queries, waited = 0, 0.0

        def counted(execute: Callable[..., Any], *arguments: Any) -> Any:
            nonlocal queries, waited
            began = time.perf_counter()
            try:
                return execute(*arguments)
            finally:
                queries, waited = queries + 1, waited + time.perf_counter() - began

        began, worked = time.perf_counter(), time.thread_time()
        with connection.execute_wrapper(counted):
            response = get_response(request)
        total, cpu = time.perf_counter() - began, time.thread_time() - worked
        response["Server-Timing"] = (
            f"total;dur={1000 * total:.2f}, cpu;dur={1000 * cpu:.2f}, db;dur={1000 * waited:.2f}, queries;dur={queries}"
        )
        return response

    return answer

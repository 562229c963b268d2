"""Names of stations and files that tell a place, kept from those who may not see places."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache

from django.http import FileResponse, HttpRequest, HttpResponseBase, StreamingHttpResponse

from ..naming import names_hidden_by
from ..permissions import surveys_nameless


class HiddenNames:
    """Middleware: whoever may not see places reads neutral names where a survey hides its stations.

    Who that is, is asked when the first name is read: programs are known by their token only within the view.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        @cache
        def surveys() -> Collection[int]:
            return surveys_nameless(request.user)

        with names_hidden_by(surveys):
            response = self.get_response(request)
        if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
            # What is streamed is written after this.
            response.streaming_content = _streamed(response.streaming_content, surveys)  # type: ignore[arg-type]
        return response


def _streamed(parts: Iterable[bytes], surveys: Callable[[], Collection[int]]) -> Iterator[bytes]:
    rest = iter(parts)
    while True:
        with names_hidden_by(surveys):
            try:
                part = next(rest)
            except StopIteration:
                return
        yield part

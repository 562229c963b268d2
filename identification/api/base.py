"""What every address of the API does alike: who asks, how often, what is said and in which form it is answered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, cast

from django.conf import settings
from django.http import Http404, HttpResponse, HttpResponseBase, HttpResponseNotModified
from django.utils.cache import patch_cache_control, patch_vary_headers
from django.utils.http import parse_etags
from drf_spectacular.utils import OpenApiParameter, extend_schema, inline_serializer
from rest_framework import exceptions, serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from .. import permissions
from ..models import User
from .keys import HEADER, once
from .paging import Page, PageQuery, next_address
from .problems import PreconditionFailed, TooLarge, exception_handler
from .throttles import AccountThrottle, AnonymousThrottle

Serializer = type[serializers.BaseSerializer]


@dataclass(frozen=True)
class Operation:
    """What an address takes and gives, as its schema says it and its view keeps it.

    out: of an answer, or of each row. paged: rows come by pages. keyed: whether `Idempotency-Key` is heard here; not
    where the operation has keys of its own, or changes nothing by being repeated. matched: whether `If-Match` is.
    """

    summary: str
    out: Serializer | None = None
    many: bool = False
    paged: bool = False
    query: Serializer | None = None
    body: Serializer | None = None
    status: int = 200
    keyed: bool = True
    matched: bool = False


class LimitedJSONParser(JSONParser):
    """JSON that is neither longer nor deeper than is sensible."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        request = (parser_context or {}).get("request")
        most = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
        try:
            length = int(request.META.get("CONTENT_LENGTH") or 0) if request is not None else 0
        except ValueError:
            length = 0
        if length > most:
            raise TooLarge
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError:
            raise exceptions.ParseError("The body is nested too deeply.") from None


class AnyNegotiation(BaseContentNegotiation):
    """For files: they are what they are, whatever is asked for."""

    def select_parser(self, request: Any, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """An address. Its methods are decorated with `operation`; each finds what is named, then reads what is said."""

    renderer_classes: list[type[BaseRenderer]] = [JSONRenderer]
    parser_classes: list[Any] = [LimitedJSONParser]
    throttle_classes = [AnonymousThrottle, AccountThrottle]
    # What an address takes is said by the schema.
    metadata_class = None

    def get_exception_handler(self) -> Callable[..., Any]:
        return exception_handler

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        """As of APIView, but whoever is refused is counted, too."""
        self.format_kwarg = self.get_format_suffix(**kwargs)
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        try:
            self.perform_authentication(request)
        except exceptions.AuthenticationFailed:
            throttle = AnonymousThrottle()
            if not throttle._allowed(f"from:{throttle.get_ident(request)}", settings.SPOTID_API_ANONYMOUS_PER_MINUTE):
                raise exceptions.Throttled(throttle.wait()) from None
            raise
        self.check_throttles(request)
        self.check_permissions(request)

    @property
    def user(self) -> User:
        return cast(User, self.request.user)

    def operation_of(self, method: str) -> Operation:
        return cast(Operation, getattr(self, method.lower()).operation)

    def asked(self) -> dict[str, Any]:
        """The query, checked. Raises ValidationError."""
        serializer = self.operation_of(self.request.method).query
        assert serializer is not None
        found = serializer(data=_single(self.request.query_params), context=self.get_renderer_context())
        found.is_valid(raise_exception=True)
        return cast(dict[str, Any], found.validated_data)

    def said(self) -> Any:
        """The body, checked. Raises ValidationError."""
        serializer = self.operation_of(self.request.method).body
        assert serializer is not None
        found = serializer(data=self.request.data, context=self.get_renderer_context())
        found.is_valid(raise_exception=True)
        return found.validated_data

    def tag(self, data: Any) -> str:
        """The tag of an answer: of its content and of who reads it, so that it tells nobody else anything."""
        content = json.dumps(data, sort_keys=True, default=str)
        return f'"{hashlib.sha256(f"{self.request.user.pk}:{content}".encode()).hexdigest()[:32]}"'

    def match(self, serializer: Serializer, present: Any) -> None:
        """Raise PreconditionFailed where `If-Match` is sent and is not the tag of what is there now."""
        wanted = self.request.headers.get("If-Match", "").strip()
        if not wanted or wanted == "*":
            return
        now = self.tag(serializer(present, context=self.get_renderer_context()).data)
        if now not in {tag.removeprefix("W/") for tag in parse_etags(wanted)}:
            raise PreconditionFailed


def _single(query: Any) -> dict[str, Any]:
    """Each parameter once, but for those that are lists."""
    return {name: values[-1] for name, values in query.lists()}


def _answered(view: ApiView, said: Operation, result: Any) -> HttpResponseBase:
    if isinstance(result, HttpResponseBase):
        return result
    if said.out is None or (result is None and said.status == 204):
        return Response(status=204)
    context = view.get_renderer_context()
    if isinstance(result, Page):
        rows = said.out(result.rows, many=True, context=context).data
        return Response({"results": rows, "next": next_address(view.request, result)}, status=said.status)
    return Response(said.out(result, many=said.many, context=context).data, status=said.status)


def _tagged(view: ApiView, response: HttpResponseBase) -> HttpResponseBase:
    if not isinstance(response, Response):
        return response
    tag = view.tag(response.data)
    known = {one.removeprefix("W/") for one in parse_etags(view.request.headers.get("If-None-Match", ""))}
    found: HttpResponseBase = HttpResponseNotModified() if tag in known else response
    found["ETag"] = tag
    return found


def operation(summary: str, **said: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A method of an address; see `Operation`."""
    what = Operation(summary, **said)

    def decorated(method: Callable[..., Any]) -> Callable[..., Any]:
        writes = method.__name__ not in {"get", "head"}

        @wraps(method)
        def answering(self: ApiView, request: Any, *args: Any, **named: Any) -> HttpResponseBase:
            def act() -> HttpResponseBase:
                return _answered(self, what, method(self, request, *args, **named))

            if writes:
                response = once(request, act) if what.keyed and method.__name__ == "post" else act()
            else:
                with permissions.rights_read_once(request.user):
                    response = _tagged(self, act())
            patch_cache_control(
                cast(HttpResponse, response), private=True, **({"no_store": True} if writes else {"no_cache": True})
            )
            patch_vary_headers(response, ["Authorization", "Cookie"])
            return response

        answering.operation = what  # type: ignore[attr-defined]
        return cast(Callable[..., Any], extend_schema(**_schema(what, method))(answering))

    return decorated


_PAGES: dict[Serializer, Any] = {}


def _page_of(out: Serializer) -> Any:
    if out not in _PAGES:
        fields = {
            "results": out(many=True),
            "next": serializers.CharField(allow_null=True, help_text="Address of the next page; null at the end."),
        }
        _PAGES[out] = inline_serializer(f"{out.__name__}Page", fields)
    return _PAGES[out]


def _schema(what: Operation, method: Callable[..., Any]) -> dict[str, Any]:
    parameters: list[Any] = []
    name = method.__name__
    if what.query is not None:
        parameters.append(what.query)
    if name == "post" and what.keyed:
        parameters.append(_header(HEADER, "What arrives twice under one key is done once; kept for a day.", most=200))
    if what.matched:
        parameters.append(_header("If-Match", "The tag that was read; 412 where it is not the present one."))
    if name == "get" and what.out is not None:
        parameters.append(_header("If-None-Match", "Tags that are known; 304 where one is the present one."))
    out: Any = None
    if what.out is not None:
        out = _page_of(what.out) if what.paged else what.out(many=True) if what.many else what.out
    status = what.status if what.out is not None else 204
    return {
        "summary": what.summary,
        "parameters": parameters,
        "request": what.body,
        "responses": {status: out},
    }


def _header(name: str, description: str, most: int = 2000) -> OpenApiParameter:
    kind = {"type": "string", "maxLength": most}
    return OpenApiParameter(name, kind, OpenApiParameter.HEADER, description=description)


class NotThere(ApiView):
    """Every other address below the API: a problem, too, and no page for people."""

    schema = None

    def initial(self, request: Any, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        raise Http404

    def get(self, request: Any, **_named: Any) -> Response:
        raise Http404

    post = put = patch = delete = get


__all__ = ["ApiView", "NotThere", "Operation", "Page", "PageQuery", "operation"]

"""The OpenAPI schema: names of operations, the ways to sign in, and the problems that every address may answer."""

from __future__ import annotations

import inspect
import re
from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from .base import ApiView
from .problems import CONTENT_TYPE

PREFIX = "/api/v1/"
PROBLEMS = {
    400: "Something in the request cannot be.",
    401: "Nobody is signed in, or the token is refused.",
    403: "It is there, and this account may not do this.",
    404: "There is nothing here that this account may see.",
    405: "This address has no such method.",
    406: "Answers are JSON.",
    409: "The present state does not allow it.",
    412: "It was changed since it was read.",
    413: "The body is too large.",
    415: "The body is of a type that is not read here.",
    422: "It is understood and refused.",
    429: "Too many requests; Retry-After says when to go on.",
    500: "An error of the server.",
    503: "The database is away; Retry-After says when to go on.",
}


class ApiSchema(AutoSchema):
    """Operations are named by their address and method."""

    def get_operation_id(self) -> str:
        path = re.sub(r"[^a-zA-Z0-9]+", "_", self.path.removeprefix(PREFIX)).strip("_")
        return f"{path}_{self.method.lower()}"

    def get_description(self) -> str:
        method = getattr(self.view, self.method.lower(), None)
        return inspect.cleandoc(method.__doc__) if method is not None and method.__doc__ else ""

    def get_tags(self) -> list[str]:
        return [self.path.removeprefix(PREFIX).split("/", 1)[0]]

    def is_excluded(self) -> bool:
        return not isinstance(self.view, ApiView)


class TokenScheme(OpenApiAuthenticationExtension):
    """`Authorization: Token spotid_…`"""

    target_class = "identification.api.authentication.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "The word `Token`, a space, and a token that was made on the page of the account.",
        }


_PROBLEM = {
    "type": "object",
    "description": "RFC 9457. `errors` holds words by field, `code` what a program can go by.",
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {"type": "object", "additionalProperties": True},
        "verdict": {"type": "string"},
        "version": {"type": "integer"},
        "pairs": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
        "received": {"type": "integer"},
    },
    "required": ["type", "title", "status"],
}


def finish(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Add to every operation the problems that it may answer, and 304 to what has a tag."""
    components = result.setdefault("components", {})
    components.setdefault("schemas", {})["Problem"] = _PROBLEM
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    components["responses"] = {
        f"Problem{code}": {"description": words, "content": content} for code, words in PROBLEMS.items()
    }
    _forget_names(result)
    for path in result["paths"].values():
        for method, one in path.items():
            if method not in {"get", "post", "put", "patch", "delete"}:
                continue
            if method == "get":
                one["responses"].setdefault("304", {"description": "What is known is the present state."})
            for code in PROBLEMS:
                one["responses"].setdefault(str(code), {"$ref": f"#/components/responses/Problem{code}"})
    return result


def _forget_names(part: Any) -> None:
    """Choices stay where they are used; the marks by which drf-spectacular would name them are of no use to readers."""
    if isinstance(part, dict):
        part.pop("x-spec-enum-id", None)
    for one in part.values() if isinstance(part, dict) else part if isinstance(part, list) else ():
        _forget_names(one)

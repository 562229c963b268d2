"""The API: how often it may be asked, and its schema (drf-spectacular). docs/decisions/0044-api.md says why so."""

from typing import Any

from environs import Env


def rest_framework(env: Env) -> dict[str, Any]:
    """What REST_FRAMEWORK says beside authentication."""
    return {
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_SCHEMA_CLASS": "identification.api.schema.ApiSchema",
        "EXCEPTION_HANDLER": "identification.api.problems.exception_handler",
        "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
        # Behind the proxy that an institution runs, the last address is the one that it saw.
        "NUM_PROXIES": 1 if env.bool("SPOTID_BEHIND_PROXY", False) else 0,
    }


SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "SpotID",
    "DESCRIPTION": "Everything that a page of SpotID can do. Programs sign in with a token (`Authorization: Token …`).",
    "VERSION": "1",
    "SCHEMA_PATH_PREFIX": r"/api/v1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.IsAuthenticated"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"deepLinking": False, "docExpansion": "none", "validatorUrl": None},
    "POSTPROCESSING_HOOKS": ["identification.api.schema.finish"],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}

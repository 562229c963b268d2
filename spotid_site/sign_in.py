"""How people and programs sign in (django-allauth, django-rest-knox). docs/decisions/0041-accounts.md says why so."""

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environs import Env

PROVIDER = "sso"


def single_sign_on(env: Env) -> dict[str, Any]:
    """SOCIALACCOUNT_PROVIDERS of the environment: one OpenID Connect provider, or none.

    Raises ImproperlyConfigured where a part is missing, or the way to the provider is open to others: what it answers
    is believed because nobody else can have sent it.
    """
    server = env.str("SPOTID_OIDC_SERVER", "").rstrip("/")
    if not server:
        return {}
    client, secret = env.str("SPOTID_OIDC_CLIENT", ""), env.str("SPOTID_OIDC_SECRET", "")
    if not (client and secret):
        raise ImproperlyConfigured("SPOTID_OIDC_SERVER needs SPOTID_OIDC_CLIENT and SPOTID_OIDC_SECRET beside it.")
    parts = urlsplit(server)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost")):
        raise ImproperlyConfigured("SPOTID_OIDC_SERVER must begin with https://.")
    app = {
        "provider_id": PROVIDER,
        "name": env.str("SPOTID_OIDC_NAME", "") or "OpenID Connect",
        "client_id": client,
        "secret": secret,
        "settings": {"server_url": server},
    }
    return {"openid_connect": {"APPS": [app], "OAUTH_PKCE_ENABLED": True}}


# Guessing: per account, and per address, behind which a whole institution may sit. The counts are kept in the shared
# cache, so that all processes see them.
RATE_LIMITS = {
    "login": "120/m/ip",
    "login_failed": "60/m/ip,300/h/ip,5/5m/key",
    "reauthenticate": "10/m/user",
    "change_password": "5/m/user",
}

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "identification.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
}

REST_KNOX: dict[str, Any] = {
    "TOKEN_TTL": timedelta(days=90),
    "AUTH_HEADER_PREFIX": "Token",
    "TOKEN_PREFIX": "spotid_",
}

"""A small OpenID Connect provider on a port of this machine: discovery, authorize, token, userinfo.

The code flow of OpenID Connect Core 1.0. It signs in whoever the test puts into `person`, and refuses what a real one
would: an unknown client, a wrong secret, a code that was used, a redirect address that is not registered, a wrong PKCE
verifier.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt

CLIENT, SECRET = "spotid-client", "spotid secret"


class Provider:
    """State of the provider. person: claims of who is signed in there; None: who breaks off. down: answers 500."""

    def __init__(self) -> None:
        self.person: dict[str, Any] | None = {}
        self.redirects: set[str] = set()
        self.down = False
        self.refused: list[str] = []
        self.asked: list[str] = []
        self._codes: dict[str, tuple[str, str, dict[str, Any]]] = {}
        self._access: dict[str, dict[str, Any]] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"provider": self}))
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"

    def discovery(self) -> dict[str, Any]:
        return {
            "issuer": self.address,
            "authorization_endpoint": f"{self.address}/authorize",
            "token_endpoint": f"{self.address}/token",
            "userinfo_endpoint": f"{self.address}/userinfo",
            "jwks_uri": f"{self.address}/keys",
            "response_types_supported": ["code"],
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }

    def authorize(self, query: dict[str, str]) -> str | None:
        """Where the browser is sent; None for a request that is refused."""
        if query.get("client_id") != CLIENT or query.get("redirect_uri") not in self.redirects:
            self.refused.append("authorize")
            return None
        back = {"state": query["state"]}
        if self.person is None:
            return f"{query['redirect_uri']}?{urlencode({**back, 'error': 'access_denied'})}"
        code = secrets.token_urlsafe(16)
        self._codes[code] = (query["redirect_uri"], query.get("code_challenge", ""), dict(self.person))
        return f"{query['redirect_uri']}?{urlencode({**back, 'code': code})}"

    def token(self, form: dict[str, str]) -> dict[str, Any] | None:
        address, challenge, person = self._codes.pop(form.get("code", ""), ("", "", {}))
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        proven = challenge == base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        known = (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)
        if not (known and proven and address and form.get("redirect_uri") == address):
            self.refused.append("token")
            return None
        access = secrets.token_urlsafe(16)
        self._access[access] = person
        now = int(time.time())
        said = {"iss": self.address, "aud": CLIENT, "sub": person["sub"], "iat": now, "exp": now + 60}
        key = "of this test only, and long enough for SHA-256"
        return {"access_token": access, "token_type": "Bearer", "id_token": jwt.encode(said, key, "HS256")}

    def userinfo(self, header: str) -> dict[str, Any] | None:
        return self._access.get(header.removeprefix("Bearer "))


class _Handler(BaseHTTPRequestHandler):
    provider: Provider

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: value[0] for key, value in parse_qs(parts.query).items()}
        self.provider.asked.append(parts.path)
        if self.provider.down:
            self._answer(500, {"error": "down"})
        elif parts.path == "/.well-known/openid-configuration":
            self._answer(200, self.provider.discovery())
        elif parts.path == "/authorize" and (where := self.provider.authorize(query)):
            self.send_response(302)
            self.send_header("Location", where)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif parts.path == "/userinfo" and (said := self.provider.userinfo(self.headers.get("Authorization", ""))):
            self._answer(200, said)
        else:
            self._answer(400, {"error": "invalid_request"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.provider.asked.append(self.path)
        said = self.provider.token({key: value[0] for key, value in parse_qs(body).items()})
        self._answer(200 if said else 400, said or {"error": "invalid_grant"})

    def _answer(self, status: int, said: dict[str, Any]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        """Nothing: what was asked is in `asked`."""


@contextmanager
def provider_running() -> Iterator[Provider]:
    provider = Provider()
    thread = threading.Thread(target=provider.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield provider
    provider.server.shutdown()
    provider.server.server_close()
    thread.join()

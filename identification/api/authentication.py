"""How programs sign in: a token of an account, made and revoked on the account's page."""

from __future__ import annotations

from knox.auth import TokenAuthentication as KnoxAuthentication

from ..models import ApiToken, User
from ..services.tokens import token_used


class TokenAuthentication(KnoxAuthentication):
    """`Authorization: Token spotid_…`. Closed accounts, expired and revoked tokens are refused with 401."""

    def validate_user(self, auth_token: ApiToken) -> tuple[User, ApiToken]:
        found = super().validate_user(auth_token)
        token_used(token=auth_token)
        return found

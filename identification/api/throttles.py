"""How often may be asked: counted in the cache that all processes share."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.throttling import BaseThrottle

WINDOW = 60


class _Counting(BaseThrottle):
    """So many requests of one account, or address, in each minute of the clock."""

    def __init__(self) -> None:
        self.left = 0.0

    def _allowed(self, whom: str, most: int) -> bool:
        if most <= 0:
            return True
        now = time.time()
        place = int(now // WINDOW)
        key = f"api-asked:{whom}:{place}"
        asked = 1 if cache.add(key, 1, timeout=2 * WINDOW) else _one_more(key)
        self.left = (place + 1) * WINDOW - now
        return asked <= most

    def wait(self) -> float:
        return self.left


def _one_more(key: str) -> int:
    try:
        return int(cache.incr(key))
    except ValueError:
        # It ran out between the two questions.
        cache.set(key, 1, timeout=2 * WINDOW)
        return 1


class AccountThrottle(_Counting):
    """SPOTID_API_PER_MINUTE, for those who are signed in."""

    def allow_request(self, request: Any, view: Any) -> bool:
        user = request.user
        return not user.is_authenticated or self._allowed(f"user:{user.pk}", settings.SPOTID_API_PER_MINUTE)


class AnonymousThrottle(_Counting):
    """SPOTID_API_ANONYMOUS_PER_MINUTE, for each address, also for tokens that are refused."""

    def allow_request(self, request: Any, view: Any) -> bool:
        if getattr(request, "_user", None) is not None and request.user.is_authenticated:
            return True
        return self._allowed(f"from:{self.get_ident(request)}", settings.SPOTID_API_ANONYMOUS_PER_MINUTE)

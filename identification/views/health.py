"""Whether the installation is well, for people who run it. Public, and says nothing that is secret."""

from __future__ import annotations

from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from ..selectors.health import health_read


@login_not_required
@never_cache
@require_safe
def health(request: HttpRequest) -> JsonResponse:
    """200 with the state of database, worker and queue; 503 while the database is away."""
    try:
        state = health_read()
    except (OperationalError, InterfaceError):
        response = JsonResponse({"status": "unavailable", "database": "away"}, status=503)
        response["Retry-After"] = "10"
        return response
    return JsonResponse(
        {
            "status": "ok",
            "database": "ok",
            "worker": {"state": state.worker, "seconds_since_heartbeat": state.heartbeat_age},
            "photos_waiting": state.waiting,
        }
    )

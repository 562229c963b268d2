"""The schema, and the page on which people read and try it. Nothing of it comes from elsewhere."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.views import redirect_to_login
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from .problems import exception_handler
from .throttles import AccountThrottle


class Schema(SpectacularAPIView):
    throttle_classes = [AccountThrottle]

    def get_exception_handler(self) -> Any:
        return exception_handler


class Docs(SpectacularSwaggerSplitView):
    """Its script has an address of its own, so that the policy of the pages holds."""

    url_name = "api-schema"
    template_name = "identification/api_docs.html"
    title = "SpotID API"

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """People who are not signed in are sent to sign in, as from every page."""
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        return super().dispatch(request, *args, **kwargs)

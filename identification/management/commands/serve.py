from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from ..parent import watch_parent


class Command(BaseCommand):
    help = "Serve the pages with waitress, a production web server."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--threads", type=int, default=8)

    def handle(self, *args: Any, **options: Any) -> None:
        from waitress import serve

        from spotid_site.wsgi import application

        watch_parent(lambda: os._exit(1))
        # Whether the visitor came by HTTPS, and from where, is the proxy's to say, and only where there is one. Of the
        # addresses it counts the last, which the proxy itself has added.
        proxy = (
            {"trusted_proxy": "*", "trusted_proxy_headers": {"x-forwarded-proto", "x-forwarded-for"}}
            if settings.SPOTID_BEHIND_PROXY
            else {}
        )
        serve(
            application,
            host=options["host"],
            port=options["port"],
            threads=options["threads"],
            ident="SpotID",
            max_request_body_size=2**31,
            clear_untrusted_proxy_headers=True,
            **proxy,
        )

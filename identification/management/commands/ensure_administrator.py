from __future__ import annotations

import os
from typing import Any

from django.core.management.base import BaseCommand

from ...services.accounts import ADMINISTRATOR, administrator_ensure


class Command(BaseCommand):
    help = "Make the administrator on first run; the password is SPOTID_ADMIN_PASSWORD, or printed once."

    def handle(self, *args: Any, **options: Any) -> None:
        given = os.environ.get("SPOTID_ADMIN_PASSWORD", "")
        made = administrator_ensure(password=given)
        if made is not None:
            shown = "the password of SPOTID_ADMIN_PASSWORD" if given else made
            self.stdout.write(f"Administrator: {ADMINISTRATOR} / {shown}")

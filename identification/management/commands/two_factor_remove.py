from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ...models import User
from ...services.sign_ins import second_factors_remove


class Command(BaseCommand):
    help = "Take an account's second factor away, for somebody who lost the phone and the recovery codes."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")

    def handle(self, *args: Any, **options: Any) -> None:
        user = User.objects.filter(username=options["username"]).first()
        if user is None:
            raise CommandError(f"There is no account {options['username']}.")
        removed = second_factors_remove(acting_user=None, user=user)
        self.stdout.write(f"{user.username} has no second factor{' any more' if removed else ''}.")

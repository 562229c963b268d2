"""Gathers what is to be translated into locale/, and compiles what is translated. Needs GNU gettext."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.core.management.commands import makemessages
from django.utils.translation import to_locale

# Of each domain the files that say something to people who use the pages.
DOMAINS = {"django": ["html", "py"], "djangojs": ["js"]}
SAYING = ("identification", "spotid_site", "static", "templates")
# The day of a run would be a change in every catalogue, without one.
_DATED = re.compile(r'^"(?:POT-Creation-Date|PO-Revision-Date): .*\n', re.MULTILINE)


class Gather(makemessages.Command):
    """makemessages that guesses nothing: a sentence that has changed waits for its translator."""

    msgmerge_options = ["-q", "--backup=none", "--no-fuzzy-matching", "--sort-output", "--update"]


class Command(BaseCommand):
    help = "Update the catalogues in locale/ from templates, code and scripts, and compile them (needs GNU gettext)."

    def handle(self, *args: Any, **options: Any) -> None:
        root = Path(settings.BASE_DIR)
        languages = [to_locale(code) for code, _name in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
        elsewhere = [f"{folder.name}/*" for folder in root.iterdir() if folder.is_dir() and folder.name not in SAYING]
        with contextlib.chdir(root):
            for domain, extensions in DOMAINS.items():
                call_command(
                    Gather(),
                    locale=languages,
                    domain=domain,
                    extensions=extensions,
                    ignore_patterns=elsewhere,
                    no_location=True,
                    no_wrap=True,
                    no_obsolete=True,
                    verbosity=0,
                )
            for file in root.glob("locale/*/LC_MESSAGES/*.po"):
                file.write_text(_DATED.sub("", file.read_text(encoding="utf-8")), encoding="utf-8")
            call_command("compilemessages", locale=languages, ignore_patterns=elsewhere, verbosity=options["verbosity"])

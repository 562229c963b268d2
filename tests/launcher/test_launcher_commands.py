"""`manage`, `bench` and `test`, and the database server that they share."""

import json
import os
import signal
from pathlib import Path

import pytest

from launcher.binaries import find_programs, run_sql
from launcher.environment import Environment
from tests.launcher.launcher_project import Project, free_port, processes_of, wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in project uses POSIX signals")


def databases(project: Project, url: str) -> list[str]:
    programs = find_programs(Environment(project.path / ".venv", project.path).site_packages)
    return run_sql(programs, url, "SELECT datname FROM pg_database ORDER BY 1")


def shown(output: str) -> dict[str, object]:
    """What the stand-in printed about its environment, the last line of its output."""
    return dict(json.loads(output.splitlines()[-1]))


def test_manage_without_a_command_explains_itself(project: Project) -> None:
    done = project.run("manage")
    assert done.returncode == 2
    assert "usage" in done.stderr


def test_manage_hands_input_output_status_and_arguments_through(project: Project) -> None:
    assert project.run("manage", "exit", "3").returncode == 3
    assert project.run("manage", "copy_input", stdin="grüße").stdout.endswith("GRÜSSE")
    done = project.run("manage", "environment", "--home", "not ours", "-v", cwd=Path("/"))
    told = shown(done.stdout)
    assert told["arguments"] == ["--home", "not ours", "-v"]
    assert told["cwd"] == "/"


def test_children_are_told_all_they_need(project: Project) -> None:
    environ = shown(project.run("manage", "environment").stdout)["environ"]
    assert isinstance(environ, dict)
    assert environ["SPOTID_HOME"] == str(project.home)
    assert environ["DATABASE_URL"].startswith("postgres://spotid:")
    assert environ["DATABASE_URL"].endswith(f"@127.0.0.1:{project.location()['port']}/spotid")
    assert len(environ["SPOTID_SECRET_KEY"]) >= 50
    assert environ["SPOTID_ALLOWED_HOSTS"] == "127.0.0.1,localhost,[::1]"
    assert environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert environ["PYTHONUTF8"] == "1"
    assert int(environ["SPOTID_PARENT_PID"]) > 0
    again = shown(project.run("manage", "environment").stdout)["environ"]
    assert isinstance(again, dict)
    assert again["SPOTID_SECRET_KEY"] == environ["SPOTID_SECRET_KEY"]


def test_the_launcher_s_own_name_is_allowed_beside_the_institution_s(project: Project) -> None:
    environ = {"SPOTID_ALLOWED_HOSTS": "spotid.example.org, "}
    told = shown(project.run("manage", "environment", environ=environ).stdout)["environ"]
    assert isinstance(told, dict) and told["SPOTID_ALLOWED_HOSTS"] == "spotid.example.org,127.0.0.1"


def test_secrets_are_the_owners_alone(project: Project) -> None:
    project.run("manage", "exit", "0")
    assert (project.home / "secrets.json").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("place", ["before", "after", "variable"])
def test_the_home_can_be_named_in_three_ways(project: Project, place: str) -> None:
    home = project.path / f"home {place}"
    command = {
        "before": ["--home", str(home), "manage", "exit", "0"],
        "after": ["manage", f"--home={home}", "exit", "0"],
        "variable": ["manage", "exit", "0"],
    }[place]
    environ = {"DATABASE_URL": "postgres://someone@127.0.0.1:1/spared"}
    environ |= {"SPOTID_HOME": str(home)} if place == "variable" else {}
    done = project.run(*command, environ=environ)
    assert done.returncode == 0, done.stderr
    assert project.calls(home)[-1] == ["exit", "0"]


def test_a_signal_reaches_the_command_and_its_answer_comes_back(project: Project) -> None:
    process = project.start("manage", "hold")
    wait_until(lambda: "holding" in project.output(), project.output)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=40) == 7
    assert processes_of(project) == []


def test_the_last_one_to_leave_stops_the_server(project: Project) -> None:
    process = project.start("manage", "hold")
    wait_until(lambda: "holding" in project.output(), project.output)
    server = project.server_pid()
    assert server is not None
    assert project.run("manage", "exit", "0").returncode == 0
    assert project.server_pid() == server
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=40)
    assert project.server_pid() is None


def test_a_launcher_that_was_killed_does_not_keep_the_server(project: Project) -> None:
    process = project.start("manage", "hold")
    wait_until(lambda: "holding" in project.output(), project.output)
    server = project.server_pid()
    process.kill()
    process.wait()
    assert server is not None and project.server_pid() == server
    assert project.run("manage", "exit", "0").returncode == 0
    assert project.server_pid() is None
    for line in processes_of(project):
        os.kill(int(line.split()[0]), signal.SIGKILL)


def test_a_stale_note_of_a_server_whose_number_is_in_use_again_is_seen_through(project: Project) -> None:
    project.run("manage", "exit", "0")
    data = Path(str(project.location()["data"]))
    stale = f"{os.getpid()}\n{data}\n1700000000\n5432\n\n127.0.0.1\n  1 2\nready   \n"
    (data / "postmaster.pid").write_text(stale, encoding="utf-8")
    assert project.run("manage", "exit", "0").returncode == 0


def test_a_taken_database_port_is_replaced(project: Project) -> None:
    import socket

    project.run("manage", "exit", "0")
    before = int(str(project.location()["port"]))
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", before))
        other.listen(1)
        assert project.run("manage", "exit", "0").returncode == 0
    assert project.location()["port"] != before


def test_a_data_folder_of_another_version_is_refused_and_left_alone(project: Project) -> None:
    project.run("manage", "exit", "0")
    version = Path(str(project.location()["data"])) / "PG_VERSION"
    version.write_text("16\n")
    done = project.run("manage", "exit", "0")
    version.write_text("18\n")
    assert done.returncode == 1
    assert "PostgreSQL 16" in done.stderr
    assert "pg_dump" in done.stderr


def test_the_database_password_is_asked_for(project: Project) -> None:
    process = project.start("manage", "hold")
    wait_until(lambda: "holding" in project.output(), project.output)
    from launcher.messages import LauncherError

    with pytest.raises(LauncherError, match="password"):
        databases(project, f"postgres://spotid:wrong@127.0.0.1:{project.location()['port']}/spotid")
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=40)


def test_another_server_named_by_database_url_is_used_and_left_alone(project: Project) -> None:
    url = "postgres://someone:p%40ss@127.0.0.1:1/elsewhere"
    home = project.path / "home elsewhere"
    done = project.run("manage", "environment", environ={"DATABASE_URL": url, "SPOTID_HOME": str(home)})
    environ = shown(done.stdout)["environ"]
    assert isinstance(environ, dict)
    assert environ["DATABASE_URL"] == url
    assert not (home / "database").exists()
    forgotten = project.run("manage", "environment", environ={"SPOTID_HOME": str(home)})
    assert forgotten.returncode == 1
    assert "is on the server 127.0.0.1:1/elsewhere, and DATABASE_URL is not set" in forgotten.stderr
    assert not (home / "database").exists()
    assert all("p%40ss" not in note.read_text() for note in home.glob("*.json"))


def test_a_benchmark_that_is_not_there_names_those_that_are(project: Project) -> None:
    done = project.run("bench", "nothing")
    assert done.returncode == 1
    assert "show" in done.stderr
    assert "helper" not in done.stderr


def test_a_benchmark_gets_a_database_of_its_own_which_is_dropped(project: Project) -> None:
    holder = project.start("manage", "hold")
    wait_until(lambda: "holding" in project.output(), project.output)
    done = project.run("bench", "show", "--home", "x", cwd=Path("/"))
    told = shown(done.stdout)
    environ = told["environ"]
    assert isinstance(environ, dict)
    name = environ["DATABASE_URL"].rpartition("/")[2]
    assert name.startswith("spotid_bench_")
    assert told["arguments"] == ["--home", "x"]
    assert told["cwd"] == str(project.path) == environ["PYTHONPATH"]
    assert Path(environ["SPOTID_HOME"]) != project.home
    assert not Path(environ["SPOTID_HOME"]).exists()
    address = environ["DATABASE_URL"].removesuffix(name) + "spotid"
    assert not [left for left in databases(project, address) if left.startswith("spotid_bench_")]
    holder.send_signal(signal.SIGTERM)
    holder.wait(timeout=40)


def test_the_database_of_a_killed_benchmark_is_dropped_by_the_next(project: Project) -> None:
    (project.path / "benchmarks" / "sleep.py").write_text(
        'import time\nif __name__ == "__main__":\n    print("slow", flush=True)\n    time.sleep(600)\n'
    )
    process = project.start("bench", "sleep")
    wait_until(lambda: "slow" in project.output(), project.output)
    process.kill()
    process.wait()
    for line in processes_of(project):
        if "sleep.py" in line:
            os.kill(int(line.split()[0]), signal.SIGKILL)
    done = project.run("bench", "show")
    assert f"spotid_bench_{process.pid}" in done.stdout
    assert done.returncode == 0


def test_test_runs_pytest_with_its_arguments_and_returns_its_status(project: Project) -> None:
    pytest_stand_in = Environment(project.path / ".venv", project.path).site_packages / "pytest"
    pytest_stand_in.mkdir()
    (pytest_stand_in / "__main__.py").write_text(
        "import os, sys; print(sys.argv[1:], os.environ['SPOTID_HOME'], os.getcwd()); sys.exit(5)"
    )
    done = project.run("test", "-k", "some thing", cwd=Path("/"))
    assert done.returncode == 5
    assert "['-k', 'some thing']" in done.stdout
    assert done.stdout.strip().endswith(str(project.path))
    assert f"{project.home}/scratch/" in done.stdout
    everything = project.run("test")
    assert f"['-n', '{min(4, os.cpu_count() or 1)}', '--dist', 'loadfile']" in everything.stdout


def test_migrations_are_looked_for_in_the_database_itself(project: Project) -> None:
    folder = project.path / "things" / "migrations"
    folder.mkdir(parents=True)
    (folder / "0001_first.py").touch()
    process = project.start("manage", "hold")
    wait_until(lambda: "holding" in project.output(), project.output)
    environ = shown(project.run("manage", "environment").stdout)["environ"]
    assert isinstance(environ, dict)
    programs = find_programs(Environment(project.path / ".venv", project.path).site_packages)
    run_sql(programs, environ["DATABASE_URL"], "CREATE TABLE django_migrations (app text, name text)")

    def migrates() -> bool:
        before = project.calls().count(["migrate", "--noinput"])
        project.run("manage", "exit", "0")
        return project.calls().count(["migrate", "--noinput"]) > before

    assert migrates()
    run_sql(programs, environ["DATABASE_URL"], "INSERT INTO django_migrations VALUES ('things', '0001_first')")
    assert not migrates()
    (folder / "0002_second.py").touch()
    assert migrates()
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=40)


def test_free_port_is_free() -> None:
    from launcher.ports import port_is_free

    assert port_is_free(free_port())


def test_a_backup_goes_into_another_home_and_one_that_fails_says_so(project: Project) -> None:
    statement = "CREATE EXTENSION vector; CREATE TABLE kept AS SELECT 'Leopard 12' AS name, '[1,2]'::vector"
    made = project.run("postgres", "psql", "-qc", statement)
    assert made.returncode == 0, made.stderr
    elsewhere = {"PGHOSTADDR": "127.0.0.9", "PGSERVICE": "another"}
    done = project.run("postgres", "pg_dump", "-Fc", "-f", "kept.dump", environ=elsewhere)
    assert done.returncode == 0, done.stderr
    restore = ["pg_restore", "--no-owner", "--single-transaction", "-d", "spotid", "kept.dump"]
    home = str(project.path / "home other")
    done = project.run("--home", home, "postgres", *restore)
    assert done.returncode == 0, done.stderr
    assert "Leopard 12" in project.run("--home", home, "postgres", "psql", "-Atc", "SELECT name FROM kept").stdout
    failed = project.run("postgres", "pg_dump", "-Fc", "-f", str(project.path / "no folder" / "kept.dump"))
    assert failed.returncode == 1 and "no folder" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "environ", "words"),
    [
        (["pg_ctl", "stop"], {}, "pg_ctl is not one of the programs"),
        (["pg_dump"], {"DATABASE_URL": "postgres://someone@127.0.0.1:1/theirs"}, "A PostgreSQL of your own"),
    ],
)
def test_programs_that_are_not_clients_of_the_bundled_server_are_refused(
    project: Project, arguments: list[str], environ: dict[str, str], words: str
) -> None:
    done = project.run("postgres", *arguments, environ=environ)
    assert done.returncode == 1 and words in done.stderr

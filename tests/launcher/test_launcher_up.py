"""`spotid.py up`: what it starts, and that nothing of it stays."""

import os
import signal
import socket
import time
from pathlib import Path

import pytest

from tests.launcher.launcher_project import Project, free_port, processes_of, wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in project uses POSIX signals")


def stop(project: Project, process: "object", number: int = signal.SIGINT) -> int:
    process.send_signal(number)  # type: ignore[attr-defined]
    return int(process.wait(timeout=60))  # type: ignore[attr-defined]


def test_a_port_in_use_is_told_before_anything_starts(fresh_project: Project) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        done = fresh_project.run("up", "--no-browser", "--port", str(other.getsockname()[1]))
    assert done.returncode == 1
    assert "--port" in done.stderr
    assert not (fresh_project.home / "database").exists()
    assert fresh_project.calls() == []


def test_up_starts_everything_and_ctrl_c_leaves_no_process(project: Project) -> None:
    port = free_port()
    process = project.start_up(port=port)
    wait_until(lambda: ["load_demonstration", "--if-empty"] in project.calls())
    commands = [call[0] for call in project.calls()]
    assert commands[:2] == ["migrate", "ensure_administrator"]
    assert sorted(commands[2:]) == ["load_demonstration", "run_worker", "serve"]
    assert "Log in as admin with the password made-up-word" in project.output()
    assert len(processes_of(project)) >= 5

    assert stop(project, process) == 0
    assert processes_of(project) == []
    assert project.server_pid() is None


def test_the_second_start_keeps_the_password_to_itself_and_the_port_of_the_database(project: Project) -> None:
    before = project.location()["port"]
    process = project.start_up(port=free_port())
    assert "made-up-word" not in project.output()
    assert project.location()["port"] == before
    assert stop(project, process, signal.SIGTERM) == 0
    assert processes_of(project) == []


def test_a_second_up_on_the_same_home_says_where_the_first_runs(project: Project) -> None:
    port = free_port()
    process = project.start_up(port=port)
    second = project.run("up", "--no-browser", "--port", str(port))
    assert second.returncode == 0
    assert f"already running at http://127.0.0.1:{port}/" in second.stdout
    assert process.poll() is None
    with_photos = project.run("up", "--no-browser", "--photos", str(project.path), "--survey", "Ä 1")
    assert with_photos.returncode == 0
    assert project.calls()[-2:] == [["ingest", str(project.path), "--survey=Ä 1"], ["process", "--survey=Ä 1"]]
    assert stop(project, process) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_work_where_a_script_made_python_ignore_ctrl_c(project: Project, number: int) -> None:
    def as_a_script_starts_it() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    process = project.start_up(port=free_port(), prepare=as_a_script_starts_it)
    assert stop(project, process, number) == 0
    assert processes_of(project) == []


def test_after_a_kill_the_next_start_ends_what_was_left_and_takes_the_database_over(project: Project) -> None:
    port = free_port()
    process = project.start_up(port=port)
    process.kill()
    process.wait()
    server, left = project.server_pid(), len(processes_of(project))
    assert left >= 4
    again = project.start_up(port=port)
    assert "left behind" in project.output()
    assert project.server_pid() == server
    assert stop(project, again) == 0
    assert processes_of(project) == []


def test_a_worker_that_dies_is_started_again_without_its_orphans(project: Project) -> None:
    process = project.start_up(port=free_port())
    orphan = int((project.home / "stubborn.txt").read_text())
    workers = [line for line in processes_of(project) if "run_worker" in line]
    os.kill(int(workers[0].split()[0]), signal.SIGKILL)
    wait_until(lambda: "The worker was started again" in project.output(), project.output)
    wait_until(lambda: int((project.home / "stubborn.txt").read_text() or 0) not in (0, orphan))
    assert not Path(f"/proc/{orphan}").exists() or not _runs(orphan)
    assert stop(project, process) == 0
    assert processes_of(project) == []


def test_a_database_server_that_is_killed_is_started_again(project: Project) -> None:
    process = project.start_up(port=free_port())
    server = project.server_pid()
    assert server is not None
    os.kill(server, signal.SIGKILL)
    wait_until(lambda: "it was started again" in project.output(), project.output)
    assert project.server_pid() != server
    assert project.run("manage", "exit", "0").returncode == 0
    assert stop(project, process) == 0
    assert processes_of(project) == []


def test_a_web_server_that_does_not_start_ends_it_all_with_the_reason(project: Project) -> None:
    (project.home / "web-fails").touch()
    try:
        done = project.run("up", "--no-browser", "--port", str(free_port()))
    finally:
        (project.home / "web-fails").unlink()
    assert done.returncode == 1
    assert "the web server is told to fail" in done.stderr
    assert processes_of(project) == []


def test_photos_are_ingested_with_all_that_was_said_about_them(project: Project) -> None:
    photos = project.path / "my photos"
    photos.mkdir()
    process = project.start_up(
        "--photos", str(photos), "--survey", "Süd", "--timezone=Asia/Kathmandu", "--crops", port=free_port()
    )
    wait_until(lambda: project.calls()[-1][0] == "process")
    assert project.calls()[-2] == ["ingest", str(photos), "--survey=Süd", "--timezone=Asia/Kathmandu", "--crops"]
    assert stop(project, process) == 0


def test_a_second_signal_ends_at_once(project: Project) -> None:
    process = project.start_up(port=free_port())
    web = next(line for line in processes_of(project) if "manage.py serve" in line)
    os.kill(int(web.split()[0]), signal.SIGSTOP)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    wait_until(lambda: "Stopping" in project.output(), project.output)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.wait(timeout=20)
    assert time.monotonic() - started < 8
    assert processes_of(project) == []


def _runs(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"

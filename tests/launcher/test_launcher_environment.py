"""The virtual environment: what counts as ready, and that an interrupted installation is finished."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from launcher.environment import (
    Environment,
    clean_environ,
    environment_chosen,
    environment_is_ready,
    environment_prepare,
    write_stamp,
)
from launcher.installing import PipNarrator, explain_failure
from launcher.messages import LauncherError
from launcher.signals import Signals
from tests.launcher.launcher_project import make_environment

PIP = """import json, os, pathlib, sys
here = pathlib.Path(__file__).parent
with (here / "calls.txt").open("a") as file:
    file.write(json.dumps(sys.argv[1:]) + chr(10))
if "install" in sys.argv and (here / "fails").exists():
    print((here / "fails").read_text())
    sys.exit(1)
if "install" in sys.argv:
    print("Collecting torch==2.15.0")
    print("  Downloading torch-2.15.0-cp311-cp311-linux_x86_64.whl (190.5 MB)")
"""


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    """A checkout with requirement files, and a virtual environment whose pip only notes what it is asked."""
    checkout = tmp_path / "check out"
    checkout.mkdir()
    (checkout / "requirements.txt").write_text("torch==2.15.0\n")
    (checkout / "requirements-test.txt").write_text("-r requirements.txt\npytest\n")
    made = Environment(checkout / ".venv", checkout)
    make_environment(made)
    (made.site_packages / "pip").mkdir()
    (made.site_packages / "pip" / "__main__.py").write_text(PIP)
    yield made


def installations(environment: Environment) -> list[list[str]]:
    """The requirement files and packages of every `pip install` so far."""
    file = environment.site_packages / "pip" / "calls.txt"
    calls = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [[part for part in call[1:] if not part.startswith("-")] for call in calls if call[0] == "install"]


def test_an_empty_folder_is_not_ready(tmp_path: Path) -> None:
    assert not environment_is_ready(Environment(tmp_path, tmp_path), with_tests=False)


def test_a_second_start_installs_nothing(environment: Environment) -> None:
    for _ in range(2):
        environment_prepare(environment, with_tests=False, signals=Signals())
    wanted = str(environment.checkout / "requirements.txt")
    assert installations(environment) == [["off", wanted]]


def test_an_environment_for_tests_will_do_for_running_but_not_the_other_way_round(environment: Environment) -> None:
    write_stamp(environment, with_tests=False)
    assert environment_is_ready(environment, with_tests=False)
    assert not environment_is_ready(environment, with_tests=True)
    write_stamp(environment, with_tests=True)
    assert environment_is_ready(environment, with_tests=False)


def test_changed_requirements_are_noticed_but_not_other_line_ends(environment: Environment) -> None:
    write_stamp(environment, with_tests=True)
    requirements = environment.checkout / "requirements.txt"
    requirements.write_bytes(requirements.read_bytes().replace(b"\n", b"\r\n"))
    assert environment_is_ready(environment, with_tests=True)
    requirements.write_text("torch==2.16.0\n")
    assert not environment_is_ready(environment, with_tests=True)


def test_another_python_is_noticed(environment: Environment) -> None:
    write_stamp(environment, with_tests=False)
    config = environment.path / "pyvenv.cfg"
    config.write_text(config.read_text().replace("version = 3.", "version = 3.9"))
    assert not environment_is_ready(environment, with_tests=False)


def test_an_installation_that_failed_is_not_taken_for_a_finished_one(environment: Environment) -> None:
    write_stamp(environment, with_tests=False)
    (environment.checkout / "requirements.txt").write_text("new\n")
    fails = environment.site_packages / "pip" / "fails"
    fails.write_text("ERROR: Failed to establish a new connection: [Errno -2] Name or service not known")
    with pytest.raises(LauncherError, match="registry"):
        environment_prepare(environment, with_tests=False, signals=Signals())
    (environment.checkout / "requirements.txt").write_text("torch==2.15.0\n")
    assert not environment_is_ready(environment, with_tests=False)
    fails.unlink()
    environment_prepare(environment, with_tests=False, signals=Signals())
    assert environment_is_ready(environment, with_tests=False)


def test_a_package_that_was_being_unpacked_is_forgotten(environment: Environment) -> None:
    half, whole = (environment.site_packages / f"{name}-1.0.dist-info" for name in ("half", "whole"))
    for folder in (half, whole):
        folder.mkdir()
        (folder / "METADATA").touch()
    (whole / "RECORD").touch()
    environment_prepare(environment, with_tests=False, signals=Signals())
    assert not half.exists()
    assert whole.exists()


def test_opencv_is_installed_again_when_the_other_package_overwrote_it(environment: Environment) -> None:
    (environment.site_packages / "cv2").mkdir()
    library = environment.site_packages / "cv2" / "cv2.abi3.so"
    metadata = environment.site_packages / "opencv_python_headless-5.0.0.93.dist-info"
    metadata.mkdir()
    digest = hashlib.sha256(b"headless").hexdigest()
    (metadata / "RECORD").write_text(f"cv2/cv2.abi3.so,sha256={digest},8\n{metadata.name}/RECORD,,\n")
    library.write_bytes(b"headless")
    environment_prepare(environment, with_tests=False, signals=Signals())
    assert len(installations(environment)) == 1
    library.write_bytes(b"with windows")
    environment.stamp_file.unlink()
    environment_prepare(environment, with_tests=False, signals=Signals())
    assert installations(environment)[-1][-1] == "opencv-python-headless==5.0.0.93"


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").touch()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").touch()
    with pytest.raises(LauncherError, match="left alone"):
        environment_prepare(Environment(precious, tmp_path), with_tests=False, signals=Signals())
    assert (precious / "thesis.txt").exists()


def test_the_environment_can_be_elsewhere(tmp_path: Path) -> None:
    assert environment_chosen(tmp_path, {}).path == tmp_path / ".venv"
    assert environment_chosen(tmp_path, {"SPOTID_VENV": str(tmp_path / "x")}).path == tmp_path / "x"


def test_variables_that_lead_python_elsewhere_do_not_reach_children() -> None:
    cleaned = clean_environ({"PYTHONPATH": "/x", "PYTHONDONTWRITEBYTECODE": "1", "KEPT": "1"})
    assert cleaned == {"KEPT": "1", "PYTHONUTF8": "1"}


def test_pip_is_told_in_plain_words(tmp_path: Path) -> None:
    told: list[str] = []
    with (tmp_path / "log").open("w") as log:
        narrator = PipNarrator(log, told.append)
        for line in (
            "Collecting torch==2.15.0 (from -r requirements.txt (line 3))",
            "  Downloading torch-2.15.0.metadata (12 kB)",
            "  Downloading torch-2.15.0-cp311-cp311-linux_x86_64.whl (190.5 MB)",
            "Processing /media/my usb/packages/kornia-0.9.0-py2.py3-none-any.whl",
            "Processing ./packages/numpy-2.4.6-cp311-cp311-linux_x86_64.whl (from -r requirements.txt (line 9))",
            "Installing collected packages: a, b, c",
        ):
            narrator.line(line)
    assert told == [
        "  downloading torch (package 1, 190.5 MB)",
        "  taking kornia (package 2)",
        "  taking numpy (package 3)",
        "  unpacking 3 packages; this part shows nothing for a while",
    ]
    assert (tmp_path / "log").read_text().count("\n") == 6


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("ReadTimeoutError('Read timed out.')", "could not be reached"),
        ("ERROR: No matching distribution found for torch==2.15.0", "not to be had"),
        ("Looking in links: /usb\nERROR: No matching distribution found for torch==2.15.0", "not in the folder"),
        ("something else", "could not be installed"),
    ],
)
def test_a_failure_is_explained(said: str, reason: str) -> None:
    explained = explain_failure(["before", said], Path("/x/log"))
    assert reason in explained
    assert said in explained

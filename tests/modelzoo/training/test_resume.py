"""A training process that is killed, at several points, and goes on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from modelzoo.training.checkpoint import (
    load_checkpoint,
    own_randomness,
    random_state,
    restore_random_state,
    save_checkpoint,
    write_file,
)
from modelzoo.training.results import TrainingError
from tests.modelzoo.training.tiny import file_hash, tiny_train

ROOT = Path(__file__).resolve().parents[3]

KILL = """
import os, signal, sys
from pathlib import Path
from modelzoo.training import trainer
from tests.modelzoo.training.tiny import tiny_train

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def after(number):
    steps = iter(range(1, 1000))
    return lambda: die() if next(steps) == number else False

def half(path, state, whole=trainer.save_checkpoint):
    if state["steps_done"] == 5:
        path.with_name(f".{path.name}.torn").write_bytes(b"half")
        die()
    whole(path, state)

def judged(self, epoch, means, journal, judge=trainer._Run._judge):
    judge(self, epoch, means, journal)
    if epoch == 1:
        die()

def go(where, folder):
    if where == "half_written_checkpoint":
        trainer.save_checkpoint = half
    elif where == "best_weights_before_their_checkpoint":
        trainer._Run._judge = judged
    elif where == "at_the_end":
        trainer.write_plots = die
    tiny_train(folder, "killed", should_stop=after(int(where[4:])) if where.startswith("step") else None)

for where in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        go(where, Path(sys.argv[1]) / where)
        os._exit(0)
    print(where, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
POINTS = ("step1", "step5", "half_written_checkpoint", "best_weights_before_their_checkpoint", "at_the_end")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory) -> str:
    return tiny_train(tmp_path_factory.mktemp("unbroken"), "whole").sha256


@pytest.fixture(scope="module")
def killed(tmp_path_factory) -> Path:
    """Folders of runs that ended by SIGKILL at POINTS, each in a process of its own (forked, which is quicker)."""
    folder = tmp_path_factory.mktemp("killed")
    command = [sys.executable, "-c", KILL, str(folder), *POINTS]
    said = subprocess.run(command, env=ENVIRONMENT, timeout=120, check=True, capture_output=True, text=True).stdout
    assert said.splitlines() == [f"{point} {-signal.SIGKILL}" for point in POINTS]
    return folder


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_goes_on_to_the_same_weights(killed, unbroken, point):
    folder = killed / point / "killed"
    assert not (folder / "result.json").exists()
    assert (folder / "checkpoint.pt").is_file()
    result = tiny_train(killed / point, "killed")
    assert result.sha256 == unbroken == file_hash(result.weights)
    assert not [p for p in folder.iterdir() if p.name.startswith((".", "best-", "checkpoint"))]


def test_a_process_killed_from_outside_goes_on_here(tmp_path, unbroken):
    command = [sys.executable, str(ROOT / "tests" / "modelzoo" / "training" / "tiny.py"), str(tmp_path), "killed"]
    process = subprocess.Popen(command, env=ENVIRONMENT)
    deadline = time.monotonic() + 60
    while not (tmp_path / "killed" / "checkpoint.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert tiny_train(tmp_path, "killed").sha256 == unbroken


def test_no_checkpoint_is_none(tmp_path):
    assert load_checkpoint(tmp_path / "checkpoint.pt") is None


def test_a_damaged_checkpoint_is_said_to_be_one(tmp_path):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, {"a": torch.ones(3)})
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(TrainingError, match=r"checkpoint\.pt is damaged; remove it"):
        load_checkpoint(path)


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    class Bad:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"format": 1, "bad": Bad()}, tmp_path / "checkpoint.pt")
    with pytest.raises(TrainingError, match="damaged"):
        load_checkpoint(tmp_path / "checkpoint.pt")
    assert not (tmp_path / "ran").exists()


def test_random_state_survives_a_checkpoint(tmp_path):
    import random

    import numpy as np

    def draw():
        return torch.rand(1).item(), np.random.randn(), random.random()

    with own_randomness(5):
        np.random.randn()  # leaves a second Gaussian waiting
        save_checkpoint(tmp_path / "c.pt", {"random": random_state()})
        first = draw()
        draw()
        restore_random_state(load_checkpoint(tmp_path / "c.pt")["random"])
        assert draw() == first


def test_files_are_replaced_whole(tmp_path):
    write_file(tmp_path / "a", "old")
    write_file(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]

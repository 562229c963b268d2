"""The qclusters that `run_worker` starts, watches and ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from typing import Any

from django.conf import settings

from ..checks import TRAINING_CLUSTER
from ..services.queue import queue_unlock

logger = logging.getLogger(__name__)

_WINDOWS = os.name == "nt"
# How long the training cluster stays without a training, and how long it may leave a waiting one unclaimed.
_IDLE_SECONDS = 60.0
_UNCLAIMED_SECONDS = 120.0


class Cluster:
    """A qcluster as a process group of its own, so that it can be killed whole. queue: the main one when left out."""

    def __init__(self, queue: str = "", environment: dict[str, str] | None = None) -> None:
        self.queue = queue
        self.environment = environment or {}
        self.process: subprocess.Popen[bytes] | None = None
        self.began = 0.0

    def start(self) -> None:
        """Raises DatabaseError."""
        if not self.queue:
            queue_unlock()
        command = [sys.executable, "-W", "ignore::RuntimeWarning", str(settings.BASE_DIR / "manage.py"), "qcluster"]
        extra: dict[str, Any] = (
            {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined]
            if _WINDOWS
            else {"start_new_session": True}
        )
        # The cluster's own parent is this process, which watches the launcher for both.
        env = {name: value for name, value in os.environ.items() if name != "SPOTID_PARENT_PID"}
        # What could be fetched is there by now.
        env["SPOTID_OFFLINE"] = "1"
        env.pop("Q_CLUSTER_NAME", None)
        if self.queue:
            env["Q_CLUSTER_NAME"] = self.queue
        env |= self.environment
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, env=env, **extra)
        self.began = time.monotonic()

    def age(self) -> float:
        return time.monotonic() - self.began

    def excuse(self) -> None:
        """Begin counting silence anew: it was the database's, not the cluster's."""
        self.began = time.monotonic()

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def restart(self) -> None:
        self._kill()
        self.start()

    def stop(self, grace: float) -> None:
        """Let the cluster finish the photo it is at, then kill what is left of the group."""
        if self.process is None:
            return
        if self.alive():
            self.ask_to_stop()
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                logger.warning("the cluster did not stop within %.0f s and is killed", grace)
        self._kill()

    def ask_to_stop(self) -> None:
        if self.process is not None and self.alive():
            self.process.terminate()

    def _kill(self) -> None:
        if self.process is None:
            return
        if _WINDOWS:
            subprocess.run(["taskkill", "/F", "/T", "/PID", str(self.process.pid)], check=False, capture_output=True)
        else:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                logger.debug("the cluster's group is gone")
        self.process.wait()


class TrainingCluster:
    """The cluster of the training queue. It is there while a training waits or runs here, and takes no memory else.

    Its liveness is the lease of the run: the trainer renews it after every step.
    """

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        # Waiting threads that spin take the time of the photos' workers.
        self.cluster = Cluster(TRAINING_CLUSTER, {"OMP_WAIT_POLICY": "PASSIVE"})
        self.wanted_at = 0.0

    def look(self) -> None:
        """Start, restart or end the cluster as the rows say."""
        if not self.enabled:
            return
        from ..models import TrainingRun

        states = set(TrainingRun.objects.filter(state__in=TrainingRun.OPEN).values_list("state", flat=True))
        now = time.monotonic()
        if states:
            self.wanted_at = now
        if not self.cluster.alive():
            if TrainingRun.State.PENDING in states:
                logger.info("a training waits; its cluster is started")
                self.cluster.start()
        elif TrainingRun.State.RUNNING in states:
            # How long the next one waits unclaimed counts from here.
            self.cluster.excuse()
        elif TrainingRun.State.PENDING in states and self.cluster.age() > _UNCLAIMED_SECONDS:
            logger.warning("nobody takes the waiting training; its cluster is started again")
            self.cluster.restart()
        elif now - self.wanted_at > _IDLE_SECONDS:
            self.cluster.stop(10)

    def lease_ended(self) -> None:
        """The trainer died or fell silent: what is left of its cluster must neither write nor hold the queue."""
        if self.cluster.alive():
            logger.warning("the training process died or fell silent; its cluster is started again")
            self.cluster.restart()

    def ask_to_stop(self) -> None:
        """The trainer has been told already that workers stop: it writes a checkpoint and ends."""
        self.cluster.ask_to_stop()

    def stop(self, grace: float) -> None:
        self.cluster.stop(grace)

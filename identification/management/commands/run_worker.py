from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import Error as DatabaseError
from django.db import close_old_connections

from ..parent import parent_is_gone

logger = logging.getLogger(__name__)

_LOOP_SECONDS = 1.0
_WINDOWS = os.name == "nt"


class Command(BaseCommand):
    help = (
        "Run a django-q2 cluster under a watchdog: a heartbeat goes through the queue; when it stays away the cluster "
        "is killed and started again. What dead workers left is found and put on the queue."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--beat", type=float, default=10.0, metavar="SECONDS", help="between heartbeats")
        parser.add_argument(
            "--stale", type=float, default=90.0, metavar="SECONDS", help="without one, the cluster is restarted"
        )
        parser.add_argument(
            "--reconcile", type=float, default=10.0, metavar="SECONDS", help="between looks for what was left"
        )
        parser.add_argument(
            "--grace", type=float, default=25.0, metavar="SECONDS", help="to finish a photo when stopping"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        self.stopping = False
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            if hasattr(signal, name):
                signal.signal(getattr(signal, name), self._stop)
        from ...inference.engines import ensure_model
        from ...services.work import stopping_withdraw

        stopping_withdraw()
        ensure_model()
        self._fetch_weights()
        self.cluster = _Cluster()
        self.cluster.start()
        try:
            self._watch(options)
        finally:
            self._end(options["grace"])

    def _stop(self, signum: int, frame: Any) -> None:
        self.stopping = True

    def _fetch_weights(self) -> None:
        """Get missing weights before the cluster starts: a long download in a worker would look like a hang."""
        if settings.SPOTID_OFFLINE or (settings.SPOTID_DETECTOR_WEIGHTS and settings.SPOTID_SEGMENTER_WEIGHTS):
            return
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "weights", "fetch"]
        fetching = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        while fetching.poll() is None:
            if self.stopping or parent_is_gone():
                fetching.terminate()
            time.sleep(_LOOP_SECONDS / 5)

    def _watch(self, options: dict[str, Any]) -> None:
        clocks = {"beat": 0.0, "reconcile": 0.0}
        while not self.stopping and not parent_is_gone():
            time.sleep(_LOOP_SECONDS)
            now = time.monotonic()
            try:
                close_old_connections()
                if now - clocks["beat"] >= options["beat"]:
                    clocks["beat"] = now
                    self._beat()
                if now - clocks["reconcile"] >= options["reconcile"]:
                    clocks["reconcile"] = now
                    self._reconcile()
                self._judge(options["stale"])
            except DatabaseError as error:
                logger.warning("the database does not answer: %s", str(error).strip())
                self.cluster.excuse()

    def _beat(self) -> None:
        from django_q.models import OrmQ
        from django_q.tasks import async_task

        # One heartbeat in the queue is enough; a hung cluster must not find hundreds.
        if OrmQ.objects.count() < 2 * settings.Q_CLUSTER["workers"] + 2:
            async_task("identification.tasks.beat", group="beat")

    def _reconcile(self) -> None:
        from ...services.reconcile import reconcile

        found = reconcile()
        if found.expired:
            logger.info("%s leases of dead workers ended, %s photos put on the queue", found.expired, found.queued)

    def _judge(self, stale: float) -> None:
        from ...selectors.heartbeat import heartbeat_age

        if not self.cluster.alive():
            logger.warning("the cluster ended by itself; it is started again")
            self.cluster.restart()
            return
        age = heartbeat_age()
        silent = min(self.cluster.age(), age if age is not None else float("inf"))
        if silent > stale:
            logger.warning("no heartbeat for %.0f s; the cluster is killed and started again", silent)
            self.cluster.restart()

    def _end(self, grace: float) -> None:
        from ...services.work import stopping_announce, stopping_withdraw

        try:
            stopping_announce()
        except DatabaseError:
            grace = 0
        self.cluster.stop(grace)
        try:
            stopping_withdraw()
        except DatabaseError:
            logger.warning("the database is gone already")


class _Cluster:
    """The qcluster as a process group of its own, so that it can be killed whole."""

    def __init__(self) -> None:
        self.process: subprocess.Popen[bytes] | None = None
        self.began = 0.0

    def start(self) -> None:
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
            self.process.terminate()
            try:
                self.process.wait(grace)
            except subprocess.TimeoutExpired:
                logger.warning("the cluster did not stop within %.0f s and is killed", grace)
        self._kill()

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

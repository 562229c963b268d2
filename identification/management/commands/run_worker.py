from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import Error as DatabaseError
from django.db import close_old_connections
from django.utils import timezone

from ..clusters import Cluster, TrainingCluster
from ..parent import parent_is_gone

logger = logging.getLogger(__name__)

_LOOP_SECONDS = 1.0


class Command(BaseCommand):
    help = (
        "Run a django-q2 cluster under a watchdog: a heartbeat goes through the queue; when it stays away the cluster "
        "is killed and started again. What dead workers left is found and put on the queue. A training that is asked "
        "for gets a cluster of its own beside it (SPOTID_TRAINING=0: not here)."
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
        self.cluster = Cluster()
        self.training = TrainingCluster(enabled=settings.SPOTID_TRAINING)
        self.cluster.start()
        try:
            self._watch(options)
        finally:
            self._end(options["grace"])

    def _stop(self, signum: int, frame: Any) -> None:
        self.stopping = True

    def _fetch_weights(self) -> None:
        """Get missing weights before the cluster starts: a long download in a worker would look like a hang."""
        named = settings.SPOTID_DETECTOR_WEIGHTS and settings.SPOTID_SEGMENTER_WEIGHTS
        if settings.SPOTID_OFFLINE or (named and not settings.SPOTID_LEARNED_MATCHER):
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
                self.training.look()
            except DatabaseError as error:
                logger.warning("the database does not answer: %s", str(error).strip())
                self.cluster.excuse()

    def _beat(self) -> None:
        from django_q.models import OrmQ
        from django_q.tasks import async_task

        # One heartbeat in the queue is enough; a hung cluster must not find hundreds.
        waiting = OrmQ.objects.filter(key=settings.Q_CLUSTER["name"], lock__lte=timezone.now())
        if waiting.count() < 2 * settings.Q_CLUSTER["workers"] + 2:
            async_task("identification.tasks.beat", group="beat")

    def _reconcile(self) -> None:
        from ...services.reconcile import reconcile

        found = reconcile()
        if found.expired:
            logger.info("%s leases of dead workers ended, %s photos put on the queue", found.expired, found.queued)
        if found.trainings:
            self.training.lease_ended()

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
        until = time.monotonic() + grace
        self.training.ask_to_stop()
        self.cluster.stop(grace)
        self.training.stop(max(1.0, until - time.monotonic()))
        try:
            stopping_withdraw()
        except DatabaseError:
            logger.warning("the database is gone already")

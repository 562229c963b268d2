"""One server for all launchers of a home: the first starts it, the last one to leave stops it."""

import contextlib
import os
from collections.abc import Iterator
from types import TracebackType

from launcher.binaries import Programs
from launcher.home import Home
from launcher.locks import FileLock, is_locked
from launcher.postgres import DATABASE, Cluster
from launcher.signals import Signals


class SharedServer:
    """The bundled server of a home, as long as the `with` block lasts, and longer when others use it too.

    Each launcher holds a lock on a file of its own, `run/postgres-clients/<pid>`. The kernel drops the lock of one
    that was killed, so the next launcher sees that it is gone, whatever its number is used for by then.
    """

    def __init__(self, home: Home, programs: Programs, signals: Signals) -> None:
        self._home = home
        self._signals = signals
        self._clients = home.run / "postgres-clients"
        self._own = FileLock(self._clients / str(os.getpid()))
        self._programs = programs
        self._cluster: Cluster | None = None
        self.port = 0

    @property
    def cluster(self) -> Cluster:
        if self._cluster is None:
            raise RuntimeError("the server is used outside of its `with` block")
        return self._cluster

    @property
    def url(self) -> str:
        return self.cluster.url(self.port)

    def __enter__(self) -> "SharedServer":
        with self._locked(patient=True):
            self._cluster = Cluster(self._home, self._programs)
            self._clients.mkdir(mode=0o700, exist_ok=True)
            self._own.try_acquire()
            try:
                self._start()
            except BaseException:
                self._leave()
                raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._locked(patient=False):
            self._leave()

    def ensure_running(self) -> bool:
        """Start the server again if it has died. True when it had to be started."""
        if self.cluster.running() is not None:
            return False
        with self._locked(patient=True):
            if self.cluster.running() is not None:
                return False
            self._start()
        return True

    def query(self, statement: str, database: str = DATABASE) -> list[str]:
        return self.cluster.query(self.port, statement, database)

    def _start(self) -> None:
        self.port = self.cluster.start(self._signals.waiting_for("the database to be ready"))

    def _leave(self) -> None:
        self._own.release()
        self._own.path.unlink(missing_ok=True)
        if not self._others():
            self.cluster.stop(at_once=self._signals.impatient)

    def _others(self) -> list[str]:
        """Launchers that use the server besides this one. Notes of dead ones are removed."""
        alive = []
        for note in self._clients.iterdir():
            if is_locked(note):
                alive.append(note.name)
            else:
                with contextlib.suppress(OSError):
                    note.unlink()
        return alive

    @contextlib.contextmanager
    def _locked(self, *, patient: bool) -> Iterator[None]:
        waiting = self._signals.waiting_for("another SpotID that starts or stops the database")
        with self._home.lock("database").held(waiting if patient else None):
            yield

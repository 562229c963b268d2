"""Locks that the kernel drops when their holder dies, so that no lock is ever stale."""

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class FileLock:
    """An exclusive lock on a file, held by one process at a time.

    The file stays where it is when the lock is released: removing it would let two processes lock two files of
    the same name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def try_acquire(self) -> bool:
        """True when the lock is ours now. Raises OSError when the file can't be opened at all."""
        if self._descriptor is not None:
            return True
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(descriptor)
        except OSError:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextlib.contextmanager
    def held(self, waiting: Callable[[float], None] | None = None) -> Iterator[None]:
        """Wait for the lock and hold it. `waiting(seconds)` is called while another process holds it; it may raise."""
        started = time.monotonic()
        while not self.try_acquire():
            if waiting is not None:
                waiting(time.monotonic() - started)
            time.sleep(0.1)
        try:
            yield
        finally:
            self.release()


def _lock(descriptor: int) -> None:
    """Lock without waiting; OSError when another open file holds it."""
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def is_locked(path: Path) -> bool:
    """Whether some process holds `path`. A file that we may not open is taken as held."""
    lock = FileLock(path)
    try:
        free = lock.try_acquire()
    except OSError:
        return True
    lock.release()
    return not free

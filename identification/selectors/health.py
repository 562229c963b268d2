"""The state of the installation."""

from __future__ import annotations

from dataclasses import dataclass

from ..models import ProcessingState, Work
from .heartbeat import heartbeat_age

SILENT_AFTER_SECONDS = 120.0


@dataclass(frozen=True)
class Health:
    """worker: alive, silent (no heartbeat for two minutes) or never. heartbeat_age: seconds."""

    worker: str
    heartbeat_age: float | None
    waiting: int


def health_read() -> Health:
    """Raises OperationalError when the database cannot be reached."""
    age = heartbeat_age()
    waiting = Work.objects.filter(state__in=[ProcessingState.PENDING, ProcessingState.RUNNING]).count()
    return Health(worker_state(age), None if age is None else round(age, 1), waiting)


def worker_state(age: float | None) -> str:
    if age is None:
        return "never"
    return "alive" if age < SILENT_AFTER_SECONDS else "silent"

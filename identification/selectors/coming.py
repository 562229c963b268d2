"""What a survey without photos waits for: a folder that is read, or a demonstration that is drawn."""

from __future__ import annotations

from dataclasses import dataclass

from ..models import IngestRequest, Survey
from .health import worker_state
from .heartbeat import heartbeat_age


@dataclass(frozen=True)
class Coming:
    """Photos on their way. drawn: made by the software. done of total files were looked at; 0 of 0 where unknown."""

    drawn: bool
    done: int = 0
    total: int = 0


def drawing_name(survey: Survey) -> str:
    """The heartbeat of whoever draws photos for the survey."""
    return f"drawing:{survey.pk}"


def photos_coming(survey: Survey) -> Coming | None:
    """None when nobody brings photos, as far as the database knows."""
    request = survey.ingest_requests.filter(state__in=IngestRequest.OPEN).order_by("pk").first()
    if request is not None:
        return Coming(False, request.done, request.total)
    alive = worker_state(heartbeat_age(drawing_name(survey))) == "alive"
    return Coming(True) if alive else None

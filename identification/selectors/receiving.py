"""What the ingest page shows: files that are on their way, and what came of those before."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count, F, Q, Sum

from ..models import IngestRequest, SkippedPhoto, Survey, User

SHOWN = 5
SKIPPED_SHOWN = 20


@dataclass(frozen=True)
class Receiving:
    """Files of an account that arrive now. Sizes in bytes; refused: files that will not be stored."""

    request: IngestRequest
    files: int
    whole: int
    refused: int
    size: int
    received: int


@dataclass(frozen=True)
class Ingested:
    """One request that was handed over. skipped: the first files that its report lists."""

    request: IngestRequest
    skipped: list[SkippedPhoto]

    @property
    def busy(self) -> bool:
        """Whether a worker reads it, or will."""
        return self.request.state in IngestRequest.OPEN


def receiving_of(*, user: User, survey: Survey) -> Receiving | None:
    """What arrived of files that the account has not handed over yet; None when there is nothing."""
    request = survey.ingest_requests.filter(requested_by=user, state=IngestRequest.State.RECEIVING).first()
    if request is None:
        return None
    taken = Q(code="")
    found = request.files.aggregate(
        files=Count("pk"),
        whole=Count("pk", filter=taken & Q(received=F("size"))),
        refused=Count("pk", filter=~taken),
        size=Sum("size", filter=taken),
        received=Sum("received", filter=taken),
    )
    if not found["files"]:
        return None
    return Receiving(
        request, found["files"], found["whole"], found["refused"], found["size"] or 0, found["received"] or 0
    )


def ingested_lately(survey: Survey) -> list[Ingested]:
    """The last requests that were handed over, newest first."""
    requests = survey.ingest_requests.exclude(state=IngestRequest.State.RECEIVING)
    rows = list(requests.select_related("report", "requested_by").order_by("-pk")[:SHOWN])
    skipped: dict[int, list[SkippedPhoto]] = {}
    for row in rows:
        if row.report_id is not None and row.report is not None and row.report.skipped:
            skipped[row.pk] = list(row.report.files.order_by("pk")[:SKIPPED_SHOWN])
    return [Ingested(row, skipped.get(row.pk, [])) for row in rows]

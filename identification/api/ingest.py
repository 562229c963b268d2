"""Photos that arrive piece by piece, and folders that the server sees."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import BaseParser

from ..errors import SpotIDError
from ..models import IngestRequest, ReceivedFile
from ..permissions import Action
from ..selectors.receiving import ingested_lately, receiving_of
from ..sentences import stored_words
from ..services import receiving
from ..services.receiving import Announced
from ..views.access import survey_of
from .base import ApiView, operation
from .finding import administrator
from .problems import TooLarge
from .shapes import AccountRef

# Later, a file system's nanoseconds do not fit.
_LATEST_MS = 9_223_372_036_000


class ReceivingOut(s.Serializer):
    """Files of yours that arrive now. Sizes in bytes."""

    request = s.IntegerField(source="request.pk")
    files = s.IntegerField()
    whole = s.IntegerField()
    refused = s.IntegerField()
    size = s.IntegerField()
    received = s.IntegerField()


class IngestReportOut(s.Serializer):
    read = s.IntegerField()
    new = s.IntegerField()
    known = s.IntegerField()
    skipped = s.IntegerField()


class IngestOut(s.Serializer):
    id = s.IntegerField(source="pk")
    kind = s.ChoiceField(choices=IngestRequest.Kind.values)
    state = s.ChoiceField(choices=IngestRequest.State.values)
    done = s.IntegerField()
    total = s.IntegerField()
    error = s.CharField(allow_blank=True)
    requested_by = AccountRef(allow_null=True)
    created_at = s.DateTimeField()
    finished_at = s.DateTimeField(allow_null=True)
    report = IngestReportOut(allow_null=True)


class IngestState(s.Serializer):
    piece_bytes = s.IntegerField(help_text="The longest piece that is taken.")
    most_files = s.IntegerField(help_text="Files that can be announced at once.")
    receiving = ReceivingOut(allow_null=True)
    requests = IngestOut(many=True, help_text="The last ones that were handed over.")


class Ingest(ApiView):
    @operation("What arrives, and what came of it", out=IngestState)
    def get(self, request: Any, survey_id: int) -> dict[str, Any]:
        survey = survey_of(request, survey_id, Action.INGEST)
        return {
            "piece_bytes": settings.SPOTID_UPLOAD_CHUNK_KB << 10,
            "most_files": receiving.MOST_ANNOUNCED,
            "receiving": receiving_of(user=self.user, survey=survey),
            "requests": [row.request for row in ingested_lately(survey)],
        }


class FileIn(s.Serializer):
    path = s.CharField(max_length=4000, trim_whitespace=False, help_text="Below what is sent, with /.")
    size = s.IntegerField(min_value=0, max_value=2**53 - 1)
    modified_ms = s.IntegerField(min_value=-(2**53) + 1, max_value=2**53 - 1, default=0)


class AnnounceIn(s.Serializer):
    files = s.ListField(child=FileIn(), min_length=1, max_length=receiving.MOST_ANNOUNCED)


class FileOut(s.Serializer):
    id = s.IntegerField(source="pk", allow_null=True, help_text="null where it is refused for its name.")
    received = s.IntegerField(help_text="Bytes that are here already.")
    code = s.CharField(allow_blank=True, help_text="Of a refusal; empty where it is wanted.")
    reason = s.SerializerMethodField()

    def get_reason(self, row: Any) -> str:
        return stored_words(row.reason)


class AnnouncedOut(s.Serializer):
    request = s.IntegerField()
    files = FileOut(many=True)


class Announce(ApiView):
    @operation("Announce files", out=AnnouncedOut, body=AnnounceIn, keyed=False)
    def post(self, request: Any, survey_id: int) -> dict[str, Any]:
        """Which of them are wanted, in their order, and how much of each is here. Asking again changes nothing."""
        survey = survey_of(request, survey_id, Action.INGEST)
        said = self.said()["files"]
        files = [Announced(row["path"], row["size"], min(max(row["modified_ms"], 0), _LATEST_MS)) for row in said]
        opened = receiving.receiving_open(survey=survey, acting_user=self.user)
        return {"request": opened.pk, "files": receiving.files_announce(request=opened, files=files)}


class OctetParser(BaseParser):
    media_type = "application/octet-stream"

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        most = settings.SPOTID_UPLOAD_CHUNK_KB << 10
        data = stream.read(most + 1)
        if len(data) > most:
            raise TooLarge
        return data


class PieceQuery(s.Serializer):
    offset = s.IntegerField(min_value=0, max_value=2**53 - 1, help_text="Where the piece begins.")
    crc32 = s.IntegerField(min_value=0, max_value=2**32 - 1, help_text="Checksum of the piece.")


class PieceOut(s.Serializer):
    received = s.IntegerField(help_text="Where the next piece begins.")


class Piece(ApiView):
    parser_classes = [OctetParser]

    @extend_schema(request={"application/octet-stream": OpenApiTypes.BINARY})
    @operation("Send a piece of a file", out=PieceOut, query=PieceQuery)
    def put(self, request: Any, survey_id: int, file_id: int) -> Any:
        """409 with `received` where it does not continue what is here. Sending a piece twice changes nothing."""
        survey = survey_of(request, survey_id, Action.INGEST)
        own = ReceivedFile.objects.filter(request__survey=survey, request__requested_by=self.user)
        row = get_object_or_404(own.select_related("request"), pk=file_id)
        said, data = self.asked(), request.data
        if not isinstance(data, bytes):
            raise ValidationError({"": ["The body is the piece, as application/octet-stream."]})
        return receiving.piece_receive(
            request=row.request, file_id=row.pk, offset=said["offset"], data=data, crc32=said["crc32"]
        )


class Finish(ApiView):
    @operation("Hand what arrived to a worker", out=IngestOut, status=202)
    def post(self, request: Any, survey_id: int) -> IngestRequest:
        """What did not arrive whole is reported as skipped."""
        survey = survey_of(request, survey_id, Action.INGEST)
        opened = receiving_of(user=self.user, survey=survey)
        if opened is None:
            raise SpotIDError(gettext("No file has arrived yet."))
        return receiving.receiving_finish(request=opened.request, acting_user=self.user)


class Discard(ApiView):
    @operation("Delete what arrived and was not handed over")
    def post(self, request: Any, survey_id: int) -> None:
        survey = survey_of(request, survey_id, Action.INGEST)
        opened = receiving_of(user=self.user, survey=survey)
        if opened is not None:
            receiving.receiving_discard(request=opened.request, acting_user=self.user)


class FolderIn(s.Serializer):
    folder = s.CharField(max_length=4000, trim_whitespace=False)


class Folder(ApiView):
    @operation("Read a folder that the server sees", out=IngestOut, body=FolderIn, status=202)
    def post(self, request: Any, survey_id: int) -> IngestRequest:
        """For administrators, below the roots that they allow: such folders hold photos of every survey."""
        survey = survey_of(request, survey_id, Action.INGEST)
        administrator(self.user)
        return receiving.folder_request(survey=survey, acting_user=self.user, folder=self.said()["folder"])


class FoldersQuery(s.Serializer):
    below = s.CharField(max_length=4000, required=False, allow_blank=True, trim_whitespace=False)


class FoldersOut(s.Serializer):
    folders = s.ListField(child=s.CharField())


class Folders(ApiView):
    @operation("Folders that may be read", out=FoldersOut, query=FoldersQuery)
    def get(self, request: Any) -> dict[str, list[str]]:
        """For administrators: the allowed roots, or with `below` the folders in one of theirs."""
        administrator(self.user)
        wanted = self.asked().get("below", "")
        found = receiving.folders_below(receiving.allowed_folder(wanted)) if wanted else receiving.ingest_roots()
        return {"folders": [str(place) for place in found]}


class IngestRetry(ApiView):
    @operation("Try an ingest that failed once more", out=IngestOut, status=202)
    def post(self, request: Any, survey_id: int, request_id: int) -> IngestRequest:
        survey = survey_of(request, survey_id, Action.INGEST)
        found = get_object_or_404(survey.ingest_requests, pk=request_id)
        receiving.request_retry(request=found, acting_user=self.user)
        found.refresh_from_db()
        return found

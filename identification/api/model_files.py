"""Files of networks: bringing one, its card, taking it along, fetching a published one. For administrators."""

from __future__ import annotations

from typing import Any

from django.http import FileResponse
from django.shortcuts import get_object_or_404
from django.utils.text import slugify
from django.utils.translation import gettext
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.renderers import BaseRenderer

from ..admin.fetching import last_tries
from ..models import EmbeddingModel, EncodingFailure
from ..services.fetching import model_fetch_request
from ..services.models import model_card, model_download, model_upload
from ..services.probing import probe_apart
from .base import AnyNegotiation, operation
from .networks import AdministratorView, ModelOut
from .paging import Page, PageQuery, by_id


class ModelIn(s.Serializer):
    """A safetensors file with its card inside, as the file of a network is written here. Pickles are not taken."""

    file = s.FileField()
    name = s.CharField(max_length=120, required=False, allow_blank=True, default="", help_text="Else as its card says.")

    def validate_file(self, sent: Any) -> Any:
        if not str(sent.name).lower().endswith(".safetensors"):
            raise ValidationError(gettext("Only safetensors files are taken here."))
        return sent


class ModelImports(AdministratorView):
    parser_classes = [MultiPartParser]

    @extend_schema(request={"multipart/form-data": ModelIn})
    @operation("Bring a network", out=ModelOut, body=ModelIn, status=201, keyed=False)
    def post(self, request: Any) -> EmbeddingModel:
        """It is loaded once and encodes a coat before it is taken in as a candidate, which may take minutes. The same
        file twice is one network."""
        said = self.said()
        sent = said["file"]
        return model_upload(
            chunks=sent.chunks(),
            file_name=str(sent.name),
            name=said["name"].strip(),
            acting_user=self.user,
            probe=probe_apart,
        )


class ModelCardOut(s.Serializer):
    """What came with the file, and what was measured since."""

    name = s.CharField()
    dimension = s.IntegerField()
    trained = s.BooleanField()
    training_data = s.CharField(allow_blank=True, default="")
    licence = s.CharField(allow_blank=True)
    source = s.CharField(allow_blank=True, default="")
    notes = s.CharField(allow_blank=True, default="")
    parent = s.CharField(allow_blank=True)
    config = s.DictField()
    evaluation = s.DictField()


class ModelCard(AdministratorView):
    @operation("The card of a network", out=ModelCardOut)
    def get(self, request: Any, model_id: int) -> dict[str, Any]:
        return model_card(get_object_or_404(EmbeddingModel.objects.select_related("parent"), pk=model_id))


class FileRenderer(BaseRenderer):
    media_type = "application/octet-stream"
    format = "file"
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> Any:
        return data


class ModelFile(AdministratorView):
    renderer_classes = [FileRenderer]
    content_negotiation_class = AnyNegotiation

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY}, summary="The file of a network")
    @operation("The file of a network", keyed=False)
    def post(self, request: Any, model_id: int) -> FileResponse:
        """With its present card in it, to be brought elsewhere. Written to the audit log: so it is no GET."""
        model = get_object_or_404(EmbeddingModel, pk=model_id)
        stream = model_download(model=model, acting_user=self.user)
        name = f"{slugify(model.name) or f'model-{model.pk}'}.safetensors"
        return FileResponse(stream, as_attachment=True, filename=name, content_type="application/octet-stream")


class EncodingFailureOut(s.Serializer):
    id = s.IntegerField(source="pk")
    box = s.IntegerField(source="detection_id")
    reason = s.CharField()
    created_at = s.DateTimeField()


class ModelFailures(AdministratorView):
    @operation("Coats that a network could not encode", out=EncodingFailureOut, paged=True, query=PageQuery)
    def get(self, request: Any, model_id: int) -> Page:
        model = get_object_or_404(EmbeddingModel, pk=model_id)
        return by_id(EncodingFailure.objects.filter(model=model), self.asked(), newest=True)


class PublishedOut(s.Serializer):
    """tried: what was done last to get it, and reason what was said of that. here: how its file is here; null: not."""

    name = s.CharField()
    url = s.CharField()
    licence = s.CharField()
    note = s.CharField(allow_blank=True)
    here = s.CharField(source="file", allow_null=True)
    model = s.IntegerField(allow_null=True, help_text="The network that it is here.")
    tried = s.CharField(allow_blank=True)
    reason = s.CharField(allow_blank=True)


class FetchIn(s.Serializer):
    name = s.CharField(max_length=120)


class Published(AdministratorView):
    @operation("Published networks that can be fetched", out=PublishedOut, many=True)
    def get(self, request: Any) -> list[dict[str, Any]]:
        return _published()

    @operation("Have a worker fetch one", out=PublishedOut, many=True, body=FetchIn, status=202)
    def post(self, request: Any) -> list[dict[str, Any]]:
        """Ask again to see what came of it."""
        model_fetch_request(name=self.said()["name"], acting_user=self.user)
        return _published()


def _published() -> list[dict[str, Any]]:
    from ..inference.public_models import published

    models = dict(EmbeddingModel.objects.values_list("name", "pk"))
    last = last_tries()
    found = []
    for one in published():
        tried, reason = last.get(one.name, ("", ""))
        named = {name: getattr(one, name) for name in ("name", "url", "licence", "note", "file")}
        found.append({**named, "model": models.get(one.name), "tried": tried, "reason": reason})
    return found

"""Photos of a survey, and their pictures."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework.exceptions import ValidationError
from rest_framework.renderers import BaseRenderer

from .. import permissions
from ..models import CaptureTimeSource, Image
from ..permissions import Action
from ..presenting import SCREEN_KINDS, SCREEN_SIZES
from ..selectors.photos import FILTERS, boxes_of, photo_filters, photos_of
from ..services.annotation import detection_draw
from ..services.catalogue import places_shown
from ..services.queue import work_requeue
from ..views import media
from ..views.access import image_of, survey_of
from .base import AnyNegotiation, ApiView, operation
from .paging import Page, PageQuery, by_id, by_time
from .shapes import BoxOut, PhotoOut, id_field

_ORDERS = ("id", "-id", "captured_at", "-captured_at")


class PhotoQuery(PageQuery):
    """`show` has what the account may use: nobody learns through a filter what a photo would not show."""

    show = s.ChoiceField(choices=[one.name for one in FILTERS], default="all")
    station = id_field(required=False)
    first = s.DateField(required=False, help_text="The first day, by the survey's clock.")
    last = s.DateField(required=False, help_text="The last day.")
    order = s.ChoiceField(choices=_ORDERS, default="id")


class Photos(ApiView):
    @operation("Photos of a survey", out=PhotoOut, paged=True, query=PhotoQuery)
    def get(self, request: Any, survey_id: int) -> Page:
        survey = survey_of(request, survey_id)
        query = self.asked()
        if query["show"] not in {one.name for one in photo_filters(user=self.user, survey=survey)}:
            raise ValidationError({"show": ["There is no such filter."]})
        rows = photos_of(
            user=self.user,
            survey=survey,
            chosen=query["show"],
            station=query.get("station"),
            first=query.get("first"),
            last=query.get("last"),
        )
        newest = query["order"].startswith("-")
        if query["order"].endswith("captured_at"):
            return by_time(rows, query, "captured_at", newest=newest)
        return by_id(rows, query, newest=newest)


class PhotoVisitOut(s.Serializer):
    first = s.DateTimeField(source="started_at")
    last = s.DateTimeField(source="ended_at")


class PhotoDetail(PhotoOut):
    captured_source = s.ChoiceField(choices=CaptureTimeSource.values)
    visit = PhotoVisitOut(source="event", allow_null=True)
    infrared = s.BooleanField(allow_null=True)
    size_bytes = s.IntegerField()
    detector = s.CharField(allow_blank=True, help_text="Empty: nothing has looked at it yet.")
    detector_note = s.CharField(allow_blank=True, help_text="For those who ingest.")
    blurred = s.BooleanField(help_text="Because of people on it, for you.")


class Photo(ApiView):
    @operation("One photo", out=PhotoDetail)
    def get(self, request: Any, image_id: int) -> Image:
        image = image_of(request, image_id)
        image.boxes = boxes_of(user=self.user, image=image)  # type: ignore[attr-defined]
        image.blurred = permissions.people_blurred(self.user, image)  # type: ignore[attr-defined]
        if not permissions.may(self.user, Action.INGEST, image.survey):
            image.detector_note = ""
        return image


class PhotoPlaceOut(s.Serializer):
    """Of the file itself: where its EXIF says that it was taken, and where it was read."""

    latitude = s.FloatField(source="gps_latitude", allow_null=True)
    longitude = s.FloatField(source="gps_longitude", allow_null=True)
    path = s.CharField(source="source_path", allow_blank=True)


class PhotoPlace(ApiView):
    @operation("What a photo tells of its place", out=PhotoPlaceOut, keyed=False)
    def post(self, request: Any, image_id: int) -> Image:
        """For those who were granted places. Looking is written to the audit log: so it is no GET."""
        image = image_of(request, image_id, Action.SEE_PLACES)
        places_shown(acting_user=self.user, target=image)
        return image


class PhotoRetry(ApiView):
    @operation("Process a photo again", out=PhotoOut, status=202)
    def post(self, request: Any, image_id: int) -> Image:
        image = image_of(request, image_id, Action.INGEST)
        work_requeue(images=[image], acting_user=self.user)
        image = image_of(request, image_id)
        image.boxes = boxes_of(user=self.user, image=image)  # type: ignore[attr-defined]
        return image


class RectangleIn(s.Serializer):
    x1 = s.FloatField(min_value=0, max_value=1e6)
    y1 = s.FloatField(min_value=0, max_value=1e6)
    x2 = s.FloatField(min_value=0, max_value=1e6)
    y2 = s.FloatField(min_value=0, max_value=1e6)


def rectangle_of(said: dict[str, Any]) -> tuple[float, float, float, float]:
    return said["x1"], said["y1"], said["x2"], said["y2"]


class PhotoBoxes(ApiView):
    @operation("Boxes on a photo", out=BoxOut, many=True)
    def get(self, request: Any, image_id: int) -> Any:
        image = image_of(request, image_id)
        rows = boxes_of(user=self.user, image=image)
        for row in rows:
            row.image = image
        return rows

    @operation("Draw a box", out=BoxOut, body=RectangleIn, status=201)
    def post(self, request: Any, image_id: int) -> Any:
        """In pixels of the upright photo, which is processed again with it."""
        image = image_of(request, image_id, Action.CURATE)
        return detection_draw(acting_user=self.user, image=image, box=rectangle_of(self.said()))


class PictureRenderer(BaseRenderer):
    media_type = "image/*"
    format = "image"
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> Any:
        return data


_PICTURE = {
    (200, kind): OpenApiTypes.BINARY for kind in ("image/jpeg", "image/png", "image/webp", "image/tiff", "image/heic")
}


class Picture(ApiView):
    renderer_classes = [PictureRenderer]
    content_negotiation_class = AnyNegotiation

    @extend_schema(summary="A picture", responses=_PICTURE)
    def get(self, request: Any, kind: str, object_id: int) -> HttpResponseBase:
        """thumbnail, preview, original: of a photo; crop, mask, cutout, edges: of a box. An original is for curators,
        and holds no place for those who were not granted places."""
        return media.media(request._request, kind, object_id)


class ScreenPicture(ApiView):
    renderer_classes = [PictureRenderer]
    content_negotiation_class = AnyNegotiation

    @extend_schema(summary="A picture in a smaller size", responses=_PICTURE)
    def get(self, request: Any, kind: str, object_id: int, longest: int) -> HttpResponseBase:
        return media.screen(request._request, kind, object_id, longest)


ScreenPicture.get.__doc__ = (
    f"Of {', '.join(SCREEN_KINDS)}; the longest side in pixels is one of {', '.join(map(str, SCREEN_SIZES))}."
)

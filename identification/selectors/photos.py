"""Photos of a survey, filtered, and everything about one photo."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ..models import Category, Detection, Image, ProcessingState, Survey, Triage, User
from ..permissions import Action, detections_for, images_for, may
from .surveys import FAILED


@dataclass(frozen=True)
class PhotoFilter:
    """A way to narrow the photos of a survey down."""

    name: str
    label: str | Promise
    needs: Action = Action.SEE


FILTERS = (
    PhotoFilter("all", _("All")),
    PhotoFilter("animals", _("With animals")),
    PhotoFilter("unnamed", _("Not identified yet")),
    PhotoFilter("empty", _("Empty")),
    PhotoFilter("people", _("People"), Action.SEE_PEOPLE),
    PhotoFilter("unusable", _("Not usable")),
    PhotoFilter("failed", _("Failed")),
    PhotoFilter("waiting", _("Waiting")),
)


def photo_filters(*, user: User, survey: Survey) -> list[PhotoFilter]:
    """The filters that the account may use: nobody learns through a filter what a photo would not show."""
    return [item for item in FILTERS if item.needs == Action.SEE or may(user, item.needs, survey)]


def photos_of(
    *,
    user: User,
    survey: Survey,
    chosen: str = "all",
    station: int | None = None,
    first: date | None = None,
    last: date | None = None,
) -> QuerySet[Image]:
    """Visible photos in the order of their capture, each with its boxes in `boxes`.

    first, last: days by the survey's clock, None where that end is open.
    """
    photos = images_for(user).filter(survey=survey).select_related("station", "work")
    visible = detections_for(user)
    animal = visible.filter(image=OuterRef("pk"), category=Category.ANIMAL)
    if chosen == "animals":
        photos = photos.filter(Exists(animal))
    elif chosen == "unnamed":
        photos = photos.filter(Exists(animal.filter(usable=True, individual__isnull=True).exclude(triage=Triage.OTHER)))
    elif chosen == "empty":
        photos = photos.filter(~Exists(visible.filter(image=OuterRef("pk"))), work__state=ProcessingState.DONE)
    elif chosen == "people":
        photos = photos.filter(has_person=True)
    elif chosen == "failed":
        photos = photos.filter(work__state__in=FAILED)
    elif chosen == "waiting":
        photos = photos.filter(Q(work__state=ProcessingState.PENDING) | Q(work__state=ProcessingState.RUNNING))
    elif chosen == "unusable":
        photos = photos.filter(Exists(animal.filter(usable=False)))
    if station is not None:
        photos = photos.filter(station=station)
    zone = ZoneInfo(survey.time_zone)
    if first is not None:
        photos = photos.filter(captured_at__gte=datetime.combine(first, time(), zone))
    if last is not None:
        photos = photos.filter(captured_at__lt=datetime.combine(last + timedelta(days=1), time(), zone))
    boxes = visible.select_related("individual__population").order_by("pk")
    return photos.prefetch_related(Prefetch("detections", boxes, to_attr="boxes")).order_by(
        "captured_at", "relative_path", "pk"
    )


def boxes_of(*, user: User, image: Image) -> list[Detection]:
    """The boxes on a photo that the account may see, animals first."""
    found = detections_for(user).filter(image=image).select_related("individual__population")
    return sorted(found, key=lambda box: (box.category != Category.ANIMAL, box.pk))


@dataclass(frozen=True)
class Neighbours:
    """The photos before and after, in the order of the list."""

    before: int | None
    after: int | None


def neighbours_of(*, user: User, image: Image) -> Neighbours:
    """By file path, which every photo has (a capture time may be missing)."""
    photos = images_for(user).filter(survey_id=image.survey_id)
    earlier = Q(relative_path__lt=image.relative_path) | Q(relative_path=image.relative_path, pk__lt=image.pk)
    later = Q(relative_path__gt=image.relative_path) | Q(relative_path=image.relative_path, pk__gt=image.pk)
    before = photos.filter(earlier).order_by("-relative_path", "-pk").values_list("pk", flat=True).first()
    after = photos.filter(later).order_by("relative_path", "pk").values_list("pk", flat=True).first()
    return Neighbours(before, after)

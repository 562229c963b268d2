"""Clocks of cameras that a person corrects. Every photo's time follows, and goes back exactly when the offset does."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..models import CameraClock, Image, Station, Survey, User
from .audit import audit_record
from .events import events_rebuild
from .individuals import population_lock
from .matching import matching_invalidate
from .proposals import proposals_refresh_later

_MOST = 2**31 - 1
# PostgreSQL and Python agree on these years.
_YEARS = (1900, 2200)


@transaction.atomic
def camera_clock_set(
    *, acting_user: User | None, station: Station, camera: str, offset_seconds: int, note: str = ""
) -> int:
    """Say what must be added to the clock of one camera of a station; returns how many photos' times moved.

    The times of its photos, their events and what is proposed of them follow; photos that are ingested later get the
    offset too. The offset counts from what the camera said, not from an earlier offset, so that setting the former one
    brings every time back exactly; 0 is the clock as it was. Raises SpotIDError for a camera without photos, and for an
    offset that leads out of the calendar.
    """
    survey = station.survey
    population_lock(survey.population_id)
    Survey.objects.select_for_update(no_key=True).get(pk=survey.pk)
    photos = Image.objects.filter(station=station, camera=camera)
    if not photos.exists():
        raise SpotIDError(
            gettext("%(code)s has no photo of a camera %(camera)s.")
            % {"code": station.code, "camera": camera or gettext("without a name")}
        )
    if abs(offset_seconds) > _MOST:
        raise SpotIDError(gettext("A clock cannot be corrected by more than 68 years."))
    clock = CameraClock.objects.select_for_update().filter(station=station, camera=camera).first()
    before = clock.offset_seconds if clock else 0
    CameraClock.objects.update_or_create(
        station=station,
        camera=camera,
        defaults={"offset_seconds": offset_seconds, "by_person": True, "note": note.strip()[:200]},
    )
    moved = _apply(photos, offset_seconds)
    _check_years(photos)
    audit_record(
        acting_user=acting_user,
        action="clock.set",
        target=station,
        survey=survey,
        before={"camera": camera, "offset_seconds": before},
        after={"camera": camera, "offset_seconds": offset_seconds, "photos": moved},
    )
    events_rebuild(survey=survey)
    matching_invalidate(survey=survey)
    proposals_refresh_later(survey=survey, stations={station.pk})
    return moved


def clocks_apply(*, survey: Survey) -> int:
    """Give photos that came in later the offset of their camera; returns how many were moved."""
    return sum(
        _apply(Image.objects.filter(station_id=clock.station_id, camera=clock.camera), clock.offset_seconds)
        for clock in CameraClock.objects.filter(station__survey=survey)
    )


def _apply(photos, offset_seconds: int) -> int:  # type: ignore[no-untyped-def]
    """Move the photos of one camera to the offset. Whole seconds, added by the database: nothing is rounded."""
    moved = 0
    timed = photos.filter(captured_at__isnull=False).exclude(clock_offset_seconds=offset_seconds)
    for former in timed.order_by().values_list("clock_offset_seconds", flat=True).distinct():
        moved += photos.filter(captured_at__isnull=False, clock_offset_seconds=former).update(
            captured_at=F("captured_at") + timedelta(seconds=offset_seconds - former),
            clock_offset_seconds=offset_seconds,
        )
    return moved


def _check_years(photos) -> None:  # type: ignore[no-untyped-def]
    first, last = _YEARS
    if photos.filter(captured_at__year__lt=first).exists() or photos.filter(captured_at__year__gt=last).exists():
        raise SpotIDError(
            gettext("With this offset photos would be from before %(first)s or after %(last)s. Nothing was changed.")
            % {"first": first, "last": last}
        )

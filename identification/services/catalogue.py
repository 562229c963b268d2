"""What people correct about populations, surveys, stations and accounts. Audited."""

from __future__ import annotations

import zoneinfo
from datetime import timedelta
from typing import Any

from django.db import models, transaction
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..models import (
    AgeClass,
    CaptureTimeSource,
    Image,
    Individual,
    Population,
    Sex,
    Station,
    Survey,
    User,
)
from .audit import audit_record
from .events import events_rebuild
from .proposals import proposals_refresh_later
from .surveys import check_time_zone
from .triage_names import triage_species_changed

_OWN_ZONE_TAGS = ("OffsetTimeOriginal", "OffsetTime")
_CLOCK_FIELDS = ("pk", "captured_at", "captured_source", "clock_offset_seconds", "exif")


def _changed(target: models.Model, changes: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Set what differs; returns before and after of that."""
    before = {name: getattr(target, name) for name in changes}
    after = {name: value for name, value in changes.items() if before[name] != value}
    for name, value in after.items():
        setattr(target, name, value)
    return {name: before[name] for name in after}, after


@transaction.atomic
def population_update(*, acting_user: User | None, population: Population, **changes: Any) -> None:
    """Correct name, species or code prefix. Codes of individuals follow the prefix, their numbers stay."""
    before, after = _changed(population, changes)
    if after:
        population.save(update_fields=list(after))
        if "species" in after:
            triage_species_changed(population=population, formerly=before["species"], acting_user=acting_user)
        audit_record(acting_user=acting_user, action="population.update", target=population, before=before, after=after)


@transaction.atomic
def survey_update(*, acting_user: User | None, survey: Survey, **changes: Any) -> None:
    """Correct name, time zone or independence interval.

    With another time zone the photos' instants move: their clocks were read in the former one. Photos whose EXIF states
    its own zone keep theirs. Events are grouped anew. Raises SpotIDError for a name that is no time zone.
    """
    before, after = _changed(survey, changes)
    if not after:
        return
    if "time_zone" in after:
        check_time_zone(after["time_zone"])
        _reread_clocks(survey, zoneinfo.ZoneInfo(before["time_zone"]), zoneinfo.ZoneInfo(after["time_zone"]))
    survey.save(update_fields=list(after))
    if {"time_zone", "independence_minutes"} & after.keys():
        events_rebuild(survey=survey)
    if "time_zone" in after:
        proposals_refresh_later(survey=survey)
    audit_record(
        acting_user=acting_user, action="survey.update", target=survey, survey=survey, before=before, after=after
    )


def _reread_clocks(survey: Survey, former: zoneinfo.ZoneInfo, zone: zoneinfo.ZoneInfo) -> None:
    moved = []
    for image in survey.images.filter(captured_at__isnull=False).only(*_CLOCK_FIELDS):
        own_zone = any(tag in image.exif for tag in _OWN_ZONE_TAGS)
        if image.captured_at is None or (image.captured_source == CaptureTimeSource.EXIF and own_zone):
            continue
        # What the clock said is read anew; what was added to it stays added.
        offset = timedelta(seconds=image.clock_offset_seconds)
        image.captured_at = (image.captured_at - offset).astimezone(former).replace(tzinfo=zone) + offset
        moved.append(image)
    Image.objects.bulk_update(moved, ["captured_at"], batch_size=500)


@transaction.atomic
def station_update(*, acting_user: User | None, station: Station, **changes: Any) -> None:
    """Correct the code or the coordinates (degrees, WGS 84) of a station."""
    before, after = _changed(station, changes)
    if after:
        station.full_clean()
        station.save(update_fields=list(after))
        audit_record(
            acting_user=acting_user,
            action="station.update",
            target=station,
            survey=station.survey,
            before=before,
            after=after,
        )


@transaction.atomic
def individual_note(*, acting_user: User | None, individual: Individual, notes: str) -> None:
    """Replace the notes on an individual."""
    before, after = _changed(individual, {"notes": notes})
    if after:
        individual.save(update_fields=["notes"])
        audit_record(
            acting_user=acting_user,
            action="individual.note",
            target=individual,
            survey=individual.founder.image.survey,
            before=before,
            after=after,
        )


@transaction.atomic
def individual_describe(
    *, acting_user: User | None, individual: Individual, sex: str | None = None, age_class: str | None = None
) -> Individual:
    """Say the sex and the age class of an individual; '' takes the word back, None leaves it as it is.

    Raises SpotIDError for a value that is none.
    """
    for value, choices, what in ((sex, Sex, gettext("sex")), (age_class, AgeClass, gettext("age class"))):
        if value is not None and value not in choices.values:
            known = ", ".join(filter(None, choices.values))
            raise SpotIDError(
                gettext("%(value)s is no %(what)s; use one of %(known)s, or nothing.")
                % {"value": repr(value), "what": what, "known": known}
            )
    individual = Individual.objects.select_for_update(of=("self",), no_key=True).get(pk=individual.pk)
    said = {"sex": sex, "age_class": age_class}
    before, after = _changed(individual, {name: value for name, value in said.items() if value is not None})
    if after:
        individual.save(update_fields=list(after))
        audit_record(
            acting_user=acting_user,
            action="individual.describe",
            target=individual,
            survey=individual.founder.image.survey,
            before=before,
            after=after,
        )
    return individual


@transaction.atomic
def places_shown(*, acting_user: User, target: Station | Image) -> None:
    """Write down that somebody was shown the exact place of a station or a photo."""
    name = target._meta.model_name
    audit_record(acting_user=acting_user, action=f"{name}.place_shown", target=target, survey=target.survey)


def account_update(*, acting_user: User, account: User, before: dict[str, Any] | None, after: dict[str, Any]) -> None:
    """Write down that an account was made (`before` is None) or changed. Call it in the transaction that does it.

    Raises SpotIDError for somebody who raises their own rights.
    """
    if before is not None and acting_user.pk == account.pk:
        raised = [name for name in ("is_staff", "is_superuser") if after[name] and not before[name]]
        if raised:
            raise SpotIDError(gettext("Nobody raises their own rights."))
    action = "user.create" if before is None else "user.update"
    if before != after:
        audit_record(acting_user=acting_user, action=action, target=account, before=before or {}, after=after)

"""Exact places are shown on request, and the request is written down."""

from __future__ import annotations

from django.db import transaction

from ..models import Station, Survey, User
from .audit import audit_record


@transaction.atomic
def stations_reveal(*, acting_user: User, survey: Survey) -> list[Station]:
    """The survey's stations for somebody who may see exact coordinates; leaves an audit row."""
    audit_record(acting_user=acting_user, action="stations.reveal", target=survey, survey=survey)
    return list(survey.stations.order_by("code"))

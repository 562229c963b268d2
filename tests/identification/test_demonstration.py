"""The demonstration survey: what is in it beside its photos."""

from __future__ import annotations

import io
from itertools import combinations
from pathlib import Path

import pytest
from django.core.management import call_command
from django.test import override_settings

from identification.matching.travel import haversine_km
from identification.models import AuditEntry, Heartbeat, Survey
from identification.selectors.coming import drawing_name
from tests.identification import factories as make

pytestmark = pytest.mark.django_db


def test_its_stations_stand_some_kilometres_apart(tmp_path: Path, media_root: Path) -> None:
    with override_settings(SPOTID_HOME=tmp_path):
        call_command("load_demonstration", photos=8, individuals=2, stations=2, stdout=io.StringIO())
    survey = Survey.objects.get()
    assert Heartbeat.objects.filter(name=drawing_name(survey)).exists(), "its page said that it is being drawn"
    places = [(station.latitude, station.longitude) for station in survey.stations.all()]
    assert len(places) == 2
    assert all(1 < haversine_km(*one, *other) < 10 for one, other in combinations(places, 2))
    entry = AuditEntry.objects.get(action="stations.place")
    assert str(places[0][0]) not in str(entry.after), "places are no part of the audit log"


def test_a_second_start_says_what_is_true() -> None:
    def said() -> str:
        out = io.StringIO()
        call_command("load_demonstration", "--if-empty", stdout=out)
        return out.getvalue()

    make.make_survey(name="Ours")
    assert "There is a survey already; the demonstration is not loaded." in said()
    make.make_image(make.make_survey(name="Demonstration"))
    assert said() == ""

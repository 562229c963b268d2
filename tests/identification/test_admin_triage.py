"""Boxes of other species in the admin: asked first, audited, refused where matches stand."""

from __future__ import annotations

import pytest
from django.urls import reverse

from identification.models import AuditEntry, Detection, Role, Triage
from tests.identification.admin_client import act, form, sightings
from tests.identification.factories import make_member, make_survey, make_user, match

pytestmark = pytest.mark.django_db


@pytest.fixture
def curator(client):
    survey = make_survey(name="Valley 2024")
    user = make_member(survey, Role.CURATOR, user=make_user("ana", is_staff=True))
    client.force_login(user)
    return survey, user


def test_putting_aside_asks_first_and_restoring_does_not(client, curator) -> None:
    survey, user = curator
    rows = sightings(survey, 3)
    page = act(client, "detection", "triage_other", rows).content.decode()
    assert "Put 3 boxes aside as another species" in page and not AuditEntry.objects.exists()
    act(client, "detection", "triage_other", rows, confirmed="yes")
    assert set(Detection.objects.values_list("triage", "triage_by_person")) == {(Triage.OTHER, True)}
    assert AuditEntry.objects.get(action="detection.triage").acting_user == user
    listed = client.get(reverse("admin:identification_detection_changelist"), {"triage__exact": "other"})
    assert listed.context["cl"].result_count == 3
    act(client, "detection", "triage_undecided", rows[:1])
    act(client, "detection", "triage_wanted", rows[1:2])
    assert sorted(Detection.objects.values_list("triage", flat=True)) == ["", "other", "wanted"]


def test_matched_boxes_are_named_and_refused(client, curator) -> None:
    survey, _ = curator
    rows = sightings(survey, 2)
    match(None, *rows)
    assert "2 of them stand in confirmed matches" in act(client, "detection", "triage_other", rows).content.decode()
    answer = act(client, "detection", "triage_other", rows, confirmed="yes").content.decode()
    assert "Nothing was changed" in answer and not Detection.objects.filter(triage=Triage.OTHER).exists()


def test_the_form_shows_what_was_said_and_the_name_of_a_species_decides(client, curator) -> None:
    survey, _ = curator
    type(survey.population).objects.filter(pk=survey.population_id).update(species="Panthera pardus")
    (row,) = sightings(survey, 1)
    assert form(client, "detection", row, species="Axis axis").status_code == 302
    row.refresh_from_db()
    assert (row.triage, row.triage_by_person) == (Triage.OTHER, False)
    page = client.get(reverse("admin:identification_detection_change", args=[row.pk])).content.decode()
    assert "Another species" in page

"""Every list and every form of the admin opens, with a number of queries that does not grow with the rows."""

import hashlib

import numpy as np
import pytest
from django.contrib import admin
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django_q.models import Failure, OrmQ, Schedule, Success

from identification import models
from identification.models import Detection, Embedding, EmbeddingModel, LocalFeatureSet, StationBackgroundRecord
from identification.services.decisions import decision_record
from identification.services.events import events_rebuild
from identification.services.individuals import individual_declare, individual_rename
from identification.services.remarks import remark_record
from identification.services.review_leases import questions_lease
from tests.identification import factories
from tests.identification.factories import (
    make_candidate,
    make_heartbeat,
    make_ingest_report,
    make_member,
    make_reviewable_survey,
    make_sighting,
    make_user,
)

pytestmark = pytest.mark.django_db

REGISTERED = sorted(
    (model for model in admin.site._registry if model._meta.app_label in ("identification", "auth", "django_q")),
    key=lambda model: model._meta.label,
)


def fill(times: int) -> None:
    """A row of everything, several times over."""
    model, _ = EmbeddingModel.objects.get_or_create(
        name="m", defaults={"architecture": "x", "dimension": 4, "weights_file": "w", "checksum": "a" * 64}
    )
    user = make_user()
    for index in range(times):
        survey, animals = make_reviewable_survey(individuals=2, photos=2)
        make_member(survey, user=user)
        match = decision_record(acting_user=user, first=animals[0][0], second=animals[0][1], verdict="match")
        said = decision_record(acting_user=user, first=animals[0][0], second=animals[1][1], verdict="no_match")
        individual = individual_declare(acting_user=user, detection=animals[1][0])
        individual_rename(acting_user=user, individual=individual, name=f"Asha {index}")
        make_sighting(survey, state="failed", stage="detect", reason="The file ends early.")
        make_ingest_report(survey, skipped=2, new=4)
        asked = models.IngestRequest.objects.create(survey=survey, requested_by=user)
        asked.files.create(relative_path="ST01/1.jpg", size=9, modified_ms=1)
        events_rebuild(survey=survey)
        StationBackgroundRecord.objects.create(survey=survey, key="ST01 A", frames=3, available=3, file="x")
        models.ReviewPosition.objects.create(user=user, survey=survey, anchor=animals[0][0])
        pair = (animals[1][1].pk, animals[0][0].pk)
        remark_record(user=user, survey=survey, detection=animals[1][1], pair=pair, flank="unknown")
        questions_lease(user=user, survey=survey, pairs=[(animals[0][1].pk, animals[1][1].pk)])
        opinion = models.Opinion.objects.create(
            survey=survey, user=make_user(), kind="second", a=said.edge.a, b=said.edge.b, verdict="match", decision=said
        )
        models.Adjudication.objects.create(opinion=opinion, decision=match)
        models.TrainingRun.objects.create(population=survey.population, state="done")
        began = animals[0][0].image.captured_at
        group = models.LinkProposal.objects.create(survey=survey, kind="same_event", started_at=began, seconds=2)
        group.detections.set(animals[0])
        models.TriageRun.objects.create(survey=survey, requested=1, served=1, version=1)
        models.PairCalibration.objects.create(
            population=survey.population, coefficients={}, version="pairs-1", features="v", pairs=50, right=25
        )
        models.CalibrationRun.objects.create(population=survey.population, state="done", sentence="Fitted.")
        models.CameraClock.objects.create(station=survey.stations.first(), camera="A", offset_seconds=60)
        models.ApiToken.objects.create(user=user, name=f"script {index}")
        brought = models.ImportRun.objects.create(survey=survey, kind="megadetector", state="done", requested_by=user)
        models.ImportIssue.objects.create(run=brought, file="a.json", row=3, code="unknown_photo", words="No photo.")
        models.ExportRun.objects.create(
            population=survey.population, survey=survey, survey_ids=[survey.pk], options={}, requested_by=user
        )
        models.CameraOperation.objects.create(station=survey.stations.first(), camera="B", set_up="2024-09-01")
        models.RequestKey.objects.create(user=user, key=f"key {index}", digest="d", rights="r", answer={"a": 1})
        models.ModelActivation.objects.create(model=model, state="done")
        models.EncodingFailure.objects.create(detection=animals[1][0], model=model, reason="It is black.")
        for detection in animals[0]:
            vector = np.eye(4, dtype=float)[detection.pk % 4].tolist()
            Embedding.objects.create(detection=detection, model=model, vector=vector)
            LocalFeatureSet.objects.create(detection=detection, version="v", count=3, data=b"123")
        name = hashlib.sha256(f"{survey.pk}".encode()).hexdigest()[:8]
        make_heartbeat(f"cluster {name}")
        OrmQ.objects.create(key=f"spotid {name}", payload="never unpacked", lock=None)
        Schedule.objects.create(name=name, func="x.y")
        for success in (True, False):
            Failure.objects.create(
                id=f"{name}{success:d}", name=name, func="x.y", success=success,
                started=survey.created_at, stopped=survey.created_at, result="said",
            )  # fmt: skip


@pytest.fixture(autouse=True)
def _quick_pictures(monkeypatch):
    """One picture for all: what is on it plays no part here."""
    crops, frame = factories.crop_files(0, 0), factories.frame_pixels(0)
    monkeypatch.setattr(factories, "crop_files", lambda coat, view: crops)
    monkeypatch.setattr(factories, "frame_pixels", lambda number: frame)


@pytest.fixture
def administrator(client):
    user = make_user("boss", superuser=True)
    client.force_login(user)
    return user


def queries(client, address) -> int:
    client.get(address)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        response = client.get(address)
        assert response.status_code == 200, address
    return len(captured)


def test_every_model_has_its_place_in_the_admin():
    own = {model for model in models.__dict__.values() if isinstance(model, type) and hasattr(model, "_meta")}
    assert own <= set(admin.site._registry)
    assert {OrmQ, Failure, Success, Schedule} <= set(admin.site._registry)


def listed(model) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def test_every_list_opens_empty(client, administrator):
    assert {model._meta.label: client.get(listed(model)).status_code for model in REGISTERED} == {
        model._meta.label: 200 for model in REGISTERED
    }


def test_an_empty_list_says_why_it_is_empty(client, administrator):
    """unfold's own words ask to create an item and to reset filters, also where neither is there."""
    calibrations, trainings = listed(models.PairCalibration), listed(models.TrainingRun)
    page = client.get(calibrations).content.decode()
    assert "Nothing here yet" in page and "Show all of them" not in page and "Add pair calibration" not in page
    assert "Add training run" in client.get(trainings).content.decode()
    for asked in ("q=nobody", "state__exact=done"):
        page = client.get(f"{trainings}?{asked}").content.decode()
        assert "No row fits the search and the filters." in page and "Show all of them" in page, asked


def test_every_list_and_form_opens_and_queries_do_not_grow_with_the_rows(client, administrator):
    fill(1)
    few = {model: queries(client, listed(model)) for model in REGISTERED}
    fill(2)
    grown = {model._meta.label: (few[model], queries(client, listed(model))) for model in REGISTERED}
    assert {label: numbers for label, numbers in grown.items() if numbers[1] > numbers[0] + 1} == {}
    for model in REGISTERED:
        row = model._default_manager.order_by("pk").first()
        if model._meta.model_name != "group":
            view = f"admin:{model._meta.app_label}_{model._meta.model_name}_change"
            assert client.get(reverse(view, args=[row.pk])).status_code == 200, view


def test_every_search_and_filter_answers(client, administrator):
    fill(1)
    survey = models.Survey.objects.first()
    chosen = {"survey": survey.pk, "station": survey.stations.first().pk, "population": survey.population_id}
    for model in REGISTERED:
        model_admin = admin.site._registry[model]
        asked = [{"q": "L-0001"}] if model_admin.search_fields else []
        for entry in model_admin.list_filter:
            name = getattr(entry, "parameter_name", None)
            if name:
                asked += [{name: value} for value in ([chosen[name]] if name in chosen else ["yes", "no"])]
        for query in asked:
            assert client.get(listed(model), query).status_code == 200, (model, query)


def test_add_forms_open(client, administrator):
    for name in ("survey", "membership", "matchedge", "user", "trainingrun", "embeddingmodel"):
        assert client.get(reverse(f"admin:identification_{name}_add")).status_code == 200
    assert client.get(reverse("admin:auth_group_add")).status_code == 200


def test_what_only_the_software_writes_has_no_add_change_or_delete(client, administrator):
    fill(1)
    for model in (
        models.Decision, models.AuditEntry, models.Candidate, models.Embedding, models.LocalFeatureSet,
        models.Heartbeat, models.Work, models.IngestReport, models.SkippedPhoto, models.ModelActivation,
        models.EncodingFailure, models.ImportRun, models.ImportIssue, models.ExportRun, models.CameraOperation,
        models.RequestKey, OrmQ, Failure,
    ):  # fmt: skip
        view = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        row = model._default_manager.order_by("pk").first()
        assert client.get(reverse(f"{view}_add")).status_code == 403
        assert client.post(reverse(f"{view}_change", args=[row.pk]), {}).status_code == 403
        assert client.post(reverse(f"{view}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403


def test_pictures_are_asked_for_at_the_media_view(client, administrator):
    fill(1)
    page = client.get(reverse("admin:identification_detection_changelist")).content.decode()
    detection = Detection.objects.exclude(crop="").order_by("-pk").first()
    assert reverse("media", args=["crop", detection.pk]) in page


class TestDashboard:
    def test_it_opens_with_nothing_there(self, client, administrator):
        page = client.get(reverse("admin:index")).content.decode()
        assert "No survey yet" in page
        assert "none has ever reported" in page

    def test_it_counts(self, client, administrator):
        fill(2)
        response = client.get(reverse("admin:index"))
        figures = {figure["title"]: figure["number"] for figure in response.context["figures"]}
        assert figures == {
            "Surveys": 2, "Images": 10, "Animals detected": 10, "Individuals": 4, "Decisions": 4, "Failed images": 2,
        }  # fmt: skip
        assert "The file ends early." in response.content.decode()

    def test_queries_do_not_grow(self, client, administrator):
        fill(1)
        few = queries(client, reverse("admin:index"))
        fill(2)
        assert queries(client, reverse("admin:index")) <= few

    def test_a_contradiction_is_shown(self, client, administrator):
        _, animals = make_reviewable_survey(individuals=1, photos=3)
        first, second, third = animals[0]
        for a, b in ((first, second), (second, third)):
            decision_record(acting_user=administrator, first=a, second=b, verdict="match")
        decision_record(
            acting_user=administrator, first=first, second=third, verdict="no_match", confirm_contradiction=True
        )
        assert client.get(reverse("admin:index")).context["contradictions"] == 1


def test_candidates_show_what_was_decided_of_them(client, administrator):
    _, animals = make_reviewable_survey(individuals=1, photos=2)
    first, second = animals[0]
    decision_record(acting_user=administrator, first=second, second=first, verdict="match")
    make_candidate(first, make_sighting(first.image.survey), rank=3)
    page = client.get(reverse("admin:identification_candidate_changelist"))
    verdicts = sorted(str(row.edge_verdict) for row in page.context["cl"].result_list)
    assert verdicts == ["None", "match", "match"]


def badges(client) -> list[str]:
    page = client.get(reverse("admin:index"))
    items = [item for group in page.context["sidebar_navigation"] for item in group["items"]]
    assert [item["title"] for item in items if item["title"] == "Work"] == ["Work"]
    assert ">none<" not in "".join(page.content.decode().lower().split())
    return [item["badge"] for item in items if item.get("badge")]


def test_the_sidebar_counts_photos_that_failed_and_says_nothing_of_none(client, administrator):
    assert badges(client) == []
    survey, _ = make_reviewable_survey(individuals=1, photos=1)
    make_sighting(survey, state="failed", stage="detect", reason="The file ends early.")
    assert badges(client) == ["1"]

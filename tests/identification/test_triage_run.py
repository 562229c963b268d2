"""Species scores of a survey, through the real queue rows, engines and database."""

from __future__ import annotations

from io import StringIO
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command

from identification.models import AuditEntry, Detection, Embedding, EmbeddingModel, Survey, Triage, TriageRun, User
from identification.services.reconcile import reconcile
from identification.services.triage import detections_triage
from identification.services.triage_queue import triage_claim, triage_request, triage_waiting
from identification.services.triage_run import marks_of, triage_run, triage_scores_refresh
from identification.tasks import triage_survey
from tests.identification import factories as make

pytestmark = pytest.mark.django_db


@pytest.fixture
def mixed(tiny_model: EmbeddingModel) -> tuple[Survey, list[Detection], list[Detection]]:
    """Twelve boxes of the wanted species and twelve of another; their vectors differ, their pictures do not."""
    survey = make.make_survey(matching_state="done")
    boxes = [make.make_sighting(survey, coat=index) for index in range(24)]
    rng = np.random.default_rng(0)
    for index, box in enumerate(boxes):
        vector = rng.normal(0, 0.4, 16)
        vector[0] += 2 if index % 2 == 0 else -2
        Embedding.objects.create(detection=box, model=tiny_model, vector=list(vector / np.linalg.norm(vector)))
    return survey, boxes[::2], boxes[1::2]


def _mark(boxes: list[Detection], triage: str, user: User | None = None) -> None:
    detections_triage(acting_user=user, detections=boxes, triage=triage)


def _scores(boxes: list[Detection], field: str = "triage_score") -> list[Any]:
    return [getattr(Detection.objects.get(pk=box.pk), field) for box in boxes]


def test_an_empty_survey_gets_a_version_and_no_score() -> None:
    run = triage_scores_refresh(survey=make.make_survey())
    assert run is not None
    assert (run.version, run.learned, run.error, run.report["kind"]) == (1, False, "", "nothing")


def test_without_marks_there_is_an_order_and_no_probability(mixed) -> None:
    survey, wanted, others = mixed
    run = triage_scores_refresh(survey=survey)
    assert run is not None and not run.learned and run.report["kind"] == "nothing"
    assert _scores(wanted + others) == [None] * 24
    assert all(order is not None for order in _scores(wanted + others, "triage_order"))


def test_confirmed_animals_alone_give_an_order_towards_them(mixed) -> None:
    survey, wanted, others = mixed
    make.match(None, wanted[0], wanted[1])
    run = triage_scores_refresh(survey=survey)
    assert run is not None and not run.learned and (run.wanted, run.other, run.report["kind"]) == (2, 0, "wanted")
    assert min(_scores(wanted, "triage_order")) > max(_scores(others, "triage_order"))


def test_marks_of_both_kinds_give_probabilities(mixed) -> None:
    survey, wanted, others = mixed
    _mark(wanted[:5], Triage.WANTED)
    _mark(others[:5], Triage.OTHER)
    run = triage_scores_refresh(survey=survey)
    assert run is not None and run.learned and (run.wanted, run.other) == (5, 5)
    assert run.report["auroc"] > 0.9 and run.report["model"] == "tiny"
    assert min(_scores(wanted[5:])) > 0.5 > max(_scores(others[5:]))
    assert set(_scores(wanted + others, "triage_order")) == {None}


def test_a_mark_that_is_wrong_shows_because_it_is_judged_without_itself(mixed) -> None:
    survey, wanted, others = mixed
    _mark([*wanted[:6], others[0]], Triage.WANTED)
    _mark(others[1:7], Triage.OTHER)
    triage_scores_refresh(survey=survey)
    assert _scores([others[0]])[0] < min(_scores(wanted[:6]))


def test_what_a_glance_shows_is_made_once_and_kept(mixed, monkeypatch) -> None:
    survey, wanted, _ = mixed
    triage_scores_refresh(survey=survey)
    kept = Detection.objects.get(pk=wanted[0].pk).quality["appearance"]
    assert len(kept["numbers"]) == 76 and Detection.objects.filter(quality__has_key="appearance").count() == 24
    monkeypatch.setattr("identification.inference.photos.load", lambda path: pytest.fail("a crop was read again"))
    run = triage_scores_refresh(survey=survey)
    assert run is not None and run.version == 2 and not run.error


def test_marks_of_the_whole_population_teach_and_software_does_not_teach_itself(mixed) -> None:
    survey, _, others = mixed
    elsewhere = make.make_sighting(make.make_survey(survey.population))
    _mark([elsewhere], Triage.WANTED)
    detections_triage(acting_user=None, detections=[others[0]], triage=Triage.OTHER, by_person=False)
    _mark([others[1]], Triage.OTHER)
    marks = marks_of(survey)
    assert dict(zip(marks.ids, marks.wanted, strict=True)) == {elsewhere.pk: True, others[1].pk: False}


def test_names_of_an_import_are_applied_and_learned_from(mixed) -> None:
    survey, wanted, others = mixed
    type(survey.population).objects.filter(pk=survey.population_id).update(species="Panthera pardus")
    for boxes, name in ((wanted[:4], "panthera pardus"), (others[:4], "Sus scrofa")):
        Detection.objects.filter(pk__in=[box.pk for box in boxes]).update(species=name)
    run = triage_scores_refresh(survey=survey)
    assert run is not None and (run.learned, run.wanted, run.other) == (True, 4, 4)
    assert not run.waiting  # what the names asked for is answered already
    assert set(Detection.objects.filter(triage=Triage.OTHER)) == set(others[:4])


def test_a_crop_that_cannot_be_read_does_not_stop_the_others(mixed, media_root) -> None:
    survey, wanted, others = mixed
    (media_root / Detection.objects.get(pk=wanted[5].pk).crop).write_bytes(b"no picture")
    _mark(wanted[:4], Triage.WANTED)
    _mark(others[:4], Triage.OTHER)
    run = triage_scores_refresh(survey=survey)
    assert run is not None and not run.error and None not in _scores(wanted + others)


def test_marking_asks_for_scores_once_and_a_request_during_a_run_keeps_waiting(mixed) -> None:
    survey, wanted, _ = mixed
    _mark(wanted[:1], Triage.WANTED)
    _mark(wanted[1:2], Triage.WANTED)
    assert TriageRun.objects.get(survey=survey).requested == 1
    claim = triage_claim(survey_id=survey.pk)
    assert claim is not None and triage_claim(survey_id=survey.pk) is None
    _mark(wanted[2:3], Triage.WANTED)
    assert TriageRun.objects.get(survey=survey).requested == 2
    TriageRun.objects.filter(survey=survey).update(lease_until=None)
    assert triage_survey(survey.pk) and not TriageRun.objects.get(survey=survey).waiting
    assert not triage_survey(survey.pk)


def test_a_run_that_fails_is_tried_again_and_then_says_why(mixed, monkeypatch, settings) -> None:
    survey, _, _ = mixed
    monkeypatch.setattr(
        "identification.services.triage_run.appearances", lambda *_: (_ for _ in ()).throw(ValueError("broken"))
    )
    triage_request(survey=survey)
    for _ in range(settings.SPOTID_MAX_ATTEMPTS):
        assert triage_waiting() == [survey.pk]
        assert triage_run(survey_id=survey.pk)
    run = TriageRun.objects.get(survey=survey)
    assert run.error == "ValueError: broken" and run.version == 0 and triage_waiting() == []
    monkeypatch.undo()
    assert triage_scores_refresh(survey=survey).version == 1  # type: ignore[union-attr]


def test_a_request_that_the_queue_lost_is_queued_again(mixed, django_capture_on_commit_callbacks, monkeypatch) -> None:
    survey, _, _ = mixed
    triage_request(survey=survey)
    asked: list[int] = []
    monkeypatch.setattr(
        "identification.services.reconcile.triage_enqueue", lambda *, survey_id: asked.append(survey_id)
    )
    reconcile()
    assert asked == [survey.pk]


def test_the_command_scores_counts_applies_and_takes_back(mixed) -> None:
    survey, wanted, others = mixed
    out = StringIO()
    with pytest.raises(CommandError, match="no probabilities"):
        call_command("triage", survey=survey.name, threshold=0.5, stdout=out)
    _mark(wanted[:5], Triage.WANTED)
    _mark(others[:5], Triage.OTHER)
    call_command("triage", survey=survey.name, threshold=0.5, stdout=out)
    assert "7 undecided boxes are below 0.5" in out.getvalue()
    assert Detection.objects.filter(triage=Triage.OTHER).count() == 5
    call_command("triage", survey=survey.name, threshold=0.5, apply=True, stdout=out)
    assert set(Detection.objects.filter(triage=Triage.OTHER)) == set(others)
    assert AuditEntry.objects.filter(action="detection.triage", acting_user=None).count() == 3
    call_command("triage", survey=survey.name, undo=True, stdout=out)
    assert set(Detection.objects.filter(triage=Triage.OTHER)) == set(others[:5])
    for wrong in ({"apply": True}, {"threshold": 2.0}):
        with pytest.raises(CommandError):
            call_command("triage", survey=survey.name, stdout=out, **wrong)
    with pytest.raises(CommandError, match="no survey"):
        call_command("triage", survey="nowhere", stdout=out)

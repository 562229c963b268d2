"""A learned matcher beside RootSIFT: what a run stores of it, what it must not change, and when it counts."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from django.urls import reverse

from identification import checks
from identification.inference.engines import engines_forget
from identification.inference.learned import learned_matcher
from identification.models import Candidate, PairCalibration, Survey, Verdict
from identification.selectors.calibration import labelled_candidates
from identification.selectors.surveys import survey_dashboard
from identification.services import learned
from identification.services.calibration import calibration_due, calibration_fit
from identification.services.decisions import decision_record
from identification.services.matching_run import survey_match
from identification.services.media import media_path
from modelzoo.calibration import Evidence
from modelzoo.local.learned import KINDS
from modelzoo.standing import FEATURES, Learned, PairModel, Standing
from tests.identification.factories import client_of, make_candidate, make_sighting, make_survey, make_user
from tests.learned_weights import FILES, write_weights

pytestmark = pytest.mark.django_db
MATCHER = "disk-lightglue-1-0a0a0a0a"
STANDING = Standing(Evidence(5, 9, 300, 300, weight=1.0), -1.0, None, None, 30)


@pytest.fixture
def survey(tiny_model):
    """Five photos of two animals."""
    survey = make_survey(matching_state=Survey.Matching.STALE)
    survey.boxes = [make_sighting(survey, coat=coat) for coat in (0, 0, 0, 1, 1)]
    return survey


@pytest.fixture
def installed(offline):
    offline.SPOTID_LEARNED_MATCHER = "disk"
    write_weights(Path(offline.SPOTID_WEIGHTS_DIR), "disk")
    return offline


def matched(survey: Survey) -> list[tuple]:
    """Everything that a run says, what the learned matcher found aside."""
    Survey.objects.filter(pk=survey.pk).update(matching_state=Survey.Matching.STALE)
    assert survey_match(survey_id=survey.pk)
    survey.refresh_from_db()
    assert survey.matching_error == "" and survey.matching_state == Survey.Matching.DONE
    return [
        (row.anchor_id, row.rank, row.detection_id, row.score, row.inliers, row.probability,
         {name: value for name, value in row.evidence.items() if name != "learned"})
        for row in Candidate.objects.order_by("anchor", "rank")
    ]  # fmt: skip


def test_nothing_is_asked_for_unless_an_administrator_does(survey) -> None:
    matched(survey)
    assert learned_matcher() is None
    assert not any("learned" in row.evidence or "learned" in row.engine for row in Candidate.objects.all())
    assert survey_dashboard(user=make_user(superuser=True), survey=survey).engines[-1].note == ""


def test_missing_weights_are_named_and_rootsift_goes_on(survey, offline, caplog) -> None:
    before = matched(survey)
    offline.SPOTID_LEARNED_MATCHER = "disk"
    with caplog.at_level(logging.WARNING):
        assert matched(survey) == before
    said = caplog.text
    for name, where in zip(FILES["disk"], ("kornia/disk", "kornia/lightglue"), strict=True):
        assert f"{name} is not installed. It is at https://huggingface.co/{where}/resolve/main/{name}" in said
    assert "put it into the weights folder" in said and "RootSIFT compares coats without a learned matcher" in said
    assert {row.engine.split(", ")[1] for row in Candidate.objects.all()} == {"no learned matcher"}
    comparing = survey_dashboard(user=make_user(superuser=True), survey=survey).engines[-1]
    assert comparing.part == "Comparing coats" and "manage weights list" in comparing.note


def test_a_file_that_was_changed_is_not_used(survey, installed, caplog) -> None:
    file = Path(installed.SPOTID_WEIGHTS_DIR) / FILES["disk"][1]
    file.write_bytes(file.read_bytes() + b"\0")
    matched(survey)
    assert f"{file.name} is not installed" in caplog.text
    assert not any("learned" in row.evidence for row in Candidate.objects.all())


def test_the_best_candidates_carry_what_it_found_and_nothing_else_changes(survey, installed, monkeypatch) -> None:
    monkeypatch.setattr(learned, "BEST", 2)
    installed.SPOTID_LEARNED_MATCHER = ""
    before = matched(survey)
    installed.SPOTID_LEARNED_MATCHER = "disk"
    assert matched(survey) == before, "neither rank nor score nor probability"
    matcher = learned_matcher()
    rows = list(Candidate.objects.order_by("anchor", "rank"))
    pairs = {frozenset((row.anchor_id, row.detection_id)) for row in rows if row.rank <= 2}
    carrying = [row for row in rows if "learned" in row.evidence]
    assert {frozenset((row.anchor_id, row.detection_id)) for row in carrying} == pairs and len(carrying) < len(rows)
    assert {row.engine.split(", ")[1] for row in rows} == {matcher.version}
    one = carrying[0]
    pixels = {box.pk: (box.crop, box.mask) for box in survey.boxes}
    a, b = (_features(matcher, *pixels[pk]) for pk in sorted((one.anchor_id, one.detection_id)))
    found = matcher.verify(a, b)
    assert one.evidence["learned"] == {
        "matcher": matcher.version,
        "inliers": found.inliers,
        "matches": found.matches,
        "weight": pytest.approx(found.weight, abs=1e-5),
    }
    assert max(row.evidence["learned"]["inliers"] for row in carrying) > 0


def _features(matcher, crop: str, mask: str):
    from identification.inference import photos

    return matcher.extract(*photos.load_masked(media_path(crop), media_path(mask) if mask else None))


def test_reviewers_see_how_many_points_agree_by_it() -> None:
    survey = make_survey(matching_state=Survey.Matching.DONE)
    a, b = (make_sighting(survey) for _ in range(2))
    row = make_candidate(a, b, evidence=STANDING.to_dict())
    page, client = f"{reverse('review', args=[survey.pk])}?", client_of(survey)
    for order in (f"anchor={a.pk}", f"pair={a.pk}-{b.pk}"):
        shown = client.get(page + order).content.decode()
        assert "points agree" in shown and "by the learned matcher" not in shown
    Candidate.objects.filter(pk=row.pk).update(
        evidence=replace(STANDING, learned=Learned(MATCHER, 17, 30, 9.5)).to_dict()
    )
    for order in (f"anchor={a.pk}", f"pair={a.pk}-{b.pk}"):
        assert "17 by the learned matcher" in client.get(page + order).content.decode()


def test_it_stops_when_its_time_is_up_and_the_run_does_not(survey, installed, caplog) -> None:
    installed.SPOTID_LEARNED_SECONDS = -1.0
    matched(survey)
    assert "compared 0 of" in caplog.text
    assert not any("learned" in row.evidence for row in Candidate.objects.all())


def test_a_crop_that_is_gone_is_left_out(survey, installed) -> None:
    matched(survey)
    gone = survey.boxes[0]
    media_path(gone.crop).unlink()
    matched(survey)
    carrying = [row for row in Candidate.objects.all() if "learned" in row.evidence]
    assert carrying and not any(gone.pk in (row.anchor_id, row.detection_id) for row in carrying)


def test_a_setting_that_names_no_matcher_is_an_error_at_the_start(settings) -> None:
    assert checks.LEARNED_MATCHERS == KINDS
    for value, errors in (("", 0), *((kind, 0) for kind in KINDS), ("superglue", 1)):
        settings.SPOTID_LEARNED_MATCHER = value
        assert len(checks.known_learned_matcher(None)) == errors
    assert "'superglue'" in checks.known_learned_matcher(None)[0].msg and "'superglue'" in learned_matcher()


# What follows decides about stored evidence only; no matcher runs.


def decided(tells: float, *, carrying: int = 99) -> Survey:
    """Eight animals of four photos; every anchor with three right and four wrong candidates, all decided.

    RootSIFT tells them a little apart. The learned matcher finds `tells` more on right ones, and compared the best
    `carrying` candidates.
    """
    draw = np.random.default_rng(5)
    survey = make_survey(matching_state=Survey.Matching.DONE)
    animals = [[make_sighting(survey, coat=a) for _ in range(4)] for a in range(8)]
    for a, own in enumerate(animals):
        for anchor in own:
            others = [(o, 1.0) for o in own if o != anchor] + [(o, 0.0) for o in animals[(a + 1) % 8]]
            for rank, (other, right) in enumerate(draw.permutation(np.array(others, object)).tolist(), 1):
                score = float(draw.normal(-5.0 + 3.0 * right, 1.5))
                weight = float(np.expm1(abs(draw.normal(1.0 + tells * right, 0.5))))
                found = Learned(MATCHER, 3, 9, weight) if rank <= carrying else None
                said = Standing(Evidence(5, 9, 300, 300, weight=1.0), score, None, None, 30, found).to_dict()
                make_candidate(anchor, other, rank=rank, score=score, probability=0.5, evidence=said)
    for own in animals:
        for other in own[1:]:
            decision_record(acting_user=None, first=own[0], second=other, verdict=Verdict.MATCH, anchor=own[0])
    for own, following in zip(animals, animals[1:] + animals[:1], strict=True):
        decision_record(
            acting_user=None, first=own[0], second=following[0], verdict=Verdict.NO_MATCH, anchor=own[0]
        )  # fmt: skip
    return survey


def test_what_it_found_counts_for_the_pairs_that_carry_it_where_it_foretells_better() -> None:
    survey = decided(tells=2.0, carrying=4)
    outcome = calibration_fit(population=survey.population, acting_user=None)
    assert outcome.kept and " The learned matcher counts: Brier " in outcome.sentence
    about = outcome.calibration.report["learned"]
    assert about["counts"] and about["matcher"] == MATCHER and about["with"] < about["without"]
    model = PairModel.from_dict(outcome.calibration.coefficients)
    assert model.learned.slopes["learned"] > 0 and "learned" not in model.slopes
    for row in Candidate.objects.all():
        standing = Standing.from_dict(row.evidence)
        by = model.learned if row.rank <= 4 else model
        assert (standing.learned is not None) == (row.rank <= 4)
        log_odds = by.intercept + sum(
            slope * (_log(standing) if name == "learned" else FEATURES[name][0](standing))
            for name, slope in by.slopes.items()
        )
        assert row.probability == pytest.approx(1 / (1 + np.exp(-log_odds)))
    assert not calibration_due(survey.population)


def _log(standing: Standing) -> float:
    return 0.0 if standing.learned is None else float(np.log1p(standing.learned.weight))


def test_what_tells_nothing_does_not_count() -> None:
    survey = decided(tells=0.0)
    outcome = calibration_fit(population=survey.population, acting_user=None)
    assert "The learned matcher does not count: Brier " in outcome.sentence
    assert "learned" not in outcome.calibration.coefficients and not outcome.calibration.report["learned"]["counts"]
    assert not calibration_due(survey.population), "it was asked, and is not asked again"


def test_too_few_decided_pairs_that_carry_it_say_nothing_and_more_are_due() -> None:
    survey = decided(tells=2.0)
    stored = {row.pk: row.evidence for row in Candidate.objects.all()}
    for number, row in enumerate(Candidate.objects.all()):
        if number >= 20:
            row.evidence.pop("learned")
            row.save(update_fields=["evidence"])
    labels = labelled_candidates(survey.population)
    assert labels.enough and labels.matcher == MATCHER and not labels.compared_by(MATCHER).enough
    outcome = calibration_fit(population=survey.population, acting_user=None)
    assert "The learned matcher does not count: it compared" in outcome.sentence
    assert "learned" not in outcome.calibration.coefficients and not calibration_due(survey.population)
    for pk, evidence in stored.items():
        Candidate.objects.filter(pk=pk).update(evidence=evidence)
    assert calibration_due(survey.population), "it has compared enough since"
    assert PairCalibration.objects.count() == 1


def test_forgetting_engines_lets_weights_that_came_since_be_found(offline) -> None:
    offline.SPOTID_LEARNED_MATCHER = "disk"
    assert isinstance(learned_matcher(), str)
    write_weights(Path(offline.SPOTID_WEIGHTS_DIR), "disk")
    engines_forget()
    assert learned_matcher().version.startswith("disk-lightglue-1-")

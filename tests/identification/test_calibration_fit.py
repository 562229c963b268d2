"""A population's own calibration: fitted on its decisions, kept only where it is better, taken back exactly."""

from __future__ import annotations

from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils.translation import override

from identification.errors import SpotIDError
from identification.inference import engines
from identification.inference.calibrating import fitted
from identification.inference.probabilities import pair_model
from identification.models import AuditEntry, CalibrationRun, Candidate, PairCalibration, Provenance, Survey, Verdict
from identification.selectors.calibration import LabelledCandidate, Labels, labelled_candidates
from identification.sentences import stored_words
from identification.services.calibration import calibration_due, calibration_fit, calibration_rollback
from identification.services.decisions import decision_record
from identification.tasks import calibrate_population
from modelzoo.calibration import Evidence
from modelzoo.standing import PairModel, Standing
from tests.identification.factories import make_candidate, make_sighting, make_survey, make_user
from tests.identification.pseudo import outside, speak_in_brackets

pytestmark = pytest.mark.django_db
ANIMALS, PHOTOS = 8, 4


def evidence(score: float) -> dict[str, object]:
    return Standing(Evidence(5, 9, 300, 300, weight=1.0), score, None, None, 30).to_dict()


@pytest.fixture
def survey(media_root):
    """Right pairs score about −1 and wrong ones −6: the shipped calibration takes most right ones for wrong."""
    draw = np.random.default_rng(3)
    survey = make_survey(matching_state=Survey.Matching.DONE)
    animals = [[make_sighting(survey, coat=a) for _ in range(PHOTOS)] for a in range(ANIMALS)]
    for a, own in enumerate(animals):
        for anchor in own:
            others = [(o, -1.0) for o in own if o != anchor] + [(o, -6.0) for o in animals[(a + 1) % ANIMALS]]
            for rank, (other, about) in enumerate(others, 1):
                score = float(draw.normal(about, 1.0))
                make_candidate(anchor, other, rank=rank, score=score, probability=0.5, evidence=evidence(score))
    survey.animals = animals
    return survey


def decide(survey: Survey) -> None:
    """Join each animal, and refuse it with the next one."""
    for own in survey.animals:
        for other in own[1:]:
            decision_record(acting_user=None, first=own[0], second=other, verdict=Verdict.MATCH, anchor=own[0])
    for own, following in zip(survey.animals, survey.animals[1:] + survey.animals[:1], strict=True):
        decision_record(
            acting_user=None, first=own[0], second=following[0], verdict=Verdict.NO_MATCH, anchor=own[0]
        )  # fmt: skip


def probabilities(survey: Survey) -> list[float]:
    return list(
        Candidate.objects.filter(anchor__image__survey=survey).order_by("pk").values_list("probability", flat=True)
    )


def assert_translated(monkeypatch: pytest.MonkeyPatch, sentence: str) -> None:
    """Every sentence of it is known where it is shown."""
    speak_in_brackets(monkeypatch, "es")
    with override("es"):
        assert outside(stored_words(sentence))[0] == [], sentence


def test_without_decisions_it_says_that_there_are_too_few_and_changes_nothing(survey, monkeypatch) -> None:
    before = probabilities(survey)
    outcome = calibration_fit(population=survey.population, acting_user=None)
    assert outcome.calibration is None and not outcome.kept
    assert (
        "Too few decisions to calibrate" in outcome.sentence
        and "there are 0 right and 0 wrong ones of 0" in outcome.sentence
    )
    assert_translated(monkeypatch, outcome.sentence)
    assert probabilities(survey) == before and not PairCalibration.objects.exists()
    assert not calibration_due(survey.population)
    out = StringIO()
    call_command("calibrate", population=survey.population.name, stdout=out)
    assert "Too few decisions to calibrate" in out.getvalue()


def test_what_follows_from_decisions_is_labelled_and_what_time_and_place_say_is_not(survey) -> None:
    decide(survey)
    labels = labelled_candidates(survey.population)
    assert labels.right == ANIMALS * PHOTOS * (PHOTOS - 1) // 2, "also those that only follow"
    assert labels.wrong == ANIMALS * PHOTOS * PHOTOS and labels.individuals == ANIMALS and labels.enough
    first = survey.animals[0]
    survey.animals[0][0].edges_as_a.filter(b=first[1]).update(provenance=Provenance.PAIRED_CAMERAS)
    fewer = labelled_candidates(survey.population)
    assert fewer.right == labels.right - (PHOTOS - 1), "no coat joins the first photo's partner to the others"
    assert fewer.wrong == labels.wrong


def test_what_nothing_follows_of_is_drawn_by_chance_where_it_is_much(survey, monkeypatch) -> None:
    for own in survey.animals[:3]:
        decision_record(acting_user=None, first=own[0], second=own[1], verdict=Verdict.MATCH, anchor=own[0])
    labels = labelled_candidates(survey.population)
    assert len(labels.pairs) == 6 and labels.open_weight == 1.0
    assert len(labels.open) + len(labels.pairs) == labels.stored == Candidate.objects.count()
    monkeypatch.setattr("identification.selectors.calibration.MOST_OPEN", 24)
    fewer = labelled_candidates(survey.population)
    assert len(fewer.open) == 24 and fewer.open_weight == pytest.approx(len(labels.open) / 24)
    assert fewer.open == labelled_candidates(survey.population).open, "the same ones each time"
    assert all(one in labels.open for one in fewer.open)


def test_what_nobody_was_asked_about_keeps_the_probabilities_low() -> None:
    """As in the middle of a review: all right pairs follow, whatever their score, of the wrong ones only a few."""
    draw = np.random.default_rng(8)
    right, wrong = draw.normal(1, 3, 300), draw.normal(-5, 1.5, 3000)
    asked, left = wrong[:150], [evidence(float(score)) for score in wrong[150:]]
    pairs = [LabelledCandidate(evidence(float(x)), True, n % 12, n % 12, (n, n + 1)) for n, x in enumerate(right)]
    pairs += [
        LabelledCandidate(evidence(float(x)), False, n % 12, (n + 1 + n % 5) % 12, (n, n + 7000))
        for n, x in enumerate(asked)
    ]

    def expected(labels: Labels) -> float:
        """How many of what is left are right by a fit on these labels; truly none is."""
        found = fitted(labels, PairModel.default().scores, 1)
        assert found.coefficients is not None
        model = PairModel.from_dict(found.coefficients)
        return sum(model.probability(Standing.from_dict(one)) for one in left)

    alone = expected(Labels(tuple(pairs), len(pairs)))
    held = expected(Labels(tuple(pairs), len(pairs), tuple(left)))
    part = expected(Labels(tuple(pairs), len(pairs), tuple(left[::10]), len(left) / len(left[::10])))
    assert held < alone / 2, (held, alone)
    assert part == pytest.approx(held, rel=0.2)


def test_a_better_fit_is_used_at_once_and_going_back_goes_back(survey, monkeypatch) -> None:
    decide(survey)
    assert calibration_due(survey.population)
    user = make_user(superuser=True)
    outcome = calibration_fit(population=survey.population, acting_user=user)
    made = outcome.calibration
    assert outcome.kept and made is not None and made.active and made.fitted_by == user
    assert outcome.refreshed == Candidate.objects.count()
    assert_translated(monkeypatch, outcome.sentence)
    assert made.report["fitted"]["log_loss"] < made.report["shipped"]["log_loss"]
    assert made.report["fitted"]["brier"] < made.report["shipped"]["brier"]
    model = PairModel.from_dict(made.coefficients)
    for row in Candidate.objects.all():
        assert row.probability == pytest.approx(model.probability(Standing.from_dict(row.evidence)))
    assert AuditEntry.objects.filter(action="calibration.fit", acting_user=user).count() == 1
    assert not calibration_due(survey.population), "nothing is new"
    fitted = probabilities(survey)
    assert calibration_rollback(population=survey.population, acting_user=user) is None
    shipped = probabilities(survey)
    assert shipped != fitted and not PairCalibration.objects.filter(active=True).exists()
    assert AuditEntry.objects.filter(action="calibration.rollback").count() == 1
    with pytest.raises(SpotIDError, match="nothing to go back to"):
        calibration_rollback(population=survey.population, acting_user=user)
    calibration_fit(population=survey.population, acting_user=None)
    assert probabilities(survey) == pytest.approx(fitted)


def test_a_fit_to_the_same_decisions_leaves_the_one_in_use(survey) -> None:
    decide(survey)
    first = calibration_fit(population=survey.population, acting_user=None)
    again = calibration_fit(population=survey.population, acting_user=None)
    assert again.calibration == first.calibration and again.kept and again.refreshed == 0
    assert again.calibration.decided_until > first.calibration.decided_until, "all until now is in it"
    assert again.sentence == first.sentence and PairCalibration.objects.count() == 1
    assert calibration_rollback(population=survey.population, acting_user=None) is None


def test_it_counts_only_with_the_features_and_scores_that_it_was_fitted_with() -> None:
    own = PairModel(-1.0, {"score": 2.0}, 0.0, "scores-1", "own")
    now = engines.local_version()
    assert pair_model(now, own.to_dict(), "scores-1") == own
    assert pair_model(now, {**own.to_dict(), "share": 0.0}, "scores-1") == own, "as an earlier version stored it"
    for features, coefficients, scores in (
        ("other", own.to_dict(), "scores-1"),
        (now, own.to_dict(), "scores-2"),
        (now, {"intercept": 1}, "scores-1"),
        (now, None, "scores-1"),
    ):
        assert pair_model(features, coefficients, scores) == PairModel.default()


def test_candidates_without_evidence_are_matched_again(survey) -> None:
    decide(survey)
    Candidate.objects.filter(pk=Candidate.objects.first().pk).update(evidence={})
    assert calibration_fit(population=survey.population, acting_user=None).refreshed == 0
    survey.refresh_from_db()
    assert survey.matching_state == Survey.Matching.STALE


def test_only_administrators_calibrate(survey) -> None:
    for change in (calibration_fit, calibration_rollback):
        with pytest.raises(SpotIDError, match="for administrators"):
            change(population=survey.population, acting_user=make_user(is_staff=True))


def test_the_command_compares_with_the_original_and_goes_back(survey) -> None:
    decide(survey)
    name = survey.population.name
    out = StringIO()
    call_command("calibrate", population=name, compare=True, stdout=out)
    assert f"{name}, shipped:" in out.getvalue() and f"{name}, fitted:" in out.getvalue()
    assert not PairCalibration.objects.exists()
    call_command("calibrate", population=name, stdout=out)
    assert "in use" in out.getvalue() and PairCalibration.objects.get().active
    call_command("calibrate", population=name, rollback=True, stdout=out)
    assert "the shipped calibration is in use" in out.getvalue()
    with pytest.raises(CommandError, match="no population named"):
        call_command("calibrate", population="nobody")


def test_the_admin_shows_reliability_fits_and_goes_back(survey) -> None:
    browser = Client()
    browser.force_login(make_user(superuser=True, is_staff=True))
    listing = reverse("admin:identification_paircalibration_changelist")
    assert "Too few decisions to calibrate" in browser.get(listing).content.decode()
    decide(survey)
    fit = reverse("admin:identification_paircalibration_fit", args=[survey.population.pk])
    assert browser.get(fit).status_code == 405
    assert f"{survey.population} is being calibrated" in browser.post(fit, follow=True).content.decode()
    assert not PairCalibration.objects.exists(), "a worker fits, not the page"
    assert calibrate_population(CalibrationRun.objects.get().pk)
    assert "Fitted to this population and in use" in browser.get(listing).content.decode()
    made = PairCalibration.objects.get()
    page = browser.get(reverse("admin:identification_paircalibration_change", args=[made.pk])).content.decode()
    assert made.version in page and "spotid-curve" in page and "As shipped" in page and "Were right" in page
    back = reverse("admin:identification_paircalibration_rollback", args=[survey.population.pk])
    assert "goes back to the calibration before" in browser.post(back, follow=True).content.decode()
    assert calibrate_population(CalibrationRun.objects.get(kind="rollback").pk)
    assert "The calibration that ships is in use" in browser.get(listing).content.decode()
    assert "nothing to go back to" in browser.post(back, follow=True).content.decode()
    assert browser.get(reverse("admin:identification_paircalibration_change", args=[made.pk + 9])).status_code == 404
    assert browser.post(reverse("admin:identification_paircalibration_fit", args=[10**6])).status_code == 404
    staff = Client()
    staff.force_login(make_user(is_staff=True))
    assert staff.post(fit).status_code == 403 and staff.get(listing).status_code == 403

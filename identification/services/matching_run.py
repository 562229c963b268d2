"""One matching run over a survey. Loads engines: imported by tasks and commands only."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models.functions import Now

from ..inference import engines
from ..inference.compared import ComparedPairs
from ..inference.comparison import PairScore
from ..inference.probabilities import pair_model, probability, stored_evidence
from ..matching.candidates import Scored, compatible, keep, through_a_third
from ..models import Candidate, Detection, Flank, Population, Survey
from ..selectors.calibration import active_calibration
from ..selectors.graph import population_graph
from .activation import active_model
from .coats import coats_complete, load_coats, nearest_coats
from .flanks import flanks_estimate
from .learned import LearnedFindings, learned_findings
from .matching import MatchingClaim, matching_claim, matching_fail, matching_fence, matching_held, matching_renew
from .proposals import proposals_refresh
from .work import LeaseLost

logger = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]

# Up to this many detections every pair is verified; beyond, of each anchor so many by votes and by vectors.
VERIFY_ALL = 250
SHORTLIST = 45
# Anchors whose nearest are asked of the database at once.
_PORTION = 50
# Candidates that are made and written at once.
_ROWS = 1000
_RENEW_SECONDS = 5.0
_SIDES = (Flank.LEFT, Flank.RIGHT)


def survey_match(*, survey_id: int, progress: Progress | None = None) -> bool:
    """Compute the candidates of a survey's detections among its population; returns whether it could be claimed.

    A survey that changes meanwhile keeps its old candidates and is matched again.
    """
    claim = matching_claim(survey_id=survey_id)
    if claim is None:
        return False
    try:
        with matching_held(claim):
            proposals_refresh(survey=Survey.objects.get(pk=survey_id))
            _Run(claim, progress).match()
            flanks_estimate(survey=Survey.objects.get(pk=survey_id))
            _calibrate(survey_id)
    except LeaseLost:
        logger.info("survey %s changed while it was matched", survey_id)
    except (OperationalError, InterfaceError):
        raise
    except Exception as error:
        logger.exception("matching of survey %s failed", survey_id)
        matching_fail(claim=claim, reason=f"{type(error).__name__}: {error}")
    return True


def _calibrate(survey_id: int) -> None:
    """Fit to the population's decisions where it is time. A failure harms nothing: the candidates are stored."""
    from .calibration import calibration_after_matching

    try:
        calibration_after_matching(population=Population.objects.get(surveys=survey_id))
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        logger.exception("the calibration after matching survey %s failed", survey_id)


def _sharpness(detections: list[int]) -> dict[int, float]:
    """Of the crops for which it was measured."""
    rows = Detection.objects.filter(pk__in=detections).values_list("pk", "quality__sharpness")
    return {pk: float(value) for pk, value in rows.iterator() if isinstance(value, int | float)}


class _Run:
    def __init__(self, claim: MatchingClaim, progress: Progress | None) -> None:
        self.claim = claim
        self.survey = Survey.objects.select_related("population").get(pk=claim.survey_id)
        self.progress = progress
        self.renewed = 0.0
        coats_complete(population=self.survey.population, vectors_from=VERIFY_ALL, progress=self._tell)
        self.sides, self.coats = load_coats(self.survey.population)
        self.graph = population_graph(self.survey.population)
        own = active_calibration(self.survey.population)
        features, coefficients = (own.features, own.coefficients) if own is not None else ("", None)
        self.model = pair_model(features, coefficients, self.coats.calibration.version)
        self.flank = {side.detection: side.flank for side in self.sides}
        self.sharpness = _sharpness([side.detection for side in self.sides])
        self.learned = LearnedFindings()

    def match(self) -> None:
        anchors = [index for index, side in enumerate(self.sides) if side.survey == self.survey.pk]
        compared = ComparedPairs()
        for done, (i, others) in enumerate(self._to_verify(anchors)):
            self._tell(done, len(anchors))
            chosen = [j for j in others if i != j and compatible(self.sides[i], self.sides[j])]
            # The other way round it was verified when the other one was the anchor.
            compared.add(i, chosen, [compared.find(j, i) or self.coats.compare(min(i, j), max(i, j)) for j in chosen])
        ranked = {}
        for i in compared:
            self._tell(len(anchors), len(anchors))
            ranked[i] = self._ranked(i, compared)
        best = {i: [compared.others(i)[place] for place in places] for i, places in ranked.items()}
        self.learned = learned_findings(chosen=best, sides=self.sides, coats=self.coats, tell=self._tell)
        self._store(compared, ranked)

    def _to_verify(self, anchors: list[int]) -> Iterator[tuple[int, Sequence[int]]]:
        """Every anchor with the positions that it is verified against."""
        if len(self.sides) <= VERIFY_ALL:
            yield from ((i, range(len(self.sides))) for i in anchors)
            return
        for start in range(0, len(anchors), _PORTION):
            portion = anchors[start : start + _PORTION]
            near = nearest_coats(self.survey.population, self.sides, portion, self.coats, SHORTLIST)
            for i in portion:
                chosen = self.coats.shortlist(i, SHORTLIST, near[i])
                self.coats.prefetch([i, *chosen])
                yield i, chosen

    def _tell(self, done: int, total: int) -> None:
        if time.monotonic() - self.renewed > _RENEW_SECONDS:
            matching_renew(claim=self.claim, progress=done / total)
            self.renewed = time.monotonic()
        if self.progress is not None:
            self.progress(done, total, "")

    def _ranked(self, i: int, compared: ComparedPairs) -> list[int]:
        """Which of an anchor's pairs to store, best first: their places among all that were compared with it.

        Each ranks as high as what speaks for it, itself or through a third photo.
        """
        weights = dict(zip(compared.others(i), compared.weights(i), strict=True))
        thirds = [third for third, weight in weights.items() if weight > 0 and third in compared]
        known = {third: dict(zip(compared.others(third), compared.weights(third), strict=True)) for third in thirds}
        through = through_a_third(i, {**known, i: weights})
        ranked, place = [], {}
        for position, (j, result) in enumerate(zip(compared.others(i), compared.results(i), strict=True)):
            score, weight = result.score, through.get(j, 0.0)
            if result.evidence is not None and weight > weights[j]:
                score = max(score, self.coats.calibration.score(replace(result.evidence, weight=weight)))
            other = self.sides[j].detection
            place[other] = position
            ranked.append(Scored(other, score, self.graph.root(other)))
        return [place[item.detection] for item in keep(ranked)]

    def _store(self, compared: ComparedPairs, ranked: dict[int, list[int]]) -> None:
        """Write the candidates, an anchor at a time: a large survey has hundreds of thousands."""
        with transaction.atomic():
            matching_fence(claim=self.claim)
            self._check_model()
            Candidate.objects.filter(anchor__image__survey=self.survey).delete()
            portion: list[Candidate] = []
            for i, places in ranked.items():
                portion += self._candidates(i, compared, places)
                if len(portion) >= _ROWS:
                    Candidate.objects.bulk_create(portion, batch_size=_ROWS)
                    portion = []
            Candidate.objects.bulk_create(portion, batch_size=_ROWS)
            Survey.objects.filter(pk=self.survey.pk).update(
                matching_state=Survey.Matching.DONE,
                matched_at=Now(),
                matching_lease_until=None,
                matching_progress=1,
                matching_error="",
            )

    def _candidates(self, i: int, compared: ComparedPairs, places: list[int]) -> Iterator[Candidate]:
        parts = [engines.local_version(), self.learned.engine, self.coats.calibration.version, self.model.version]
        engine = ", ".join(part for part in parts if part)[:120]
        others = compared.others(i)
        for rank, (place, evidence) in enumerate(zip(places, self._evidence(i, compared, places), strict=True), 1):
            result = compared.result(i, place)
            evidence = self.learned.added(evidence, i, others[place])
            said = probability(self.model, evidence)
            yield Candidate(
                anchor_id=self.sides[i].detection,
                detection_id=self.sides[others[place]].detection,
                rank=rank,
                similarity=result.similarity,
                inliers=result.inliers,
                score=result.score,
                probability=result.probability if said is None else said,
                evidence=evidence,
                engine=engine,
            )

    def _evidence(self, i: int, compared: ComparedPairs, places: list[int]) -> list[dict[str, Any]]:
        """What probabilities are computed from, of some of all that were compared with the i-th."""
        others = [self.sides[j].detection for j in compared.others(i)]
        found = compared.results(i)
        return stored_evidence(
            [self._known(i, other, result) for other, result in zip(others, found, strict=True)],
            [result.score for result in found],
            [self.graph.root(other) for other in others],
            self.graph.root(self.sides[i].detection),
            places,
        )

    def _known(self, i: int, other: int, result: PairScore) -> Any:
        """The evidence of a pair with what is known of both photos beside their coats."""
        anchor = self.sides[i]
        sharpness = [self.sharpness.get(detection) for detection in (anchor.detection, other)]
        assert result.evidence is not None
        return replace(
            result.evidence,
            sharpness=None if None in sharpness else min(value for value in sharpness if value is not None),
            flanks_known=anchor.flank in _SIDES and self.flank[other] in _SIDES,
        )

    def _check_model(self) -> None:
        """Raise LeaseLost when another model serves than the one whose vectors were compared.

        A switch makes the claim void anyway; it waits for the survey's row, which is held here.
        """
        model = active_model()
        if (model.pk if model else None) != self.coats.model:
            raise LeaseLost("Another model was activated while the survey was matched.")

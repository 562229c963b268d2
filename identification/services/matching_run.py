"""One matching run over a survey. Loads engines: imported by tasks and commands only."""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from django.db import InterfaceError, OperationalError, transaction
from django.db.models.functions import Now

from ..inference import engines
from ..inference.comparison import PairScore
from ..inference.probabilities import pair_model, probabilities, stored_evidence
from ..matching.candidates import Scored, compatible, keep, through_a_third
from ..models import Candidate, Detection, Flank, Population, Survey
from ..selectors.calibration import active_calibration
from ..selectors.graph import population_graph
from .activation import active_model
from .coats import coats_complete, load_coats, nearest_coats
from .flanks import flanks_estimate
from .matching import MatchingClaim, matching_claim, matching_fail, matching_fence, matching_renew
from .proposals import proposals_refresh
from .work import LeaseLost

logger = logging.getLogger(__name__)
Progress = Callable[[int, int, str], None]

# Up to this many detections every pair is verified; beyond, of each anchor so many by votes and by vectors.
VERIFY_ALL = 250
SHORTLIST = 40
# Anchors whose nearest are asked of the database at once.
_PORTION = 50
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


def _weight(result: PairScore) -> float:
    return (result.evidence.weight or 0.0) if result.evidence is not None else 0.0


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

    def match(self) -> None:
        anchors = [index for index, side in enumerate(self.sides) if side.survey == self.survey.pk]
        seen: dict[tuple[int, int], PairScore] = {}
        scored: dict[int, list[tuple[Scored, PairScore]]] = defaultdict(list)
        for done, (i, others) in enumerate(self._to_verify(anchors)):
            self._tell(done, len(anchors))
            for j in others:
                if i == j or not compatible(self.sides[i], self.sides[j]):
                    continue
                pair = (i, j) if i < j else (j, i)
                if pair not in seen:
                    seen[pair] = self.coats.compare(*pair)
                other = self.sides[j].detection
                scored[i].append((Scored(other, seen[pair].score, self.graph.root(other)), seen[pair]))
        self._store(scored)

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

    def _store(self, scored: dict[int, list[tuple[Scored, PairScore]]]) -> None:
        engine = f"{engines.local_version()}, {self.coats.calibration.version}, {self.model.version}"[:120]
        weights = {
            self.sides[i].detection: {item.detection: _weight(result) for item, result in pairs}
            for i, pairs in scored.items()
        }
        rows = []
        for i, pairs in scored.items():
            by_detection = {item.detection: result for item, result in pairs}
            evidence = self._evidence(i, pairs)
            for rank, item in enumerate(keep(self._linked(i, pairs, weights)), 1):
                result = by_detection[item.detection]
                rows.append(
                    Candidate(
                        anchor_id=self.sides[i].detection,
                        detection_id=item.detection,
                        rank=rank,
                        similarity=result.similarity,
                        inliers=result.inliers,
                        score=result.score,
                        probability=result.probability,
                        evidence=evidence[item.detection],
                        engine=engine,
                    )
                )
        said = probabilities(self.model, [row.evidence for row in rows], [row.rank for row in rows])
        for row, probability in zip(rows, said, strict=True):
            row.probability = row.probability if probability is None else probability
        with transaction.atomic():
            matching_fence(claim=self.claim)
            self._check_model()
            Candidate.objects.filter(anchor__image__survey=self.survey).delete()
            Candidate.objects.bulk_create(rows, batch_size=1000)
            Survey.objects.filter(pk=self.survey.pk).update(
                matching_state=Survey.Matching.DONE,
                matched_at=Now(),
                matching_lease_until=None,
                matching_progress=1,
                matching_error="",
            )

    def _linked(
        self, i: int, pairs: list[tuple[Scored, PairScore]], weights: dict[int, dict[int, float]]
    ) -> list[Scored]:
        """The compared pairs for ranking: each as high as what speaks for it, itself or through a third photo."""
        through = through_a_third(self.sides[i].detection, weights)
        ranked = []
        for item, result in pairs:
            weight = through.get(item.detection, 0.0)
            if result.evidence is not None and weight > _weight(result):
                linked = replace(result.evidence, weight=weight)
                item = replace(item, score=max(item.score, self.coats.calibration.score(linked)))
            ranked.append(item)
        return ranked

    def _evidence(self, i: int, pairs: list[tuple[Scored, PairScore]]) -> dict[int, dict[str, Any]]:
        """What probabilities are computed from, of all that were compared with the i-th, by detection."""
        found = stored_evidence(
            [self._known(i, item.detection, result) for item, result in pairs],
            [item.score for item, _ in pairs],
            [item.group for item, _ in pairs],
            self.graph.root(self.sides[i].detection),
        )
        return {item.detection: said for (item, _), said in zip(pairs, found, strict=True)}

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

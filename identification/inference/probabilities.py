"""Probabilities of candidates: from all that was compared with an anchor, and again from what was stored of it."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..models import EmbeddingModel
from .engines import local_version

if TYPE_CHECKING:
    from modelzoo.calibration import Evidence
    from modelzoo.standing import PairModel

logger = logging.getLogger(__name__)


def pair_model(features: str, coefficients: Mapping[str, Any] | None, scores: str) -> PairModel:
    """A population's own model where it was fitted with the present local features and scores, else the shipped one.

    features: version of the local features that the own one was fitted with. coefficients: of it, None without one.
    scores: version of the calibration that scores pairs now. One that cannot be read is left out with a warning.
    """
    from modelzoo.standing import PairModel

    if coefficients is None:
        return PairModel.default()
    try:
        own = PairModel.from_dict(coefficients)
    except (ValueError, TypeError) as error:
        logger.warning("a population's calibration is damaged and not used: %s", error)
        return PairModel.default()
    return own if features == local_version() and own.scores == scores else PairModel.default()


def stored_evidence(
    evidence: Sequence[Evidence],
    scores: Sequence[float],
    groups: Sequence[Hashable],
    own: Hashable,
    chosen: Sequence[int],
) -> list[dict[str, Any]]:
    """What probabilities are computed from (JSON-ready), of the chosen among all that were compared with one anchor.

    groups: who is known to be one animal; own: the anchor's group. chosen: places in the three.
    """
    from modelzoo.standing import standings

    found = standings(evidence, scores, groups, own)
    return [found[place].to_dict() for place in chosen]


def probability(model: PairModel, evidence: Mapping[str, Any]) -> float | None:
    """Of one candidate, None where its evidence is not of the present form."""
    from modelzoo.standing import Standing

    try:
        return model.probability(Standing.from_dict(evidence))
    except ValueError:
        return None


def scoring_version(model: EmbeddingModel | None) -> str:
    """Of the calibration that scores pairs while a model serves, None for none."""
    from modelzoo.calibration import Calibration

    from .comparison import calibration_of

    if model is None:
        return Calibration.default().version
    return calibration_of(model.name, model.checksum, model.evaluation).version

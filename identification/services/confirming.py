"""Many near-certain pairs confirmed in one glance: each its own decision, what collides left out and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from django.db import transaction

from ..errors import SpotIDError
from ..models import Decision, Detection, Survey, User, Verdict
from .decisions import decision_record
from .individuals import population_lock


@dataclass(frozen=True)
class Ticked:
    """A pair that somebody ticked: the photo it is filed under, the other, the edge's version and the number shown."""

    anchor: Detection
    candidate: Detection
    version: int
    shown: float


@dataclass
class Confirmed:
    """What came of it. refused: pairs that were left out, each with the reason."""

    batch: UUID
    recorded: list[Decision] = field(default_factory=list)
    refused: list[tuple[Ticked, SpotIDError]] = field(default_factory=list)


@transaction.atomic
def decisions_confirm(*, acting_user: User, survey: Survey, ticked: Sequence[Ticked]) -> Confirmed:
    """Record a match for every ticked pair. One that contradicts earlier decisions, or was decided meanwhile, is left
    out and the rest goes on. All can be taken back together."""
    population_lock(survey.population_id)
    outcome = Confirmed(batch=uuid4())
    for pair in ticked:
        try:
            with transaction.atomic():
                outcome.recorded.append(
                    decision_record(
                        acting_user=acting_user,
                        first=pair.anchor,
                        second=pair.candidate,
                        verdict=Verdict.MATCH,
                        anchor=pair.anchor,
                        expected_version=pair.version,
                        shown=pair.shown,
                        batch=outcome.batch,
                    )
                )
        except SpotIDError as refused:
            outcome.refused.append((pair, refused))
    return outcome

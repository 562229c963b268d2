"""Many pairs answered in one glance: each its own decision, what collides left out and told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from django.db import transaction
from django.utils.translation import gettext

from ..errors import KeyTaken, SpotIDError
from ..matching.graph import ordered
from ..models import Decision, Detection, Survey, User, Verdict
from .decisions import decision_record, said_of
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
def decisions_confirm(
    *,
    acting_user: User,
    survey: Survey,
    ticked: Sequence[Ticked],
    verdict: str = Verdict.MATCH,
    batch: UUID | None = None,
) -> Confirmed:
    """Record a match, or another verdict, for every ticked pair. One that contradicts earlier decisions, or was decided
    meanwhile, is left out and the rest goes on. All can be taken back together.

    batch: made by who sends it; what was recorded under it already is returned, whatever has become of it since.

    Raises KeyTaken when something else was recorded under it.
    """
    population_lock(survey.population_id)
    if (before := _recorded(acting_user, ticked, verdict, batch)) is not None:
        return before
    outcome = Confirmed(batch=batch or uuid4())
    for pair in ticked:
        try:
            with transaction.atomic():
                outcome.recorded.append(
                    decision_record(
                        acting_user=acting_user,
                        first=pair.anchor,
                        second=pair.candidate,
                        verdict=verdict,
                        anchor=pair.anchor,
                        expected_version=pair.version,
                        shown=pair.shown,
                        batch=outcome.batch,
                    )
                )
        except SpotIDError as refused:
            outcome.refused.append((pair, refused))
    return outcome


def _recorded(acting_user: User, ticked: Sequence[Ticked], verdict: str, batch: UUID | None) -> Confirmed | None:
    """What was recorded under this batch; pairs of it that were not were left out then. Hold the population's lock."""
    rows = Decision.objects.filter(batch=batch).select_related("edge").order_by("pk") if batch else []
    found = {(row.edge.a_id, row.edge.b_id): row for row in rows}
    if batch is None or not found:
        return None
    sent = {ordered((pair.anchor.pk, pair.candidate.pk)): pair for pair in ticked}
    same = all(row.acting_user_id == acting_user.pk and said_of(row) == verdict for row in found.values())
    if not same or not found.keys() <= sent.keys():
        raise KeyTaken(gettext("Another decision was recorded under this key. Nothing was changed."))
    reason = SpotIDError(gettext("it was not recorded with the others."))
    left_out = [(pair, reason) for ends, pair in sent.items() if ends not in found]
    return Confirmed(batch=batch, recorded=list(found.values()), refused=left_out)

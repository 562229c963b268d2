"""Decisions of people on pairs. The decision, the edge and the individuals change in one transaction."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.db import transaction
from django.db.models.functions import Now

from ..errors import Contradiction, Incomparable, SpotIDError, StaleEdge, UndoRefused
from ..matching.graph import LoggedDecision, SignedGraph, fold
from ..models import Candidate, Decision, Detection, Flank, MatchEdge, Provenance, Survey, Triage, User, Verdict
from ..selectors.graph import component_of, edges_among, refusals_between, shared_photo_pairs
from .individuals import individuals_resolve, population_lock

# What joins a left and a right flank: facing cameras, an animal that turned within a burst, an archive's own word.
_BEYOND_COATS = (Provenance.PAIRED_CAMERAS, Provenance.SAME_EVENT, Provenance.IMPORTED)


@transaction.atomic
def decision_record(
    *,
    acting_user: User | None,
    first: Detection,
    second: Detection,
    verdict: str,
    provenance: str = Provenance.REVIEWER,
    anchor: Detection | None = None,
    expected_version: int | None = None,
    confirm_contradiction: bool = False,
    note: str = "",
    shown: float | None = None,
    batch: UUID | None = None,
) -> Decision:
    """Write what somebody says of a pair, and let edge and individuals follow.

    shown: the probability that the page showed, else the candidate's; batch: of what is said in one glance.

    Raises Incomparable for a pair that can never be one animal, StaleEdge when the edge is no longer at
    `expected_version`, and Contradiction when the verdict collides with earlier ones and was not confirmed.
    """
    if verdict not in Verdict.values:
        raise SpotIDError(f"{verdict!r} is no verdict; use one of {', '.join(Verdict.values)}.")
    a, b = sorted((first, second), key=lambda detection: detection.pk)
    _check_comparable(a, b, verdict, provenance)
    population = population_lock(a.image.survey.population_id)
    # Read under the lock that whoever marks species holds, too: the boxes at hand may be older than such a mark.
    other = Detection.objects.filter(pk__in=[a.pk, b.pk], triage=Triage.OTHER)
    if verdict == Verdict.MATCH and other.exists():
        raise Incomparable("One of these is marked as another species; restore it before it is matched.")
    edge, _ = MatchEdge.objects.select_for_update().get_or_create(a=a, b=b)
    if expected_version is not None and edge.version != expected_version:
        raise StaleEdge(
            f"This pair was decided in the meantime: {edge.get_verdict_display() or 'undecided'}.",
            verdict=edge.verdict,
            version=edge.version,
        )
    if not confirm_contradiction:
        _check_consistent(a, b, verdict)
    probability = Candidate.objects.filter(anchor=first, detection=second).values_list("probability", flat=True).first()
    decision = Decision.objects.create(
        edge=edge,
        acting_user=acting_user,
        verdict=verdict,
        previous_verdict=edge.verdict,
        provenance=provenance,
        anchor=anchor,
        probability_shown=probability if shown is None else shown,
        note=note,
        batch=batch,
    )
    if probability is not None:
        edge.probability = probability
    _fold_edge(edge)
    individuals_resolve(population=population, detections=[a.pk, b.pk])
    return decision


@transaction.atomic
def decision_undo(*, acting_user: User | None, decision: Decision, any_user: bool = False) -> Decision:
    """Take a decision back by appending an undo; the pair returns to what the remaining decisions say of it.

    Raises UndoRefused when it was undone already, or is somebody else's and `any_user` is not given.
    """
    if decision.acting_user_id != (acting_user.pk if acting_user else None) and not any_user:
        raise UndoRefused("This decision is somebody else's; a curator can take it back.")
    population = population_lock(decision.edge.a.image.survey.population_id)
    edge = MatchEdge.objects.select_for_update().get(pk=decision.edge_id)
    if Decision.objects.filter(undoes=decision).exists():
        raise UndoRefused("This decision has been taken back already.")
    undo = Decision.objects.create(
        edge=edge,
        acting_user=acting_user,
        verdict="",
        previous_verdict=edge.verdict,
        undoes=decision,
        anchor=decision.anchor,
    )
    _fold_edge(edge)
    individuals_resolve(population=population, detections=[edge.a_id, edge.b_id])
    return undo


@transaction.atomic
def decision_undo_last(*, acting_user: User, survey: Survey) -> list[Decision]:
    """Take back the last standing decision that this person made on an anchor of the survey, with all that were
    confirmed in the same glance; returns these decisions, the last one first.

    Raises UndoRefused when there is none.
    """
    last = (
        Decision.objects.filter(
            acting_user=acting_user, undoes__isnull=True, undone_by__isnull=True, anchor__image__survey=survey
        )
        .order_by("-id")
        .first()
    )
    if last is None:
        raise UndoRefused("There is no decision of yours left to take back in this survey.")
    taken_back = [last]
    if last.batch is not None:
        together = Decision.objects.filter(acting_user=acting_user, batch=last.batch, undone_by__isnull=True)
        taken_back = list(together.select_related("edge__a__image__survey").order_by("-id"))
    for decision in taken_back:
        decision_undo(acting_user=acting_user, decision=decision)
    return taken_back


def _check_comparable(a: Detection, b: Detection, verdict: str, provenance: str) -> None:
    if a.pk == b.pk:
        raise Incomparable("A detection cannot be compared with itself.")
    if a.image.survey.population_id != b.image.survey.population_id:
        raise Incomparable("These photos belong to two populations.")
    if verdict != Verdict.MATCH:
        return
    if a.image_id == b.image_id:
        raise Incomparable("These are two animals on one photo: they cannot be the same individual.")
    flanks = {a.flank, b.flank}
    if (
        flanks == {Flank.LEFT, Flank.RIGHT}
        and a.flank_by_person
        and b.flank_by_person
        and provenance not in _BEYOND_COATS
    ):
        raise Incomparable("One photo shows the left flank and the other the right: their coats cannot be compared.")


def _check_consistent(a: Detection, b: Detection, verdict: str) -> None:
    left, right = component_of([a.pk]), component_of([b.pk])
    if verdict == Verdict.NO_MATCH and b.pk in left:
        edge = MatchEdge.objects.get(a=a, b=b)
        if edge.verdict == Verdict.MATCH and _is_only_link(edge, left):
            return
        raise Contradiction(
            "Earlier matches connect these two photos. Take one of them back, or confirm that they conflict.",
            pairs=[(a.pk, b.pk)],
        )
    if verdict == Verdict.MATCH and left != right:
        refused = [pair for pair in refusals_between(left, right) if pair != (a.pk, b.pk)]
        shared = shared_photo_pairs(left | right)
        if refused or shared:
            raise Contradiction(
                "An earlier decision says that these two groups are different animals."
                if refused
                else "The two groups share a photo with two animals on it, so they cannot be one individual.",
                pairs=refused or shared,
            )


def _is_only_link(edge: MatchEdge, members: frozenset[int]) -> bool:
    """Whether nothing but this edge connects its two ends."""
    others = [pair for pair in edges_among(members, Verdict.MATCH) if pair != (edge.a_id, edge.b_id)]
    graph = SignedGraph.of(others)
    return graph.root(edge.a_id) != graph.root(edge.b_id)


def _fold_edge(edge: MatchEdge) -> None:
    log = [
        LoggedDecision(id=pk, verdict=verdict, undoes=undoes)
        for pk, verdict, undoes in edge.decisions.order_by("id").values_list("id", "verdict", "undoes_id")
    ]
    standing = fold(log)
    edge.verdict = standing.verdict if standing else ""
    if standing:
        edge.provenance = Decision.objects.values_list("provenance", flat=True).get(pk=cast("int", standing.id))
    edge.version += 1
    edge.updated_at = Now()
    edge.save(update_fields=["verdict", "provenance", "version", "updated_at", "probability"])
    edge.refresh_from_db()

"""Decisions of people on pairs. The decision, the edge and the individuals change in one transaction."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext

from ..errors import Contradiction, Incomparable, KeyTaken, SpotIDError, StaleEdge, UndoRefused
from ..matching.graph import LoggedDecision, SignedGraph, fold
from ..models import Candidate, Decision, Detection, Flank, MatchEdge, Population, Provenance, Survey, User, Verdict
from ..prepared import Given, Prepared
from ..selectors.graph import Surroundings
from ..selectors.joins import answered_proposal, match_waits
from .individuals import individuals_follow, population_lock

# What joins a left and a right flank: facing cameras, an animal that turned within a burst, an archive's own word.
_BEYOND_COATS = (Provenance.PAIRED_CAMERAS, Provenance.SAME_EVENT, Provenance.IMPORTED)
_SURE = (Verdict.MATCH, Verdict.NO_MATCH)


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
    key: UUID | None = None,
    propose: bool = False,
) -> Decision:
    """Write what somebody says of a pair, and let edge and individuals follow.

    A match by somebody who does not curate both surveys, and which would join two named animals, is written as
    proposed and nothing follows: it waits for a curator. propose: so is any match.

    shown: the probability that the page showed, else the candidate's; batch: of what is said in one glance; key: made
    by who sends it. What was recorded under the key already is returned, whatever has become of it since.

    Raises Incomparable for a pair that can never be one animal, StaleEdge when the edge is no longer at
    `expected_version`, Contradiction when the verdict collides with earlier ones and was not confirmed, and KeyTaken
    when something else was recorded under the key.
    """
    if verdict not in Verdict.values:
        raise SpotIDError(
            gettext("%(verdict)s is no verdict; use one of %(values)s.")
            % {"verdict": repr(verdict), "values": ", ".join(Verdict.values)}
        )
    a, b = sorted((first, second), key=lambda detection: detection.pk)
    population = population_lock(a.image.survey.population_id)
    if (recorded := _recorded(key, acting_user)) is not None:
        if (recorded.edge.a_id, recorded.edge.b_id, said_of(recorded)) != (a.pk, b.pk, verdict):
            raise KeyTaken(gettext("Another decision was recorded under this key. Nothing was changed."))
        return recorded
    _check_comparable(a, b, verdict, provenance)
    around = Surroundings.of([a.pk, b.pk]) if verdict in _SURE else None
    # Read under the lock that whoever marks species holds, too: the boxes at hand may be older than such a mark.
    if verdict == Verdict.MATCH and around and any(around.boxes[end.pk].other_species for end in (a, b)):
        raise Incomparable(gettext("One of these is marked as another species; restore it before it is matched."))
    edge, made = _edge_of(a, b)
    if expected_version is not None and edge.version != expected_version:
        raise StaleEdge(
            gettext("This pair was decided in the meantime: %(verdict)s.")
            % {"verdict": edge.get_verdict_display() or _undecided(edge)},
            verdict=edge.verdict,
            version=edge.version,
        )
    if around is not None and not confirm_contradiction:
        _check_consistent(around, (a.pk, b.pk), verdict)
    waits = propose and verdict == Verdict.MATCH
    if around is not None and verdict == Verdict.MATCH and not waits:
        waits = match_waits(user=acting_user, first=a, second=b, provenance=provenance, around=around)
    stored = _STORED(anchor=first.pk, detection=second.pk)
    probability = stored[0][0] if stored else None
    decision = Decision.objects.create(
        edge=edge,
        acting_user=acting_user,
        verdict=Decision.PROPOSED if waits else verdict,
        previous_verdict=edge.verdict,
        provenance=provenance,
        anchor=anchor,
        probability_shown=probability if shown is None else shown,
        note=note,
        batch=batch,
        key=key,
    )
    if probability is not None:
        edge.probability = probability
    _fold_edge(edge, [decision] if made else None)
    _follow(population, edge, before=decision.previous_verdict, around=around)
    return decision


@transaction.atomic
def decision_undo(
    *, acting_user: User | None, decision: Decision, any_user: bool = False, key: UUID | None = None
) -> Decision:
    """Take a decision back by appending an undo; the pair returns to what the remaining decisions say of it.

    key: as of `decision_record`, of the undo.

    Raises UndoRefused when it was undone already, is somebody else's and `any_user` is not given, or an earlier match
    would stand again that would wait for a curator if it were said now.
    """
    if decision.acting_user_id != (acting_user.pk if acting_user else None) and not any_user:
        raise UndoRefused(gettext("This decision is somebody else's; a curator can take it back."))
    population = population_lock(decision.edge.a.image.survey.population_id)
    edge = MatchEdge.objects.select_for_update().get(pk=decision.edge_id)
    if Decision.objects.filter(undoes=decision).exists():
        raise UndoRefused(gettext("This decision has been taken back already."))
    if acting_user is not None and _joins_named_again(acting_user, edge, decision):
        raise UndoRefused(gettext("That would join two animals that have names again; a curator can take it back."))
    undo = Decision.objects.create(
        edge=edge,
        acting_user=acting_user,
        verdict="",
        previous_verdict=edge.verdict,
        undoes=decision,
        anchor=decision.anchor,
        key=key,
    )
    _fold_edge(edge)
    _follow(population, edge, before=undo.previous_verdict)
    return undo


@transaction.atomic
def decision_undo_last(
    *,
    acting_user: User,
    survey: Survey,
    decision: int | None = None,
    of: UUID | None = None,
    key: UUID | None = None,
) -> list[Decision]:
    """Take back the last standing decision that this person made on an anchor of the survey, with all that were
    confirmed in the same glance; returns these decisions, the last one first.

    decision, of: the id, or the key or batch, of the one that is meant instead of the last. key: as of
    `decision_undo`; an undo that arrives twice takes back once.

    Raises UndoRefused when there is none, KeyTaken when something else was recorded under the key.
    """
    population_lock(survey.population_id)
    own = Decision.objects.filter(acting_user=acting_user, undoes__isnull=True, anchor__image__survey=survey)
    if decision is None and of is None:
        own = own.exclude(answered_proposal())
    if decision is not None or of is not None:
        own = own.filter(pk=decision) if decision is not None else own.filter(Q(key=of) | Q(batch=of))
    if (recorded := _recorded(key, acting_user)) is not None:
        if recorded.undoes_id is None or ((decision or of) and not own.filter(pk=recorded.undoes_id).exists()):
            raise KeyTaken(gettext("Something else was recorded under this key. Nothing was changed."))
        undone = cast("Decision", recorded.undoes)
        together = Decision.objects.filter(acting_user=acting_user, batch=undone.batch, undone_by__isnull=False)
        return [undone] if undone.batch is None else list(together.select_related("edge").order_by("-id"))
    last = own.filter(undone_by__isnull=True).order_by("-id").first()
    if last is None and own.exists() and (decision or of):
        raise UndoRefused(gettext("This decision has been taken back already."))
    if last is None:
        raise UndoRefused(gettext("There is no decision of yours left to take back in this survey."))
    taken_back = [last]
    if last.batch is not None:
        together = Decision.objects.filter(acting_user=acting_user, batch=last.batch, undone_by__isnull=True)
        taken_back = list(together.select_related("edge__a__image__survey").order_by("-id"))
    for index, row in enumerate(taken_back):
        decision_undo(acting_user=acting_user, decision=row, key=key if index == 0 else None)
    return taken_back


def _joins_named_again(user: User, edge: MatchEdge, decision: Decision) -> bool:
    """Whether an earlier match of the pair stands again without the decision, and joins two named animals."""
    if edge.verdict == Verdict.MATCH or decision.proposed:
        return False
    said = edge.decisions.order_by("id").values_list("pk", "verdict", "undoes_id")
    log = [LoggedDecision(id=pk, verdict=verdict, undoes=undoes) for pk, verdict, undoes in said]
    standing = fold([*log, LoggedDecision(id="undo", verdict="", undoes=decision.pk)])
    if standing is None or standing.verdict != Verdict.MATCH:
        return False
    around = Surroundings.of([edge.a_id, edge.b_id])
    return match_waits(user=user, first=edge.a, second=edge.b, provenance=Provenance.REVIEWER, around=around)


def said_of(decision: Decision) -> str:
    """What the person said, whatever became of it."""
    return Verdict.MATCH.value if decision.proposed else decision.verdict


def _undecided(edge: MatchEdge) -> str:
    proposed = edge.decisions.filter(verdict=Decision.PROPOSED, undone_by__isnull=True)
    return gettext("a match of it waits for a curator") if proposed.exists() else gettext("undecided")


_EDGE = Prepared(lambda: MatchEdge.objects.select_for_update().filter(a=Given("a"), b=Given("b")))
_STORED = Prepared(
    lambda: (
        Candidate.objects.filter(anchor=Given("anchor"), detection=Given("detection"))
        .order_by("pk")
        .values_list("probability")[:1]
    )
)
_NAMED = Prepared(lambda: Decision.objects.filter(key=Given("key")).values_list("pk")[:1])


def _edge_of(a: Detection, b: Detection) -> tuple[MatchEdge, bool]:
    """The edge of a pair, locked, and whether it was made now. Hold the population's lock: nobody else makes it."""
    found = _EDGE(a=a.pk, b=b.pk)
    return (found[0], False) if found else (MatchEdge.objects.create(a=a, b=b), True)


def _recorded(key: UUID | None, acting_user: User | None) -> Decision | None:
    """What was recorded under a key. Hold the population's lock: nothing is then recorded meanwhile."""
    # Nearly always there is none, which is quicker asked than all that one would bring along.
    there = key is not None and _NAMED.exists(key=key)
    found = Decision.objects.filter(key=key).select_related("edge", "undoes__edge").first() if there else None
    if found is not None and found.acting_user_id != (acting_user.pk if acting_user else None):
        raise KeyTaken(gettext("Somebody else's decision was recorded under this key. Nothing was changed."))
    return found


def _check_comparable(a: Detection, b: Detection, verdict: str, provenance: str) -> None:
    if a.pk == b.pk:
        raise Incomparable(gettext("A detection cannot be compared with itself."))
    if a.image.survey.population_id != b.image.survey.population_id:
        raise Incomparable(gettext("These photos belong to two populations."))
    if verdict != Verdict.MATCH:
        return
    if a.image_id == b.image_id:
        raise Incomparable(gettext("These are two animals on one photo: they cannot be the same individual."))
    flanks = {a.flank, b.flank}
    if (
        flanks == {Flank.LEFT, Flank.RIGHT}
        and a.flank_by_person
        and b.flank_by_person
        and provenance not in _BEYOND_COATS
    ):
        raise Incomparable(
            gettext("One photo shows the left flank and the other the right: their coats cannot be compared.")
        )


def _check_consistent(around: Surroundings, pair: tuple[int, int], verdict: str) -> None:
    a, b = pair
    graph = SignedGraph.of(around.matches)
    joined = graph.root(a) == graph.root(b)
    if verdict == Verdict.NO_MATCH and joined:
        without = SignedGraph.of(around.matches - {pair})
        # Where nothing but this pair's own match connects the two, the refusal takes its place.
        if without.root(a) != without.root(b):
            return
        raise Contradiction(
            gettext("Earlier matches connect these two photos. Take one of them back, or confirm that they conflict."),
            pairs=[pair],
        )
    if verdict == Verdict.MATCH and not joined:
        roots = {graph.root(a), graph.root(b)}
        refused = sorted(
            said for said in around.refusals - {pair} if {graph.root(said[0]), graph.root(said[1])} == roots
        )
        shared = around.shared_photo_pairs(around.boxes)
        if refused or shared:
            raise Contradiction(
                "An earlier decision says that these two groups are different animals."
                if refused
                else "The two groups share a photo with two animals on it, so they cannot be one individual.",
                pairs=refused or shared,
            )


def _fold_edge(edge: MatchEdge, log: list[Decision] | None = None) -> None:
    """Let the edge say what its decisions say. log: all of them, where they are at hand."""
    rows = edge.decisions.order_by("id") if log is None else log
    said = [(row.pk, row.verdict, row.undoes_id, row.provenance) for row in rows]
    standing = fold(LoggedDecision(id=pk, verdict=verdict, undoes=undoes) for pk, verdict, undoes, _ in said)
    edge.verdict = standing.verdict if standing else ""
    if standing:
        edge.provenance = next(provenance for pk, _, _, provenance in said if pk == standing.id)
    edge.version += 1
    edge.updated_at = Now()
    edge.save(update_fields=["verdict", "provenance", "version", "updated_at", "probability"])
    # Read again when somebody asks for it.
    del edge.updated_at


def _follow(population: Population, edge: MatchEdge, *, before: str, around: Surroundings | None = None) -> None:
    """Bring the individuals in line where the verdict on a pair has changed what stands. around: of before."""
    if before == edge.verdict or not {before, edge.verdict} & set(_SURE):
        return
    pair = (edge.a_id, edge.b_id)
    now = (around or Surroundings.of(pair)).saying(pair, edge.verdict)
    if Verdict.MATCH not in (before, edge.verdict):
        graph = SignedGraph.of(now.matches)
        if graph.root(pair[0]) != graph.root(pair[1]):
            # A refusal between two components changes neither.
            return
    individuals_follow(population=population, around=now)

"""Who is known by whose word: what decides whether a photo counts as a sighting of an individual."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db.models import Count
from django.utils.translation import override

from ..matching.graph import LoggedDecision, fold
from ..models import AuditEntry, Decision, Detection, Individual, Population, Provenance, Verdict
from ..selectors.graph import population_graph


def undeclared_singles(individuals: set[int]) -> set[int]:
    """Individuals of one detection (in all surveys of the population) that no person declared or named."""
    lone = Individual.objects.filter(pk__in=individuals, declared=False, name="").annotate(seen=Count("detections"))
    return set(lone.filter(seen__lt=2).values_list("pk", flat=True))


def deciders(detections: list[int]) -> dict[int, set[str]]:
    """Who said that a detection belongs where it is: by standing matches, or by declaring the individual."""
    log: dict[tuple[int, int, int], list[tuple[LoggedDecision, str]]] = defaultdict(list)
    wanted = set(detections)
    for ends in ("edge__a__in", "edge__b__in"):
        decisions = Decision.objects.filter(**{ends: wanted}, edge__verdict=Verdict.MATCH).order_by("id")
        for pk, edge, a, b, verdict, undoes, user, provenance in decisions.values_list(
            "id", "edge_id", "edge__a_id", "edge__b_id", "verdict", "undoes_id", "acting_user__username", "provenance"
        ):
            row = (LoggedDecision(id=pk, verdict=verdict, undoes=undoes), _who(user, provenance))
            if row not in log[(edge, a, b)]:
                log[(edge, a, b)].append(row)
    names: dict[int, set[str]] = defaultdict(set)
    for (_, a, b), rows in log.items():
        standing = fold(decision for decision, _ in rows)
        for decision, who in rows:
            if standing is not None and decision.id == standing.id:
                names[a].add(who)
                names[b].add(who)
    for detection, name in _declarers(wanted):
        names[detection].add(name)
    return names


def _who(username: str | None, provenance: str) -> str:
    """The account, or what made the decision where no account did."""
    if username:
        return username
    if provenance == Provenance.REVIEWER:
        return "command line"
    # A file reads the same whoever exports it.
    with override(None):
        return str(Provenance(provenance).label).lower()


def _declarers(detections: set[int]) -> Iterable[tuple[int, str]]:
    founders = dict(
        Individual.objects.filter(founder__in=detections, declared=True, retired=False).values_list("pk", "founder_id")
    )
    entries = AuditEntry.objects.filter(action="individual.declare", object_type="individual", object_id__in=founders)
    last = {
        pk: username or "command line"
        for pk, username in entries.order_by("id").values_list("object_id", "acting_user__username")
    }
    return [(founders[pk], name) for pk, name in last.items()]


def in_conflict(population: Population, rows: list[Detection]) -> set[int]:
    """Detections whose group of matches holds a refused pair, or two animals of one photo."""
    graph = population_graph(population)
    torn = {graph.root(a) for a, _ in graph.contradictions()}
    crowd: dict[tuple[int, int], int] = defaultdict(int)
    for pk, image in Detection.objects.filter(image__survey__population=population).values_list("pk", "image_id"):
        crowd[(graph.root(pk), image)] += 1
    torn |= {root for (root, _), number in crowd.items() if number > 1}
    return {row.pk for row in rows if graph.root(row.pk) in torn}


def flanks_known(individuals: set[int]) -> dict[int, frozenset[str]]:
    """The flanks that the whole catalogue knows of each individual, among left and right."""
    known: dict[int, set[str]] = defaultdict(set)
    boxes = Detection.objects.comparable().filter(individual__in=individuals, flank__in=("left", "right"))
    for individual, flank in boxes.order_by().values_list("individual_id", "flank").distinct():
        if individual is not None:
            known[individual].add(flank)
    return {pk: frozenset(flanks) for pk, flanks in known.items()}

"""Individuals follow the graph: who stands for which component, and what people say of an individual itself."""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction

from ..errors import SpotIDError
from ..matching.graph import SignedGraph
from ..models import Detection, Individual, Population, Triage, User, Verdict
from ..selectors.graph import component_of, contradictions_among, edges_among
from .audit import audit_record


def population_lock(population_id: int) -> Population:
    """Serialise everything that changes the graph of one population; ends with the transaction.

    Rows that name the population can be written by others meanwhile: they do not wait, and nobody waits for them.
    """
    return Population.objects.select_for_update(no_key=True).get(pk=population_id)


def individuals_resolve(*, population: Population, detections: Collection[int]) -> list[Individual]:
    """Bring the individuals of these detections' components in line with the graph.

    A component that contains a contradiction keeps the assignments it had, so nothing is merged silently; only to an
    individual that stands for another component nothing of it is assigned. Call it with the population locked. Returns
    the individuals that stand for the components, contradictory ones left out.
    """
    members = component_of(detections)
    graph = SignedGraph.of(edges_among(members, Verdict.MATCH))
    components: list[frozenset[int]] = []
    contradictory: list[frozenset[int]] = []
    for part in graph.components(members):
        (contradictory if contradictions_among(part) else components).append(part)
    _move_founders(components)
    standing = []
    for part in components:
        individual = _individual_for(population, part)
        _assign(part, individual)
        if individual is not None:
            standing.append(individual)
    for part in contradictory:
        astray = Detection.objects.filter(pk__in=part, individual__isnull=False).exclude(individual__founder__in=part)
        astray.update(individual=None)
    return standing


def _move_founders(components: list[frozenset[int]]) -> None:
    """When an individual fell apart, let its larger founderless part keep the code."""
    founders = {
        i.founder_id: i for i in Individual.objects.filter(founder__in=[d for part in components for d in part])
    }
    taken = {index for index, part in enumerate(components) if part & founders.keys()}
    for index, part in enumerate(components):
        if index in taken or len(part) < 2:
            continue
        former = (
            Individual.objects.filter(detections__in=part, retired=False, declared=False)
            .distinct()
            .order_by("number")
            .first()
        )
        if former is None:
            continue
        home = next((other for other in components if former.founder_id in other), frozenset())
        if len(part) > len(home) and home:
            former.founder_id = min(part)
            former.save(update_fields=["founder"])
            taken.add(index)


def _individual_for(population: Population, part: frozenset[int]) -> Individual | None:
    founded = list(Individual.objects.filter(founder__in=part).order_by("number"))
    kept = [individual for individual in founded if individual.declared or individual.name]
    if len(part) == 1 and not kept:
        for individual in founded:
            _retire(individual, None)
        return None
    if not founded:
        return _create(population, founder_id=min(part))
    survivor = (kept or founded)[0]
    if survivor.retired:
        survivor.retired, survivor.merged_into = False, None
        survivor.save(update_fields=["retired", "merged_into"])
    for individual in founded:
        if individual != survivor:
            _retire(individual, survivor)
    return survivor


def _retire(individual: Individual, successor: Individual | None) -> None:
    if individual.retired and individual.merged_into == successor:
        return
    individual.retired, individual.merged_into = True, successor
    individual.save(update_fields=["retired", "merged_into"])


def _create(population: Population, *, founder_id: int, declared: bool = False) -> Individual:
    population.last_number += 1
    population.save(update_fields=["last_number"])
    return Individual.objects.create(
        population=population, number=population.last_number, founder_id=founder_id, declared=declared
    )


def _assign(part: frozenset[int], individual: Individual | None) -> None:
    Detection.objects.filter(pk__in=part).exclude(individual=individual).update(individual=individual)


@transaction.atomic
def individual_declare(*, acting_user: User | None, detection: Detection) -> Individual:
    """Say that a detection shows an animal of its own, even if it is its only photo."""
    population = population_lock(detection.image.survey.population_id)
    detection.refresh_from_db()
    if detection.individual is not None:
        return detection.individual
    if detection.category != "animal" or not detection.usable:
        raise SpotIDError("Only a usable detection of an animal can be declared an individual.")
    if detection.triage == Triage.OTHER:
        raise SpotIDError("This box is marked as another species; restore it before it is declared an individual.")
    individual = Individual.objects.filter(founder=detection).first()
    if individual is None:
        individual = _create(population, founder_id=detection.pk, declared=True)
    else:
        individual.declared, individual.retired, individual.merged_into = True, False, None
        individual.save(update_fields=["declared", "retired", "merged_into"])
    _assign(frozenset([detection.pk]), individual)
    audit_record(
        acting_user=acting_user,
        action="individual.declare",
        target=individual,
        survey=detection.image.survey,
        after={"detection": detection.pk, "code": individual.code},
    )
    return individual


@transaction.atomic
def individual_undeclare(*, acting_user: User | None, individual: Individual) -> None:
    """Take a declaration back. An individual of several matched photos stays, a lone photo is nobody's again."""
    population = population_lock(individual.population_id)
    individual.refresh_from_db()
    individual.declared = False
    individual.save(update_fields=["declared"])
    individuals_resolve(population=population, detections=[individual.founder_id])
    audit_record(
        acting_user=acting_user,
        action="individual.undeclare",
        target=individual,
        survey=individual.founder.image.survey,
        before={"declared": True},
        after={"declared": False},
    )


@transaction.atomic
def individual_rename(*, acting_user: User | None, individual: Individual, name: str) -> Individual:
    """Give an individual a name; the code stays what it was."""
    name = " ".join("".join(c for c in name if c.isprintable()).split())
    if len(name) > 120:
        raise SpotIDError("A name may have at most 120 characters.")
    population_lock(individual.population_id)
    individual.refresh_from_db()
    before = individual.name
    individual.name = name
    individual.save(update_fields=["name"])
    audit_record(
        acting_user=acting_user,
        action="individual.rename",
        target=individual,
        survey=individual.founder.image.survey,
        before={"name": before},
        after={"name": name},
    )
    return individual

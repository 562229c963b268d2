"""Individuals follow the graph: who stands for which component, and what people say of an individual itself."""

from __future__ import annotations

from collections.abc import Collection

from django.db import transaction
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..models import Detection, Individual, Population, Triage, User
from ..prepared import Given, Prepared
from ..selectors.graph import Surroundings
from .audit import audit_record

_LOCKED = Prepared(lambda: Population.objects.select_for_update(no_key=True).filter(pk=Given("population")))
_FOUNDED = Prepared(lambda: Individual.objects.filter(founder__any_of=Given("boxes")).order_by())


def population_lock(population_id: int) -> Population:
    """Serialise everything that changes the graph of one population; ends with the transaction.

    Rows that name the population can be written by others meanwhile: they do not wait, and nobody waits for them.
    """
    found = _LOCKED(population=population_id)
    if not found:
        raise Population.DoesNotExist
    return found[0]


def individuals_resolve(*, population: Population, detections: Collection[int]) -> list[Individual]:
    """Bring the individuals of these detections' components in line with the graph.

    A component that contains a contradiction keeps the assignments it had, so nothing is merged silently; only to an
    individual that stands for another component nothing of it is assigned. Call it with the population locked. Returns
    the individuals that stand for the components, contradictory ones left out.
    """
    return individuals_follow(population=population, around=Surroundings.of(detections))


def individuals_follow(*, population: Population, around: Surroundings) -> list[Individual]:
    """The same where what stands around the detections was read under the lock."""
    components, contradictory = around.parts()
    founded = _founded(around)
    if _move_founders(around, components, founded):
        founded = _founded(around)
    standing = []
    for part in components:
        individual = _individual_for(population, part, [founded[pk] for pk in part if pk in founded])
        _assign(
            [pk for pk in part if around.boxes[pk].individual != (individual.pk if individual else None)], individual
        )
        if individual is not None:
            standing.append(individual)
    for part in contradictory:
        own = {founded[pk].pk for pk in part if pk in founded}
        _assign([pk for pk in part if around.boxes[pk].individual not in {None, *own}], None)
    return standing


def _founded(around: Surroundings) -> dict[int, Individual]:
    """The individuals that these detections founded, by detection."""
    return {row.founder_id: row for row in _FOUNDED(boxes=list(around.boxes))}


def _move_founders(around: Surroundings, components: list[frozenset[int]], founders: Collection[int]) -> bool:
    """When an individual fell apart, let its larger founderless part keep the code. Returns whether one moved."""
    moved = False
    taken = {index for index, part in enumerate(components) if not part.isdisjoint(founders)}
    for index, part in enumerate(components):
        if index in taken or len(part) < 2:
            continue
        assigned = {found for pk in part if (found := around.boxes[pk].individual) is not None}
        formers = Individual.objects.filter(pk__in=assigned, retired=False, declared=False).order_by("number")
        former = formers.first() if assigned else None
        if former is None:
            continue
        home = next((other for other in components if former.founder_id in other), frozenset())
        if len(part) > len(home) and home:
            former.founder_id = min(part)
            former.save(update_fields=["founder"])
            taken.add(index)
            moved = True
    return moved


def _individual_for(population: Population, part: frozenset[int], founded: Collection[Individual]) -> Individual | None:
    founded = sorted(founded, key=lambda individual: individual.number)
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
    if individual.retired and individual.merged_into_id == (successor.pk if successor else None):
        return
    individual.retired, individual.merged_into = True, successor
    individual.save(update_fields=["retired", "merged_into"])


def _create(population: Population, *, founder_id: int, declared: bool = False) -> Individual:
    population.last_number += 1
    population.save(update_fields=["last_number"])
    return Individual.objects.create(
        population=population, number=population.last_number, founder_id=founder_id, declared=declared
    )


def _assign(detections: Collection[int], individual: Individual | None) -> None:
    if detections:
        Detection.objects.filter(pk__in=detections).update(individual=individual)


@transaction.atomic
def individual_declare(*, acting_user: User | None, detection: Detection) -> Individual:
    """Say that a detection shows an animal of its own, even if it is its only photo."""
    population = population_lock(detection.image.survey.population_id)
    detection.refresh_from_db()
    if detection.individual is not None:
        return detection.individual
    if detection.category != "animal" or not detection.usable:
        raise SpotIDError(gettext("Only a usable detection of an animal can be declared an individual."))
    if detection.triage == Triage.OTHER:
        raise SpotIDError(
            gettext("This box is marked as another species; restore it before it is declared an individual.")
        )
    individual = Individual.objects.filter(founder=detection).first()
    if individual is None:
        individual = _create(population, founder_id=detection.pk, declared=True)
    else:
        individual.declared, individual.retired, individual.merged_into = True, False, None
        individual.save(update_fields=["declared", "retired", "merged_into"])
    _assign([detection.pk], individual)
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
def individual_number(*, acting_user: User | None, individual: Individual, number: int) -> Individual:
    """Give an individual that was made in this very transaction the number that it has in the catalogue it comes from.

    Nobody has seen the one it had, so that one is free again. Raises SpotIDError when the number is another's, or none.
    """
    population = population_lock(individual.population_id)
    if not 0 < number < 2**31 - 1:
        raise SpotIDError(gettext("%(number)s is no number of an individual.") % {"number": number})
    if Individual.objects.filter(population=population, number=number).exclude(pk=individual.pk).exists():
        raise SpotIDError(gettext("Another individual has the number %(number)s.") % {"number": number})
    individual.refresh_from_db()
    before, last = individual.number, population.last_number
    individual.number = number
    individual.save(update_fields=["number"])
    population.last_number = max(number, last - 1 if before == last else last)
    population.save(update_fields=["last_number"])
    individual.population.last_number = population.last_number
    audit_record(
        acting_user=acting_user,
        action="individual.number",
        target=individual,
        survey=individual.founder.image.survey,
        before={"number": before},
        after={"number": number},
    )
    return individual


@transaction.atomic
def individual_rename(*, acting_user: User | None, individual: Individual, name: str) -> Individual:
    """Give an individual a name; the code stays what it was."""
    name = " ".join("".join(c for c in name if c.isprintable()).split())
    if len(name) > 120:
        raise SpotIDError(gettext("A name may have at most 120 characters."))
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

"""What an import or a person calls a box decides its triage where the population's species has a name, too."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from ..matching.species import Named, species_named
from ..models import Category, Detection, Population, Survey, Triage, User
from ..selectors.triage import in_confirmed_matches
from .triage import detections_triage


@transaction.atomic
def triage_names_apply(*, survey: Survey, acting_user: User | None = None, formerly: str | None = None) -> int:
    """Put aside what is called another species than the survey's population; returns how many boxes changed.

    What a person has said of a box stands, and so does what is in confirmed matches. formerly: the species the
    population had before; what only that put aside is back.
    """
    wanted = survey.population.species
    own = Detection.objects.filter(image__survey=survey, category=Category.ANIMAL, triage_by_person=False)
    names = {name: species_named(name, wanted) for name in own.values_list("species", flat=True).distinct().order_by()}
    other = [name for name, said in names.items() if said == Named.OTHER]
    fresh = own.filter(species__in=other, triage=Triage.UNDECIDED)
    free = fresh.exclude(pk__in=in_confirmed_matches(fresh.values_list("pk", flat=True)))
    changed = detections_triage(acting_user=acting_user, detections=free, triage=Triage.OTHER, by_person=False).changed
    if formerly is not None and formerly != wanted:
        back = [name for name in names if name not in other and species_named(name, formerly) == Named.OTHER]
        changed += _restore(acting_user, own.filter(species__in=back, triage=Triage.OTHER))
    return changed


def triage_species_changed(*, population: Population, formerly: str, acting_user: User | None = None) -> int:
    """After a population was given another species: apply it to all its surveys; returns how many boxes changed."""
    if population.species == formerly:
        return 0
    surveys = Survey.objects.filter(population=population).select_related("population").order_by("pk")
    return sum(triage_names_apply(survey=one, acting_user=acting_user, formerly=formerly) for one in surveys)


@transaction.atomic
def triage_names_follow(*, before: Mapping[int, str], acting_user: User | None = None) -> int:
    """After the names of boxes changed (ids with what they were called before); returns how many boxes changed."""
    rows = Detection.objects.filter(pk__in=before).select_related("image__survey__population")
    surveys, back = set(), []
    for row in rows:
        wanted = row.image.survey.population.species
        surveys.add(row.image.survey)
        by_name = row.triage == Triage.OTHER and not row.triage_by_person
        was, now = species_named(before[row.pk], wanted), species_named(row.species, wanted)
        if by_name and was == Named.OTHER != now:
            back.append(row.pk)
    changed = _restore(acting_user, rows.filter(pk__in=back))
    return changed + sum(triage_names_apply(survey=survey, acting_user=acting_user) for survey in surveys)


def _restore(acting_user: User | None, rows):  # type: ignore[no-untyped-def]
    return detections_triage(acting_user=acting_user, detections=rows, triage=Triage.UNDECIDED, by_person=False).changed

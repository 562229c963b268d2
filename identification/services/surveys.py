"""Populations, surveys and stations."""

from __future__ import annotations

import zoneinfo

from django.db import connection, transaction
from django.utils.translation import gettext

from ..errors import SpotIDError
from ..models import Detection, Individual, MatchEdge, Population, Survey, User, Verdict
from .audit import audit_record
from .individuals import individuals_resolve, population_lock
from .media import media_forget_survey
from .triage_names import triage_species_changed

_LONGEST_NAME = 200


@transaction.atomic
def survey_get_or_create(
    *, name: str, population: str = "", time_zone: str = "", crops_only: bool = False, acting_user: User | None = None
) -> Survey:
    """The survey of that name; made, with a population named like it unless another is named, when there is none.

    Raises SpotIDError for a bad time zone, or when the survey exists with another population or kind of files.
    """
    name, population = name.strip(), population.strip()
    if not name:
        raise SpotIDError(gettext("A survey needs a name."))
    if max(len(name), len(population)) > _LONGEST_NAME:
        raise SpotIDError(
            gettext("Names of surveys and populations may have at most %(number)s characters.")
            % {"number": _LONGEST_NAME}
        )
    if time_zone:
        check_time_zone(time_zone)
    survey = Survey.objects.filter(name__iexact=name).select_related("population").first()
    if survey is not None:
        if population and survey.population.name.casefold() != population.strip().casefold():
            raise SpotIDError(
                gettext("%(name)s belongs to the population %(other)s, not to %(population)s.")
                % {"name": survey.name, "other": survey.population.name, "population": population}
            )
        if crops_only != survey.crops_only and survey.images.exists():
            kind = gettext("finished crops") if survey.crops_only else gettext("whole photos")
            raise SpotIDError(
                gettext("%(name)s holds %(kind)s; use another survey for the other kind.")
                % {"name": survey.name, "kind": kind}
            )
        if time_zone and time_zone != survey.time_zone:
            raise SpotIDError(
                gettext(
                    "The camera clocks of %(name)s run in %(time_zone)s; its photos were read so. Change it "
                    "in the admin, or use another survey."
                )
                % {"name": survey.name, "time_zone": survey.time_zone}
            )
        return survey
    wanted = population.strip() or name
    home = Population.objects.filter(name__iexact=wanted).first() or Population.objects.create(name=wanted)
    survey = Survey.objects.create(population=home, name=name, time_zone=time_zone or "UTC", crops_only=crops_only)
    audit_record(
        acting_user=acting_user,
        action="survey.create",
        target=survey,
        survey=survey,
        after={"name": name, "population": home.name},
    )
    return survey


def check_time_zone(name: str) -> None:
    """Raise SpotIDError unless the name is an IANA time zone."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise SpotIDError(
            gettext("%(name)s is no time zone. Use a name such as Asia/Kolkata, Africa/Windhoek or UTC.")
            % {"name": repr(name)}
        ) from None


def survey_delete(*, acting_user: User | None, survey: Survey) -> None:
    """Delete a survey with its photos' rows, decisions and crops; the photo files themselves are never touched.

    Individuals that also appear in other surveys stay, founded on a photo that is left.
    """
    survey_id, name = survey.pk, survey.name
    with transaction.atomic():
        population = population_lock(survey.population_id)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL spotid.purge = 'on'")
        going = set(Detection.objects.filter(image__survey=survey).values_list("pk", flat=True))
        neighbours = _neighbours(going)
        for individual in Individual.objects.filter(founder__in=going, retired=False):
            heir = (
                individual.detections.exclude(pk__in=going)
                .exclude(founded_individual__isnull=False)
                .order_by("pk")
                .first()
            )
            if heir is not None:
                individual.founder = heir
                individual.save(update_fields=["founder"])
            else:
                _bequeath(individual, going, acting_user)
        audit_record(acting_user=acting_user, action="survey.delete", target=survey, before={"name": name})
        survey.delete()
        individuals_resolve(population=population, detections=neighbours)
        transaction.on_commit(lambda: media_forget_survey(survey_id))


def _bequeath(individual: Individual, going: set[int], acting_user: User | None) -> None:
    """What people said of an individual passes to the one that stands for its remaining photos, if there is one."""
    left = individual.detections.exclude(pk__in=going).values("pk")
    successor = Individual.objects.filter(founder__in=left).order_by("number").first()
    if successor is None or not (individual.name or individual.declared or individual.notes):
        return
    before = {"name": successor.name, "declared": successor.declared, "notes": successor.notes}
    successor.name = successor.name or individual.name
    successor.declared = successor.declared or individual.declared
    successor.notes = "\n".join(part for part in (successor.notes, individual.notes) if part)
    successor.save(update_fields=["name", "declared", "notes"])
    audit_record(
        acting_user=acting_user,
        action="individual.succeed",
        target=successor,
        survey=successor.founder.image.survey,
        before=before,
        after={"name": successor.name, "declared": successor.declared, "notes": successor.notes, "of": individual.code},
    )


def _neighbours(detections: set[int]) -> list[int]:
    """Detections outside that match edges connect directly with these."""
    edges = MatchEdge.objects.filter(verdict=Verdict.MATCH)
    ends = set(edges.filter(a__in=detections).values_list("b_id", flat=True))
    ends |= set(edges.filter(b__in=detections).values_list("a_id", flat=True))
    return sorted(ends - detections)


@transaction.atomic
def population_describe(*, population: Population, species: str, code_prefix: str) -> None:
    """Say which species a population is, and how its individuals' codes begin.

    Boxes that are called another species than it take no part from here on; those that the former name put aside do.
    """
    population = population_lock(population.pk)
    former, population.species, population.code_prefix = population.species, species, code_prefix
    population.save(update_fields=["species", "code_prefix"])
    triage_species_changed(population=population, formerly=former)

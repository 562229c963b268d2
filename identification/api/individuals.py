"""Individuals: the catalogue, one animal, its photos and history, and what people correct about it."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from rest_framework import serializers as s
from rest_framework.exceptions import ValidationError

from .. import permissions
from ..models import AgeClass, Flank, Individual, Sex
from ..permissions import Action
from ..selectors.captures import captures_coarse, surveys_placed
from ..selectors.consequences import pairs_shown
from ..selectors.curation import animals_found, animals_likely, animals_shown
from ..selectors.individual_history import history_lines
from ..selectors.individual_page import animal_seen
from ..selectors.individual_visits import visits_of, visits_shown
from ..selectors.individuals import (
    FLANKS_SEEN,
    ORDERS,
    contradictory_among,
    individual_cards,
    individuals_listed,
    retired_found,
    successors_of,
)
from ..services.catalogue import individual_describe, individual_note
from ..services.identity import individual_affirm
from ..services.individuals import individual_rename, individual_undeclare, population_lock
from ..services.places import captures_reveal
from ..views.access import curated_of, individual_of, may_everywhere, may_undeclare
from .base import ApiView, operation
from .finding import boxes_seen, population_of
from .paging import Page, PageQuery, by_id, by_place
from .shapes import BoxOut, IndividualOut, PairOut, SurveyRef, id_field

_SEXES = [*filter(None, Sex.values), "unknown"]
_AGES = [*filter(None, AgeClass.values), "unknown"]


class IndividualQuery(PageQuery):
    population = id_field(required=False)
    survey = id_field(required=False)
    q = s.CharField(max_length=120, required=False, allow_blank=True, help_text="Name or code.")
    sex = s.ChoiceField(choices=_SEXES, required=False)
    age_class = s.ChoiceField(choices=_AGES, required=False)
    flanks = s.ChoiceField(choices=list(FLANKS_SEEN), required=False)
    order = s.ChoiceField(choices=list(ORDERS), default="code")


class CardOut(s.Serializer):
    """Counts and days are of photos that you may see."""

    individual = IndividualOut()
    photos = s.IntegerField()
    surveys = s.IntegerField()
    first = s.DateTimeField(allow_null=True)
    last = s.DateTimeField(allow_null=True)
    best = s.IntegerField(source="best.pk", default=None, allow_null=True, help_text="A box that shows it well.")
    contradictory = s.SerializerMethodField()

    def get_contradictory(self, row: Any) -> bool:
        return row.individual.pk in row.torn


class Individuals(ApiView):
    @operation("The catalogue", out=CardOut, paged=True, query=IndividualQuery)
    def get(self, request: Any) -> Page:
        query = self.asked()
        population, survey = query.get("population"), query.get("survey")
        home = population_of(self.user, population) if population else None
        place = get_object_or_404(permissions.surveys_for(self.user), pk=survey) if survey else None
        named = {name: query.get(name, "") for name in ("sex", "age_class", "flanks", "order")}
        found = individuals_listed(user=self.user, population=home, survey=place, search=query.get("q", ""), **named)
        page = by_place(found, query)
        rows = list(page.rows)
        cards = individual_cards(user=self.user, individuals=rows)
        torn = contradictory_among(user=self.user, individuals=rows)
        for card in cards:
            card.torn = torn  # type: ignore[attr-defined]
        return Page(cards, page.after)


class RetiredQuery(s.Serializer):
    q = s.CharField(max_length=120)


class Retired(ApiView):
    @operation("Retired codes and names that answer to a search", out=IndividualOut, many=True, query=RetiredQuery)
    def get(self, request: Any) -> Any:
        return retired_found(user=self.user, search=self.asked()["q"])


class IndividualDetail(IndividualOut):
    photos = s.IntegerField()
    first = s.DateTimeField(allow_null=True)
    last = s.DateTimeField(allow_null=True)
    surveys = SurveyRef(many=True)
    contradictory = s.BooleanField()
    may_curate = s.BooleanField()
    may_propose = s.BooleanField(help_text="A merge, which a curator then settles.")
    may_undeclare = s.BooleanField()
    may_see_places = s.BooleanField()
    notes = s.CharField(allow_blank=True, allow_null=True, help_text="null for those who may not change them.")
    became = s.ListField(child=s.IntegerField(), help_text="Of a retired one: what it became, as far as you see it.")


class IndividualIn(s.Serializer):
    name = s.CharField(max_length=120, required=False, allow_blank=True)
    sex = s.ChoiceField(choices=Sex.values, required=False, allow_blank=True)
    age_class = s.ChoiceField(choices=AgeClass.values, required=False, allow_blank=True)
    notes = s.CharField(max_length=20_000, required=False, allow_blank=True)

    def validate(self, said: dict[str, Any]) -> dict[str, Any]:
        if not said:
            raise ValidationError("Say a name, a sex, an age class or notes.")
        return said


def _detail(view: ApiView, individual: Individual) -> dict[str, Any]:
    user, request = view.user, view.request
    seen_of = animal_seen(user=user, individual=individual)
    named = ("pk", "code", "name", "population_id", "sex", "age_class", "declared", "retired")
    seen = permissions.individuals_for(user)
    became = successors_of(individual) if individual.retired else []
    curates = not individual.retired and may_everywhere(request, individual, Action.CURATE)
    decides = not individual.retired and may_everywhere(request, individual, Action.DECIDE)
    return {
        **{name: getattr(individual, name) for name in named},
        **{name: getattr(seen_of, name) for name in ("photos", "first", "last", "surveys")},
        "contradictory": bool(contradictory_among(user=user, individuals=[individual])),
        "may_curate": curates,
        "may_propose": decides and not curates,
        "may_undeclare": individual.declared and may_undeclare(request, individual),
        "may_see_places": bool(surveys_placed(user=user, individual=individual)),
        "notes": individual.notes if curates else None,
        "became": [row.pk for row in became if seen.filter(pk=row.pk).exists()],
    }


class OneIndividual(ApiView):
    @operation("One animal", out=IndividualDetail)
    def get(self, request: Any, individual_id: int) -> dict[str, Any]:
        return _detail(self, individual_of(request, individual_id))

    @operation(
        "Name an animal, say its sex and age, or write notes", out=IndividualDetail, body=IndividualIn, matched=True
    )
    def patch(self, request: Any, individual_id: int) -> dict[str, Any]:
        """For curators of every survey that it was seen in."""
        individual = curated_of(request, individual_id)
        said = self.said()
        with transaction.atomic():
            population_lock(individual.population_id)
            individual = curated_of(request, individual_id)
            self.match(IndividualDetail, _detail(self, individual))
            if "name" in said:
                individual = individual_rename(acting_user=self.user, individual=individual, name=said["name"])
            if {"sex", "age_class"} & said.keys():
                traits = {name: said.get(name) for name in ("sex", "age_class")}
                individual = individual_describe(acting_user=self.user, individual=individual, **traits)
            if "notes" in said:
                individual_note(acting_user=self.user, individual=individual, notes=said["notes"])
        return _detail(self, individual_of(request, individual_id))


class BoxesQuery(PageQuery):
    flank = s.ChoiceField(choices=Flank.values, required=False)


class IndividualBoxes(ApiView):
    @operation("Boxes that show an animal", out=BoxOut, paged=True, query=BoxesQuery)
    def get(self, request: Any, individual_id: int) -> Page:
        individual = individual_of(request, individual_id)
        query = self.asked()
        rows = boxes_seen(self.user).filter(individual=individual)
        return by_id(rows.filter(flank=query["flank"]) if "flank" in query else rows, query)


class VisitOut(s.Serializer):
    survey = SurveyRef()
    station = s.CharField(allow_blank=True)
    first = s.DateTimeField(allow_null=True)
    last = s.DateTimeField(allow_null=True)
    photos = s.IntegerField()
    flanks = s.ListField(child=s.CharField())


class IndividualVisits(ApiView):
    @operation("When an animal was seen", out=VisitOut, paged=True, query=PageQuery)
    def get(self, request: Any, individual_id: int) -> Page:
        seen = animal_seen(user=self.user, individual=individual_of(request, individual_id))
        page = by_place(visits_of(seen.boxes), self.asked())
        return Page(visits_shown(page.rows, among=seen.surveys), page.after)


class IndividualMatches(ApiView):
    @operation("The matches that hold an animal together", out=PairOut, paged=True, query=PageQuery)
    def get(self, request: Any, individual_id: int) -> Page:
        """Those among photos whose candidates you may see."""
        seen = animal_seen(user=self.user, individual=individual_of(request, individual_id))
        page = by_place(seen.matches, self.asked())
        return Page(pairs_shown(user=self.user, pairs=page.rows), page.after)


class HistoryOut(s.Serializer):
    when = s.DateTimeField()
    who = s.CharField(allow_blank=True)
    what = s.CharField()
    decision = s.IntegerField(allow_null=True, help_text="That can be taken back.")


class IndividualHistory(ApiView):
    @operation("What was done to an animal, the last first", out=HistoryOut, paged=True, query=PageQuery)
    def get(self, request: Any, individual_id: int) -> Page:
        """A page may have fewer than `limit`: what was said in one step is one."""
        individual = individual_of(request, individual_id)
        page = by_place(animal_seen(user=self.user, individual=individual).history(individual), self.asked())
        return Page(history_lines(page.rows), page.after)


class IndividualDeclare(ApiView):
    @operation("Declare an animal that stands", out=IndividualOut)
    def post(self, request: Any, individual_id: int) -> Individual:
        """It stays one even when all its matches are taken back. For curators of every survey that it was seen in."""
        individual = curated_of(request, individual_id)
        individual_affirm(acting_user=self.user, individual=individual)
        return individual


class IndividualUndeclare(ApiView):
    @operation("Take a declaration back", out=IndividualOut)
    def post(self, request: Any, individual_id: int) -> Individual:
        """Its matches, if any, stay."""
        individual = individual_of(request, individual_id)
        if not may_undeclare(request, individual):
            raise PermissionDenied(gettext("This declaration is somebody else's; a curator can take it back."))
        individual_undeclare(acting_user=self.user, individual=individual)
        individual.refresh_from_db()
        return individual


class CaptureOut(s.Serializer):
    survey = SurveyRef()
    station = s.CharField(source="code")
    latitude = s.FloatField()
    longitude = s.FloatField()
    visits = s.IntegerField()
    photos = s.IntegerField()


class CapturesOut(s.Serializer):
    stations = CaptureOut(many=True)
    left_out = s.IntegerField()


class CellOut(s.Serializer):
    """A cell of a survey's grid in which cameras stand; its place is its middle. visits, photos: of the animal; 0 where
    it was not seen."""

    survey = SurveyRef()
    cell = s.CharField(source="code")
    latitude = s.FloatField()
    longitude = s.FloatField()
    visits = s.IntegerField()
    photos = s.IntegerField()


class CellsOut(s.Serializer):
    cells = CellOut(many=True, source="stations")
    left_out = s.IntegerField(help_text="Photos without a place.")


class IndividualPlaces(ApiView):
    @operation("Where an animal was seen, in cells of the grid", out=CellsOut)
    def get(self, request: Any, individual_id: int) -> Any:
        """For everybody who sees the animal."""
        return captures_coarse(user=self.user, individual=individual_of(request, individual_id))

    @operation("Where an animal was seen", out=CapturesOut, keyed=False)
    def post(self, request: Any, individual_id: int) -> Any:
        """Exact places, for those who were granted them. Looking is written to the audit log: so it is no GET."""
        individual = individual_of(request, individual_id)
        if not surveys_placed(user=self.user, individual=individual):
            raise PermissionDenied(gettext("Places are for those who were granted them."))
        return captures_reveal(acting_user=self.user, individual=individual)


class LikelyQuery(PageQuery):
    q = s.CharField(max_length=120, required=False, allow_blank=True, help_text="Name or code; else the likeliest.")


class LikelyAnimalOut(s.Serializer):
    individual = IndividualOut(source="card.individual")
    photos = s.IntegerField(source="card.photos")
    probability = s.FloatField(allow_null=True)


class IndividualLikely(ApiView):
    @operation("Animals that this one may be the same as", out=LikelyAnimalOut, paged=True, query=LikelyQuery)
    def get(self, request: Any, individual_id: int) -> Page:
        individual = curated_of(request, individual_id, Action.DECIDE)
        query = self.asked()
        if search := query.get("q", "").strip():
            page = by_place(animals_found(user=self.user, individual=individual, search=search), query)
            return Page(animals_shown(user=self.user, individuals=page.rows), page.after)
        return by_place(animals_likely(user=self.user, individual=individual), query)

"""Populations and surveys: what there is, how far the work is, and what is set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.db import transaction
from django.utils.translation import gettext
from rest_framework import serializers as s

from .. import permissions
from ..errors import SpotIDError
from ..models import Population, Survey
from ..permissions import Action
from ..selectors.coming import photos_coming
from ..selectors.review_questions import survey_completeness
from ..selectors.surveys import (
    failed_images,
    failure_reasons,
    skipped_files,
    survey_cards,
    survey_dashboard,
    survey_progress,
    surveys_listed,
)
from ..sentences import stored_words
from ..services.catalogue import population_update, survey_update
from ..services.matching import matching_request
from ..services.opinions import survey_checks_set
from ..services.queue import work_enqueue, work_requeue
from ..services.review import survey_goal_set
from ..services.surveys import survey_delete, survey_get_or_create
from ..views.access import survey_of
from .base import ApiView, operation
from .finding import administrator, population_of
from .paging import Page, PageQuery, by_id, by_place
from .shapes import CountOut, PopulationRef


class PopulationOut(s.Serializer):
    id = s.IntegerField(source="pk")
    name = s.CharField()
    species = s.CharField(allow_blank=True)
    code_prefix = s.CharField(allow_blank=True)


class PopulationIn(s.Serializer):
    name = s.CharField(max_length=200, required=False)
    species = s.CharField(max_length=200, required=False, allow_blank=True)
    code_prefix = s.CharField(max_length=12, required=False)


class Populations(ApiView):
    @operation("Populations with a survey of yours", out=PopulationOut, paged=True, query=PageQuery)
    def get(self, request: Any) -> Page:
        return by_id(permissions.populations_for(self.user), self.asked())


class OnePopulation(ApiView):
    @operation("One population", out=PopulationOut)
    def get(self, request: Any, population_id: int) -> Population:
        return population_of(self.user, population_id)

    @operation("Correct name, species or prefix", out=PopulationOut, body=PopulationIn, matched=True)
    def patch(self, request: Any, population_id: int) -> Population:
        """For administrators. Codes of individuals follow the prefix, their numbers stay."""
        population = population_of(self.user, population_id)
        administrator(self.user)
        said = self.said()
        with transaction.atomic():
            population = Population.objects.select_for_update(no_key=True).get(pk=population.pk)
            self.match(PopulationOut, population)
            population_update(acting_user=self.user, population=population, **said)
        population.refresh_from_db()
        return population


class SurveyOut(s.Serializer):
    id = s.IntegerField(source="survey.pk")
    name = s.CharField(source="survey.name")
    population = PopulationRef(source="survey.population")
    photos = s.IntegerField(source="photos.total")
    photos_through = s.IntegerField(source="photos.through")
    animals = s.IntegerField(help_text="Usable boxes of animals.")
    identified = s.IntegerField(help_text="Of these with an individual.")
    individuals = s.IntegerField()
    decisions = s.IntegerField()
    may_decide = s.BooleanField()
    matching = s.ChoiceField(choices=Survey.Matching.values, source="survey.matching_state")


class NameField(s.CharField):
    """A name, never a number: the id of a population would become the name of a new one."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class SurveyMake(s.Serializer):
    name = s.CharField(max_length=200)
    population = NameField(
        max_length=200, required=False, default="", allow_blank=True, help_text="By its name; new ones are made."
    )
    time_zone = s.CharField(max_length=64, required=False, default="", allow_blank=True)
    crops_only = s.BooleanField(default=False)


class SurveySettings(s.Serializer):
    id = s.IntegerField(source="pk")
    name = s.CharField()
    population = PopulationRef()
    time_zone = s.CharField()
    independence_minutes = s.IntegerField()
    crops_only = s.BooleanField()
    completeness_goal = s.FloatField()
    second_review_share = s.FloatField()
    known_pairs_share = s.FloatField()
    place_grid = s.FloatField(help_text="Width in degrees of the cells in which places are shown to most.")


class SurveySet(s.Serializer):
    """name, time_zone and independence_minutes are for administrators, the shares for curators."""

    name = s.CharField(max_length=200, required=False)
    time_zone = s.CharField(max_length=64, required=False)
    independence_minutes = s.IntegerField(min_value=1, max_value=1440, required=False)
    completeness_goal = s.FloatField(min_value=0.5, max_value=1, required=False)
    second_review_share = s.FloatField(min_value=0, max_value=1, required=False)
    known_pairs_share = s.FloatField(min_value=0, max_value=0.5, required=False)


class SurveysQuery(PageQuery):
    q = s.CharField(max_length=200, required=False, allow_blank=True, help_text="Part of a name or of the species.")


class Surveys(ApiView):
    @operation("Your surveys", out=SurveyOut, paged=True, query=SurveysQuery)
    def get(self, request: Any) -> Page:
        query = self.asked()
        page = by_place(surveys_listed(self.user, search=query.get("q", "")), query)
        return Page(survey_cards(self.user, page.rows), page.after)

    @operation("Make a survey", out=SurveySettings, body=SurveyMake, status=201)
    def post(self, request: Any) -> Survey:
        """For administrators. Its population is made with it unless there is one of that name."""
        administrator(self.user)
        said = self.said()
        if Survey.objects.filter(name__iexact=said["name"].strip()).exists():
            raise SpotIDError(gettext("There is a survey of this name already."))
        return survey_get_or_create(acting_user=self.user, **said)


class PhotosByState(s.Serializer):
    total = s.IntegerField()
    done = s.IntegerField()
    failed = s.IntegerField()
    running = s.IntegerField()
    waiting = s.IntegerField()


class CompletenessOut(s.Serializer):
    """How much of the true matches is found, 0…1, with an 80 % interval. Nothing is said while it is too early."""

    early = s.BooleanField()
    share = s.FloatField()
    low = s.FloatField()
    high = s.FloatField()
    goal = s.FloatField()
    reached = s.BooleanField()
    questions = s.IntegerField(allow_null=True)
    answers = s.IntegerField()


class StationPhotos(s.Serializer):
    id = s.IntegerField(source="pk")
    code = s.CharField(source="label")
    cameras = s.IntegerField()
    photos = s.IntegerField()
    first = s.DateTimeField(allow_null=True)
    last = s.DateTimeField(allow_null=True)


class EngineOut(s.Serializer):
    """What did a part of the work, on how many photos or crops. note: for those who ingest."""

    part = s.CharField()
    name = s.CharField()
    number = s.IntegerField()
    note = s.CharField(allow_blank=True)


class EncodingModelOut(s.Serializer):
    name = s.CharField()
    trained = s.BooleanField()


class IngestRunOut(s.Serializer):
    started_at = s.DateTimeField()
    finished_at = s.DateTimeField(allow_null=True)
    read = s.IntegerField()
    new = s.IntegerField()
    known = s.IntegerField()
    skipped = s.IntegerField()


class SurveyDetail(s.Serializer):
    settings = SurveySettings()
    may = s.ListField(child=s.CharField(), help_text="Actions that you may take here.")
    photos = PhotosByState()
    with_animals = s.IntegerField()
    empty = s.IntegerField()
    people = s.IntegerField(allow_null=True, help_text="null for those who may not see people.")
    animals = s.IntegerField()
    identified = s.IntegerField()
    individuals = s.IntegerField()
    unknown_time = s.IntegerField()
    first = s.DateTimeField(allow_null=True)
    last = s.DateTimeField(allow_null=True)
    matching = s.ChoiceField(choices=Survey.Matching.values)
    matching_error = s.CharField(allow_blank=True)
    unseen = s.IntegerField(help_text="Photos kept from you because nothing has looked at them yet.")
    species = s.DictField(child=s.IntegerField(), help_text="Boxes by what was said of them; for those who decide.")
    stations = StationPhotos(many=True)
    engines = EngineOut(many=True)
    model = EncodingModelOut(allow_null=True, help_text="The network that coats are encoded with.")
    ingested = IngestRunOut(many=True, help_text="The last runs of ingest.")
    review = CompletenessOut(allow_null=True, help_text="For those who decide.")


class OneSurvey(ApiView):
    @operation("One survey: settings, counts, and what you may do", out=SurveyDetail)
    def get(self, request: Any, survey_id: int) -> dict[str, Any]:
        survey = survey_of(request, survey_id)
        board = survey_dashboard(user=self.user, survey=survey)
        may = [action.value for action in Action if permissions.may(self.user, action, survey)]
        decides = Action.DECIDE.value in may
        named = (
            *("with_animals", "empty", "people", "unseen", "animals", "identified", "individuals", "unknown_time"),
            *("stations", "model"),
        )
        noted = Action.INGEST.value in may
        return {
            "settings": survey,
            "may": may,
            "photos": board.photos,
            "first": board.span[0],
            "last": board.span[1],
            "matching": survey.matching_state,
            "matching_error": stored_words(survey.matching_error),
            "species": board.species if decides else {},
            "engines": [replace(row, note=stored_words(row.note) if noted else "") for row in board.engines],
            "ingested": board.reports,
            "review": survey_completeness(user=self.user, survey=survey) if decides else None,
            **{name: getattr(board, name) for name in named},
        }

    @operation("Change settings", out=SurveySettings, body=SurveySet, matched=True)
    def patch(self, request: Any, survey_id: int) -> Survey:
        """`If-Match` names the tag of `settings/`, not that of this address."""
        survey = survey_of(request, survey_id, Action.CURATE)
        said = self.said()
        facts = {name: said.pop(name) for name in ("name", "time_zone", "independence_minutes") if name in said}
        if facts:
            administrator(self.user)
        with transaction.atomic():
            survey = (
                Survey.objects.select_for_update(of=("self",), no_key=True)
                .select_related("population")
                .get(pk=survey.pk)
            )
            self.match(SurveySettings, survey)
            if facts:
                survey_update(acting_user=self.user, survey=survey, **facts)
            if "completeness_goal" in said:
                survey_goal_set(acting_user=self.user, survey=survey, goal=said["completeness_goal"])
            if {"second_review_share", "known_pairs_share"} & said.keys():
                second = said.get("second_review_share", survey.second_review_share)
                known = said.get("known_pairs_share", survey.known_pairs_share)
                survey_checks_set(acting_user=self.user, survey=survey, second=second, known=known)
        return Survey.objects.select_related("population").get(pk=survey.pk)

    @operation("Delete a survey")
    def delete(self, request: Any, survey_id: int) -> None:
        """For administrators. Photos' rows, decisions and crops go; the photo files are never touched."""
        survey = survey_of(request, survey_id)
        administrator(self.user)
        survey_delete(acting_user=self.user, survey=survey)


class Settings(ApiView):
    @operation("The settings of a survey", out=SurveySettings)
    def get(self, request: Any, survey_id: int) -> Survey:
        return survey_of(request, survey_id)


class StageOut(s.Serializer):
    label = s.CharField()
    waiting = s.IntegerField()
    running = s.IntegerField()
    failed = s.IntegerField()
    through = s.IntegerField()


class FailureOut(s.Serializer):
    stage = s.CharField()
    code = s.CharField(allow_blank=True)
    example = s.CharField(allow_blank=True)
    number = s.IntegerField()


class ProgressOut(s.Serializer):
    finished = s.BooleanField(help_text="Nothing is going on that a reader would wait for.")
    coming = s.BooleanField(help_text="Photos are on their way that have no rows yet.")
    photos = PhotosByState()
    stages = StageOut(many=True)
    worker = s.CharField()
    matching = s.ChoiceField(choices=Survey.Matching.values, source="survey.matching_state")
    matched = s.FloatField(help_text="0…1")
    reasons = FailureOut(many=True, help_text="Why photos failed, as far as you may see them.")


class Progress(ApiView):
    @operation("How far the work is", out=ProgressOut)
    def get(self, request: Any, survey_id: int) -> dict[str, Any]:
        survey = survey_of(request, survey_id)
        now = survey_progress(survey)
        coming = now.photos.total == 0 and photos_coming(survey) is not None
        named = ("photos", "stages", "worker", "survey", "matched")
        said = {name: getattr(now, name) for name in named}
        reasons = failure_reasons(self.user, survey) if now.photos.failed else []
        return said | {"finished": now.finished and not coming, "coming": coming, "reasons": reasons}


class Matching(ApiView):
    @operation("Match the photos again", out=ProgressOut, status=202)
    def post(self, request: Any, survey_id: int) -> dict[str, Any]:
        """Decisions stay as they are."""
        survey = survey_of(request, survey_id, Action.INGEST)
        matching_request(survey=survey, acting_user=self.user)
        survey.refresh_from_db()
        now = survey_progress(survey)
        named = ("finished", "photos", "stages", "worker", "survey", "matched")
        return {name: getattr(now, name) for name in named} | {"coming": False, "reasons": []}


class Processing(ApiView):
    @operation("Wake the workers for photos that wait", out=CountOut, status=202)
    def post(self, request: Any, survey_id: int) -> dict[str, int]:
        """They come by themselves, too. It answers how many photos were put on the queue."""
        return {"count": work_enqueue(survey=survey_of(request, survey_id, Action.INGEST))}


class Retries(ApiView):
    @operation("Process every failed photo again", out=CountOut, status=202)
    def post(self, request: Any, survey_id: int) -> dict[str, int]:
        survey = survey_of(request, survey_id, Action.INGEST)
        failed = failed_images(user=self.user, survey=survey)
        return {"count": work_requeue(images=failed, acting_user=self.user)}


class SkippedOut(s.Serializer):
    path = s.CharField(source="relative_path")
    code = s.CharField()
    reason = s.CharField()
    report = s.IntegerField(source="report_id")


class Skipped(ApiView):
    @operation("Files that ingest left out", out=SkippedOut, paged=True, query=PageQuery)
    def get(self, request: Any, survey_id: int) -> Page:
        """Their paths are for those who ingest."""
        survey = survey_of(request, survey_id, Action.INGEST)
        return by_place(skipped_files(survey), self.asked())

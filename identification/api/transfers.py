"""Data in and data out: imports of other tools' files, and exports."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import FileResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers as s
from rest_framework.parsers import MultiPartParser
from rest_framework.renderers import BaseRenderer

from .. import permissions
from ..exports.options import MOST_DAYS, ExportOptions, Files, Format
from ..exports.requests import export_fetch, export_request, exports_for, exports_shown
from ..imports.reading import Kind
from ..imports.registry import KINDS
from ..models import ExportRun, ImportIssue, ImportRun, Population, Survey
from ..permissions import Action
from ..selectors.imports import imports_of, imports_shown, kinds_offered
from ..sentences import stored_words
from ..services import imports
from ..views.access import survey_of
from .base import AnyNegotiation, ApiView, operation
from .finding import population_of
from .paging import Page, PageQuery, by_id
from .problems import TooLarge
from .shapes import AccountRef

_ORDERS = ("ymd", "dmy", "mdy")


class CountedOut(s.Serializer):
    number = s.IntegerField()
    words = s.CharField()


class ImportOut(s.Serializer):
    """A dry run, or the run that repeats it. `rehearsal` names its dry run, `later` the run that followed."""

    id = s.IntegerField(source="run.pk")
    survey = s.IntegerField(source="run.survey_id")
    kind = s.CharField(source="run.kind")
    dry_run = s.BooleanField(source="run.dry_run")
    rehearsal = s.IntegerField(source="run.rehearsal_id", allow_null=True)
    later = s.IntegerField(source="later.pk", default=None, allow_null=True)
    state = s.ChoiceField(choices=ImportRun.State.values, source="run.state")
    done = s.IntegerField(source="run.done")
    total = s.IntegerField(source="run.total")
    error = s.CharField(source="run.error", allow_blank=True)
    file_name = s.CharField(source="run.file_name", allow_blank=True)
    counts = CountedOut(many=True)
    notes = s.ListField(child=s.CharField(), source="run.notes")
    issues = s.IntegerField()
    may_import = s.BooleanField(help_text="It is through, and would add something.")
    requested_by = AccountRef(source="run.requested_by", allow_null=True)
    created_at = s.DateTimeField(source="run.created_at")
    finished_at = s.DateTimeField(source="run.finished_at", allow_null=True)


class KindQuestionOut(s.Serializer):
    """Something that only this kind asks; it is sent under its name. yes: answered with `yes`, or not at all."""

    name = s.CharField()
    question = s.CharField()
    yes = s.BooleanField()


class KindOut(s.Serializer):
    """of_photos: it reads the photos that are here, and needs no file. accepts: endings; folders are zipped."""

    code = s.CharField()
    title = s.CharField()
    help = s.CharField(allow_blank=True)
    accepts = s.ListField(child=s.CharField())
    of_photos = s.BooleanField()
    fields_of_its_own = KindQuestionOut(many=True)


class ImportKinds(ApiView):
    @operation("Kinds of files that can be brought", out=KindOut, many=True)
    def get(self, request: Any) -> list[dict[str, Any]]:
        return [_kind(one) for one in kinds_offered()]


def _kind(one: Kind) -> dict[str, Any]:
    asked = [{"name": name, "question": gettext(words), "yes": name in one.yes} for name, words in one.fields]
    named = {name: getattr(one, name) for name in ("code", "accepts", "of_photos")}
    said = {"title": gettext(one.title), "help": gettext(one.help) if one.help else ""}
    return {**named, **said, "fields_of_its_own": asked}


class ImportIn(s.Serializer):
    kind = s.ChoiceField(choices=["", *KINDS], default="", allow_blank=True, help_text="Empty: told by the file.")
    threshold = s.FloatField(min_value=0, max_value=1, required=False)
    date_order = s.ChoiceField(choices=_ORDERS, required=False)
    file = s.FileField(required=False, allow_empty_file=True)


def _shown(survey: Survey, run: int) -> Any:
    return imports_shown(survey.import_runs.filter(pk=run))[0]


class Imports(ApiView):
    parser_classes = [MultiPartParser]

    @operation("Dry runs and imports, the last first", out=ImportOut, paged=True, query=PageQuery)
    def get(self, request: Any, survey_id: int) -> Page:
        """Without dry runs that were followed by their import."""
        page = by_id(imports_of(survey_of(request, survey_id, Action.INGEST)), self.asked(), newest=True)
        return Page(imports_shown(page.rows), page.after)

    @extend_schema(request={"multipart/form-data": ImportIn})
    @operation("Send a file and ask for its dry run", out=ImportOut, body=ImportIn, status=202)
    def post(self, request: Any, survey_id: int) -> Any:
        """A worker looks what it would add. Fields of the kind's own are taken under their names."""
        survey = survey_of(request, survey_id, Action.INGEST)
        said = self.said()
        sent = said.get("file")
        if sent is not None and (sent.size or 0) > settings.SPOTID_IMPORT_MB << 20:
            raise TooLarge
        options = {name: said[name] for name in ("threshold", "date_order") if name in said}
        kind = KINDS.get(said["kind"])
        for name, _ in kind.fields if kind is not None else ():
            value = str(request.data.get(name, "")).strip()
            if value and "\x00" not in value:
                options[name] = value[:500]
        run = imports.import_request(
            survey=survey,
            acting_user=self.user,
            kind_code=said["kind"],
            name=(sent.name or "") if sent is not None else "",
            chunks=sent.chunks() if sent is not None else None,
            options=options,
        )
        return _shown(survey, run.pk)


class _OfImport(ApiView):
    def run_of(self, run_id: int) -> ImportRun:
        seen = permissions.surveys_for(self.user)
        run = get_object_or_404(ImportRun.objects.filter(survey__in=seen).select_related("survey"), pk=run_id)
        permissions.require(self.user, Action.INGEST, run.survey)
        return run


class OneImport(_OfImport):
    @operation("One dry run or import", out=ImportOut)
    def get(self, request: Any, run_id: int) -> Any:
        run = self.run_of(run_id)
        return _shown(run.survey, run.pk)

    @operation("Give a dry run up, and delete its file")
    def delete(self, request: Any, run_id: int) -> None:
        imports.import_discard(rehearsal=self.run_of(run_id), acting_user=self.user)


class ImportConfirm(_OfImport):
    @operation("Import what a dry run has shown", out=ImportOut, status=202)
    def post(self, request: Any, run_id: int) -> Any:
        """Asking twice gives the same run."""
        run = self.run_of(run_id)
        done = imports.import_confirm(rehearsal=run, acting_user=self.user)
        return _shown(run.survey, done.pk)


class IssueOut(s.Serializer):
    file = s.CharField(source="shown_file", allow_blank=True)
    row = s.IntegerField(allow_null=True)
    code = s.CharField()
    words = s.SerializerMethodField()
    detail = s.CharField(source="shown_detail", allow_blank=True)

    def get_words(self, row: Any) -> str:
        return stored_words(row.words)


class ImportIssues(_OfImport):
    @operation("What could not be used, row by row", out=IssueOut, paged=True, query=PageQuery)
    def get(self, request: Any, run_id: int) -> Page:
        return by_id(ImportIssue.objects.filter(run=self.run_of(run_id)).select_related("run"), self.asked())


class ExportOut(s.Serializer):
    id = s.IntegerField(source="pk")
    population = s.IntegerField(source="population_id")
    survey = s.IntegerField(source="survey_id", allow_null=True)
    state = s.ChoiceField(choices=ExportRun.State.values)
    formats = s.ListField(child=s.CharField())
    with_places = s.BooleanField()
    done = s.IntegerField()
    total = s.IntegerField()
    error = s.CharField(allow_blank=True)
    kept = s.BooleanField(source="file", help_text="Its file is there to be fetched.")
    size = s.IntegerField()
    sha256 = s.CharField(allow_blank=True)
    created_at = s.DateTimeField()
    finished_at = s.DateTimeField(allow_null=True)
    expires_at = s.DateTimeField(allow_null=True)


class ExportIn(s.Serializer):
    formats = s.ListField(child=s.ChoiceField(choices=[str(name) for name in Format]), min_length=1, max_length=20)
    with_places = s.BooleanField(default=False)
    occasion_days = s.IntegerField(min_value=1, max_value=MOST_DAYS, default=1)
    first = s.DateField(required=False, allow_null=True)
    last = s.DateField(required=False, allow_null=True)
    files = s.ChoiceField(choices=[str(name) for name in Files], default=str(Files.NONE))


class _Exports(ApiView):
    def asked_for(self, population: Population, survey: Survey | None) -> ExportRun:
        options = ExportOptions.from_json(self.said())
        if options.with_places and survey is not None:
            permissions.require(self.user, Action.EXPORT_PLACES, survey)
        return export_request(
            acting_user=self.user, population=population, survey=survey, options=options, at_once=False
        )


class SurveyExports(_Exports):
    @operation("Exports of a survey that you may fetch, the last first", out=ExportOut, paged=True, query=PageQuery)
    def get(self, request: Any, survey_id: int) -> Page:
        survey = survey_of(request, survey_id, Action.EXPORT)
        rows = exports_shown(user=self.user, population=survey.population, survey=survey)
        return by_id(rows, self.asked(), newest=True)

    @operation("Ask for an export of a survey", out=ExportOut, body=ExportIn, status=202)
    def post(self, request: Any, survey_id: int) -> ExportRun:
        """A worker writes it; `exports/<id>/` tells how far it is."""
        survey = survey_of(request, survey_id, Action.EXPORT)
        return self.asked_for(survey.population, survey)


class PopulationExports(_Exports):
    def population(self, population_id: int) -> Population:
        found = population_of(self.user, population_id)
        if not permissions.surveys_for(self.user, Action.EXPORT).filter(population=found).exists():
            raise PermissionDenied(gettext("You may not export a survey of this population."))
        return found

    @operation("Exports of a population that you may fetch, the last first", out=ExportOut, paged=True, query=PageQuery)
    def get(self, request: Any, population_id: int) -> Page:
        rows = exports_shown(user=self.user, population=self.population(population_id), survey=None)
        return by_id(rows, self.asked(), newest=True)

    @operation("Ask for an export of the surveys of a population", out=ExportOut, body=ExportIn, status=202)
    def post(self, request: Any, population_id: int) -> ExportRun:
        """Of all its surveys that you may export so."""
        return self.asked_for(self.population(population_id), None)


class OneExport(ApiView):
    @operation("One export", out=ExportOut)
    def get(self, request: Any, run_id: int) -> ExportRun:
        return get_object_or_404(exports_for(self.user), pk=run_id)


class ZipRenderer(BaseRenderer):
    media_type = "application/zip"
    format = "zip"
    render_style = "binary"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> Any:
        return data


class ExportFile(ApiView):
    renderer_classes = [ZipRenderer]
    content_negotiation_class = AnyNegotiation

    @extend_schema(responses={(200, "application/zip"): OpenApiTypes.BINARY}, summary="The file of an export")
    @operation("The file of an export", keyed=False)
    def post(self, request: Any, run_id: int) -> FileResponse:
        """For whoever still has the right in every survey in it. Written to the audit log: so it is no GET."""
        run = get_object_or_404(exports_for(self.user), pk=run_id)
        file = export_fetch(acting_user=self.user, run=run)
        return FileResponse(
            file.open("rb"), as_attachment=True, filename=f"spotid_{run.pk}.zip", content_type="application/zip"
        )

"""The export of a survey as a file to download, for pages and admin alike."""

from __future__ import annotations

from django.http import FileResponse, HttpResponseRedirect
from django.shortcuts import redirect

from ..exports import ExportOptions, survey_export_zip
from ..exports.requests import export_request, is_small
from ..models import Survey, User


def export_download(*, survey: Survey, user: User, with_places: bool) -> FileResponse | HttpResponseRedirect:
    """The ZIP, named after the survey; a large one is left to a worker, and the page of exports says how far it is.

    Raises SpotIDError when it cannot be written. The caller asks permissions.
    """
    options = ExportOptions(with_places=with_places)
    if not is_small([survey], options):
        population = survey.population
        export_request(acting_user=user, population=population, survey=survey, options=options, at_once=False)
        return redirect("survey-exports", survey.pk)
    archive = survey_export_zip(survey=survey, acting_user=user, with_places=with_places)
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in survey.name)[:80]
    return FileResponse(
        archive.open("rb"), as_attachment=True, filename=f"spotid_{name}.zip", content_type="application/zip"
    )

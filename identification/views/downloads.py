"""The export of a survey as a file to download, for pages and admin alike."""

from __future__ import annotations

from django.http import FileResponse

from ..exports import survey_export_zip
from ..models import Survey, User


def export_download(*, survey: Survey, user: User, with_places: bool) -> FileResponse:
    """The ZIP, named after the survey. Raises SpotIDError when it cannot be written. The caller asks permissions."""
    archive = survey_export_zip(survey=survey, acting_user=user, with_places=with_places)
    name = "".join(c if c.isalnum() or c in "-_" else "_" for c in survey.name)[:80]
    return FileResponse(
        archive.open("rb"), as_attachment=True, filename=f"spotid_{name}.zip", content_type="application/zip"
    )

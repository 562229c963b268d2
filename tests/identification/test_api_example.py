"""The example of docs/api.md, as it stands there: a program against a server, while workers do their part."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from identification.exports.requests import export_run
from identification.models import ApiToken, Decision, ExportRun, Image, Role, Survey
from identification.services.export_queue import exports_waiting
from identification.services.matching import matching_ready
from identification.services.matching_run import survey_match
from identification.services.processing import survey_process_inline
from identification.services.receiving import requests_waiting
from identification.services.receiving_run import ingest_request_run
from tests.identification import factories as make


def _work() -> None:
    """What workers do."""
    for request in requests_waiting():
        ingest_request_run(request_id=request)
    survey_process_inline(survey=None)
    for survey in Survey.objects.filter(images__isnull=False, matching_state="stale").distinct():
        if matching_ready(survey=survey):
            survey_match(survey_id=survey.pk)
    for run in exports_waiting():
        export_run(run_id=run)


@pytest.mark.django_db(transaction=True)
def test_the_example_ingests_waits_reads_decides_and_exports(
    live_server: Any, tiny_model: Any, settings: Any, tmp_path: Path
) -> None:
    settings.SPOTID_UPLOAD_DIR = tmp_path / "home" / "photos"
    survey = make.make_survey(name="Example season", crops_only=True)
    user = make.make_member(survey, Role.CURATOR)
    _, token = ApiToken.objects.create(user=user, name="example")
    photos = tmp_path / "season"
    for coat in range(2):
        for view in range(3):
            file = photos / f"S{view}" / f"{coat}{view}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(make.jpeg(make.coat_pixels(coat, view)[0]))
    text = (Path(django_settings.BASE_DIR) / "docs" / "api.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(program, encoding="utf-8")
    said = {"SPOTID_URL": live_server.url, "SPOTID_TOKEN": token, "PHOTOS": str(photos), "SURVEY": survey.name}
    with (tmp_path / "log").open("w+") as log:
        running = subprocess.Popen(
            [sys.executable, "-W", "error", script], cwd=tmp_path, env=os.environ | said, stdout=log, stderr=log
        )
        end = time.monotonic() + 150
        while running.poll() is None and time.monotonic() < end:
            _work()
            time.sleep(0.2)
        running.kill()
        assert running.wait() == 0, (tmp_path / "log").read_text()
    assert Image.objects.filter(survey=survey).count() == 6
    assert Decision.objects.count() > 0
    assert zipfile.ZipFile(tmp_path / "spotid.zip").testzip() is None
    assert ExportRun.objects.get().sha256 in (tmp_path / "log").read_text()

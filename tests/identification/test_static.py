"""Scripts, styles and pictures of the pages themselves."""

from __future__ import annotations

import pytest
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", ["spotid/js/keys.js", "spotid/css/base.css", "django_htmx/htmx-2.min.js"])
def test_a_browser_asks_each_time_whether_a_file_is_still_the_same(name: str) -> None:
    """Names carry no version: whoever keeps one without asking mixes two versions of SpotID after an update."""
    first = Client().get(f"/static/{name}")
    first.close()
    assert first.status_code == 200 and first["Cache-Control"] == "max-age=0, public"
    again = Client().get(f"/static/{name}", headers={"If-None-Match": first["ETag"]})
    assert again.status_code == 304

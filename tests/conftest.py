"""Fixtures that every package's tests share."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from django.db.backends.signals import connection_created
from django.dispatch import receiver

# Machines that test are slow and busy: an example that takes long says nothing. Which examples are tried is the same
# in every run; `--hypothesis-profile explore` tries others (decision 55).
hypothesis.settings.register_profile("spotid", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("spotid")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("cluster"):
            # Decision 50: once more, and said in the summary.
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real photos, which are not ours to publish."""
    folder = Path(os.environ.get("SPOTID_SHARED_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "README.md").is_file():
        pytest.skip(f"the real photos are not at {folder}; set SPOTID_SHARED_DATA to their folder")
    return folder


@pytest.fixture
def media_root(settings, tmp_path_factory: pytest.TempPathFactory) -> Path:  # type: ignore[no-untyped-def]
    """A media folder of the test's own, which the factories write to."""
    folder = tmp_path_factory.mktemp("media")
    settings.MEDIA_ROOT = folder
    settings.MEDIA_IS_OF_A_TEST = True
    return folder


@pytest.fixture(autouse=True)
def one_language() -> Iterator[None]:
    """Every test begins in English: what a request in Spanish switched on stays on in its thread."""
    yield
    from django.utils import translation

    translation.deactivate()


@pytest.fixture(autouse=True)
def files_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close what was to be downloaded: servers do, the test client only where a test has read the whole of it."""
    from django.http import FileResponse

    made: list[Any] = []
    given = FileResponse.__init__

    def kept(response: Any, *args: Any, **options: Any) -> None:
        given(response, *args, **options)
        made.append(response.file_to_stream)

    monkeypatch.setattr(FileResponse, "__init__", kept)
    yield
    for file in made:
        if file is not None:
            file.close()


@receiver(connection_created)
def _may_empty_tables(connection: Any, **_rest: Any) -> None:
    """Tables are emptied after a test that commits; logs refuse that unless it is asked for by name."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('spotid.empty', 'on', false)")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker) -> Iterator[None]:  # type: ignore[no-untyped-def]
    """Give the database back although a killed worker's session has not ended yet.

    PostgreSQL notices that a killed process is gone only when it next talks to it, and
    drops no database that somebody is in.
    """
    yield
    from django.db import connection

    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

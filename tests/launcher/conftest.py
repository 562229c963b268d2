"""The small projects that the launcher's tests drive."""

from collections.abc import Iterator

import pytest

from tests.launcher.launcher_project import Project, project_made


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    """One project for a whole file; its path has a space and a letter that is not ASCII."""
    with project_made() as made:
        yield made


@pytest.fixture
def fresh_project() -> Iterator[Project]:
    with project_made() as made:
        yield made

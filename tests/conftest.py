"""Fixtures that every package's tests share."""

import os
from pathlib import Path

import hypothesis
import pytest

# Machines that test are slow and busy: an example that takes long says nothing.
hypothesis.settings.register_profile("spotid", deadline=None)
hypothesis.settings.load_profile("spotid")

ROOT = Path(__file__).resolve().parent.parent


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

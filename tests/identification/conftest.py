"""Tests of the app never write into a real media folder."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_media(media_root: Path) -> None:
    """Every test here has a media folder of its own."""

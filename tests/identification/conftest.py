"""Tests of the app never write into a real media folder."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_media(media_root: Path) -> None:
    """Every test here has a media folder of its own."""


@pytest.fixture
def no_api_limit(settings) -> None:  # type: ignore[no-untyped-def]
    """A test asks the API as often as it wants in one minute, and nothing is left of what another one asked."""
    from django.core.cache import cache

    cache.clear()
    settings.SPOTID_API_PER_MINUTE = settings.SPOTID_API_ANONYMOUS_PER_MINUTE = 0


@pytest.fixture
def boss(db):  # type: ignore[no-untyped-def]
    """Who administers the installation."""
    from tests.identification.factories import make_user

    return make_user("boss", superuser=True)


@pytest.fixture
def offline(settings, tmp_path: Path):  # type: ignore[no-untyped-def]
    """Engines of an installation without weights and without network, with a home of its own."""
    from identification.inference.engines import engines_forget

    settings.SPOTID_OFFLINE = True
    # A tiny network is converted for longer than it runs.
    settings.SPOTID_RUNTIME = "torch"
    settings.SPOTID_DETECTOR_WEIGHTS = settings.SPOTID_SEGMENTER_WEIGHTS = ""
    settings.SPOTID_HOME = tmp_path / "home"
    settings.SPOTID_WEIGHTS_DIR = tmp_path / "home" / "weights"
    engines_forget()
    yield settings
    engines_forget()


@pytest.fixture
def tiny_model(db, offline):  # type: ignore[no-untyped-def]
    """An active model that encodes in milliseconds: the real code on a network a hundred times smaller."""
    from identification.models import EmbeddingModel
    from modelzoo.network import EmbeddingConfig, initial_weights, save_weights

    config = EmbeddingConfig(backbone="test_efficientnet", width=96, height=48, dimension=16)
    folder = Path(offline.SPOTID_WEIGHTS_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    checksum = save_weights(folder / "tiny.safetensors", initial_weights(config, 1), {})
    return EmbeddingModel.objects.create(
        name="tiny",
        architecture=config.backbone,
        config=config.to_dict(),
        dimension=config.dimension,
        weights_file="tiny.safetensors",
        checksum=checksum,
        state="active",
    )

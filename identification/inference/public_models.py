"""Published networks and the original's checkpoint: the door to `modelzoo.public_weights` and `modelzoo.original`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from .model_files import UnfitModel

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Published:
    """One network that can be fetched. file: what was fetched, a sentence, or None when it is not here."""

    name: str
    url: str
    licence: str
    note: str
    file: str | None


def published() -> list[Published]:
    from modelzoo.public_weights import PUBLIC
    from modelzoo.weights import installed

    folder = Path(settings.SPOTID_WEIGHTS_DIR)
    found = []
    for model in PUBLIC.values():
        there = installed(model.source, folder)
        source = model.source
        file = there.explanation if there else None
        found.append(Published(source.name, source.url, source.licence, source.note, file))
    return found


@contextmanager
def fetched(name: str, progress: Progress | None = None) -> Iterator[tuple[Path, dict[str, Any], str]]:
    """A model of ours that begins as a published network: file (gone afterwards), card and how it was verified.

    Raises UnfitModel: unknown, not to be had (the message says what to put where), or other than published.
    """
    from modelzoo.public_weights import PUBLIC, starting_point
    from modelzoo.weights import WeightsError, fetch, installed

    if name not in PUBLIC:
        raise UnfitModel(f"{name!r} is unknown; there are {', '.join(PUBLIC)}.")
    model, folder = PUBLIC[name], Path(settings.SPOTID_WEIGHTS_DIR)
    if settings.SPOTID_OFFLINE and installed(model.source, folder) is None:
        source = model.source
        raise UnfitModel(
            f"SpotID is set to stay offline (SPOTID_OFFLINE). Get {source.url} on another computer, put it into "
            f"{folder} as {source.filename}, register it with "
            f"`weights register {folder / source.filename}`, and fetch again."
        )
    try:
        file = fetch(model.source, folder, progress=progress, timeout=20)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=folder) as work:
            out = Path(work) / "model.safetensors"
            card = starting_point(model, file.path, file.sha256, out, file.explanation)
            yield out, card.to_dict(), file.explanation
    except (WeightsError, ValueError) as error:
        text = str(error)
        raise UnfitModel(text[:1].upper() + text[1:]) from None


@contextmanager
def original(path: Path, name: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The checkpoint of the original SpotID as a safetensors file (gone afterwards) and its card. Raises UnfitModel."""
    from modelzoo.original import import_original
    from modelzoo.weights import WeightsError, sha256_of

    folder = Path(settings.SPOTID_WEIGHTS_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(prefix=".import-", dir=folder) as work:
            made = import_original(path, Path(work))
            card = {
                "name": name,
                "config": made.config,
                "dimension": int(made.config["dimension"]),
                "trained": True,
                "training_data": "unknown: the leopards that the authors of the checkpoint had",
                "licence": "as given with the checkpoint",
                "source": f"{path.name} of the original SpotID, SHA-256 {sha256_of(path)}",
                "notes": "Imported unchanged; its first convolution has no padding, as in the original.",
            }
            yield made.weights, card
    except (WeightsError, ValueError) as error:
        text = str(error)
        raise UnfitModel(text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")) from None

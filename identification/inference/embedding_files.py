"""Finished crops in files become a table of vectors: the work of `embed`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models import EmbeddingModel
from . import engines, photos
from .coats import CoatPixels, EncodingError

Progress = Callable[[int, int, str], None]
_BATCH = 16
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"}


@dataclass
class Encoded:
    """names: of the rows of vectors (n×d float32, unit length). failed: name and reason of what has no row."""

    names: list[str] = field(default_factory=list)
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    failed: dict[str, str] = field(default_factory=dict)


def find_crops(given: Sequence[Path]) -> list[tuple[str, Path]]:
    """Name and file of each photo; a folder stands for the pictures below it, named relative to it.

    Raises FileNotFoundError for what is not there.
    """
    found: list[tuple[str, Path]] = []
    for path in given:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
            found += [(p.relative_to(path).as_posix(), p) for p in inside]
        elif path.exists():
            found.append((path.name if path.is_absolute() else path.as_posix(), path))
        else:
            raise FileNotFoundError(path)
    return found


def encode_files(
    model: EmbeddingModel,
    crops: Sequence[tuple[str, Path]],
    edges: Path | None = None,
    progress: Progress | None = None,
) -> Encoded:
    """Encode finished crops. edges: a folder of edge maps under the same relative names (any suffix), taken as they
    are; without one they are drawn. A photo that cannot be read or encoded is named with the reason, and the rest goes
    on."""
    result = Encoded()
    masked = _needs_mask(model)
    rows: list[NDArray[np.float32]] = []
    for start in range(0, len(crops), _BATCH):
        loaded = list(_loaded(crops[start : start + _BATCH], edges, masked, result.failed))
        for name, row in _encoded(model, loaded, result.failed):
            result.names.append(name)
            rows.append(row)
        if progress is not None:
            progress(min(start + _BATCH, len(crops)), len(crops), "")
    result.vectors = np.stack(rows).astype(np.float32) if rows else np.zeros((0, model.dimension), np.float32)
    return result


def _loaded(
    crops: Sequence[tuple[str, Path]], edges: Path | None, masked: bool, failed: dict[str, str]
) -> Iterator[tuple[str, CoatPixels]]:
    for name, path in crops:
        try:
            yield name, _coat(path, None if edges is None else _edge_file(edges, name), masked)
        except photos.Unreadable as error:
            failed[name] = error.reason
        except (OSError, EncodingError) as error:
            failed[name] = str(getattr(error, "strerror", None) or error)


def _needs_mask(model: EmbeddingModel) -> bool:
    """Whether the background plays a part besides in drawing edges: it takes a second to find it."""
    from modelzoo.pipelines import pipeline_named, usual_pipeline

    config = model.config
    if config.get("kind", "coatnet") not in ("coatnet", "spotid-original"):
        return True
    return pipeline_named(config.get("pipeline") or usual_pipeline(config.get("in_channels") or 4)).rgb == "cutout"


def _coat(crop: Path, edge_file: Path | None, masked: bool) -> CoatPixels:
    """As a photo of a survey of finished crops is seen: cut out by the same segmenter, its edges drawn unless given."""
    pixels = photos.decode(crop).pixels
    given = None if edge_file is None else np.ascontiguousarray(photos.decode(edge_file).pixels.max(axis=2))
    if given is not None and not masked:
        return CoatPixels(pixels, given)
    height, width = pixels.shape[:2]
    coat = engines.isolate(pixels, (0.0, 0.0, float(width), float(height)), None)
    return CoatPixels(coat.crop, coat.edges if given is None else given, coat.mask)


def _edge_file(folder: Path, name: str) -> Path:
    """Raises FileNotFoundError where there is no edge map of that name."""
    wanted = folder / name
    for path in (wanted, *(wanted.with_suffix(suffix) for suffix in (".png", ".jpg", ".jpeg", ".tif", ".bmp"))):
        if path.is_file():
            return path
    raise FileNotFoundError(2, f"there is no edge map {wanted}")


def _encoded(
    model: EmbeddingModel, loaded: Sequence[tuple[str, CoatPixels]], failed: dict[str, str]
) -> Iterator[tuple[str, Any]]:
    if not loaded:
        return
    try:
        rows = engines.encode(model, [coat for _, coat in loaded])
    except EncodingError as error:
        if len(loaded) == 1:
            failed[loaded[0][0]] = str(error)
            return
        for one in loaded:
            yield from _encoded(model, [one], failed)
        return
    yield from zip((name for name, _ in loaded), rows, strict=True)


def save_table(path: Path, encoded: Encoded, about: Mapping[str, str]) -> None:
    """Write `vectors`, `names` and what is said about them as an .npz file, beside and renamed. Raises OSError."""
    beside = path.with_name(f".{path.name}.part.npz")
    try:
        with beside.open("wb") as out:
            np.savez(
                out,
                vectors=encoded.vectors,
                names=np.asarray(encoded.names, dtype=np.str_),
                **{key: np.asarray(value) for key, value in about.items()},  # type: ignore[arg-type]
            )
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)

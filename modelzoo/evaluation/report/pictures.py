"""Thumbnails of photos, and the map of the embedding space."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..photos import EvaluationPhoto
from .charts import SERIES, SHAPES, dot, marker

Loader = Callable[[EvaluationPhoto], NDArray[np.uint8] | None]
"""A photo's crop as H×W×3 uint8 RGB, or None when there is none to show."""

THUMBNAIL = (240, 144)
MAP_MOST = 1000
_TSNE_FROM = 30


def load_crop(photo: EvaluationPhoto) -> NDArray[np.uint8] | None:
    """Reads the picture that the photo names; None when it names none or it cannot be read."""
    import cv2

    if photo.crop is None or not photo.crop.is_file():
        return None
    data = np.frombuffer(photo.crop.read_bytes(), np.uint8)
    pixels: Any = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    return None if pixels is None else np.ascontiguousarray(pixels[:, :, ::-1])


def thumbnail(pixels: NDArray[np.uint8]) -> str:
    """A JPEG data URI of the picture made to fit THUMBNAIL."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(THUMBNAIL[0] / width, THUMBNAIL[1] / height, 1.0)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(small[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not done:
        raise ValueError("the picture cannot be encoded")
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def embedding_map(vectors: ArrayLike, photos: Sequence[EvaluationPhoto], *, seed: int = 0) -> tuple[str, str]:
    """SVG with legend, and the sentence that says how it was made; ("", reason) when there is too little to draw.

    t-SNE on cosine distances from 30 photos on, PCA below; the same vectors and seed give the same map. Beyond 1 000
    photos the animals with most photos are drawn.
    """
    rows = np.asarray(vectors, np.float64)
    chosen = _chosen(rows, photos)
    if len(chosen) < 3:
        return "", "There are too few vectors for a map."
    unit = rows[chosen] / np.linalg.norm(rows[chosen], axis=1, keepdims=True)
    spots, how = _tsne(unit, seed) if len(chosen) >= _TSNE_FROM else _pca(unit)
    if len(chosen) < len(photos):
        how += f" Drawn are {len(chosen)} of {len(photos)} photos: those of the animals with most photos."
    names = [photos[i].identity for i in chosen]
    looks = {name: index for index, (name, _) in enumerate(Counter(names).most_common(SERIES * SHAPES))}
    if len(set(names)) > len(looks):
        how += f" The {len(looks)} identities with most photos have a look of their own, the others are empty circles."
    svg = _draw(spots, [photos[i] for i in chosen], looks)
    return svg + _legend(looks), how


def _chosen(rows: NDArray[np.float64], photos: Sequence[EvaluationPhoto]) -> list[int]:
    usable = [i for i in range(len(photos)) if np.isfinite(rows[i]).all() and np.any(rows[i])]
    if len(usable) <= MAP_MOST:
        return usable
    members: dict[str, list[int]] = {}
    for i in usable:
        members.setdefault(photos[i].identity, []).append(i)
    chosen: list[int] = []
    for own in sorted(members.values(), key=len, reverse=True):
        if len(chosen) + len(own) <= MAP_MOST:
            chosen += own
    return sorted(chosen)


def _pca(unit: NDArray[np.float64]) -> tuple[NDArray[np.float64], str]:
    centred = unit - unit.mean(axis=0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    spots = (left * values)[:, :2]
    spots = np.pad(spots, ((0, 0), (0, 2 - spots.shape[1])))
    # The sign of a principal axis is arbitrary; this one is the same everywhere.
    spots = spots * np.where(spots[np.abs(spots).argmax(axis=0), [0, 1]] < 0, -1, 1)
    share = float((values[:2] ** 2).sum() / max((values**2).sum(), 1e-12))
    return spots, f"Principal components: the two directions in which the vectors differ most ({share:.0%} of it)."


def _tsne(unit: NDArray[np.float64], seed: int) -> tuple[NDArray[np.float64], str]:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(unit) - 1) / 3)
    # On unit vectors the squared Euclidean distance is twice the cosine distance.
    model = TSNE(
        perplexity=perplexity,
        init=_pca(unit)[0] / max(_pca(unit)[0][:, 0].std(), 1e-12) * 1e-4,
        learning_rate=max(len(unit) / 12.0 / 4.0, 50.0),
        random_state=seed,
        n_jobs=1,
    )
    how = (
        f"t-SNE, perplexity {perplexity:.0f}: photos that lie together are alike; how far groups lie apart, and how "
        "large they are, means nothing."
    )
    return np.asarray(model.fit_transform(unit), np.float64), how


def _draw(spots: NDArray[np.float64], photos: Sequence[EvaluationPhoto], looks: dict[str, int]) -> str:
    low, high = spots.min(axis=0), spots.max(axis=0)
    scale = 340 / max(float((high - low).max()), 1e-12)
    width, height = 360, float((high - low)[1] * scale) + 20
    size = 4.5 if len(photos) < 200 else 3.2
    parts = []
    for spot, photo in zip(spots, photos, strict=True):
        x = 180 + (spot[0] - (low[0] + high[0]) / 2) * scale
        y = height / 2 - (spot[1] - (low[1] + high[1]) / 2) * scale
        look = looks.get(photo.identity)
        title = f"{photo.identity}: {photo.key}"
        if look is None:
            circle = f'<circle class="rest" cx="{x:.1f}" cy="{y:.1f}" r="{size - 1:.1f}">'
            parts.append(f"{circle}<title>{escape(title)}</title></circle>")
        else:
            parts.append(marker(look % SERIES, look // SERIES + look % SERIES, x, y, size, title))
    label = f"Map of {len(photos)} photos, each marked by its identity"
    return f'<svg class="map" viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _legend(looks: dict[str, int]) -> str:
    items = "".join(
        f"<li>{dot(look % SERIES, look // SERIES + look % SERIES)}{escape(name)}</li>" for name, look in looks.items()
    )
    listed = f'<ul class="legend">{items}</ul>'
    if len(looks) <= 12:
        return listed
    return f"<details><summary>Which mark is which animal ({len(looks)})</summary>{listed}</details>"

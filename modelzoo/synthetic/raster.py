"""A small z-buffer rasteriser: triangles in, per-pixel triangle index and barycentric weights out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_MOST_CANDIDATES = 1_500_000


@dataclass(frozen=True)
class Fragments:
    """The visible surface, one row per covered pixel.

    row, column: N int64; face: N int64 index into the faces given; weights: N×3 float32 barycentric; depth: N float32.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    face: NDArray[np.int64]
    weights: NDArray[np.float32]
    depth: NDArray[np.float32]


def rasterise(points: NDArray, depth: NDArray, faces: NDArray, width: int, height: int) -> Fragments:
    """Draw triangles seen from the front, nearest wins.

    points: V×2 pixel x, y (pixel centres at integers); depth: V, smaller is nearer; faces: F×3 vertex indices.
    Triangles of positive screen area only (x right, y down, clockwise on screen) are drawn. Weights interpolate
    linearly on the screen, which is exact enough for triangles of a few pixels.
    """
    corner = points[faces].astype(np.float32)
    a, b, c = corner[:, 0], corner[:, 1], corner[:, 2]
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    low = np.floor(corner.min(axis=1)).astype(np.int64)
    high = np.ceil(corner.max(axis=1)).astype(np.int64)
    inside = (high[:, 0] >= 0) & (high[:, 1] >= 0) & (low[:, 0] < width) & (low[:, 1] < height) & (area > 1e-6)
    low, high = np.clip(low, 0, [width - 1, height - 1]), np.clip(high, 0, [width - 1, height - 1])
    span = (high - low + 1).max(axis=1)
    found: list[tuple[NDArray, NDArray, NDArray, NDArray]] = []
    for face in _buckets(np.flatnonzero(inside), span):
        found.append(_candidates(face, low, high, corner, area, depth[faces], width))
    if not found:
        none = np.zeros(0, np.int64)
        return Fragments(none, none, none, np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
    pixel, face_of, weights, z = (np.concatenate(part) for part in zip(*found))
    nearest = np.full(width * height, np.inf, np.float32)
    np.minimum.at(nearest, pixel, z)
    keep = np.flatnonzero(z == nearest[pixel])
    pixel, first = np.unique(pixel[keep], return_index=True)
    keep = keep[first]
    return Fragments(pixel // width, pixel % width, face_of[keep], weights[keep], z[keep])


def _buckets(faces: NDArray, span: NDArray) -> list[NDArray]:
    """Faces grouped by box size, so that one array operation serves a group; big groups are cut up."""
    groups: list[NDArray] = []
    edge = 0
    for limit in (4, 7, 11, 17, 27, 45, 80, 160, 400, 1 << 30):
        chosen = faces[(span[faces] > edge) & (span[faces] <= limit)]
        edge = limit
        if len(chosen):
            size = int(span[chosen].max())
            groups.extend(np.array_split(chosen, max(1, -(-len(chosen) * size * size // _MOST_CANDIDATES))))
    return groups


def _candidates(
    face: NDArray, low: NDArray, high: NDArray, corner: NDArray, area: NDArray, z: NDArray, width: int
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Covered pixels of `face`: flat pixel index, face, weights, depth."""
    size = int((high[face] - low[face]).max()) + 1
    step = np.arange(size, dtype=np.int64)
    x = low[face, 0][:, None, None] + step[None, None, :]
    y = low[face, 1][:, None, None] + step[None, :, None]
    p, q, r = corner[face, 0], corner[face, 1], corner[face, 2]
    scale = (1.0 / area[face]).astype(np.float32)

    def edge(s: NDArray, e: NDArray) -> NDArray:
        dx, dy = (e[:, 0] - s[:, 0]) * scale, (e[:, 1] - s[:, 1]) * scale
        offset = dy * s[:, 0] - dx * s[:, 1]
        return dx[:, None, None] * y - dy[:, None, None] * x + offset[:, None, None]

    w_p, w_q = edge(q, r).astype(np.float32), edge(r, p).astype(np.float32)
    w_r = 1.0 - w_p - w_q
    limit = high[face]
    covered = (w_p >= -1e-5) & (w_q >= -1e-5) & (w_r >= -1e-5)
    covered &= (x <= limit[:, 0][:, None, None]) & (y <= limit[:, 1][:, None, None])
    which, row, column = np.nonzero(covered)
    weights = np.stack([w_p[covered], w_q[covered], w_r[covered]], axis=1)
    chosen = face[which]
    pixel = (low[chosen, 1] + row) * width + low[chosen, 0] + column
    return pixel, chosen, weights, np.einsum("ij,ij->i", weights, z[chosen]).astype(np.float32)

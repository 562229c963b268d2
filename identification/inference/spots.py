"""Which spots of two coats were matched: what verification found, made ready to be drawn."""

from __future__ import annotations

from dataclasses import dataclass

from .engines import Corners, local_config


@dataclass(frozen=True)
class MatchedSpot:
    """One pair of keypoints that agree: x and y in both crops as fractions 0…1 of their width and height.

    weight: how distinctive the match is, 0…1 (one less Lowe's ratio).
    """

    a: tuple[float, float]
    b: tuple[float, float]
    weight: float


def matched_spots(a: bytes, b: bytes, same_camera: tuple[Corners, Corners] | None = None) -> list[MatchedSpot]:
    """The matches of two stored sets of local features that one transform explains, the most distinctive first.

    same_camera: both boxes, where one fixed camera took both photos at different events, as in verification. Raises
    LocalFeatureError for bytes that are no stored features. Needs numpy and OpenCV only: the web process may
    call it.
    """
    from modelzoo.local.features import from_bytes
    from modelzoo.local.verify import tentative_matches, verify

    one, other, config = from_bytes(a), from_bytes(b), local_config()
    found = verify(one, other, config, same_camera=same_camera)
    pairs, weights = tentative_matches(one, other, config)
    weight = {(int(i), int(j)): float(w) for (i, j), w in zip(pairs, weights, strict=True)}
    spots = []
    for i, j in found.pairs.tolist():
        (ax, ay), (bx, by) = one.points[i, :2].tolist(), other.points[j, :2].tolist()
        spots.append(MatchedSpot((ax, ay), (bx, by), weight[(i, j)]))
    return sorted(spots, key=lambda spot: -spot.weight)

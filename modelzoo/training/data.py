"""Training photos, and the pixel planes that a pipeline makes of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from modelzoo.coats import CoatPixels, EncodingError
from modelzoo.pipelines import Pipeline

LoadProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class TrainingPhoto:
    """One confirmed photo. identity: the flank of an animal, which the network tells apart; individual: the animal.

    key is unique within a run. event: the encounter, where it is known. flank: left, right or unknown.
    """

    key: str
    identity: str
    individual: str
    crop: Path
    edges: Path | None = None
    mask: Path | None = None
    event: str | None = None
    flank: str = "unknown"


@dataclass(frozen=True)
class LeftOut:
    """A photo that cannot be used, and why, in words for people."""

    key: str
    reason: str


def read_picture(path: Path, flags: int) -> NDArray[np.uint8]:
    """Decoded by OpenCV with the given flags; EncodingError, naming the file, when it cannot be."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise EncodingError(f"{path.name} cannot be read: {error.strerror or error}") from error
    try:
        picture = cv2.imdecode(data, flags) if data.size else None
    except cv2.error as error:
        raise EncodingError(f"{path.name} cannot be decoded: {error.err}") from error
    if picture is None:
        raise EncodingError(f"{path.name} is no picture")
    return np.asarray(picture, np.uint8)


def load_coat(photo: TrainingPhoto) -> CoatPixels:
    """Crop, edge map (0 or 255, whatever grey a JPEG made of it) and mask of a photo. Raises EncodingError."""
    crop = np.ascontiguousarray(read_picture(photo.crop, cv2.IMREAD_COLOR)[:, :, ::-1])
    edges = mask = None
    if photo.edges is not None:
        edges = np.where(read_picture(photo.edges, cv2.IMREAD_GRAYSCALE) > 127, 255, 0).astype(np.uint8)
    if photo.mask is not None:
        mask = read_picture(photo.mask, cv2.IMREAD_GRAYSCALE)
    return CoatPixels(crop, edges, mask)


class CoatDataset:
    """The readable ones of the photos, in their order, as C×H×W uint8 planes of one pipeline and size.

    Every photo is decoded once at the start, so that one that cannot be is left out (:attr:`left_out`) before any
    training. The planes stay in memory when all of them fit in cache_bytes, else each is made again when it is asked
    for. Raises ValueError when a key comes twice.
    """

    def __init__(
        self,
        photos: Sequence[TrainingPhoto],
        pipeline: Pipeline,
        width: int,
        height: int,
        *,
        cache_bytes: int,
        progress: LoadProgress | None = None,
    ) -> None:
        if len({photo.key for photo in photos}) < len(photos):
            raise ValueError("two training photos have the same key")
        self.pipeline, self.width, self.height = pipeline, width, height
        keep = len(photos) * pipeline.channels * width * height <= cache_bytes
        kept: list[torch.Tensor] = []
        readable: list[TrainingPhoto] = []
        left_out: list[LeftOut] = []
        for number, photo in enumerate(photos, 1):
            try:
                planes = self._prepare(photo)
            except EncodingError as error:
                left_out.append(LeftOut(photo.key, str(error)))
            else:
                readable.append(photo)
                if keep:
                    kept.append(planes)
            if progress is not None:
                progress(number, len(photos))
        self.photos, self.left_out = tuple(readable), tuple(left_out)
        self._kept = kept if keep else None

    def __len__(self) -> int:
        return len(self.photos)

    @property
    def cached(self) -> bool:
        """Whether the planes are kept in memory."""
        return self._kept is not None

    def planes(self, index: int) -> torch.Tensor:
        """C×H×W uint8 of one photo. Raises EncodingError when a file that was readable at the start no longer is."""
        return self._prepare(self.photos[index]) if self._kept is None else self._kept[index]

    def _prepare(self, photo: TrainingPhoto) -> torch.Tensor:
        planes = self.pipeline.planes(load_coat(photo), self.width, self.height)
        return torch.from_numpy(np.ascontiguousarray(planes.transpose(2, 0, 1)))

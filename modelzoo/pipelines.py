"""The five ways of the SpotID paper (table 1) to show a coat to a network."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from .coats import CoatPixels, EncodingError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
EDGE_MEAN = 0.456
EDGE_STD = 0.225

DEFAULT = "crop_rgb_edges"


@dataclass(frozen=True)
class Pipeline:
    """What becomes a channel. rgb: "crop" as it is, "cutout" from its background, or "". edges: the edge map.

    A coat without a mask has no background to remove, so that its cut-out is the crop.
    """

    name: str
    rgb: str
    edges: bool

    @property
    def channels(self) -> int:
        """1, 3 or 4: RGB first, the edge map last."""
        return 3 * bool(self.rgb) + self.edges

    @property
    def mean(self) -> tuple[float, ...]:
        """Of each channel, on 0…1: ImageNet's, and 0.456 for edges."""
        return IMAGENET_MEAN * bool(self.rgb) + (EDGE_MEAN,) * self.edges

    @property
    def std(self) -> tuple[float, ...]:
        """Of each channel, on 0…1: ImageNet's, and 0.225 for edges."""
        return IMAGENET_STD * bool(self.rgb) + (EDGE_STD,) * self.edges

    def planes(self, coat: CoatPixels, width: int, height: int) -> NDArray[np.uint8]:
        """height×width×channels uint8, stretched to the size without regard to the aspect.

        Raises EncodingError where the pipeline needs an edge map and the coat has none.
        """
        if self.edges and coat.edges is None:
            raise EncodingError(f"the pipeline {self.name} needs an edge map, and the coat has none")
        packed = np.empty((height, width, self.channels), np.uint8)
        if self.rgb:
            packed[:, :, :3] = stretch(coat.cutout if self.rgb == "cutout" else coat.crop, width, height)
        if self.edges and coat.edges is not None:
            packed[:, :, -1] = stretch(coat.edges, width, height)
        return packed


def stretch(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resized by area where it shrinks in both directions, else linearly."""
    smaller = image.shape[0] >= height and image.shape[1] >= width
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)


PIPELINES: dict[str, Pipeline] = {
    pipeline.name: pipeline
    for pipeline in (
        Pipeline("crop_rgb", "crop", edges=False),
        Pipeline("cutout_rgb", "cutout", edges=False),
        Pipeline("edges", "", edges=True),
        Pipeline("cutout_rgb_edges", "cutout", edges=True),
        Pipeline(DEFAULT, "crop", edges=True),
    )
}


def pipeline_named(name: str) -> Pipeline:
    """The pipeline of that name; a ValueError lists those there are."""
    if name not in PIPELINES:
        raise ValueError(f"there is no pipeline {name!r}; there are {', '.join(PIPELINES)}")
    return PIPELINES[name]


def usual_pipeline(channels: int) -> str:
    """The name that settings without one mean: by their channels, the crop with its background."""
    usual: dict[int, str] = {1: "edges", 3: "crop_rgb", 4: DEFAULT}
    if channels not in usual:
        raise ValueError(f"in_channels is 1 (edges), 3 (RGB) or 4 (RGB and edges), not {channels}")
    return usual[channels]

"""One coat as networks see it: a crop with its mask and edge map."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


class EncodingError(RuntimeError):
    """Input that cannot be encoded, or a vector that must not be stored (NaN, infinite or zero)."""


@dataclass(frozen=True, eq=False)
class CoatPixels:
    """crop: H×W×3 RGB uint8. edges: H×W uint8, 0 or 255, or None. mask: H×W uint8, non-zero on the animal, or None.

    Raises EncodingError for arrays of another form.
    """

    crop: Pixels
    edges: Pixels | None = None
    mask: Pixels | None = None

    def __post_init__(self) -> None:
        crop = self.crop
        if crop.dtype != np.uint8 or crop.ndim != 3 or crop.shape[2] != 3 or 0 in crop.shape:
            raise EncodingError(f"a crop is {crop.shape} {crop.dtype}, not H×W×3 uint8")
        for name, plane in (("edge map", self.edges), ("mask", self.mask)):
            if plane is not None and (plane.dtype != np.uint8 or plane.ndim != 2 or 0 in plane.shape):
                raise EncodingError(f"the {name} is {plane.shape} {plane.dtype}, not H×W uint8")
        if self.mask is not None and self.mask.shape != crop.shape[:2]:
            raise EncodingError(f"mask {self.mask.shape} and crop {crop.shape[:2]} differ in size")

    @cached_property
    def cutout(self) -> Pixels:
        """The crop on black outside its mask; the crop itself where there is no mask."""
        if self.mask is None:
            return self.crop
        return np.where(self.mask[..., None] > 0, self.crop, 0).astype(np.uint8)

"""Random changes of training pictures, as in the paper: turned, cut at the sides, recoloured. Never mirrored.

A mirrored left coat looks like a right one, which belongs to another identity; so no transform here flips a picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torchvision.transforms import InterpolationMode, v2
from torchvision.transforms.v2 import functional as F


class SideCrop(v2.Transform):
    """Cuts a random share, 0 to `share`, off each of the four sides on its own, and stretches the rest back."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        height, width = flat_inputs[0].shape[-2:]
        cut = torch.rand(4) * self.share
        left, right = round(float(cut[0]) * width), round(float(cut[1]) * width)
        top, bottom = round(float(cut[2]) * height), round(float(cut[3]) * height)
        size = (max(1, height - top - bottom), max(1, width - left - right))
        return {"top": top, "left": left, "height": size[0], "width": size[1], "size": [height, width]}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return F.resized_crop(inpt, **params, interpolation=InterpolationMode.BILINEAR, antialias=True)


class PixelDropout(v2.Transform):
    """Sets a random share of the pixels to black, in all channels of a pixel at once."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"keep": torch.rand(flat_inputs[0].shape[-2:]) >= self.share}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt * params["keep"]


class Augmentation:
    """Changes C×H×W uint8 planes: 1 (edges), 3 (RGB) or 4 (RGB and edges). rotation in degrees, shares from 0 to 1.

    What moves pixels acts on all planes together, so that edges stay on what they outline; colour changes leave the
    edge plane alone. `jitter` bounds brightness, contrast and saturation (1 ± jitter).
    """

    def __init__(self, rotation: float, crop_share: float, jitter: float, pixel_dropout: float) -> None:
        moves: list[torch.nn.Module] = []
        if rotation:
            moves.append(v2.RandomRotation(rotation, interpolation=InterpolationMode.BILINEAR))
        if crop_share:
            moves.append(SideCrop(crop_share))
        self._moves = v2.Compose(moves) if moves else None
        self._colours = v2.ColorJitter(jitter, jitter, jitter) if jitter else None
        self._dropout = PixelDropout(pixel_dropout) if pixel_dropout else None

    def __call__(self, planes: torch.Tensor) -> torch.Tensor:
        """The changed planes, of the same form. Draws from torch's global generator; see :func:`augmented`."""
        if self._moves is not None:
            planes = self._moves(planes)
        if self._colours is not None and planes.shape[0] >= 3:
            planes = torch.cat([self._colours(planes[:3]), planes[3:]])
        return planes if self._dropout is None else self._dropout(planes)


def augmented(augmentation: Augmentation, pictures: Sequence[torch.Tensor], seed: Sequence[int]) -> list[torch.Tensor]:
    """Each picture changed; the same for the same seed numbers, and without disturbing torch's global generator.

    So a run that is resumed at any step sees the pictures that it would have seen.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_mixed(seed))
        return [augmentation(picture) for picture in pictures]


def _mixed(numbers: Sequence[int]) -> int:
    """One 63-bit number from several, by the splitmix64 finaliser (Steele, Lea, Flood 2014)."""
    mask, state = (1 << 64) - 1, 0
    for number in numbers:
        state = (state + number + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state >> 1

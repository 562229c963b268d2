"""What the camera does to light: exposure, tone, blur, noise, vignette, and the information strip."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from modelzoo.synthetic.noise import FloatArray


def tone(linear: NDArray, exposure: float, contrast: float = 1.0) -> FloatArray:
    """Linear light to display values 0–1: exposure, soft shoulder, 2.2 power, S-shaped contrast."""
    x = np.maximum(linear * np.float32(exposure), 0, dtype=np.float32)
    bright = x > 0.7
    x[bright] = 0.7 + 0.36 * (1 - np.exp(-(x[bright] - 0.7) / 0.36))
    y = cv2.pow(np.clip(x, 0, 1).astype(np.float32), 1 / 2.2)
    return np.asarray(y + (contrast - 1.0) * (y - 0.45) * (1 - np.abs(2 * y - 1)), dtype=np.float32)


def add_noise(image: FloatArray, rng: np.random.Generator, read: float, shot: float, grey: bool) -> FloatArray:
    """Signal-dependent grain of about 1.5 pixels plus fine grain, on display values 0–1."""
    height, width = image.shape[:2]
    coarse = rng.standard_normal((height // 2 + 1, width // 2 + 1), dtype=np.float32)
    grain = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    grain = grain + 0.7 * rng.standard_normal((height, width), dtype=np.float32)
    level = read + shot * np.sqrt(np.clip(image[..., 1], 0, 1))
    noisy = image + (level * grain)[..., None]
    if not grey:
        tint = rng.standard_normal((height // 4 + 1, width // 4 + 1, 3), dtype=np.float32)
        noisy = noisy + cv2.resize(tint, (width, height), interpolation=cv2.INTER_LINEAR) * (0.6 * level)[..., None]
    return np.asarray(noisy, dtype=np.float32)


def sharpen(image: FloatArray, sigma: float, amount: float) -> FloatArray:
    """The hard unsharp mask of cheap cameras."""
    return np.asarray(image + amount * (image - cv2.GaussianBlur(image, (0, 0), sigma)), dtype=np.float32)


def motion_kernel(length: float) -> FloatArray:
    """A horizontal smear of `length` pixels, normalised."""
    size = max(3, int(length) // 2 * 2 + 1)
    kernel = np.zeros((3, size), np.float32)
    kernel[1] = 1.0
    return kernel / kernel.sum()


def vignette(width: int, height: int, amount: float) -> FloatArray:
    """H×W fall-off towards the corners, 1 in the centre."""
    x = (np.arange(width, dtype=np.float32) - width / 2) / (width / 2)
    y = (np.arange(height, dtype=np.float32) - height / 2) / (width / 2)
    return np.asarray(1 - amount * np.clip(x[None, :] ** 2 + y[:, None] ** 2, 0, 1.6), dtype=np.float32)


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size)


def strip_height(height: int) -> int:
    """Pixels that the information strip takes at the bottom of a frame."""
    return max(12, round(height * 0.04))


def draw_strip(image: NDArray[np.uint8], name: str, moment: datetime, celsius: int, frame: str) -> NDArray[np.uint8]:
    """The frame with the maker's black strip: station, frame of burst, temperature, date and time."""
    height, width = image.shape[:2]
    bar = strip_height(height)
    picture = Image.fromarray(image)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, height - bar, width, height), fill=(6, 6, 6))
    font = _font(max(8, round(bar * 0.62)))
    baseline = height - bar / 2
    texts = ((0.015, "SpotID", "lm"), (0.16, name, "lm"), (0.34, frame, "lm"), (0.47, f"{celsius}°C", "lm"))
    for place, text, anchor in texts:
        draw.text((width * place, baseline), text, font=font, fill=(236, 236, 236), anchor=anchor)
    draw.text((width * 0.985, baseline), f"{moment:%Y-%m-%d  %H:%M:%S}", font=font, fill=(236, 236, 236), anchor="rm")
    return np.asarray(picture)

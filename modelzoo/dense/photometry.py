"""Grey levels: what photos do to them, and how the network is made not to mind."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from modelzoo.synthetic.noise import FloatArray, fractal_noise
from modelzoo.synthetic.sensor import motion_kernel

_FLOOR = 4.0  # grey levels of contrast below which a place counts as flat
_LIMIT = 4.0


def even_contrast(grey: NDArray[np.uint8], sigma: float) -> FloatArray:
    """H×W float32: each pixel less the mean around it, over the spread around it (Gaussian window), within ±4."""
    values = grey.astype(np.float32)
    mean = cv2.GaussianBlur(values, (0, 0), sigma)
    spread = cv2.GaussianBlur(np.square(values - mean), (0, 0), sigma)
    return np.clip((values - mean) / (np.sqrt(np.maximum(spread, 0.0)) + _FLOOR), -_LIMIT, _LIMIT)


def worsen(grey: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The picture (H×W uint8) as a worse photo: exposure, dappled light, blur, few pixels, noise, JPEG."""
    height, width = grey.shape
    image: FloatArray = grey.astype(np.float32) / 255.0
    if rng.random() < 0.3:  # sun through leaves, or a flash that lights one side
        cell = rng.uniform(0.15, 0.8) * width
        light = fractal_noise(rng, height, width, cell, 2)
        image = image * np.exp(np.clip(rng.uniform(0.1, 0.6) * light, -1.5, 1.0)).astype(np.float32)
    gamma, gain = np.exp(rng.normal(0, 0.3)), np.exp(rng.normal(0, 0.35))
    image = np.clip(image, 0, 1) ** np.float32(gamma) * np.float32(gain) + np.float32(rng.normal(0, 0.06))
    if rng.random() < 0.15:  # haze, or the weak contrast of a dim infrared lamp
        image = 0.5 + (image - 0.5) * np.float32(rng.uniform(0.2, 0.6))
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.8)))
    if rng.random() < 0.2:
        image = cv2.filter2D(image, -1, motion_kernel(float(rng.uniform(2, 8))))
    if rng.random() < 0.25:
        share = float(rng.uniform(0.35, 0.8))
        small = cv2.resize(
            image, (max(8, int(width * share)), max(8, int(height * share))), interpolation=cv2.INTER_AREA
        )
        image = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    noise = float(np.exp(rng.uniform(np.log(0.004), np.log(0.06))))
    image = np.clip(image, 0, 1) + noise * rng.standard_normal((height, width), dtype=np.float32)
    levels = (np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.3:
        _, packed = cv2.imencode(".jpg", levels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        levels = np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), np.uint8)
    return levels

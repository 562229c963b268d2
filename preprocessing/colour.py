"""Every colour mode that Pillow opens, as RGB uint8, without clipping what has more than eight bits."""

import io

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageCms

from preprocessing.types import Image

_BITS_PER_SAMPLE = 258


def to_rgb(image: PillowImage.Image) -> tuple[Image, tuple[str, ...]]:
    """Pixels as RGB uint8 H×W×3 and the flags that tell what the photo was (see `imageio.DecodedImage`).

    16-bit values are divided by 257, so that white stays white; transparency is laid over black, the background that
    cut-outs have; CMYK goes through its embedded profile where there is one. Raises what the decoders raise.
    """
    mode = image.mode
    if mode == "1":
        return _stacked(np.asarray(image.convert("L"))), ("one_bit", "gray")
    if mode.startswith("I;16"):
        return _stacked(_sixteen_bit(image)), ("sixteen_bit", "gray")
    if mode == "I":
        return _stacked(_scaled(np.asarray(image, dtype=np.float64))), ("sixteen_bit", "gray")
    if mode == "F":
        return _stacked(_scaled(np.asarray(image, dtype=np.float64))), ("float", "gray")
    if mode == "LAB":
        lab = ImageCms.createProfile("LAB")
        return np.asarray(_through_profile(image, lab, "LAB")), ("lab",)
    if mode == "CMYK":
        return _from_cmyk(image), ("cmyk",)
    flags: list[str] = ["palette"] if mode in ("P", "PA") else []
    flags += ["gray"] if mode in ("L", "LA", "La") else []
    if image.has_transparency_data:
        return _over_black(image.convert("RGBA")), (*flags, "alpha")
    return np.array(image.convert("RGB")), tuple(flags)


def _stacked(gray: np.ndarray) -> Image:
    return np.repeat(gray.astype(np.uint8)[:, :, None], 3, axis=2)


def _over_black(image: PillowImage.Image) -> Image:
    pixels = np.asarray(image, dtype=np.uint16)
    return ((pixels[:, :, :3] * pixels[:, :, 3:] + 127) // 255).astype(np.uint8)


def _sixteen_bit(image: PillowImage.Image) -> np.ndarray:
    values = np.asarray(image).astype(np.uint32)
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(_BITS_PER_SAMPLE, (16,))
    top = 4095 if tuple(bits)[:1] == (12,) else 65535
    return (np.minimum(values, top) * 255 + top // 2) // top


def _scaled(values: np.ndarray) -> np.ndarray:
    """Numbers without a stated range: 0–1, 0–255 and 0–65 535 are taken as such, anything else by its own extremes."""
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low >= 0:
        top = next((top for top in (1.0, 255.0, 65535.0) if high <= top), None)
        if top is not None:
            return np.round(values * (255.0 / top))
    return np.round((values - low) * (255.0 / max(high - low, 1e-12)))


def _from_cmyk(image: PillowImage.Image) -> Image:
    profile = image.info.get("icc_profile")
    if profile:
        try:
            return np.asarray(_through_profile(image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), "CMYK"))
        except (ImageCms.PyCMSError, OSError, ValueError):
            pass  # a broken profile is no reason to lose the photo
    return np.array(image.convert("RGB"))


def _through_profile(image: PillowImage.Image, profile: object, mode: str) -> PillowImage.Image:
    transform = ImageCms.buildTransform(profile, ImageCms.createProfile("sRGB"), mode, "RGB")  # type: ignore[arg-type]
    converted = ImageCms.applyTransform(image, transform)
    if converted is None:
        raise ValueError("colour conversion failed")
    return converted

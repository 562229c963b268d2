"""Strips of a photo, as bands of its parts, painted over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preprocessing.covering import covered, printed_bands, save_covered


def test_nothing_printed_is_no_band() -> None:
    assert printed_bands(0.0, 0.0) == ()
    assert printed_bands(0.1, 0.1, (0.2, 0.8)) == ()


@pytest.mark.parametrize(
    ("within", "bands"),
    [
        ((0.0, 1.0), ((0.0, 0.1), (0.8, 1.0))),
        ((0.05, 0.55), ((0.0, 0.1),)),
        ((0.5, 1.0), ((0.6, 1.0),)),
        ((0.0, 0.05), ((0.0, 1.0),)),
        ((0.9, 0.95), ((0.0, 1.0),)),
    ],
)
def test_bands_are_fractions_of_the_part(within, bands) -> None:
    found = printed_bands(0.1, 0.2, within)
    assert len(found) == len(bands)
    for one, other in zip(found, bands):
        assert one == pytest.approx(other)


@pytest.mark.parametrize(("mode", "kind"), [("RGB", "JPEG"), ("L", "PNG"), ("RGB", "PNG"), ("P", "PNG")])
def test_rows_that_a_band_touches_are_of_one_grey_and_the_others_stay(tmp_path: Path, mode: str, kind: str) -> None:
    source, made = tmp_path / "a", tmp_path / "b"
    Image.new("L", (40, 50), 255).convert(mode).save(source, kind, **({"exif": b"Exif\0\0"} if kind == "JPEG" else {}))
    save_covered(made, source, ((0.0, 0.11), (0.9, 1.0)))
    with Image.open(made) as image:
        assert (image.format, image.size, len(image.getexif())) == (kind, (40, 50), 0)
        rows = np.asarray(image.convert("L"), dtype=float)
    assert abs(rows[:6] - 96).max() < 12 and abs(rows[45:] - 96).max() < 12
    assert rows[9:42].min() > 240


def test_a_file_that_is_no_picture_is_an_os_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\xd8\xff no picture")
    for name in ("a", "missing"):
        with pytest.raises(OSError):
            covered(tmp_path / name, ((0.0, 0.1),))

"""What is decoded, how, and what is refused with which code (TRIALS, bad input 1–18 and 21)."""

import io
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from preprocessing.imageio import (
    ImageLimits,
    ImageRejected,
    apply_orientation,
    decode_image,
    make_preview,
    save_jpeg,
    save_png_gray,
    write_atomically,
)

CODES = {
    "missing",
    "empty",
    "unreadable",
    "truncated",
    "not_image",
    "unsupported",
    "too_large",
    "too_small",
    "bad_aspect",
}


def code_of(path: Path, limits: ImageLimits | None = None) -> str:
    with pytest.raises(ImageRejected) as refused:
        decode_image(path, limits or ImageLimits())
    assert refused.value.code in CODES
    assert refused.value.message[0].isupper() and "." in refused.value.message
    return refused.value.code


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds hardly any data."""
    import struct
    import zlib

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\x00")) + chunk(b"IEND", b"")


def test_zero_bytes_are_empty(make) -> None:
    assert code_of(make.file("a.jpg", b"")) == "empty"


def test_a_file_that_is_gone_is_missing(tmp_path: Path) -> None:
    assert code_of(tmp_path / "gone.jpg") == "missing"


def test_a_folder_is_unreadable(tmp_path: Path) -> None:
    assert code_of(tmp_path) == "unreadable"


@pytest.mark.parametrize("length", [2, 4, 10, 20, 160])
def test_a_jpeg_of_header_only_is_unreadable(make, length: int) -> None:
    assert code_of(make.file("a.jpg", make.encode(make.gradient())[:length])) == "unreadable"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_other_headers_alone_are_refused_too(make, kind: str) -> None:
    assert code_of(make.file("a.img", make.encode(make.gradient(), kind)[:20])) in {"unreadable", "truncated"}


@pytest.mark.parametrize("share", [0.45, 0.7, 0.99])
def test_a_jpeg_cut_at_three_points_is_truncated(make, share: float) -> None:
    data = make.encode(make.gradient(640, 480), quality=95)
    assert code_of(make.file("a.jpg", data[: int(len(data) * share)])) == "truncated"


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "BMP", "GIF"])
def test_other_formats_cut_in_half_are_refused(make, kind: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (80, 90, 3), dtype=np.uint8)
    data = make.encode(noise, kind)
    assert code_of(make.file("a.img", data[: len(data) // 2])) in {"truncated", "unreadable"}


@pytest.mark.parametrize("kind", ["WEBP", "HEIF", "AVIF"])
def test_modern_formats_cut_off_are_truncated(make, kind: str) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    noise = np.random.default_rng(1).integers(0, 255, (80, 90, 3), dtype=np.uint8)
    data = make.encode(noise, kind)
    for length in (len(data) // 2, len(data) - 3):
        assert code_of(make.file("a.img", data[:length])) == "truncated"


def test_a_gif_that_ends_after_its_first_frame_is_read(make) -> None:
    """Pillow raises IndexError when it looks for a second frame there."""
    data = make.encode(make.gradient(), "GIF")
    assert data.endswith(b"\x00;")
    assert decode_image(make.file("a.gif", data[:-1] + b"!\xf9")).flags == ("palette",)


def test_a_jpeg_whose_end_became_zeros_is_truncated(make) -> None:
    data = make.encode(make.gradient(640, 480), quality=95)
    half = len(data) // 2
    assert code_of(make.file("a.jpg", data[:half] + bytes(len(data) - half))) == "truncated"


def test_zeros_after_a_complete_jpeg_are_padding(make) -> None:
    assert decode_image(make.file("a.jpg", make.encode(make.gradient()) + bytes(4096))).width == 96


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><html><body>not found</body></html>",
        b"<?php system($_GET['c']); ?>",
        b"\xef\xbb\xbf  <html></html>",
        b'{"error": "no such photo"}',
        b"just some words that somebody saved under the wrong name\n",
        "\ufeffUTF-16 text".encode("utf-16-le"),
    ],
)
def test_text_named_like_a_photo_is_no_image(make, data: bytes) -> None:
    assert code_of(make.file("a.jpg", data)) == "not_image"


def test_a_jpeg_with_html_inside_is_accepted(make) -> None:
    data = make.encode(make.gradient())
    comment = b"<html><script>alert(1)</script></html>"
    data = data[:2] + b"\xff\xfe" + (len(comment) + 2).to_bytes(2, "big") + comment + data[2:] + comment
    assert decode_image(make.file("a.jpg", data)).format == "JPEG"


@pytest.mark.parametrize(
    "data",
    [
        b"<svg xmlns='http://www.w3.org/2000/svg'></svg>",
        b"<?xml version='1.0'?>\n<svg></svg>",
        b"%PDF-1.7\n%...",
        b"%!PS-Adobe-3.0 EPSF-3.0\n",
        b"8BPS\x00\x01" + bytes(40),
        b"SIMPLE  =                    T" + b" " * 100,
        b"RIFF\x00\x10\x00\x00AVI LIST" + bytes(40),
        b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00isom" + bytes(40),
        b"\x00\x00\x00\x18ftypcrx \x00\x00\x00\x00" + bytes(40),
        b"II*\x00\x10\x00\x00\x00CR\x02\x00" + bytes(60),
        b"PK\x03\x04" + bytes(60),
    ],
)
def test_documents_videos_and_raw_are_unsupported_whatever_their_name(make, data: bytes) -> None:
    assert code_of(make.file("a.jpg", data)) == "unsupported"


def test_a_dng_is_unsupported_although_it_is_a_tiff_inside(make) -> None:
    block = make.tiff([(256, 4, 1, b"\x60\0\0\0"), (257, 4, 1, b"\x40\0\0\0"), (50706, 1, 4, b"\x01\x04\0\0")])
    assert code_of(make.file("a.tif", block)) == "unsupported"


def test_sizes_beyond_the_caps_are_refused_before_decoding(make) -> None:
    assert code_of(make.file("a.png", png_header(10_000, 10_000))) == "too_large"
    assert code_of(make.file("b.png", png_header(20_000, 20_000))) == "too_large"
    assert code_of(make.file("c.png", png_header(1, 1))) == "too_small"
    assert code_of(make.file("d.png", png_header(65_500, 2))) == "bad_aspect"
    assert code_of(make.file("e.png", png_header(0, 0))) == "unreadable"


def test_the_caps_are_the_callers(make) -> None:
    path = make.file("a.jpg", make.encode(make.gradient(100, 60)))
    assert decode_image(path).width == 100
    assert code_of(path, ImageLimits(max_pixels=5_999)) == "too_large"
    assert code_of(path, ImageLimits(min_side=61)) == "too_small"
    assert code_of(path, ImageLimits(max_aspect=1.5)) == "bad_aspect"
    assert code_of(path, ImageLimits(max_file_bytes=100)) == "too_large"


def test_a_tiff_directory_that_claims_gigabytes_is_refused(make) -> None:
    tags = [(256, 4, 1, b"\x60\0\0\0"), (257, 4, 1, b"\x40\0\0\0"), (60000, 7, 900_000_000, b"\x08\0\0\0")]
    assert code_of(make.file("a.tif", make.tiff(tags))) == "unreadable"


def test_pillows_warnings_stay_inside(make) -> None:
    corrupt = make.with_exif(make.encode(make.gradient()), b"II*\x00\xff\xff\xff\x00")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode_image(make.file("a.jpg", corrupt))
        code_of(make.file("b.png", png_header(10_000, 10_000)))
    assert caught == []


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "BMP", "AVIF", "HEIF"])
def test_every_allowed_format_gives_the_same_picture(make, kind: str) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    image = decode_image(make.file("photo.img", make.encode(make.gradient(), kind)))
    assert image.format == kind
    assert (image.width, image.height) == (96, 64)
    assert image.pixels.dtype == np.uint8
    assert np.abs(image.pixels.astype(int) - make.gradient()).mean() < 4


def oriented(upright: np.ndarray, orientation: int) -> np.ndarray:
    """How a camera stores an upright picture: where row 0 and column 0 lie (EXIF 2.32, tag 0x0112)."""
    stored = {
        1: upright,
        2: np.fliplr(upright),
        3: np.rot90(upright, 2),
        4: np.flipud(upright),
        5: np.transpose(upright, (1, 0, 2)),
        6: np.rot90(upright, 1),
        7: np.rot90(np.transpose(upright, (1, 0, 2)), 2),
        8: np.rot90(upright, -1),
    }
    return np.ascontiguousarray(stored[orientation])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_a_photo_is_turned_upright_once(make, kind: str, orientation: int) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    upright = make.gradient()
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = make.encode(oriented(upright, orientation), kind, exif=exif.tobytes())
    image = decode_image(make.file("photo.img", data))
    assert (image.width, image.height) == (96, 64)
    assert np.abs(image.pixels.astype(int) - upright).mean() < 4
    if kind != "HEIF":  # its container turns the picture itself
        assert ("rotated" in image.flags) == (orientation != 1)


@pytest.mark.parametrize("orientation", [0, 9, 60000])
def test_an_orientation_that_does_not_exist_changes_nothing(make, orientation: int) -> None:
    data = make.with_exif(make.encode(make.gradient()), make.tiff([(0x0112, 3, 1, orientation.to_bytes(2, "little"))]))
    assert "rotated" not in decode_image(make.file("a.jpg", data)).flags


def test_turning_by_hand_on_two_pixels() -> None:
    stored = np.array([[[1, 1, 1], [2, 2, 2]]], np.uint8)
    assert apply_orientation(stored, 6)[:, :, 0].tolist() == [[1], [2]]
    assert apply_orientation(stored, 8)[:, :, 0].tolist() == [[2], [1]]
    assert apply_orientation(stored, 3)[:, :, 0].tolist() == [[2, 1]]


def saved(make, image: Image.Image, kind: str, name: str = "a.img", **options: object) -> Path:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return make.file(name, buffer.getvalue())


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_saturated(make, kind: str) -> None:
    values = np.linspace(0, 65535, 64 * 64).reshape(64, 64).astype(np.uint16)
    image = decode_image(saved(make, Image.fromarray(values), kind))
    assert "sixteen_bit" in image.flags
    assert np.abs(image.pixels[:, :, 0].astype(int) - np.round(values / 257)).max() <= 1
    assert image.pixels.min() == 0 and image.pixels.max() == 255


def test_floats_between_zero_and_one_fill_the_range_and_nan_is_black(make) -> None:
    values = np.linspace(0, 1, 64 * 64).reshape(64, 64).astype(np.float32)
    values[0, 5] = np.nan
    image = decode_image(saved(make, Image.fromarray(values), "TIFF"))
    assert "float" in image.flags
    assert image.pixels[-1, -1].tolist() == [255, 255, 255]
    assert image.pixels[0, 5].tolist() == [0, 0, 0]
    assert abs(int(image.pixels[32, 0, 0]) - 127) <= 2


def test_one_bit_is_black_and_white(make) -> None:
    values = np.indices((64, 64)).sum(axis=0) % 2 == 0
    image = decode_image(saved(make, Image.fromarray(values), "PNG"))
    assert "one_bit" in image.flags
    assert (image.pixels[:, :, 1] == values * 255).all()


def test_transparency_is_laid_over_black(make) -> None:
    pixels = np.full((40, 40, 4), 200, np.uint8)
    pixels[:, :20, 3], pixels[:, 20:30, 3], pixels[:, 30:, 3] = 0, 128, 255
    image = decode_image(saved(make, Image.fromarray(pixels), "PNG"))
    assert "alpha" in image.flags
    assert [int(image.pixels[5, x, 0]) for x in (5, 25, 35)] == [0, 100, 200]


def test_gray_with_transparency_and_palette_with_transparency(make) -> None:
    gray = np.dstack([np.full((40, 40), 90, np.uint8), np.full((40, 40), 255, np.uint8)])
    assert decode_image(saved(make, Image.fromarray(gray), "PNG")).pixels[3, 3].tolist() == [90, 90, 90]
    palette = Image.new("P", (40, 40), 1)
    palette.putpalette([255, 0, 0, 0, 255, 0])
    image = decode_image(saved(make, palette, "PNG", transparency=0))
    assert image.pixels[3, 3].tolist() == [0, 255, 0]
    assert {"palette", "alpha"} <= set(image.flags)


def test_lab_red_comes_out_red(make) -> None:
    # sRGB red relative to D50: L* 54.3, a* 80.8, b* 69.9 (Lindbloom). Stored as L*·255/100, a* and b* as signed bytes.
    lab = Image.frombytes("LAB", (40, 40), bytes([138, 81, 70]) * 1600)
    image = decode_image(saved(make, lab, "TIFF"))
    assert "lab" in image.flags
    red, green, blue = image.pixels[5, 5].astype(int)
    assert red > 240 and green < 25 and blue < 25


def test_cmyk_without_profile_is_converted(make) -> None:
    cmyk = Image.new("CMYK", (40, 40), (0, 255, 255, 0))
    image = decode_image(saved(make, cmyk, "JPEG"))
    assert "cmyk" in image.flags
    assert image.pixels[5, 5, 0] > 240 and image.pixels[5, 5, 1] < 15


def test_a_broken_colour_profile_does_not_lose_the_photo(make) -> None:
    cmyk = Image.new("CMYK", (40, 40), (0, 0, 0, 0))
    image = decode_image(saved(make, cmyk, "JPEG", icc_profile=b"no profile at all" * 20))
    assert image.pixels.min() > 240


def test_an_rgb_profile_is_no_obstacle(make) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = make.encode(make.gradient(), icc_profile=profile)
    assert decode_image(make.file("a.jpg", data)).width == 96


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF", "MPO"])
def test_of_several_frames_the_first_is_taken_and_flagged(make, kind: str) -> None:
    first, second = Image.new("RGB", (48, 40), (200, 0, 0)), Image.new("RGB", (48, 40), (0, 0, 200))
    image = decode_image(saved(make, first, kind, save_all=True, append_images=[second]))
    assert "first_frame" in image.flags
    assert image.pixels[5, 5, 0] > 180 and image.pixels[5, 5, 2] < 30


def test_a_photo_of_one_frame_is_not_flagged(make) -> None:
    assert decode_image(make.file("a.jpg", make.encode(make.gradient()))).flags == ()


def test_an_exif_block_that_would_cost_pillow_gigabytes_is_not_given_to_it(make) -> None:
    """5 000 entries that all claim the same 60 kB: Pillow alone would hold 300 MB."""
    import resource

    count = 5000
    entries = b"".join(
        (0x0200 + index).to_bytes(2, "little") + b"\x07\x00" + (60_000).to_bytes(4, "little") + bytes(4)
        for index in range(count)
    )
    block = b"II*\x00\x08\x00\x00\x00" + count.to_bytes(2, "little") + entries + bytes(4)
    path = make.file("a.jpg", make.with_exif(make.encode(make.gradient()), block))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert decode_image(path).width == 96
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_decoding_does_not_touch_the_file(make) -> None:
    path = make.photo([make.text(0x010F, "Reconyx")])
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    decode_image(path)
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_a_saved_jpeg_carries_pixels_and_nothing_else(make, tmp_path: Path) -> None:
    source = decode_image(make.photo([make.text(0x010F, "SecretCamera")], gps=[make.text(1, "N")]))
    save_jpeg(tmp_path / "out" / "crop.jpg", source.pixels, quality=92)
    with Image.open(tmp_path / "out" / "crop.jpg") as image:
        assert len(image.getexif()) == 0
        assert np.abs(np.asarray(image).astype(int) - source.pixels).mean() < 3
    assert b"SecretCamera" not in (tmp_path / "out" / "crop.jpg").read_bytes()
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["crop.jpg"]


def test_a_picture_of_pure_noise_is_saved(tmp_path: Path) -> None:
    """Pillow's optimised encoder overruns its buffer on such a picture and raises."""
    noise = np.random.default_rng(5).integers(0, 255, (500, 700, 3), np.uint8)
    save_jpeg(tmp_path / "noise.jpg", noise, quality=92)
    assert decode_image(tmp_path / "noise.jpg").pixels.shape == noise.shape


def test_a_gray_png_is_lossless(tmp_path: Path) -> None:
    gray = np.arange(2500, dtype=np.int64).reshape(50, 50).astype(np.uint8)
    save_png_gray(tmp_path / "mask.png", gray)
    with Image.open(tmp_path / "mask.png") as image:
        assert image.mode == "L" and (np.asarray(image) == gray).all()


def test_a_write_that_fails_leaves_the_old_file_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.bin"
    write_atomically(target, b"old")
    monkeypatch.setattr("os.fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    "wrong", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3), np.float32), np.zeros((0, 4, 3), np.uint8)]
)
def test_only_rgb_bytes_are_saved_as_jpeg(tmp_path: Path, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError):
        save_jpeg(tmp_path / "a.jpg", wrong)


def test_a_preview_keeps_the_shape_and_never_grows(make) -> None:
    assert make_preview(make.gradient(400, 200), 100).shape == (50, 100, 3)
    assert make_preview(make.gradient(40, 20), 100).shape == (20, 40, 3)
    assert make_preview(make.gradient(3000, 100), 30).shape == (1, 30, 3)


@pytest.mark.shared_data
def test_real_photos_in_gray_cmyk_turned_and_cut_off(shared_data: Path) -> None:
    folder = shared_data / "camera_traps" / "speciesnet"
    plain = decode_image(folder / "african_elephants.jpg").pixels.astype(int)
    cmyk = decode_image(folder / "african_elephants_cmyk.jpg")
    turned = decode_image(folder / "african_elephants_with_exif_orientation.jpg")
    gray = decode_image(folder / "african_elephants_bw.jpg")
    assert np.abs(plain - cmyk.pixels).mean() < 3
    assert np.abs(plain - turned.pixels).mean() < 4 and "rotated" in turned.flags
    assert np.abs(plain.mean(axis=2) - gray.pixels[:, :, 0]).mean() < 6
    assert code_of(folder / "african_elephants_truncated_file.jpg") == "truncated"

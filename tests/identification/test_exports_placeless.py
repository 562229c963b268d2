"""Exported photos tell no place, and not one pixel changes. Pillow reads what comes out."""

import io

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import PngImagePlugin

from identification.exports.placeless import without_places

GPS = 0x8825
EXIF = 0x8769
SECRET = b"Hidden Waterhole"


def pixels():
    rng = np.random.default_rng(5)
    return Pillow.fromarray(rng.integers(0, 255, (48, 64, 3), np.uint8))


def exif(*, gps=True, telling=True):
    data = Pillow.Exif()
    data[0x010F], data[0x0112] = "RECONYX", 6
    data.get_ifd(EXIF)[0x9003] = "2024:03:01 06:00:00"
    data.get_ifd(EXIF)[0x829A] = 0.004
    if telling:
        data[0x010E] = SECRET.decode()
        data.get_ifd(EXIF)[0x9286] = b"ASCII\x00\x00\x00" + SECRET
        data.get_ifd(EXIF)[0x927C] = b"MAKER" + SECRET
    if gps:
        data.get_ifd(GPS).update({1: "N", 2: (28.0, 30.0, 12.5), 3: "E", 4: (84.0, 3.0, 1.0)})
    return data


def jpeg(**options):
    buffer = io.BytesIO()
    pixels().save(buffer, "JPEG", quality=90, **options)
    return buffer.getvalue()


def with_segment(data, marker, payload):
    return data[:2] + bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload + data[2:]


def same_pixels(a, b):
    with Pillow.open(io.BytesIO(a)) as first, Pillow.open(io.BytesIO(b)) as second:
        return np.array_equal(np.asarray(first), np.asarray(second))


def test_nothing_is_no_photo():
    assert without_places(b"") is None
    assert without_places(b"\xff\xd8\xff") is None


def test_a_photo_without_telling_metadata_stays_the_same_file():
    data = jpeg(exif=exif(gps=False, telling=False))
    assert without_places(data) == data
    assert without_places(jpeg()) == jpeg()


@pytest.mark.parametrize("progressive", [False, True])
def test_gps_free_text_and_maker_notes_go_and_time_and_orientation_stay(progressive):
    data = jpeg(exif=exif(), progressive=progressive)
    clean = without_places(data)
    assert SECRET not in clean and SECRET in data
    assert same_pixels(data, clean)
    with Pillow.open(io.BytesIO(clean)) as image:
        read = image.getexif()
        assert not read.get_ifd(GPS)
        assert read[0x0112] == 6 and read[0x010F] == "RECONYX"
        assert read.get_ifd(EXIF)[0x9003] == "2024:03:01 06:00:00"
        assert float(read.get_ifd(EXIF)[0x829A]) == pytest.approx(0.004)
        assert set(read.get_ifd(EXIF)) == {0x9003, 0x829A}
    assert without_places(clean) == clean


def test_both_byte_orders_are_read():
    for order in ("<", ">"):
        data = exif()
        data.endian = order
        body = data.tobytes()
        clean = without_places(with_segment(jpeg(), 0xE1, body if body.startswith(b"Exif") else b"Exif\0\0" + body))
        with Pillow.open(io.BytesIO(clean)) as image:
            assert image.getexif()[0x0112] == 6
            assert not image.getexif().get_ifd(GPS)


@pytest.mark.parametrize(
    ("marker", "payload"),
    [
        (0xE1, b"http://ns.adobe.com/xap/1.0/\x00<x:xmpmeta>" + SECRET + b"</x:xmpmeta>"),
        (0xED, b"Photoshop 3.0\x008BIM\x04\x04\x00\x00\x00\x00\x00\x10" + SECRET),
        (0xFE, SECRET),
        (0xEB, SECRET),
    ],
)
def test_xmp_iptc_comments_and_unknown_segments_go(marker, payload):
    clean = without_places(with_segment(jpeg(), marker, payload))
    assert clean == jpeg()


def test_what_is_appended_after_the_picture_goes():
    hidden = jpeg(exif=exif())
    assert without_places(jpeg() + hidden) == jpeg()


def test_colour_profiles_and_cmyk_marks_stay():
    data = jpeg(icc_profile=b"profile" * 20)
    assert without_places(data) == data
    buffer = io.BytesIO()
    pixels().convert("CMYK").save(buffer, "JPEG")
    assert without_places(buffer.getvalue()) == buffer.getvalue()


def test_exif_that_cannot_be_followed_goes_whole():
    broken = with_segment(jpeg(), 0xE1, b"Exif\x00\x00II*\x00\xff\xff\xff\x7f" + SECRET)
    assert without_places(broken) == jpeg()
    many = with_segment(jpeg(), 0xE1, b"Exif\x00\x00II*\x00\x08\x00\x00\x00\xff\xff" + SECRET)
    assert without_places(many) == jpeg()


def test_a_broken_file_cannot_be_cleaned():
    assert without_places(b"\xff\xd8\xff\xe1\xff\xff" + SECRET) is None
    assert without_places(b"\x89PNG\r\n\x1a\n" + SECRET) is None
    assert without_places(b"GIF89a" + SECRET) is None


def test_png_text_and_gps_go():
    info = PngImagePlugin.PngInfo()
    info.add_text("Location", SECRET.decode())
    info.add_itxt("XML:com.adobe.xmp", SECRET.decode())
    buffer = io.BytesIO()
    pixels().save(buffer, "PNG", pnginfo=info, exif=exif())
    clean = without_places(buffer.getvalue())
    assert SECRET not in clean
    assert same_pixels(buffer.getvalue(), clean)
    with Pillow.open(io.BytesIO(clean)) as image:
        assert image.getexif()[0x0112] == 6
        assert not image.getexif().get_ifd(GPS)


def test_webp_metadata_goes():
    buffer = io.BytesIO()
    pixels().save(buffer, "WEBP", lossless=True, exif=exif().tobytes(), xmp=SECRET)
    clean = without_places(buffer.getvalue())
    assert SECRET not in clean
    assert same_pixels(buffer.getvalue(), clean)
    with Pillow.open(io.BytesIO(clean)) as image:
        assert not image.getexif()


def test_tiff_cannot_be_cleaned_without_encoding_anew():
    buffer = io.BytesIO()
    pixels().save(buffer, "TIFF")
    assert without_places(buffer.getvalue()) is None

"""EXIF as cameras and accidents write it (TRIALS, bad input 22–31). Blocks are built byte by byte by the fixture."""

import json
import struct
import time
from datetime import datetime
from pathlib import Path

import pytest

from preprocessing.imageio import ImageRejected
from preprocessing.metadata import PhotoMetadata, parse_exif_time, read_metadata
from preprocessing.walk import FoundPhoto, walk_photos

NOW = datetime(2026, 6, 1, 12, 0, 0)
ORIGINAL, DIGITIZED, MODIFIED = 0x9003, 0x9004, 0x0132


def read(path: Path) -> PhotoMetadata:
    found = read_metadata(path, now=NOW)
    json.dumps(found.exif, allow_nan=False)
    assert not any("GPS" in key for key in found.exif)
    return found


def hyperfire(*, moment: tuple[int, int, int, int, int, int], version: int = 0xF101) -> bytes:
    year, month, day, hour, minute, second = moment
    words = [version, *range(1, 11), second, minute, hour, month, day, year, 0, 0, 0]
    return struct.pack(f"<{len(words)}H", *words)


def test_a_photo_without_exif_knows_only_its_size(make) -> None:
    found = read(make.file("a.jpg", make.encode(make.gradient())))
    assert (found.width, found.height) == (96, 64)
    assert (found.captured_at, found.captured_raw, found.offset, found.gps, found.exif) == (None, "", None, None, {})
    assert (found.make, found.model) == ("", "")
    assert found.flags == ("no_time",)


def test_time_zone_maker_and_model_are_read(make) -> None:
    path = make.photo(
        [make.text(0x010F, "RECONYX "), make.text(0x0110, "HC500")],
        [make.text(ORIGINAL, "2019:03:01 19:49:36"), make.text(0x9011, "+05:30")],
    )
    found = read(path)
    assert found.captured_at == datetime(2019, 3, 1, 19, 49, 36)
    assert (found.captured_raw, found.offset) == ("2019:03:01 19:49:36", "+05:30")
    assert (found.make, found.model) == ("RECONYX", "HC500")
    assert found.exif["Make"] == "RECONYX"
    assert found.flags == ()


def test_big_endian_is_read_as_well(make) -> None:
    block = make.tiff([make.text(0x010F, "Cuddeback")], [make.text(ORIGINAL, "2019:03:01 19:49:36")], order=">")
    found = read(make.file("a.jpg", make.with_exif(make.encode(make.gradient()), block)))
    assert (found.make, found.captured_at) == ("Cuddeback", datetime(2019, 3, 1, 19, 49, 36))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_other_formats_carry_exif_too(make, kind: str) -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()
    block = make.tiff([make.text(0x010F, "Bushnell")], [make.text(ORIGINAL, "2019:03:01 19:49:36")])
    found = read(make.file("a.img", make.encode(make.gradient(), kind, exif=b"Exif\x00\x00" + block)))
    assert (found.make, found.captured_at) == ("Bushnell", datetime(2019, 3, 1, 19, 49, 36))


@pytest.mark.parametrize(
    "text", ["0000:00:00 00:00:00", "2019:13:01 10:00:00", "2019:02:30 10:00:00", "2019:03:01 25:00:00", "yesterday"]
)
def test_a_time_that_is_none_is_null_with_a_flag_and_its_text(make, text: str) -> None:
    found = read(make.photo(exif=[make.text(ORIGINAL, text)]))
    assert found.captured_at is None
    assert found.captured_raw == text
    assert "bad_time" in found.flags


def test_blank_times_count_as_none(make) -> None:
    assert "no_time" in read(make.photo(exif=[make.text(ORIGINAL, "    :  :     :  :  ")])).flags


@pytest.mark.parametrize("text", ["1970:01:01 00:00:12", "2000:01:01 00:03:00", "2027:01:01 10:00:00"])
def test_a_clock_that_was_reset_or_runs_ahead_is_suspect(make, text: str) -> None:
    found = read(make.photo(exif=[make.text(ORIGINAL, text)]))
    assert found.captured_at is not None
    assert "clock_suspect" in found.flags


def test_a_bad_original_time_gives_way_to_the_digitized_one(make) -> None:
    tags = [make.text(ORIGINAL, "0000:00:00 00:00:00"), make.text(DIGITIZED, "2019:03:01 19:49:36")]
    assert read(make.photo(exif=tags)).captured_at == datetime(2019, 3, 1, 19, 49, 36)


def test_the_time_of_last_change_is_used_last_and_flagged(make) -> None:
    found = read(make.photo([make.text(MODIFIED, "2019:03:01 19:49:36")]))
    assert found.captured_at == datetime(2019, 3, 1, 19, 49, 36)
    assert "time_from_modified" in found.flags


def test_a_reconyx_time_in_the_maker_note_is_found(make) -> None:
    note = hyperfire(moment=(2012, 6, 14, 18, 38, 11))
    found = read(make.photo(exif=[(0x927C, 7, len(note), note)]))
    assert found.captured_at == datetime(2012, 6, 14, 18, 38, 11)
    assert "time_from_maker_note" in found.flags


def test_other_maker_notes_give_no_time(make) -> None:
    note = hyperfire(moment=(2012, 6, 14, 18, 38, 11), version=0x1234)
    assert read(make.photo(exif=[(0x927C, 7, len(note), note)])).captured_at is None


@pytest.mark.parametrize(
    ("text", "hour"), [("2019:03:01 19:49:36", 19), ("2019-03-01T09:49:36", 9), (" 2019/3/1 1:2:3", 1)]
)
def test_times_in_the_spellings_that_occur(text: str, hour: int) -> None:
    parsed = parse_exif_time(text)
    assert parsed is not None and (parsed.year, parsed.day, parsed.hour) == (2019, 1, hour)


@pytest.mark.parametrize("zone", ["5:30", "+99:00", "UTC", ""])
def test_a_zone_that_is_none_is_left_out(make, zone: str) -> None:
    assert read(make.photo(exif=[make.text(0x9011, zone)])).offset is None


def test_nul_and_control_characters_are_stripped(make) -> None:
    found = read(make.photo([make.text(0x010F, b"Rec\x01onyx\x00\x00rest"), make.text(0x0110, b"\x00\x00\x00")]))
    assert (found.make, found.model) == ("Reconyx", "")
    assert "\x00" not in json.dumps(found.exif)


def test_utf8_and_latin1_are_decoded(make) -> None:
    found = read(make.photo([make.text(0x010E, "Réserve".encode()), make.text(0x013B, "Müller".encode("latin-1"))]))
    assert found.exif["ImageDescription"] == "Réserve"
    assert found.exif["Artist"] == "Müller"


def test_comments_and_windows_titles_are_decoded(make) -> None:
    comment = b"UNICODE\x00" + "čita".encode("utf-16-le")
    title = "Léopard".encode("utf-16-le") + b"\x00\x00"
    found = read(make.photo([(0x9C9B, 1, len(title), title)], [(0x9286, 7, len(comment), comment)]))
    assert found.exif["UserComment"] == "čita"
    assert found.exif["XPTitle"] == "Léopard"


def test_rationals_without_value_are_left_out_or_null(make) -> None:
    found = read(make.photo(exif=[make.rationals(0x829A, (0, 0)), make.rationals(0xA432, (50, 1), (0, 0))]))
    assert "ExposureTime" not in found.exif
    assert found.exif["LensSpecification"] == [50.0, None]


def gps(make, latitude, north: str, longitude, east: str) -> list:
    return [make.text(1, north), make.rationals(2, *latitude), make.text(3, east), make.rationals(4, *longitude)]


def test_a_position_is_in_its_own_field_only(make) -> None:
    found = read(make.photo(gps=gps(make, [(12, 1), (30, 1), (36, 1)], "S", [(77, 1), (15, 1), (0, 1)], "E")))
    assert found.gps == pytest.approx((-12.51, 77.25))
    assert found.exif == {}
    assert "gps_ignored" not in found.flags


@pytest.mark.parametrize(
    ("latitude", "longitude", "east"),
    [
        ([(0, 1), (0, 1), (0, 1)], [(0, 1), (0, 1), (0, 1)], "E"),
        ([(91, 1), (0, 1), (0, 1)], [(10, 1), (0, 1), (0, 1)], "E"),
        ([(10, 1), (0, 1), (0, 1)], [(181, 1), (0, 1), (0, 1)], "E"),
        ([(10, 1), (0, 0), (0, 1)], [(10, 1), (0, 1), (0, 1)], "E"),
        ([(10, 1), (0, 1), (0, 1)], [(10, 1), (0, 1), (0, 1)], "?"),
    ],
)
def test_a_position_that_cannot_be_is_ignored_and_flagged(make, latitude, longitude, east: str) -> None:
    found = read(make.photo(gps=gps(make, latitude, "N", longitude, east)))
    assert found.gps is None
    assert "gps_ignored" in found.flags


def test_a_longitude_without_latitude_is_ignored(make) -> None:
    assert "gps_ignored" in read(make.photo(gps=[make.text(3, "E"), make.rationals(4, (7, 1))])).flags


def test_an_xmp_block_that_may_hold_a_place_is_left_out(make) -> None:
    xmp = b"<x:xmpmeta>Secret waterhole 12.51S 77.25E</x:xmpmeta>"
    assert "Secret" not in json.dumps(read(make.photo([(0x02BC, 1, len(xmp), xmp)])).exif)


def test_directories_that_point_at_each_other_end(make) -> None:
    """The EXIF pointer names the main directory, which holds it."""
    block = b"II*\x00\x08\x00\x00\x00" + struct.pack("<HHHII", 1, 0x8769, 4, 1, 8) + bytes(4)
    found = read(make.file("a.jpg", make.with_exif(make.encode(make.gradient()), block)))
    assert "exif_damaged" in found.flags


def test_a_huge_maker_note_is_bounded(make) -> None:
    note = bytes(60_000)
    tags = [(0x927C, 7, 900_000_000, note), make.text(ORIGINAL, "2019:03:01 19:49:36")]
    started = time.perf_counter()
    found = read(make.photo(exif=tags))
    assert found.captured_at is not None
    assert "exif_bounded" in found.flags
    assert time.perf_counter() - started < 1


def test_thousands_of_entries_over_the_same_bytes_are_bounded(make) -> None:
    count = 5000
    entries = b"".join(struct.pack("<HHII", 0x0200 + index, 2, 60_000, 0) for index in range(count))
    block = b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", count) + entries + bytes(4)
    found = read(make.file("a.jpg", make.with_exif(make.encode(make.gradient()), block)))
    assert "exif_bounded" in found.flags
    assert len(json.dumps(found.exif)) < 1_000_000


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II",
        b"XX*\x00\x08\x00\x00\x00",
        b"II*\x00\xff\xff\xff\xff",
        b"II*\x00\x08\x00\x00\x00\xff\xff",
        bytes(100),
    ],
)
def test_a_block_of_nonsense_is_no_error(make, block: bytes) -> None:
    found = read(make.file("a.jpg", make.with_exif(make.encode(make.gradient()), block)))
    assert found.captured_at is None


def test_every_cut_of_a_real_block_is_no_error(make) -> None:
    block = make.tiff(
        [make.text(0x010F, "RECONYX")],
        [make.text(ORIGINAL, "2019:03:01 19:49:36"), make.rationals(0x829A, (1, 60))],
        gps(make, [(12, 1), (30, 1), (36, 1)], "S", [(77, 1), (15, 1), (0, 1)], "E"),
    )
    jpeg = make.encode(make.gradient())
    for length in range(len(block)):
        read(make.file("a.jpg", make.with_exif(jpeg, block[:length])))


def test_width_and_height_are_those_of_the_upright_photo(make) -> None:
    found = read(make.photo([(0x0112, 3, 1, b"\x06\x00")]))
    assert (found.width, found.height) == (64, 96)
    assert "rotated" in found.flags


def test_a_file_without_a_readable_header_is_refused(make) -> None:
    for data, code in ((b"", "empty"), (b"<html></html>", "not_image"), (b"\xff\xd8\xff\xe0", "unreadable")):
        with pytest.raises(ImageRejected) as refused:
            read_metadata(make.file("a.jpg", data))
        assert refused.value.code == code


@pytest.mark.shared_data
def test_the_maker_note_of_real_reconyx_photos_equals_their_exif_time(shared_data: Path) -> None:
    from preprocessing.exif import MAKER_NOTE, read_exif
    from preprocessing.jpeg_header import read_jpeg_header
    from preprocessing.metadata import _hyperfire_time

    compared = 0
    for path in sorted((shared_data / "camera_traps").rglob("*.jp*g")):
        exif = read_exif(read_jpeg_header(path.read_bytes()).exif).exif
        if MAKER_NOTE in exif and ORIGINAL in exif and (noted := _hyperfire_time(exif[MAKER_NOTE])):
            assert noted == exif[ORIGINAL].text()
            compared += 1
    assert compared >= 7


@pytest.mark.shared_data
@pytest.mark.parametrize("folder", ["camera_traps", "snow_leopard", "formats/camtrapR", "formats/camtrap_dp"])
def test_every_real_photo_gives_metadata(shared_data: Path, folder: str) -> None:
    photos = [found for found in walk_photos(shared_data / folder) if isinstance(found, FoundPhoto)]
    assert photos
    for photo in photos:
        found = read(photo.path)
        assert found.width >= 32 and found.height >= 32


@pytest.mark.shared_data
def test_the_overlay_of_a_real_snow_leopard_photo_confirms_its_maker_note(shared_data: Path) -> None:
    """The strip of the photo reads 2012-06-14 6:38:11 PM; its file name is 13 hours behind."""
    name = "01__Station05__Camera1__2012-6-14__5-38-10(4).JPG"
    found = read(shared_data / "snow_leopard" / "left_diff_cats" / name)
    assert found.captured_at == datetime(2012, 6, 14, 18, 38, 11)

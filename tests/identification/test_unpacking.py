"""Zip files that mean harm, and those that are only broken."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

import pytest

from identification.services.unpacking import Limits, safe_parts, zip_unpack

LIMITS = Limits(member=64 << 20, total=128 << 20, members=50, ratio=100)


def _zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def _unpack(archive: Path, into: Path, limits: Limits = LIMITS) -> dict[str, str]:
    into.mkdir(exist_ok=True)
    return {path: code for path, code, _ in zip_unpack(archive=archive, into=into, name="a.zip", limits=limits)}


def _files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_an_empty_archive_holds_nothing(tmp_path: Path) -> None:
    assert _unpack(_zip(tmp_path / "a.zip"), tmp_path / "out") == {}
    assert _files(tmp_path / "out") == set()


def test_folders_are_kept_and_unpacking_again_changes_nothing(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", ("ST01/A/1.jpg", b"one"), ("ST01/B/1.jpg", b"two"), ("ünï.jpg", b"three"))
    assert _unpack(archive, tmp_path / "out") == {}
    assert _files(tmp_path / "out") == {"ST01/A/1.jpg", "ST01/B/1.jpg", "ünï.jpg"}
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.jpg")}
    # Half of a file, as a killed worker leaves it.
    (tmp_path / "out/ST01/B/1.jpg").write_bytes(b"t")
    assert _unpack(archive, tmp_path / "out") == {}
    assert (tmp_path / "out/ST01/B/1.jpg").read_bytes() == b"two"
    first = tmp_path / "out/ST01/A/1.jpg"
    assert first.stat().st_mtime_ns == before[first]


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/evil.jpg", "..\\evil.jpg", "C:evil.jpg", "a//b.jpg"]
)
def test_a_path_that_leads_out_is_refused_and_named(tmp_path: Path, name: str) -> None:
    archive = _zip(tmp_path / "a.zip", (name, b"x"), ("good.jpg", b"y"))
    (tmp_path / "deep").mkdir()
    assert _unpack(archive, tmp_path / "deep" / "out") == {f"a.zip/{name}": "zip_path"}
    assert _files(tmp_path) == {"a.zip", "deep/out/good.jpg"}


def test_links_archives_and_encrypted_files_are_refused_and_named(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.jpg")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = _zip(
        tmp_path / "a.zip", (link, b"/etc/passwd"), ("inner.ZIP", b"PK"), ("good.jpg", b"y"), ("GOOD.jpg", b"z")
    )
    assert _unpack(archive, tmp_path / "out") == {
        "a.zip/link.jpg": "zip_special",
        "a.zip/inner.ZIP": "zip_nested",
        "a.zip/GOOD.jpg": "zip_twice",
    }
    assert _files(tmp_path / "out") == {"good.jpg"}


def test_an_encrypted_file_is_refused_and_named(tmp_path: Path) -> None:
    data = bytearray(_zip(tmp_path / "a.zip", ("secret.jpg", b"x" * 40)).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = data.index(signature) + offset
        data[at : at + 2] = struct.pack("<H", 1)
    (tmp_path / "a.zip").write_bytes(data)
    assert _unpack(tmp_path / "a.zip", tmp_path / "out") == {"a.zip/secret.jpg": "zip_encrypted"}


def test_a_bomb_is_refused_before_it_grows(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", ("bomb.jpg", bytes(40 << 20)), ("good.jpg", b"y"))
    assert archive.stat().st_size < 100_000
    assert _unpack(archive, tmp_path / "out") == {"a.zip/bomb.jpg": "zip_bomb"}
    assert _files(tmp_path / "out") == {"good.jpg"}


def test_a_member_that_lies_about_its_size_never_writes_more(tmp_path: Path) -> None:
    data = bytearray(_zip(tmp_path / "a.zip", ("lie.jpg", bytes(1 << 20))).read_bytes())
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(signature) + offset
        data[at : at + 4] = struct.pack("<I", 100)
    (tmp_path / "a.zip").write_bytes(data)
    assert _unpack(tmp_path / "a.zip", tmp_path / "out") == {"a.zip/lie.jpg": "zip_damaged"}
    assert _files(tmp_path / "out") == set()


def test_limits_are_kept_together(tmp_path: Path) -> None:
    archive = _zip(tmp_path / "a.zip", *((f"{n}.bin", bytes([n]) * 1000) for n in range(5)), kind=zipfile.ZIP_STORED)
    few = Limits(member=1000, total=2500, members=50, ratio=100)
    assert _unpack(archive, tmp_path / "out", few) == {"a.zip/2.bin": "zip_too_large"}
    assert _files(tmp_path / "out") == {"0.bin", "1.bin"}
    assert _unpack(archive, tmp_path / "none", Limits(1000, 9000, 4, 100)) == {"a.zip": "zip_members"}
    assert _unpack(archive, tmp_path / "small", Limits(999, 9000, 9, 100)).keys() == {
        f"a.zip/{n}.bin" for n in range(5)
    }
    assert _files(tmp_path / "none") == _files(tmp_path / "small") == set()


@pytest.mark.parametrize("cut", [0, 1, 10, 60])
def test_what_is_no_archive_any_more_is_named(tmp_path: Path, cut: int) -> None:
    whole = _zip(tmp_path / "a.zip", ("good.jpg", b"y" * 500), kind=zipfile.ZIP_STORED).read_bytes()
    (tmp_path / "a.zip").write_bytes(whole[:cut] if cut != 60 else whole[:60] + b"!" + whole[61:])
    refused = _unpack(tmp_path / "a.zip", tmp_path / "out")
    assert set(refused.values()) == {"zip_damaged"}
    assert _files(tmp_path / "out") == set()


def test_paths_of_files_are_told_from_others() -> None:
    assert safe_parts("ST01/A/IMG 0001.JPG") == ["ST01", "A", "IMG 0001.JPG"]
    bad = ["", "/", "a/", "./a", "a/..", "a\x00b", "a\nb", " a", "a ", "a.", "x" * 201, "/".join("a" * 21), "a" * 3000]
    assert [path for path in bad if safe_parts(path) is not None] == []

"""Large tables are read from the disk as small ones are from memory, and do not fill it. No database."""

from __future__ import annotations

import csv
import json
import tracemalloc
from pathlib import Path

import pytest

from identification.imports import camtrapdp, sheets, spill, timelapse
from identification.imports.reading import Issue, Options, PhotoRecord, UnusableFile
from identification.imports.registry import kind_of
from identification.imports.sheets import Glance, Sheet
from identification.imports.spill import Spill
from identification.imports.tables import table_of

TABLES = [
    b"",
    b"\n\r\n  ,\n",
    b"File,Folder\n1.jpg,A\n\n2.jpg,B,more\n",
    b"\r\n\r\nFile;Folder;Caf\xe9\n1.jpg;A;\xff\n",
    b"\xef\xbb\xbfFile\tFolder\n1.jpg\t\xc3\xa9\n",
    "File,Größe\n1.jpg,ä\n".encode("utf-16"),
    "File,Size\n1.jpg,2\n".encode("utf-16-le"),
    "File,Size\n1.jpg,2\n".encode("utf-16-be"),
    "File,Size\n1.jpg,2\n".encode("utf-16")[:-1],
    b'File,Note\n1.jpg,"two\nlines"\n2.jpg,\'=1+1\n3.jpg,"a ""b"""\r\n',
    b"File,Folder\r1.jpg,A\r2.jpg,B\r",
    b"File,Fol\x00der\n1.jpg,A\n",
    b"File\xff,Folder\n\x001.jpg,A\n",
    b"PK\x03\x04 a spreadsheet",
    b"File,Note\n1.jpg," + b"x" * 140_000 + b"\n",
    b"File,Note\n" + "ä".encode() * 3000 + b",1\n",
]


def outcome(read: object) -> object:
    try:
        return read()  # type: ignore[operator]
    except UnusableFile as refused:
        return refused.code, refused.words


@pytest.mark.parametrize("data", TABLES)
def test_a_sheet_says_what_the_table_says(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Pieces that end within characters and lines.
    monkeypatch.setattr(sheets, "_PIECE", 4000)
    path = tmp_path / "table.csv"
    path.write_bytes(data)

    def whole() -> object:
        table = table_of(data)
        return table.heading, table.rows, table.words

    def streamed() -> object:
        sheet = Sheet(path)
        rows = tuple(sheet)
        assert tuple(sheet) == rows
        return sheet.heading, rows, sheet.said(len(rows))

    assert outcome(streamed) == outcome(whole)


@pytest.mark.parametrize("data", TABLES[2:8])
def test_a_glance_knows_the_heading_of_a_table_of_any_size(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(data * 50)
    for head in (len(data) - 3, len(data) - 2, 4000):
        monkeypatch.setattr(sheets, "_HEAD", head)
        assert Glance(path).heading == table_of(data).heading


def test_a_line_that_never_ends_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MOST_LINE", 100)
    (tmp_path / "t.csv").write_text("File,Folder\n" + "x" * 200)
    with pytest.raises(UnusableFile, match="cannot be read from line 1 on: a line is too long"):
        list(Sheet(tmp_path / "t.csv"))


def test_a_large_file_is_recognised_by_its_beginning_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a request, of which the whole file is no part."""
    path = tmp_path / "table.csv"
    with path.open("wb") as out:
        out.write(b"File,RelativePath,DeleteFlag,Species\n" + b"1.jpg,A,false,Leopard\n" * 20_000)
        out.truncate(300 << 20)
    monkeypatch.setattr(Path, "read_bytes", lambda self: pytest.fail("the file is read whole"))
    tracemalloc.start()
    try:
        assert kind_of(path) is timelapse.KIND
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_what_is_spilled_comes_back_in_order_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spill, "_PIECE", 3)
    store = Spill(tmp_path)
    groups, listing, names = store.groups(), store.listing(), store.names()
    assert (list(groups), list(listing), len(groups), groups.of("none")) == ([], [], 0, [])
    for line, name in enumerate("cabbac'", 1):
        groups.add(name, line, [name, 1.5, None])
        listing.append({"line": line, "é": [line]})
    assert [(name, [line for line, _ in own]) for name, own in groups] == [
        ("c", [1, 6]),
        ("a", [2, 5]),
        ("b", [3, 4]),
        ("'", [7]),
    ]
    assert groups.of("a") == [(2, ["a", 1.5, None]), (5, ["a", 1.5, None])]
    assert [one["line"] for one in listing] == [1, 2, 3, 4, 5, 6, 7] and len(listing) == 7
    assert [names.add(name) for name in ("b", "b", "z")] == [True, False, True]
    assert list(groups.without(names)) == ["'", "a", "c"]
    assert len(list(tmp_path.iterdir())) == 1
    del store
    assert groups.of("b")
    del groups, listing, names
    assert list(tmp_path.iterdir()) == []


def package(folder: Path, photos: int) -> Path:
    """A Camtrap DP package with three observations of each photo, and one of an event."""
    folder.mkdir()
    tables = {
        "deployments": [("deploymentID", "deploymentStart", "deploymentEnd"), ("d", "2024-01-01T00:00:00Z", "")],
        "media": [("mediaID", "deploymentID", "filePath", "fileName", "timestamp", "fileMediatype")],
        "observations": [("observationID", "mediaID", "observationType", "scientificName", "individualID")],
    }
    for n in range(photos):
        tables["media"].append((f"m{n}", "d", f"a/{n}.jpg", f"{n}.jpg", "2024-01-01T00:00:00Z", "image/jpeg"))
    for n in range(3 * photos):
        species, animal = ("Panthera pardus", f"L-{n % 50}") if n % 7 == 0 else ("", "")
        tables["observations"].append((f"o{n}", f"m{n % photos}", "animal", species, animal))
        tables["observations"].append((f"e{n}", "", "animal", "Panthera pardus", ""))
    for name, rows in tables.items():
        with (folder / f"{name}.csv").open("w", newline="") as out:
            csv.writer(out).writerows(rows)
    about = {"profile": "camtrap-dp", "version": "1.0", "resources": [{"name": n, "path": f"{n}.csv"} for n in tables]}
    (folder / "datapackage.json").write_text(json.dumps(about))
    return folder


def peak_of(folder: Path, photos: int) -> tuple[int, int, int]:
    path = package(folder, photos)
    tracemalloc.start()
    try:
        reading = camtrapdp.read(path, Options(spill=folder))
        found = sum(isinstance(item, PhotoRecord) for item in reading.photos)
        told = sum(isinstance(issue, Issue) and issue.code == "event_level" for issue in reading.issues)
        return tracemalloc.get_traced_memory()[1], found, told
    finally:
        tracemalloc.stop()


def test_a_package_of_four_times_the_rows_takes_no_more_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "_PIECE", 4000)
    monkeypatch.setattr(spill, "_PIECE", 50)
    peak_of(tmp_path / "first", 10)
    small, large = peak_of(tmp_path / "small", 500), peak_of(tmp_path / "large", 2000)
    assert (small[1:], large[1:]) == ((500, 1500), (2000, 6000))
    assert large[0] < 1.3 * small[0]

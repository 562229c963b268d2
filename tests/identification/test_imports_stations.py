"""Tables of stations as people save them, and days as people write them."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path

import pytest

from identification.imports import stations
from identification.imports.dates import moment_in, order_of
from identification.imports.reading import Options, Reading, UnusableFile
from identification.imports.tables import decoded, table_of
from identification.matching.operation import Operation

CAMTRAPR = """Station,utm_y,utm_x,Setup_date,Retrieval_date,Problem1_from,Problem1_to
StationA,604000,526000,02/04/2009,14/05/2009,,
StationB,606000,523000,03/04/2009,16/05/2009,,
StationC,607050,525000,04/04/2009,17/05/2009,12/05/2009,17/05/2009
"""


def _read(text: str | bytes, tmp_path: Path, **options: str) -> Reading:
    path = tmp_path / "stations.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return stations.read(path, Options(**options))


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_an_empty_table_is_said_to_be(data: bytes) -> None:
    with pytest.raises(UnusableFile, match="empty"):
        table_of(data)


def test_camtrapr_s_own_table_is_read(tmp_path: Path) -> None:
    reading = _read(CAMTRAPR, tmp_path)
    assert [record.code for record in reading.stations] == ["StationA", "StationB", "StationC"]
    assert reading.operations[0].operation == Operation(date(2009, 4, 2), date(2009, 5, 14))
    assert reading.operations[2].operation.problems == ((date(2009, 5, 12), date(2009, 5, 17)),)
    assert reading.issues == ()
    assert any("utm_x" in note for note in reading.notes) and any("day, month" in note for note in reading.notes)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("divider", [",", ";", "\t"])
def test_encoding_and_divider_are_found_out(encoding: str, divider: str, tmp_path: Path) -> None:
    rows = [
        ["Station", "Camera", "Lat", "Lon", "Setup_date", "Retrieval_date"],
        ["Peña", "A", "27.5" if divider == "," else "27,5", "-84.25", "2024-03-01 17:30", "2024-03-20"],
        ["Peña", "B", "27.5" if divider == "," else "27,5", "-84.25", "2024-03-01", ""],
    ]
    text = "\r\n".join(divider.join(row) for row in rows)
    reading = _read(text.encode(encoding), tmp_path)
    (station,) = reading.stations
    assert (station.code, station.latitude, station.longitude) == ("Peña", 27.5, -84.25)
    one, other = (record.operation for record in reading.operations)
    assert one == Operation(datetime(2024, 3, 1, 17, 30), date(2024, 3, 20), (), "A")
    assert other == Operation(date(2024, 3, 1), None, (), "B")
    assert not reading.issues


def test_bad_lines_are_named_and_the_others_are_read(tmp_path: Path) -> None:
    text = (
        "Station;Lat;Lon;Setup_date;Retrieval_date;Problem1_from;Problem1_to\n"
        "ST01;x;84;2024-03-01;2024-03-09;;\n"
        "ST02;27;84;2024-03-01;2024-02-09;;\n"
        "ST03;27;84;2024-13-01;2024-03-09;;\n"
        ";27;84;2024-03-01;2024-03-09;;\n"
        "ST04;27;84;2024-03-01;2024-03-09;2024-03-03;\n"
        "ST05;27;84;NA;2024-03-09;;\n"
        "ST06;27;84;2024-03-01;2024-03-09;2024-04-03;2024-04-04\n"
        "'=ST07;27;84;2024-03-01;2024-03-09;NA;NA\n"
        "'=ST07;28;84;2024-03-01;2024-03-09;;\n"
    )
    reading = _read(text, tmp_path)
    assert [(issue.row, issue.code) for issue in reading.issues] == [
        (2, "bad_coordinate"),
        (3, "reversed"),
        (4, "bad_date"),
        (5, "no_station"),
        (6, "half_problem"),
        (7, "no_set_up"),
        (8, "problem_outside"),
        (10, "two_places"),
        (10, "twice"),
    ]
    assert [record.station for record in reading.operations] == ["ST01", "=ST07"]


def test_days_that_could_be_both_are_asked_about(tmp_path: Path) -> None:
    text = "station,start,end\nST01,03/04/2009,05/06/2009\n"
    with pytest.raises(UnusableFile, match="cannot be told apart"):
        _read(text, tmp_path)
    assert _read(text, tmp_path, date_order="dmy").operations[0].operation.set_up == date(2009, 4, 3)
    assert _read(text, tmp_path, date_order="mdy").operations[0].operation.set_up == date(2009, 3, 4)
    with pytest.raises(UnusableFile, match="Write them alike"):
        _read("station,start,end\nST01,13/04/2009,05/16/2009\n", tmp_path)


@pytest.mark.parametrize(
    ("cell", "order", "expected"),
    [
        ("2024-03-01", "dmy", date(2024, 3, 1)),
        ("01.03.2024", "dmy", date(2024, 3, 1)),
        ("3/1/24", "mdy", date(2024, 3, 1)),
        ("1/3/98", "dmy", date(1998, 3, 1)),
        ("01-Mar-2024", "dmy", date(2024, 3, 1)),
        ("1 März 2024", "dmy", date(2024, 3, 1)),
        ("1 ene. 2024", "dmy", date(2024, 1, 1)),
        ("20240301", "dmy", date(2024, 3, 1)),
        ("45352", "dmy", date(2024, 3, 1)),
        ("45352.5", "dmy", datetime(2024, 3, 1, 12)),
        ("45352,25", "dmy", datetime(2024, 3, 1, 6)),
        ("2024-03-01T17:30:05", "ymd", datetime(2024, 3, 1, 17, 30, 5)),
        ("3/1/2024 5:30 PM", "mdy", datetime(2024, 3, 1, 17, 30)),
        ("3/1/2024 12:05 am", "mdy", datetime(2024, 3, 1, 0, 5)),
    ],
)
def test_days_are_read_as_people_write_them(cell: str, order: str, expected: date) -> None:
    found = moment_in(cell, order)
    assert found == expected and type(found) is type(expected)


@pytest.mark.parametrize(
    "cell", ["", "soon", "31/02/2024", "2024-13-01", "1/1/0202", "2024-03-01 25:00", "2024-03-01T10:00+02:00", "99999"]
)
def test_what_is_no_day_is_refused(cell: str) -> None:
    with pytest.raises(ValueError):
        moment_in(cell, "dmy")


def test_the_order_is_that_of_all_cells() -> None:
    assert order_of([]).order == "ymd" and not order_of(["2024-03-01"]).ambiguous
    assert order_of(["03/04/2009", "14/05/2009"]) == order_of(["14.05.2009"])
    assert order_of(["03/04/2009", "05/14/2009"]).order == "mdy"
    assert order_of(["03/04/2009"]).ambiguous and not order_of(["03/03/2009", "4-Mar-2009"]).ambiguous


@pytest.mark.parametrize("data", [b"PK\x03\x04rest", b"\xff\xfea", b"a\x00\x81\x00\x00"])
def test_what_is_no_text_is_refused(data: bytes) -> None:
    with pytest.raises(UnusableFile):
        decoded(data)


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "station,camera\nST01,A\n"])
def test_other_tables_are_refused_with_what_is_missing(text: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="first line"):
        _read(text, tmp_path)

"""Timelapse's table. No database."""

from __future__ import annotations

from pathlib import Path

import pytest

from identification.imports import stations, timelapse
from identification.imports.reading import Issue, Options, PhotoRecord, UnusableFile
from identification.imports.registry import kind_of

HEAD = "RootFolder,File,RelativePath,DateTime,DeleteFlag,Species,Count,Empty,HumanCount,Comment\n"


def _read(text: str, tmp_path: Path) -> tuple[list[PhotoRecord], list[Issue]]:
    path = tmp_path / "TimelapseData.csv"
    path.write_text(text)
    items = list(timelapse.read(path, Options()).photos)
    return [i for i in items if isinstance(i, PhotoRecord)], [i for i in items if isinstance(i, Issue)]


def test_a_table_without_rows_says_nothing(tmp_path: Path) -> None:
    assert _read(HEAD, tmp_path) == ([], [])


def test_species_empties_and_people_are_read(tmp_path: Path) -> None:
    photos, issues = _read(
        HEAD + "C,1.JPG,ST01\\A,2024-03-01 10:00:00,false,Panthera pardus,1,false,,=cmd\n"
        "C,2.JPG,ST01\\A,2024-03-01 10:00:00,false,,,true,0,\n"
        "C,3.JPG,ST01\\A,2024-03-01 10:00:00,false,Human,2,false,,\n"
        "C,4.JPG,,2024-03-01 10:00:00,false,,,false,3,\n"
        "C,5.JPG,ST01\\A,2024-03-01 10:00:00,false,Chital,0,false,,\n"
        "C,6.JPG,ST01\\A,2024-03-01 10:00:00,false,,,false,,\n",
        tmp_path,
    )
    assert not issues
    assert [(photo.path, photo.species, photo.looked, photo.people) for photo in photos] == [
        ("ST01/A/1.JPG", "Panthera pardus", False, False),
        ("ST01/A/2.JPG", "", True, False),
        ("ST01/A/3.JPG", "", False, True),
        ("4.JPG", "", False, True),
    ]


def test_what_is_unclear_is_told(tmp_path: Path) -> None:
    photos, issues = _read(
        HEAD + "C,1.JPG,A,,TRUE,Leopard,,,,\n"
        "C,,A,,false,Leopard,,,,\n"
        "C,2.JPG,A,,false,Leopard,1,,,\nC,2.JPG,A,,false,Chital,1,,,\n"
        "C,3.JPG,A,,false,Leopard,1,true,,\n"
        "C,4.JPG,A,,false,Leopard,1,,,\nC,4.JPG,A,,false,Leopard,2,,,\n",
        tmp_path,
    )
    assert [(issue.row, issue.code) for issue in issues] == [
        (2, "delete_flag"),
        (3, "no_name"),
        (4, "several_species"),
        (6, "empty_and_not"),
    ]
    assert [(photo.path, photo.species) for photo in photos] == [("A/4.JPG", "Leopard")]


@pytest.mark.parametrize("text", ["a,b\n1,2\n", "File,Note\n1.JPG,x\n"])
def test_other_tables_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="first line"):
        _read(text, tmp_path)


def test_tables_are_told_apart_by_their_columns(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(HEAD)
    assert kind_of(path) is timelapse.KIND
    path.write_text("Station,Setup_date\nA,2024-03-01\n")
    assert kind_of(path) is stations.KIND
    path.write_text("a,b\n")
    assert kind_of(path) is None

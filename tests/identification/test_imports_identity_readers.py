"""Readers of files that name animals: HotSpotter, folders by animal, the desktop SpotID, Camtrap DP. No database."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from identification.imports import camtrapdp, hotspotter, labelled, spotid
from identification.imports.reading import Issue, Options, PhotoRecord, Reading, UnusableFile
from identification.imports.registry import kind_of
from identification.imports.spotid_vectors import vectors_of
from identification.matching.labels import Label

HEAD = "# flat table\n# NumData 2\n#   ChipID,  Image,  Name,  roi[tl_x  tl_y  w  h],  theta\n"


def records(reading: Reading) -> list[PhotoRecord]:
    return [item for item in reading.photos if isinstance(item, PhotoRecord)]


def codes(reading: Reading) -> list[str]:
    found = [*reading.issues, *(item for item in reading.photos if isinstance(item, Issue))]
    return [issue.code for issue in found]


def flat(folder: Path, lines: str, head: str = HEAD) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "flat_table.csv").write_text(head + lines)
    return folder


def test_an_empty_table_of_hotspotter_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="empty"):
        hotspotter.read(flat(tmp_path / "cats", ""), Options())


def test_chips_are_boxes_in_pixels_with_names_of_their_own_table(tmp_path: Path) -> None:
    lines = "1, a.JPG, Cat1, [320 466 924 564], 0.0\n2, b.JPG, ____, [ 2   34 1917 1014], 0.0\n"
    reading = hotspotter.read(flat(tmp_path / "cats", lines), Options(values={"flank": "left"}))
    first, second = records(reading)
    assert first.boxes[0].corners == (320, 466, 1244, 1030) and first.in_pixels and first.looked
    assert first.boxes[0].label == Label("cats Cat1", "left") and first.boxes[0].flank_said
    assert second.boxes[0].label is None and codes(reading) == [] and first.file is None
    plain = hotspotter.read(tmp_path / "cats", Options(values={"scope": "-"}))
    assert records(plain)[0].boxes[0].label == Label("Cat1")
    assert records(hotspotter.read(tmp_path / "cats", Options(values={"scope": "2012"})))[0].boxes[0].label == Label(
        "2012 Cat1"
    )


def test_several_tables_restart_their_names(tmp_path: Path) -> None:
    for name in ("left", "right"):
        flat(tmp_path / name, "1, a.JPG, Cat1, [1 2 3 4], 0.0\n")
    found = records(hotspotter.read(tmp_path, Options()))
    assert [record.boxes[0].label for record in found] == [Label("left Cat1"), Label("right Cat1")]
    assert [record.path for record in found] == ["left/a.JPG", "right/a.JPG"]
    kind = kind_of(tmp_path)
    assert kind is not None and kind.code == "hotspotter"


def test_a_turned_region_counts_as_the_upright_box_around_it(tmp_path: Path) -> None:
    folder = flat(tmp_path / "cats", f"1, a.JPG, Cat1, [100 200 80 40], {math.pi / 2}\n")
    (box,) = records(hotspotter.read(folder, Options()))[0].boxes
    assert box.corners == pytest.approx((120, 180, 160, 260))


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("1, a.JPG, Cat1, [320 466 924], 0.0", "bad_roi"),
        ("1, a.JPG, Cat1, [320 466 0 5], 0.0", "bad_roi"),
        ("1, a.JPG, Cat1, [1 2 3 4], x", "bad_roi"),
        ("1, a.JPG, Cat1", "short_line"),
        ("1, , Cat1, [1 2 3 4], 0.0", "no_name"),
    ],
)
def test_a_bad_line_is_told_with_its_number(tmp_path: Path, line: str, code: str) -> None:
    reading = hotspotter.read(flat(tmp_path / "cats", line + "\n"), Options())
    assert [(issue.code, issue.row) for issue in reading.issues] == [(code, 4)] and not records(reading)


def test_a_table_without_a_column_of_images_is_refused(tmp_path: Path) -> None:
    head = "#   ChipID,  Image,  roi[tl_x  tl_y  w  h],  theta\n"
    with pytest.raises(UnusableFile, match="no column name"):
        hotspotter.read(flat(tmp_path / "cats", "1, a.JPG, [1 2 3 4], 0.0\n", head), Options())
    with pytest.raises(UnusableFile, match="no flat_table"):
        hotspotter.read(tmp_path / "nowhere", Options())
    with pytest.raises(UnusableFile, match="flank"):
        hotspotter.read(flat(tmp_path / "cats", "1, a.JPG, A, [1 2 3 4], 0\n"), Options(values={"flank": "up"}))


def test_two_names_for_one_region_are_told_and_two_regions_are_two_animals(tmp_path: Path) -> None:
    lines = "1, a.JPG, A, [1 2 30 40], 0\n2, a.JPG, B, [1 2 30 40], 0\n3, a.JPG, C, [90 2 30 40], 0\n"
    reading = hotspotter.read(flat(tmp_path / "cats", lines), Options())
    (record,) = records(reading)
    assert codes(reading) == ["two_individuals"]
    assert [box.label and box.label.name for box in record.boxes] == [None, "cats C"]


def test_boxes_of_voc_files_stand_in_and_entities_are_refused(tmp_path: Path) -> None:
    folder = flat(tmp_path / "cats", "1, a.JPG, A, [1 2 30 40], 0\n")
    box = "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>30</xmax><ymax>40</ymax></bndbox>"
    for name, before in (("b", ""), ("c", '<!DOCTYPE x [<!ENTITY a "b">]>')):
        (folder / f"{name}.jpg").write_bytes(b"\xff\xd8")
        text = f"{before}<annotation><object><name>Leopard</name>{box}</object></annotation>"
        (folder / f"{name}.xml").write_text(text)
    reading = hotspotter.read(folder, Options())
    assert codes(reading) == ["bad_xml"]
    assert [(record.path, record.boxes[0].species, record.boxes[0].corners) for record in records(reading)[1:]] == [
        ("b.jpg", "Leopard", (3, 4, 30, 40))
    ]


def test_no_photo_is_no_archive_of_animals(tmp_path: Path) -> None:
    with pytest.raises(UnusableFile, match="no photos"):
        labelled.read(tmp_path, Options())
    (tmp_path / "a.jpg").write_bytes(b"x")
    found = records(labelled.read(tmp_path, Options()))
    assert found[0].path == f"{tmp_path.name}/a.jpg" and found[0].label == Label(tmp_path.name)
    with pytest.raises(UnusableFile, match="no folder"):
        labelled.read(tmp_path / "a.jpg", Options())


def test_folders_name_animals_and_their_sides(tmp_path: Path) -> None:
    for name in (
        "Asha_left/1.jpg",
        "Bela/1.jpg",
        "unknown/1.jpg",
        "2019/x/1.jpg",
        "2019/y/1.jpg",
        "loose.jpg",
        "Bela/n.txt",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    reading = labelled.read(tmp_path, Options())
    assert {record.path: record.label for record in records(reading)} == {
        "loose.jpg": None,
        "2019/x/1.jpg": None,
        "2019/y/1.jpg": None,
        "Asha_left/1.jpg": Label("Asha", "left", sided=True),
        "Bela/1.jpg": Label("Bela"),
        "unknown/1.jpg": None,
    }
    assert sorted(codes(reading)) == ["no_animal", "no_folder", "several_names"]


def desk(folder: Path, links: list[Any], *, last: int = 1, key: str = "links", names: list[str] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    names = names if names is not None else [f"C:\\crops\\A\\0_0_{letter}.jpg" for letter in "abcd"]
    (folder / "image_filenames.txt").write_text("\n".join(names) + "\n")
    (folder / "binary_image_filenames.txt").write_text("\n".join(names) + "\n")
    graph = {"directed": False, "multigraph": False, "graph": {}, "nodes": [{"id": name} for name in names], key: links}
    (folder / "leopard_matches.json").write_text(json.dumps({"graph": graph, "last_processed_index": last}))
    return folder


def link(one: str, other: str) -> dict[str, str]:
    return {"source": f"C:\\crops\\A\\0_0_{one}.jpg", "target": f"C:\\crops\\A\\0_0_{other}.jpg"}


@pytest.mark.parametrize("key", ["links", "edges"])
def test_edges_of_the_desktop_program_are_matches_by_the_rows_of_their_crops(tmp_path: Path, key: str) -> None:
    reading = spotid.read(desk(tmp_path / "desk", [link("c", "a"), link("a", "c"), link("c", "d")], key=key), Options())
    assert reading.extra.matches == ((1, 3), (3, 4)) and reading.extra.reviewed == 2
    assert reading.extra.vectors is None and not codes(reading)
    first = records(reading)[0]
    assert first.path == "C:\\crops\\A\\0_0_a.jpg" and first.also == ("a.jpg",) and first.file is None
    kind = kind_of(tmp_path / "desk")
    assert kind is not None and kind.code == "spotid"


def test_what_is_wrong_with_matches_is_told(tmp_path: Path) -> None:
    links = [link("a", "a"), {"source": 1, "target": 2}, "x", link("a", "z")]
    reading = spotid.read(desk(tmp_path / "desk", links, last=99), Options())
    assert codes(reading) == ["self_match", "bad_match", "bad_match", "stranger"]
    assert reading.extra.matches == () and reading.extra.reviewed == 4


def test_files_that_are_none_of_the_desktop_program_s_are_refused(tmp_path: Path) -> None:
    folder = desk(tmp_path / "desk", [])
    (folder / "other.json").write_text((folder / "leopard_matches.json").read_text())
    with pytest.raises(UnusableFile, match="several"):
        spotid.read(folder, Options())
    assert spotid.read(folder, Options(values={"matches": "other"})).extra.reviewed == 2
    with pytest.raises(UnusableFile, match="of this name"):
        spotid.read(folder, Options(values={"matches": "../x"}))
    (tmp_path / "bad.json").write_text('{"graph": [')
    with pytest.raises(UnusableFile, match="no JSON"):
        spotid.read(tmp_path / "bad.json", Options())
    (tmp_path / "bad.json").write_text('{"graph": 3}')
    with pytest.raises(UnusableFile, match="no graph"):
        spotid.read(tmp_path / "bad.json", Options())
    (tmp_path / "nothing").mkdir()
    with pytest.raises(UnusableFile, match="image_filenames"):
        spotid.read(tmp_path / "nothing", Options())


def test_matches_alone_have_their_photos_and_no_position(tmp_path: Path) -> None:
    folder = desk(tmp_path / "desk", [link("a", "b")])
    alone = tmp_path / "matches.json"
    alone.write_text((folder / "leopard_matches.json").read_text())
    reading = spotid.read(alone, Options())
    assert len(records(reading)) == 4 and reading.extra.matches == ((1, 2),) and reading.extra.reviewed == 0


def test_crops_of_crops_are_found_by_the_name_of_the_photo(tmp_path: Path) -> None:
    reading = spotid.read(desk(tmp_path / "desk", [], names=["/x/0_0_0_1_118A-2013.jpg", "/x/plain.jpg"]), Options())
    assert [record.also for record in records(reading)] == [("0_1_118A-2013.jpg", "118A-2013.jpg"), ()]


def test_vectors_are_numbers_of_length_one_and_nothing_is_run(tmp_path: Path) -> None:
    path = tmp_path / "embeddings.npy"
    np.save(path, np.array([[3.0, 4.0], [0.0, 0.0], [np.nan, 1.0]]))
    found = vectors_of(path, 3)
    assert found[0].tolist() == pytest.approx([0.6, 0.8]) and np.isnan(found[1:]).all()
    with pytest.raises(UnusableFile, match="more or fewer"):
        vectors_of(path, 2)
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(UnusableFile, match="no array"):
        vectors_of(path, 1)
    path.write_bytes(b"\x93NUMPY")
    with pytest.raises(UnusableFile, match="no array"):
        vectors_of(path, 1)


TABLES: dict[str, list[dict[str, str]]] = {
    "deployments": [
        {
            "deploymentID": "d1", "locationName": "ST01", "latitude": "27.5", "longitude": "84.2",
            "coordinateUncertainty": "10", "deploymentStart": "2024-03-01T06:00:00+0545",
            "deploymentEnd": "2024-03-09T06:00:00Z", "cameraID": "A", "deploymentTags": "", "deploymentComments": "",
        }
    ],
    "media": [
        {"mediaID": "m1", "deploymentID": "d1", "timestamp": "2024-03-02T05:00:00Z", "filePath": "media/a.jpg",
         "fileName": "a.jpg", "fileMediatype": "image/jpeg"},
        {"mediaID": "m2", "deploymentID": "d9", "timestamp": "nonsense", "filePath": "../b.jpg",
         "fileName": "b.jpg", "fileMediatype": "image/jpeg"},
        {"mediaID": "m3", "deploymentID": "d1", "timestamp": "", "filePath": "https://x.org/c", "fileName": "c.jpg",
         "fileMediatype": "video/mp4"},
    ],
    "observations": [
        {"observationID": "o1", "mediaID": "m1", "observationType": "animal", "scientificName": "Panthera pardus",
         "individualID": "Asha", "sex": "female", "lifeStage": "adult", "bboxX": "0.1", "bboxY": "0.2",
         "bboxWidth": "0.3", "bboxHeight": "0.4", "classificationMethod": "human", "classificationProbability": "",
         "observationTags": "flank:left | flankBy:person"},
        {"observationID": "o2", "mediaID": "m1", "observationType": "human", "bboxX": "2", "bboxY": "0.2",
         "bboxWidth": "0.3", "bboxHeight": "0.4"},
        {"observationID": "o3", "mediaID": "", "observationType": "animal"},
        {"observationID": "o4", "mediaID": "m9", "observationType": "blank"},
        {"observationID": "o5", "mediaID": "m2", "observationType": "animal", "individualID": "Asha", "sex": "male"},
        {"observationID": "o6", "mediaID": "m2", "observationType": "animal", "individualID": "Bela"},
        {"observationID": "o7", "mediaID": "m2", "observationType": "beast"},
    ],
}  # fmt: skip


def package(folder: Path, tables: dict[str, list[dict[str, str]]] | None = None, **about: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, rows in (tables or TABLES).items():
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with (folder / f"{name}.csv").open("w", newline="") as out:
            table = csv.DictWriter(out, columns, restval="")
            table.writeheader()
            table.writerows(rows)
    said = {
        "profile": "https://x/camtrap-dp/1.0.2/camtrap-dp-profile.json",
        "version": "1.0.2",
        "resources": [],
    } | about
    (folder / "datapackage.json").write_text(json.dumps(said))
    return folder


def test_a_package_is_read_row_by_row(tmp_path: Path) -> None:
    folder = package(tmp_path / "dp")
    (folder / "media").mkdir()
    (folder / "media/a.jpg").write_bytes(b"x")
    (tmp_path / "b.jpg").write_bytes(b"secret")
    reading = camtrapdp.read(tmp_path, Options(zone="Asia/Kathmandu"))
    first, second = records(reading)
    assert first.file == folder / "media/a.jpg" and second.file is None
    (box,) = first.boxes
    assert box.corners == (0.1, 0.2, 0.4, 0.6) and box.label == Label("Asha", "left") and box.flank_said
    assert first.people and first.looked and (first.station, first.camera) == ("ST01", "A")
    assert second.label is None and second.taken is None and not second.station
    assert sorted(codes(reading)) == [
        *("bad_box", "bad_path", "event_level", "no_deployment", "no_media", "no_photo_file", "several_individuals"),
        "unknown_type",
    ]
    assert [(animal.code, animal.sex, animal.age_class) for animal in reading.animals] == [
        ("Asha", "", "adult"),
        ("Bela", "", ""),
    ]
    (operation,) = reading.operations
    assert str(operation.operation.set_up) == "2024-03-01 06:00:00"
    assert str(operation.operation.retrieved) == "2024-03-09 11:45:00"
    assert (reading.stations[0].latitude, reading.stations[0].longitude) == (27.5, 84.2)


def test_a_wide_place_is_no_exact_one(tmp_path: Path) -> None:
    reading = camtrapdp.read(package(tmp_path / "dp", coordinatePrecision=0.1), Options())
    assert reading.stations[0].latitude is None and "generalised" in codes(reading)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "media.csv").unlink(), "no table media.csv"),
        (lambda folder: (folder / "observations.csv").write_text("a,b\n1,2\n"), "no column observationID"),
        (lambda folder: (folder / "deployments.csv").write_text(""), "deployments.csv: The table is empty"),
        (lambda folder: (folder / "datapackage.json").write_text("{"), "no JSON"),
        (lambda folder: (folder / "datapackage.json").write_text("[]"), "no data package"),
        (lambda folder: (folder / "datapackage.json").unlink(), "no datapackage.json"),
        (lambda folder: package(folder, version="0.1.7"), "before 1.0"),
    ],
)
def test_a_broken_package_is_refused_with_a_reason(tmp_path: Path, spoil: Any, words: str) -> None:
    folder = package(tmp_path / "dp")
    spoil(folder)
    with pytest.raises(UnusableFile, match=words):
        camtrapdp.read(folder, Options())


def test_a_link_out_of_the_package_is_not_followed(tmp_path: Path) -> None:
    folder = package(tmp_path / "dp")
    (tmp_path / "secret.jpg").write_bytes(b"x")
    (folder / "media").mkdir()
    (folder / "media/a.jpg").symlink_to(tmp_path / "secret.jpg")
    assert records(camtrapdp.read(folder, Options()))[0].file is None

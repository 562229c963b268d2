"""Readers of detectors' files, and which photo a record speaks of. No database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from identification.imports import megadetector, speciesnet
from identification.imports.boxes import box_of, category_named, corners_of
from identification.imports.matching import Names, PhotoIndex
from identification.imports.reading import BoxRecord, Issue, Options, PhotoRecord, Reading, UnusableFile
from identification.imports.registry import kind_of
from identification.imports.taxonomy import Taxon, taxon_of

MD5 = "bada276600ce2790b1d2877e7d6e7a25"
CAT = "96fe1a07-7ef1-4a2f-99e1-ec2c9a78b532;mammalia;carnivora;felidae;panthera;pardus;leopard"


@pytest.fixture
def written(tmp_path: Path) -> Callable[[Any], Path]:
    def write(said: Any) -> Path:
        path = tmp_path / "file.json"
        path.write_text(json.dumps(said))
        return path

    return write


def _split(reading: Reading) -> tuple[list[PhotoRecord], list[Issue]]:
    items = list(reading.photos)
    return [i for i in items if isinstance(i, PhotoRecord)], [i for i in items if isinstance(i, Issue)]


def _md(images: list[Any], **more: Any) -> dict[str, Any]:
    return {
        "images": images,
        "detection_categories": {"0": "animal", "1": "person", "2": "vehicle", "3": "tent"},
        "info": {"detector": "md_v5a.0.0.pt", "format_version": "1.4"},
        **more,
    }


def test_no_image_is_no_record(written: Callable[[Any], Path]) -> None:
    reading = megadetector.read(written(_md([])), Options())
    assert _split(reading) == ([], []) and "1.4" in reading.notes[0]


def test_categories_go_by_name_and_boxes_below_the_threshold_are_left_out(written: Callable[[Any], Path]) -> None:
    box = [0.1, 0.2, 0.3, 0.4]
    images = [
        {
            "file": "S1\\a.jpg",
            "detections": [
                {"category": "0", "conf": 0.4, "bbox": box},
                {"category": "1", "conf": 0.9, "bbox": box},
                {"category": "2", "conf": 0.19, "bbox": box},
            ],
        },
        {"file": "b.jpg", "detections": []},
    ]
    photos, issues = _split(megadetector.read(written(_md(images)), Options(threshold=0.2)))
    assert not issues and [photo.looked for photo in photos] == [True, True]
    assert photos[0].boxes == (
        BoxRecord((0.1, 0.2, 0.4, 0.6), "person", 0.9),
        BoxRecord((0.1, 0.2, 0.4, 0.6), "animal", 0.4),
    )
    assert photos[1].boxes == () and photos[0].engine == "md_v5a.0.0.pt"


def test_species_of_boxes_come_with_their_classification(written: Callable[[Any], Path]) -> None:
    found = {"category": "0", "conf": 0.9, "bbox": [0, 0, 1, 1], "classifications": [["7", 0.6], ["8", 0.3]]}
    said = _md(
        [{"file": "a.jpg", "detections": [found]}],
        classification_categories={"7": "leopard", "8": "deer"},
        classification_category_descriptions={"7": "mammalia;carnivora;felidae;panthera;pardus;leopard"},
    )
    assert _split(megadetector.read(written(said), Options()))[0][0].boxes[0].species == "Panthera pardus"
    found["classifications"] = [["7", 0.4]]
    assert _split(megadetector.read(written(said), Options()))[0][0].boxes[0].species == ""


def test_what_cannot_be_used_is_told_and_the_rest_goes_on(written: Callable[[Any], Path]) -> None:
    images = [
        "a.jpg",
        {"file": 7, "detections": []},
        {"file": "b.jpg", "failure": "Failure image access", "detections": None},
        {"file": "c.jpg"},
        {
            "file": "d.jpg",
            "detections": [
                {"category": "3", "conf": 0.9, "bbox": [0, 0, 1, 1]},
                {"category": "0", "conf": "high", "bbox": [0, 0, 1, 1]},
                {"category": "0", "conf": 0.9, "bbox": [2, 2, 0.1, 0.1]},
                {"category": "0", "conf": 0.8, "bbox": [0, 0, 0.5, 0.5]},
                None,
            ],
        },
    ]
    photos, issues = _split(megadetector.read(written(_md(images)), Options()))
    assert [photo.path for photo in photos] == ["d.jpg"] and len(photos[0].boxes) == 1
    codes = [(issue.row, issue.code) for issue in issues]
    assert codes[:4] == [(1, "no_name"), (2, "no_name"), (3, "failure"), (4, "no_detections")]
    assert sorted(code for row, code in codes[4:]) == ["bad_box", "bad_box", "bad_confidence", "unknown_category"]
    assert all(issue.words.endswith(".") and issue.file == "file.json" for issue in issues)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"info": {}}, "no_images"),
        ({"images": []}, "no_categories"),
        ({"images": [], "annotations": [], "categories": []}, "coco"),
        ([], "no_json"),
    ],
)
def test_other_json_is_refused_with_what_is_missing(said: Any, code: str, written: Callable[[Any], Path]) -> None:
    with pytest.raises(UnusableFile) as refused:
        megadetector.read(written(said), Options())
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("box", "corners"),
    [
        ([-0.1, 0.5, 0.3, 0.8], (0.0, 0.5, 0.2, 1.0)),
        ([0.5, 0.5, 0.0, 0.1], None),
        ([0.5, 0.5, -0.1, 0.1], None),
        ([1.2, 0, 0.1, 0.1], None),
        ([float("nan"), 0, 1, 1], None),
        ([1e300, 0, 1, 1], None),
        ([True, 0, 1, 1], None),
        ([0, 0, 1], None),
        ("0 0 1 1", None),
    ],
)
def test_boxes_are_cut_off_at_the_edges_or_rejected(box: Any, corners: Any) -> None:
    assert corners_of(box) == (pytest.approx(corners) if corners else None)


def test_numbers_name_no_category() -> None:
    assert category_named("1") is None and category_named(" Human ") == "person"
    assert box_of({"category": "1", "conf": 1.0005, "bbox": [0, 0, 1, 1]}, {"1": "animal"}, 0.2) == BoxRecord(
        (0, 0, 1, 1), "animal", 1.0
    )


def test_speciesnet_says_boxes_and_a_species(written: Callable[[Any], Path]) -> None:
    human = "990ae9dd-7a59-4344-afcb-1b7b21368000;mammalia;primates;hominidae;homo;sapiens;human"
    blank = "f1856211-cfb7-4a5b-9158-c0f72fd09ee6;;;;;;blank"
    box = {"category": "1", "label": "animal", "conf": 0.9, "bbox": [0.1, 0.1, 0.5, 0.5]}
    said = {
        "predictions": [
            {"filepath": f"x/{MD5}.jpg", "detections": [box], "prediction": CAT, "prediction_score": 0.8},
            {"filepath": "b.jpg", "detections": [], "prediction": blank, "prediction_score": 0.99},
            {"filepath": "c.jpg", "failures": ["DETECTOR"], "prediction": human, "prediction_score": 0.9},
            {"filepath": "d.jpg", "failures": ["CLASSIFIER", "DETECTOR"]},
            {"filepath": "e.jpg", "detections": [box], "prediction": CAT, "prediction_score": 0.3},
            {"filepath": "f.jpg"},
            {},
        ]
    }
    photos, issues = _split(speciesnet.read(written(said), Options()))
    assert [(photo.path[-5:], photo.looked, len(photo.boxes), photo.species, photo.people) for photo in photos] == [
        ("5.jpg", True, 1, "Panthera pardus", False),
        ("b.jpg", True, 0, "", False),
        ("c.jpg", False, 0, "", True),
        ("e.jpg", True, 1, "", False),
    ]
    assert [(issue.row, issue.code) for issue in issues] == [
        (3, "failure"),
        (4, "failure"),
        (6, "says_nothing"),
        (7, "no_name"),
    ]
    with pytest.raises(UnusableFile, match="what SpeciesNet is given"):
        speciesnet.read(written({"instances": []}), Options())


@pytest.mark.parametrize(
    ("text", "taxon"),
    [
        (CAT, Taxon("Panthera pardus")),
        ("u;mammalia;carnivora;felidae;panthera;;panthera species", Taxon("Panthera")),
        ("u;mammalia;carnivora;felidae;;;felidae family", Taxon("Felidae")),
        ("u;;;;;;animal", Taxon()),
        ("u;;;;;;no cv result", Taxon()),
        ("u;;;;;;blank", Taxon(blank=True)),
        ("u;;;;;;vehicle", Taxon(vehicle=True)),
        ("snow_leopard", Taxon("Snow leopard")),
        ("Empty", Taxon(blank=True)),
        ("", Taxon()),
    ],
)
def test_names_say_species_nothing_or_people(text: str, taxon: Taxon) -> None:
    assert taxon_of(text) == taxon


def test_the_kind_is_told_by_the_content(written: Callable[[Any], Path], tmp_path: Path) -> None:
    assert kind_of(written(_md([]))) is megadetector.KIND
    assert kind_of(written({"predictions": []})) is speciesnet.KIND
    for said in ([], {}, {"predictions": 1}, {"images": [], "annotations": []}):
        assert kind_of(written(said)) is None
    (tmp_path / "empty").write_bytes(b"")
    assert kind_of(tmp_path / "empty") is None and kind_of(tmp_path) is None


def _found(records: list[PhotoRecord], photos: list[tuple[int, str, str]], md5s: Any = None) -> list[Any]:
    names = Names()
    for record in records:
        names.add(record)
    index = PhotoIndex(photos, names, md5s)
    return [found.code if isinstance(found := index.find(record, "f"), Issue) else found for record in records]


def _records(*paths: str, **values: str) -> list[PhotoRecord]:
    return [PhotoRecord(row, path, **values) for row, path in enumerate(paths, 1)]


PHOTOS = [(1, "ST01/A/IMG_1.JPG", "1" * 64), (2, "ST01/B/IMG_1.JPG", "2" * 64), (3, "ST02/IMG_2.JPG", "3" * 64)]


def test_photos_are_found_by_their_path_whatever_its_root() -> None:
    assert _found([], PHOTOS) == []
    assert _found(_records("ST01/A/IMG_1.JPG", "st01\\b\\img_1.jpg", "./ST02/IMG_2.JPG"), PHOTOS) == [1, 2, 3]
    assert _found(_records("D:\\season\\ST01\\A\\IMG_1.JPG", "D:\\season\\ST02\\IMG_2.JPG"), PHOTOS) == [1, 3]
    deeper = [(pk, f"2024/north/{path}", sha) for pk, path, sha in PHOTOS]
    assert _found(_records("ST01/A/IMG_1.JPG", "ST02/IMG_2.JPG"), deeper) == [1, 3]
    assert _found(_records("old/ST01/A/IMG_1.JPG", "old/ST02/IMG_2.JPG"), deeper) == [1, 3]


def test_a_name_alone_counts_only_where_it_is_the_only_one() -> None:
    assert _found(_records("IMG_1.JPG", "IMG_2.JPG", "IMG_3.JPG"), PHOTOS) == ["several_photos", 3, "no_photo"]
    assert _found(_records("ST07/IMG_2.JPG", "ST08/IMG_2.JPG"), PHOTOS) == ["name_twice", "name_twice"]
    assert _found(_records("ST02/IMG_2.JPG", "x/ST02/IMG_2.JPG"), PHOTOS) == [3, "photo_again"]
    alike = [*PHOTOS, (4, "st02/img_2.jpg", "4" * 64)]
    assert _found(_records("ST02/IMG_2.JPG"), alike) == ["several_photos"]


def test_content_says_it_whatever_the_name() -> None:
    asked = []

    def md5s() -> dict[str, int]:
        asked.append(1)
        return {MD5: 2}

    records = [*_records(f"batch/{MD5}.jpg", f"{'3' * 64}.png"), PhotoRecord(9, "x.jpg", sha256="1" * 64)]
    assert _found(records, PHOTOS, md5s) == [2, 3, 1] and asked == [1]
    assert _found(_records("IMG_2.JPG"), PHOTOS, md5s) == [3] and asked == [1]
    assert _found([PhotoRecord(1, "y.jpg", md5=MD5.upper())], PHOTOS, md5s) == [2]

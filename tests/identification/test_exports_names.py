"""Names of exported folders, files and cells."""

import csv
import random
import unicodedata

import pytest

from identification.exports.folders import (
    collision_key,
    csv_line,
    folder_names,
    keep_apart,
    photo_names,
    safe_file_name,
    safe_name,
)
from identification.spreadsheets import neutralise, restore


def test_no_individuals_have_no_folders():
    assert folder_names([]) == {}
    assert photo_names([]) == {}


def test_a_nameless_individual_has_the_folder_of_its_number_whoever_else_is_there():
    assert folder_names([(7, 3, "", "L-0003")]) == {7: "leopard_3"}
    assert folder_names([(1, 1, "", "L-0001"), (7, 3, "", "L-0003")])[7] == "leopard_3"


def test_a_named_individual_has_a_folder_of_its_name():
    assert folder_names([(7, 3, "Asha", "L-0003")]) == {7: "Asha"}


@pytest.mark.parametrize(
    ("first", "second"),
    [("Asha", "Asha"), ("Asha", "ASHA"), ("Jos\u00e9", "Jose\u0301"), ("A/B", "A:B"), ("Asha", "Asha. ")],
)
def test_names_that_collide_are_kept_apart_by_code_in_any_order(first, second):
    rows = [(1, 1, first, "L-0001"), (2, 2, second, "L-0002")]
    there, back = folder_names(rows), folder_names(rows[::-1])
    assert there == back
    assert len({collision_key(name) for name in there.values()}) == 2
    assert there[1].endswith("L-0001") and there[2].endswith("L-0002")


def test_a_name_that_looks_like_a_number_does_not_take_a_nameless_ones_folder():
    names = folder_names([(1, 1, "", "L-0001"), (2, 2, "Leopard_1", "L-0002")])
    assert names == {1: "leopard_1", 2: "Leopard_1 L-0002"}


def test_a_name_does_not_take_the_place_of_the_table_or_the_manifest():
    names = folder_names([(1, 1, "Leopard_Matches.csv", "L-0001"), (2, 2, "manifest.json", "L-0002")])
    assert names == {1: "Leopard_Matches.csv L-0001", 2: "manifest.json L-0002"}


@pytest.mark.parametrize(
    ("given", "safe"),
    [
        ("../../etc", "_.._etc"),
        ("..", "unnamed"),
        ("/abs", "_abs"),
        ("C:\\x", "C__x"),
        ("CON", "_CON"),
        ("nul.jpg", "_nul.jpg"),
        ("Com1 .txt", "_Com1 .txt"),
        ("LPT\u00b9", "_LPT\u00b9"),
        ("console", "console"),
        ("trailing. . ", "trailing"),
        ("two\nlines\there", "two lines here"),
        ("right\u202eleft", "rightleft"),
        ("\x00", "unnamed"),
        ("~home", "_home"),
        ('a"b<c>|?*', "a_b_c____"),
        ("  many   blanks ", "many blanks"),
        ("तेंदुआ", "तेंदुआ"),
    ],
)
def test_a_name_becomes_one_harmless_path_component(given, safe):
    assert safe_name(given) == safe


def test_a_long_name_is_cut_at_whole_letters():
    name = safe_name("ü" * 300)
    assert len(name.encode()) <= 80
    assert set(name) == {"ü"}


def test_names_are_composed():
    assert safe_name("Jose\u0301") == unicodedata.normalize("NFC", "José")


def test_a_photo_keeps_its_name_and_suffix_however_long():
    assert safe_file_name("IMG_0001.JPG") == "IMG_0001.JPG"
    long = safe_file_name("x" * 250 + ".jpeg", extra="_ST01_A")
    assert long.endswith("_ST01_A.jpeg") and len(long) <= 120
    assert safe_file_name("..jpg.") == "photo.jpg"
    assert safe_file_name(".jpg", extra="_1") == "jpg_1"


def test_photos_of_one_name_are_kept_apart_by_station_and_camera_then_by_content():
    names = photo_names(
        [
            (1, "IMG_0001.JPG", "ST01_A", "a" * 64, None),
            (2, "img_0001.jpg", "ST02_B", "b" * 64, None),
            (3, "IMG_0001.JPG", "ST03_A", "c" * 64, None),
            (4, "IMG_0001.JPG", "ST03_A", "d" * 64, None),
            (5, "IMG_0002.JPG", "ST03_A", "e" * 64, None),
            (6, "IMG_0003.JPG", "_", "f" * 64, None),
            (7, "IMG_0003.JPG", "_", "0" * 64, None),
        ]
    )
    assert names == {
        1: "IMG_0001_ST01_A.JPG",
        2: "img_0001_ST02_B.jpg",
        3: "IMG_0001_ST03_A_cccccccc.JPG",
        4: "IMG_0001_ST03_A_dddddddd.JPG",
        5: "IMG_0002.JPG",
        6: "IMG_0003_ffffffff.JPG",
        7: "IMG_0003_00000000.JPG",
    }


def test_a_plain_name_is_not_taken_by_a_photo_that_had_to_step_aside():
    photos = [
        (1, "a.jpg", "S_A", "1" * 64, None),
        (2, "a.jpg", "S_B", "2" * 64, None),
        (3, "a_S_A.jpg", "S_C", "3" * 64, None),
    ]
    names = photo_names(photos)
    assert names[3] == "a_S_A.jpg"
    assert len({collision_key(name) for name in names.values()}) == 3


def test_thousands_of_equal_names_stay_apart_in_any_order():
    photos = [(n, "IMG_0001.JPG", "S_A", f"{n:064x}"[::-1], None) for n in range(2000)]
    names = photo_names(photos)
    assert len(set(names.values())) == 2000
    random.Random(1).shuffle(photos)
    assert photo_names(photos) == names


def test_names_that_cannot_be_kept_apart_are_an_error():
    with pytest.raises(ValueError, match="apart"):
        keep_apart({1: ["x"], 2: ["x"]})


def test_a_preview_has_its_own_suffix():
    assert photo_names([(1, "IMG_0001.HEIC", "S_A", "1" * 64, ".preview.jpg")]) == {1: "IMG_0001.preview.jpg"}


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'=x", "''=x", "＝1", "\tx", "\rx"])
def test_what_a_spreadsheet_would_run_gets_an_apostrophe_that_can_be_taken_off(text):
    assert neutralise(text) == "'" + text
    assert restore(neutralise(text)) == text


@pytest.mark.parametrize("text", ["", "Asha", "'Abd", "a=b", "12.5", "ST01/A/IMG_1.JPG"])
def test_harmless_cells_are_left_alone_both_ways(text):
    assert neutralise(text) == text
    assert restore(text) == text


def test_a_line_of_the_table_reads_back_and_holds_no_hidden_characters():
    cells = ["a,b", 'say "x"', "semi;=colon", " blank ", "line\nbreak", "right\u202eleft", "\t=1+1", "=2", "ü"]
    line = csv_line(cells)
    assert line.count("\n") == 1
    (back,) = csv.reader([line])
    assert back == [
        "a,b", 'say "x"', "semi;=colon", " blank ", "line\\u000abreak", "right\\u202eleft", "\\u0009=1+1", "'=2", "ü",
    ]  # fmt: skip
    assert '"semi;=colon"' in line

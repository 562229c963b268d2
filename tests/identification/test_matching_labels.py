"""Reading what a sorted archive says."""

import pytest

from identification.matching.labels import (
    Label,
    labels_of_folders,
    labels_of_table,
    names_of_both_sides,
    parse_label,
)


def test_nothing_is_said_of_no_photo() -> None:
    assert labels_of_folders([]) == {}
    assert labels_of_table("", ["a.jpg"]) == {}
    assert names_of_both_sides({}) == []


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("Asha", Label("Asha")),
        ("Asha_left", Label("Asha", "left", sided=True)),
        ("Asha-RIGHT", Label("Asha", "right", sided=True)),
        ("Old  Asha left", Label("Old Asha", "left", sided=True)),
        ("T_12._Right", Label("T_12", "right", sided=True)),
        ("left", Label("left")),
        ("_left", Label("_left")),
        ("Leftie", Label("Leftie")),
        ("Brightright", Label("Brightright")),
        ("M12_L", Label("M12_L")),
    ],
)
def test_a_side_at_the_end_of_a_name_is_a_flank(text: str, label: Label) -> None:
    assert parse_label(text) == label


def test_two_sides_of_a_name_are_two_animals_unless_they_are_joined() -> None:
    left, right = parse_label("Asha_left"), parse_label("Asha_right")
    assert left.identity != right.identity
    assert left.joined().identity == right.joined().identity == parse_label("Asha").identity
    assert names_of_both_sides({"a": {left}, "b": {right}, "c": {parse_label("Bela_left")}}) == ["Asha"]


def test_the_first_folder_is_the_label() -> None:
    found = labels_of_folders(["Asha_left/2019/1.jpg", "Bela/2.jpg", "loose.jpg"])
    assert found == {"Asha_left/2019/1.jpg": {Label("Asha", "left", True)}, "Bela/2.jpg": {Label("Bela")}}


def test_a_table_with_flanks_says_that_both_sides_are_one_animal() -> None:
    text = "Photo;Individual;Flank\n./a.jpg;Asha;L\nb.jpg;Asha;Right\nc.jpg;Asha;\nd.jpg;;left\n"
    found = labels_of_table(text, ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"])
    assert found == {"a.jpg": {Label("Asha", "left")}, "b.jpg": {Label("Asha", "right")}, "c.jpg": {Label("Asha")}}
    assert len({label.identity for labels in found.values() for label in labels}) == 1


def test_a_table_without_flanks_is_read_like_folders_and_keeps_several_animals_of_a_photo() -> None:
    text = "photo,individual\na.jpg,Asha_left\na.jpg,Bela\n'=b.jpg,'=Cleo\n"
    found = labels_of_table(text, ["a.jpg", "=b.jpg"])
    assert found == {"a.jpg": {Label("Asha", "left", True), Label("Bela")}, "=b.jpg": {Label("=Cleo")}}


@pytest.mark.parametrize("name", ["Unknown", "NA", "unidentified", "?"])
def test_words_for_what_nobody_knows_are_no_animal(name: str) -> None:
    assert parse_label(name).says_nothing and not parse_label("Nala").says_nothing

"""Reading what a sorted archive says."""

import pytest

from identification.matching.labels import (
    Label,
    NestedFolder,
    apart,
    labels_of_folders,
    labels_of_table,
    names_of_both_sides,
    nested_folders,
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


@pytest.mark.parametrize(
    "name",
    [
        *(
            "Unknown",
            "NA",
            "unidentified",
            "?",
            "",
            "unknown_left",
            "Unknown2",
            "(unknown) 2019",
            "UNID-3",
            "No ID yet",
        ),
        *("Left", "RIGHT", "left_flank", "flank_left", "right side", "left right", "no_id", "unidentified cat"),
    ],
)
def test_words_for_what_nobody_knows_are_no_animal(name: str) -> None:
    assert parse_label(name).says_nothing


@pytest.mark.parametrize("name", ["Nala", "Noida", "Unknowable", "Leftie", "Asha_left", "left_12", "Nana", "Unkas"])
def test_names_that_only_look_like_it_are_animals(name: str) -> None:
    assert not parse_label(name).says_nothing


def test_other_names_are_two_animals_unless_they_are_two_sides() -> None:
    assert apart(("Asha", ""), ("Bela", "")) and apart(("Asha", "left"), ("Bela", "left"))
    assert apart(("Asha", "left"), ("Bela", "")) and not apart(("Asha", "left"), ("Bela", "right"))
    assert not apart(("Asha", "left"), ("Asha", "")) and not apart(("Asha left", ""), ("Asha", "left"))


def test_a_folder_whose_photos_all_lie_in_several_subfolders_holds_several_animals() -> None:
    found = nested_folders(
        ["2019/B/1.jpg", "2019/A/x/2.jpg", "C/x/1.jpg", "D/x/1.jpg", "D/y/1.jpg", "D/1.jpg", "E/1.jpg"]
    )
    assert found == [
        NestedFolder("2019", 2, "2019/A/x/2.jpg", True),
        NestedFolder("C", 1, "C/x/1.jpg", False),
        NestedFolder("D", 2, "D/x/1.jpg", False),
    ]

"""Stored sentences: known where they come from, and translated where they are shown."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.utils.translation import override

from identification import sentences
from identification.sentences import FILLED, STORED, stored_words
from tests.identification.pseudo import speak_in_brackets

ROOT = Path(__file__).resolve().parents[2]


def _literals() -> set[str]:
    files = [path for room in ("preprocessing", "identification") for path in (ROOT / room).rglob("*.py")]
    own = Path(sentences.__file__)
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in files if path != own)
    return {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def test_every_sentence_is_still_what_the_code_stores() -> None:
    assert set(STORED) - _literals() == set()


def test_every_sentence_with_a_place_is_made_of_what_the_code_says() -> None:
    said = "\n".join(_literals()).casefold()
    for template in FILLED:
        parts = [part.strip(" .,:") for part in re.split(r"%\(\w+\)s", template)]
        assert [part for part in parts if part.casefold() not in said] == [], template
        assert sum(map(len, parts)) > 8, f"{template}: would fit anything"


def test_numbers_and_names_are_taken_over_and_the_rest_is_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    speak_in_brackets(monkeypatch, "es")
    for sentence in (
        "The same photo as ST01/A (2)/1.jpg; it is kept once.",
        "It holds more than 20000 files; nothing is unpacked.",
        "The file cannot be read: Permission denied.",
    ):
        assert stored_words(sentence) == sentence
        with override("es"):
            assert stored_words(sentence) == f"⟦{sentence}⟧"
    note = "Station background, 9 frames; cannot tell animals from people and vehicles."
    away = (
        "M.pt is not installed. It is at https://a.b/M.pt; put it into the weights folder of SpotID's home and "
        "register it, or fetch it with the command `weights`."
    )
    with override("es"):
        assert stored_words(f"{note} {away}") == f"⟦{note}⟧ ⟦{away}⟧"
        assert stored_words(f"{note} Something else. Not a photo.") == f"⟦{note}⟧ Something else. Not a photo."
        assert stored_words("Something else. Not a photo.") == "Something else. Not a photo."


@pytest.mark.parametrize("sentence", [*STORED, *FILLED])
def test_each_sentence_finds_its_own_translation(monkeypatch: pytest.MonkeyPatch, sentence: str) -> None:
    speak_in_brackets(monkeypatch, "es")
    said = re.sub(r"%\((\w+)\)s", r"\1-17", sentence)
    with override("es"):
        assert stored_words(said) == f"⟦{said}⟧"


def test_a_stored_sentence_is_shown_in_the_readers_language_with_its_details(monkeypatch: pytest.MonkeyPatch) -> None:
    speak_in_brackets(monkeypatch, "es")
    cut = "The photo breaks off before its end. Copy it again from the memory card."
    assert stored_words(f"{cut} (unexpected end)") == f"{cut} (unexpected end)"
    with override("es"):
        assert stored_words("Not a photo.") == "⟦Not a photo.⟧"
        assert stored_words(f"{cut} (unexpected end)") == f"⟦{cut}⟧ (unexpected end)"
        assert stored_words("ValueError: something (else)") == "ValueError: something (else)"
        assert stored_words("") == ""

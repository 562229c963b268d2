"""Catalogues of translations: compiled as committed, whole, and with everything that the sentences carry."""

from __future__ import annotations

import gettext
import io
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import polib
import pytest
from django.conf import settings
from django.core.management import call_command
from django.utils.translation import to_locale

from identification.management.commands.catalogues import SAYING

LOCALE = Path(settings.BASE_DIR) / "locale"
LANGUAGES = [to_locale(code) for code, _name in settings.LANGUAGES if code != settings.LANGUAGE_CODE]
CATALOGUES = [LOCALE / code / "LC_MESSAGES" / f"{domain}.po" for code in LANGUAGES for domain in ("django", "djangojs")]

# What a program reads in a sentence: placeholders of both kinds, and markup.
CARRIED = re.compile(r"%\(\w+\)[a-z]|%[sd%]|\{\w*\}|</?[a-z][^>]*>|&[a-z]+;")


def _words(compiled: bytes) -> dict[Any, str]:
    return gettext.GNUTranslations(io.BytesIO(compiled))._catalog  # type: ignore[attr-defined]


def _carried(text: str) -> Counter[str]:
    return Counter(CARRIED.findall(text))


def test_there_are_catalogues() -> None:
    assert CATALOGUES and all(path.is_file() for path in CATALOGUES)


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_what_is_compiled_is_what_is_written(path: Path) -> None:
    written = _words(polib.pofile(str(path)).to_binary())
    assert _words(path.with_suffix(".mo").read_bytes()) == written


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_a_translation_carries_what_its_sentence_carries(path: Path) -> None:
    faults = []
    for entry in polib.pofile(str(path)):
        plural = entry.msgid_plural
        said = list(entry.msgstr_plural.values()) if plural else [entry.msgstr]
        # A language may say "one" in words: of two forms the singular need not show the number.
        allowed = [_carried(entry.msgid), _carried(plural)] if plural else [_carried(entry.msgid)]
        for text in filter(None, said):
            if _carried(text) not in allowed:
                faults.append((entry.msgid, text))
            if (text[:1].isspace(), text[-1:].isspace()) != (entry.msgid[:1].isspace(), entry.msgid[-1:].isspace()):
                faults.append((entry.msgid, text))
    assert faults == []


@pytest.mark.parametrize("path", CATALOGUES, ids=lambda path: path.stem)
def test_no_translation_is_a_guess_or_left_over(path: Path) -> None:
    catalogue = polib.pofile(str(path))
    assert [entry.msgid for entry in catalogue if entry.fuzzy or entry.obsolete] == []


def test_every_marked_word_is_in_the_catalogues_and_translated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("xgettext") is None:
        pytest.skip("no GNU gettext")
    # Of a copy: the command writes to where it reads.
    for folder in (*SAYING, "locale"):
        shutil.copytree(LOCALE.parent / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(settings, "BASE_DIR", tmp_path)
    monkeypatch.setattr(settings, "LOCALE_PATHS", [tmp_path / "locale"])
    call_command("catalogues", verbosity=0)
    for path in CATALOGUES:
        gathered = polib.pofile(str(tmp_path / "locale" / path.relative_to(LOCALE)))
        assert _keys(gathered) == _keys(polib.pofile(str(path))), "python3 spotid.py manage catalogues"
        assert [entry.msgid for entry in gathered if not entry.translated()] == []


def _keys(catalogue: polib.POFile) -> set[tuple[str, str, str]]:
    return {(entry.msgctxt or "", entry.msgid, entry.msgid_plural) for entry in catalogue}

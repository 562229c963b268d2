"""Nothing that a page says is out of a translator's reach: neither in a template nor from code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.template.base import Lexer, TokenType
from django.test import Client

from identification.models import Role
from tests.identification import factories as make
from tests.identification.pseudo import Outside, speak_in_brackets, words_outside
from tests.identification.test_views_every_page import _addresses

TEMPLATES = Path(settings.BASE_DIR) / "templates"
# Words of no language: names, units, signs of keys.
NAMES = re.compile(
    r"\b(?:SpotID|English|Español|EXIF|CSV|SHA-256|UTF-8|UTC|GPS|ID|km|cm|px|GB|MB|KB|kB|s|h|min|Esc|Tab|N)\b"
)
_MARKED = re.compile(r"""_\("[^"]*"\)""")
_LITERAL = re.compile(r"""\"([^"]*)\"""")
# Filters that bring words of their own.
_SPOKEN = re.compile(r"""\|(?:plural:|pluralize|(?:default|yesno):"[^"]*[^\W\d_]{2})""")
_WORDS = re.compile(r"[^\W\d_]{2,}")
_CLASSES = {"page_class", "top_class"}
_BLOCKS = {"blocktranslate": "endblocktranslate", "blocktrans": "endblocktrans", "comment": "endcomment"}


def _unmarked(path: Path) -> list[str]:
    """What the template says that is not for translators: text, spoken attributes, and sentences in its tags."""
    found, text, until = [], "", ""
    for token in Lexer(path.read_text(encoding="utf-8")).tokenize():
        parts = token.split_contents() if token.token_type == TokenType.BLOCK else [""]
        name = parts[0]
        if until:
            until = "" if name == until else until
        elif name == "block" and parts[1] in _CLASSES:
            until = "endblock"
        elif name in _BLOCKS:
            until = _BLOCKS[name]
        elif token.token_type == TokenType.TEXT:
            text += token.contents
        elif name not in {"translate", "trans"} and token.token_type != TokenType.COMMENT:
            contents = NAMES.sub("", _MARKED.sub("_", token.contents))
            said = [] if name in {"if", "elif"} else _LITERAL.findall(contents)
            literals = [words for words in said if " " in words.strip(" ,–")]
            if _SPOKEN.search(contents) or any(map(_WORDS.search, literals)):
                found.append(f"{{{token.contents}}}")
    parser = Outside()
    parser.feed(text)
    parser.close()
    return found + [words for words in parser.found if _WORDS.search(NAMES.sub("", words))]


def _names() -> list[str]:
    return sorted(str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.html"))


@pytest.mark.parametrize("name", _names())
def test_a_template_leaves_no_word_to_english_alone(name: str) -> None:
    assert _unmarked(TEMPLATES / name) == []


def test_a_sentence_that_is_not_marked_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '{% load i18n %}<a title="Left out">{% translate "Marked" %} Plain</a>{{ n|default:"no word" }}'
        '{% blocktranslate %}Marked <b>too</b>{% endblocktranslate %}{{ n|default:_("Marked here") }}'
    )
    assert _unmarked(page) == ['{n|default:"no word"}', "Left out", "Plain"]


def _data() -> re.Pattern[str]:
    """What the pages show of the rows that the test made: names, codes and files are nobody's to translate."""
    words = set()
    for model, fields in {
        "Survey": ["name", "time_zone", "source"],
        "Population": ["name", "species"],
        "Station": ["code"],
        "Image": ["relative_path", "camera", "detector"],
        "Individual": ["code", "name"],
        "User": ["username"],
        "SkippedPhoto": ["relative_path", "reason", "code"],
        "Work": ["reason", "reason_code"],
        "Detection": ["detector", "segmenter", "species"],
        "Candidate": ["engine"],
        "EmbeddingModel": ["name", "version"],
    }.items():
        rows = apps.get_model("identification", model).objects.all()
        known = {field.name for field in apps.get_model("identification", model)._meta.get_fields()}
        for row in rows.values_list(*[field for field in fields if field in known]):
            for value in filter(None, row):
                words |= {str(value), Path(str(value)).name}
    known = sorted((word for word in words if len(word) > 1), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, known))})(?!\w)")


@pytest.mark.django_db
def test_no_page_says_a_word_that_cannot_be_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    survey, addresses = _addresses()
    client = Client()
    client.force_login(make.make_member(survey, Role.CURATOR, places=True))
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "es"
    data = _data()
    speak_in_brackets(monkeypatch, "es")
    plain = {}
    for address in addresses:
        response = client.get(address)
        assert response.status_code == 200 and response["Content-Language"] == "es", address
        page = response.content.decode()
        assert "⟦" in page
        words = [NAMES.sub("", data.sub("", part)) for part in words_outside(page)]
        left = [part for part in words if _WORDS.search(part)]
        if left:
            plain[address] = left
    assert plain == {}, "\n".join(f"{address}: {left}" for address, left in plain.items())


@pytest.mark.django_db
def test_numbers_in_attributes_are_written_with_a_point_in_every_language() -> None:
    survey, addresses = _addresses()
    client = Client()
    client.force_login(make.make_member(survey, Role.CURATOR, places=True))
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = "es"
    number = re.compile(
        r'\s(?:x|y|x1|x2|y1|y2|cx|cy|r|width|height|value|min|max|step|viewBox|d|data-[\w-]+)="([^"]*)"'
    )
    for address in addresses:
        page = client.get(address).content.decode()
        comma = [found for found in number.findall(page) if re.fullmatch(r"-?\d+,\d+", found)]
        assert comma == [], address

"""Folded templates write what Django writes without folding."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as _settings
from django.template import Context, Engine, NodeList, engines
from django.template.base import TextNode
from django.urls import NoReverseMatch, get_resolver, reverse, set_script_prefix
from django.utils.translation import override

from identification.models import Role
from spotid_site.folding import Address, Constant, _address_pattern, fold
from tests.identification import factories as make
from tests.identification.factories import client_of

PLAIN = ["django.template.loaders.filesystem.Loader", "django.template.loaders.app_directories.Loader"]
LOADERS = [("spotid_site.folding.Loader", ["django.template.loaders.locmem.Loader"])]
_SECRET = re.compile(r'(name="csrfmiddlewaretoken" value|nonce|name="check" value|data-key)="[^"]*"')


def engine(**templates: str) -> Engine:
    (name, _), *_ = LOADERS
    loaders: Any = [(name, [("django.template.loaders.locmem.Loader", templates)])]
    libraries = {"i18n": "django.templatetags.i18n", "static": "django.templatetags.static"}
    return Engine(loaders=loaders, libraries=libraries | {"spotid": "identification.templatetags.spotid"})


def kinds(nodes: NodeList) -> list[type]:
    return [type(node) for node in nodes]


def test_words_caps_and_addresses_become_one_node_and_variables_stay() -> None:
    text = (
        '{% load i18n static spotid %}<b>{% translate "Match" %}</b> {% key "M" %}{% static "spotid/favicon.svg" %}'
        "{% url 'survey-list' %}{% blocktranslate %}Everything by keyboard{% endblocktranslate %}"
        "{{ word }}{% translate word %}{% url 'admin:index' %}"
    )
    nodes = engine(page=text).get_template("page").nodelist
    assert kinds(nodes)[0] is Constant and kinds(nodes).count(Constant) == 1
    assert [kind.__name__ for kind in kinds(nodes)[1:]] == ["VariableNode", "TranslateNode", "URLNode"]


@pytest.mark.parametrize(
    "text",
    [
        '{% translate "Match" as word %}',
        "{% blocktranslate %}{{ word }}{% endblocktranslate %}",
        "{% blocktranslate count n=2 %}one{% plural %}more{% endblocktranslate %}",
        "{% static word %}",
        "{% static 'spotid/favicon.svg' as word %}",
        "{% url 'survey-list' as word %}",
        "{% key word %}",
        '{{ "x"|add:word }}',
    ],
)
def test_what_a_variable_enters_or_leaves_is_not_folded(text: str) -> None:
    nodes = engine(page="{% load i18n static spotid %}" + text).get_template("page").nodelist
    assert all(len(node.nodes) == 1 for node in nodes if isinstance(node, Constant)), "the load alone"
    assert not isinstance(nodes[-1], Constant)


def test_each_language_prefix_and_escaping_has_its_own_words() -> None:
    page = engine(page="{% load i18n %}{% translate 'Not a match' %} {% url 'survey-list' %}").get_template("page")
    assert isinstance(page.nodelist[0], Constant)
    for _ in range(2):
        assert page.render(Context()) == "Not a match /"
        with override("es"):
            spanish = page.render(Context())
            assert spanish != "Not a match /" and spanish.endswith(" /")
        try:
            set_script_prefix("/spotid/")
            assert page.render(Context()) == "Not a match /spotid/"
        finally:
            set_script_prefix("/")


def test_blocks_conditions_loops_and_includes_keep_their_places() -> None:
    made = engine(
        base="{% load i18n %}<i>{% translate 'Match' %}</i>{% block a %}A{% translate 'Match' %}{% endblock %}"
        "{% block b %}B{% endblock %}",
        page="{% extends 'base' %}{% load i18n %}{% block a %}[{{ block.super }}]{% for x in rows %}"
        "{% translate 'Match' %}{% include 'part' %}"
        "{% if x %}{% translate 'Unsure' %}{% else %}-{% endif %};{% endfor %}{% endblock %}",
        part="{% load i18n %}({{ x }}{% translate 'Match' %}{% include other %})",
        other="o",
    )
    page = made.get_template("page")
    for _ in range(2):
        text = page.render(Context({"rows": [0, 1], "other": "other"}))
        assert text == "<i>Match</i>[AMatch]Match(0Matcho)-;Match(1Matcho)Unsure;B"


def test_addresses_with_ids_are_those_that_reverse_gives() -> None:
    found = 0
    for name in {name for name in get_resolver().reverse_dict if isinstance(name, str)}:
        for values in ([3], [3, 12]):
            pattern = _address_pattern(name, len(values), "/", None)
            try:
                expected = reverse(name, args=values)
            except NoReverseMatch:
                continue
            if pattern is not None:
                found += 1
                assert pattern.format(*values) == expected, name
    assert found > 40
    page = engine(page="{% url 'survey-detail' pk %}").get_template("page")
    assert isinstance(page.nodelist[0], Address)
    assert page.render(Context({"pk": 7})) == "/surveys/7/"
    for wrong in ("", "x", -1, None, 1.5):
        with pytest.raises(NoReverseMatch):
            page.render(Context({"pk": wrong}))


def test_every_template_of_ours_is_read_and_folding_again_changes_nothing() -> None:
    folder, made = _settings.BASE_DIR / "templates", engines["django"].engine  # type: ignore[attr-defined]
    constant = 0
    for path in sorted(Path(folder).rglob("*.html")):
        nodes = made.get_template(str(path.relative_to(folder))).nodelist
        before = kinds(nodes)
        fold(nodes)
        assert kinds(nodes) == before
        constant += len(nodes.get_nodes_by_type(Constant))
        for node in nodes.get_nodes_by_type(Constant):
            assert not all(type(one) is TextNode for one in node.nodes)
    assert constant > 500


@pytest.mark.django_db
@pytest.mark.parametrize("language", ["en", "es"])
def test_whole_pages_are_the_same_without_folding(language: str, settings: Any) -> None:
    survey, _ = make.make_reviewable_survey()
    client = client_of(survey, Role.CURATOR)
    client.cookies[settings.LANGUAGE_COOKIE_NAME] = language
    names = ["survey-list", "individual-list", "conflict-list", "account"]
    pages = [reverse(name) for name in names]
    for name in ("survey-detail", "review", "photo-list", "review-modes", "survey-members", "survey-figures"):
        pages.append(reverse(name, args=[survey.pk]))

    def read() -> list[str]:
        return [_SECRET.sub("", client.get(page, follow=True).content.decode()) for page in pages * 2]

    folded = read()
    plain = [{**settings.TEMPLATES[0], "OPTIONS": {**settings.TEMPLATES[0]["OPTIONS"], "loaders": PLAIN}}]
    settings.TEMPLATES = plain
    assert read() == folded
    assert all('<html lang="' + language in page for page in folded)

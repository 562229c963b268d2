"""Templates whose constant parts are rendered once for a language, instead of with every page.

A page of a review has some 700 nodes, most of them words to translate, key caps and addresses that no variable enters.
Runs of such nodes are replaced, when a template is read, by one that remembers what they gave.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from threading import Lock
from typing import Any

from django.template import Context, Node, NodeList, Template
from django.template.base import FilterExpression, TextNode, Variable
from django.template.defaulttags import CommentNode, LoadNode, URLNode
from django.template.library import SimpleNode
from django.template.loader_tags import BlockNode, ExtendsNode, IncludeNode
from django.template.loaders import cached
from django.templatetags.i18n import BlockTranslateNode, TranslateNode
from django.templatetags.static import StaticNode
from django.urls import NoReverseMatch, get_script_prefix, get_urlconf, reverse
from django.utils.html import conditional_escape
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import get_language

# What a constant part may depend on beside its nodes.
_Surroundings = tuple[str | None, bool, str, str | None]


def constant(function: Any) -> Any:
    """Marks the function of a simple tag whose answer depends on its arguments and on the language alone."""
    function.constant = True
    return function


class Loader(cached.Loader):
    """Django's cached loader, for templates that are folded."""

    def __init__(self, engine: Any, loaders: list[Any]) -> None:
        super().__init__(engine, loaders)
        self._folding = Lock()
        self._folded: set[int] = set()

    def get_template(self, template_name: str, skip: Any = None) -> Template:
        template: Template = super().get_template(template_name, skip)
        if id(template) not in self._folded:
            with self._folding:
                # It stays in the cache of the loader, and so its id is its own (of two that were read at once, one may
                # stay unfolded).
                if id(template) not in self._folded:
                    fold(template.nodelist)
                    self._folded.add(id(template))
        return template

    def reset(self) -> None:
        with self._folding:
            super().reset()
            self._folded.clear()


class Constant(Node):
    """A run of nodes that no variable enters."""

    child_nodelists = ()

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.token, self.origin = nodes[0].token, nodes[0].origin  # type: ignore[attr-defined]
        self._rendered: dict[_Surroundings, SafeString] = {}

    def render(self, context: Context) -> SafeString:
        around = (get_language(), context.autoescape, get_script_prefix(), get_urlconf())
        text = self._rendered.get(around)
        if text is None:
            text = mark_safe("".join(str(node.render_annotated(context)) for node in self.nodes))
            self._rendered[around] = text
        return text


class Address(Node):
    """An address with ids in it, of which only the ids differ."""

    child_nodelists = ()

    def __init__(self, node: URLNode) -> None:
        self.node, self.name = node, node.view_name.var
        self.token, self.origin = node.token, node.origin

    def render(self, context: Context) -> str:
        values = [value.resolve(context) for value in self.node.args]
        if all(type(value) is int and value >= 0 for value in values):
            pattern = _address_pattern(self.name, len(values), get_script_prefix(), get_urlconf())
            if pattern is not None:
                return mark_safe(pattern.format(*values))
        return str(self.node.render(context))


@lru_cache(maxsize=1024)
def _address_pattern(name: str, values: int, prefix: str, urlconf: str | None) -> str | None:
    """The address of a view with a place for each id; None where these are no plain parts of it."""
    probes = [9_007_199_254_740_881 + place for place in range(values)]
    try:
        address = reverse(name, args=probes).replace("{", "{{").replace("}", "}}")
    except NoReverseMatch:
        return None
    if any(address.count(str(probe)) != 1 for probe in probes) or conditional_escape(address) != address:
        return None
    for place, probe in enumerate(probes):
        address = address.replace(str(probe), f"{{{place}}}")
    return address


class _Included:
    """In place of the name of a template that is always the same one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._template: Template | None = None

    def resolve(self, context: Context) -> Template:
        if self._template is None:
            assert context.template is not None
            self._template = context.template.engine.get_template(self.name)
        return self._template


def fold(nodes: NodeList) -> None:
    """Replace each run of constant nodes in a list, and in the lists within, by one node."""
    if any(isinstance(node, ExtendsNode) for node in nodes):
        # Django looks for it as the first of its list, and renders nothing else of that but the blocks.
        for node in nodes:
            for block in node.get_nodes_by_type(BlockNode) if isinstance(node, ExtendsNode) else ():
                fold(block.nodelist)  # type: ignore[attr-defined]
        return
    folded: list[Node] = []
    run: list[Node] = []
    for node in nodes:
        if _is_constant(node):
            run.append(node)
            continue
        folded += _joined(run)
        folded.append(node)
        run = []
        if isinstance(node, URLNode) and _is_plain(node):
            folded[-1] = Address(node)
        for inner in _lists_of(node):
            fold(inner)
        if isinstance(node, IncludeNode) and _names_a_template(node.template):
            node.template = _Included(node.template.var)  # type: ignore[assignment]
    nodes[:] = folded + _joined(run)


def _joined(run: list[Node]) -> list[Node]:
    return run if all(type(node) is TextNode for node in run) else [Constant(run)]


def _lists_of(node: Node) -> Iterator[NodeList]:
    conditions = getattr(node, "conditions_nodelists", None)
    if conditions is not None:  # of `if`, whose `nodelist` is made anew each time
        yield from (nodes for _, nodes in conditions)
        return
    for name in node.child_nodelists:
        nodes = getattr(node, name, None)
        if isinstance(nodes, NodeList):
            yield nodes


def _is_constant(node: Node) -> bool:
    match node:
        case TextNode() | CommentNode() | LoadNode():
            return True
        case TranslateNode():
            return not node.asvar and _is_literal(node.filter_expression) and _is_literal(node.message_context)
        case BlockTranslateNode():
            plain = not (node.plural or node.extra_context or node.counter or node.asvar)
            words = all(part.token_type.name == "TEXT" for part in node.singular)
            return plain and words and _is_literal(node.message_context)
        case StaticNode():
            return node.varname is None and _is_literal(node.path)
        case URLNode():
            # Of a namespace the address depends on the page.
            return not node.args and _is_plain(node)
        case SimpleNode():
            bare = node.target_var is None and not node.takes_context and getattr(node.func, "constant", False)
            return bool(bare) and all(map(_is_literal, [*node.args, *node.kwargs.values()]))
    return False


def _is_plain(node: URLNode) -> bool:
    """Whether a node writes the address of one view. That of a namespace depends on the page."""
    named = _is_literal(node.view_name) and ":" not in node.view_name.token
    return bool(named) and not (node.kwargs or node.asvar)


def _names_a_template(expression: FilterExpression) -> bool:
    return isinstance(expression, FilterExpression) and _is_literal(expression) and "./" not in expression.token


def _is_literal(expression: FilterExpression | None) -> bool:
    """Whether an expression is a quoted text or a number, without filters; so is none at all."""
    if expression is None:
        return True
    variable = expression.var
    return not expression.filters and (not isinstance(variable, Variable) or variable.lookups is None)

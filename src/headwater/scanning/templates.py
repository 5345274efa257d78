"""Chat templates: programs in Jinja that run wherever the model is used, on every message.

Nothing is rendered here. The template is parsed, and three things are looked for: ways out of the sandbox, work without end, and
text that appears only when a message holds a certain word (a *trigger*), which is how a template is made to lie for its owner.
Words in angle or square brackets, and those between them, are the markup of chats, and no trigger.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterator
from math import prod
from typing import TypeVar

from jinja2 import Environment, TemplateError, nodes

from headwater.scanning import rules
from headwater.scanning.models import MAX_FINDINGS, Finding, Judgement, Rule, printable

_PARSER = Environment(extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do"])  # noqa: S701  # it renders nothing
_Node = TypeVar("_Node", bound=nodes.Node)

MAX_CHARS = 256 << 10
MAX_COUNT = 100_000
MAX_NUMBER = 10_000_000
_MAX_DEPTH = 400
_LOOPS_DEEP = 4
_UNSAFE = frozenset(
    {"mro", "func_globals", "func_code", "gi_frame", "gi_code", "cr_frame", "format_map", "tb_frame", "f_globals"}
)
_MARKUP = re.compile(r"\s*(?:[<\[{(|].*|.*[>\]})|])\s*", re.DOTALL)
_OF_MESSAGES = frozenset({"content", "text"})
_PLAIN_WORDS = frozenset(
    [
        "", "system", "user", "assistant", "tool", "image", "video", "audio", "text", "function", "json", "developer", "type", "name", "role",
        "content", "image_url", "video_url", "input_audio", "tool_calls", "tool_call_id", "arguments", "reasoning_content", "thinking",
    ]
)  # fmt: skip


def judge(text: str, what: str = "") -> Judgement:
    """``what`` says where the template stands (a key of the file)."""
    kinds = frozenset({"template"})
    if len(text) > MAX_CHARS:
        return Judgement((Finding(rules.TEMPLATE_UNREAD, what),), kinds=kinds)
    try:
        tree = _PARSER.parse(_plain(text))
        texts = _texts_of_messages(tree)
        found = [
            Finding(rule, printable(f"{what} {word}".strip()), _place(text, line))
            for rule, word, line in itertools.islice(_look(tree, texts, 0, 0), MAX_FINDINGS)
        ]
    except (TemplateError, RecursionError, ValueError) as exc:
        return Judgement((Finding(rules.TEMPLATE_UNREAD, printable(f"{what} {exc}".strip())),), kinds=kinds)
    return Judgement(tuple(dict.fromkeys(found)), kinds=kinds)


def _plain(text: str) -> str:
    """Without ``{% generation %}``, which only transformers knows."""
    return re.sub(r"\{%(-?)\s*(end)?generation\s*(-?)%\}", "", text)


def _place(text: str, line: int) -> int:
    return len("\n".join(text.split("\n", line - 1)[: line - 1]).encode()) + (line > 1)


def _look(node: nodes.Node, texts: Collection[str], depth: int, n_loops: int) -> Iterator[tuple[Rule, str, int]]:
    if depth > _MAX_DEPTH:
        yield rules.TEMPLATE_UNREAD, "nested too deep", node.lineno
        return
    match node:
        case nodes.Getattr(attr=name) | nodes.Getitem(arg=nodes.Const(value=str(name))) if _is_unsafe(name):
            yield rules.TEMPLATE_UNSAFE, name, node.lineno
        case nodes.Const(value=str(word)) if "__" in word and _is_unsafe(word.strip()):
            yield rules.TEMPLATE_UNSAFE, word, node.lineno
        case nodes.Filter(name="attr"):
            yield rules.TEMPLATE_UNSAFE, "attr", node.lineno
        case nodes.Include() | nodes.Import() | nodes.FromImport() | nodes.Extends():
            yield rules.TEMPLATE_UNSAFE, "import", node.lineno
        case nodes.Call(node=nodes.Name(name="range"), args=args) if any(_is_large(arg) for arg in args):
            yield rules.TEMPLATE_ENDLESS, "range", node.lineno
        case nodes.Mul() | nodes.Pow() if _is_large(node) or isinstance(node, nodes.Pow):
            yield rules.TEMPLATE_ENDLESS, "a large product", node.lineno
        case nodes.Const(value=int(number) | float(number)) if abs(number) > MAX_NUMBER:
            yield rules.TEMPLATE_ENDLESS, "a large number", node.lineno
        case nodes.Add() if n_loops and node.left == node.right and not isinstance(node.left, nodes.Const):
            yield rules.TEMPLATE_ENDLESS, "doubling in a loop", node.lineno
        case nodes.Concat() if n_loops and any(
            node.nodes.count(each) > 1 for each in node.nodes if not isinstance(each, nodes.Const)
        ):
            yield rules.TEMPLATE_ENDLESS, "doubling in a loop", node.lineno
        case nodes.For():
            n_loops += 1
            if n_loops > _LOOPS_DEEP or node.recursive:
                yield rules.TEMPLATE_ENDLESS, "loops in loops", node.lineno
        case nodes.If() | nodes.CondExpr():
            for word in _triggers(node.test, texts):
                yield rules.TEMPLATE_TRIGGER, word, node.lineno
    for child in node.iter_child_nodes():
        yield from _look(child, texts, depth + 1, n_loops)


def _is_unsafe(name: str) -> bool:
    return (name.startswith("__") and name.endswith("__") and len(name) > 4 and name.islower()) or name in _UNSAFE


def _is_large(node: nodes.Node) -> bool:
    """Whether this says a number that no template needs, outright or as a product of smaller ones."""
    value = _number(node, 0)
    return value is not None and abs(value) > MAX_COUNT


def _number(node: nodes.Node, depth: int) -> float | None:
    """What a plain calculation comes to; nothing else is worked out here."""
    if depth > 50:
        return None
    match node:
        case nodes.Const(value=bool()):
            return None
        case nodes.Const(value=int(value) | float(value)):
            return float(value) if abs(value) < 1e300 else 1e300
        case nodes.Neg(node=inner):
            negated = _number(inner, depth + 1)
            return None if negated is None else -negated
        case nodes.Mul():
            factors = [n for side in (node.left, node.right) if (n := _number(side, depth + 1)) is not None]
            return prod(factors) if factors else None  # of a text, too, as often as that
        case nodes.Add():
            left, right = _number(node.left, depth + 1), _number(node.right, depth + 1)
            return None if left is None or right is None else left + right
    return None


def _triggers(test: nodes.Node, texts: Collection[str]) -> Iterator[str]:
    """Ordinary words that a message's own text is compared with."""
    for compare in _within(test, nodes.Compare):
        sides = [compare.expr, *(operand.expr for operand in compare.ops)]
        words = [side.value for side in sides if isinstance(side, nodes.Const) and isinstance(side.value, str)]
        lists = [
            item.value
            for side in sides
            if isinstance(side, nodes.List | nodes.Tuple)
            for item in side.items
            if isinstance(item, nodes.Const) and isinstance(item.value, str)
        ]
        if any(_is_text_of_message(side, texts) for side in sides):
            yield from (word for word in (*words, *lists) if not _is_markup(word))
    for call in _within(test, nodes.Call):
        if (
            isinstance(call.node, nodes.Getattr)
            and call.node.attr in ("startswith", "endswith", "count", "find", "index")
            and _is_text_of_message(call.node.node, texts)
        ):
            yield from (
                arg.value
                for arg in call.args
                if isinstance(arg, nodes.Const) and isinstance(arg.value, str) and not _is_markup(arg.value)
            )


def _within(node: nodes.Node, kind: type[_Node]) -> Iterator[_Node]:
    if isinstance(node, kind):
        yield node
    yield from node.find_all(kind)


def _texts_of_messages(tree: nodes.Node) -> set[str]:
    """Names that stand for a message's own text, because they are called so or were set to it."""
    found = set(_OF_MESSAGES)
    assigned = list(tree.find_all(nodes.Assign))
    for _ in range(3):  # names of names of names
        for each in assigned:
            if isinstance(each.target, nodes.Name) and _is_text_of_message(each.node, found):
                found.add(each.target.name)
    return found


def _is_text_of_message(node: nodes.Node, texts: Collection[str]) -> bool:
    match node:
        case nodes.Getattr(attr=name) | nodes.Getitem(arg=nodes.Const(value=str(name))):
            return name in _OF_MESSAGES
        case nodes.Name(name=name):
            return name in texts
        case nodes.Filter(node=inner) if inner is not None:
            return _is_text_of_message(inner, texts)
        case nodes.Call(node=nodes.Getattr(node=inner)):
            return _is_text_of_message(inner, texts)
    return False


def _is_markup(word: str) -> bool:
    return (
        word.strip().lower() in _PLAIN_WORDS
        or _MARKUP.fullmatch(word) is not None
        or not any(c.isalpha() for c in word)
    )

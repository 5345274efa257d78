"""What the ``check`` of an item means: does an answer pass?

Only the standard library, no I/O. Code that a model wrote is never run here: for a check of kind ``python`` this module
writes the program (``program_for``), and whoever judges runs it in a sandbox of theirs. A field that is null counts as
absent, since tables of items give every row every field.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

_FENCE = re.compile(r"```[ \t]*([\w+-]*)[ \t]*\n(.*?)```", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_THOUGHT = re.compile(r"^\s*<think>.*?(?:</think>|\Z)", re.DOTALL)
_FRAME = r"[\s(\[*\"'“「]*"  # what may stand around a letter
_FIRST = re.compile(
    rf"{_FRAME}(?:([A-D])(?=[)\]*\"'”」]*(?:$|\s*[.):、,。;\n]))|([a-d])[)\]*\"'”」]*(?:$|[.):、,。])|([B-D])(?=\s))|\s*\(([a-d])\)"
)
_NAMED = re.compile(
    rf"(?i:(?:answer|option|choice|letter)\s*(?:is|:)\s*(?:(?:option|choice|letter)\s*)?){_FRAME}([A-D])(?![A-Za-z])"
    rf"|(?:答案|选项|(?<!不)选择|(?<!不)选)(?:应该|应|当然)?[是为选:]*{_FRAME}([A-D])(?![A-Za-z])"
)
_ALONE = re.compile(r"(?<![A-Za-z'’])(?:([B-D])|(A)(?!\s+[a-z]))(?![A-Za-z'’])")


class NeedsSandbox(Exception):
    """The check is of kind ``python``: run ``program_for(check, text)`` in a sandbox; exit code 0 passes."""


def folded(text: str) -> str:
    """NFKC, so full-width and half-width forms are one; blank lines and outer white space gone."""
    text = unicodedata.normalize("NFKC", text).replace("\r\n", "\n").replace("\u2212", "-")
    return re.sub(r"\n\s*\n", "\n", text).strip()


def plain(text: str) -> str:
    """``folded``, without case, runs of white space, and quotes or full stops around the whole."""
    return re.sub(r"\s+", " ", folded(text)).casefold().strip(" .。!?\"'“”‘’「」《》`*")


def passes(item: dict[str, Any], text: str) -> bool:
    """Whether ``text`` answers ``item``.

    Raises:
        NeedsSandbox: only running the answer can tell.
    """
    if item["form"] == "choice":
        return bool(letter_of(text) == item["answer"])
    return holds(item["check"], text)


def letter_of(text: str) -> str | None:
    """The option an answer picks: the letter it begins with, the one it names ("the answer is B", 应该选B), or the only one in it.

    The article "A" is no letter, and what a model thinks before it answers is no answer. None where none, or more than one, is picked.
    """
    text = folded(_THOUGHT.sub("", text))
    for found in (_FIRST.match(text), _NAMED.search(text)):
        if found:
            return next(letter for letter in found.groups() if letter).upper()
    alone = {letter for pair in _ALONE.findall(text) for letter in pair if letter}
    return alone.pop() if len(alone) == 1 else None


def holds(check: dict[str, Any], text: str) -> bool:
    """Whether ``text`` passes ``check``.

    Raises:
        NeedsSandbox: the check is of kind ``python``.
        ValueError: there is no such kind.
    """
    match check["kind"]:
        case "all":
            return all(holds(part, text) for part in check["checks"])
        case "exact":
            return plain(text) in {plain(one) for one in check["accept"]}
        case "number":
            return _number_holds(check, text)
        case "regex":
            return re.search(check["pattern"], folded(text)) is not None
        case "words":
            return _words_hold(check, text)
        case "length":
            n = count(text, check["unit"])
            return (check.get("min") or 0) <= n and (check.get("max") is None or n <= check["max"])
        case "json":
            return _json_holds(check, text)
        case "python":
            raise NeedsSandbox
        case other:
            raise ValueError(f"There is no check of kind {other!r}.")


def count(text: str, unit: str) -> int:
    """How long a text is: ``han`` (Chinese characters), ``words``, ``lines`` (not empty) or ``sentences``."""
    text = folded(text)
    match unit:
        case "han":
            return len(_HAN.findall(text))
        case "words":
            return len(re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text))
        case "lines":
            return len([line for line in text.splitlines() if line.strip()])
        case "sentences":
            return len([part for part in re.split(r"[。!?]+|\.+(?=\s|$|[\"'”’)])", text) if re.search(r"\w", part)])
        case other:
            raise ValueError(f"There is no unit {other!r}.")


def _number_holds(check: dict[str, Any], text: str) -> bool:
    # The last number is the answer: reasoning comes before it, units after it.
    found = _NUMBER.findall(re.sub(r"(?<=\d),(?=\d{3})", "", folded(text)))
    return bool(found) and abs(float(found[-1]) - check["value"]) <= (check.get("tolerance") or 0) + 1e-9


def _has(text: str, word: str) -> bool:
    word = folded(word).casefold()
    # A Latin word must stand alone ("art" is not in "start"); Chinese has no spaces to stand between.
    before = r"(?<![a-z0-9])" if word[0].isascii() and word[0].isalnum() else ""
    after = r"(?![a-z0-9])" if word[-1].isascii() and word[-1].isalnum() else ""
    return re.search(before + re.escape(word) + after, text) is not None


def _words_hold(check: dict[str, Any], text: str) -> bool:
    text = folded(text).casefold()
    return (
        all(_has(text, word) for word in check.get("all") or ())
        and all(any(_has(text, word) for word in group) for group in check.get("any") or ())
        and not any(_has(text, word) for word in check.get("none") or ())
    )


def _json_holds(check: dict[str, Any], text: str) -> bool:
    fenced = _FENCE.search(text)
    try:
        value = json.loads(fenced.group(2) if fenced else text.strip())
    except ValueError:
        return False
    return any(_same(json.loads(one), value) for one in check["accept"])


def _same(wanted: Any, value: Any) -> bool:
    if isinstance(wanted, dict) and set(wanted) == {"$regex"}:
        return isinstance(value, str) and re.search(wanted["$regex"], folded(value)) is not None
    if isinstance(wanted, dict):
        return (
            isinstance(value, dict)
            and wanted.keys() == value.keys()
            and all(_same(wanted[k], value[k]) for k in wanted)
        )
    if isinstance(wanted, list):
        return isinstance(value, list) and len(wanted) == len(value) and all(map(_same, wanted, value))
    if isinstance(wanted, str):
        return isinstance(value, str) and folded(wanted).casefold() == folded(value).casefold()
    # True is 1 for Python, and not for JSON.
    return isinstance(wanted, bool) == isinstance(value, bool) and bool(wanted == value)


def code_of(text: str) -> str:
    """The code in an answer: its first fenced block, or all of it."""
    fenced = _FENCE.search(text)
    return fenced.group(2) if fenced else text


def program_for(check: dict[str, Any], text: str) -> str:
    """The program that tells whether an answer passes a ``python`` check. Strangers' code: for a sandbox only."""
    return "\n".join([code_of(text).rstrip(), "", *check["assertions"], ""])

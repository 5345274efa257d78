"""YAML of strangers, read strictly into plain JSON values.

libyaml only cuts the text into events; what they mean is decided here, by the core schema of YAML 1.2: ``no`` and ``2024-01-01``
are texts. Refused: aliases and anchors (they blow up), explicit tags, duplicate and complex keys, several documents, more
than 16 levels, more than 256 KiB. Numbers that JSON cannot carry stay as they were written.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]

from headwater.kernel import HeadwaterError, Kind

MAX_BYTES = 256 << 10
MAX_DEPTH = 16

# The core schema, YAML 1.2.2 section 10.3.2.
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONGEST_NUMBER = 32
_SAFE_INTEGER = 2**53  # beyond it a JavaScript reader would see another number


class BadYaml(HeadwaterError):
    """``line`` counts from 1 within the text that was given; None where no line is to blame."""

    code = "bad_yaml"
    kind = Kind.BAD_INPUT

    def __init__(self, why: str, line: int | None = None) -> None:
        self.why, self.line = why, line
        super().__init__(why if line is None else f"{why} (line {line})")


def load(text: str) -> Any:
    """The one document in ``text`` as JSON values; an empty one is None.

    Raises:
        BadYaml: it is no YAML, or uses what is refused here.
    """
    try:
        if len(text) > MAX_BYTES or len(text.encode()) > MAX_BYTES:
            raise BadYaml(f"The YAML is longer than {MAX_BYTES >> 10} KiB.")
    except UnicodeEncodeError as exc:
        raise BadYaml("The YAML is not valid Unicode text.") from exc
    try:
        return _Composer(text).document()
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        raise BadYaml(
            f"The YAML cannot be read: {exc.problem or exc.context}.", mark.line + 1 if mark else None
        ) from exc
    except yaml.reader.ReaderError as exc:
        raise BadYaml(f"The YAML cannot be read: {exc.reason}.") from exc


class _Composer:
    """Events in, values out; stops at the first thing that is refused, so depth bounds the work of the scanner too."""

    def __init__(self, text: str) -> None:
        self._parser = CParser(text)

    def document(self) -> Any:
        self._next()  # stream start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        value = self._value(self._next(), depth=1)
        self._next()  # document end
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            raise BadYaml("Only one YAML document is allowed.", _line(after))
        return value

    def _next(self) -> yaml.Event:
        event = self._parser.get_event()
        if event is None:
            raise BadYaml("The YAML ends too early.")
        return event

    def _value(self, event: yaml.Event, depth: int) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise BadYaml(f"Aliases such as *{event.anchor} are not allowed; write the value out.", _line(event))
        if event.anchor is not None:  # type: ignore[attr-defined]
            raise BadYaml(f"Anchors such as &{event.anchor} are not allowed.", _line(event))  # type: ignore[attr-defined]
        if event.tag is not None:  # type: ignore[attr-defined]
            raise BadYaml(f"Tags such as {event.tag!r} are not allowed.", _line(event))  # type: ignore[attr-defined]
        if isinstance(event, yaml.ScalarEvent):
            return _plain(event.value) if event.implicit[0] else event.value
        if depth > MAX_DEPTH:
            raise BadYaml(f"The YAML is nested more than {MAX_DEPTH} levels deep.", _line(event))
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(depth)
        return self._mapping(depth)

    def _sequence(self, depth: int) -> list[Any]:
        values = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            values.append(self._value(event, depth + 1))
        return values

    def _mapping(self, depth: int) -> dict[str, Any]:
        values: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                if isinstance(event, yaml.AliasEvent):
                    self._value(event, depth)
                raise BadYaml("A key must be a plain text.", _line(event))
            self._value(event, depth)  # refuses anchors and tags
            key = event.value
            if key == "<<" and event.implicit[0]:
                raise BadYaml("Merge keys (<<) are not allowed; write the values out.", _line(event))
            if key in values:
                raise BadYaml(f"The key {key!r} stands twice.", _line(event))
            values[key] = self._value(self._next(), depth + 1)
        return values


def _plain(text: str) -> Any:
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] not in "-+.0123456789":
        return text
    if _NOT_FINITE.fullmatch(text):
        return None  # as JavaScript writes these in JSON; evaluation results do hold them
    if len(text) > _LONGEST_NUMBER:
        return text
    if _INT.fullmatch(text):
        number = int(text[2:], {"o": 8, "x": 16}[text[1]]) if text[1:2] in ("o", "x") else int(text)
        return number if abs(number) <= _SAFE_INTEGER else text
    if _FLOAT.fullmatch(text):
        parsed = float(text)
        return parsed if math.isfinite(parsed) else text
    return text


def _line(event: yaml.Event) -> int | None:
    return event.start_mark.line + 1 if event.start_mark else None

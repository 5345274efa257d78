"""Keras models: their configuration names classes to build, and may carry code (``Lambda``). ``.keras`` archives and HDF5 files.

An HDF5 file is not parsed: its attributes stand in it as plain text wherever the library put them, so the text is looked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from headwater.scanning import rules
from headwater.scanning.models import MAX_FINDINGS, Finding, Judgement, printable
from headwater.scanning.reading import STEP_BYTES, Bytes

HDF5 = b"\x89HDF\r\n\x1a\n"
_OWN_MODULES = ("keras", "tensorflow.keras", "tf_keras", "keras_hub", "keras_cv", "keras_nlp", "builtins")
_REACHING = (
    "utils",
    "src.utils",
    "saving",
    "src.saving",
    "datasets",
    "src.datasets",
)  # they fetch and open what they are told to
_CLASS = re.compile(rb'"class_name":\s*"(Lambda|TFOpLambda|SlicingOpLambda|__lambda__)"')
_MODULE = re.compile(rb'"module":\s*"([\w.]{1,200})"')
_NEAR = 512
_MAX_DEPTH = 200


def judge_config(data: bytes) -> Judgement:
    """``config.json`` of a ``.keras`` archive."""
    kinds = frozenset({"keras"})
    try:
        config = json.loads(data)
    except (ValueError, RecursionError):
        return Judgement((Finding(rules.JSON_UNREAD, "config.json"),), kinds=kinds)
    return Judgement(tuple(dict.fromkeys(_of(config, 0)))[:MAX_FINDINGS], kinds=kinds)


def _of(value: Any, depth: int) -> Iterator[Finding]:
    if depth > _MAX_DEPTH:
        yield Finding(rules.JSON_UNREAD, "nested too deep")
        return
    if isinstance(value, dict):
        if value.get("class_name") in ("Lambda", "__lambda__", "TFOpLambda", "SlicingOpLambda"):
            yield Finding(rules.KERAS_LAMBDA, str(value["class_name"]))
        module = value.get("module")
        if "class_name" in value and isinstance(module, str) and not _is_own(module):
            yield Finding(rules.KERAS_MODULE, printable(module))
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            if isinstance(each, dict | list):
                yield from _of(each, depth + 1)


def _is_own(module: str) -> bool:
    for own in _OWN_MODULES:
        if module == own or module.startswith(f"{own}."):
            rest = module[len(own) + 1 :]
            return not any(rest == each or rest.startswith(f"{each}.") for each in _REACHING)
    return False


def judge_hdf5(source: Bytes) -> Judgement:
    found: dict[Finding, None] = {}
    at, before = 0, b""
    while at < source.size_bytes and len(found) < MAX_FINDINGS:
        data = before + source.read_at(at, STEP_BYTES)
        base = at - len(before)
        for match in _CLASS.finditer(data):
            found[Finding(rules.KERAS_LAMBDA, match[1].decode(), base + match.start())] = None
        for match in _MODULE.finditer(data):
            module = match[1].decode(errors="replace")
            if not _is_own(module) and b'"class_name"' in data[max(0, match.start() - _NEAR) : match.end() + _NEAR]:
                found[Finding(rules.KERAS_MODULE, printable(module), base + match.start())] = None
        at += STEP_BYTES
        before = data[-_NEAR:]
    return Judgement(tuple(found), kinds=frozenset({"hdf5"}))

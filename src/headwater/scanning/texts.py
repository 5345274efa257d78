"""Files that are text: configurations that run code elsewhere, chat templates, cards, results, and what browsers would run.

HTML, SVG, notebooks and tables with formulas are told what they are and are no finding: they are served so that nothing of them runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from headwater.scanning import rules
from headwater.scanning.models import Finding, Judgement, Rule, printable, together
from headwater.scanning.reading import STEP_BYTES, Bytes

MAX_JSON = 4 << 20
MAX_TEMPLATE = 4 << 20
MAX_CARD = 16 << 20
_MAX_DEPTH = 64
_LOOKED_AT = 8 << 20  # of a page or table, to say what it holds
_SCRIPTS = re.compile(
    rb"<\s*script|\bon[a-z]{3,20}\s*=|javascript:|<\s*(?:iframe|object|embed|foreignobject)", re.IGNORECASE
)
_FORMULA = re.compile(rb"""(?:^|[,;\t"'])[ ]*(?:[=@][A-Za-z(]|[+-][A-Za-z(]+[!(])""", re.MULTILINE)


def judge_config(source: Bytes) -> Judgement:
    """A configuration that transformers or diffusers reads."""
    kinds = frozenset({"config"})
    config, broken = _json(source)
    if broken is not None:
        return Judgement((broken,), kinds=kinds)
    found = [Judgement(tuple(dict.fromkeys(_of_config(config))), kinds=kinds)]
    if any(True for _ in iter_templates(config)):
        from headwater.scanning import templates

        found += (templates.judge(text, where) for where, text in iter_templates(config))
    return together(found)


def judge_results(source: Bytes) -> Judgement:
    """Numbers that others compare: what two readers would read differently does not get in."""
    kinds = frozenset({"results"})
    strange: list[str] = []
    results, broken = _json(source, strange)
    if broken is not None:
        return Judgement((Finding(_REFUSED.get(broken.rule, broken.rule), broken.what),), kinds=kinds)
    findings = [Finding(rules.RESULTS_NUMBER, word) for word in dict.fromkeys(strange)]
    findings += [Finding(rules.RESULTS_DOUBLE, key) for key in _doubles(results)]
    return Judgement(tuple(dict.fromkeys(findings)), kinds=kinds)


def judge_card(source: Bytes) -> Judgement:
    """The front matter of a README, as strictly as the site reads it."""
    from headwater.scanning import front_matter, strict_yaml

    kinds = frozenset({"card"})
    data = source.read_at(0, MAX_CARD)
    matter, _, _ = front_matter.split(data.decode("utf-8", errors="replace"))
    if matter is None:
        return Judgement(kinds=kinds)
    try:
        metadata = strict_yaml.load(matter)
    except strict_yaml.BadYaml as exc:
        return Judgement((Finding(rules.CARD_UNREAD, printable(exc.message)),), kinds=kinds)
    if metadata is not None and not isinstance(metadata, dict):
        return Judgement((Finding(rules.CARD_UNREAD, "it is no list of keys"),), kinds=kinds)
    return Judgement(kinds=kinds)


def names_itself(card: bytes, repository: str) -> bool:
    """Whether a README says that ``repository`` (as namespace/name) is derived from itself."""
    from headwater.scanning import front_matter, strict_yaml

    matter, _, _ = front_matter.split(card[:MAX_CARD].decode("utf-8", errors="replace"))
    try:
        metadata = strict_yaml.load(matter) if matter else None
    except strict_yaml.BadYaml:
        return False
    told = metadata.get("base_model") if isinstance(metadata, dict) else None
    bases = told if isinstance(told, list) else [told]
    return any(isinstance(base, str) and base.strip().lower() == repository.lower() for base in bases)


def judge_template(source: Bytes) -> Judgement:
    from headwater.scanning import templates

    data = source.read_at(0, MAX_TEMPLATE + 1)
    return templates.judge(data.decode("utf-8", errors="replace"))


def judge_notebook(source: Bytes) -> Judgement:
    return Judgement(kinds=frozenset({"notebook", *_scripts(source)}))


def judge_markup(source: Bytes) -> Judgement:
    return Judgement(kinds=frozenset({"markup", *_scripts(source)}))


def judge_table(source: Bytes) -> Judgement:
    at, before = 0, b"\n"
    while at < min(source.size_bytes, _LOOKED_AT):
        data = before + source.read_at(at, STEP_BYTES)
        if _FORMULA.search(data):
            return Judgement(kinds=frozenset({"table", "formulas"}))
        at, before = at + STEP_BYTES, data[-64:]
    return Judgement(kinds=frozenset({"table"}))


def _scripts(source: Bytes) -> Iterator[str]:
    at, before = 0, b""
    while at < min(source.size_bytes, _LOOKED_AT):
        data = before + source.read_at(at, STEP_BYTES)
        if _SCRIPTS.search(data):
            yield "scripts"
            return
        at, before = at + STEP_BYTES, data[-64:]


# --- JSON --------------------------------------------------------------------


class _Pairs(dict[str, Any]):
    """An object of JSON that knows which keys stood in it twice."""

    doubles: tuple[str, ...] = ()

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        if len(self) != len(pairs):
            seen: set[str] = set()
            doubles: list[str] = []
            for key, _ in pairs:
                if key in seen:
                    doubles.append(key)
                seen.add(key)
            self.doubles = tuple(dict.fromkeys(doubles))


def _json(source: Bytes, strange: list[str] | None = None) -> tuple[Any, Finding | None]:
    """The value, or why there is none; ``strange`` gets the numbers that JSON does not have."""
    if source.size_bytes > MAX_JSON:
        return None, Finding(rules.JSON_UNREAD, f"it is longer than {MAX_JSON >> 20} MiB")
    data = source.read_at(0, source.size_bytes)
    if _is_deep(data):
        return None, Finding(rules.JSON_DEEP, f"nested deeper than {_MAX_DEPTH}")

    def constant(word: str) -> float:
        if strange is not None:
            strange.append(word)
        return float(word.replace("Infinity", "inf"))

    def number(word: str) -> float:
        value = float(word)
        if strange is not None and value in (float("inf"), float("-inf")):
            strange.append(printable(word, 20))
        return value

    try:
        value = json.loads(data, object_pairs_hook=_Pairs, parse_constant=constant, parse_float=number)
    except (ValueError, RecursionError) as exc:
        return None, Finding(rules.JSON_UNREAD, printable(str(exc)))
    return value, None


_TEXT = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_PAIRS = re.compile(rb"\[\]|\{\}")


def _is_deep(data: bytes) -> bool:
    """Whether brackets stand in each other deeper than ``_MAX_DEPTH``, outside of texts; pairs are taken out from the inside."""
    left = data
    if data.count(b"[") + data.count(b"{") > _MAX_DEPTH:
        left = _TEXT.sub(b"", data)
    left = left.translate(None, _NO_BRACKETS)
    for _ in range(_MAX_DEPTH):
        if len(left) <= _MAX_DEPTH:
            return False
        before = len(left)
        left = _PAIRS.sub(b"", left)
        if len(left) == before:
            break
    return bool(left)


def _doubles(value: Any) -> Iterator[str]:
    for each in _nested(value):
        if isinstance(each, _Pairs):
            yield from map(printable, each.doubles)


def _nested(value: Any) -> Iterator[Any]:
    """Every object and list within, itself too."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict | list):
            yield each
            waiting += [
                inner for inner in (each.values() if isinstance(each, dict) else each) if isinstance(inner, dict | list)
            ]


def _of_config(config: Any) -> Iterator[Finding]:
    for value in _nested(config):
        if not isinstance(value, _Pairs):
            continue
        yield from (Finding(rules.JSON_DOUBLE, printable(key)) for key in value.doubles)
        code = value.get("auto_map")
        for target in code.values() if isinstance(code, dict) else [code] if isinstance(code, str) else []:
            for name in target if isinstance(target, list) else [target]:
                if isinstance(name, str) and "--" in name:  # "other/repository--module.Class"
                    yield Finding(rules.CONFIG_REMOTE, printable(name))


def iter_templates(config: Any) -> Iterator[tuple[str, str]]:
    """Chat templates of a configuration, each with where it stands."""
    found = config.get("chat_template") if isinstance(config, dict) else None
    if isinstance(found, str):
        yield "chat_template", found
    elif isinstance(found, list):
        for each in found:
            if isinstance(each, dict) and isinstance(each.get("template"), str):
                yield f"chat_template {each.get('name')}", each["template"]
    elif isinstance(found, dict):
        for name, each in found.items():
            if isinstance(each, str):
                yield f"chat_template {name}", each


_REFUSED: dict[Rule, Rule] = {rules.JSON_DEEP: rules.RESULTS_DEEP}

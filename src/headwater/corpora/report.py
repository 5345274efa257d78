"""A corpus report as it is read back: anybody may have written the file, so nothing in it is believed to have a shape.

``corpora.program.reporting`` makes it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FILE = "corpus-report.json"
FORMAT = "headwater-corpus-report/1"
LARGEST_BYTES = 8 << 20
MOST = 500
_LARGEST = 1 << 60
_REPO = re.compile(r"(?:models|datasets|spaces)/[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)
_COMMIT = re.compile(r"[0-9a-f]{40}")


class NoReport(ValueError):
    """The file is not a corpus report."""


@dataclass(frozen=True)
class Counts:
    documents: int
    size_bytes: int
    tokens: int


@dataclass(frozen=True)
class Step:
    name: str
    before: int
    after: int
    settings: Sequence[tuple[str, str]]

    @property
    def dropped(self) -> int:
        return max(0, self.before - self.after)


@dataclass(frozen=True)
class Drop:
    reason: str
    documents: int
    size_bytes: int


@dataclass(frozen=True)
class Source:
    name: str
    description: str
    repo: str | None
    commit: str | None
    folder: str | None
    files: int
    formats: Sequence[tuple[str, int]]
    first: str | None
    last: str | None
    licence: str | None
    licences_found: Sequence[tuple[str, int]]
    rights: str
    processing: Sequence[str]
    read: Counts
    kept: Counts
    drops: Sequence[Drop]
    languages: Sequence[tuple[str, Counts]]
    exact_within: int
    exact_across: Sequence[tuple[str, int]]
    fuzzy_within: int
    fuzzy_across: Sequence[tuple[str, int]]
    pii: Sequence[tuple[str, int]]
    encodings: Sequence[tuple[str, int]]
    contamination: Sequence[tuple[str, int]]

    @property
    def href(self) -> str | None:
        """Its repository as it was read."""
        if self.repo is None:
            return None
        place = f"/{self.repo.removeprefix('models/')}"
        return f"{place}/tree/{self.commit}" if self.commit else place


@dataclass(frozen=True)
class Report:
    name: str
    description: str
    tokenizer: str
    is_estimated: bool
    steps: Sequence[Step]
    sources: Sequence[Source]
    read: Counts
    kept: Counts
    drops: Sequence[Drop]
    languages: Sequence[tuple[str, Counts]]
    lengths: Sequence[tuple[int, int]]
    pii: Sequence[tuple[str, int]]
    encodings: Sequence[tuple[str, int]]
    contamination: Sequence[tuple[str, int]]
    n_exact_within: int
    n_exact_across: int
    n_fuzzy_within: int
    n_fuzzy_across: int


def parse(data: bytes) -> Report:
    """Raises: NoReport."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise NoReport(str(exc)) from exc
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise NoReport(f"its format is not {FORMAT}")
    total = _mapping(value.get("total"))
    copies = _mapping(total.get("duplicates"))
    exact, fuzzy = _mapping(copies.get("exact")), _mapping(copies.get("fuzzy"))
    return Report(
        name=_text(value.get("name")) or "",
        description=_text(value.get("description")) or "",
        tokenizer=_text(value.get("tokenizer")) or "",
        is_estimated=value.get("tokens_are_estimated") is True,
        steps=[_step(each) for each in _list(value.get("steps"))],
        sources=[_source(each) for each in _list(value.get("sources"))],
        read=_counts(total.get("in")),
        kept=_counts(total.get("out")),
        drops=_drops(total.get("dropped")),
        languages=_languages(total.get("languages")),
        lengths=sorted((int(k), n) for k, n in _numbers(total.get("lengths")) if k.isdecimal() and len(k) < 16),
        pii=_numbers(total.get("pii")),
        encodings=_numbers(total.get("encodings")),
        contamination=_numbers(total.get("contamination")),
        n_exact_within=number(exact.get("within")),
        n_exact_across=number(exact.get("across")),
        n_fuzzy_within=number(fuzzy.get("within")),
        n_fuzzy_across=number(fuzzy.get("across")),
    )


def _step(value: Any) -> Step:
    given = _mapping(value)
    settings = [
        (str(name)[:80], json.dumps(said, ensure_ascii=False)[:200])
        for name, said in list(_mapping(given.get("settings")).items())[:40]
        if said is not None
    ]
    return Step(_text(given.get("name")) or "", number(given.get("before")), number(given.get("after")), settings)


def _source(value: Any) -> Source:
    given = _mapping(value)
    origin, period = _mapping(given.get("from")), _mapping(given.get("period"))
    repo, commit = _text(origin.get("repo")), _text(origin.get("commit"))
    copies = _mapping(given.get("duplicates"))
    exact, fuzzy = _mapping(copies.get("exact")), _mapping(copies.get("fuzzy"))
    return Source(
        name=_text(given.get("name")) or "",
        description=_text(given.get("description")) or "",
        repo=repo if repo is not None and _REPO.fullmatch(repo) else None,
        commit=commit if commit is not None and _COMMIT.fullmatch(commit) else None,
        folder=_text(origin.get("folder")),
        files=number(given.get("files")),
        formats=_numbers(given.get("formats")),
        first=_text(period.get("from")),
        last=_text(period.get("to")),
        licence=_text(given.get("licence")),
        licences_found=_numbers(given.get("licences_found")),
        rights=_text(given.get("rights")) or "",
        processing=[text for each in _list(given.get("processing")) if (text := _text(each))],
        read=_counts(given.get("in")),
        kept=_counts(given.get("out")),
        drops=_drops(given.get("dropped")),
        languages=_languages(given.get("languages")),
        exact_within=number(exact.get("within")),
        exact_across=_numbers(exact.get("across")),
        fuzzy_within=number(fuzzy.get("within")),
        fuzzy_across=_numbers(fuzzy.get("across")),
        pii=_numbers(given.get("pii")),
        encodings=_numbers(given.get("encodings")),
        contamination=_numbers(given.get("contamination")),
    )


def _counts(value: Any) -> Counts:
    given = _mapping(value)
    return Counts(number(given.get("documents")), number(given.get("bytes")), number(given.get("tokens")))


def _drops(value: Any) -> list[Drop]:
    found = [
        Drop(str(reason)[:120], (counts := _counts(each)).documents, counts.size_bytes)
        for reason, each in list(_mapping(value).items())[:MOST]
    ]
    return sorted(found, key=lambda drop: (-drop.documents, drop.reason))


def _languages(value: Any) -> list[tuple[str, Counts]]:
    found = [(str(code)[:20], _counts(each)) for code, each in list(_mapping(value).items())[:MOST]]
    return sorted(found, key=lambda pair: (-pair[1].tokens, -pair[1].documents, pair[0]))


def _numbers(value: Any) -> list[tuple[str, int]]:
    found = [(str(name)[:200], number(n)) for name, n in list(_mapping(value).items())[:MOST]]
    return sorted(found, key=lambda pair: (-pair[1], pair[0]))


def number(value: Any) -> int:
    """What is no sensible count is 0."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    if isinstance(value, float) and not math.isfinite(value):
        return 0
    return min(_LARGEST, max(0, int(value)))


def _text(value: Any) -> str | None:
    return value[:5000] if isinstance(value, str) and value else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value[:MOST] if isinstance(value, list) else []

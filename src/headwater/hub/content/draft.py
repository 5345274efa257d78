"""A commit as it arrives over HTTP: newline-separated JSON, read line by line in bounded memory.

Small contents stay in memory up to a budget; beyond it each goes to a temporary file, so that a body of many small files costs
the disk and not the memory of the server.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import orjson

from headwater.blobs.folder import refusing_when_full
from headwater.hub.content.errors import BadCommitBody, InlineFileTooLarge
from headwater.hub.content.preupload import LARGE_BYTES
from headwater.hub.files import parse_sha256
from headwater.hub.names import check_path
from headwater.kernel import Sha256

MAX_LINE_BYTES = LARGE_BYTES * 4 // 3 + 16_384
MAX_BODY_BYTES = 1 << 30
MAX_CHANGES = 100_000
MAX_MESSAGE_CHARS = 65_536
MEMORY_BYTES = 4 << 20
READ_BYTES = 256 << 10

_PARENT = re.compile(r"[0-9a-f]{5,40}")


class Reader(Protocol):
    """What a draft is read from: ``web``'s body reader, or any binary file."""

    def read(self, n: int = -1, /) -> bytes: ...


class Spool(Protocol):
    """Where contents go that memory has no room for; whoever made it removes it."""

    def path(self, name: str) -> Path: ...


@dataclass(frozen=True)
class InlineFile:
    path: str
    data: bytes | Path


@dataclass(frozen=True)
class LargeFile:
    """``size_bytes`` is None when the sender copies what is already here and left it out."""

    path: str
    sha256: Sha256
    size_bytes: int | None


@dataclass(frozen=True)
class Deleted:
    path: str
    is_folder: bool


Change = InlineFile | LargeFile | Deleted


@dataclass
class Draft:
    title: str
    body: str
    parent: str | None
    changes: list[Change] = field(default_factory=list)


def read_draft(reader: Reader, spool: Spool) -> Draft:
    """Parse a commit's lines; contents beyond the memory budget become files of ``spool``.

    Raises:
        BadCommitBody: with the number of the line.
        BadPath, BadDigest, InlineFileTooLarge.
    """
    draft: Draft | None = None
    budget = _Budget(spool)
    number = 0
    for number, line in enumerate(iter_lines(reader), start=1):
        if not line.strip():
            continue
        key, value = _parse_line(number, line)
        if draft is None:
            if key != "header":
                raise BadCommitBody(number, "the first line must be the header")
            draft = _parse_header(number, value)
            continue
        parse = _PARSERS.get(key)
        if parse is None:
            raise BadCommitBody(number, f"key {key[:40]!r} is not known")
        if len(draft.changes) >= MAX_CHANGES:
            raise BadCommitBody(number, f"more than {MAX_CHANGES} changes; make several commits")
        draft.changes.append(parse(number, value, budget))
    if draft is None:
        raise BadCommitBody(number, "there is no header")
    return draft


def iter_lines(reader: Reader) -> Iterator[bytes]:
    """Lines without their ends; the last one need not have one.

    Raises:
        InlineFileTooLarge: a line grows past what one small file may need.
    """
    held = bytearray()
    while chunk := reader.read(READ_BYTES):
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            held += chunk[start:end]
            yield bytes(held)
            held.clear()
            start = end + 1
        held += chunk[start:]
        if len(held) > MAX_LINE_BYTES:
            raise InlineFileTooLarge(LARGE_BYTES)
    if held:
        yield bytes(held)


class _Budget:
    """Where contents go: memory while there is some left, then files."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._left = MEMORY_BYTES
        self._n_files = 0

    def keep(self, data: bytes) -> bytes | Path:
        if len(data) <= self._left:
            self._left -= len(data)
            return data
        self._n_files += 1
        path = self._spool.path(str(self._n_files))
        with refusing_when_full():
            path.write_bytes(data)
        return path


def _parse_line(number: int, line: bytes) -> tuple[str, dict[str, Any]]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise BadCommitBody(number, "it is not JSON, or was cut off") from exc
    if not isinstance(found, dict) or not isinstance(found.get("key"), str):
        raise BadCommitBody(number, "an object with 'key' and 'value' is expected")
    if not isinstance(found.get("value"), dict):
        raise BadCommitBody(number, "'value' must be an object")
    return found["key"], found["value"]


def _parse_header(number: int, value: dict[str, Any]) -> Draft:
    title, body, parent = value.get("summary"), value.get("description") or "", value.get("parentCommit")
    if not isinstance(title, str) or not title.strip() or not isinstance(body, str):
        raise BadCommitBody(number, "the header needs a 'summary' that says what the commit does")
    if len(title) + len(body) > MAX_MESSAGE_CHARS or "\0" in title + body:
        raise BadCommitBody(number, f"the message holds a NUL, or more than {MAX_MESSAGE_CHARS} characters")
    if parent is not None and (not isinstance(parent, str) or not _PARENT.fullmatch(parent)):
        raise BadCommitBody(number, "'parentCommit' must be 5 to 40 lower-case hex digits")
    return Draft(title, body, parent)


def _parse_file(number: int, value: dict[str, Any], budget: _Budget) -> Change:
    content, encoding = value.get("content"), value.get("encoding", "utf-8")
    if not isinstance(content, str):
        raise BadCommitBody(number, "'content' must be text")
    if encoding == "base64":
        try:
            data = binascii.a2b_base64(content, strict_mode=True)
        except (binascii.Error, ValueError) as exc:
            raise BadCommitBody(number, "'content' is not base64") from exc
    elif encoding == "utf-8":
        data = content.encode()
    else:
        raise BadCommitBody(number, "'encoding' may be 'base64' or 'utf-8'")
    if len(data) > LARGE_BYTES:
        raise InlineFileTooLarge(LARGE_BYTES)
    return InlineFile(_path(number, value), budget.keep(data))


def _parse_large_file(number: int, value: dict[str, Any], _budget: _Budget) -> Change:
    if value.get("algo", "sha256") != "sha256":
        raise BadCommitBody(number, "'algo' must be 'sha256'")
    size = value.get("size")
    if size is not None and (type(size) is not int or size < 0):
        raise BadCommitBody(number, "'size' must be a number of bytes")
    oid = value.get("oid")
    if not isinstance(oid, str):
        raise BadCommitBody(number, "'oid' must be a sha256")
    return LargeFile(_path(number, value), parse_sha256(oid), size)


def _parse_deleted_file(number: int, value: dict[str, Any], _budget: _Budget) -> Change:
    path = value.get("path")
    is_folder = isinstance(path, str) and path.endswith("/")
    return Deleted(_path(number, value), is_folder)


def _parse_deleted_folder(number: int, value: dict[str, Any], _budget: _Budget) -> Change:
    return Deleted(_path(number, value), is_folder=True)


def _path(number: int, value: dict[str, Any]) -> str:
    path = value.get("path")
    if not isinstance(path, str):
        raise BadCommitBody(number, "'path' is missing")
    return check_path(path.removesuffix("/"))


_PARSERS: dict[str, Callable[[int, dict[str, Any], _Budget], Change]] = {
    "file": _parse_file,
    "lfsFile": _parse_large_file,
    "deletedFile": _parse_deleted_file,
    "deletedFolder": _parse_deleted_folder,
}

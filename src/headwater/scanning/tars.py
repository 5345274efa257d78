"""Tar archives, header by header, of a file or as they come out of a compression. Links may point only at what lies in the archive;
devices do not belong into one.

Format: POSIX.1-2001 pax, and GNU's long names (type L and K) and sparse files (type S).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field

from headwater.scanning import rules
from headwater.scanning.members import MemberJudge, leads_out, lies_behind, link_leads_out
from headwater.scanning.models import Finding, Judgement, Rule, printable, together
from headwater.scanning.reading import Bytes, Forward, Window

_BLOCK = 512
_MAX_EXTENDED = 1 << 20
_MAX_MEMBERS = 5_000_000
_LINKS, _FOLDER, _DEVICES = b"12", b"5", b"346"


def is_tar(head: bytes) -> bool:
    return head[257:262] == b"ustar" or (len(head) >= _BLOCK and head[0] != 0 and _is_header(head[:_BLOCK]))


def _is_header(block: bytes) -> bool:
    told = _number(block[148:156])
    return told is not None and told == sum(block[:148]) + 8 * 32 + sum(block[156:])


def _number(field: bytes) -> int | None:
    if field[:1] == b"\x80":
        return int.from_bytes(field[1:], "big")
    text = field.strip(b" \0")
    if not text.isdigit():
        return None if text else 0
    try:
        return int(text, 8)
    except ValueError:
        return None


class _Placed:
    """A tar that can be read at any place: its members are windows of it."""

    def __init__(self, source: Bytes) -> None:
        self.at = 0
        self._source = source

    def take(self, count: int) -> bytes:
        found = self._source.read_at(self.at, count)
        self.at += len(found)
        return found

    def member(self, size: int) -> Bytes | Forward | None:
        """The next ``size`` bytes; None if there are fewer."""
        if self.at + size > self._source.size_bytes:
            return None
        return Window(self._source, self.at, size)

    def leave(self, count: int) -> bool:
        """Go on behind the ``count`` bytes that begin where the last header ended."""
        self.at += count
        return self.at <= self._source.size_bytes


class _Flowing:
    """A tar that comes out of a compression: its members are what is next."""

    def __init__(self, stream: Forward) -> None:
        self.at = 0
        self._stream = stream
        self._left = b""
        self._given = 0  # of the member, to its judge

    def take(self, count: int) -> bytes:
        while len(self._left) < count and (more := self._stream.more()):
            self._left += more
        found, self._left = self._left[:count], self._left[count:]
        self.at += len(found)
        return found

    def member(self, size: int) -> Bytes | Forward | None:
        self._given = 0
        return Forward(self._runs(size))

    def _runs(self, size: int) -> Iterator[bytes]:
        while self._given < size:
            run = self.take(min(size - self._given, max(1, len(self._left)))) or self.take(1)
            if not run:
                return
            self._given += len(run)
            yield run

    def leave(self, count: int) -> bool:
        while self._given < count:
            run = self.take(min(count - self._given, max(1, len(self._left)))) or self.take(1)
            if not run:
                return False
            self._given += len(run)
        self._given = 0
        return True


@dataclass
class _Told:
    """What extended headers said of the next member."""

    path: str | None = None
    link: str | None = None
    size: int | None = None


def judge(source: Bytes | Forward, judge_member: MemberJudge) -> Judgement:
    walk = _Walk(_Flowing(source) if isinstance(source, Forward) else _Placed(source), judge_member)
    return together(walk.all())


@dataclass
class _Walk:
    tar: _Placed | _Flowing
    judge_member: MemberJudge
    seen: set[str] = field(default_factory=set)
    links: set[str] = field(default_factory=set)
    told: _Told = field(default_factory=_Told)

    def all(self) -> Iterator[Judgement]:
        yield Judgement(kinds=frozenset({"tar"}))
        empty = 0
        while empty < 2:
            place = self.tar.at
            block = self.tar.take(_BLOCK)
            if len(block) < _BLOCK:
                if empty < 1:
                    yield _one(rules.ARCHIVE_BROKEN, "it has no end", place)
                return
            if not any(block):
                empty += 1
                continue
            empty = 0
            size = _number(block[124:136])
            if size is None or not _is_header(block):
                yield _one(rules.ARCHIVE_BROKEN, "a header", place)
                return
            if block[156:157] in (b"x", b"g", b"L", b"K"):
                data = self.tar.take(size) if size <= _MAX_EXTENDED else b""
                if len(data) < size or len(self.tar.take(-size % _BLOCK)) < -size % _BLOCK:
                    yield _one(rules.ARCHIVE_LIES, "an extended header", place)
                    return
                _learn(self.told, block[156:157], data)
                continue
            if not (yield from self._member(block, size, place)):
                return

    def _member(self, block: bytes, size: int, place: int) -> Generator[Judgement, None, bool]:
        """Judge one member, and stand behind it; False if nothing further can be read."""
        kind = block[156:157]
        folder = _text(block[345:500]) + "/" if block[257:263] == b"ustar\0" and block[345] else ""
        name = self.told.path or folder + _text(block[:100])
        link = self.told.link or _text(block[157:257])
        size = self.told.size if self.told.size is not None else size
        self.told = _Told()
        if kind in (b"1", b"2", _FOLDER) or (kind and kind in _DEVICES):
            size = 0
        if leads_out(name):
            yield _one(rules.ARCHIVE_TRAVERSAL, name, place)
        if kind and kind in _DEVICES:
            yield _one(rules.ARCHIVE_LINK, name, place)
        elif kind and kind in _LINKS:
            if link_leads_out(
                name if kind == b"2" else "", link
            ):  # a hard link's target is told from the archive's root
                yield _one(rules.ARCHIVE_LINK, f"{name} -> {link}", place)
            self.links.add(_plain(name))
        elif kind == b"S":
            yield _one(rules.ARCHIVE_CLOSED, f"{name}: a sparse file", place)
            return False
        elif kind != _FOLDER:
            plain = _plain(name)
            if lies_behind(name, self.links):
                yield _one(rules.ARCHIVE_LINK, name, place)
            if plain in self.seen:
                yield _one(rules.ARCHIVE_DUPLICATE, name, place)
            self.seen.add(plain)
            if len(self.seen) > _MAX_MEMBERS:
                yield _one(rules.ARCHIVE_BOMB, f"{len(self.seen)} members", place)
                return False
            member = self.tar.member(size)
            if member is None:
                yield _one(rules.ARCHIVE_LIES, name, place)
                return False
            yield self.judge_member(name, member).inside(printable(name))
        if not self.tar.leave(size) or len(self.tar.take(-size % _BLOCK)) < -size % _BLOCK:
            yield _one(rules.ARCHIVE_LIES, name, place)
            return False
        return True


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def _one(rule: Rule, what: str, place: int) -> Judgement:
    return Judgement((Finding(rule, printable(what), place),))


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", errors="surrogateescape")


def _learn(told: _Told, kind: bytes, data: bytes) -> None:
    if kind == b"L":
        told.path = _text(data)
    elif kind == b"K":
        told.link = _text(data)
    elif kind == b"x":
        for key, value in _records(data):
            if key == "path":
                told.path = value
            elif key == "linkpath":
                told.link = value
            elif key == "size" and value.isdecimal():
                told.size = int(value[:20])


def _records(data: bytes) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(data):
        space = data.find(b" ", at, at + 12)
        if space < 0 or not data[at:space].isdigit():
            break
        length = int(data[at:space])
        if length < 5 or at + length > len(data):
            break
        key, _, value = data[space + 1 : at + length - 1].partition(b"=")
        found.append((key.decode(errors="replace"), value.decode("utf-8", errors="surrogateescape")))
        at += length
    return found

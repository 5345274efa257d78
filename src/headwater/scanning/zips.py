"""Zip archives, by their own directory and by what really lies in the file, which must agree.

Loaders differ in what they trust: the directory at the end, or the header before each member. So every header is compared with the
directory, members may not overlap, and bytes that belong to no member are looked at for members that the directory hides.

Format: APPNOTE.TXT 6.3.10 of PKWARE, sections 4.3 and 4.5.3 (zip64).
"""

from __future__ import annotations

import bz2
import itertools
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from headwater.scanning import rules
from headwater.scanning.members import MAX_MEMBERS, MemberJudge, Tally, leads_out, lies_behind, link_leads_out
from headwater.scanning.models import MAX_FINDINGS, Finding, Judgement, Rule, Verdict, printable, together
from headwater.scanning.reading import Bytes, Forward, Short, Window, exactly

_END, _END64, _LOCATOR64, _ENTRY, _LOCAL = b"PK\5\6", b"PK\6\6", b"PK\6\7", b"PK\1\2", b"PK\3\4"
_MAX_COMMENT = 65_535
_MAX_DIRECTORY = 64 << 20
_MAX_LINK = 4096
_ENCRYPTED, _DESCRIPTOR, _UTF8 = 1, 8, 1 << 11


class _Broken(Exception):
    def __init__(self, rule: Rule, what: str = "", offset: int | None = None) -> None:
        self.rule, self.what, self.offset = rule, what, offset


@dataclass(frozen=True)
class _Member:
    name: str
    raw_name: bytes
    flags: int
    method: int
    size: int  # as stored
    full_size: int
    header: int  # where its header begins
    mode: int  # of Unix, 0 if not told

    @property
    def is_folder(self) -> bool:
        return self.name.endswith("/")


def is_zip(head: bytes) -> bool:
    return head[:4] in (_LOCAL, _END)


def ends_as_zip(tail: bytes) -> bool:
    """Whether a file with this end is an archive to those who look for the directory from behind."""
    at = tail.rfind(_END)
    while at >= 0:
        if len(tail) - at >= 22 and struct.unpack_from("<H", tail, at + 20)[0] == len(tail) - at - 22:
            return True
        at = tail.rfind(_END, 0, at)
    return False


def judge(source: Bytes, judge_member: MemberJudge, tally: Tally) -> Judgement:
    """Every member is judged with ``judge_member``; ``tally`` bounds what all members together may unpack to."""
    try:
        members, directory = _directory(source)
        findings = list(_of_names(members))
        spans = _spans(source, members, directory)
        tally.add(len(members), sum(m.full_size for m in members), of_bytes=source.size_bytes)
    except _Broken as broken:
        return _one(broken.rule, broken.what, broken.offset)
    except Short:
        return _one(rules.ARCHIVE_BROKEN)
    except Tally.Full as full:
        return _one(full.rule, full.what)
    findings += _hidden(source, spans, directory)
    whole = Judgement(tuple(findings), kinds=frozenset({"zip"}))
    if whole.verdict is Verdict.REFUSED:
        return replace(whole, findings=whole.findings[:MAX_FINDINGS])  # whatever else it holds
    inner = (_judge_one(source, member, begin, judge_member) for member, begin in spans if not member.is_folder)
    return together(itertools.chain([whole], inner))


def _one(rule: Rule, what: str = "", offset: int | None = None) -> Judgement:
    return Judgement((Finding(rule, what, offset),), kinds=frozenset({"zip"}))


def _directory(source: Bytes) -> tuple[list[_Member], tuple[int, int]]:
    """The members that the directory lists, and the place from the directory's begin to the end of what closes it."""
    size = source.size_bytes
    tail_at = max(0, size - _MAX_COMMENT - 22)
    tail = exactly(source, tail_at, size - tail_at)
    at = tail.rfind(_END)
    while at >= 0:
        if len(tail) - at >= 22 and struct.unpack_from("<H", tail, at + 20)[0] == len(tail) - at - 22:
            break
        at = tail.rfind(_END, 0, at)
    if at < 0:
        raise _Broken(rules.ARCHIVE_BROKEN)
    disk, of_disk, _, count, length, begin = struct.unpack_from("<HHHHII", tail, at + 4)
    end = tail_at + at
    closes = end
    locator = source.read_at(end - 20, 20) if end >= 20 else b""
    if locator[:4] == _LOCATOR64:
        (closes,) = struct.unpack_from("<Q", locator, 8)
        record = exactly(source, closes, 56) if closes + 56 <= end else b""
        if record[:4] != _END64:
            raise _Broken(rules.ARCHIVE_LIES, "zip64", end - 20)
        count64, length64, begin64 = struct.unpack_from("<QQQ", record, 32)
        for short, long, most in ((count, count64, 0xFFFF), (length, length64, 1 << 32), (begin, begin64, 1 << 32)):
            if short not in (long, most if most == 0xFFFF else most - 1):
                raise _Broken(rules.ARCHIVE_LIES, "two directories", end)
        count, length, begin = count64, length64, begin64
    if disk or of_disk:
        raise _Broken(rules.ARCHIVE_BROKEN, "several volumes", end)
    if count > MAX_MEMBERS:
        raise _Broken(rules.ARCHIVE_BOMB, f"{count} members", end)
    if begin + length != closes:
        raise _Broken(rules.ARCHIVE_LIES, "directory", end)
    if length > _MAX_DIRECTORY:
        raise _Broken(rules.ARCHIVE_BOMB, f"directory of {length} bytes", end)
    return _entries(exactly(source, begin, length), begin, count), (begin, size)


def _entries(data: bytes, begin: int, count: int) -> list[_Member]:
    members: list[_Member] = []
    at = 0
    while at < len(data):
        if data[at : at + 4] != _ENTRY or at + 46 > len(data):
            raise _Broken(rules.ARCHIVE_LIES, "directory", begin + at)
        flags, method = struct.unpack_from("<HH", data, at + 8)
        size, full_size, n_name, n_extra, n_comment, disk = struct.unpack_from("<IIHHHH", data, at + 20)
        outside, header = struct.unpack_from("<II", data, at + 38)
        made_by = data[at + 5]
        raw_name = data[at + 46 : at + 46 + n_name]
        extra = data[at + 46 + n_name : at + 46 + n_name + n_extra]
        if at + 46 + n_name + n_extra + n_comment > len(data) or disk not in (0, 0xFFFF):
            raise _Broken(rules.ARCHIVE_LIES, "directory", begin + at)
        full_size, size, header = _wide(extra, full_size, size, header, begin + at)
        members.append(
            _Member(
                _decoded(raw_name, flags), raw_name, flags, method, size, full_size, header,
                outside >> 16 if made_by == 3 else 0,
            )
        )  # fmt: skip
        at += 46 + n_name + n_extra + n_comment
    if len(members) != count:
        raise _Broken(rules.ARCHIVE_LIES, f"{len(members)} members, {count} told", begin)
    return members


def _decoded(name: bytes, flags: int) -> str:
    return name.decode("utf-8", errors="replace") if flags & _UTF8 else name.decode("cp437")


def _wide(extra: bytes, full_size: int, size: int, header: int, offset: int) -> tuple[int, int, int]:
    """Sizes and place with those that zip64 gives in the extra field, in its order."""
    values = [full_size, size, header]
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, at)
        if kind == 1:
            wide = extra[at + 4 : at + 4 + length]
            for i in range(3):
                if values[i] == 0xFFFFFFFF:
                    if len(wide) < 8:
                        raise _Broken(rules.ARCHIVE_LIES, "zip64", offset)
                    values[i], wide = struct.unpack_from("<Q", wide)[0], wide[8:]
        at += 4 + length
    return values[0], values[1], values[2]


def _of_names(members: list[_Member]) -> Iterator[Finding]:
    seen: set[str] = set()
    links: set[str] = set()
    for member in members:
        name = member.name.replace("\\", "/")
        if "\0" in name or leads_out(name):
            yield Finding(rules.ARCHIVE_TRAVERSAL, printable(member.name), member.header)
        if name in seen:
            yield Finding(rules.ARCHIVE_DUPLICATE, printable(member.name), member.header)
        seen.add(name)
        if stat.S_ISLNK(member.mode):
            links.add(name)
        if lies_behind(name, links):
            yield Finding(rules.ARCHIVE_LINK, printable(member.name), member.header)
        if member.flags & _ENCRYPTED:
            yield Finding(rules.ARCHIVE_CLOSED, printable(member.name), member.header)


def _spans(source: Bytes, members: list[_Member], directory: tuple[int, int]) -> list[tuple[_Member, int]]:
    """Each member with where its bytes begin, in the order of the file; its header must say what the directory says."""
    found: list[tuple[_Member, int]] = []
    for member in sorted(members, key=lambda m: m.header):
        begin = _begin_of(source, member)
        if found and member.header < found[-1][1] + found[-1][0].size:
            raise _Broken(rules.ARCHIVE_BOMB, f"{printable(member.name)} overlaps", member.header)
        if begin + member.size > directory[0]:
            raise _Broken(rules.ARCHIVE_LIES, printable(member.name), member.header)
        found.append((member, begin))
    return found


def _begin_of(source: Bytes, member: _Member) -> int:
    head = exactly(source, member.header, 30)
    flags, method = struct.unpack_from("<HH", head, 6)
    size, full_size, n_name, n_extra = struct.unpack_from("<IIHH", head, 18)
    name = exactly(source, member.header + 30, n_name)
    agrees = head[:4] == _LOCAL and name == member.raw_name and method == member.method
    if agrees and not flags & _DESCRIPTOR:
        told = _wide(exactly(source, member.header + 30 + n_name, n_extra), full_size, size, 0, member.header)
        agrees = told[:2] == (member.full_size, member.size)
    if not agrees or (flags ^ member.flags) & _ENCRYPTED:
        raise _Broken(rules.ARCHIVE_LIES, printable(member.name), member.header)
    return member.header + 30 + int(n_name) + int(n_extra)


def _hidden(source: Bytes, spans: list[tuple[_Member, int]], directory: tuple[int, int]) -> Iterator[Finding]:
    """Members and directories in bytes that belong to none: before, between and behind those that the directory lists."""
    at = 0
    for member, begin in spans:
        yield from _hidden_in(source, at, member.header, is_before=at == 0)
        at = begin + member.size
    yield from _hidden_in(source, at, directory[0], is_before=at == 0)


def _hidden_in(source: Bytes, start: int, end: int, *, is_before: bool) -> Iterator[Finding]:
    if is_before and end > start:
        yield Finding(rules.ARCHIVE_HIDDEN, f"{end - start} bytes before it", start)
        return
    at = start
    while at < end:
        data = source.read_at(at, min(1 << 20, end - at))
        for signature in (_LOCAL, _ENTRY, _END):
            if (found := data.find(signature)) >= 0:
                yield Finding(rules.ARCHIVE_HIDDEN, "a member that its directory does not list", at + found)
                return
        if len(data) < 4:
            return
        at += len(data) - 3


def _judge_one(source: Bytes, member: _Member, begin: int, judge_member: MemberJudge) -> Judgement:
    if stat.S_ISLNK(member.mode):
        target = source.read_at(begin, min(member.size, _MAX_LINK)) if member.method == 0 else b"/"
        outward = link_leads_out(member.name, target.decode("utf-8", errors="replace"))
        return Judgement((Finding(rules.ARCHIVE_LINK, printable(member.name), member.header),) if outward else ())
    if member.flags & _ENCRYPTED:
        return Judgement()  # told already
    stored = Window(source, begin, member.size)
    if member.method == 0:
        if member.size != member.full_size:
            return _one(rules.ARCHIVE_LIES, printable(member.name), member.header)
        return judge_member(member.name, stored).inside(printable(member.name))
    opened = _UNPACK.get(member.method)
    if opened is None:
        return _one(rules.ARCHIVE_CLOSED, f"{printable(member.name)}: compression {member.method}", member.header)
    try:
        judged = judge_member(member.name, Forward(unpacked(stored, opened, member.full_size)))
    except Unpacking as exc:
        return _one(rules.ARCHIVE_LIES, f"{printable(member.name)}: {exc}", member.header)
    return judged.inside(printable(member.name))


class Unpacking(Exception):
    """What is compressed does not unpack, or not to what was told."""


_Opened = Callable[[], Any]  # zlib's and bz2's decompressors have no common type
_UNPACK: dict[int, _Opened] = {8: lambda: zlib.decompressobj(-15), 12: bz2.BZ2Decompressor}


def unpacked(stored: Bytes, opened: _Opened, full_size: int) -> Iterator[bytes]:
    """The bytes of a compressed member, a MiB at a time.

    Raises:
        Unpacking: it is damaged, or has more or fewer bytes than ``full_size``.
    """
    machine, at, told = opened(), 0, 0
    while told < full_size and not machine.eof:
        waiting = getattr(machine, "unconsumed_tail", b"")
        if not waiting and getattr(machine, "needs_input", True):
            waiting = stored.read_at(at, 256 << 10)
            at += len(waiting)
        try:
            part = machine.decompress(waiting, 1 << 20)
        except (zlib.error, OSError, EOFError) as exc:
            raise Unpacking("it is damaged") from exc
        if not part and not waiting and getattr(machine, "needs_input", True) and not machine.eof:
            raise Unpacking("it ends early")
        told += len(part)
        if told > full_size:
            raise Unpacking("it is longer than was told")
        if part:
            yield part
    if told < full_size:
        raise Unpacking("it is shorter than was told")

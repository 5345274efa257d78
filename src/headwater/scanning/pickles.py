"""Pickles, judged by walking their opcodes; nothing is ever loaded.

A pickle is a program that imports what it names and calls it. Block-lists of names lose, so there is an allow-list: of what a pickle
imports each name must be on it, and where the walk cannot tell the name, or cannot go on, the file is suspicious, never clean.
Loaders and this walk must agree on where a pickle ends and what follows: torch's old format is five pickles and raw tensors, and
whatever else follows a pickle is walked as a further one.

Bounded: one window of the file, and 8 bytes a memo entry. Formats: Lib/pickletools.py of CPython describes each opcode;
torch/serialization.py (_legacy_load) the five pickles.
"""

from __future__ import annotations

import codecs
import contextlib
import re
from array import array
from dataclasses import dataclass, field

from headwater.scanning import rules
from headwater.scanning.allowed_imports import is_allowed
from headwater.scanning.models import MAX_FINDINGS, MAX_IMPORTS, Finding, Import, Judgement, Rule, printable
from headwater.scanning.reading import Bytes, Forward

_NAME_BYTES = 255  # longest module or name that is looked at; Python's own are far shorter
_NEAR_BYTES = 4 * (
    _NAME_BYTES + 16
)  # kept in the window before and behind the place, so that two names and an opcode lie in it whole
_MAX_PICKLES = 10_000
_MAX_MEMO = 20_000_000
_MAX_KEPT = 200_000
_TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
_TORCH_PICKLES = 5
_IDENTIFIER = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")

# How many bytes follow an opcode, for those where that is all there is to know.
_FIXED = dict.fromkeys(b"(012NQR\x81\x85\x86\x87\x88\x89])}abdelostu\x8f\x90\x91\x92\x97\x98", 0) | {
    ord("J"): 4, ord("K"): 1, ord("M"): 2, ord("G"): 8, 0x80: 1,
}  # fmt: skip
# Opcodes that hold their own length: how many bytes of length, and whether the value is a text a name can be made of.
_COUNTED = {
    0x8C: (1, True), ord("X"): (4, True), 0x8D: (8, True), ord("U"): (1, True), ord("T"): (4, True),
    ord("C"): (1, False), ord("B"): (4, False), 0x8E: (8, False), 0x96: (8, False), 0x8A: (1, False), 0x8B: (4, False),
}  # fmt: skip
_LINES = frozenset(b"IFLSVP")
# What a line can begin with; at anything else every unpickler stops. V and P take any text.
_LINE_BEGINS = {
    **dict.fromkeys(b"IL", frozenset(b"+-0123456789 \t\v\f\r")),
    ord("F"): frozenset(b"+-.0123456789iInN \t\v\f\r"),
    ord("S"): frozenset(b"'\""),
}
# The opcodes that need nothing before them: where a file begins with another, every unpickler stops at once.
_BEGINNINGS = frozenset(
    bytes((op,)) for op in (*b"(IFLSVPJKMNGXUTCBci])}", 0x80, 0x82, 0x83, 0x84, *range(0x88, 0x90), 0x95, 0x96, 0x97)
)

_RARE, _STEP, _COUNT, _MEMOIZE, _PUT, _GET, _STOP = range(7)


def _kinds() -> bytes:
    table = bytearray([_RARE]) * 256
    for ops, kind in (
        (bytes(_FIXED), _STEP), (bytes(_COUNTED), _COUNT), (b"\x94", _MEMOIZE), (b"qr", _PUT), (b"hj", _GET), (b".", _STOP),
    ):  # fmt: skip
        for op in ops:
            table[op] = kind
    return bytes(table)


_KIND = _kinds()
_AFTER_A_HOLE = bytes(
    _RARE if op == 0x94 else kind for op, kind in enumerate(_KIND)
)  # MEMOIZE counts entries, and then means another
_WIDTH = bytes(_FIXED.get(op, 0) for op in range(256))
_UNSAID = -1
_ACTED = frozenset(
    {rules.PICKLE_IMPORT, rules.PICKLE_UNNAMED, rules.PICKLE_ENDLESS, rules.PICKLE_FRAME}
)  # what no mere data looks like
_ENDED = frozenset({rules.PICKLE_BROKEN, rules.PICKLE_TRAILING, rules.PICKLE_EXTENSION})  # an unpickler stops there


class _Broken(Exception):
    """The walk cannot go on here."""

    def __init__(self, rule: Rule, offset: int, what: str = "") -> None:
        self.rule, self.offset, self.what = rule, offset, what


@dataclass
class _Found:
    findings: list[Finding] = field(default_factory=list)
    imports: dict[Import, int] = field(default_factory=dict)  # and where each is first asked for


def judge(source: Bytes | Forward, *, is_certain: bool = True, may_be_torch: bool = True) -> Judgement:
    """Walk all pickles of a file.

    ``may_be_torch`` is False where a loader may go on after the five pickles of torch's old format.

    ``is_certain`` is False where nothing but a doubtful name (``weights.bin``) says that it may be a pickle: then bytes at which every
    unpickler stops before it has imported anything are no pickle, and no finding. (Memory it may have taken till then: numbers of four
    random bytes ask for as much as a bomb does.)
    """
    found = _Found()
    walk = _Walk(source, found, may_be_torch=may_be_torch)
    try:
        walk.file()
    except _Broken as broken:
        found.findings.append(Finding(broken.rule, broken.what, broken.offset))
    except IndexError:  # it ends within an opcode
        found.findings.append(
            Finding(
                rules.PICKLE_BROKEN,
                "it ends early",
                source.size_bytes if not isinstance(source, Forward) else source.at,
            )
        )
    has_acted = (
        walk.is_lost
        or any(finding.rule in _ACTED for finding in found.findings)
        or not any(finding.rule in _ENDED for finding in found.findings)
    )
    if not is_certain and not (found.findings and has_acted and walk.begins_as_one):
        return Judgement()
    return Judgement(tuple(found.findings), tuple(found.imports), frozenset({"pickle"}))


class _Walk:
    """One file. ``_buffer`` is a window of it, ``_i`` the place within, ``_base`` where the window begins."""

    def __init__(self, source: Bytes | Forward, found: _Found, *, may_be_torch: bool) -> None:
        self._may_be_torch = may_be_torch
        self._stream = source if isinstance(source, Forward) else Forward(source)
        self._again = None if isinstance(source, Forward) else source
        self._kept: dict[int, bytes] | None = (
            {} if self._again is None else None
        )  # texts by place, where none can be read again
        self._found = found
        self._buffer, self._i, self._base = b"", 0, self._stream.at
        self._nth, self._frame_end = 0, 0
        self._memo = array(
            "q"
        )  # of each entry, where in the file the text lies that it holds; _UNSAID for anything else
        self._far: dict[int, int] = {}  # entries with numbers that no pickler gives
        self._has_text = False  # whether the stack can hold a name at all
        self._has_hole = False  # whether the memo has numbers that nothing was put under
        self.begins_as_one = False  # with something that needs nothing before it
        self.is_lost = False  # whether it ends where an unpickler goes on, or has imported something by then

    def file(self) -> None:
        """
        Raises:
            _Broken
        """
        self.begins_as_one = self._peek(1)[:1] in _BEGINNINGS
        is_torch = self._may_be_torch and self._peek(len(_TORCH_MAGIC)) == _TORCH_MAGIC
        for nth in range(_MAX_PICKLES):
            if nth and (not self._peek(1) or (is_torch and nth == _TORCH_PICKLES)):
                return  # the end; or tensors, as they lie in memory
            start, self._nth = self._base + self._i, nth
            try:
                self._pickle()
            except _Broken as broken:
                if nth and not is_torch and broken.rule is rules.PICKLE_BROKEN:
                    raise _Broken(rules.PICKLE_TRAILING, start) from broken
                raise
        raise _Broken(rules.PICKLE_ENDLESS, self._base + self._i)

    def _peek(self, count: int) -> bytes:
        self._fill()
        return self._buffer[self._i : self._i + count]

    def _fill(self) -> None:
        """Have what is near in the window, as far as the file goes."""
        while len(self._buffer) - self._i < _NEAR_BYTES and (more := self._stream.more()):
            passed = max(0, self._i - _NEAR_BYTES)
            self._buffer = self._buffer[passed:] + more
            self._i -= passed
            self._base += passed

    def _pickle(self) -> None:
        """One pickle, up to and with its STOP."""
        memo = self._memo = array("q")
        self._far = {}
        self._has_text = self._has_hole = False
        self._frame_end = 0
        top = below = _UNSAID  # where the two uppermost things on the stack lie, if they are texts
        kind_of, width_of, kept = _KIND, _WIDTH, self._kept
        buffer, i, last = self._buffer, self._i, -1
        while True:
            if i > last:
                self._i = i
                self._fill()
                buffer, i = self._buffer, self._i
                last = len(buffer) - _NEAR_BYTES
                if last < i:
                    last = len(buffer) - 1  # the end of the file is near
                if i > last:
                    raise _Broken(rules.PICKLE_BROKEN, self._base + i)
            op = buffer[i]
            kind = kind_of[op]
            if kind == _STEP:
                i += 1 + width_of[op]
                top = below = _UNSAID
            elif kind == _MEMOIZE:
                memo.append(top)
                i += 1
            elif kind == _COUNT:
                n_bytes, is_text = _COUNTED[op]
                begin = i + 1 + n_bytes
                length = int.from_bytes(buffer[i + 1 : begin], "little")
                below, top = top, _UNSAID
                if is_text and length <= _NAME_BYTES:
                    self._has_text = True
                    top = self._base + i
                    if kept is not None and len(kept) < _MAX_KEPT:
                        kept[top] = buffer[i : begin + length]
                i = begin + length
                if i > len(buffer):
                    beyond = i - len(buffer)
                    if not self._stream.pass_over(beyond):
                        raise _Broken(rules.PICKLE_BROKEN, self._base + begin - n_bytes - 1, f"{length} bytes claimed")
                    self._base, self._buffer, self._i = self._stream.at, b"", 0
                    buffer, i, last = b"", 0, -1
            elif kind == _PUT:
                index = buffer[i + 1] if op == 0x71 else int.from_bytes(buffer[i + 1 : i + 5], "little")
                i += 2 if op == 0x71 else 5
                if index < len(memo):
                    memo[index] = top
                elif index == len(memo):
                    memo.append(top)
                else:
                    self._put(index, top, self._base + i - (2 if op == 0x71 else 5))
                    kind_of = _AFTER_A_HOLE
            elif kind == _GET:
                index = buffer[i + 1] if op == 0x68 else int.from_bytes(buffer[i + 1 : i + 5], "little")
                below, top = top, memo[index] if index < len(memo) else self._get(index, self._base + i)
                i += 2 if op == 0x68 else 5
            elif kind == _STOP:
                self._i = i + 1
                if self._base + self._i < self._frame_end:
                    # Who reads frames whole goes on behind this one, where the next pickle then is another.
                    raise _Broken(rules.PICKLE_FRAME, self._base + i)
                return
            else:
                self._i = i
                top, below = self._rare(op, top, below)
                kind_of = _AFTER_A_HOLE if self._has_hole else kind_of
                buffer, i, last = self._buffer, self._i, -1
            if len(memo) > _MAX_MEMO:
                raise _Broken(rules.PICKLE_ENDLESS, self._base + i)

    def _put(self, index: int, place: int, start: int) -> None:
        """A memo entry beyond the next one. Python's own picklers count from 0, older ones from 1."""
        self._has_hole = True
        if index <= len(self._memo) + 1:
            self._memo.append(_UNSAID)
            self._memo.append(place)
            return
        if not self._far:
            self._note(Finding(rules.PICKLE_MEMO, f"memo {index}", start))
        if len(self._far) >= _MAX_KEPT:
            raise _Broken(rules.PICKLE_ENDLESS, start)
        self._far[index] = place

    def _get(self, index: int, start: int) -> int:
        if index not in self._far:
            self.is_lost |= self._nth > 0  # one unpickler that loads again remembers what an earlier pickle said
            raise _Broken(rules.PICKLE_BROKEN, start, f"memo {index}")
        return self._far[index]

    def _rare(self, op: int, top: int, below: int) -> tuple[int, int]:
        """An opcode that is not met often, or not in a loop; what lies uppermost after it."""
        start = self._base + self._i
        self._i += 1
        match op:
            case 0x70 | 0x67:  # PUT and GET, as text
                try:
                    index = int(self._line(start))  # with signs, blanks and underscores, as unpicklers read it
                except ValueError as exc:
                    raise _Broken(rules.PICKLE_BROKEN, start) from exc
                if index < 0:
                    raise _Broken(rules.PICKLE_BROKEN, start)
                is_known = index < len(self._memo)
                if op == 0x67:
                    return self._memo[index] if is_known else self._get(index, start), top
                if is_known:
                    self._memo[index] = top
                else:
                    self._put(index, top, start)
                return top, below
            case 0x95:  # FRAME
                if start < self._frame_end:
                    raise _Broken(rules.PICKLE_FRAME, start, "a frame within another")
                self._i += 8
                self._frame_end = start + 9 + int.from_bytes(self._buffer[self._i - 8 : self._i], "little")
                return top, below
            case 0x93:  # STACK_GLOBAL
                module, name = self._text(below), self._text(top)
                if module is not None and name is not None:
                    self._import(module, name, start)
                elif self._has_text:
                    self._note(Finding(rules.PICKLE_UNNAMED, "", start))
                else:
                    raise _Broken(rules.PICKLE_BROKEN, start)
            case 0x63 | 0x69:  # GLOBAL, INST
                self._import(self._line(start), self._line(start), start)
            case 0x94:
                self.is_lost = True
                raise _Broken(rules.PICKLE_MEMO, start, "counted on behind a hole")
            case 0x82 | 0x83 | 0x84:  # EXT1, EXT2, EXT4: a number for a name that only the reader knows
                raise _Broken(rules.PICKLE_EXTENSION, start)
            case _ if op in _LINES:
                if (begins := _LINE_BEGINS.get(op)) is not None and self._buffer[self._i] not in begins:
                    raise _Broken(rules.PICKLE_BROKEN, start)
                self._has_text = True
                self._line(start, keep=False)
            case _:
                raise _Broken(rules.PICKLE_BROKEN, start, f"byte 0x{op:02x}")
        return _UNSAID, _UNSAID

    def _line(self, start: int, *, keep: bool = True) -> bytes:
        """What stands before the next newline; any number of bytes where it need not be kept."""
        while True:
            end = self._buffer.find(b"\n", self._i, self._i + _NAME_BYTES + 1 if keep else None)
            if end >= 0:
                found = self._buffer[self._i : end] if keep else b""
                self._i = end + 1
                return found
            if keep and len(self._buffer) - self._i > _NAME_BYTES:
                with contextlib.suppress(UnicodeDecodeError):  # at which every unpickler stops
                    codecs.getincrementaldecoder("utf-8")().decode(self._buffer[self._i : self._i + _NAME_BYTES])
                    self.is_lost = True
                raise _Broken(rules.PICKLE_BROKEN, start, "a name without end")
            more = self._stream.more()
            if not more:
                raise _Broken(rules.PICKLE_BROKEN, start)
            dropped = 0 if keep else len(self._buffer)
            self._i = self._i if keep else 0
            self._base += dropped
            self._buffer = self._buffer[dropped:] + more

    def _text(self, place: int) -> bytes | None:
        """The text whose opcode stands at ``place``; None where that cannot be told."""
        if place == _UNSAID:
            return None
        near = place - self._base
        if near >= 0:
            whole = self._buffer[near : near + _NAME_BYTES + 9]
        elif self._again is not None:
            whole = self._again.read_at(place, _NAME_BYTES + 9)
        else:
            whole = (self._kept or {}).get(place, b"")
        if not whole:
            return None
        begin = 1 + _COUNTED[whole[0]][0]
        return whole[begin : begin + int.from_bytes(whole[1:begin], "little")]

    def _import(self, module: bytes, name: bytes, start: int) -> None:
        try:
            asked = Import(module.decode(), name.decode(), is_allowed(module.decode(), name.decode()))
        except UnicodeDecodeError as exc:
            self._lose_if_named(module)
            raise _Broken(rules.PICKLE_BROKEN, start) from exc
        if not (_IDENTIFIER.fullmatch(asked.module) and _IDENTIFIER.fullmatch(asked.name)):
            self._lose_if_named(module)
            raise _Broken(rules.PICKLE_BROKEN, start, printable(f"{asked.module} {asked.name}"))
        self._has_text = True  # what it makes may be a name
        if asked in self._found.imports:
            return
        if len(self._found.imports) >= MAX_IMPORTS:
            raise _Broken(rules.PICKLE_ENDLESS, start)
        self._found.imports[asked] = start
        if not asked.is_allowed:
            self._note(Finding(rules.PICKLE_IMPORT, printable(f"{asked.module}.{asked.name}"), start))

    def _lose_if_named(self, module: bytes) -> None:
        """A module is imported, and runs, before anybody finds that it has no such name."""
        with contextlib.suppress(UnicodeDecodeError):
            self.is_lost |= _IDENTIFIER.fullmatch(module.decode()) is not None

    def _note(self, finding: Finding) -> None:
        if len(self._found.findings) < MAX_FINDINGS:
            self._found.findings.append(finding)

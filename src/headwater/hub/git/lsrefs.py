"""What refs there are, told in protocol version 2 without the git program: parsing the question, writing the answer.

Every fetch begins with this question, and most end with it, as nothing is new. To start a program for it costs fifteen
times what the answer costs. Format: gitprotocol-v2(5), "ls-refs".
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headwater.hub.git import objects, pktline

if TYPE_CHECKING:
    from headwater.hub.git.snapshot import Snapshot

MAX_PREFIXES = 65_536  # git's own bound: whoever names more is told everything
MAX_PEELED = 20_000
_CAPABILITIES = (b"agent=", b"session-id=", b"object-format=sha1")


@dataclass(frozen=True)
class Question:
    prefixes: tuple[bytes, ...] = ()
    peel: bool = False
    symrefs: bool = False
    unborn: bool = False

    def wants(self, name: bytes) -> bool:
        return not self.prefixes or name.startswith(self.prefixes)


def parse(body: bytes) -> Question | None:
    """The question; None when ``body`` is anything else, which is then for the git program to answer or refuse."""
    packets = pktline.split(body)
    if packets is None or len(packets) < 2 or packets[0] != b"command=ls-refs" or packets[-1] is not None:
        return None
    at = 1
    while packets[at] not in (None, pktline.DELIMITER):
        if not (packets[at] or b"").startswith(_CAPABILITIES):
            return None
        at += 1
    arguments = packets[at + 1 : -1]
    if None in arguments:
        return None
    flags = dict.fromkeys((b"peel", b"symrefs", b"unborn"), False)
    prefixes: list[bytes] = []
    for argument in arguments:
        if argument in flags:
            flags[argument] = True
        elif argument is not None and argument.startswith(b"ref-prefix "):
            prefixes.append(argument.removeprefix(b"ref-prefix "))
        else:
            return None
    if len(prefixes) > MAX_PREFIXES:
        prefixes = []
    return Question(tuple(prefixes), flags[b"peel"], flags[b"symrefs"], flags[b"unborn"])


def answer(snap: Snapshot, asked: Question) -> bytes:
    """The refs that were asked for, ``HEAD`` first, the others in the order of their names."""
    out: list[bytes] = []
    target = f"refs/heads/{snap.default_branch}"
    if asked.wants(b"HEAD"):
        oid, symref = snap.refs.get(target), f" symref-target:{target}" if asked.symrefs else ""
        if oid is not None:
            out.append(_line(f"{oid} HEAD{symref}"))
        elif asked.unborn:
            out.append(_line(f"unborn HEAD{symref}"))
    wanted = {name: oid for name, oid in snap.refs.items() if asked.wants(_bytes(name))}
    peeled = _peel(snap, wanted) if asked.peel else {}
    for name in sorted(wanted, key=_bytes):
        tail = f" peeled:{peeled[name]}" if name in peeled else ""
        out.append(_line(f"{wanted[name]} {name}{tail}"))
    return b"".join([*out, pktline.FLUSH])


def _line(text: str) -> bytes:
    return pktline.pkt(_bytes(text) + b"\n")


def _bytes(text: str) -> bytes:
    return text.encode(errors="surrogateescape")


class _Peeled:
    """What objects finally point at, by their id: what an id stands for never changes. The id itself for what is no tag."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, snap: Snapshot, oid: str) -> str:
        with self._lock:
            found = self._known.get(oid)
            if found is not None:
                self._known.move_to_end(oid)
                return found
        target = oid
        for _ in range(100):
            if snap.kind_of(target) != objects.TAG:
                break
            read = snap.find_object(target)
            if read is None:
                return oid  # cannot be in a connected repository
            target, _ = objects.tag_target(read[1])
        with self._lock:
            self._known[oid] = target
            while len(self._known) > MAX_PEELED:
                self._known.popitem(last=False)
        return target


_peeled = _Peeled()


def _peel(snap: Snapshot, refs: Mapping[str, str]) -> dict[str, str]:
    """By name, for those that are annotated tags. Branches and pull requests never are."""
    found = {
        name: _peeled.of(snap, oid) for name, oid in refs.items() if not name.startswith(("refs/heads/", "refs/pr/"))
    }
    return {name: target for name, target in found.items() if target != refs[name]}

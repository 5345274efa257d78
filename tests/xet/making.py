"""Xorbs and shards as a client makes them, for tests that send what no real client would."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from headwater.accounts import Action
from headwater.hub.files.terms import from_text
from headwater.hub.xet.hashes import chunk_hash, file_hash, merkle_root, range_hash
from headwater.hub.xet.models import CasGrant
from headwater.hub.xet.shards import build_dedup_shard
from headwater.kernel import RepoId, XetHash
from tests.storage import Storage

HEAD = build_dedup_shard([], created=0, expires=0)[:40] + bytes(8)
END = b"\xff" * 32 + bytes(16)


@dataclass
class MadeXorb:
    chunks: list[bytes]

    @property
    def nodes(self) -> list[tuple[bytes, int]]:
        return [(chunk_hash(c), len(c)) for c in self.chunks]

    @property
    def name(self) -> XetHash:
        from headwater.hub.files.terms import to_text

        return to_text(merkle_root(self.nodes))

    @property
    def body(self) -> bytes:
        return b"".join(struct.pack("<II", len(c) << 8, len(c) << 8) + c for c in self.chunks)


class Body:
    """A request's body already in memory."""

    def __init__(self, data: bytes) -> None:
        self.size_bytes: int | None = len(data)
        self._left = memoryview(data)

    def read_into(self, window: memoryview) -> int:
        got = min(len(window), len(self._left))
        window[:got] = self._left[:got]
        self._left = self._left[got:]
        return got

    def read(self, n: int = -1) -> bytes:
        raise NotImplementedError


def make_shard(files: list[tuple[list[tuple[MadeXorb, int, int]], str | None]], **wrong: bytes) -> bytes:
    """``files``: terms (xorb, first, last) and the claimed sha256. ``wrong`` replaces what would be true."""
    out = bytearray(HEAD)
    for terms, sha256 in files:
        nodes = [node for xorb, first, last in terms for node in xorb.nodes[first:last]]
        root = merkle_root(nodes)
        name = wrong.get("file_hash") or from_text(file_hash(root))
        out += struct.pack("<32sII8x", name, 0xC0000000 if sha256 else 0x80000000, len(terms))
        for xorb, first, last in terms:
            size = sum(len(c) for c in xorb.chunks[first:last])
            out += struct.pack("<32sIIII", wrong.get("xorb") or from_text(xorb.name), 0, size, first, last)
        for xorb, first, last in terms:
            out += (wrong.get("range_hash") or range_hash(b"".join(h for h, _ in xorb.nodes[first:last]))) + bytes(16)
        if sha256:
            out += from_text(sha256) + bytes(16)
    return bytes(out + END + END)


def grant_of(storage: Storage, person: str, repo_id: RepoId, action: Action = Action.WRITE) -> CasGrant:
    return CasGrant(storage.person(person), repo_id, action)

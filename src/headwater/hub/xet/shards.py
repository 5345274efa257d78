"""Shards: which chunks of which xorbs make which files; parsed with every count held against the length.

Source: Xet protocol specification, "Shard format". Little-endian; every record has 48 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from headwater.hub.files.terms import from_text, to_text
from headwater.hub.xet.errors import BadShard
from headwater.hub.xet.xorbs import HEADER, XorbIndex
from headwater.kernel import Sha256, XetHash

MAX_SHARD = 64 << 20
RECORD = 48
MAX_TERMS = 200_000  # a shard; well-behaved clients cut far earlier

_TAG = b"HFRepoMetaData\0" + bytes.fromhex("556967456a7b815783a5bdd95ccdd14aa9")
_VERSION = 2
_FOOTER_SIZE = 200
_FOOTER_VERSION = 1
_END = b"\xff" * 32
_HAS_RANGE_HASHES = 1 << 31
_HAS_SHA256 = 1 << 30

_HEAD = struct.Struct("<32sQQ")
_FILE = struct.Struct("<32sII8x")
_TERM = struct.Struct("<32sIIII")
_XORB = struct.Struct("<32sIIII")
_CHUNK = struct.Struct("<32sIII4x")
_FOOTER = struct.Struct("<QQQ6Q32sQQ72xQ")


@dataclass(frozen=True, slots=True)
class ShardTerm:
    """Chunks [first, last) of a xorb; ``range_hash`` proves that the sender knows them."""

    xorb: XetHash
    first: int
    last: int
    size_bytes: int
    range_hash: bytes


@dataclass(frozen=True)
class ShardFile:
    """One file as its sender describes it; nothing of it is proven yet."""

    xet_hash: XetHash
    terms: list[ShardTerm]
    sha256: Sha256 | None

    @property
    def size_bytes(self) -> int:
        return sum(term.size_bytes for term in self.terms)


def parse_shard(data: bytes) -> list[ShardFile]:
    """The files of an uploaded shard. Its list of xorbs is only held against its length: our own indexes are the truth.

    Raises:
        BadShard: not a shard, cut short, or a count larger than what follows.
    """
    if len(data) < _HEAD.size:
        raise BadShard("it is shorter than its header")
    tag, version, _ = _HEAD.unpack_from(data)
    if tag != _TAG or version != _VERSION:
        raise BadShard("it does not begin as a shard of version 2")
    files: list[ShardFile] = []
    names: dict[bytes, XetHash] = {}
    at, n_terms = _HEAD.size, 0
    while not _ends_at(data, at):
        file, at = _parse_file(data, at, names)
        files.append(file)
        n_terms += len(file.terms)
        if n_terms > MAX_TERMS:
            raise BadShard(f"it has more than {MAX_TERMS} terms; send the files in several shards")
    at += RECORD
    while not _ends_at(data, at):
        _, _, count, _, _ = _XORB.unpack_from(data, at)
        at += RECORD * (1 + count)
    return files


def _parse_file(data: bytes, at: int, names: dict[bytes, XetHash]) -> tuple[ShardFile, int]:
    raw_name, flags, count = _FILE.unpack_from(data, at)
    at += RECORD
    if not flags & _HAS_RANGE_HASHES:
        raise BadShard("a file comes without range hashes")
    blocks = 2 * count + (1 if flags & _HAS_SHA256 else 0)
    if at + RECORD * blocks > len(data):
        raise BadShard("it ends inside a file's description")
    terms = []
    proofs = at + RECORD * count
    for i in range(count):
        raw, _, size, first, last = _TERM.unpack_from(data, at + RECORD * i)
        proof = data[proofs + RECORD * i : proofs + RECORD * i + 32]
        if first >= last or size == 0:
            raise BadShard("a term holds no chunk")
        terms.append(ShardTerm(names.get(raw) or names.setdefault(raw, to_text(raw)), first, last, size, proof))
    at = proofs + RECORD * count
    sha256 = None
    if flags & _HAS_SHA256:
        # Kept in the Xet string order, unlike every other sha256.
        sha256 = Sha256(to_text(data[at : at + 32]))
        at += RECORD
    return ShardFile(to_text(raw_name), terms, sha256), at


def _ends_at(data: bytes, at: int) -> bool:
    if at + RECORD > len(data):
        raise BadShard("it is cut short")
    return data[at : at + 32] == _END


def build_dedup_shard(xorbs: Iterable[tuple[XetHash, XorbIndex]], *, created: int, expires: int) -> bytes:
    """A shard that tells a client what is stored: no files, whole xorbs, and the footer of a kept shard.

    Args:
        created, expires: unix seconds; the client forgets it at ``expires``.
    """
    out = bytearray(_HEAD.pack(_TAG, _VERSION, _FOOTER_SIZE))
    files_at = len(out)
    out += _END + bytes(16)
    xorbs_at = len(out)
    for name, index in xorbs:
        framed = index.payload_bytes + HEADER * index.n_chunks
        out += _XORB.pack(from_text(name), 0, index.n_chunks, index.payload_bytes, framed)
        for i, length in enumerate(index.lengths):
            out += _CHUNK.pack(index.hash_of(i), index.ends[i], length, 0)
    out += _END + bytes(16)
    end = len(out)
    # The client takes the difference between the first look-up table's offset and the xorbs' as a size, even where all three
    # tables are empty: they must be said to begin at the end, or it asks its system for 6 EB and dies.
    lookups = (end, 0) * 3
    out += _FOOTER.pack(_FOOTER_VERSION, files_at, xorbs_at, *lookups, bytes(32), created, expires, end)
    return bytes(out)

"""Xorbs as they are kept: raw payload + chunk index, shown again in the framing clients expect.

The framing a client sent (LZ4, byte grouping) is undone once, on arrival, where every chunk has to be decoded and hashed
anyway. The xorb's name covers chunk hashes and raw lengths, never the framing, so it stays true for what is kept; readers of
plain bytes need no decoding, and the framed form is the payload with 8-byte headers made on the fly.

In an object store xorbs are kept as they came (decision 17): clients then fetch ranges of them straight from there. Their index
says in addition how long each chunk is in that form (``framed``).
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from headwater.blobs import BlobStore, ObjectDamaged, Piece
from headwater.hub.files.terms import is_framed, to_text
from headwater.hub.xet.hashes import Node, Tree
from headwater.kernel import XetHash

MAX_XORB = 64 << 20
MAX_CHUNK = 128 << 10  # the specification's largest chunk
MAX_CHUNKS = 8192
MAX_INDEX = 64 + 40 * MAX_CHUNKS
MAX_BODY = MAX_XORB + MAX_CHUNKS * 64 + (1 << 20)  # framing, frames that did not shrink, an old client's footer
HEADER = 8

_HEADER = struct.Struct("<II")
_INDEX_MAGIC = b"HWXORB1\0"
_FRAMED_MAGIC = b"HWXORB2\0"


@dataclass(frozen=True)
class XorbIndex:
    """What is kept beside the payload: hash and raw length of each chunk."""

    hashes: bytes  # 32 bytes a chunk
    lengths: array[int]
    framed: array[int] | None = None  # length of each chunk as it came, header included; None for a raw payload

    @property
    def n_chunks(self) -> int:
        return len(self.lengths)

    @cached_property
    def ends(self) -> list[int]:
        """Chunk i is payload[ends[i] : ends[i + 1]]."""
        return [0, *accumulate(self.lengths)]

    @cached_property
    def framed_ends(self) -> list[int]:
        """Chunk i is [framed_ends[i], framed_ends[i + 1]) of what is kept as it came."""
        if self.framed is None:
            return [end + HEADER * i for i, end in enumerate(self.ends)]
        return [0, *accumulate(self.framed)]

    @property
    def payload_bytes(self) -> int:
        return self.ends[-1]

    def hash_of(self, chunk: int) -> bytes:
        return self.hashes[32 * chunk : 32 * chunk + 32]

    def nodes(self, first: int = 0, last: int | None = None) -> list[Node]:
        """(hash, length) of chunks [first, last): what tree hashes are made of."""
        last = self.n_chunks if last is None else last
        return [(self.hashes[32 * i : 32 * i + 32], self.lengths[i]) for i in range(first, last)]

    def name(self) -> XetHash:
        tree = Tree()
        tree.add_chunks(self.hashes, self.lengths)
        return to_text(tree.root())

    def pack(self) -> bytes:
        count, lengths = struct.pack("<I", self.n_chunks), _little(self.lengths).tobytes()
        if self.framed is None:
            return _INDEX_MAGIC + count + lengths + self.hashes
        return _FRAMED_MAGIC + count + lengths + self.hashes + _little(self.framed).tobytes()


def read_index(blobs: BlobStore, payload_key: str) -> XorbIndex:
    """The index that ``pack`` made, of the xorb whose payload has this key.

    Raises:
        OSError: it is not there (``FileNotFoundError``), or cut short.
        ObjectDamaged: in a store: it is cut short, or not this xorb's.
    """
    key = index_key(payload_key)
    data, is_believed = _read_index(blobs, key, payload_key)
    head = len(_INDEX_MAGIC) + 4
    count = int.from_bytes(data[head - 4 : head], "little")
    size = {_INDEX_MAGIC: 36, _FRAMED_MAGIC: 40}.get(data[: head - 4])
    if size is None or len(data) != head + size * count or is_framed(payload_key) != (size == 40):
        raise _damaged(payload_key, key)
    hashes = head + 4 * count
    lengths = _numbers(data[head:hashes])
    framed = _numbers(data[hashes + 32 * count :]) if size == 40 else None
    index = XorbIndex(data[hashes : hashes + 32 * count], lengths, framed)
    if not is_believed and index.name() != key.rpartition("/")[2][:64]:
        raise _damaged(payload_key, key)
    return index


def _damaged(payload_key: str, key: str) -> Exception:
    return ObjectDamaged(key) if is_framed(payload_key) else OSError(f"{key} is damaged")


def _read_index(blobs: BlobStore, key: str, payload_key: str) -> tuple[bytes, bool]:
    """Its bytes, and whether they are believed: those of this machine are, those of a store are held against the name."""
    if is_framed(payload_key):
        with blobs.at_hand(key) as copy:
            if copy is not None:
                return copy.read_bytes(), True
    return blobs.read_range(key, 0, MAX_INDEX), not blobs.is_remote


def index_bytes(payload_key: str, n_chunks: int) -> int:
    """How long the index beside such a payload is."""
    return len(_INDEX_MAGIC) + 4 + (40 if is_framed(payload_key) else 36) * n_chunks


def pack_ends(index: XorbIndex) -> bytes:
    """``framed_ends`` without the leading 0, as SQL keeps them."""
    return _little(array("I", index.framed_ends[1:])).tobytes()


def unpack_ends(data: bytes) -> list[int]:
    """``framed_ends`` again."""
    return [0, *_numbers(data)]


def index_key(payload_key: str) -> str:
    """Where a xorb's chunk index lies."""
    return payload_key.removesuffix(".raw").removesuffix(".xorb") + ".idx"


class FramedXorb:
    """A kept xorb as the wire has it: an 8-byte header of scheme 0 before each chunk's plain bytes."""

    def __init__(self, index: XorbIndex, blobs: BlobStore, payload_key: str) -> None:
        self._index = index
        self._payload = blobs.source(payload_key, index.payload_bytes)
        self.is_local = self._payload.is_local
        self._starts = index.framed_ends

    @property
    def size_bytes(self) -> int:
        return self._starts[-1]

    def pieces(self, start: int, end: int) -> Iterator[Piece]:
        chunk = max(bisect_right(self._starts, start) - 1, 0)
        while start < end:
            begin, size = self._starts[chunk], self._index.lengths[chunk]
            if start < begin + HEADER:
                header = _HEADER.pack(size << 8, size << 8)  # version 0, scheme 0, packed length = raw length
                piece = header[start - begin : end - begin]
                yield piece
                start += len(piece)
            count = min(end, begin + HEADER + size) - start
            if count > 0:
                at = self._index.ends[chunk] + start - begin - HEADER
                yield from self._payload.pieces(at, at + count)
                start += count
            chunk += 1

    def signed_url(self, *, expires_s: int, disposition: str | None = None, media_type: str | None = None) -> None:
        return None


def _numbers(data: bytes) -> array[int]:
    found = array("I")
    found.frombytes(data)
    return _little(found)


def _little(lengths: array[int]) -> array[int]:
    if struct.pack("=H", 1) == b"\1\0":
        return lengths
    swapped = array("I", lengths)
    swapped.byteswap()
    return swapped

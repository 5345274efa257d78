"""Xorbs as they are kept: raw payload + chunk index, shown again in the framing clients expect.

The framing a client sent (LZ4, byte grouping) is undone once, on arrival, where every chunk has to be decoded and hashed
anyway. The xorb's name covers chunk hashes and raw lengths, never the framing, so it stays true for what is kept; readers of
plain bytes need no decoding, and the framed form is the payload with 8-byte headers made on the fly.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from headwater.blobs import BlobStore, Piece
from headwater.hub.files.terms import to_text
from headwater.hub.xet.hashes import Node, Tree
from headwater.kernel import XetHash

MAX_XORB = 64 << 20
MAX_CHUNK = 128 << 10  # the specification's largest chunk
MAX_CHUNKS = 8192
MAX_INDEX = 64 + 36 * MAX_CHUNKS
MAX_BODY = MAX_XORB + MAX_CHUNKS * 64 + (1 << 20)  # framing, frames that did not shrink, an old client's footer
HEADER = 8

_HEADER = struct.Struct("<II")
_INDEX_MAGIC = b"HWXORB1\0"


@dataclass(frozen=True)
class XorbIndex:
    """What is kept beside the payload: hash and raw length of each chunk."""

    hashes: bytes  # 32 bytes a chunk
    lengths: array[int]

    @property
    def n_chunks(self) -> int:
        return len(self.lengths)

    @cached_property
    def ends(self) -> list[int]:
        """Chunk i is payload[ends[i] : ends[i + 1]]."""
        return [0, *accumulate(self.lengths)]

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
        return _INDEX_MAGIC + struct.pack("<I", self.n_chunks) + _little(self.lengths).tobytes() + self.hashes


def read_index(blobs: BlobStore, payload_key: str) -> XorbIndex:
    """The index that ``pack`` made, of the xorb whose payload has this key.

    Raises:
        OSError: it is not there (``FileNotFoundError``), or cut short.
    """
    key = index_key(payload_key)
    data = blobs.read_range(key, 0, MAX_INDEX)
    head = len(_INDEX_MAGIC) + 4
    count = int.from_bytes(data[head - 4 : head], "little")
    if data[: head - 4] != _INDEX_MAGIC or len(data) != head + 36 * count:
        raise OSError(f"{key} is damaged")
    lengths = array("I")
    lengths.frombytes(data[head : head + 4 * count])
    return XorbIndex(data[head + 4 * count :], _little(lengths))


def index_key(payload_key: str) -> str:
    """Where a xorb's chunk index lies."""
    return payload_key.removesuffix(".raw") + ".idx"


class FramedXorb:
    """A kept xorb as the wire has it: an 8-byte header of scheme 0 before each chunk's plain bytes."""

    def __init__(self, index: XorbIndex, blobs: BlobStore, payload_key: str) -> None:
        self._index = index
        self._payload = blobs.source(payload_key, index.payload_bytes)
        self.is_local = self._payload.is_local
        self._starts = [end + HEADER * i for i, end in enumerate(index.ends)]

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


def _little(lengths: array[int]) -> array[int]:
    if struct.pack("=H", 1) == b"\1\0":
        return lengths
    swapped = array("I", lengths)
    swapped.byteswap()
    return swapped

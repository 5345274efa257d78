"""Xorbs: taking one in as raw payload + chunk index, and showing it again in the framing clients expect.

The framing a client sent (LZ4, byte grouping) is undone once, on arrival, where every chunk has to be decoded and hashed
anyway. The xorb's name covers chunk hashes and raw lengths, never the framing, so it stays true for what is kept; readers of
plain bytes need no decoding, and the framed form is the payload with 8-byte headers made on the fly.
"""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

from headwater.blobs import BlobStore, Piece
from headwater.hub.xet.errors import BadXorb
from headwater.hub.xet.hashes import Node, chunk_hash, xorb_hash
from headwater.kernel import XetHash

MAX_XORB = 64 << 20
MAX_CHUNK = 128 << 10  # the specification's largest chunk
MAX_CHUNKS = 8192
MAX_INDEX = 64 + 36 * MAX_CHUNKS
MAX_BODY = MAX_XORB + MAX_CHUNKS * 64 + (1 << 20)  # framing, frames that did not shrink, an old client's footer
HEADER = 8
WINDOW = 1 << 20

_HEADER = struct.Struct("<II")
_FOOTER = b"XETBLOB"
_INDEX_MAGIC = b"HWXORB1\0"
_IOV_MAX = 512


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
        return xorb_hash(self.nodes())

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


def ingest(read_into: Callable[[memoryview], int], fd: int) -> XorbIndex:
    """Read a framed xorb to its end, write its plain payload to ``fd``, return the index.

    Memory is one window and one batch of decoded chunks (about 2 MiB), whatever the xorb's size. Reading, LZ4, blake3 and
    writing release the interpreter's lock. The caller compares ``index.name()`` with the announced hash.

    Raises:
        BadXorb: the bytes are not a xorb.
    """
    taken = _Ingest(fd)
    window = memoryview(bytearray(WINDOW))
    have, ended = 0, False
    while not ended:
        while have < WINDOW and not ended:
            count = read_into(window[have:])
            ended = count == 0
            have += count
        at = 0 if taken.done else taken.chunks(window, have)
        taken.flush()
        if taken.done:
            at = have
        elif at == 0 and have == WINDOW:
            raise BadXorb(f"chunk {taken.count} is longer than it may be")
        window[: have - at] = window[at:have]
        have -= at
    if have:
        raise BadXorb(f"it ends inside chunk {taken.count}")
    if not taken.count:
        raise BadXorb("it holds no chunk")
    return taken.index()


class _Ingest:
    """The state of one xorb on its way in."""

    def __init__(self, fd: int) -> None:
        import lz4.frame

        self.count = 0
        self.done = False
        self._fd = fd
        self._total = 0
        self._hashes = bytearray()
        self._lengths = array("I")
        self._batch: list[memoryview] = []
        self._batched = 0
        self._decoder: Any = lz4.frame.LZ4FrameDecompressor()

    def chunks(self, window: memoryview, have: int) -> int:
        """Take every whole chunk of ``window[:have]``; returns how many bytes that was."""
        at = 0
        while have - at >= HEADER:
            if window[at : at + len(_FOOTER)] == _FOOTER:  # older clients append a footer: the chunks are over
                self.done = True
                break
            low, high = _HEADER.unpack_from(window, at)
            packed, raw, scheme = low >> 8, high >> 8, high & 255
            if low & 255 or scheme > 2 or not 0 < raw <= MAX_CHUNK or not 0 < packed <= 2 * MAX_CHUNK:
                raise BadXorb(f"the header of chunk {self.count} is not one")
            if self.count == MAX_CHUNKS or self._total + raw > MAX_XORB:
                raise BadXorb(f"it has more than {MAX_CHUNKS} chunks or {MAX_XORB} bytes")
            if have - at - HEADER < packed:
                break
            at += HEADER
            self._take(window[at : at + packed], scheme, raw)
            at += packed
        return at

    def _take(self, data: memoryview, scheme: int, raw: int) -> None:
        plain = data if scheme == 0 else memoryview(self._unpack(data, raw))
        if len(plain) != raw:
            raise BadXorb(f"chunk {self.count} does not have the length it announces")
        if scheme == 2:
            plain = ungroup(plain)
        self._hashes += chunk_hash(plain)
        self._lengths.append(raw)
        self._batch.append(plain)
        self._batched += raw
        self._total += raw
        self.count += 1
        if self._batched >= WINDOW or len(self._batch) == _IOV_MAX:
            self.flush()

    def _unpack(self, data: memoryview, raw: int) -> bytes:
        decoder = self._decoder
        decoder.reset()
        try:
            # Bounded: a frame of 200 kB can hold 50 MB.
            plain: bytes = decoder.decompress(data, max_length=raw + 1)
        except (RuntimeError, ValueError, EOFError) as exc:
            raise BadXorb(f"chunk {self.count} is not an LZ4 frame") from exc
        if not decoder.eof or decoder.unused_data:
            raise BadXorb(f"chunk {self.count} is not exactly one LZ4 frame of the length it announces")
        return plain

    def flush(self) -> None:
        """Write what waits; before the window moves under it."""
        batch = self._batch
        left = self._batched
        while left:
            written = os.writev(self._fd, batch)
            left -= written
            if left:
                batch = _after(batch, written)
        self._batch = []
        self._batched = 0

    def index(self) -> XorbIndex:
        return XorbIndex(bytes(self._hashes), self._lengths)


def ungroup(grouped: memoryview) -> memoryview:
    """Undo byte grouping: four planes hold the bytes at positions 0, 1, 2, 3 modulo 4."""
    import numpy as np

    planes = np.frombuffer(grouped, np.uint8)
    out = np.empty(len(planes), np.uint8)
    at = 0
    for lane in range(4):
        size = (len(planes) - lane + 3) // 4
        out[lane::4] = planes[at : at + size]
        at += size
    return out.data


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


def _after(batch: list[memoryview], written: int) -> list[memoryview]:
    rest = []
    for view in batch:
        if written >= len(view):
            written -= len(view)
        else:
            rest.append(view[written:])
            written = 0
    return rest


def _little(lengths: array[int]) -> array[int]:
    if struct.pack("=H", 1) == b"\1\0":
        return lengths
    swapped = array("I", lengths)
    swapped.byteswap()
    return swapped

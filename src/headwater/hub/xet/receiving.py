"""A xorb on its way in: every chunk decoded and hashed once, in bounded memory, and kept in whichever form a store wants.

This is where most of an upload's CPU goes (docs/performance.md has the figures). So bytes are received into one window and
hashed there, frames of the one form that clients send are decoded without LZ4's frame layer, and what is decoded lies in
buffers that are used again.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from headwater.hub.xet.errors import BadXorb
from headwater.hub.xet.hashes import chunk_hash
from headwater.hub.xet.xorbs import HEADER, MAX_CHUNK, MAX_CHUNKS, MAX_XORB, XorbIndex

WINDOW = 1 << 20

_HEADER = struct.Struct("<II")
_FOOTER = b"XETBLOB"
_IOV_MAX = 512

# An LZ4 frame as clients make it: version 1, independent blocks, no sizes, no checksums; by its block size. The last byte is
# the checksum of the two before it.
LZ4_HEADS = {
    bytes.fromhex("04224d18604082"): 64 << 10,
    bytes.fromhex("04224d186050fb"): 256 << 10,
    bytes.fromhex("04224d18606051"): 1 << 20,
    bytes.fromhex("04224d18607073"): 4 << 20,
}
_LZ4_HEAD = 7
_LZ4_STORED = 1 << 31  # in a block's length: its bytes are not compressed
_LZ4_END = bytes(4)


class Kept(Protocol):
    """Where a xorb goes. Both are called for the same bytes, in order; views are valid only during the call."""

    def framed(self, data: memoryview) -> None:
        """Whole chunks as the client sent them, headers and all."""
        ...

    def plain(self, runs: list[memoryview]) -> None:
        """The same chunks as plain bytes."""
        ...


class PlainFile:
    """Keeps the plain payload, written to a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def framed(self, data: memoryview) -> None:
        pass

    def plain(self, runs: list[memoryview]) -> None:
        left = sum(map(len, runs))
        while left:
            written = os.writev(self._fd, runs)
            left -= written
            if left:
                runs = _after(runs, written)


class FramedFile:
    """Keeps the xorb as it came, without an old client's footer, written to a descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def framed(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self._fd, data) :]

    def plain(self, runs: list[memoryview]) -> None:
        pass


@dataclass(frozen=True)
class ReceivedXorb:
    """What was kept: its index, and the length of each chunk as it came, header included."""

    index: XorbIndex
    framed_lengths: array[int]


def receive_xorb(read_into: Callable[[memoryview], int], kept: Kept) -> ReceivedXorb:
    """Read a framed xorb to its end, verify every chunk's frame and length, hash it, and hand it to ``kept``.

    Memory is one window, one batch of decoded chunks and one frame (about 3 MiB), whatever the xorb's size. Reading, LZ4, blake3
    and writing release the interpreter's lock. The caller compares ``index.name()`` with the announced hash.

    Raises:
        BadXorb: the bytes are not a xorb.
    """
    taken = _Receiving(kept)
    window = memoryview(bytearray(WINDOW))
    have, ended = 0, False
    while not ended:
        while have < WINDOW and not ended:
            count = read_into(window[have:])
            ended = count == 0
            have += count
        at = 0 if taken.done else taken.chunks(window, have)
        taken.flush()
        if at:
            kept.framed(window[:at])
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
    return taken.received()


class _Receiving:
    """The state of one xorb on its way in."""

    def __init__(self, kept: Kept) -> None:
        self.count = 0
        self.done = False
        self._kept = kept
        self._total = 0
        self._hashes = bytearray()
        self._lengths = array("I")
        self._framed_lengths = array("I")
        self._batch: list[memoryview] = []
        self._batched = 0
        self._ungrouping: Ungrouping | None = None

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
            if self._ungrouping is None:
                self._ungrouping = Ungrouping()
            if self._ungrouping.is_full:
                self.flush()
            plain = self._ungrouping.undo(plain)
        self._hashes += chunk_hash(plain)
        self._lengths.append(raw)
        self._framed_lengths.append(HEADER + len(data))
        self._batch.append(plain)
        self._batched += raw
        self._total += raw
        self.count += 1
        if self._batched >= WINDOW or len(self._batch) == _IOV_MAX:
            self.flush()

    def _unpack(self, data: memoryview, raw: int) -> bytes | memoryview:
        plain = unpack_lz4(data, raw)
        if plain is None:
            raise BadXorb(f"chunk {self.count} is not exactly one LZ4 frame of the length it announces")
        return plain

    def flush(self) -> None:
        """Hand on what waits; before the window moves under it."""
        if self._batch:
            self._kept.plain(self._batch)
            self._batch = []
            self._batched = 0
        if self._ungrouping is not None:
            self._ungrouping.reuse()

    def received(self) -> ReceivedXorb:
        return ReceivedXorb(XorbIndex(bytes(self._hashes), self._lengths), self._framed_lengths)


def unpack_lz4(data: memoryview, raw: int) -> bytes | memoryview | None:
    """The ``raw`` bytes in one LZ4 frame; None if it is not exactly one, or holds more or fewer.

    Never unpacks more than ``raw`` + 1 bytes: a frame of 200 kB can hold 50 MB.
    """
    block_size = LZ4_HEADS.get(bytes(data[:_LZ4_HEAD]))
    if block_size is None:
        return _unpack_any_frame(data, raw)
    from lz4.block import LZ4BlockError, decompress

    blocks: list[bytes | memoryview] = []
    at, left, end = _LZ4_HEAD, raw, len(data) - len(_LZ4_END)
    while at < end:
        (length,) = struct.unpack_from("<I", data, at)
        at += 4
        block = data[at : at + (length & ~_LZ4_STORED)]
        at += len(block)
        if not left or not block or at > end:
            return None
        if length & _LZ4_STORED:
            blocks.append(block)
        else:
            try:
                blocks.append(decompress(block, uncompressed_size=min(left, block_size)))
            except LZ4BlockError:
                return None
        left -= len(blocks[-1])
    if left or data[end:] != _LZ4_END:
        return None
    return blocks[0] if len(blocks) == 1 else b"".join(blocks)


def _unpack_any_frame(data: memoryview, raw: int) -> bytes | None:
    """As the specification allows it, if no client is known to do so: linked blocks, checksums, announced sizes."""
    import lz4.frame

    decoder = lz4.frame.LZ4FrameDecompressor()
    try:
        plain: bytes = decoder.decompress(data, max_length=raw + 1)
    except (RuntimeError, ValueError, EOFError):
        return None
    return plain if len(plain) == raw and decoder.eof and not decoder.unused_data else None


class Ungrouping:
    """Undoes byte grouping: four planes hold the bytes at positions 0, 1, 2, 3 modulo 4. Results lie in one buffer, until ``reuse``."""

    def __init__(self) -> None:
        import numpy as np

        self._np = np
        self._out = np.empty(WINDOW + MAX_CHUNK, np.uint8)
        self._view = self._out.data
        self._at = 0

    @property
    def is_full(self) -> bool:
        return self._at > len(self._out) - MAX_CHUNK

    def reuse(self) -> None:
        """What was returned is no longer needed."""
        self._at = 0

    def undo(self, grouped: memoryview) -> memoryview:
        """The bytes in their order; at most MAX_CHUNK, and not while ``is_full``."""
        planes = self._np.frombuffer(grouped, self._np.uint8)
        start, end = self._at, self._at + len(planes)
        at = 0
        for lane in range(4):
            size = (len(planes) - lane + 3) // 4
            self._out[start + lane : end : 4] = planes[at : at + size]
            at += size
        self._at = end
        return self._view[start:end]


def _after(runs: list[memoryview], written: int) -> list[memoryview]:
    rest = []
    for view in runs:
        if written >= len(view):
            written -= len(view)
        else:
            rest.append(view[written:])
            written = 0
    return rest

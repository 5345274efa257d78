"""Xorbs that are kept as they came: their plain bytes, decoded a few chunks at a time.

What a store gives is not believed: each chunk must have the hash that its index says, and what does not is fetched once more
before it is refused. A copy on this machine's own disk is what was verified here when it arrived, and is believed as a
plain payload in the folder would be.
"""

from __future__ import annotations

import os
import struct
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

import structlog

from headwater.blobs import BlobStore, ObjectDamaged
from headwater.hub.xet.hashes import chunk_hash
from headwater.hub.xet.receiving import WINDOW, Ungrouping, unpack_lz4
from headwater.hub.xet.xorbs import HEADER, MAX_CHUNK, XorbIndex, read_index

log = structlog.get_logger("headwater.hub.xet")

BLOCK_BYTES = 4 << 20  # of a xorb as it came, fetched at once
_HEADER = struct.Struct("<II")
_INDEXES = 64  # about 40 KiB each for full xorbs


class _Indexes:
    """The indexes used last: the key of what is kept as it came is never used twice."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, XorbIndex] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, blobs: BlobStore, key: str) -> XorbIndex:
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        try:
            found = read_index(blobs, key)
        except (OSError, ObjectDamaged) as exc:
            log.error("xorb.damaged", key=key, part="index", reason=str(exc))  # noqa: TRY400 -- the reason is all there is
            raise ObjectDamaged(key) from exc
        with self._lock:
            self._kept[key] = found
            while len(self._kept) > _INDEXES:
                self._kept.popitem(last=False)
        return found


_indexes = _Indexes()


def iter_plain(blobs: BlobStore, key: str, start: int, end: int) -> Iterator[bytes]:
    """Bytes [start, end) of the payload of the framed xorb under ``key``, about 1 MiB a piece.

    Memory is a few blocks, whatever the range.

    Raises:
        ObjectDamaged: it is not what its index says, or not there.
    """
    if start >= end:
        return
    index = _indexes.get(blobs, key)
    first = bisect_right(index.ends, start) - 1
    last = bisect_right(index.ends, end - 1)
    if last > index.n_chunks:
        raise ObjectDamaged(key)
    ungrouping: Ungrouping | None = None
    with blobs.at_hand(key) as copy:
        blocks = list(_blocks(index, first, last))
        for (low, high), data in zip(blocks, _fetched(blobs, key, index, blocks, copy), strict=True):
            view = memoryview(data)
            for begin, stop in _batches(index, low, high):
                ungrouping = ungrouping or Ungrouping()
                at, until = index.framed_ends[begin], index.framed_ends[stop]
                base = index.framed_ends[low]
                found = _decode(view[at - base : until - base], index, begin, stop, ungrouping, verify=copy is None)
                if found is None:
                    found = _once_more(blobs, key, index, begin, stop, ungrouping)
                skip = max(start - index.ends[begin], 0)
                yield found[skip : end - index.ends[begin]] if skip or index.ends[stop] > end else found


def _blocks(index: XorbIndex, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Runs of chunks whose framed form is at most BLOCK_BYTES long."""
    ends = index.framed_ends
    while first < last:
        stop = min(max(bisect_right(ends, ends[first] + BLOCK_BYTES) - 1, first + 1), last)
        yield first, stop
        first = stop


def _batches(index: XorbIndex, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Runs of chunks whose plain form fits into the buffer for what was grouped."""
    ends = index.ends
    while first < last:
        stop = min(max(bisect_right(ends, ends[first] + WINDOW) - 1, first + 1), last)
        yield first, stop
        first = stop


def _fetched(
    blobs: BlobStore, key: str, index: XorbIndex, blocks: list[tuple[int, int]], copy: Path | None
) -> Iterator[bytes]:
    ranges = [(index.framed_ends[low], index.framed_ends[high]) for low, high in blocks]
    if copy is None:
        try:
            yield from blobs.iter_ranges(key, ranges)
        except FileNotFoundError as exc:
            log.error("xorb.damaged", key=key, part="all", reason="it is gone")  # noqa: TRY400
            raise ObjectDamaged(key) from exc
        return
    fd = os.open(copy, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for start, end in ranges:
            yield os.pread(fd, end - start, start)
    finally:
        os.close(fd)


def _once_more(blobs: BlobStore, key: str, index: XorbIndex, first: int, last: int, ungrouping: Ungrouping) -> bytes:
    data = blobs.read_range(key, index.framed_ends[first], index.framed_ends[last])
    found = _decode(memoryview(data), index, first, last, ungrouping, verify=True)
    if found is None:
        log.error("xorb.damaged", key=key, first_chunk=first, last_chunk=last)
        raise ObjectDamaged(key)
    return found


def _decode(
    data: memoryview, index: XorbIndex, first: int, last: int, ungrouping: Ungrouping, *, verify: bool
) -> bytes | None:
    """The plain bytes of chunks [first, last), which lie in ``data``; None where that is not what the index says."""
    assert index.framed is not None  # noqa: S101 -- the index of a framed xorb was asked for
    ungrouping.reuse()
    plains: list[bytes | memoryview] = []
    at = 0
    for chunk in range(first, last):
        length, raw = index.framed[chunk], index.lengths[chunk]
        body = data[at + HEADER : at + length]
        if len(body) != length - HEADER:
            return None
        low, high = _HEADER.unpack_from(data, at)
        scheme = high & 255
        if low != len(body) << 8 or high >> 8 != raw or scheme > 2 or raw > MAX_CHUNK:
            return None
        plain = body if scheme == 0 else unpack_lz4(body, raw)
        if plain is None or len(plain) != raw:
            return None
        if scheme == 2:
            plain = ungrouping.undo(memoryview(plain))
        if verify and chunk_hash(plain) != index.hashes[32 * chunk : 32 * chunk + 32]:
            return None
        plains.append(plain)
        at += length
    return b"".join(plains)

"""Writing packs: a few new objects, compressed one by one, and their index. Reading is pygit2's and git's work.

A pack of few objects made here costs less than asking a library for one, and gives the index too. Deltas are left to
the collector, which merges packs by ``git pack-objects``.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, Self

from headwater.hub.git.models import BuiltPack
from headwater.hub.git.objects import object_id

SPILL_BYTES = 8 << 20
KEPT_BYTES = 64 << 10  # of objects that are handed on as they are, beside the pack
SMALL_WINDOW_BYTES = (1 << 12) - 262  # as far back as zlib looks in a window of 4 KiB
INDEX_BYTES, INDEX_BYTES_EACH = 1072, 28  # of a pack's index, and more for each object; packs over 2 GiB apart
_NOTHING: Mapping[str, tuple[int, bytes]] = MappingProxyType({})


class PackWriter:
    """Collects objects; beyond 8 MiB they go to a temporary file in ``folder``.

    As a context manager it removes that file at the end unless ``finish`` has handed it over.
    """

    def __init__(self, folder: Path, level: int = zlib.Z_BEST_SPEED) -> None:
        self._folder = folder
        self._level = level
        self._entries: list[tuple[bytes, int, int]] = []  # id, crc32, offset
        self._known: set[bytes] = set()
        self._objects: dict[str, tuple[int, bytes]] | None = {}
        self._objects_left = KEPT_BYTES
        self._chunks: list[bytes] = []
        self._at = 12  # the header is written at the end, when the number of objects is known
        self._held = 0
        self._file: IO[bytes] | None = None
        self._path: Path | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, oid: bytes) -> bool:
        return oid in self._known

    def add(self, kind: int, data: bytes) -> bytes:
        """Add an object; returns its 20-byte id. The same object twice is kept once."""
        return self.add_known(object_id(kind, data), kind, data)

    def add_known(self, oid: bytes, kind: int, data: bytes) -> bytes:
        if oid in self._known:
            return oid
        chunk = _entry_header(kind, len(data)) + _compressed(data, self._level)
        self._known.add(oid)
        self._objects_left -= len(data)
        if self._objects_left < 0:
            self._objects = None
        if self._objects is not None:
            self._objects[oid.hex()] = kind, data
        self._append(oid, chunk, zlib.crc32(chunk))
        return oid

    def add_copied(self, oid: bytes, chunk: bytes, crc: int) -> None:
        """Add an object as it lies in another pack: its header, and its bytes compressed; no difference from others."""
        if oid in self._known:
            return
        self._known.add(oid)
        self._objects = None
        self._append(oid, chunk, crc)

    def _append(self, oid: bytes, chunk: bytes, crc: int) -> None:
        self._entries.append((oid, crc, self._at))
        self._at += len(chunk)
        self._held += len(chunk)
        self._chunks.append(chunk)
        if self._held > SPILL_BYTES:
            self._spill()

    def finish(self) -> BuiltPack:
        """The pack and its index. Call once; the writer is empty afterwards."""
        header = struct.pack(">4sII", b"PACK", 2, len(self._entries))
        if self._file is None:
            body = header + b"".join(self._chunks)
            trailer = hashlib.sha1(body, usedforsecurity=False).digest()
            data: bytes | Path = body + trailer
        else:
            trailer = self._finish_file(header)
            data, self._path = self._path, None  # type: ignore[assignment]  # a file is open, so there is a path
        idx = build_index(self._entries, trailer)
        return BuiltPack(trailer.hex(), len(self._entries), self._at + 20, idx, data, self._objects)

    def _spill(self) -> IO[bytes]:
        if self._file is None:
            self._path = self._folder / os.urandom(16).hex()
            self._file = self._path.open("w+b")
            self._file.write(b"\0" * 12)
        self._file.writelines(self._chunks)
        self._chunks.clear()
        self._held = 0
        return self._file

    def _finish_file(self, header: bytes) -> bytes:
        file = self._spill()
        file.seek(0)
        file.write(header)
        file.seek(0)
        hasher = hashlib.sha1(usedforsecurity=False)
        while block := file.read(1 << 20):
            hasher.update(block)
        file.seek(0, os.SEEK_END)
        file.write(hasher.digest())
        file.close()
        self._file = None
        return hasher.digest()


def _compressed(data: bytes, level: int) -> bytes:
    """Small objects in a window of their size: to clear the memory of a whole one takes ten times as long as to fill it."""
    if len(data) > SMALL_WINDOW_BYTES:
        return zlib.compress(data, level)
    packer = zlib.compressobj(level, zlib.DEFLATED, wbits=12, memLevel=5)
    return packer.compress(data) + packer.flush()


def _entry_header(kind: int, size: int) -> bytes:
    byte = (kind << 4) | (size & 15)
    size >>= 4
    out = bytearray()
    while size:
        out.append(byte | 0x80)
        byte = size & 0x7F
        size >>= 7
    out.append(byte)
    return bytes(out)


def build_index(entries: list[tuple[bytes, int, int]], pack_trailer: bytes) -> bytes:
    """A version 2 pack index of (id, crc32, offset) triples."""
    entries = sorted(entries)
    counts = [0] * 256
    for oid, _, _ in entries:
        counts[oid[0]] += 1
    total, fanout = len(entries), itertools.accumulate(counts)
    large = [offset for _, _, offset in entries if offset >= 1 << 31]
    offsets, n_large = [], 0
    for _, _, offset in entries:
        if offset >= 1 << 31:
            offsets.append((1 << 31) | n_large)
            n_large += 1
        else:
            offsets.append(offset)
    body = b"".join(
        [
            b"\377tOc",
            struct.pack(">I", 2),
            struct.pack(">256I", *fanout),
            *(oid for oid, _, _ in entries),
            struct.pack(f">{total}I", *(crc for _, crc, _ in entries)),
            struct.pack(f">{total}I", *offsets),
            struct.pack(f">{len(large)}Q", *large),
            pack_trailer,
        ]
    )
    return body + hashlib.sha1(body, usedforsecurity=False).digest()


def copy_small_pack(data: bytes, idx: bytes, limit_bytes: int) -> list[tuple[bytes, bytes, int, int]] | None:
    """Every object of a pack that is in memory, as ``PackWriter.add_copied`` takes it, and its uncompressed size.

    None when one of them is a difference from another, or they are more than ``limit_bytes`` together.
    """
    (count,) = struct.unpack_from(">I", idx, 8 + 255 * 4)
    at = 8 + 1024
    crcs = struct.unpack_from(f">{count}I", idx, at + 20 * count)
    offsets = struct.unpack_from(f">{count}I", idx, at + 24 * count)
    order = sorted(range(count), key=offsets.__getitem__)
    found = []
    for n, end in zip(order, [*(offsets[n] for n in order[1:]), len(data) - 20], strict=True):
        kind, size, _ = _read_entry_header(data, offsets[n])
        limit_bytes -= size
        if kind in (6, 7) or limit_bytes < 0:
            return None
        found.append((idx[at + 20 * n : at + 20 * n + 20], data[offsets[n] : end], crcs[n], size))
    return found


def read_small_pack(
    data: bytes, idx: bytes, limit_bytes: int, known: Mapping[str, tuple[int, bytes]] = _NOTHING
) -> dict[str, tuple[int, bytes]] | None:
    """Every object of a pack that is in memory, by id, but for those that are ``known`` already.

    None when they are more than ``limit_bytes`` together.
    """
    (count,) = struct.unpack_from(">I", idx, 8 + 255 * 4)
    at = 8 + 1024
    names = [idx[at + 20 * n : at + 20 * n + 20].hex() for n in range(count)]
    offsets = struct.unpack_from(f">{count}I", idx, at + 24 * count)
    by_offset: dict[int, tuple[int, bytes]] = {}
    found: dict[str, tuple[int, bytes]] = {}
    name_at = dict(zip(offsets, names, strict=True))
    ordered, view = sorted(offsets), memoryview(data)
    for offset, end in zip(ordered, [*ordered[1:], len(data) - 20], strict=True):
        name = name_at[offset]
        entry = known.get(name)
        if entry is None:
            entry = _read_entry(view[:end], offset, limit_bytes, by_offset, found, known)
            if entry is None:
                return None
            limit_bytes -= len(entry[1])
            if limit_bytes < 0:
                return None
            found[name] = entry
        by_offset[offset] = entry
    return found


def _read_entry_header(data: bytes | memoryview, offset: int) -> tuple[int, int, int]:
    """An entry's kind, the size of what is compressed in it, and where that (or what it is a difference from) begins."""
    byte = data[offset]
    kind, size, shift, at = byte >> 4 & 7, byte & 15, 4, offset + 1
    while byte & 0x80:
        byte = data[at]
        size |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return kind, size, at


def _read_entry(
    data: memoryview,
    offset: int,
    limit_bytes: int,
    by_offset: dict[int, tuple[int, bytes]],
    by_name: dict[str, tuple[int, bytes]],
    known: Mapping[str, tuple[int, bytes]],
) -> tuple[int, bytes] | None:
    """One object of ``data``, which ends with it; None when it is too large, or is a difference from one that has not been read yet."""
    kind, size, at = _read_entry_header(data, offset)
    base: tuple[int, bytes] | None = None
    if kind == 6:  # a difference from the object so many bytes before
        byte = data[at]
        back, at = byte & 0x7F, at + 1
        while byte & 0x80:
            byte = data[at]
            back, at = (back + 1) << 7 | byte & 0x7F, at + 1
        base = by_offset.get(offset - back)
    elif kind == 7:  # a difference from the object of that id
        name = data[at : at + 20].hex()
        base = by_name.get(name) or known.get(name)
        at += 20
    if size > limit_bytes or (kind in (6, 7) and base is None):
        return None
    body = zlib.decompressobj().decompress(data[at:], size) if size else b""
    return (kind, body) if base is None else (base[0], _apply_difference(base[1], body))


def _apply_difference(base: bytes, delta: bytes) -> bytes:
    at = 0
    for _ in range(2):  # the sizes of base and result
        while delta[at] & 0x80:
            at += 1
        at += 1
    out = bytearray()
    while at < len(delta):
        op = delta[at]
        at += 1
        if not op & 0x80:
            out += delta[at : at + op]
            at += op
            continue
        start = size = 0
        for n in range(4):
            if op >> n & 1:
                start |= delta[at] << 8 * n
                at += 1
        for n in range(3):
            if op >> (4 + n) & 1:
                size |= delta[at] << 8 * n
                at += 1
        size = size or 0x10000
        out += base[start : start + size]
    return bytes(out)

"""One repository's packs: whether each is whole, and every object in it what its id says.

What is small is read here, in memory; what is large is left to git's own check (``graph.py``).
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from headwater.blobs import BlobStore
from headwater.db import Tx
from headwater.hub.checking.models import Looking, Problem, Row
from headwater.hub.git import store
from headwater.hub.git.folders import pack_key
from headwater.hub.git.objects import TYPE_NAMES, object_id
from headwater.hub.git.packs import INDEX_BYTES, INDEX_BYTES_EACH, read_small_pack
from headwater.kernel import RepoId

IN_MEMORY_BYTES = 16 << 20  # of one repository's packs
UNPACKED_BYTES = 96 << 20
_BLOCK = 4 << 20


@dataclass
class Packs:
    """``objects`` has all of a repository's, by id; None where they are too much to be held in memory."""

    objects: dict[str, tuple[int, bytes]] | None = field(default_factory=dict)
    sound: list[store.PackRow] = field(default_factory=list)


def check_packs(looking: Looking, repo_id: RepoId, where: str, state: store.State, found: Packs) -> Iterator[Problem]:
    """Fills ``found`` with what is sound."""
    site = looking.site
    inline = site.db.read(_inline_bytes, [row.id for row in state.packs if row.is_inline])
    left = UNPACKED_BYTES
    if sum(row.size_bytes for row in state.packs) > IN_MEMORY_BYTES:
        found.objects = None
    for row in state.packs:
        looking.seen.packs += 1
        key = pack_key(repo_id, row.name, ".pack")
        if row.is_inline:
            own = _row_of(repo_id, row)
            rows: tuple[Row, ...] = (own, Row("pack_bytes", (("pack_id", row.id),), of=own))
            what = f"The pack {row.name} of {where}, which lies in its row,"
            pair = inline.get(row.id)
            if pair is None:
                yield Problem(
                    "pack.missing", f"{what} has no bytes.", f"{where} pack {row.name}", repo_id=repo_id, rows=rows
                )
                continue
            why = what_is_wrong(row, *pair)
            looking.read(len(pair[0]) + len(pair[1]))
            if why is not None:
                yield Problem("pack.damaged", f"{what} {why}.", f"{where} pack {row.name}", repo_id=repo_id, rows=rows)
                continue
        else:
            problem = _check_object(looking, repo_id, where, row)
            if problem is not None:
                yield problem
                continue
            if found.objects is None or not looking.reads_bytes:
                found.sound.append(row)
                continue
            pair = _read_pair(looking.blobs, key, row)
        if found.objects is not None and left >= 0:
            unpacked = _unpack(pair, left)
            if isinstance(unpacked, str):
                yield Problem(
                    "pack.damaged", f"The pack {row.name} of {where} {unpacked}.", key, key=key, repo_id=repo_id
                )
                continue
            if unpacked is None:
                found.objects = None
            else:
                wrong = [
                    oid
                    for oid, (kind, data) in unpacked.items()
                    if kind not in TYPE_NAMES or object_id(kind, data).hex() != oid
                ]
                if wrong:
                    what = f"In the pack {row.name} of {where} the object {wrong[0]} holds other bytes"
                    yield Problem("pack.damaged", f"{what} ({len(wrong)} such).", key, key=key, repo_id=repo_id)
                    continue
                left -= sum(len(data) for _, data in unpacked.values())
                found.objects |= unpacked
                looking.seen.git_objects += len(unpacked)
        found.sound.append(row)


def _inline_bytes(tx: Tx, pack_ids: list[int]) -> dict[int, tuple[bytes, bytes]]:
    found: dict[int, tuple[bytes, bytes]] = {}
    for at in range(0, len(pack_ids), 100):
        found |= store.find_pack_bytes(tx, pack_ids[at : at + 100])
    return found


def _unpack(pair: tuple[bytes, bytes], limit: int) -> dict[str, tuple[int, bytes]] | str | None:
    """Its objects; a word where it cannot be read; None where they are too much."""
    data, idx = pair
    count = int.from_bytes(idx[8 + 255 * 4 : 8 + 256 * 4])
    if len(idx) < INDEX_BYTES + INDEX_BYTES_EACH * count:
        return "has an index that is shorter than it says"
    try:
        return read_small_pack(data, idx, limit)  # each by itself: a second copy of an object must be true, too
    except (IndexError, KeyError, ValueError, struct.error, zlib.error) as exc:
        return f"cannot be read ({type(exc).__name__})"


def _read_pair(blobs: BlobStore, key: str, row: store.PackRow) -> tuple[bytes, bytes]:
    idx_key = f"{key.removesuffix('.pack')}.idx"
    return blobs.read_range(key, 0, row.size_bytes), blobs.read_range(idx_key, 0, 1 << 30)


def _check_object(looking: Looking, repo_id: RepoId, where: str, row: store.PackRow) -> Problem | None:
    """A pack and its index that lie among the objects."""
    blobs = looking.blobs
    for suffix in (".pack", ".idx"):
        key = pack_key(repo_id, row.name, suffix)
        size = blobs.size_of(key)
        said = row.size_bytes if suffix == ".pack" else None
        if size is None:
            return Problem("pack.missing", f"{key}, of {where}, is not there.", key, key=key, repo_id=repo_id)
        if said is not None and size != said:
            what = f"{key}, of {where}, has {size} bytes; its row says {said}"
            rows = (_row_of(repo_id, row),)
            return Problem("pack.damaged", f"{what}.", key, key=key, repo_id=repo_id, rows=rows)
        if looking.reads_bytes:
            looking.read(size)
            if not pack_object_is_sound(blobs, key, size, row.name):
                what = f"{key}, of {where}, is not what was stored"
                return Problem("pack.damaged", f"{what}.", key, key=key, repo_id=repo_id)
            if suffix == ".pack" and int.from_bytes(blobs.read_range(key, 8, 12)) != row.n_objects:
                what = f"{key}, of {where}, has another number of objects than its row says"
                return Problem("pack.damaged", f"{what}.", key, repo_id=repo_id, rows=(_row_of(repo_id, row),))
    return None


def pack_object_is_sound(blobs: BlobStore, key: str, size: int, name: str) -> bool:
    """Whether an object is the pack of this name, or its index."""
    blocks = blobs.iter_ranges(key, [(at, min(at + _BLOCK, size)) for at in range(0, size, _BLOCK)])
    return ends_in_own_sum(blocks, size, name, is_index=key.endswith(".idx"))


def ends_in_own_sum(blocks: Iterable[bytes], size: int, name: str, *, is_index: bool) -> bool:
    """Packs and indexes end in the sum of all before; a pack is named by that, and its index says it, too."""
    hasher, tail, n_read = hashlib.sha1(usedforsecurity=False), b"", 0
    for data in blocks:
        n_read += len(data)
        block = tail + data
        cut = max(len(block) - 40, 0)
        hasher.update(block[:cut])
        tail = block[cut:]
    hasher.update(tail[:20])
    said = tail[:20] if is_index else tail[20:]
    return n_read == size >= 40 and hasher.digest() == tail[20:] and said.hex() == name


def what_is_wrong(row: store.PackRow, data: bytes, idx: bytes) -> str | None:
    """The same of one that lies in its row."""
    if len(data) != row.size_bytes:
        return f"has {len(data)} bytes and not {row.size_bytes}"
    for part, name in ((data, "the pack"), (idx, "its index")):
        if len(part) < 40 or hashlib.sha1(part[:-20], usedforsecurity=False).digest() != part[-20:]:
            return f"is not what was stored: {name} does not end in the sum of its bytes"
    if data[-20:].hex() != row.name or idx[-40:-20] != data[-20:]:
        return "is another pack than its row names"
    if int.from_bytes(data[8:12], "big") != row.n_objects:
        return "has another number of objects than its row says"
    return None


def _row_of(repo_id: RepoId, row: store.PackRow) -> Row:
    """Numbers are given out again after a restore; a pack is named by its bytes."""
    return Row("pack", (("id", row.id), ("repo_id", repo_id), ("name", row.name)))

"""Getting verified bytes under their name: bytes first, row last, and never over something a row relies on.

A digest's file may be on its way out (``deleting``) while the same bytes come in again: they then take the next
generation of the key. ``hub.placing`` says how the sweep for orphans keeps off what is getting its row.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sqlalchemy import select, update

from headwater.blobs import BlobStore, DigestMismatch, SizeMismatch, blob_key
from headwater.blobs.folder import refusing_when_full
from headwater.db import Tx, insert
from headwater.hub.files import store
from headwater.hub.files.store import Blob
from headwater.hub.placing import placing
from headwater.hub.tables.files import blob
from headwater.kernel import Actor, RepoId, Sha256, utcnow

if TYPE_CHECKING:
    from headwater.web.site import Site

WINDOW_BYTES = 1 << 20


def store_plain(
    site: Site,
    actor: Actor,
    repo_id: RepoId,
    stream: BinaryIO | bytes,
    *,
    claimed: Sha256 | None = None,
    size_bytes: int | None = None,
) -> Sha256:
    """Store bytes and note the actor's claim to them; a commit to this repository may then name them.

    The caller has asked whether ``actor`` may write there (or open a pull request). Runs outside any transaction.

    Raises:
        DigestMismatch, SizeMismatch: not what was claimed; nothing stays.
        StorageFull: the disk is full; nothing stays.
    """
    with site.blobs.temporary() as path:
        if isinstance(stream, bytes):
            with refusing_when_full():
                path.write_bytes(stream)
            found, total = Sha256(hashlib.sha256(stream).hexdigest()), len(stream)
        else:
            found, total = write_hashed(path, _reading(stream))
        return place_plain(site, actor, repo_id, path, found=found, total=total, claimed=claimed, size_bytes=size_bytes)


def write_hashed(
    path: Path, read_into: Callable[[memoryview], int], *, limit_bytes: int | None = None
) -> tuple[Sha256, int]:
    """Write what ``read_into`` gives to a new file, hashing on the way; memory is one window.

    ``read_into`` fills at least one byte, or returns 0 at the end.

    Raises:
        SizeMismatch: more than ``limit_bytes`` came.
        StorageFull: the disk is full.
    """
    hasher, total, window = hashlib.sha256(), 0, memoryview(bytearray(WINDOW_BYTES))
    with refusing_when_full():
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            while True:
                have = 0
                while have < WINDOW_BYTES and (count := read_into(window[have:])):
                    have += count
                if have == 0:
                    break
                hasher.update(window[:have])
                write_all(fd, window[:have])
                total += have
                if limit_bytes is not None and total > limit_bytes:
                    raise SizeMismatch(limit_bytes, total)
                if have < WINDOW_BYTES:
                    break
        finally:
            os.close(fd)
    return Sha256(hasher.hexdigest()), total


def write_all(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]


def place_plain(
    site: Site,
    actor: Actor,
    repo_id: RepoId,
    temporary: Path,
    *,
    found: Sha256,
    total: int,
    claimed: Sha256 | None = None,
    size_bytes: int | None = None,
) -> Sha256:
    """Name a written and hashed temporary file, then commit its row and the actor's claim.

    Raises:
        DigestMismatch, SizeMismatch: not what was claimed; nothing stays.
    """
    if size_bytes is not None and total != size_bytes:
        raise SizeMismatch(size_bytes, total)
    if claimed is not None and found != claimed:
        raise DigestMismatch(claimed, found)
    now = utcnow()
    return place_noted(
        site,
        temporary,
        found=found,
        total=total,
        note=lambda tx: store.insert_claim(tx, repo_id, found, actor, now),
        now=now,
    )


def place_noted(
    site: Site, temporary: Path, *, found: Sha256, total: int, note: Callable[[Tx], None], now: datetime
) -> Sha256:
    """As ``place_plain``; ``note`` writes what keeps the bytes from being collected, in the transaction of their row."""
    while True:
        generation, key = site.db.read(_planned, found)
        if key is not None:
            put_in_place(site.blobs, temporary, key)
        with placing(site.db) as held:
            if generation is not None and not site.blobs.exists(blob_key(found, generation)):
                continue  # it lay there as an orphan, and a sweep came between
            held.check()
            if site.db.write(_record, found, size_bytes=total, generation=generation, note=note, now=now):
                return found


def new_generation() -> int:
    """Of a key that nobody else writes: for bytes that lie under their final key before they are verified."""
    return secrets.randbits(48) | 1 << 48


def place_verified(site: Site, actor: Actor, repo_id: RepoId, sha256: Sha256, size_bytes: int, generation: int) -> None:
    """Commit the row and the actor's claim of an object that lies under its key and was read back.

    If the digest has come another way meanwhile, that one stays and this object goes.

    Raises:
        FileNotFoundError: it is not there any more.
    """
    key = blob_key(sha256, generation)
    with placing(site.db) as held:
        if not site.blobs.exists(key):
            raise FileNotFoundError(key)
        held.check()
        is_used = site.db.write(
            _record_verified, actor, repo_id, sha256, size_bytes=size_bytes, generation=generation, now=utcnow()
        )
    if not is_used:
        site.blobs.delete(key)


def _record_verified(
    tx: Tx, actor: Actor, repo_id: RepoId, sha256: Sha256, *, size_bytes: int, generation: int, now: datetime
) -> bool:
    found = store.find_blobs(tx, [sha256]).get(sha256)
    if found is None or not found.is_stored:
        ensure_blob(tx, sha256, size_bytes, layout="plain", xet_hash=None, generation=generation, now=now)
    store.insert_claim(tx, repo_id, sha256, actor, now)
    store.revive(tx, [sha256])
    return found is None or not found.is_stored or found.generation == generation


def put_in_place(blobs: BlobStore, temporary: Path, key: str) -> None:
    """As ``adopt``, unless the object is there: it was verified when it was named, and is durable since."""
    if blobs.size_of(key) != temporary.stat().st_size:
        blobs.adopt(temporary, key)


def _planned(tx: Tx, sha256: Sha256) -> tuple[int | None, str | None]:
    """Under which generation the bytes must lie, None when a row already has them in some layout; and under which key.

    The key is there also for plain bytes that a row names, which are healed if they are gone.
    """
    found = store.find_blobs(tx, [sha256]).get(sha256)
    generation = _next_generation(found)
    if generation is not None:
        return generation, blob_key(sha256, generation)
    return None, blob_key(sha256, found.generation) if found is not None and found.layout == "plain" else None


def _next_generation(found: Blob | None) -> int | None:
    if found is None:
        return 0
    return None if found.is_stored else found.generation + 1


def _record(
    tx: Tx,
    sha256: Sha256,
    *,
    size_bytes: int,
    generation: int | None,
    note: Callable[[Tx], None],
    now: datetime,
) -> bool:
    """Write row and note; False when the row has moved on since ``generation`` was planned."""
    if _planned(tx, sha256)[0] not in (generation, None):
        return False
    if generation is not None:
        ensure_blob(tx, sha256, size_bytes, layout="plain", xet_hash=None, generation=generation, now=now)
    note(tx)
    store.revive(tx, [sha256])
    return True


def ensure_blob(
    tx: Tx, sha256: Sha256, size_bytes: int, *, layout: str, xet_hash: str | None, generation: int, now: datetime
) -> None:
    """A live row for bytes that lie there; one that is stored already keeps its layout and learns its Xet name."""
    present = tx.execute(select(blob.c.state, blob.c.xet_hash).where(blob.c.sha256 == sha256)).first()
    values = {
        "size_bytes": size_bytes,
        "layout": layout,
        "xet_hash": xet_hash,
        "state": "live",
        "generation": generation,
        "condemned_at": None,
        "copy_generation": None,
        "copy_used_at": None,
    }
    if present is None:
        tx.execute(insert(blob).values(sha256=sha256, created_at=now, **values))
    elif present.state in ("deleting", "gone"):
        tx.execute(update(blob).where(blob.c.sha256 == sha256).values(created_at=now, **values))
    else:
        changed = {"state": "live", "condemned_at": None}
        if present.xet_hash is None and xet_hash is not None:
            changed["xet_hash"] = xet_hash
        tx.execute(update(blob).where(blob.c.sha256 == sha256).values(changed))


def _reading(stream: BinaryIO) -> Callable[[memoryview], int]:
    def read_into(view: memoryview) -> int:
        data = stream.read(len(view))
        view[: len(data)] = data
        return len(data)

    return read_into

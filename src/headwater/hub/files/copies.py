"""Plain copies of files that lie in xorbs, in a store: made when somebody reads a file plainly, gone when nobody does any more.

A range of a xorb cannot be handed to a plain reader, as it holds chunk headers and compressed chunks. So the first plain read
is decoded here and streamed, and asks for a job that writes the same bytes as one object; from then on plain readers
are sent there. Nothing depends on a copy: while a row names it, it is the same bytes nearer at hand.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import select, update

from headwater import queue
from headwater.blobs import BlobStore, ByteSource, ObjectDamaged, StoreAway, blob_key, feed
from headwater.db import Tx
from headwater.hub.files import placing, store
from headwater.hub.files.store import Blob
from headwater.hub.tables.files import blob
from headwater.kernel import Sha256, utcnow

if TYPE_CHECKING:
    from headwater.web.site import Site

log = structlog.get_logger("headwater.hub.files")

MAKE_COPY = "hub.make_plain_copy"
PART_BYTES = 64 << 20
_MOST_PARTS = 9000
_NOTED_EVERY = timedelta(days=1)  # how exactly the last use is known
_NOT_AGAIN_S = 60.0  # what was asked for by this process, or noted
_BATCH = 500

_noted: dict[tuple[int, Sha256], float] = {}
_lock = threading.Lock()


def note_read(site: Site, found: Blob, *, takes_bytes: bool) -> None:
    """Somebody has asked for the plain bytes: ask for a copy, or note that the copy is of use. Waits for nothing.

    ``takes_bytes``: they read them here, now; else they were shown the way, which counts once there is a copy.
    """
    if not site.blobs.is_remote or found.layout == "plain":
        return
    now = utcnow()
    if found.copy_generation is None:
        if not takes_bytes:
            return
    elif found.copy_used_at is not None and now - found.copy_used_at < _NOTED_EVERY:
        return
    asked, moment = (id(site), found.sha256), time.monotonic()
    with _lock:
        if moment - _noted.get(asked, -_NOT_AGAIN_S) < _NOT_AGAIN_S:
            return
        if len(_noted) >= 4096:
            _noted.clear()
        _noted[asked] = moment
    if found.copy_generation is None:
        site.db.submit(_ask, found.sha256, now)
    else:
        site.db.submit(_renew, found.sha256, now)


def _ask(tx: Tx, sha256: Sha256, now: datetime) -> None:
    queue.put(tx, MAKE_COPY, {"sha256": sha256}, unique=sha256, now=now)


def _renew(tx: Tx, sha256: Sha256, now: datetime) -> None:
    tx.execute(
        update(blob).where(blob.c.sha256 == sha256, blob.c.copy_generation.is_not(None)).values(copy_used_at=now)
    )


def make_copy(site: Site, payload: Mapping[str, Any]) -> None:
    """The handler of ``MAKE_COPY``. Repeating it does no harm; needs local disk for one part."""
    from headwater.hub.files.service import source_of

    sha256 = Sha256(payload["sha256"])
    with site.db.reading() as tx:
        found = store.find_blobs(tx, [sha256]).get(sha256)
        if found is None or not found.is_stored or found.layout == "plain" or found.copy_generation is not None:
            return
        source = source_of(tx, site.blobs, found)
    generation, started = placing.new_generation(), time.monotonic()
    key = blob_key(sha256, generation)
    _write(site.blobs, key, source, sha256)
    if site.db.write(_record, sha256, generation, utcnow()):
        spent_ms = round((time.monotonic() - started) * 1000)
        log.info("copy.made", sha256=sha256, size_bytes=found.size_bytes, duration_ms=spent_ms)
    else:
        site.blobs.delete(key)


def _record(tx: Tx, sha256: Sha256, generation: int, now: datetime) -> bool:
    wanted = blob.c.sha256 == sha256
    wanted &= blob.c.state.in_(("live", "condemned")) & (blob.c.layout == "xet") & blob.c.copy_generation.is_(None)
    return bool(tx.execute(update(blob).where(wanted).values(copy_generation=generation, copy_used_at=now)).rowcount)


def _write(blobs: BlobStore, key: str, source: ByteSource, sha256: Sha256) -> None:
    """Write the source under ``key``, unless its sha256 turns out to be another.

    Raises:
        ObjectDamaged: it is another.
        StoreAway
    """
    hasher = hashlib.sha256()
    size, many = source.size_bytes, blobs.multipart
    part_bytes = max(PART_BYTES, -(-size // _MOST_PARTS))
    if many is None or size <= part_bytes:
        with blobs.temporary() as path:
            _write_part(path, source, 0, size, hasher)
            _require(hasher, sha256, key)
            blobs.adopt(path, key)
        return
    upload_id = many.begin_multipart(key)
    try:
        parts = []
        for number, start in enumerate(range(0, size, part_bytes), 1):
            with blobs.temporary() as path:
                _write_part(path, source, start, min(start + part_bytes, size), hasher)
                parts.append((number, many.put_part(key, upload_id, number, path)))
        _require(hasher, sha256, key)
        word = many.complete_multipart(key, upload_id, parts)
        if word:
            raise StoreAway(f"it answers {word}")
    except BaseException:
        many.abort_multipart(key, upload_id)
        raise
    if blobs.size_of(key) != size:
        raise ObjectDamaged(key)


def _write_part(path: Path, source: ByteSource, start: int, end: int, hasher: Any) -> None:
    with path.open("xb") as file:

        def take(data: memoryview | bytes) -> None:
            hasher.update(data)
            file.write(data)

        feed(take, source.pieces(start, end))


def _require(hasher: Any, sha256: Sha256, key: str) -> None:
    if hasher.hexdigest() != sha256:
        log.error("copy.differs", sha256=sha256, found=hasher.hexdigest())
        raise ObjectDamaged(key)


def drop_unused(tx: Tx, before: datetime) -> int:
    """Forget a batch of copies that nobody has read since; their objects are then orphans, which the next sweep removes."""
    old = blob.c.copy_generation.is_not(None) & (blob.c.copy_used_at < before)
    names = tx.execute(select(blob.c.sha256).where(old).limit(_BATCH)).scalars().all()
    tx.execute(update(blob).where(blob.c.sha256.in_(names)).values(copy_generation=None, copy_used_at=None))
    return len(names)


def forget_all(tx: Tx) -> None:
    """After a restore: backups are without copies."""
    tx.execute(update(blob).where(blob.c.copy_generation.is_not(None)).values(copy_generation=None, copy_used_at=None))

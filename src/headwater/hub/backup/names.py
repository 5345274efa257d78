"""Which objects a database names. It is asked in SQL that both databases understand."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select

from headwater.blobs.store import blob_key
from headwater.db import Tx
from headwater.hub.files.terms import is_framed, payload_key
from headwater.hub.git.folders import pack_key
from headwater.hub.tables.files import blob
from headwater.hub.tables.repositories import pack
from headwater.hub.tables.xet import xorb
from headwater.hub.xet.xorbs import index_key
from headwater.kernel import RepoId, Sha256, XetHash

_KEPT = ("live", "condemned")  # what is being deleted may be gone already, and nothing relies on it
_STEP = 5000


def list_named(tx: Tx) -> dict[str, int | None]:
    """Every object's key and size; None where the row does not say it."""
    return dict(_iter_named(tx))


def _iter_named(tx: Tx) -> Iterator[tuple[str, int | None]]:
    plain = select(blob.c.sha256, blob.c.size_bytes, blob.c.generation).where(
        blob.c.layout == "plain", blob.c.state.in_(_KEPT)
    )
    for row in tx.execute(plain).yield_per(_STEP):
        yield blob_key(Sha256(row.sha256), row.generation), row.size_bytes
    xorbs = select(xorb.c.hash, xorb.c.payload_bytes, xorb.c.generation).where(xorb.c.state.in_(_KEPT))
    for row in tx.execute(xorbs).yield_per(_STEP):
        key = payload_key(XetHash(row.hash), row.generation)
        yield key, None if is_framed(key) else row.payload_bytes
        yield index_key(key), None
    packs = select(pack.c.repo_id, pack.c.name, pack.c.size_bytes).where(pack.c.is_inline.is_(False))
    for row in tx.execute(packs).yield_per(_STEP):
        yield pack_key(RepoId(row.repo_id), row.name, ".pack"), row.size_bytes
        yield pack_key(RepoId(row.repo_id), row.name, ".idx"), None

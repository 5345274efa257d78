"""SQL of xorbs, who holds them, and Xet files; nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import delete, func, literal_column, select, update

from headwater.db import Tx, insert
from headwater.hub import quotas
from headwater.hub.files.store import find_readable_elsewhere
from headwater.hub.files.terms import Term, pack_terms, unpack_terms
from headwater.hub.tables.xet import (
    bytes_fact,
    xet_chunk,
    xet_file,
    xet_file_xorb,
    xorb,
    xorb_framing,
    xorb_holder,
)
from headwater.hub.xet.models import CasGrant, Xorb
from headwater.kernel import Sha256, XetHash

_BATCH = 500
_COVERING_FILES = 64  # files looked at to find a xorb wholly readable
_EPOCH = "xet_epoch"


def find_xorbs(tx: Tx, names: Iterable[XetHash]) -> dict[XetHash, Xorb]:
    """Rows in any state."""
    found: dict[XetHash, Xorb] = {}
    for part in _batches(names):
        for row in tx.execute(select(xorb).where(xorb.c.hash.in_(part))):
            found[XetHash(row.hash)] = Xorb(
                XetHash(row.hash), row.n_chunks, row.payload_bytes, row.state, row.generation
            )
    return found


def find_held(tx: Tx, grant: CasGrant, names: Iterable[XetHash]) -> set[XetHash]:
    """Which of these the grant's person has sent, or was promised."""
    found: set[XetHash] = set()
    for part in _batches(names):
        query = select(xorb_holder.c.xorb).where(
            xorb_holder.c.xorb.in_(part), xorb_holder.c.account_id == grant.actor.account_id
        )
        if grant.holder_token:
            query = query.where(xorb_holder.c.token_id == grant.holder_token)
        found.update(XetHash(row.xorb) for row in tx.execute(query))
    return found


def find_usable(tx: Tx, grant: CasGrant, names: Iterable[XetHash]) -> dict[XetHash, Xorb]:
    """Stored xorbs that the grant's person may read *wholly*: they sent it, or files they may read cover all of it."""
    stored = {name: x for name, x in find_xorbs(tx, names).items() if x.is_stored}
    usable = find_held(tx, grant, stored)
    usable.update(_covered(tx, grant, [x for name, x in stored.items() if name not in usable]))
    return {name: x for name, x in stored.items() if name in usable}


def _covered(tx: Tx, grant: CasGrant, xorbs: list[Xorb]) -> set[XetHash]:
    if not xorbs:
        return set()
    candidates: dict[XetHash, list[tuple[XetHash, Sha256]]] = {}
    for one in xorbs:
        query = (
            select(xet_file.c.xet_hash, xet_file.c.sha256)
            .join(xet_file_xorb, xet_file_xorb.c.xet_hash == xet_file.c.xet_hash)
            .where(xet_file_xorb.c.xorb == one.hash)
            .limit(_COVERING_FILES)
        )
        candidates[one.hash] = [(XetHash(row.xet_hash), Sha256(row.sha256)) for row in tx.execute(query)]
    digests = {sha256 for files in candidates.values() for _, sha256 in files}
    readable = find_readable_elsewhere(tx, grant.actor, digests)
    runs: dict[XetHash, dict[XetHash, list[tuple[int, int]]]] = {}
    covered = set()
    for one in xorbs:
        spans: list[tuple[int, int]] = []
        for xet_hash, sha256 in candidates[one.hash]:
            if sha256 in readable:
                if xet_hash not in runs:
                    runs[xet_hash] = _runs_of(tx, xet_hash)
                spans += runs[xet_hash].get(one.hash, [])
        if _covers(spans, one.n_chunks):
            covered.add(one.hash)
    return covered


def _runs_of(tx: Tx, xet_hash: XetHash) -> dict[XetHash, list[tuple[int, int]]]:
    runs: dict[XetHash, list[tuple[int, int]]] = {}
    for term in find_terms(tx, xet_hash):
        runs.setdefault(term.xorb, []).append((term.first, term.last))
    return runs


def _covers(spans: list[tuple[int, int]], n_chunks: int) -> bool:
    reached = 0
    for first, last in sorted(spans):
        if first > reached:
            return False
        reached = max(reached, last)
    return reached >= n_chunks


def ensure_xorb(tx: Tx, name: XetHash, *, n_chunks: int, payload_bytes: int, generation: int, now: datetime) -> None:
    """A live row for a xorb whose bytes lie there under that generation."""
    fresh = {
        "n_chunks": n_chunks,
        "payload_bytes": payload_bytes,
        "state": "live",
        "generation": generation,
        "last_promised_at": now,
        "condemned_at": None,
        "charged_to": None,
    }
    tx.execute(insert(xorb).values(hash=name, created_at=now, **fresh).on_conflict_do_nothing())
    tx.execute(update(xorb).where(xorb.c.hash == name, xorb.c.state.in_(("deleting", "gone"))).values(fresh))


def put_framing(tx: Tx, name: XetHash, ends: bytes | None) -> None:
    """Where each chunk of a xorb ends that is kept as it came, in place of what was known; None for a raw payload."""
    tx.execute(delete(xorb_framing).where(xorb_framing.c.xorb == name))
    if ends is not None:
        tx.execute(insert(xorb_framing).values(xorb=name, ends=ends))


def find_framings(tx: Tx, names: Iterable[XetHash]) -> dict[XetHash, bytes]:
    """As ``put_framing`` took them; of xorbs that are kept as they came."""
    found: dict[XetHash, bytes] = {}
    for part in _batches(names):
        for row in tx.execute(select(xorb_framing).where(xorb_framing.c.xorb.in_(part))):
            found[XetHash(row.xorb)] = row.ends
    return found


def find_framed_sizes(tx: Tx, names: Iterable[XetHash]) -> dict[XetHash, int]:
    """How long the objects of xorbs are that are kept as they came."""
    # The number stands in the text: PostgreSQL has no substr of bytes from a bigint, which a bound one is.
    last = func.substr(xorb_framing.c.ends, func.length(xorb_framing.c.ends) - literal_column("3"))
    found: dict[XetHash, int] = {}
    for part in _batches(names):
        for row in tx.execute(select(xorb_framing.c.xorb, last).where(xorb_framing.c.xorb.in_(part))):
            found[XetHash(row[0])] = int.from_bytes(row[1], "little")
    return found


def charge_xorb(tx: Tx, grant: CasGrant, name: XetHash, payload_bytes: int) -> None:
    """A xorb that has just come is charged until a file is made of it; nothing for one that files need already.

    Raises:
        QuotaExceeded: who would pay has no room for it.
    """
    needed = select(xet_file_xorb.c.xet_hash).where(xet_file_xorb.c.xorb == name).limit(1)
    payer = quotas.payer_of(tx, grant.actor, grant.repo_id)
    if payer is None or tx.execute(needed).first() is not None:
        return
    tx.execute(update(xorb).where(xorb.c.hash == name).values(charged_to=payer.account_id))
    bill = quotas.Bill()
    bill.pending(payer.account_id, payload_bytes, is_guest=payer.is_guest)
    bill.settle(tx)


def refund_xorbs(tx: Tx, names: Iterable[XetHash], bill: quotas.Bill) -> None:
    """From now on a file is charged that is made of them, or nobody."""
    for part in _batches(names):
        charged = xorb.c.hash.in_(part) & xorb.c.charged_to.is_not(None)
        for row in tx.execute(select(xorb.c.charged_to, xorb.c.payload_bytes).where(charged)):
            bill.pending(row.charged_to, -row.payload_bytes)
        tx.execute(update(xorb).where(charged).values(charged_to=None))


def promise(tx: Tx, names: Iterable[XetHash], now: datetime) -> None:
    """Clients will rely on these for weeks: renew, and revive what was condemned."""
    for part in _batches(names):
        tx.execute(
            update(xorb)
            .where(xorb.c.hash.in_(part), xorb.c.state.in_(("live", "condemned")))
            .values(state="live", condemned_at=None, last_promised_at=now)
        )


def lose_xorb(tx: Tx, name: XetHash, generation: int) -> int | None:
    """Its bytes are not where the row says: forget it, and make every client send again what it believes to be here.

    A later upload takes the next generation, and heals the files that need it. Returns the new epoch;
    None when the row says something else by now.
    """
    here = (xorb.c.hash == name) & (xorb.c.generation == generation) & xorb.c.state.in_(("live", "condemned"))
    if tx.execute(update(xorb).where(here).values(state="gone", condemned_at=None)).rowcount == 0:
        return None
    bill = quotas.Bill()
    refund_xorbs(tx, [name], bill)
    bill.settle(tx)
    tx.execute(delete(xorb_holder).where(xorb_holder.c.xorb == name))
    return raise_epoch(tx)


def insert_holders(tx: Tx, grant: CasGrant, names: Iterable[XetHash], now: datetime) -> bool:
    """Note that the grant's person has all bytes of these; returns whether any was new to them."""
    rows = [
        {"xorb": name, "account_id": grant.actor.account_id, "token_id": grant.holder_token, "created_at": now}
        for name in names
    ]
    before = find_held(tx, grant, [XetHash(str(row["xorb"])) for row in rows])
    if rows:
        tx.execute(insert(xorb_holder).on_conflict_do_nothing(), rows)
    return len(before) < len(rows)


def find_file(tx: Tx, xet_hash: XetHash) -> tuple[Sha256, int] | None:
    """The sha256 and size that were verified for a Xet file."""
    row = tx.execute(select(xet_file.c.sha256, xet_file.c.size_bytes).where(xet_file.c.xet_hash == xet_hash)).first()
    return None if row is None else (Sha256(row.sha256), row.size_bytes)


def find_terms(tx: Tx, xet_hash: XetHash) -> list[Term]:
    data = tx.execute(select(xet_file.c.terms).where(xet_file.c.xet_hash == xet_hash)).scalar()
    return unpack_terms(data or b"")


def insert_file(
    tx: Tx,
    xet_hash: XetHash,
    *,
    sha256: Sha256,
    terms: list[Term],
    chunks: dict[str, int],
    now: datetime,
    bill: quotas.Bill,
) -> None:
    """A verified file; the first description of it stays. ``chunks``: those clients may ask about, with their term."""
    values = {
        "xet_hash": xet_hash,
        "sha256": sha256,
        "size_bytes": sum(term.size_bytes for term in terms),
        "n_terms": len(terms),
        "terms": pack_terms(terms),
        "created_at": now,
    }
    if find_file(tx, xet_hash) is not None:
        return
    tx.execute(insert(xet_file).values(values))
    names = sorted({term.xorb for term in terms})
    if names:
        tx.execute(insert(xet_file_xorb), [{"xet_hash": xet_hash, "xorb": name} for name in names])
        refund_xorbs(tx, names, bill)
    if chunks:
        rows = [{"hash": digest, "xet_hash": xet_hash, "term": term} for digest, term in chunks.items()]
        tx.execute(insert(xet_chunk).on_conflict_do_nothing(), rows)


def find_chunk(tx: Tx, digest: str, *, limit: int) -> list[tuple[XetHash, int]]:
    """Files that hold this chunk, newest first, with the number of the term it lies in."""
    query = (
        select(xet_chunk.c.xet_hash, xet_chunk.c.term)
        .join(xet_file, xet_file.c.xet_hash == xet_chunk.c.xet_hash)
        .where(xet_chunk.c.hash == digest)
        .order_by(xet_file.c.created_at.desc())
        .limit(limit)
    )
    return [(XetHash(row.xet_hash), row.term) for row in tx.execute(query)]


def find_epoch(tx: Tx) -> int:
    """What casUrl carries so that clients forget what they sent before a restore or a loss."""
    value = tx.execute(select(bytes_fact.c.value).where(bytes_fact.c.key == _EPOCH)).scalar()
    return int(value or 0)


def raise_epoch(tx: Tx) -> int:
    """Make every client forget what it has sent."""
    epoch = find_epoch(tx) + 1
    tx.execute(
        insert(bytes_fact)
        .values(key=_EPOCH, value=epoch)
        .on_conflict_do_update(index_elements=["key"], set_={"value": epoch})
    )
    return epoch


def _batches(names: Iterable[XetHash]) -> Iterable[list[XetHash]]:
    whole = list(dict.fromkeys(names))
    return (whole[at : at + _BATCH] for at in range(0, len(whole), _BATCH))

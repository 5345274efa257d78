"""The collector's SQL: what nobody relies on, one bounded batch at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, delete, exists, select, tuple_, update

from headwater.db import Tx
from headwater.hub import quotas
from headwater.hub.tables.attachments import attachment
from headwater.hub.tables.files import blob, file_right, upload_claim
from headwater.hub.tables.repositories import repository
from headwater.hub.tables.xet import xet_chunk, xet_file, xet_file_xorb, xorb, xorb_holder
from headwater.hub.xet import store as xet_store
from headwater.kernel import Sha256, XetHash

BATCH = 500


def drop_old_claims(tx: Tx, before: datetime) -> int:
    """Uploads that no commit has named in time; a batch of them, with what they were charged."""
    old = select(upload_claim).where(upload_claim.c.created_at < before).limit(BATCH)
    rows, bill = tx.execute(old).all(), quotas.Bill()
    key = tuple_(upload_claim.c.repo_id, upload_claim.c.sha256, upload_claim.c.account_id)
    tx.execute(delete(upload_claim).where(key.in_([(row.repo_id, row.sha256, row.account_id) for row in rows])))
    quotas.refund_claims(tx, bill, [(row.charged_to, row.sha256) for row in rows])
    bill.settle(tx)
    return len(rows)


def forgive_old_xorbs(tx: Tx, before: datetime) -> int:
    """Xorbs that no file was made of in time: they stay as long as promised, but nobody pays for them any more."""
    old = select(xorb.c.hash).where(xorb.c.charged_to.is_not(None), xorb.c.last_promised_at < before).limit(BATCH)
    names, bill = [XetHash(name) for name in tx.execute(old).scalars()], quotas.Bill()
    xet_store.refund_xorbs(tx, names, bill)
    bill.settle(tx)
    return len(names)


def drop_rights_of_deleted(tx: Tx, before: datetime) -> int:
    """Rights of repositories that were deleted long enough ago."""
    gone = select(repository.c.id).where(repository.c.deleted_at < before)
    tx.execute(delete(upload_claim).where(upload_claim.c.repo_id.in_(gone)))  # one that came after the deletion
    some = select(file_right.c.repo_id, file_right.c.sha256, file_right.c.pull)
    rows = tx.execute(some.where(file_right.c.repo_id.in_(gone)).limit(BATCH)).all()
    key = tuple_(file_right.c.repo_id, file_right.c.sha256, file_right.c.pull)
    tx.execute(delete(file_right).where(key.in_([tuple(row) for row in rows])))
    return len(rows)


def _is_unused() -> ColumnElement[bool]:
    return and_(*(~exists().where(each.c.sha256 == blob.c.sha256) for each in (file_right, upload_claim, attachment)))


def condemn_blobs(tx: Tx, before: datetime, now: datetime) -> int:
    """Live blobs that nobody may read or name, made before ``before``."""
    found = select(blob.c.sha256).where(blob.c.state == "live", blob.c.created_at < before, _is_unused()).limit(BATCH)
    names = [row.sha256 for row in tx.execute(found)]
    tx.execute(update(blob).where(blob.c.sha256.in_(names)).values(state="condemned", condemned_at=now))
    return len(names)


def doom_blobs(tx: Tx, before: datetime) -> int:
    """Condemned long enough, and still unused: from here there is no way back.

    Files of xorbs end here, as their bytes are the xorbs' own; plain ones wait for their file to be removed.
    """
    found = (
        select(blob.c.sha256, blob.c.layout)
        .where(blob.c.state == "condemned", blob.c.condemned_at < before, _is_unused())
        .limit(BATCH)
    )
    rows = tx.execute(found).all()
    names = [row.sha256 for row in rows]
    if not names:
        return 0
    files = select(xet_file.c.xet_hash).where(xet_file.c.sha256.in_(names))
    tx.execute(delete(xet_chunk).where(xet_chunk.c.xet_hash.in_(files)))
    tx.execute(delete(xet_file_xorb).where(xet_file_xorb.c.xet_hash.in_(files)))
    tx.execute(delete(xet_file).where(xet_file.c.sha256.in_(names)))
    gone_now = {"xet_hash": None, "condemned_at": None, "copy_generation": None, "copy_used_at": None}
    for layout, state in (("plain", "deleting"), ("xet", "gone")):
        some = [row.sha256 for row in rows if row.layout == layout]
        tx.execute(update(blob).where(blob.c.sha256.in_(some)).values(**gone_now, state=state))
    return len(names)


def list_doomed_blobs(tx: Tx) -> list[tuple[Sha256, int]]:
    """Digest and generation of plain files to remove."""
    query = select(blob.c.sha256, blob.c.generation).where(blob.c.state == "deleting").limit(BATCH)
    return [(Sha256(row.sha256), row.generation) for row in tx.execute(query)]


def finish_blobs(tx: Tx, removed: Sequence[tuple[Sha256, int]]) -> None:
    """Their files are gone; a row that has come to life again under another generation is left alone."""
    for sha256, generation in removed:
        tx.execute(
            update(blob)
            .where(blob.c.sha256 == sha256, blob.c.state == "deleting", blob.c.generation == generation)
            .values(state="gone")
        )


def condemn_xorbs(tx: Tx, promised_before: datetime, now: datetime) -> int:
    """Xorbs that no file needs and no client relies on any more."""
    found = (
        select(xorb.c.hash)
        .where(
            xorb.c.state == "live",
            xorb.c.last_promised_at < promised_before,
            ~exists().where(xet_file_xorb.c.xorb == xorb.c.hash),
        )
        .limit(BATCH)
    )
    names = [row.hash for row in tx.execute(found)]
    tx.execute(update(xorb).where(xorb.c.hash.in_(names)).values(state="condemned", condemned_at=now))
    return len(names)


def doom_xorbs(tx: Tx, before: datetime) -> int:
    found = (
        select(xorb.c.hash)
        .where(
            xorb.c.state == "condemned",
            xorb.c.condemned_at < before,
            ~exists().where(xet_file_xorb.c.xorb == xorb.c.hash),
        )
        .limit(BATCH)
    )
    names = [row.hash for row in tx.execute(found)]
    bill = quotas.Bill()
    xet_store.refund_xorbs(tx, [XetHash(name) for name in names], bill)
    bill.settle(tx)
    tx.execute(delete(xorb_holder).where(xorb_holder.c.xorb.in_(names)))
    tx.execute(update(xorb).where(xorb.c.hash.in_(names)).values(state="deleting", condemned_at=None))
    return len(names)


def list_doomed_xorbs(tx: Tx) -> list[tuple[XetHash, int]]:
    query = select(xorb.c.hash, xorb.c.generation).where(xorb.c.state == "deleting").limit(BATCH)
    return [(XetHash(row.hash), row.generation) for row in tx.execute(query)]


def finish_xorbs(tx: Tx, removed: Sequence[tuple[XetHash, int]]) -> None:
    for name, generation in removed:
        tx.execute(
            update(xorb)
            .where(xorb.c.hash == name, xorb.c.state == "deleting", xorb.c.generation == generation)
            .values(state="gone")
        )


def find_kept(tx: Tx, kind: str, names: Sequence[str]) -> set[tuple[str, int]]:
    """Of these digests or xorbs, the generations that a row relies on."""
    table, key = (blob, blob.c.sha256) if kind == "sha256" else (xorb, xorb.c.hash)
    kept: set[tuple[str, int]] = set()
    for at in range(0, len(names), BATCH):
        query = select(key.label("name"), table.c.generation).where(
            key.in_(names[at : at + BATCH]), table.c.state != "gone"
        )
        kept.update((row.name, row.generation) for row in tx.execute(query))
        if kind == "sha256":
            copied = select(blob.c.sha256, blob.c.copy_generation).where(
                key.in_(names[at : at + BATCH]), blob.c.copy_generation.is_not(None)
            )
            kept.update((row.sha256, row.copy_generation) for row in tx.execute(copied))
    return kept

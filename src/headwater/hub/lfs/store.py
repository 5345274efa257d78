"""SQL of uploads in parts: what may pile up before anybody sees a file of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, select

from headwater.db import Tx, insert
from headwater.hub.lfs.errors import TooManyOpenUploads
from headwater.hub.tables.files import open_upload
from headwater.kernel import AccountId, Sha256

MAX_OPEN = 2000  # of one account
SAME_FILE = 2  # a retry, or another client of the same person; what was begun before is given up


@dataclass(frozen=True)
class OpenUpload:
    generation: int
    upload_id: str
    sha256: Sha256
    size_bytes: int


def require_few(tx: Tx, account_id: AccountId | None, more: int) -> None:
    """
    Raises:
        TooManyOpenUploads: with so many more, the account would have too many.
    """
    query = select(func.count()).select_from(open_upload).where(open_upload.c.account_id == account_id)
    n_open = tx.execute(query).scalar_one()
    if n_open + more > MAX_OPEN:
        raise TooManyOpenUploads(n_open, MAX_OPEN)


def held_bytes(tx: Tx, payer_id: AccountId, besides: Collection[Sha256]) -> int:
    """What all that are open would take of the payer's room, each file once, but for those that are asked for again."""
    query = select(open_upload.c.account_id, open_upload.c.sha256, open_upload.c.size_bytes)
    files = tx.execute(query.where(open_upload.c.payer_id == payer_id).distinct())
    return sum(row.size_bytes for row in files if row.sha256 not in besides)


def insert_open(
    tx: Tx, account_id: AccountId | None, payer_id: AccountId | None, begun: Iterable[OpenUpload], now: datetime
) -> list[OpenUpload]:
    """Note what was begun; returns what is to be given up for it, which is forgotten.

    Raises:
        TooManyOpenUploads
    """
    given_up = []
    for one in begun:
        values = {
            "generation": one.generation,
            "upload_id": one.upload_id,
            "sha256": one.sha256,
            "size_bytes": one.size_bytes,
        }
        tx.execute(insert(open_upload).values(account_id=account_id, payer_id=payer_id, created_at=now, **values))
        same = (open_upload.c.account_id == account_id) & (open_upload.c.sha256 == one.sha256)
        newest = select(open_upload).where(same).order_by(open_upload.c.created_at.desc(), open_upload.c.generation)
        for row in tx.execute(newest.offset(SAME_FILE)).all():
            given_up.append(_read(row))
            forget_open(tx, row.generation)
    require_few(tx, account_id, 0)
    return given_up


def find_open(tx: Tx, generation: int) -> OpenUpload | None:
    """None once it is over."""
    row = tx.execute(select(open_upload).where(open_upload.c.generation == generation)).one_or_none()
    return None if row is None else _read(row)


def forget_open(tx: Tx, generation: int) -> None:
    """It is over, one way or the other."""
    tx.execute(delete(open_upload).where(open_upload.c.generation == generation))


def forget_older(tx: Tx, before: datetime) -> list[OpenUpload]:
    """The collector gives these up."""
    older = open_upload.c.created_at < before
    given_up = [_read(row) for row in tx.execute(select(open_upload).where(older))]
    tx.execute(delete(open_upload).where(older))
    return given_up


def _read(row: Row[Any]) -> OpenUpload:
    return OpenUpload(row.generation, row.upload_id, Sha256(row.sha256), row.size_bytes)

"""The site as a whole: what is kept, what that would be without sharing, and how it grew.

To add all that up means to look at every blob, so it is done after each run of the collector and kept a day each
(``storage_day``). Where it takes no time, pages add it up anew.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, exists, func, insert, select, update

from headwater.db import Tx
from headwater.hub.tables.attachments import attachment
from headwater.hub.tables.files import blob, file_right, upload_claim
from headwater.hub.tables.quotas import account_usage, pull_usage, repository_usage, storage_day
from headwater.hub.tables.repositories import pack, repository
from headwater.hub.tables.uploads import upload_session
from headwater.hub.tables.xet import xet_file_xorb, xorb

QUICK_MS = 100  # what a page may spend on adding up anew
DAYS_SHOWN = 90


@dataclass(frozen=True)
class Amount:
    """How many of a thing there are, and their bytes."""

    n: int
    n_bytes: int


@dataclass(frozen=True)
class Totals:
    """``condemned`` goes at one of the next runs unless it is needed again; ``claimed`` waits for its commit.

    ``named_bytes`` are the files of all repositories, each counted in each; ``shared_bytes`` of them lie here once for
    several; ``by_chunks`` and ``needed_xorbs`` are the same files before and after equal chunks were kept once; ``copies``
    are the plain ones of them that a store has beside their xorbs.
    """

    taken_at: datetime
    took_ms: int
    repositories: dict[str, int]
    plain: Amount
    by_chunks: Amount
    xorbs: Amount
    needed_xorbs: Amount
    copies: Amount
    packs: Amount
    retired_packs: Amount
    claimed: Amount
    attachments: Amount
    uploading: Amount
    condemned: Amount
    deleting: Amount
    named_bytes: int
    distinct_bytes: int
    pending_bytes: int

    @property
    def stored_bytes(self) -> int:
        """What lies on the disk or in the store, but for the database and what each host has at hand."""
        lie = (self.plain, self.xorbs, self.copies, self.packs, self.retired_packs, self.deleting)
        return sum(each.n_bytes for each in lie)

    @property
    def logical_bytes(self) -> int:
        """What all repositories and their comments hold, each for itself: what accounts are charged."""
        return self.named_bytes + self.packs.n_bytes + self.attachments.n_bytes

    @property
    def saved_by_sharing(self) -> int:
        """The same file in several repositories lies here once."""
        return max(self.named_bytes - self.distinct_bytes, 0)

    @property
    def saved_by_chunks(self) -> int:
        """Equal chunks of different files lie here once, and are compressed on the way."""
        return max(self.by_chunks.n_bytes - self.needed_xorbs.n_bytes, 0)


_AMOUNTS = (
    "plain",
    "by_chunks",
    "xorbs",
    "needed_xorbs",
    "copies",
    "packs",
    "retired_packs",
    "claimed",
    "attachments",
    "uploading",
    "condemned",
    "deleting",
)


def add_up(tx: Tx, now: datetime) -> Totals:
    """Look at every row there is."""
    started = time.monotonic()
    kept = ("live", "condemned")
    named = exists().where(file_right.c.repo_id == upload_claim.c.repo_id, file_right.c.sha256 == upload_claim.c.sha256)
    needed = exists().where(xet_file_xorb.c.xorb == xorb.c.hash)
    in_a_right = exists().where(file_right.c.sha256 == blob.c.sha256)
    kinds = select(repository.c.kind, func.count().label("n")).where(repository.c.deleted_at.is_(None))
    amounts: dict[str, Any] = {
        "plain": _amount(tx, blob.c.size_bytes, blob.c.state.in_(kept), blob.c.layout == "plain"),
        "by_chunks": _amount(tx, blob.c.size_bytes, blob.c.state.in_(kept), blob.c.layout == "xet"),
        "xorbs": _amount(tx, xorb.c.payload_bytes, xorb.c.state.in_(kept)),
        "needed_xorbs": _amount(tx, xorb.c.payload_bytes, xorb.c.state.in_(kept), needed),
        "copies": _amount(tx, blob.c.size_bytes, blob.c.copy_generation.is_not(None), blob.c.state.in_(kept)),
        "packs": _amount(tx, pack.c.size_bytes, pack.c.retired_at.is_(None)),
        "retired_packs": _amount(tx, pack.c.size_bytes, pack.c.retired_at.is_not(None)),
        "claimed": _amount(
            tx,
            blob.c.size_bytes,
            blob.c.sha256.in_(select(upload_claim.c.sha256).where(~named)),
            blob.c.state.in_(kept),
        ),
        "attachments": _amount(tx, attachment.c.size_bytes),
        "uploading": _amount(tx, upload_session.c.size_bytes),
        "condemned": _amount(tx, blob.c.size_bytes, blob.c.state == "condemned", blob.c.layout == "plain"),
        "deleting": _amount(tx, blob.c.size_bytes, blob.c.state == "deleting"),
    }
    files = tx.execute(select(func.coalesce(func.sum(repository_usage.c.file_bytes), 0))).scalar_one()
    pulls = tx.execute(select(func.coalesce(func.sum(pull_usage.c.file_bytes), 0))).scalar_one()
    waiting = tx.execute(select(func.coalesce(func.sum(account_usage.c.pending_bytes), 0))).scalar_one()
    distinct = _amount(tx, blob.c.size_bytes, in_a_right, blob.c.state.in_(kept)).n_bytes
    repositories = {row.kind: row.n for row in tx.execute(kinds.group_by(repository.c.kind))}
    return Totals(
        taken_at=now,
        took_ms=round((time.monotonic() - started) * 1000),
        repositories=repositories,
        named_bytes=int(files) + int(pulls),
        distinct_bytes=distinct,
        pending_bytes=int(waiting),
        **amounts,
    )


def find_totals(tx: Tx, now: datetime) -> Totals:
    """Those of this moment where adding up is quick, else the last that were kept."""
    row = tx.execute(select(storage_day).order_by(storage_day.c.day.desc()).limit(1)).first()
    if row is None or row.totals["took_ms"] <= QUICK_MS:
        return add_up(tx, now)
    facts: dict[str, Any] = row.totals
    amounts: dict[str, Any] = {name: Amount(*facts[name]) for name in _AMOUNTS}
    rest = {name: value for name, value in facts.items() if name not in amounts}
    return Totals(taken_at=row.taken_at, **amounts, **rest)


def keep(tx: Tx, found: Totals) -> None:
    """As today's; the last of a day stays."""
    facts = {name: value for name, value in vars(found).items() if name != "taken_at"}
    facts |= {name: [facts[name].n, facts[name].n_bytes] for name in _AMOUNTS}
    values = {
        "taken_at": found.taken_at,
        "logical_bytes": found.logical_bytes,
        "stored_bytes": found.stored_bytes,
        "n_repositories": sum(found.repositories.values()),
        "totals": facts,
    }
    day = found.taken_at.date().isoformat()
    changed = tx.execute(update(storage_day).where(storage_day.c.day == day).values(**values))
    if not changed.rowcount:
        tx.execute(insert(storage_day).values(day=day, **values))


@dataclass(frozen=True)
class Day:
    day: str
    logical_bytes: int
    stored_bytes: int


def list_days(tx: Tx, now: datetime) -> Sequence[Day]:
    """The last days of which something is known, oldest first."""
    since = (now - timedelta(days=DAYS_SHOWN)).date().isoformat()
    query = select(storage_day.c.day, storage_day.c.logical_bytes, storage_day.c.stored_bytes)
    return [Day(*row) for row in tx.execute(query.where(storage_day.c.day >= since).order_by(storage_day.c.day))]


def _amount(tx: Tx, size: Any, *where: ColumnElement[bool]) -> Amount:
    query = select(func.count().label("n"), func.coalesce(func.sum(size), 0).label("size")).where(*where)
    row = tx.execute(query).one()
    return Amount(int(row.n), int(row.size))

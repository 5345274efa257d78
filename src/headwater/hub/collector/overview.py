"""What the site stores, for its administrators, and the few acts they have on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, exists, func, select

from headwater import accounts, ledger, queue
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub.access import from_row
from headwater.hub.collector import clock
from headwater.hub.events import COLLECT_BYTES
from headwater.hub.models import Repository
from headwater.hub.tables.cards import card
from headwater.hub.tables.files import blob, file_right, upload_claim
from headwater.hub.tables.repositories import pack, repository
from headwater.hub.tables.uploads import upload_session
from headwater.hub.tables.xet import xorb
from headwater.kernel import Actor

LARGEST = 10
FAILED = 20


@dataclass(frozen=True)
class Amount:
    """How many of a thing there are, and their bytes."""

    n: int
    n_bytes: int


@dataclass(frozen=True)
class Largest:
    """A repository and what the files and history it may read take; files that others have too count in full."""

    repo: Repository
    n_bytes: int


@dataclass(frozen=True)
class Overview:
    """``condemned`` goes at one of the next runs unless it is needed again; ``claimed`` waits for its commit."""

    repositories: Mapping[str, int]
    plain: Amount
    by_chunks: Amount
    xorbs: Amount
    packs: Amount
    retired_packs: Amount
    claimed: Amount
    uploading: Amount
    condemned: Amount
    largest: Sequence[Largest]
    last_run_at: datetime | None
    last_report: Mapping[str, int] | None
    stop: clock.Stopped | None
    jobs: Mapping[str, int]
    failed: Sequence[queue.FailedJob]

    @property
    def n_bytes(self) -> int:
        """What lies on the disk, but for the database and what can be made anew."""
        kept = (self.plain, self.xorbs, self.packs, self.retired_packs)
        return sum(amount.n_bytes for amount in kept)


def find_overview(tx: Tx, actor: Actor) -> Overview:
    """Raises: NotSignedIn, NotAllowed."""
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    is_there = blob.c.state.in_(("live", "condemned"))
    return Overview(
        repositories=_count_kinds(tx),
        plain=_amount(tx, blob.c.size_bytes, is_there, blob.c.layout == "plain"),
        by_chunks=_amount(tx, blob.c.size_bytes, is_there, blob.c.layout == "xet"),
        xorbs=_amount(tx, xorb.c.payload_bytes, xorb.c.state.in_(("live", "condemned"))),
        packs=_amount(tx, pack.c.size_bytes, pack.c.retired_at.is_(None)),
        retired_packs=_amount(tx, pack.c.size_bytes, pack.c.retired_at.is_not(None)),
        claimed=_amount(tx, blob.c.size_bytes, blob.c.sha256.in_(_unnamed_claims())),
        uploading=_amount(tx, upload_session.c.size_bytes),
        condemned=_amount(tx, blob.c.size_bytes, blob.c.state == "condemned", blob.c.layout == "plain"),
        largest=_largest(tx),
        last_run_at=clock.find_last_run(tx),
        last_report=clock.find_report(tx),
        stop=clock.find_stop(tx),
        jobs=queue.count_by_state(tx),
        failed=queue.list_failed(tx, FAILED),
    )


def ask_for_run(tx: Tx, actor: Actor, *, now: datetime) -> None:
    """Let the collector run as soon as a worker is free.

    Raises:
        NotSignedIn, NotAllowed.
        ClockJumped: it would not; somebody must look at the clock first.
    """
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    stop = clock.find_stop(tx)
    if stop is not None:
        raise clock.ClockJumped(stop)
    queue.put(tx, COLLECT_BYTES, {}, unique="site", now=now)


def confirm(tx: Tx, actor: Actor, *, now: datetime) -> None:
    """Say that the clock is right, and let the collector go on.

    Raises:
        NotSignedIn, NotAllowed.
    """
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    clock.confirm_clock(tx, now)
    ledger.record(tx, actor, "site.clock_confirmed", "site", {}, now=now)


def retry_jobs(tx: Tx, actor: Actor, *, now: datetime) -> int:
    """Try again what was given up; returns how many jobs.

    Raises:
        NotSignedIn, NotAllowed.
    """
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    return queue.retry_failed(tx, now)


def _amount(tx: Tx, size: Any, *where: ColumnElement[bool]) -> Amount:
    row = tx.execute(
        select(func.count().label("n"), func.coalesce(func.sum(size), 0).label("size")).where(*where)
    ).one()
    return Amount(int(row.n), int(row.size))


def _unnamed_claims() -> Select[Any]:
    """Digests that somebody has brought to a repository no commit of which names them yet."""
    named = exists().where(file_right.c.repo_id == upload_claim.c.repo_id, file_right.c.sha256 == upload_claim.c.sha256)
    return select(upload_claim.c.sha256).where(~named)


def _count_kinds(tx: Tx) -> dict[str, int]:
    query = select(repository.c.kind, func.count().label("n")).where(repository.c.deleted_at.is_(None))
    return {row.kind: row.n for row in tx.execute(query.group_by(repository.c.kind))}


def _largest(tx: Tx) -> list[Largest]:
    query = (
        select(repository, card.c.used_storage_bytes)
        .join(card, card.c.repo_id == repository.c.id)
        .where(repository.c.deleted_at.is_(None), card.c.used_storage_bytes > 0)
        .order_by(card.c.used_storage_bytes.desc())
        .limit(LARGEST)
    )
    return [Largest(from_row(row), row.used_storage_bytes) for row in tx.execute(query)]

"""The proof: every counter added up anew from what it counts, by queries that share nothing with the charging.

What is found wrong is a bug of ours; ``repair`` puts the counters right, and is also what follows data that was put
straight into the tables. Repositories are gone through some thousand at a time; accounts are held in memory, all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, Table, and_, delete, func, insert, select, update

from headwater.db import Tx
from headwater.hub.quotas.models import Usage
from headwater.hub.quotas.store import BATCH
from headwater.hub.tables.attachments import attachment
from headwater.hub.tables.community import discussion
from headwater.hub.tables.files import blob, file_right, upload_claim
from headwater.hub.tables.quotas import account_usage, pull_usage, repository_usage
from headwater.hub.tables.repositories import pack, repository
from headwater.hub.tables.uploads import upload_session
from headwater.hub.tables.xet import xorb

SPAN = 2000  # repositories in memory at a time


@dataclass(frozen=True)
class _Repository:
    owner_id: int
    is_private: bool
    file_bytes: int = 0
    pack_bytes: int = 0
    pull_pack_bytes: int = 0

    @property
    def used_bytes(self) -> int:
        return self.file_bytes + max(self.pack_bytes - self.pull_pack_bytes, 0)


@dataclass(frozen=True)
class Difference:
    """One counter that is not what it counts; ``of`` is ``account 3``, ``repository 7`` or ``pull request 7#2``."""

    of: str
    counted: str
    found: str


class _Accounts:
    """What each account is charged, as it is added up."""

    def __init__(self) -> None:
        self._sums: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))

    def add(self, account_id: int, counter: str, n: int) -> None:
        self._sums[account_id][counter] += n

    def usages(self) -> dict[int, Usage]:
        return {account_id: Usage(**sums) for account_id, sums in self._sums.items()}


@dataclass(frozen=True)
class _Span:
    """What repositories from ``start`` up to ``stop`` hold."""

    start: int
    stop: int
    repositories: dict[int, _Repository]
    pulls: dict[tuple[int, int], tuple[int, int]]  # (repository, number) to (payer, bytes of files)

    def has(self, repo_id: ColumnElement[int]) -> ColumnElement[bool]:
        return and_(repo_id >= self.start, repo_id < self.stop)


def find_differences(tx: Tx) -> list[Difference]:
    """Compare all counters with what they count, in one snapshot."""
    accounts, repositories, pulls = _Accounts(), list[Difference](), list[Difference]()
    for span in _iter_spans(tx, accounts):
        kept_repositories = _kept_repositories(tx, span)
        for repo_id in sorted(span.repositories.keys() | kept_repositories.keys()):
            kept, right = kept_repositories.get(repo_id), span.repositories.get(repo_id)
            if kept is None or right is None or kept != (right, right.used_bytes):
                repositories.append(Difference(f"repository {repo_id}", str(kept), str(right)))
        kept_pulls = {
            (row.repo_id, row.num): (row.account_id, row.file_bytes)
            for row in tx.execute(select(pull_usage).where(span.has(pull_usage.c.repo_id)))
            if row.file_bytes or row.pack_bytes
        }
        for key in sorted(span.pulls.keys() | kept_pulls.keys()):
            payer, n_bytes = span.pulls.get(key, (kept_pulls.get(key, (0, 0))[0], 0))
            if kept_pulls.get(key, (payer, 0)) != (payer, n_bytes):
                of = f"pull request {key[0]}#{key[1]}"
                pulls.append(Difference(of, str(kept_pulls.get(key)), str((payer, n_bytes))))
    found, usages, kept_accounts = [], accounts.usages(), _kept_accounts(tx)
    for account_id in sorted(usages.keys() | kept_accounts.keys()):
        is_now, should = kept_accounts.get(account_id, (Usage(), 0)), usages.get(account_id, Usage())
        if is_now != (should, should.used_bytes):
            found.append(Difference(f"account {account_id}", str(is_now), str(should)))
    return [*found, *repositories, *pulls]


def repair(tx: Tx) -> int:
    """Write every counter as it should be; returns how many were wrong."""
    wrong = find_differences(tx)
    if not wrong:
        return 0
    for span in _iter_spans(tx, _Accounts()):
        _repair_pulls(tx, span)
    accounts = _Accounts()
    for span in _iter_spans(tx, accounts):  # again: what an owner is charged follows from what pull requests are
        tx.execute(delete(repository_usage).where(span.has(repository_usage.c.repo_id)))
        rows = span.repositories.items()
        _insert(tx, repository_usage, ({"repo_id": n, **vars(r), "used_bytes": r.used_bytes} for n, r in rows))
    usages = accounts.usages()
    kept = set(tx.execute(select(account_usage.c.account_id)).scalars())
    for account_id in sorted(kept):
        usage = usages.get(account_id, Usage())
        values = {**vars(usage), "used_bytes": usage.used_bytes}
        tx.execute(update(account_usage).where(account_usage.c.account_id == account_id).values(**values))
    new = ((n, usage) for n, usage in usages.items() if n not in kept)
    _insert(tx, account_usage, ({"account_id": n, **vars(u), "used_bytes": u.used_bytes} for n, u in new))
    return len(wrong)


def _repair_pulls(tx: Tx, span: _Span) -> None:
    """What authors of pull requests brought in packs is known from the counter alone; a payer may be wrong, the sum is not."""
    counted = tx.execute(select(pull_usage).where(span.has(pull_usage.c.repo_id), pull_usage.c.pack_bytes != 0))
    packs = {(row.repo_id, row.num): row.pack_bytes for row in counted}
    tx.execute(delete(pull_usage).where(span.has(pull_usage.c.repo_id)))
    _insert(
        tx,
        pull_usage,
        (
            {
                "repo_id": key[0],
                "num": key[1],
                "account_id": span.pulls[key][0] if key in span.pulls else _payer(tx, key),
                "file_bytes": span.pulls.get(key, (0, 0))[1],
                "pack_bytes": packs.get(key, 0),
            }
            for key in sorted(span.pulls.keys() | packs.keys())
            if key[0] in span.repositories
        ),
    )


def _insert(tx: Tx, table: Table, rows: Iterator[dict[str, object]]) -> None:
    batch: list[dict[str, object]] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            tx.execute(insert(table), batch)
            batch = []
    if batch:
        tx.execute(insert(table), batch)


def _payer(tx: Tx, key: tuple[int, int]) -> int:
    author = select(discussion.c.author_id).where(discussion.c.repo_id == key[0], discussion.c.num == key[1])
    owner = select(repository.c.owner_id).where(repository.c.id == key[0])
    return int(tx.execute(author).scalar() or tx.execute(owner).scalar_one())


def _kept_accounts(tx: Tx) -> dict[int, tuple[Usage, int]]:
    return {
        row.account_id: (
            Usage.from_row(row),
            row.used_bytes,
        )
        for row in tx.execute(select(account_usage))
    }


def _kept_repositories(tx: Tx, span: _Span) -> dict[int, tuple[_Repository, int]]:
    return {
        row.repo_id: (
            _Repository(row.owner_id, row.is_private, row.file_bytes, row.pack_bytes, row.pull_pack_bytes),
            row.used_bytes,
        )
        for row in tx.execute(select(repository_usage).where(span.has(repository_usage.c.repo_id)))
    }


def _iter_spans(tx: Tx, accounts: _Accounts) -> Iterator[_Span]:
    """Adds up the repositories of one span after another; what their accounts are charged is whole after the last."""
    last = tx.execute(select(func.max(repository.c.id))).scalar() or 0
    for start in range(1, last + 1, SPAN):
        span = _Span(start, start + SPAN, {}, {})
        _add_up(tx, span)
        for payer, n_bytes in span.pulls.values():
            accounts.add(payer, "pull_bytes", n_bytes)
        repos = span.repositories
        for row in tx.execute(select(pull_usage).where(span.has(pull_usage.c.repo_id))):
            if row.repo_id in repos:
                repo = repos[row.repo_id]
                repos[row.repo_id] = replace(repo, pull_pack_bytes=repo.pull_pack_bytes + row.pack_bytes)
                accounts.add(_payer(tx, (row.repo_id, row.num)), "pull_bytes", row.pack_bytes)
        for repo in repos.values():
            accounts.add(repo.owner_id, "private_bytes" if repo.is_private else "public_bytes", repo.used_bytes)
            accounts.add(repo.owner_id, "n_repositories", 1)
        yield span
    for account_id, n_bytes in _pending(tx):
        accounts.add(account_id, "pending_bytes", n_bytes)
    brought = select(attachment.c.account_id, func.sum(attachment.c.size_bytes).label("n"))
    for row in tx.execute(brought.group_by(attachment.c.account_id)):
        accounts.add(row.account_id, "attachment_bytes", int(row.n))


def _add_up(tx: Tx, span: _Span) -> None:
    """Fills the span with its repositories, their packs and files, and the files that only pull requests have."""
    repos = span.repositories
    alive = select(repository.c.id, repository.c.owner_id, repository.c.is_private).where(
        span.has(repository.c.id), repository.c.deleted_at.is_(None)
    )
    repos.update((row.id, _Repository(row.owner_id, row.is_private)) for row in tx.execute(alive))
    in_use = select(pack.c.repo_id, func.sum(pack.c.size_bytes).label("n")).where(
        span.has(pack.c.repo_id), pack.c.retired_at.is_(None)
    )
    for row in tx.execute(in_use.group_by(pack.c.repo_id)):
        if row.repo_id in repos:
            repos[row.repo_id] = replace(repos[row.repo_id], pack_bytes=int(row.n))
    own = (
        select(file_right.c.repo_id, func.sum(blob.c.size_bytes).label("n"))
        .join(blob, blob.c.sha256 == file_right.c.sha256)
        .where(span.has(file_right.c.repo_id), file_right.c.pull == 0)
    )
    for row in tx.execute(own.group_by(file_right.c.repo_id)):
        if row.repo_id in repos:
            repos[row.repo_id] = replace(repos[row.repo_id], file_bytes=int(row.n))
    theirs = (
        select(file_right.c.repo_id, file_right.c.pull, file_right.c.sha256, blob.c.size_bytes)
        .join(blob, blob.c.sha256 == file_right.c.sha256)
        .where(span.has(file_right.c.repo_id), file_right.c.pull != 0)
    )
    owned: dict[int, set[str]] = {}
    sums: dict[tuple[int, int], int] = defaultdict(int)
    for row in tx.execute(theirs).all():
        if row.repo_id not in repos:
            continue
        if row.repo_id not in owned:
            query = select(file_right.c.sha256).where(file_right.c.repo_id == row.repo_id, file_right.c.pull == 0)
            owned[row.repo_id] = set(tx.execute(query).scalars())
        if row.sha256 not in owned[row.repo_id]:
            sums[row.repo_id, row.pull] += row.size_bytes
    span.pulls.update((key, (_payer(tx, key), n_bytes)) for key, n_bytes in sums.items())


def _pending(tx: Tx) -> Iterator[tuple[int, int]]:
    claims = select(upload_claim.c.charged_to, func.sum(blob.c.size_bytes)).join(
        blob, blob.c.sha256 == upload_claim.c.sha256
    )
    xorbs = select(xorb.c.charged_to, func.sum(xorb.c.payload_bytes))
    sessions = select(upload_session.c.charged_to, func.sum(upload_session.c.size_bytes))
    for query, column in (
        (claims, upload_claim.c.charged_to),
        (xorbs, xorb.c.charged_to),
        (sessions, upload_session.c.charged_to),
    ):
        for account_id, n_bytes in tx.execute(query.where(column.is_not(None)).group_by(column)):
            yield account_id, int(n_bytes)

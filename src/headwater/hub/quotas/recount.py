"""The proof: every counter added up anew from what it counts, by queries that share nothing with the charging.

What is found wrong is a bug of ours; ``repair`` puts the counters right, and is also what follows data that was put
straight into the tables.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

from sqlalchemy import Table, delete, func, insert, select, update

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


@dataclass(frozen=True)
class _Sums:
    accounts: dict[int, Usage]
    repositories: dict[int, _Repository]
    pulls: dict[tuple[int, int], tuple[int, int]]  # (repository, number) to (payer, bytes of files)


def find_differences(tx: Tx) -> list[Difference]:
    """Compare all counters with what they count, in one snapshot."""
    sums, found = _add_up(tx), []
    kept_accounts, kept_repositories = _kept_accounts(tx), _kept_repositories(tx)
    kept_pulls = {
        (row.repo_id, row.num): (row.account_id, row.file_bytes)
        for row in tx.execute(select(pull_usage))
        if row.file_bytes or row.pack_bytes
    }
    for account_id in sorted(sums.accounts.keys() | kept_accounts.keys()):
        is_now, should = kept_accounts.get(account_id, (Usage(), 0)), sums.accounts.get(account_id, Usage())
        if is_now != (should, should.used_bytes):
            found.append(Difference(f"account {account_id}", str(is_now), str(should)))
    for repo_id in sorted(sums.repositories.keys() | kept_repositories.keys()):
        kept, right = kept_repositories.get(repo_id), sums.repositories.get(repo_id)
        if kept is None or right is None or kept != (right, right.used_bytes):
            found.append(Difference(f"repository {repo_id}", str(kept), str(right)))
    for key in sorted(sums.pulls.keys() | kept_pulls.keys()):
        payer, n_bytes = sums.pulls.get(key, (kept_pulls.get(key, (0, 0))[0], 0))
        if kept_pulls.get(key, (payer, 0)) != (payer, n_bytes):
            found.append(Difference(f"pull request {key[0]}#{key[1]}", str(kept_pulls.get(key)), str((payer, n_bytes))))
    return found


def repair(tx: Tx) -> int:
    """Write every counter as it should be; returns how many were wrong."""
    wrong = find_differences(tx)
    if not wrong:
        return 0
    # What authors of pull requests brought in packs is known from the counter alone; a payer may be wrong, the sum is not.
    packs = {(row.repo_id, row.num): row.pack_bytes for row in tx.execute(select(pull_usage)) if row.pack_bytes}
    sums = _add_up(tx)
    tx.execute(delete(pull_usage))
    alive = [key for key in sorted(sums.pulls.keys() | packs.keys()) if key[0] in sums.repositories]
    _insert(
        tx,
        pull_usage,
        (
            {
                "repo_id": key[0],
                "num": key[1],
                "account_id": sums.pulls[key][0] if key in sums.pulls else _payer(tx, key),
                "file_bytes": sums.pulls.get(key, (0, 0))[1],
                "pack_bytes": packs.get(key, 0),
            }
            for key in alive
        ),
    )
    sums = _add_up(tx)
    tx.execute(delete(repository_usage))
    _insert(
        tx,
        repository_usage,
        ({"repo_id": n, **vars(repo), "used_bytes": repo.used_bytes} for n, repo in sums.repositories.items()),
    )
    kept = set(tx.execute(select(account_usage.c.account_id)).scalars())
    for account_id in sorted(kept | sums.accounts.keys()):
        usage = sums.accounts.get(account_id, Usage())
        values = {**vars(usage), "used_bytes": usage.used_bytes}
        if account_id in kept:
            tx.execute(update(account_usage).where(account_usage.c.account_id == account_id).values(**values))
    _insert(
        tx,
        account_usage,
        (
            {"account_id": n, **vars(usage), "used_bytes": usage.used_bytes}
            for n, usage in sums.accounts.items()
            if n not in kept
        ),
    )
    return len(wrong)


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


def _kept_repositories(tx: Tx) -> dict[int, tuple[_Repository, int]]:
    return {
        row.repo_id: (
            _Repository(row.owner_id, row.is_private, row.file_bytes, row.pack_bytes, row.pull_pack_bytes),
            row.used_bytes,
        )
        for row in tx.execute(select(repository_usage))
    }


def _add_up(tx: Tx) -> _Sums:
    alive = repository.c.deleted_at.is_(None)
    repos = {
        row.id: _Repository(row.owner_id, row.is_private)
        for row in tx.execute(select(repository.c.id, repository.c.owner_id, repository.c.is_private).where(alive))
    }
    in_use = select(pack.c.repo_id, func.sum(pack.c.size_bytes).label("n")).where(pack.c.retired_at.is_(None))
    for row in tx.execute(in_use.group_by(pack.c.repo_id)):
        if row.repo_id in repos:
            repos[row.repo_id] = replace(repos[row.repo_id], pack_bytes=int(row.n))
    pulls = _pulls_by_files(tx, repos)
    accounts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for (repo_id, _), (payer, n_bytes) in pulls.items():
        del repo_id
        accounts[payer]["pull_bytes"] += n_bytes
    for row in tx.execute(select(pull_usage)):
        if row.repo_id in repos:
            repo = repos[row.repo_id]
            repos[row.repo_id] = replace(repo, pull_pack_bytes=repo.pull_pack_bytes + row.pack_bytes)
            accounts[_payer(tx, (row.repo_id, row.num))]["pull_bytes"] += row.pack_bytes
    for repo in repos.values():
        accounts[repo.owner_id]["private_bytes" if repo.is_private else "public_bytes"] += repo.used_bytes
        accounts[repo.owner_id]["n_repositories"] += 1
    for account_id, n_bytes in _pending(tx):
        accounts[account_id]["pending_bytes"] += n_bytes
    brought = select(attachment.c.account_id, func.sum(attachment.c.size_bytes).label("n"))
    for row in tx.execute(brought.group_by(attachment.c.account_id)):
        accounts[row.account_id]["attachment_bytes"] += int(row.n)
    return _Sums({n: Usage(**sums) for n, sums in accounts.items()}, repos, pulls)


def _pulls_by_files(tx: Tx, repos: dict[int, _Repository]) -> dict[tuple[int, int], tuple[int, int]]:
    """Adds each repository's own files to ``repos``; returns what only pull requests have."""
    own = select(file_right.c.repo_id, func.sum(blob.c.size_bytes).label("n")).join(
        blob, blob.c.sha256 == file_right.c.sha256
    )
    for row in tx.execute(own.where(file_right.c.pull == 0).group_by(file_right.c.repo_id)):
        if row.repo_id in repos:
            repos[row.repo_id] = replace(repos[row.repo_id], file_bytes=int(row.n))
    theirs = select(file_right.c.repo_id, file_right.c.pull, file_right.c.sha256, blob.c.size_bytes).join(
        blob, blob.c.sha256 == file_right.c.sha256
    )
    owned: dict[int, set[str]] = {}
    sums: dict[tuple[int, int], int] = defaultdict(int)
    for row in tx.execute(theirs.where(file_right.c.pull != 0)):
        if row.repo_id not in repos:
            continue
        if row.repo_id not in owned:
            query = select(file_right.c.sha256).where(file_right.c.repo_id == row.repo_id, file_right.c.pull == 0)
            owned[row.repo_id] = set(tx.execute(query).scalars())
        if row.sha256 not in owned[row.repo_id]:
            sums[row.repo_id, row.pull] += row.size_bytes
    return {key: (_payer(tx, key), n_bytes) for key, n_bytes in sums.items()}


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

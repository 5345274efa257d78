"""SQL of the counters, and nothing else. Statements of every commit are prepared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, case, delete, func, insert, select, update

from headwater import accounts
from headwater.db import Tx, prepared
from headwater.hub.quotas.models import Limits, Quota, SiteLimits, Usage
from headwater.hub.tables.community import discussion
from headwater.hub.tables.files import blob, file_right, upload_claim
from headwater.hub.tables.quotas import account_usage, pull_usage, quota_default, repository_usage
from headwater.hub.tables.repositories import pack, repository
from headwater.hub.tables.uploads import upload_session
from headwater.kernel import AccountId, RepoId, Sha256

BATCH = 500
_DEFAULT_ID = 1

_used = account_usage.c
_default = select(quota_default.c.in_force).where(quota_default.c.id == _DEFAULT_ID).scalar_subquery()
_ADD_TO_ACCOUNT = prepared(
    update(account_usage)
    .where(_used.account_id == bindparam("of_account"))
    .values(
        public_bytes=_used.public_bytes + bindparam("d_public"),
        private_bytes=_used.private_bytes + bindparam("d_private"),
        pull_bytes=_used.pull_bytes + bindparam("d_pulls"),
        pending_bytes=_used.pending_bytes + bindparam("d_pending"),
        attachment_bytes=_used.attachment_bytes + bindparam("d_attachments"),
        used_bytes=_used.used_bytes + bindparam("d_used"),
        n_repositories=_used.n_repositories + bindparam("d_repositories"),
    )
    .returning(
        _used.public_bytes,
        _used.private_bytes,
        _used.pull_bytes,
        _used.pending_bytes,
        _used.attachment_bytes,
        _used.n_repositories,
        _used.max_bytes,
        _used.max_private_bytes,
        _used.max_repositories,
        _default.label("in_force"),
    )
)
_of = repository_usage.c
_packs, _pulls = _of.pack_bytes + bindparam("d_packs"), _of.pull_pack_bytes + bindparam("d_pull_packs")
_ADD_TO_REPOSITORY = prepared(
    update(repository_usage)
    .where(_of.repo_id == bindparam("of_repo"))
    .values(
        file_bytes=_of.file_bytes + bindparam("d_files"),
        pack_bytes=_packs,
        pull_pack_bytes=_pulls,
        used_bytes=_of.file_bytes + bindparam("d_files") + case((_packs > _pulls, _packs - _pulls), else_=0),
    )
    .returning(_of.owner_id, _of.is_private, _of.file_bytes, _of.pack_bytes, _of.pull_pack_bytes)
)


@dataclass(frozen=True)
class RepositoryUsage:
    """``used_bytes`` is what the owner is charged: packs but for what authors of pull requests brought."""

    owner_id: AccountId
    is_private: bool
    file_bytes: int
    pack_bytes: int
    pull_pack_bytes: int

    @property
    def used_bytes(self) -> int:
        return self.file_bytes + max(self.pack_bytes - self.pull_pack_bytes, 0)


def add_to_account(
    tx: Tx,
    account_id: AccountId,
    *,
    public: int,
    private: int,
    pulls: int,
    pending: int,
    attachments: int,
    repositories: int,
) -> tuple[Usage, Quota, SiteLimits]:
    """Change the counters of one account; returns them as they are now, with what it may use."""
    values = {
        "of_account": account_id,
        "d_public": public,
        "d_private": private,
        "d_pulls": pulls,
        "d_pending": pending,
        "d_attachments": attachments,
        "d_used": public + private + pulls + pending + attachments,
        "d_repositories": repositories,
    }
    row = tx.execute(_ADD_TO_ACCOUNT, values).first()
    if row is None:
        tx.execute(insert(account_usage).values(account_id=account_id))
        row = tx.execute(_ADD_TO_ACCOUNT, values).first()
    usage, own = Usage.from_row(row), Limits(row.max_bytes, row.max_private_bytes, row.max_repositories)
    default = SiteLimits.from_facts(row.in_force)
    return usage, Quota(usage, own, own.over(default.limits)), default


def add_to_repository(
    tx: Tx, repo_id: RepoId, *, files: int, packs: int, pull_packs: int
) -> tuple[RepositoryUsage, int] | None:
    """Change the counters of one repository; returns them, and by how much its owner's charge grew. None: it is deleted."""
    values = {
        "of_repo": repo_id,
        "d_files": files,
        "d_packs": packs,
        "d_pull_packs": pull_packs,
    }
    row = tx.execute(_ADD_TO_REPOSITORY, values).first()
    if row is None:
        if not _insert_usage(tx, repo_id):
            return None
        row = tx.execute(_ADD_TO_REPOSITORY, values).first()
    now = RepositoryUsage(*row)
    before = RepositoryUsage(
        now.owner_id,
        now.is_private,
        now.file_bytes - files,
        now.pack_bytes - packs,
        now.pull_pack_bytes - pull_packs,
    )
    return now, now.used_bytes - before.used_bytes


def _insert_usage(tx: Tx, repo_id: RepoId) -> bool:
    query = select(repository.c.owner_id, repository.c.is_private)
    found = tx.execute(query.where(repository.c.id == repo_id, repository.c.deleted_at.is_(None))).first()
    if found is None:
        return False
    tx.execute(insert(repository_usage).values(repo_id=repo_id, owner_id=found.owner_id, is_private=found.is_private))
    return True


def insert_repository(tx: Tx, repo_id: RepoId, owner_id: AccountId, *, is_private: bool) -> None:
    tx.execute(insert(repository_usage).values(repo_id=repo_id, owner_id=owner_id, is_private=is_private))


def find_repository(tx: Tx, repo_id: RepoId) -> RepositoryUsage | None:
    query = select(_of.owner_id, _of.is_private, _of.file_bytes, _of.pack_bytes, _of.pull_pack_bytes)
    row = tx.execute(query.where(_of.repo_id == repo_id)).first()
    return None if row is None else RepositoryUsage(*row)


def update_repository(tx: Tx, repo_id: RepoId, **values: Any) -> None:
    tx.execute(update(repository_usage).where(_of.repo_id == repo_id).values(**values))


def delete_repository(tx: Tx, repo_id: RepoId) -> None:
    tx.execute(delete(pull_usage).where(pull_usage.c.repo_id == repo_id))
    tx.execute(delete(repository_usage).where(_of.repo_id == repo_id))


def add_to_pull(tx: Tx, repo_id: RepoId, num: int, *, files: int, packs: int) -> AccountId | None:
    """Change what a pull request is charged with; returns to whom. None: its repository is deleted."""
    at = (pull_usage.c.repo_id == repo_id) & (pull_usage.c.num == num)
    row = tx.execute(
        update(pull_usage)
        .where(at)
        .values(file_bytes=pull_usage.c.file_bytes + files, pack_bytes=pull_usage.c.pack_bytes + packs)
        .returning(pull_usage.c.account_id)
    ).first()
    if row is not None:
        return AccountId(row.account_id)
    payer = find_author(tx, repo_id, num)
    if payer is not None:
        tx.execute(
            insert(pull_usage).values(repo_id=repo_id, num=num, account_id=payer, file_bytes=files, pack_bytes=packs)
        )
    return payer


def find_author(tx: Tx, repo_id: RepoId, num: int) -> AccountId | None:
    """Who opened a pull request; the repository's owner when there is none of that number."""
    author = select(discussion.c.author_id).where(discussion.c.repo_id == repo_id, discussion.c.num == num)
    owner = select(repository.c.owner_id).where(repository.c.id == repo_id, repository.c.deleted_at.is_(None))
    found = tx.execute(owner).scalar()
    if found is None:
        return None
    return AccountId(tx.execute(author).scalar() or found)


def list_pulls(tx: Tx, repo_id: RepoId) -> list[Any]:
    return list(tx.execute(select(pull_usage).where(pull_usage.c.repo_id == repo_id)))


def delete_pull(tx: Tx, repo_id: RepoId, num: int) -> None:
    tx.execute(delete(pull_usage).where(pull_usage.c.repo_id == repo_id, pull_usage.c.num == num))


def sum_rights(tx: Tx, repo_id: RepoId) -> dict[int, int]:
    """Bytes of the large files that a repository may read: by its own right (0), and only through pull request N."""
    own = file_right.alias("own")
    is_own = (
        select(own.c.sha256)
        .where(own.c.repo_id == file_right.c.repo_id, own.c.sha256 == file_right.c.sha256, own.c.pull == 0)
        .exists()
    )
    query = (
        select(file_right.c.pull, func.sum(blob.c.size_bytes).label("n"))
        .join(blob, blob.c.sha256 == file_right.c.sha256)
        .where(file_right.c.repo_id == repo_id, (file_right.c.pull == 0) | ~is_own)
        .group_by(file_right.c.pull)
    )
    return {row.pull: int(row.n) for row in tx.execute(query)}


def sum_packs(tx: Tx, repo_id: RepoId) -> int:
    query = select(func.coalesce(func.sum(pack.c.size_bytes), 0))
    return int(tx.execute(query.where(pack.c.repo_id == repo_id, pack.c.retired_at.is_(None))).scalar_one())


def delete_pull_rights(tx: Tx, repo_id: RepoId, digests: Sequence[Sha256]) -> None:
    """Rights through pull requests to what is the repository's own by now."""
    for at in range(0, len(digests), BATCH):
        part = digests[at : at + BATCH]
        tx.execute(
            delete(file_right).where(
                file_right.c.repo_id == repo_id, file_right.c.sha256.in_(part), file_right.c.pull != 0
            )
        )


def delete_claims(
    tx: Tx, repo_id: RepoId, digests: Iterable[Sha256] | None = None
) -> list[tuple[AccountId | None, str]]:
    """Claims to these (None: all) digests of one repository; returns who was charged for each, and the digest."""
    gone: list[tuple[AccountId | None, str]] = []
    of_repo = delete(upload_claim).where(upload_claim.c.repo_id == repo_id)
    query = of_repo.returning(upload_claim.c.charged_to, upload_claim.c.sha256)
    if digests is None:
        return [(row.charged_to, row.sha256) for row in tx.execute(query)]
    whole = list(digests)
    for at in range(0, len(whole), BATCH):
        rows = tx.execute(query.where(upload_claim.c.sha256.in_(whole[at : at + BATCH])))
        gone += [(row.charged_to, row.sha256) for row in rows]
    return gone


def find_sizes(tx: Tx, digests: Iterable[str]) -> dict[str, int]:
    """Sizes of blobs in any state."""
    whole, found = list(dict.fromkeys(digests)), {}
    for at in range(0, len(whole), BATCH):
        query = select(blob.c.sha256, blob.c.size_bytes).where(blob.c.sha256.in_(whole[at : at + BATCH]))
        found.update({row.sha256: int(row.size_bytes) for row in tx.execute(query)})
    return found


def find_quota(tx: Tx, account_id: AccountId) -> Quota:
    row = tx.execute(select(account_usage).where(_used.account_id == account_id)).first()
    default = find_default(tx)[0].limits
    if row is None:
        return Quota(Usage(), Limits(), Limits().over(default))
    own = Limits(row.max_bytes, row.max_private_bytes, row.max_repositories)
    usage = Usage.from_row(row)
    return Quota(usage, own, own.over(default))


def put_limits(tx: Tx, account_id: AccountId, limits: Limits) -> None:
    changed = tx.execute(update(account_usage).where(_used.account_id == account_id).values(**limits.to_facts()))
    if not changed.rowcount:
        tx.execute(insert(account_usage).values(account_id=account_id, **limits.to_facts()))


def find_default(tx: Tx) -> tuple[SiteLimits, SiteLimits, SiteLimits]:
    """What is in force for the site, what its configuration says, and what an administrator chose over it."""
    row = tx.execute(select(quota_default).where(quota_default.c.id == _DEFAULT_ID)).first()
    if row is None:
        return SiteLimits(), SiteLimits(), SiteLimits()
    return (
        SiteLimits.from_facts(row.in_force),
        SiteLimits.from_facts(row.configured),
        SiteLimits.from_facts(row.chosen),
    )


def put_default(tx: Tx, configured: SiteLimits, chosen: SiteLimits) -> None:
    waiting = configured.max_waiting_bytes if chosen.max_waiting_bytes is None else chosen.max_waiting_bytes
    force = SiteLimits(chosen.limits.over(configured.limits), None if waiting is None or waiting < 0 else waiting)
    values = {"configured": configured.to_facts(), "chosen": chosen.to_facts(), "in_force": force.to_facts()}
    changed = tx.execute(update(quota_default).where(quota_default.c.id == _DEFAULT_ID).values(**values))
    if not changed.rowcount:
        tx.execute(insert(quota_default).values(id=_DEFAULT_ID, **values))


def name_of(tx: Tx, account_id: AccountId) -> str:
    found = accounts.get_accounts(tx, [account_id]).get(account_id)
    return "The account" if found is None else found.name


def find_row(tx: Tx, repo_id: RepoId) -> Any:
    """A repository that is not deleted."""
    return tx.execute(select(repository).where(repository.c.id == repo_id, repository.c.deleted_at.is_(None))).first()


def move_charges(tx: Tx, repo_id: RepoId, old: AccountId, new: AccountId) -> int:
    """Uploads to a repository that its owner pays for are the new owner's; returns their bytes."""
    total = 0
    claims = (upload_claim.c.repo_id == repo_id) & (upload_claim.c.charged_to == old)
    query = select(func.coalesce(func.sum(blob.c.size_bytes), 0)).join(
        upload_claim, upload_claim.c.sha256 == blob.c.sha256
    )
    total += int(tx.execute(query.where(claims)).scalar_one())
    tx.execute(update(upload_claim).where(claims).values(charged_to=new))
    sessions = (upload_session.c.repo_id == repo_id) & (upload_session.c.charged_to == old)
    total += int(
        tx.execute(select(func.coalesce(func.sum(upload_session.c.size_bytes), 0)).where(sessions)).scalar_one()
    )
    tx.execute(update(upload_session).where(sessions).values(charged_to=new))
    return total


def find_sizes_among(tx: Tx, repo_id: RepoId, sizes: Iterable[int]) -> set[int]:
    """Those of these sizes that a large file of the repository has."""
    whole, found = list(sizes), set()
    for at in range(0, len(whole), BATCH):
        query = select(blob.c.size_bytes).join(file_right, file_right.c.sha256 == blob.c.sha256)
        query = query.where(file_right.c.repo_id == repo_id, blob.c.size_bytes.in_(whole[at : at + BATCH]))
        found.update(tx.execute(query.distinct()).scalars())
    return found

"""Charging: one ``Bill`` gathers what a transaction changes, ``settle`` changes the counters and refuses what is too much.

The counters are changed in the transaction that changes what they count, so that two acts at the limit can never both
pass. What is given back and what is taken anew in one act is netted before it is judged: a commit that names an upload only
turns one kind of charge into another. An act that grows nothing is never refused, however full its payer is.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from headwater import accounts
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub.access import from_row
from headwater.hub.quotas import store
from headwater.hub.quotas.errors import QuotaExceeded, TooManyRepositories, size
from headwater.hub.quotas.models import Limits, Quota, SiteLimits, Usage
from headwater.kernel import AccountId, Actor, RepoId, Sha256


@dataclass
class _Account:
    public: int = 0
    private: int = 0
    pulls: int = 0
    pending: int = 0
    attachments: int = 0
    repositories: int = 0
    waiting: int = 0  # of pending, what is charged to one who may not write there


class Bill:
    """What one transaction changes. Nothing is written before ``settle``."""

    def __init__(self) -> None:
        self._accounts: dict[AccountId, _Account] = defaultdict(_Account)
        self._repositories: dict[RepoId, list[int]] = {}
        self._pulls: dict[tuple[RepoId, int], list[int]] = {}

    def repository(self, repo_id: RepoId, *, files: int = 0, packs: int = 0) -> None:
        """Bytes of large files by its own right, and of its packs, whoever pays for them."""
        change = self._repositories.setdefault(repo_id, [0, 0, 0])
        change[0] += files
        change[1] += packs

    def pull(self, repo_id: RepoId, num: int, *, files: int = 0, packs: int = 0) -> None:
        """What a pull request that is not merged brings. Its packs are the repository's too: ``repository`` counts them."""
        change = self._pulls.setdefault((repo_id, num), [0, 0])
        change[0] += files
        change[1] += packs
        if packs:
            self._repositories.setdefault(repo_id, [0, 0, 0])[2] += packs

    def pending(self, account_id: AccountId | None, n_bytes: int, *, is_guest: bool = False) -> None:
        """Bytes that wait for a commit; nothing when nobody is charged for them."""
        if account_id is not None:
            self._accounts[account_id].pending += n_bytes
            if is_guest:
                self._accounts[account_id].waiting += n_bytes

    def attached(self, account_id: AccountId, n_bytes: int) -> None:
        """Pictures in comments."""
        self._accounts[account_id].attachments += n_bytes

    def moved(
        self, account_id: AccountId, *, public: int = 0, private: int = 0, pulls: int = 0, repositories: int = 0
    ) -> None:
        """A whole repository comes or goes, with its pull requests."""
        account = self._accounts[account_id]
        account.public += public
        account.private += private
        account.pulls += pulls
        account.repositories += repositories

    def settle(self, tx: Tx, *, check: bool = True) -> None:
        """Write it all down; accounts in the order of their ids, so that two acts never wait for each other.

        Raises:
            QuotaExceeded, TooManyRepositories: an account would grow beyond what it may use (not with ``check`` False).
        """
        for repo_id, (files, packs, pull_packs) in self._repositories.items():
            if files or packs or pull_packs:
                found = store.add_to_repository(tx, repo_id, files=files, packs=packs, pull_packs=pull_packs)
                if found is not None:
                    usage, grown = found
                    account = self._accounts[usage.owner_id]
                    if usage.is_private:
                        account.private += grown
                    else:
                        account.public += grown
        for (repo_id, num), (files, packs) in self._pulls.items():
            if files or packs:
                payer = store.add_to_pull(tx, repo_id, num, files=files, packs=packs)
                if payer is not None:
                    self._accounts[payer].pulls += files + packs
        for account_id in sorted(self._accounts):
            change = self._accounts[account_id]
            if change != _Account():
                _settle_account(tx, account_id, change, check=check)
        self._accounts.clear()
        self._repositories.clear()
        self._pulls.clear()


def _settle_account(tx: Tx, account_id: AccountId, change: _Account, *, check: bool) -> None:
    usage, quota, default = store.add_to_account(
        tx,
        account_id,
        public=change.public,
        private=change.private,
        pulls=change.pulls,
        pending=change.pending,
        attachments=change.attachments,
        repositories=change.repositories,
    )
    if not check:
        return
    grown = change.public + change.private + change.pulls + change.pending + change.attachments
    limits = quota.limits
    if grown > 0 and limits.max_bytes is not None and usage.used_bytes > limits.max_bytes:
        raise QuotaExceeded(store.name_of(tx, account_id), "storage", limits.max_bytes, usage.used_bytes)
    most = limits.max_private_bytes
    if change.private > 0 and most is not None and usage.private_bytes > most:
        raise QuotaExceeded(store.name_of(tx, account_id), "private storage", most, usage.private_bytes)
    if (
        change.repositories > 0
        and limits.max_repositories is not None
        and usage.n_repositories > limits.max_repositories
    ):
        raise TooManyRepositories(store.name_of(tx, account_id), limits.max_repositories)
    _judge_waiting(tx, account_id, change, quota, default)


def _judge_waiting(tx: Tx, account_id: AccountId, change: _Account, quota: Quota, default: SiteLimits) -> None:
    most = default.max_waiting_bytes
    if change.waiting > 0 and most is not None and quota.usage.pending_bytes > most:
        what = "uploads that wait for a commit to repositories of others"
        raise QuotaExceeded(store.name_of(tx, account_id), what, most, quota.usage.pending_bytes)


# ---- repositories


def open_repository(tx: Tx, repo_id: RepoId, owner_id: AccountId, *, is_private: bool) -> None:
    """A repository was made.

    Raises:
        TooManyRepositories
    """
    store.insert_repository(tx, repo_id, owner_id, is_private=is_private)
    bill = Bill()
    bill.moved(owner_id, repositories=1)
    bill.settle(tx)


def close_repository(tx: Tx, repo_id: RepoId) -> None:
    """A repository was deleted: its owner, authors of its pull requests and those who uploaded to it get all back."""
    usage, bill = _usage_of(tx, repo_id), Bill()
    if usage is None:
        return
    for each in store.list_pulls(tx, repo_id):
        bill.moved(AccountId(each.account_id), pulls=-each.file_bytes - each.pack_bytes)
    refund_claims(tx, bill, store.delete_claims(tx, repo_id))
    bill.moved(usage.owner_id, **_side(usage, -usage.used_bytes), repositories=-1)
    store.delete_repository(tx, repo_id)
    bill.settle(tx)


def move_repository(tx: Tx, repo_id: RepoId, owner_id: AccountId) -> None:
    """A repository gets another owner, who pays from now on, also for uploads to it.

    Raises:
        QuotaExceeded, TooManyRepositories: the new owner has no room for it.
    """
    usage = _usage_of(tx, repo_id)
    if usage is None or usage.owner_id == owner_id:
        return
    bill = Bill()
    bill.moved(usage.owner_id, **_side(usage, -usage.used_bytes), repositories=-1)
    bill.moved(owner_id, **_side(usage, usage.used_bytes), repositories=1)
    waiting = store.move_charges(tx, repo_id, usage.owner_id, owner_id)
    bill.pending(usage.owner_id, -waiting)
    bill.pending(owner_id, waiting)
    store.update_repository(tx, repo_id, owner_id=owner_id)
    bill.settle(tx)


def set_visibility(tx: Tx, repo_id: RepoId, *, is_private: bool) -> None:
    """Raises: QuotaExceeded: there is no room for it among the owner's private bytes."""
    usage = _usage_of(tx, repo_id)
    if usage is None or usage.is_private == is_private:
        return
    n_bytes, bill = usage.used_bytes, Bill()
    sign = 1 if is_private else -1
    bill.moved(usage.owner_id, private=sign * n_bytes, public=-sign * n_bytes)
    store.update_repository(tx, repo_id, is_private=is_private)
    bill.settle(tx)


def recount_packs(tx: Tx, repo_id: RepoId) -> None:
    """Packs were merged or pruned; what authors of pull requests brought stays theirs as far as it is there."""
    usage = _usage_of(tx, repo_id)
    if usage is not None:
        bill = Bill()
        bill.repository(repo_id, packs=store.sum_packs(tx, repo_id) - usage.pack_bytes)
        bill.settle(tx, check=False)


def _usage_of(tx: Tx, repo_id: RepoId) -> store.RepositoryUsage | None:
    """Its counters, made now if nobody was charged for it yet; None when it is deleted."""
    found = store.add_to_repository(tx, repo_id, files=0, packs=0, pull_packs=0)
    return None if found is None else found[0]


def _side(usage: store.RepositoryUsage, n_bytes: int) -> dict[str, int]:
    return {"private" if usage.is_private else "public": n_bytes}


# ---- large files


@contextmanager
def rights_changing(tx: Tx, repo_id: RepoId, *, merged: int = 0) -> Iterator[None]:
    """Around any change of a repository's rights: what its payers are charged becomes what the rights then say.

    For rare acts, as it adds up all rights of the repository twice. ``merged`` is the number of a pull request that the
    repository takes over, packs and all.

    Raises:
        QuotaExceeded: the repository's owner has no room for what it takes over.
    """
    before = store.sum_rights(tx, repo_id)
    yield
    after, bill = store.sum_rights(tx, repo_id), Bill()
    for pull in before.keys() | after.keys():
        grown = after.get(pull, 0) - before.get(pull, 0)
        if pull == 0:
            bill.repository(repo_id, files=grown)
        else:
            bill.pull(repo_id, pull, files=grown)
    if merged:
        for each in store.list_pulls(tx, repo_id):
            if each.num == merged:
                bill.pull(repo_id, merged, packs=-each.pack_bytes)
    bill.settle(tx)
    if merged:
        store.delete_pull(tx, repo_id, merged)


def grant(
    tx: Tx,
    bill: Bill,
    repo_id: RepoId,
    digests: Iterable[Sha256],
    rights: Mapping[Sha256, set[int]],
    sizes: Mapping[Sha256, int],
    *,
    pull: int,
) -> None:
    """A repository (or pull request) gets the right to digests that it had not; claims to them have served their turn.

    ``rights`` are those before, of any pull request.
    """
    new = list(digests)
    for digest in new:
        if pull:
            bill.pull(repo_id, pull, files=sizes[digest])
            continue
        bill.repository(repo_id, files=sizes[digest])
        for other in rights.get(digest, ()):
            bill.pull(repo_id, other, files=-sizes[digest])
    if pull == 0:
        store.delete_pull_rights(tx, repo_id, [d for d in new if rights.get(d)])
    refund_claims(tx, bill, store.delete_claims(tx, repo_id, new), sizes)


def refund_claims(
    tx: Tx, bill: Bill, claims: Iterable[tuple[AccountId | None, str]], sizes: Mapping[Sha256, int] | None = None
) -> None:
    """Give back what uploads were charged with."""
    charged = [(account_id, sha256) for account_id, sha256 in claims if account_id is not None]
    known = store.find_sizes(tx, {sha256 for _, sha256 in charged}) if sizes is None else sizes
    for account_id, sha256 in charged:
        bill.pending(account_id, -known[sha256])  # type: ignore[index]


@dataclass(frozen=True)
class Payer:
    """Who pays for an upload: the repository's owner if its sender may write there, else the sender, as a guest."""

    account_id: AccountId
    is_guest: bool


def payer_of(tx: Tx, actor: Actor, repo_id: RepoId) -> Payer | None:
    """None: the repository is deleted, or nobody acts."""
    row = store.find_row(tx, repo_id)
    if row is None:
        return None
    repo = from_row(row)
    if accounts.allows(tx, actor, Action.WRITE, on=repo.resource) or actor.account_id is None:
        return Payer(repo.owner_id, is_guest=False)
    return Payer(actor.account_id, is_guest=True)


# ---- room, before the bytes come


class Room:
    """How much its payer may still bring to one repository; ``take`` keeps count over several files."""

    def __init__(self, name: str, quota: Quota, *, is_private: bool, max_waiting_bytes: int | None) -> None:
        self._name, self._quota = name, quota
        lefts = [quota.left_for(is_private=is_private)]
        if max_waiting_bytes is not None:
            lefts.append(max(max_waiting_bytes - quota.usage.pending_bytes, 0))
        self.left_bytes = min((left for left in lefts if left is not None), default=None)

    def take(self, size_bytes: int) -> str | None:
        """Take room for one file; why not, when there is none."""
        if self.left_bytes is None:
            return None
        if size_bytes > self.left_bytes:
            return (
                f"{self._name} has room for {size(self.left_bytes)} more here, and this file has {size(size_bytes)}. "
                "Free some (Settings, Storage shows what takes how much), or ask an administrator of this site for more."
            )
        self.left_bytes -= size_bytes
        return None


def find_room(tx: Tx, actor: Actor, repo_id: RepoId) -> Room:
    """What ``actor`` may still upload to a repository: a look ahead, the commit decides."""
    payer, row = payer_of(tx, actor, repo_id), store.find_row(tx, repo_id)
    if payer is None or row is None:
        return Room("", Quota(Usage(), Limits(), Limits()), is_private=False, max_waiting_bytes=None)
    quota, waiting = store.find_quota(tx, payer.account_id), None
    if payer.is_guest:
        waiting = store.find_default(tx)[0].max_waiting_bytes
    name = store.name_of(tx, payer.account_id)
    return Room(name, quota, is_private=row.is_private and not payer.is_guest, max_waiting_bytes=waiting)


def require_room(tx: Tx, actor: Actor, repo_id: RepoId, sizes: Iterable[int] = ()) -> None:
    """Return unless it is plain already that nothing, or not all large files of these sizes, will find room.

    What waits for a commit does not count here: perhaps it is just what the next commit will name. Nor does a file as large
    as one that the repository has: perhaps it is the same.

    Raises:
        QuotaExceeded
    """
    payer = payer_of(tx, actor, repo_id)
    if payer is None:
        return
    quota = store.find_quota(tx, payer.account_id)
    most, used = quota.limits.max_bytes, quota.usage.used_bytes - quota.usage.pending_bytes
    if most is None:
        return
    new = set(sizes)
    if used + sum(new) > most:
        new -= store.find_sizes_among(tx, repo_id, new)
    if used >= most or used + sum(new) > most:
        raise QuotaExceeded(store.name_of(tx, payer.account_id), "storage", most, used + max(sum(new), 1))

"""Pull requests whose commits reached their branch by a push: they are merged, though nobody pressed the button.

Whether a commit is in a branch is git's to say, so it is asked by a job after the push, never in its transaction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, or_, select

from headwater import accounts, ledger, queue
from headwater.accounts import Action
from headwater.db import Tx, prepared
from headwater.hub.access import get_repository_by_id
from headwater.hub.community import webhooks
from headwater.hub.community.models import Discussion, EventKind, Status
from headwater.hub.community.store import discussions as store
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.events import MARK_MERGED
from headwater.hub.tables.community import discussion
from headwater.kernel import SYSTEM, AccountId, Actor, CommitId, RepoId, utcnow
from headwater.web import Site

MAX_LOOKED_AT = 500

_LIVE = prepared(
    select(discussion.c.num)
    .where(
        discussion.c.repo_id == bindparam("repo_id"),
        discussion.c.base_ref == bindparam("base_ref"),
        or_(*(discussion.c.status == status.value for status in Status if status.is_live)),
    )
    .order_by(discussion.c.num.desc())
    .limit(bindparam("most"))
)


def look_later(tx: Tx, actor: Actor, repo_id: RepoId, ref: str, old: CommitId | None, now: datetime) -> None:
    """In the transaction that moves a branch: queue the job if a pull request waits for that branch."""
    if tx.execute(_LIVE, {"repo_id": repo_id, "base_ref": ref, "most": 1}).first() is not None:
        payload = {"repo_id": repo_id, "ref": ref, "old": old, "by": actor.account_id}
        queue.put(tx, MARK_MERGED, payload, unique=f"{repo_id}:{ref}", now=now)


def mark_merged(site: Site, payload: dict[str, Any]) -> None:
    """Job: mark as merged every live pull request whose last commit the branch holds by now."""
    from headwater.hub.git import GitStore

    repo_id, ref = RepoId(payload["repo_id"]), payload["ref"]
    waiting = site.db.read(_list_waiting, repo_id, ref)
    if not waiting:
        return
    try:
        with site.part(GitStore).open(repo_id) as snap:
            tip = snap.refs.get(ref)
            for found in waiting:
                head = snap.refs.get(found.ref)
                if tip is None or head is None or head == found.start_commit or not snap.has_object(head):
                    continue
                if snap.merge_base(head, tip) != head:
                    continue
                old = payload["old"]  # what the branch was before it got them, so that the page can show them
                is_before = old is not None and snap.has_object(old) and snap.merge_base(head, old) != head
                base = CommitId(old) if is_before else found.start_commit
                site.db.write(_mark, repo_id, found.num, CommitId(head), base, CommitId(tip), payload["by"], utcnow())
    except RepositoryNotFound:
        return


def _list_waiting(tx: Tx, repo_id: RepoId, ref: str) -> list[Discussion]:
    numbers = [row[0] for row in tx.execute(_LIVE, {"repo_id": repo_id, "base_ref": ref, "most": MAX_LOOKED_AT})]
    return [found for num in numbers if (found := store.find_discussion(tx, repo_id, num)) is not None]


def _mark(
    tx: Tx,
    repo_id: RepoId,
    num: int,
    head: CommitId,
    base: CommitId | None,
    tip: CommitId,
    by: int | None,
    now: datetime,
) -> None:
    """Unless somebody closed it, merged it or pushed to it meanwhile."""
    repo = get_repository_by_id(tx, SYSTEM, repo_id, Action.READ)
    found = store.find_discussion(tx, repo_id, num)
    if found is None or not found.status.is_live or store.find_ref(tx, repo_id, found.ref) != head:
        return
    account_id = AccountId(by) if by is not None else found.author_id
    data = {"status": Status.MERGED.value}
    store.insert_event(tx, found.id, EventKind.STATUS_CHANGE, account_id, data=data, now=now)
    found = store.update_discussion(
        tx, found.id, status=Status.MERGED.value, merged_base=base, merge_commit=tip, now=now
    )
    store.promote_rights(tx, repo_id, num)
    webhooks.announce(tx, repo, "update", "discussion", now=now, discussion=found)
    actor = Actor(account_id, accounts.get_accounts(tx, {account_id})[account_id].name)
    facts = {"head": head, "base": base, "merge": tip}
    ledger.record(
        tx,
        actor,
        "pull.merged",
        f"{repo.path}#{num}",
        facts,
        private=repo.is_private,
        repo_id=repo_id,
        owner_id=repo.owner_id,
        now=now,
    )

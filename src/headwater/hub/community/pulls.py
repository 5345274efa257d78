"""Pull requests: their refs, who may push to them, what they change, and merging.

A pull request is a discussion with a ref, ``refs/pr/N``, that begins where its branch stands. Its commits live in the
repository's own store; large files pushed to it belong to the pull request alone until the merge.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from headwater import accounts, ledger
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub.community import webhooks
from headwater.hub.community.discussions import (
    MAX_EVENTS,
    append_comment,
    author_of,
    check_body,
    check_title,
    get_for,
    make_title,
    record_opening,
    require_room,
)
from headwater.hub.community.errors import (
    BadField,
    BranchBusy,
    DiscussionNotFound,
    MergeConflict,
    NothingToMerge,
    PullNotWritable,
    StatusRefused,
)
from headwater.hub.community.models import Discussion, Event, EventKind, Status
from headwater.hub.community.store import discussions as store
from headwater.hub.errors import HeadMoved, RepositoryNotFound, RevisionNotFound
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import Actor, CommitId
from headwater.web import Site

if TYPE_CHECKING:
    from headwater.hub.git import CommitInfo, Diff, Snapshot

BRANCHES = "refs/heads/"
PULLS = "refs/pr/"
MERGE_TRIES = 5
MAX_COMMITS_SHOWN = 250


@dataclass(frozen=True)
class Changes:
    """What git knows of a pull request. ``base`` is None when its branch is gone; ``commits`` are newest first."""

    base: CommitId | None
    head: CommitId
    merge_base: CommitId | None
    commits: tuple[CommitInfo, ...]
    conflicts: tuple[str, ...]
    diff: Diff | None

    @property
    def is_empty(self) -> bool:
        return not self.commits


def create_pull_request(
    tx: Tx,
    actor: Actor,
    repo: Repository,
    *,
    title: str,
    description: str = "",
    base: str | None = None,
    status: Status = Status.OPEN,
    now: datetime,
) -> Discussion:
    """Open a pull request whose ref starts where the branch ``base`` (None: the default one) stands.

    A title too short or too long is made to fit, since it may be a commit's first line. Whoever may discuss may open one, strangers on public repositories too. Commit to ``result.ref`` afterwards, with
    ``old`` = ``result.start_commit``. Everything of the commit that can be refused should be checked before this.

    Raises:
        RevisionNotFound: ``base`` is no branch; a commit id or a tag is none.
    """
    accounts.require(tx, actor, Action.DISCUSS, on=repo.resource)
    require_room(tx, actor, repo)
    base_ref = branch_ref(base or repo.default_branch)
    start = store.find_ref(tx, repo.id, base_ref)
    if start is None:
        raise RevisionNotFound(base or repo.default_branch)
    title, description = make_title(title), check_body(description)
    discussion = store.insert_discussion(
        tx,
        repo.id,
        title=title,
        is_pull=True,
        status=status,
        author_id=author_of(actor),
        base_ref=base_ref,
        start_commit=start,
        now=now,
    )
    store.insert_pull_ref(tx, repo.id, discussion.ref, start, now=now)
    record_opening(tx, actor, repo, discussion, description, now=now)
    ledger.record(
        tx,
        actor,
        "ref.moved",
        repo.path,
        {"ref": discussion.ref, "old": None, "new": start},
        private=repo.is_private,
        repo_id=repo.id,
        owner_id=repo.owner_id,
        now=now,
    )
    return discussion


def open_pull_request(
    tx: Tx,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    *,
    title: str,
    body: str,
    base: str | None = None,
    now: datetime,
) -> tuple[Repository, Discussion]:
    """As ``create_pull_request``, by the repository's name, and as a draft: its commits are still to come.

    Raises:
        BadTitle: too short or too long.
    """
    from headwater.hub.access import get_repository

    repo = get_repository(tx, actor, kind, name, Action.DISCUSS)
    made = create_pull_request(
        tx, actor, repo, title=check_title(title), description=body, base=base, status=Status.DRAFT, now=now
    )
    return repo, made


def branch_ref(name: str) -> str:
    """The full name of a branch given short or full."""
    if name.startswith(BRANCHES):
        return name
    if name.startswith("refs/"):
        raise RevisionNotFound(name)
    return BRANCHES + name


def pull_number(ref: str) -> int | None:
    """N of ``refs/pr/N``, or None for any other ref."""
    digits = ref.removeprefix(PULLS)
    if digits == ref or not digits.isascii() or not digits.isdigit() or digits[0] == "0" or len(digits) > 9:
        return None
    return int(digits)


def may_write_pull(tx: Tx, actor: Actor, repo: Repository, num: int) -> bool:
    """Whether ``actor`` may move ``refs/pr/<num>``: its author, or a writer of the repository, while it is open."""
    try:
        require_pull_writable(tx, actor, repo, num)
    except (PullNotWritable, DiscussionNotFound, RepositoryNotFound, accounts.NotAllowed, accounts.NotSignedIn):
        return False
    return True


def require_pull_writable(tx: Tx, actor: Actor, repo: Repository, num: int) -> Discussion:
    """Return the pull request if ``actor`` may push to it.

    Raises:
        DiscussionNotFound: there is no pull request of that number; pushing makes none.
        PullNotWritable: it is closed or merged, or somebody else's.
    """
    try:
        accounts.require(tx, actor, Action.DISCUSS, on=repo.resource)
    except accounts.Hidden as exc:
        raise RepositoryNotFound from exc
    discussion = store.find_discussion(tx, repo.id, num)
    if discussion is None or not discussion.is_pull:
        raise DiscussionNotFound(num)
    if not discussion.status.is_live:
        raise PullNotWritable(num, f"the pull request is {discussion.status.value}. Open a new one, or reopen it.")
    if discussion.author_id != actor.account_id and not accounts.allows(tx, actor, Action.WRITE, on=repo.resource):
        raise PullNotWritable(num, "it is somebody else's. Open a pull request of your own.")
    return discussion


def pull_requests_moved(tx: Tx, actor: Actor, repo: Repository, moves: Iterable[Any], now: datetime) -> None:
    """Note in each pull request that commits were pushed to it; called in the transaction that moves the refs.

    Which commits those are is read from git when somebody looks: it is a pure function of ``old`` and ``new``.
    """
    for move in moves:
        num = pull_number(move.ref)
        if num is None or move.new is None or actor.account_id is None:
            continue
        discussion = store.find_discussion(tx, repo.id, num)
        if discussion is None or not discussion.is_pull or discussion.n_events >= MAX_EVENTS:
            continue
        store.insert_event(
            tx,
            discussion.id,
            EventKind.COMMIT,
            actor.account_id,
            data={"oid": move.new, "old": move.old or discussion.start_commit},
            now=now,
        )
        webhooks.announce(tx, repo, "update", "discussion", now=now, discussion=discussion)


def merge_pull_request(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    num: int,
    *,
    comment: str | None = None,
    now: datetime,
) -> Discussion:
    """Make a merge commit on the branch; only those who write to the repository may.

    When the branch moves meanwhile, the merge is made again on top of what is new.

    Raises:
        MergeConflict: both sides changed the same files; nothing is written.
        NothingToMerge, StatusRefused, BranchBusy: as they say.
    """
    from headwater.hub.gate.pushes import judge_merge
    from headwater.hub.git import GitStore, RefMove, merge_commit, publish
    from headwater.hub.repos.authors import author_of as sign_as

    author = sign_as(actor)
    for _ in range(MERGE_TRIES):
        repo, discussion = site.db.read(_get_mergeable, actor, kind, name, num)
        with site.part(GitStore).open(repo.id) as snap:
            base_ref = discussion.base_ref or f"{BRANCHES}{repo.default_branch}"
            base, head = _commit_at(snap, base_ref), _commit_at(snap, discussion.ref)
            if base is None:
                raise RevisionNotFound(base_ref.removeprefix(BRANCHES))
            if head is None:
                raise RevisionNotFound(discussion.ref)
            merged = merge_commit(
                snap,
                base,
                head,
                author_name=author.name,
                author_email=author.email,
                title=f"{discussion.title} (#{num})",
                body=_merge_message(snap, base, head),
                now=now,
            )
            if merged.conflicts:
                raise MergeConflict(num, merged.conflicts)
            if merged.built is None:
                raise NothingToMerge(num)
            target = merged.built.commit
            judged = judge_merge(site, actor, repo.id, snap, merged.built, head)
            finish = functools.partial(
                _record_merge, actor=actor, repo=repo, num=num, base=base, head=head, merge=target,
                comment=comment, now=now,
            )  # fmt: skip
            try:
                publish(
                    site,
                    actor,
                    repo.id,
                    [RefMove(base_ref, base, target)],
                    merged.built,
                    epoch=snap.prune_epoch,
                    now=now,
                    also=finish,
                    judged=judged,
                )
            except HeadMoved:
                continue
        return site.db.read(_get_pull, actor, kind, name, num)
    raise BranchBusy(base_ref.removeprefix(BRANCHES))


def read_changes(site: Site, repo: Repository, discussion: Discussion, *, with_diff: bool) -> Changes | None:
    """What a pull request would change, or changed; None for a discussion, or when its ref is gone.

    The caller has checked that the repository may be read.
    """
    from headwater.hub.git import GitStore
    from headwater.hub.git.merge import find_conflicts

    if not discussion.is_pull:
        return None
    with site.part(GitStore).open(repo.id) as snap:
        head = _commit_at(snap, discussion.ref)
        if head is None:
            return None
        if discussion.status is Status.MERGED:
            base = discussion.merged_base
        else:
            base = _commit_at(snap, discussion.base_ref or "")
        against = base or discussion.start_commit
        fork = None if against is None else snap.merge_base(against, head)
        commits = tuple(_commits_between(snap, against, head))
        conflicts: tuple[str, ...] = ()
        if discussion.status.is_live and base is not None and commits:
            conflicts = tuple(find_conflicts(snap, base, head))
        diff = snap.diff(fork, head) if with_diff else None
    return Changes(base, head, fork, commits, conflicts, diff)


def expand_commits(site: Site, repo: Repository, events: Iterable[Event]) -> dict[int, list[CommitInfo]]:
    """The commits that each "commit" event brought, oldest first, by the event's id."""
    from headwater.hub.git import GitStore

    pushes = [event for event in events if event.kind is EventKind.COMMIT]
    if not pushes:
        return {}
    with site.part(GitStore).open(repo.id) as snap:
        return {event.id: _commits_between(snap, event.data.get("old"), event.data["oid"])[::-1] for event in pushes}


def _commits_between(snap: Snapshot, known: str | None, head: str) -> list[CommitInfo]:
    """Commits of ``head`` that ``known`` lacks, newest first, a bounded number; nothing where objects were pruned."""
    if known == head or not snap.has_object(head):
        return []
    walk = snap.repo().walk(head)
    if known is not None and snap.has_object(known):
        walk.hide(known)
    return [snap.commit_info(str(commit.id)) for commit in itertools.islice(walk, MAX_COMMITS_SHOWN)]


def _commit_at(snap: Snapshot, ref: str) -> CommitId | None:
    oid = snap.refs.get(ref)
    return None if oid is None else CommitId(oid)


def _merge_message(snap: Snapshot, base: CommitId, head: CommitId) -> str:
    lines = [f"- {info.title} ({info.oid})" for info in reversed(_commits_between(snap, base, head)[:50])]
    return "\n".join(lines)


def _get_pull(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, num: int) -> Discussion:
    return get_for(tx, actor, kind, name, num, Action.READ)[1]


def _get_mergeable(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, num: int) -> tuple[Repository, Discussion]:
    repo, discussion = get_for(tx, actor, kind, name, num, Action.WRITE)
    require_mergeable(discussion)
    return repo, discussion


def require_mergeable(discussion: Discussion) -> None:
    """Return if it is a pull request out of draft, neither closed nor merged."""
    num = discussion.num
    if not discussion.is_pull:
        raise BadField("num", "the number of a pull request; this is a discussion")
    if discussion.status is Status.DRAFT:
        raise StatusRefused(f"Pull request {num} is a draft. Publish it (set its status to 'open'), then merge.")
    if discussion.status is not Status.OPEN:
        raise StatusRefused(f"Pull request {num} is {discussion.status.value}; only open ones are merged.")


def _record_merge(
    tx: Tx,
    *,
    actor: Actor,
    repo: Repository,
    num: int,
    base: CommitId,
    head: CommitId,
    merge: CommitId,
    comment: str | None,
    now: datetime,
) -> None:
    """Part of the merge's own transaction, so that a branch is never merged without its pull request knowing."""
    discussion = store.find_discussion(tx, repo.id, num)
    if discussion is None:
        raise DiscussionNotFound(num)
    require_mergeable(discussion)
    now_at = store.find_ref(tx, repo.id, discussion.ref)
    if now_at != head:
        raise HeadMoved(discussion.ref, now_at)
    if comment and comment.strip():
        append_comment(tx, discussion, author_of(actor), comment, now=now)
    data = {"status": Status.MERGED.value}
    store.insert_event(tx, discussion.id, EventKind.STATUS_CHANGE, author_of(actor), data=data, now=now)
    discussion = store.update_discussion(
        tx, discussion.id, status=Status.MERGED.value, merged_base=base, merge_commit=merge, now=now
    )
    store.promote_rights(tx, repo.id, num)
    webhooks.announce(tx, repo, "update", "discussion", now=now, discussion=discussion)
    ledger.record(
        tx,
        actor,
        "pull.merged",
        f"{repo.path}#{num}",
        {"head": head, "base": base, "merge": merge},
        private=repo.is_private,
        repo_id=repo.id,
        owner_id=repo.owner_id,
        now=now,
    )

"""Commits through the API: on a branch, on an open pull request, or as a new pull request.

The same act sent again is answered with the commit that it made the first time (storage rules, 5), so a client may retry
after a lost answer without leaving two commits.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub import access, community, files, gate
from headwater.hub.content.draft import Deleted, Draft, InlineFile, LargeFile
from headwater.hub.content.errors import NothingToDelete
from headwater.hub.content.reading import require_branch
from headwater.hub.errors import BlobNotStored, HeadMoved
from headwater.hub.events import RefMove
from headwater.hub.gate import Judged
from headwater.hub.git import (
    AddFile,
    AddPointer,
    DeleteFile,
    DeleteFolder,
    EntryKind,
    GitStore,
    Operation,
    Pointer,
    Snapshot,
    build_commit,
    is_retry_of,
    parse_pointer,
    publish,
)
from headwater.hub.git.errors import RepositoryPruned
from headwater.hub.git.pointers import MAX_POINTER_BYTES
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.repos import author_of
from headwater.kernel import Actor, CommitId, Sha256, utcnow
from headwater.web import Site

# When others commit to the same branch at the same moment: so many tries without waiting for them; the next ones stand in line,
# where only those are ahead of them who have just come.
FREE_TRIES, TRIES = 3, 20
_LINES = 16  # as many named locks, whatever the number of repositories


@dataclass(frozen=True)
class Committed:
    """``pull`` is the number of the pull request that was opened, if one was asked for."""

    repo: Repository
    commit: CommitId
    pull: int | None = None


def commit_draft(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    revision: str,
    draft: Draft,
    *,
    as_pull: bool = False,
    now: datetime | None = None,
) -> Committed:
    """Make one commit of ``draft``'s changes on top of a branch or pull request.

    Without a stated parent, a branch that moves meanwhile is followed and the changes applied to what is new. Where objects are
    pruned meanwhile the commit is built again.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed, PullNotWritable: not the actor's to write.
        RevisionNotFound: ``revision`` is no branch and no pull request.
        HeadMoved: the stated parent is not where the branch is.
        NothingToDelete, PathInTheWay, BadPath: the changes do not fit what is there.
        BlobNotStored, DeclaredSizeDiffers: a large file was not uploaded, or is another.
        FileRefused: a file lies about itself.
    """
    now = now or utcnow()
    action = Action.DISCUSS if as_pull or revision.startswith("refs/pr/") else Action.WRITE
    pull: int | None = None
    line = ""
    judged: Judged | None = None
    for attempt in range(TRIES):
        with ExitStack() as stack:
            if attempt >= FREE_TRIES:
                stack.enter_context(site.db.holding(line, exclusive=True))
            with site.db.reading() as tx:
                if attempt == 0:
                    repo, sizes = _prepare(tx, actor, kind, name, action, revision, draft, as_pull=as_pull)
                    line = f"commits-{repo.id % _LINES}"
                snap = stack.enter_context(site.part(GitStore).open(repo.id))
            ref = require_branch(snap, revision)
            head = CommitId(snap.refs[ref])
            operations = list(_operations(snap, head, draft, sizes))
            if as_pull:
                judged = _judge(site, actor, repo, draft)  # before the pull request is opened
                if draft.parent is not None and not head.startswith(draft.parent):
                    raise HeadMoved(ref, head)
                opened = site.db.write(
                    community.create_pull_request,
                    actor,
                    repo,
                    title=draft.title,
                    description=draft.body,
                    base=revision,
                    now=now,
                )
                as_pull, pull, revision = False, opened.num, opened.ref
                ref, head = opened.ref, opened.start_commit or head
            try:
                commit = _commit_once(site, actor, repo, snap, ref, head, operations, draft, now, judged)
            except (HeadMoved, RepositoryPruned) as exc:
                is_stated = draft.parent is not None and isinstance(exc, HeadMoved)
                if is_stated or attempt == TRIES - 1:
                    raise
                continue
        return Committed(repo, commit, pull)
    raise AssertionError("the loop ends by returning or raising")


def _commit_once(
    site: Site,
    actor: Actor,
    repo: Repository,
    snap: Snapshot,
    ref: str,
    head: CommitId,
    operations: Sequence[Operation],
    draft: Draft,
    now: datetime,
    judged: Judged | None,
) -> CommitId:
    author = author_of(actor)
    parent = head
    moved = draft.parent is not None and not head.startswith(draft.parent)
    if moved:
        # Perhaps this very commit, whose answer was lost: then its parent is the one that is stated.
        first_parent = next(iter(snap.commit_info(head).parents), None)
        if first_parent is None or not first_parent.startswith(draft.parent or "-"):
            raise HeadMoved(ref, head)
        parent = first_parent
    built = build_commit(
        snap,
        parent,
        operations,
        author_name=author.name,
        author_email=author.email,
        title=draft.title,
        body=draft.body,
        now=now,
    )
    if moved:
        if is_retry_of(snap, head, built):
            return head
        raise HeadMoved(ref, head)
    if not built.changed:
        return head
    move = RefMove(ref, head, built.commit)
    pull = community.pull_number(ref) or 0
    # Asked again in the transaction: it may have been merged or closed since.
    still = partial(community.require_pull_writable, actor=actor, repo=repo, num=pull) if pull else None
    publish(site, actor, repo.id, [move], built, epoch=snap.prune_epoch, now=now, also=still, pull=pull, judged=judged)
    return built.commit


def _judge(site: Site, actor: Actor, repo: Repository, draft: Draft) -> Judged:
    small, large = [], []
    for change in draft.changes:
        match change:
            case InlineFile(path, data):
                pointer = _pointer_in(data)
                if pointer is None:
                    small.append((path, data))
                else:  # which is what will be committed
                    large.append(gate.LargeFile(path, pointer.sha256))
            case LargeFile(path, sha256, _):
                large.append(gate.LargeFile(path, sha256))
    return gate.judge_incoming(site, actor, repo.id, (gate.small_file(path, data) for path, data in small), large)


def _pointer_in(data: bytes | Path) -> Pointer | None:
    if isinstance(data, Path):
        data = data.read_bytes() if data.stat().st_size <= MAX_POINTER_BYTES else b""
    return parse_pointer(data)


def _prepare(
    tx: Tx,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    action: Action,
    revision: str,
    draft: Draft,
    *,
    as_pull: bool,
) -> tuple[Repository, dict[Sha256, int]]:
    """Rights and sizes, in one snapshot. ``publish`` asks about rights on large files again, in its own transaction."""
    repo = access.get_repository(tx, actor, kind, name, action)
    num = community.pull_number(revision)
    if num is not None and not as_pull:
        community.require_pull_writable(tx, actor, repo, num)
    large = {c.sha256: c for c in draft.changes if isinstance(c, LargeFile)}
    if not large:
        return repo, {}
    sizes = files.blob_sizes(tx, large)
    for sha256, change in large.items():
        if sha256 not in sizes:
            raise BlobNotStored(sha256, change.path)
        if change.size_bytes is not None and change.size_bytes != sizes[sha256]:
            raise files.DeclaredSizeDiffers(sha256, change.size_bytes, sizes[sha256])
    if as_pull:  # all that can be refused is refused before the pull request is opened
        for missing in files.find_missing(tx, actor, repo.id, large):
            raise BlobNotStored(missing, large[missing].path)
    return repo, sizes


def _operations(snap: Snapshot, head: CommitId, draft: Draft, sizes: dict[Sha256, int]) -> Sequence[Operation]:
    operations: list[Operation] = []
    written: set[str] = set()
    for change in draft.changes:
        match change:
            case InlineFile(path, data):
                operations.append(AddFile(path, data))
                written.add(path)
            case LargeFile(path, sha256, _):
                operations.append(AddPointer(path, sha256, sizes[sha256]))
                written.add(path)
            case Deleted(path, is_folder):
                operations.append(_deletion(snap, head, path, is_folder=is_folder, is_new=path in written))
    return operations


def _deletion(snap: Snapshot, head: CommitId, path: str, *, is_folder: bool, is_new: bool) -> Operation:
    entry = snap.entry(head, path)
    if entry is None and not is_new:
        raise NothingToDelete(path, head)
    if entry is not None and entry.kind is EntryKind.DIRECTORY:
        return DeleteFolder(path)  # also when it was sent as a file: the public hub takes that, too
    if is_folder:
        raise NothingToDelete(f"{path}/", head)
    return DeleteFile(path)

"""Making, deleting and squashing branches and tags through the API."""

from __future__ import annotations

from datetime import datetime

from headwater import queue
from headwater.accounts import Action
from headwater.hub import community, git
from headwater.hub.content.errors import CannotDeleteBranch
from headwater.hub.content.reached import ReachedCommits
from headwater.hub.content.reading import open_revision, require_branch
from headwater.hub.errors import RefExists, RevisionNotFound
from headwater.hub.events import PRUNE_REPOSITORY, RefMove
from headwater.hub.gate import Judged
from headwater.hub.gate.pushes import find_promoted
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.names import check_ref
from headwater.hub.repos import author_of
from headwater.kernel import Actor, CommitId, utcnow
from headwater.web import Site

SQUASH_MESSAGE = "Super-squash branch {branch!r} using huggingface_hub"


def create_branch(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    branch: str,
    *,
    start: str | None = None,
    now: datetime | None = None,
) -> CommitId:
    """A new branch at ``start`` (the default branch when None).

    Raises:
        RefExists; BadName: git does not allow the name; RevisionNotFound: there is no such start.
    """
    return _create_ref(site, actor, kind, name, f"refs/heads/{branch}", start, now)


def create_tag(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    tag: str,
    *,
    revision: str | None = None,
    message: str | None = None,
    now: datetime | None = None,
) -> CommitId:
    """A new tag at ``revision``; with a message it is an annotated one.

    Raises:
        As ``create_branch``.
    """
    return _create_ref(site, actor, kind, name, f"refs/tags/{tag}", revision, now, message=message)


def delete_branch(
    site: Site, actor: Actor, kind: RepoKind, name: RepoName, branch: str, *, now: datetime | None = None
) -> None:
    """Raises: RevisionNotFound: there is none; CannotDeleteBranch: it is the default one."""
    _delete_ref(site, actor, kind, name, f"refs/heads/{branch}", now)


def delete_tag(
    site: Site, actor: Actor, kind: RepoKind, name: RepoName, tag: str, *, now: datetime | None = None
) -> None:
    """Raises: RevisionNotFound: there is none."""
    _delete_ref(site, actor, kind, name, f"refs/tags/{tag}", now)


def squash_branch(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    branch: str,
    *,
    message: str | None = None,
    now: datetime | None = None,
) -> CommitId:
    """Replace the history of a branch or pull request by one commit with the same tree.

    What no other ref reaches is pruned soon after, and what it used is given back.

    Raises:
        RevisionNotFound: there is no such branch.
        HeadMoved: somebody committed at the same moment.
    """
    now = now or utcnow()
    num = community.pull_number(branch)
    action = Action.WRITE if num is None else Action.DISCUSS
    with open_revision(site, actor, kind, name, None, action=action) as at:
        ref = require_branch(at.snap, branch)
        head = CommitId(at.snap.refs[ref])
        if num is not None:
            site.db.read(community.require_pull_writable, actor, at.repo, num)
        author = author_of(actor)
        title, _, body = (message or SQUASH_MESSAGE.format(branch=branch)).partition("\n")
        built = git.squash_commit(
            at.snap,
            head,
            author_name=author.name,
            author_email=author.email,
            title=title,
            body=body.strip(),
            now=now,
        )
        move = RefMove(ref, head, built.commit)
        git.publish(
            site,
            actor,
            at.repo.id,
            [move],
            built,
            epoch=at.snap.prune_epoch,
            now=now,
            pull=num or 0,
            frees=True,
            also=lambda tx: queue.put(tx, PRUNE_REPOSITORY, {"repo_id": at.repo.id}, unique=str(at.repo.id), now=now),
        )
    return built.commit


def _create_ref(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    ref: str,
    start: str | None,
    now: datetime | None,
    *,
    message: str | None = None,
) -> CommitId:
    now = now or utcnow()
    with open_revision(site, actor, kind, name, start, action=Action.WRITE) as at:
        check_ref(ref)
        if ref in at.snap.refs:
            raise RefExists(ref)
        pack: git.BuiltPack | None = None
        target = at.commit
        if message:
            author = author_of(actor)
            short = ref.removeprefix("refs/tags/")
            pack, target = git.build_tag(
                at.snap, at.commit, short, message, author_name=author.name, author_email=author.email, now=now
            )
        on_branch = site.part(ReachedCommits).is_on_branch(at.snap, at.commit)
        judged = None if on_branch else Judged(promoted=find_promoted(site, at.repo.id, at.snap, at.commit))
        git.publish(
            site,
            actor,
            at.repo.id,
            [RefMove(ref, None, target)],
            pack,
            epoch=at.snap.prune_epoch,
            now=now,
            judged=judged,
        )
        return at.commit


def _delete_ref(site: Site, actor: Actor, kind: RepoKind, name: RepoName, ref: str, now: datetime | None) -> None:
    with open_revision(site, actor, kind, name, None, action=Action.WRITE) as at:
        if ref == f"refs/heads/{at.repo.default_branch}":
            raise CannotDeleteBranch(ref)
        found = at.snap.refs.get(ref)
        if found is None:
            raise RevisionNotFound(ref.split("/", 2)[2])
        move = RefMove(ref, CommitId(found), None)
        git.publish(site, actor, at.repo.id, [move], None, epoch=at.snap.prune_epoch, now=now or utcnow())

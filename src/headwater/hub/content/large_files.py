"""The large files of one repository as its owners see them: list, delete for good, hand to another repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from headwater import accounts, ledger, queue
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub import access, files, gate
from headwater.hub.content.rewriting import rewrite_without
from headwater.hub.events import PRUNE_REPOSITORY, RefMove
from headwater.hub.files import RepoFile
from headwater.hub.git import GitStore, Snapshot, publish
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.tables.repositories import lfs_pointer
from headwater.kernel import Actor, CommitId, GitOid, Page, Sha256, utcnow
from headwater.web import Site

MAX_BRANCHES = 20
DIGESTS_IN_ONE_ENTRY = 800  # so that a leaf of the log names them itself


@dataclass(frozen=True)
class Place:
    """Where a large file is to be found now; ``ref`` None when no branch has it any more."""

    file: RepoFile
    path: str
    ref: str | None


def list_large_files(
    site: Site, actor: Actor, kind: RepoKind, name: RepoName, *, cursor: str | None, limit: int
) -> Page[Place]:
    """What the repository may read by its own right, newest first, each with a place where it stands.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed: for those who write to it.
    """

    def read(tx: Tx) -> tuple[Repository, Page[RepoFile]]:
        repo = access.get_repository(tx, actor, kind, name, Action.WRITE)
        return repo, files.repo_lfs_files(tx, repo.id, cursor=cursor, limit=limit)

    repo, page = site.db.read(read)
    with site.part(GitStore).open(repo.id) as snap:
        places = _places(snap, repo, {file.sha256 for file in page.items})
    shown = [Place(f, *places.get(f.sha256, (f.filename, None))) for f in page.items if f.pull == 0]
    return Page(shown, page.cursor)


def delete_large_files(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    digests: Sequence[Sha256],
    *,
    rewrite_history: bool,
    now: datetime | None = None,
) -> None:
    """Take the right to these files from the repository, for good, and (if asked) every trace out of its history.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed: for those who administer it.
        ProofNeeded: in a browser whose person has not shown for a while who they are.
        HeadMoved: somebody pushed at the same moment; nothing was done.
    """
    now = now or utcnow()

    def read(tx: Tx) -> tuple[Repository, set[GitOid]]:
        repo = access.get_repository(tx, actor, kind, name, Action.ADMIN)
        accounts.require_fresh(tx, actor, now=now)
        oids = tx.execute(select(lfs_pointer.c.oid).where(lfs_pointer.c.sha256.in_(digests))).scalars()
        return repo, {GitOid(oid) for oid in oids}

    repo, doomed = site.db.read(read)

    def forget(tx: Tx) -> None:
        here = access.get_repository_by_id(tx, actor, repo.id, Action.ADMIN)  # it may be private by now
        files.drop_rights(tx, here.id, digests)
        gone = sorted(digests)
        for start in range(0, max(1, len(gone)), DIGESTS_IN_ONE_ENTRY):
            ledger.record(
                tx,
                actor,
                "large_files.deleted",
                here.path,
                {"sha256": gone[start : start + DIGESTS_IN_ONE_ENTRY], "rewritten": rewrite_history},
                private=here.is_private,
                repo_id=here.id,
                owner_id=here.owner_id,
                now=now,
            )

    def rewritten_too(tx: Tx) -> None:
        queue.put(tx, PRUNE_REPOSITORY, {"repo_id": repo.id}, unique=str(repo.id), now=now)
        forget(tx)

    if not rewrite_history:
        site.db.write(forget)
        return
    with site.part(GitStore).open(repo.id) as snap:
        rewritten = rewrite_without(snap, doomed)
        moves = [RefMove(ref, CommitId(snap.refs[ref]), new) for ref, new in rewritten.refs.items()]
        if not moves:
            site.db.write(forget)
            return
        publish(
            site, actor, repo.id, moves, rewritten.pack, epoch=snap.prune_epoch, now=now, also=rewritten_too, frees=True
        )


def share_large_files(
    tx: Tx,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    target_kind: RepoKind,
    target_name: RepoName,
    digests: Sequence[Sha256],
    *,
    now: datetime,
) -> list[Sha256]:
    """Let a commit to the target name these files of the source; returns those that the source may not read itself, or not to this actor.

    Raises:
        RepositoryNotFound, GateClosed, NotAllowed: of either repository.
    """
    source = access.get_repository(tx, actor, kind, name, Action.READ_FILES)
    target = access.get_repository(tx, actor, target_kind, target_name, Action.WRITE)
    failed = []
    for sha256 in dict.fromkeys(digests):
        hold = gate.find_hold_of_bytes(tx, source.id, sha256)
        is_served = hold is None or gate.is_open(tx, actor, source, hold)
        if is_served and files.has_right(tx, source.id, sha256):
            files.claim_upload(tx, target.id, sha256, actor=actor, now=now)
        else:
            failed.append(sha256)
    return failed


def _places(snap: Snapshot, repo: Repository, wanted: set[Sha256]) -> dict[Sha256, tuple[str, str | None]]:
    """(path, branch) of each wanted file, the default branch first."""
    default = f"refs/heads/{repo.default_branch}"
    branches = sorted((r for r in snap.refs if r.startswith("refs/heads/")), key=lambda r: (r != default, r))
    found: dict[Sha256, tuple[str, str | None]] = {}
    for ref in branches[:MAX_BRANCHES]:
        if len(found) == len(wanted):
            break
        for entry in snap.iter_files(snap.refs[ref]):
            if entry.sha256 in wanted and entry.sha256 not in found:
                found[entry.sha256] = (entry.path, ref)
    return found

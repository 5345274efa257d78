"""The job that converts: reads the file, has a child write the other, stores it and opens the pull request."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import structlog

from headwater import accounts
from headwater.accounts import Action
from headwater.blobs import Extent, feed
from headwater.db import Tx
from headwater.hub import access, files
from headwater.hub.converting import store
from headwater.hub.converting.models import target_of
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.gate.judging import Stored
from headwater.hub.models import Repository
from headwater.kernel import SYSTEM, Actor, CommitId, HeadwaterError, RepoId, Sha256, utcnow
from headwater.scanning.converting import Converted, convert
from headwater.scanning.tensors import NotConvertible

if TYPE_CHECKING:
    from headwater.web.site import Site

log = structlog.get_logger("headwater.hub.converting")

_FAULT = "The conversion ended by a fault of this site, which its log tells of. Ask again later."
_GONE = "Whoever asked for it may not act on this site any more."


def convert_file(site: Site, payload: Mapping[str, Any]) -> None:
    """The handler of ``CONVERT_FILE``. Run again after a crash it opens no second pull request for a result that is recorded."""
    repo_id, path = RepoId(payload["repo_id"]), str(payload["path"])
    asked = site.db.read(_find, repo_id, path)
    if asked is None:
        return
    repo, actor = asked
    if actor is None:
        site.db.write(store.end, repo.id, path, "refused", why=_GONE, pull=None, now=utcnow())
        return
    try:
        pull = _convert(site, actor, repo, path)
    except NotConvertible as exc:
        site.db.write(store.end, repo.id, path, "refused", why=str(exc), pull=None, now=utcnow())
    except HeadwaterError as exc:
        site.db.write(store.end, repo.id, path, "refused", why=exc.message, pull=None, now=utcnow())
    except Exception:  # a fault of ours: who asked is told, and asks again or not
        log.exception("file.not_converted", repo_id=repo.id)
        site.db.write(store.end, repo.id, path, "refused", why=_FAULT, pull=None, now=utcnow())
    else:
        site.db.write(store.end, repo.id, path, "done", why=None, pull=pull, now=utcnow())
        log.info("file.converted", repo_id=repo.id, pull=pull)


def _find(tx: Tx, repo_id: RepoId, path: str) -> tuple[Repository, Actor | None] | None:
    """The repository, and who asked if they may still act here; None where nothing is asked for any more."""
    found = store.find(tx, repo_id, path)
    if found is None or found.state != "queued":
        return None
    try:
        repo = access.get_repository_by_id(tx, SYSTEM, repo_id, Action.READ)
    except RepositoryNotFound:
        return None
    account = accounts.get_accounts(tx, [found.asked_by]).get(found.asked_by) if found.asked_by is not None else None
    if account is None:
        return repo, None
    actor = Actor(account.id, account.name)
    return repo, actor if accounts.still_stands(tx, actor, now=utcnow()) else None


def _convert(site: Site, actor: Actor, repo: Repository, path: str) -> int | None:
    from headwater.hub.git import GitStore

    target = target_of(path)
    with site.part(GitStore).open(repo.id) as snap:
        head = snap.refs.get(f"refs/heads/{repo.default_branch}")
        entry = None if head is None else snap.entry(CommitId(head), path)
        if head is None or entry is None or entry.sha256 is None:
            raise NotConvertible("There is no such large file on the default branch any more.")
        if snap.entry(CommitId(head), target) is not None:
            raise NotConvertible(f"{target} is there already.")
    with site.db.reading() as tx:
        access.get_repository_by_id(tx, actor, repo.id, Action.WRITE)
    source = files.open_file(site, repo.id, entry.sha256)
    with site.blobs.temporary() as temporary:
        out = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            done = convert(path, Stored(source), out)
            os.fsync(out)
        finally:
            os.close(out)
        hasher = hashlib.sha256()
        feed(hasher.update, [Extent(temporary, 0, done.size_bytes)])
        sha256 = Sha256(hasher.hexdigest())
        files.place_plain(site, actor, repo.id, temporary, found=sha256, total=done.size_bytes)
    return _offer(site, actor, repo, path, target, entry.sha256, sha256, done)


def _offer(
    site: Site, actor: Actor, repo: Repository, path: str, target: str, before: Sha256, after: Sha256, done: Converted
) -> int | None:
    from headwater.hub.content.commits import commit_draft
    from headwater.hub.content.draft import Draft, LargeFile

    body = (
        f"`{target}` holds the {done.n_tensors} tensors of `{path}` (sha256 {before}), written by this site as safetensors. "
        "No number was changed; a reader of safetensors runs nothing."
    )
    if done.left_out:
        body += f"\n\nLeft out, because they are no tensors: {', '.join(f'`{name}`' for name in done.left_out)}."
    draft = Draft(f"Add {target}", body, None, [LargeFile(target, after, done.size_bytes)])
    return commit_draft(site, actor, repo.kind, repo.name, repo.default_branch, draft, as_pull=True).pull

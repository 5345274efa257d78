"""From uploads that are whole to one commit: what is large takes its place as a blob, what is small goes into git."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from headwater.accounts import Action
from headwater.hub import access, files
from headwater.hub.content.commits import Committed, commit_draft
from headwater.hub.content.draft import Change, Deleted, Draft, InlineFile, LargeFile
from headwater.hub.content.preupload import Candidate, Plan, plan_uploads
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.uploads import service, store
from headwater.hub.uploads.errors import BadUpload, UploadIncomplete
from headwater.hub.uploads.parts import parts_of
from headwater.hub.uploads.store import Upload
from headwater.kernel import Actor

if TYPE_CHECKING:
    from pathlib import Path

    from headwater.web.site import Site

SAMPLE_BYTES = 512


@dataclass(frozen=True)
class Message:
    """What a commit says; ``parent`` refuses it if the branch has moved since the page was made."""

    title: str
    body: str = ""
    parent: str | None = None


@dataclass(frozen=True)
class Taken:
    """The commit that was made, and the paths left out because the repository's ``.gitignore`` says so."""

    committed: Committed
    ignored: tuple[str, ...]


def commit_uploads(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    revision: str,
    ids: Sequence[str],
    message: Message,
    *,
    as_pull: bool = False,
    now: datetime | None = None,
) -> Taken:
    """Make one commit of complete uploads on a branch, or as a pull request; they are forgotten afterwards.

    Raises:
        UploadNotFound, UploadIncomplete, BadUpload: not all of them can be taken.
        As ``content.commits.commit_draft``.
    """
    if not ids:
        raise BadUpload("there is no file in it")
    action = Action.DISCUSS if as_pull or revision.startswith("refs/pr/") else Action.WRITE
    repo = site.db.read(access.get_repository, actor, kind, name, action)
    uploads = service.get_complete(site, actor, repo, ids)
    candidates = [Candidate(upload.path, _sample(site, upload), upload.size_bytes) for upload in uploads]
    plans = plan_uploads(site, actor, kind, name, revision, candidates, git_ignore=None, as_pull=as_pull)
    ignored = tuple(plan.path for plan in plans if plan.is_ignored)
    if len(ignored) == len(uploads):
        raise BadUpload("the repository's .gitignore leaves out every one of these files")
    with ExitStack() as held:
        held.enter_context(service.released(site, ids))
        changes = [
            _change(site, actor, repo, upload, plan, held)
            for upload, plan in zip(uploads, plans, strict=True)
            if not plan.is_ignored
        ]
        draft = Draft(message.title, message.body, message.parent, changes)
        committed = commit_draft(site, actor, kind, name, revision, draft, as_pull=as_pull, now=now)
    service.forget(site, [upload.id for upload in uploads])
    return Taken(committed, ignored)


def commit_text(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    revision: str,
    path: str,
    text: str,
    message: Message,
    *,
    old_path: str | None = None,
    as_pull: bool = False,
) -> Committed:
    """Write one text file out of the editor; under another path than before, the old one goes in the same commit.

    Raises:
        As ``content.commits.commit_draft``.
    """
    data = text.encode()
    candidates = [Candidate(path, data[:SAMPLE_BYTES], len(data))]
    plan = plan_uploads(site, actor, kind, name, revision, candidates, git_ignore="", as_pull=as_pull)[0]
    changes: list[Change] = []
    if plan.is_large:
        action = Action.DISCUSS if as_pull or revision.startswith("refs/pr/") else Action.WRITE
        repo = site.db.read(access.get_repository, actor, kind, name, action)
        changes.append(LargeFile(path, files.store_plain(site, actor, repo.id, data), len(data)))
    else:
        changes.append(InlineFile(path, data))
    if old_path is not None and old_path != path:
        changes.append(Deleted(old_path, is_folder=False))
    draft = Draft(message.title, message.body, message.parent, changes)
    return commit_draft(site, actor, kind, name, revision, draft, as_pull=as_pull)


def delete_path(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    revision: str,
    path: str,
    message: Message,
    *,
    as_pull: bool = False,
) -> Committed:
    """Remove one file, or a folder and all below it, in one commit."""
    draft = Draft(message.title, message.body, message.parent, [Deleted(path, is_folder=False)])
    return commit_draft(site, actor, kind, name, revision, draft, as_pull=as_pull)


def _change(site: Site, actor: Actor, repo: Repository, upload: Upload, plan: Plan, held: ExitStack) -> Change:
    if upload.sha256 is None:
        raise AssertionError("only complete uploads come here")
    if not plan.is_large:
        path = held.enter_context(parts_of(site).gathered(upload.id))
        _require_whole(site, upload, path)
        return InlineFile(upload.path, b"" if path is None else path)
    with parts_of(site).gathered(upload.id) as part:
        if upload.size_bytes <= service.ALWAYS_LARGE_BYTES:  # else it took its place when the last of it came
            _require_whole(site, upload, part)
        if part is not None:
            files.place_plain(site, actor, repo.id, part, found=upload.sha256, total=upload.size_bytes)
    return LargeFile(upload.path, upload.sha256, upload.size_bytes)


def _require_whole(site: Site, upload: Upload, path: Path | None) -> None:
    """What was gathered may be less than what came: another commit may have taken the parts, or a restore lacks them."""
    found = 0 if path is None else path.stat().st_size
    if found != upload.size_bytes:
        site.db.write(store.set_digest, upload.id, None)  # so that the rest is sent
        raise UploadIncomplete(upload.path, found, upload.size_bytes)


def _sample(site: Site, upload: Upload) -> bytes:
    if upload.size_bytes > service.ALWAYS_LARGE_BYTES:
        return b""  # large whatever it holds
    return parts_of(site).first_bytes(upload.id, SAMPLE_BYTES)

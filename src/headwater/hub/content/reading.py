"""Reading one revision of a repository: its tree, single paths, refs, history, and the bytes of a file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

from headwater.accounts import Action
from headwater.blobs import ByteSource, MemorySource, Piece
from headwater.db import Tx
from headwater.hub import access, files
from headwater.hub.content.known import Known, KnownEntries
from headwater.hub.content.reached import ReachedCommits
from headwater.hub.errors import FileNotFound, RevisionNotFound
from headwater.hub.gate import Accepts, Hold, Security, accepts_nothing, find_hold, find_security, require_open
from headwater.hub.git import CommitInfo, EntryKind, GitStore, Snapshot, TreeColumns, TreeEntry, find_ref
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import Actor, CommitId, Sha256, XetHash
from headwater.web import Site

_COMMIT_ID = re.compile(r"[0-9a-f]{40}")
MAX_GIT_BLOB_BYTES = 256 << 20  # what a door reads out of git at once; pushes of more are refused


@dataclass(frozen=True)
class Revision:
    """An open snapshot at one commit; valid inside ``open_revision`` only."""

    repo: Repository
    snap: Snapshot
    commit: CommitId
    name: str  # as it was asked for


@dataclass(frozen=True)
class Entry:
    """A tree's line with what the hub adds to it."""

    entry: TreeEntry
    xet_hash: XetHash | None = None
    last_commit: CommitInfo | None = None
    security: Security | None = None


@dataclass(frozen=True)
class TreePage:
    """``after`` is the path to go on from; None on the last page."""

    repo: Repository
    commit: CommitId
    entries: Sequence[Entry]
    after: str | None


@dataclass(frozen=True)
class TreeLines:
    """As ``TreePage`` for long listings: columns, and entries by their place for lines that are not plain files or folders."""

    repo: Repository
    commit: CommitId
    columns: TreeColumns
    unusual: Mapping[int, Entry]
    after: str | None


@dataclass(frozen=True, eq=False)
class FoundFile:
    """A file and its bytes. ``etag`` names the bytes: sha256 of a large file, git's object id of another.

    ``is_on_branch`` is false where only a pull request, or nothing any more, reaches the commit. ``hold``: what keeps it from
    being served to everyone, though it is to this reader.
    """

    repo: Repository
    commit: CommitId
    entry: TreeEntry
    source: ByteSource
    xet_hash: XetHash | None
    is_on_branch: bool
    hold: Hold | None = None

    @property
    def etag(self) -> str:
        return self.entry.sha256 or self.entry.oid


@dataclass(frozen=True)
class SizeOnly:
    """A small file whose bytes nobody asked for: the answer to a HEAD."""

    size_bytes: int
    is_local: ClassVar[bool] = True

    def pieces(self, start: int, end: int) -> Iterator[Piece]:
        return iter(())

    def signed_url(self, *, expires_s: int, disposition: str | None = None, media_type: str | None = None) -> None:
        return None


@dataclass(frozen=True)
class History:
    repo: Repository
    commits: Sequence[CommitInfo]
    after: CommitId | None


@dataclass(frozen=True)
class Refs:
    """Full ref name to commit, apart by kind."""

    repo: Repository
    branches: dict[str, CommitId]
    tags: dict[str, CommitId]
    pulls: dict[str, CommitId]


@contextmanager
def open_revision(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    revision: str | None = None,
    *,
    action: Action = Action.READ,
) -> Iterator[Revision]:
    """The repository at a branch, tag, pull request or commit; None stands for the default branch.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed, GateClosed.
        RevisionNotFound, AmbiguousRevision.
    """
    repo = site.db.read(access.get_repository, actor, kind, name, action)
    with site.part(GitStore).open(repo.id) as snap:
        asked = repo.default_branch if revision is None else revision
        yield Revision(repo, snap, snap.resolve(asked, repo.default_branch), asked)


def list_tree(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    revision: str,
    path: str,
    *,
    recursive: bool,
    expand: bool,
    after: str | None,
    limit: int,
) -> TreePage:
    """One page of a folder, in git's order.

    Raises:
        FileNotFound: there is no such folder.
        As ``open_revision``.
    """
    with open_revision(site, actor, kind, name, revision) as at:
        found = at.snap.list_tree(at.commit, path, recursive=recursive, after=after, limit=limit + 1)
        shown = found[:limit]
        more = shown[-1].path if len(found) > limit else None
        return TreePage(at.repo, at.commit, _dressed(site, at, shown, expand=expand), more)


def list_tree_lines(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    revision: str,
    path: str,
    *,
    recursive: bool,
    after: str | None,
    limit: int,
) -> TreeLines:
    """As ``list_tree`` without the last commits, for thousands of lines at once."""
    with open_revision(site, actor, kind, name, revision) as at:
        columns = at.snap.list_columns(at.commit, path, recursive=recursive, after=after, limit=limit + 1)
        more = None
        if len(columns.paths) > limit:
            more = columns.paths[limit - 1]
            for column in (columns.paths, columns.modes, columns.oids, columns.sizes):
                del column[limit:]
        places = [n for n, size in enumerate(columns.sizes) if size < 0]
        entries = [at.snap.make_entry(columns.paths[n], int(columns.modes[n], 8), columns.oids[n]) for n in places]
        unusual = dict(zip(places, _dressed(site, at, entries, expand=False), strict=True))
        return TreeLines(at.repo, at.commit, columns, unusual, more)


def find_paths(
    site: Site, actor: Actor, kind: RepoKind, name: RepoName, revision: str, paths: Sequence[str], *, expand: bool
) -> TreePage:
    """What lies at each of these paths; unknown ones are left out."""
    with open_revision(site, actor, kind, name, revision) as at:
        entries = at.snap.entries(at.commit, [path.strip("/") for path in dict.fromkeys(paths)])
        return TreePage(at.repo, at.commit, _dressed(site, at, list(entries.values()), expand=expand), None)


def find_file(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    revision: str,
    path: str,
    *,
    with_bytes: bool = True,
    accepts: Accepts = accepts_nothing,
) -> FoundFile:
    """A file and where its bytes lie. Without ``with_bytes`` the source of a small file is not read (for HEAD).

    Raises:
        FileNotFound: nothing, or a folder, is there; carries the commit.
        FileHeld: it is held back from this reader, or asks for a step of theirs; carries what was found.
        LargeFileNotFound: the revision names bytes that the repository has no right to.
        As ``open_revision``; GateClosed too.
    """
    with open_revision(site, actor, kind, name, revision, action=Action.READ_FILES) as at:
        entry = at.snap.entry(at.commit, path)
        named = _named(at.snap.refs, at.name, at.repo.default_branch)
        if named is not None:
            key = (at.repo.id, at.snap.prune_epoch, named, path)
            site.part(KnownEntries).keep(key, Known(at.commit, entry))
        if entry is None or entry.kind not in (EntryKind.FILE, EntryKind.SYMLINK):
            raise FileNotFound(path, at.commit)
        on_branch = site.part(ReachedCommits).is_on_branch(at.snap, at.commit, revision)
        with site.db.reading() as tx:
            hold = find_hold(tx, at.repo.id, entry.sha256 or entry.oid, path)
            if entry.sha256 is not None:
                found = _large_file(
                    site, tx, at.repo, at.commit, entry, on_branch=on_branch, with_bytes=with_bytes, hold=hold
                )
            else:
                source: ByteSource = SizeOnly(entry.size_bytes)
                if with_bytes:
                    source = MemorySource(at.snap.read_blob(entry.oid, limit_bytes=MAX_GIT_BLOB_BYTES))
                found = FoundFile(at.repo, at.commit, entry, source, None, on_branch, hold)
            if hold is not None:
                require_open(tx, actor, at.repo, hold, accepts, found=found)
            return found


def find_file_at_once(
    site: Site,
    tx: Tx,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    revision: str,
    path: str,
    *,
    with_bytes: bool,
    accepts: Accepts = accepts_nothing,
) -> FoundFile | None:
    """As ``find_file``, from the open snapshot and from memory alone; None where that does not do.

    Raises:
        As ``find_file``.
    """
    repo = access.get_repository(tx, actor, kind, name, Action.READ_FILES)
    if site.blobs.is_remote:
        there = _file_at_hand(site, tx, repo, revision, path, with_bytes=with_bytes)
        if there is not None and there.hold is not None:
            require_open(tx, actor, repo, there.hold, accepts, found=there)
        return there
    # What is told without bytes follows from rows alone, and so does where the bytes of a large file lie.
    made: FoundFile | None = None

    def find() -> FoundFile | None:
        nonlocal made
        made = _file_at_hand(site, tx, repo, revision, path, with_bytes=with_bytes)
        return made if made is not None and files.is_brief(made.source) else None

    found = tx.remembered(("file", repo.id, revision, path, with_bytes), find) or made
    if found is not None and found.hold is not None:
        require_open(tx, actor, repo, found.hold, accepts, found=found)
    return found


def _file_at_hand(
    site: Site, tx: Tx, repo: Repository, revision: str, path: str, *, with_bytes: bool
) -> FoundFile | None:
    handle = site.part(GitStore).at_hand(repo.id, repo.version, repo.prune_epoch)
    named = None if handle is None else _named(handle.refs, revision, repo.default_branch)
    if handle is None or named is None:
        return None
    known = site.part(KnownEntries).find((repo.id, repo.prune_epoch, named, path))
    if known is None:
        return None
    entry = known.entry
    if entry is None or entry.kind not in (EntryKind.FILE, EntryKind.SYMLINK):
        raise FileNotFound(path, known.commit)
    on_branch = site.part(ReachedCommits).known(handle.refs, repo.id, repo.version, known.commit, revision)
    if on_branch is None:
        return None
    hold = find_hold(tx, repo.id, entry.sha256 or entry.oid, path)
    if entry.sha256 is not None:
        return _large_file(site, tx, repo, known.commit, entry, on_branch=on_branch, with_bytes=with_bytes, hold=hold)
    source: ByteSource = SizeOnly(entry.size_bytes)
    if with_bytes:
        held = handle.objects.held.get(entry.oid)
        if held is None:
            return None
        source = MemorySource(held[1])
    return FoundFile(repo, known.commit, entry, source, None, on_branch, hold)


def _large_file(
    site: Site,
    tx: Tx,
    repo: Repository,
    commit: CommitId,
    entry: TreeEntry,
    *,
    on_branch: bool,
    with_bytes: bool,
    hold: Hold | None,
) -> FoundFile:
    assert entry.sha256 is not None  # noqa: S101
    blob = files.get_readable(tx, repo.id, entry.sha256, pull=None)
    # A store of its own is named to those who ask with HEAD, too.
    has_source = with_bytes or site.blobs.is_remote
    files.note_read(site, blob, takes_bytes=with_bytes)
    source = files.source_of(tx, site.blobs, blob) if has_source else SizeOnly(blob.size_bytes)
    # A file that is held goes out plainly: what Xet fetches carries nobody's word that they want it.
    return FoundFile(repo, commit, entry, source, blob.xet_hash if hold is None else None, on_branch, hold)


def _named(refs: Mapping[str, str], revision: str, default_branch: str) -> str | None:
    """The object that a revision stands for, where its name tells: of a ref, or a whole commit id."""
    if revision in ("", "HEAD"):
        revision = f"refs/heads/{default_branch}"
    found = find_ref(refs, revision)
    if found is None and _COMMIT_ID.fullmatch(revision):
        return revision
    return found


def list_refs(site: Site, actor: Actor, kind: RepoKind, name: RepoName) -> Refs:
    """All branches, tags and pull requests."""
    repo = site.db.read(access.get_repository, actor, kind, name, Action.READ)
    with site.part(GitStore).open(repo.id) as snap:
        kinds: dict[str, dict[str, CommitId]] = {"heads": {}, "tags": {}, "pr": {}}
        for ref, oid in sorted(snap.refs.items()):
            group = kinds.get(ref.split("/")[1])
            if group is not None:
                group[ref] = snap.resolve(ref) if group is kinds["tags"] else CommitId(oid)
        return Refs(repo, kinds["heads"], kinds["tags"], kinds["pr"])


def list_history(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    revision: str,
    *,
    after: str | None = None,
    limit: int = 50,
    path: str | None = None,
) -> History:
    """Commits that lead to a revision, newest first."""
    with open_revision(site, actor, kind, name, revision) as at:
        start = None if after is None else at.snap.resolve(after)
        found = at.snap.log(at.commit, path=path, after=start, limit=limit + 1)
        more = found[limit - 1].oid if len(found) > limit else None
        return History(at.repo, found[:limit], more)


def require_branch(snap: Snapshot, revision: str) -> str:
    """The full name of the ref that a writer means by ``revision``.

    Raises:
        RevisionNotFound: it is no branch and no pull request: a commit or a tag cannot be written to.
    """
    for full in (f"refs/heads/{revision}", revision):
        if full in snap.refs and full.startswith(("refs/heads/", "refs/pr/")):
            return full
    raise RevisionNotFound(revision)


def _dressed(site: Site, at: Revision, entries: Sequence[TreeEntry], *, expand: bool) -> list[Entry]:
    digests = {entry.sha256 for entry in entries if entry.sha256 is not None}
    xet: dict[Sha256, XetHash] = site.db.read(files.xet_hashes, digests) if digests else {}
    last: dict[str, dict[str, CommitInfo]] = {}
    security: dict[tuple[str, str], Security] = {}
    if expand:
        files_here = [(e.sha256 or e.oid, e.path) for e in entries if e.kind in (EntryKind.FILE, EntryKind.SYMLINK)]
        security = site.db.read(find_security, at.repo.id, files_here)
    dressed = []
    for entry in entries:
        commit = None
        if expand:
            folder, _, leaf = entry.path.rpartition("/")
            if folder not in last:
                last[folder] = at.snap.last_changed(at.commit, folder)
            commit = last[folder].get(leaf)
        known = security.get((entry.sha256 or entry.oid, entry.path))
        dressed.append(Entry(entry, xet.get(entry.sha256) if entry.sha256 else None, commit, known))
    return dressed

"""The files of a revision, folder by folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from starlette.requests import Request

from headwater import accounts
from headwater.accounts import Action
from headwater.hub import gate
from headwater.hub.content import reading
from headwater.hub.content.reached import ReachedCommits
from headwater.hub.content.reading import Entry
from headwater.hub.gate import Status
from headwater.hub.git import CommitInfo, EntryKind, GitStore, Snapshot
from headwater.hub.models import Repository
from headwater.hub.pages import addresses
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.hub.pages.repository import README_LIMIT_BYTES, link_base, render_text
from headwater.kernel import Actor, CommitId
from headwater.web import Site

ROWS = 500
SHOWN_REFS = 60


@dataclass(frozen=True)
class Crumb:
    label: str
    href: str


@dataclass(frozen=True)
class RefChoice:
    """What a reader may switch to: branches and tags, each to the same view and path."""

    current: str
    kind: str  # "branch" | "tag" | "pull" | "commit"
    branches: tuple[Crumb, ...]
    tags: tuple[Crumb, ...]
    refs_href: str
    is_on_branch: bool = True


@dataclass(frozen=True)
class Row:
    """One line of a folder. ``href`` leads to its page, ``download_href`` to its bytes."""

    name: str
    kind: EntryKind
    size_bytes: int | None
    is_large: bool
    href: str
    download_href: str | None
    last: CommitInfo | None
    last_href: str
    status: str = ""  # of the gate, where it is not safe


@dataclass(frozen=True)
class TreePage:
    head: Head
    revision: str
    commit: CommitInfo
    commit_href: str
    refs: RefChoice
    crumbs: Sequence[Crumb]
    path: str
    rows: Sequence[Row]
    next_href: str | None
    readme_html: Markup
    can_write_here: bool
    n_commits: int | None


def load(site: Site, actor: Actor, request: Request) -> TreePage:
    """Raises: RepositoryNotFound, Moved, RevisionNotFound, FileNotFound."""
    kind, name = name_of(request)
    path = request.path_params.get("path", "").strip("/")
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "files")
        may_read_files = accounts.allows(tx, actor, Action.READ_FILES, on=head.repo.resource)
    repo = head.repo
    revision = request.path_params.get("rev") or repo.default_branch
    with site.part(GitStore).open(repo.id) as snap:
        page = reading.list_tree(
            site,
            actor,
            kind,
            name,
            revision,
            path,
            recursive=False,
            expand=True,
            after=request.query_params.get("after"),
            limit=ROWS,
        )
        commit = snap.commit_info(page.commit)
        refs = ref_choice(site, repo, snap, revision, page.commit, "tree", path)
        readme = Markup("")
        if path and may_read_files:
            readme = _readme(site, snap, repo, revision, page.entries, path)
    rows = [_row(repo, revision, entry) for entry in page.entries]
    rows.sort(key=lambda row: row.kind is not EntryKind.DIRECTORY)
    next_href = None
    if page.after is not None:
        next_href = addresses.with_query(addresses.at(repo, "tree", revision, path), after=page.after)
    return TreePage(
        head=head,
        revision=revision,
        commit=commit,
        commit_href=addresses.at(repo, "commit", commit.oid),
        refs=refs,
        crumbs=crumbs(repo, revision, path),
        path=path,
        rows=rows,
        next_href=next_href,
        readme_html=readme,
        can_write_here=refs.kind == "branch",
        n_commits=None,
    )


def _row(repo: Repository, revision: str, found: Entry) -> Row:
    entry = found.entry
    is_file = entry.kind in (EntryKind.FILE, EntryKind.SYMLINK)
    security = found.security
    view = "tree" if entry.kind is EntryKind.DIRECTORY else "blob"
    resolve = addresses.with_query(addresses.at(repo, "resolve", revision, entry.path), download="true")
    return Row(
        name=entry.name,
        kind=entry.kind,
        size_bytes=entry.size_bytes if is_file else None,
        is_large=entry.is_pointer,
        href=addresses.at(repo, view, revision, entry.path),
        download_href=resolve if is_file else None,
        last=found.last_commit,
        last_href=addresses.at(repo, "commit", found.last_commit.oid) if found.last_commit else "",
        status="" if security is None or security.status is Status.SAFE else security.status.value,
    )


def _readme(
    site: Site, snap: Snapshot, repo: Repository, revision: str, entries: Sequence[Entry], folder: str
) -> Markup:
    for found in entries:
        entry = found.entry
        if entry.name.lower() != "readme.md" or entry.is_pointer or entry.size_bytes > README_LIMIT_BYTES:
            continue
        if site.db.read(gate.find_hold, repo.id, entry.oid, entry.path) is not None:
            break  # its own page says why
        text = snap.read_blob(entry.oid, limit_bytes=README_LIMIT_BYTES).decode("utf-8", "replace")
        return render_text(text, link_base(repo, revision, folder))
    return Markup("")


def crumbs(repo: Repository, revision: str, path: str, *, is_file: bool = False) -> tuple[Crumb, ...]:
    """Each folder on the way to ``path``, and a file at the end if it is one."""
    found, parts = [], path.split("/") if path else []
    for at, part in enumerate(parts, start=1):
        view = "blob" if is_file and at == len(parts) else "tree"
        found.append(Crumb(part, addresses.at(repo, view, revision, "/".join(parts[:at]))))
    return tuple(found)


def ref_choice(
    site: Site, repo: Repository, snap: Snapshot, revision: str, commit: CommitId, view: str, path: str = ""
) -> RefChoice:
    """Branches and tags to switch to, the default branch first; more of them are on the refs page."""
    branches = [ref.removeprefix("refs/heads/") for ref in snap.refs if ref.startswith("refs/heads/")]
    tags = [ref.removeprefix("refs/tags/") for ref in snap.refs if ref.startswith("refs/tags/")]
    branches.sort(key=lambda branch: (branch != repo.default_branch, branch))
    tags.sort(reverse=True)
    kind = "commit"
    if revision in branches:
        kind = "branch"
    elif revision in tags:
        kind = "tag"
    elif revision.startswith("refs/pr/"):
        kind = "pull"
    return RefChoice(
        current=commit[:8] if kind == "commit" else revision,
        kind=kind,
        branches=tuple(Crumb(b, addresses.at(repo, view, b, path)) for b in branches[:SHOWN_REFS]),
        tags=tuple(Crumb(tag, addresses.at(repo, view, tag, path)) for tag in tags[:SHOWN_REFS]),
        refs_href=addresses.of(repo, "refs"),
        is_on_branch=site.part(ReachedCommits).is_on_branch(snap, commit, revision),
    )

"""What changed, when and by whom: history, one commit, and the difference between two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from starlette.requests import Request

from headwater.accounts import Action
from headwater.hub.content import reading
from headwater.hub.git import CommitInfo, Diff, FileChange, GitStore, Hunk
from headwater.hub.pages import addresses
from headwater.hub.pages.files import Crumb, RefChoice, crumbs, ref_choice
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.kernel import Actor
from headwater.web import Site

PER_PAGE = 50
# What one page shows of a difference at most; the rest is named with its counts.
MAX_SHOWN_LINES = 4000
OPEN_LINES = 400


@dataclass(frozen=True)
class Day:
    """The commits of one day, newest first."""

    day: date
    commits: Sequence[CommitInfo]


@dataclass(frozen=True)
class HistoryPage:
    head: Head
    revision: str
    refs: RefChoice
    path: str
    crumbs: Sequence[Crumb]
    days: Sequence[Day]
    next_href: str | None
    is_first_page: bool


@dataclass(frozen=True)
class ShownFile:
    """One changed file as it is shown: ``hunks`` are left out when ``is_folded``."""

    change: FileChange
    anchor: str
    href: str | None
    old_size: int | None
    new_size: int | None
    is_folded: bool
    hunks: Sequence[Hunk]


@dataclass(frozen=True)
class DiffView:
    files: Sequence[ShownFile]
    n_files: int
    n_added: int
    n_deleted: int
    is_cut: bool


@dataclass(frozen=True)
class CommitPage:
    head: Head
    commit: CommitInfo
    body: str
    parents: Sequence[Crumb]
    tree_href: str
    is_on_branch: bool
    diff: DiffView


@dataclass(frozen=True)
class ComparePage:
    """``commits`` are those of ``head_name`` that ``base_name`` has not. ``base_commit`` is where the two part."""

    head: Head
    base_name: str
    head_name: str
    commits: Sequence[CommitInfo]
    has_more: bool
    diff: DiffView | None
    branches: Sequence[str]


def load_history(site: Site, actor: Actor, request: Request) -> HistoryPage:
    """Raises: RepositoryNotFound, Moved, RevisionNotFound."""
    kind, name = name_of(request)
    path = request.path_params.get("path", "").strip("/")
    after = request.query_params.get("after")
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "history")
    repo = head.repo
    revision = request.path_params.get("rev") or repo.default_branch
    history = reading.list_history(site, actor, kind, name, revision, after=after, limit=PER_PAGE, path=path or None)
    with site.part(GitStore).open(repo.id) as snap:
        refs = ref_choice(site, repo, snap, revision, snap.resolve(revision, repo.default_branch), "commits", path)
    next_href = None
    if history.after is not None:
        next_href = addresses.with_query(addresses.at(repo, "commits", revision, path), after=history.after)
    return HistoryPage(
        head=head,
        revision=revision,
        refs=refs,
        path=path,
        crumbs=crumbs(repo, revision, path, is_file=True),
        days=_by_day(history.commits),
        next_href=next_href,
        is_first_page=after is None,
    )


def _by_day(commits: Sequence[CommitInfo]) -> list[Day]:
    days: dict[date, list[CommitInfo]] = {}
    for commit in commits:
        days.setdefault(commit.committed_at.date(), []).append(commit)
    return [Day(day, found) for day, found in days.items()]


def load_commit(site: Site, actor: Actor, request: Request) -> CommitPage:
    """A difference is made of files, so it stands behind the repository's gate.

    Raises: RepositoryNotFound, Moved, RevisionNotFound, GateClosed.
    """
    kind, name = name_of(request)
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "history", Action.READ_FILES)
    repo = head.repo
    with reading.open_revision(site, actor, kind, name, request.path_params["rev"], action=Action.READ_FILES) as at:
        commit = at.snap.commit_info(at.commit)
        first = commit.parents[0] if commit.parents else None
        diff = show_diff(at.snap.diff(first, commit.oid), head, commit.oid)
        is_on_branch = at.snap.is_on_branch(commit.oid)
    return CommitPage(
        head=head,
        commit=commit,
        body=commit.message[len(commit.title) :].strip(),
        parents=tuple(Crumb(parent[:8], addresses.at(repo, "commit", parent)) for parent in commit.parents),
        tree_href=addresses.at(repo, "tree", commit.oid),
        is_on_branch=is_on_branch,
        diff=diff,
    )


def load_compare(site: Site, actor: Actor, request: Request) -> ComparePage:
    """``/compare/base..head``; without a second name, against the default branch.

    Raises: RepositoryNotFound, Moved, RevisionNotFound, GateClosed.
    """
    kind, name = name_of(request)
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "history", Action.READ_FILES)
    repo = head.repo
    asked = request.path_params.get("range") or ""
    if not asked and request.query_params.get("base"):
        asked = f"{request.query_params['base']}...{request.query_params.get('head') or repo.default_branch}"
    base_name, _, head_name = asked.replace("...", "..").partition("..")
    base_name = base_name or repo.default_branch
    with site.part(GitStore).open(repo.id) as snap:
        branches = sorted(ref.split("/", 2)[2] for ref in snap.refs if ref.startswith(("refs/heads/", "refs/tags/")))
        if not head_name:
            return ComparePage(head, base_name, "", (), has_more=False, diff=None, branches=branches)
        old, new = snap.resolve(base_name, repo.default_branch), snap.resolve(head_name, repo.default_branch)
        fork = snap.merge_base(old, new)
        diff = show_diff(snap.diff(fork, new), head, new)
        commits: list[CommitInfo] = []
        for commit in snap.log(new, limit=PER_PAGE + 1):
            if commit.oid == fork:
                break
            commits.append(commit)
    return ComparePage(
        head,
        base_name,
        head_name,
        commits[:PER_PAGE],
        has_more=len(commits) > PER_PAGE,
        diff=diff,
        branches=branches,
    )


def show_diff(diff: Diff, head: Head, revision: str) -> DiffView:
    """What of a difference is shown: whole small files, long ones folded, none beyond the page's bound."""
    files, left = [], MAX_SHOWN_LINES
    for at, change in enumerate(diff.files):
        n_lines = sum(len(hunk.lines) for hunk in change.hunks)
        is_folded = n_lines > min(left, OPEN_LINES) and n_lines > 0
        if not is_folded:
            left -= n_lines
        files.append(
            ShownFile(
                change=change,
                anchor=f"f{at + 1}",
                href=head.at("blob", revision, change.path) if change.new is not None else None,
                old_size=change.old.size_bytes if change.old is not None else None,
                new_size=change.new.size_bytes if change.new is not None else None,
                is_folded=is_folded,
                hunks=() if is_folded else change.hunks,
            )
        )
    return DiffView(files, diff.n_files, diff.n_added, diff.n_deleted, diff.is_cut)

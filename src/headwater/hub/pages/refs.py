"""Branches and tags: to look at, and for writers to make and remove."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.hub.content import refs
from headwater.hub.git import CommitInfo, GitStore, Snapshot
from headwater.hub.models import Repository
from headwater.hub.pages import addresses
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.kernel import Actor, HeadwaterError
from headwater.web import Site, shell

SHOWN = 300


@dataclass(frozen=True)
class RefRow:
    name: str
    commit: CommitInfo
    tree_href: str
    commit_href: str
    compare_href: str | None
    is_default: bool


@dataclass(frozen=True)
class RefsPage:
    """``problem`` is why the last act was refused; ``typed`` what had been typed then."""

    head: Head
    branches: Sequence[RefRow]
    tags: Sequence[RefRow]
    n_branches: int
    n_tags: int
    problem: HeadwaterError | None = None
    typed: str = ""


def load(
    site: Site, actor: Actor, request: Request, problem: HeadwaterError | None = None, typed: str = ""
) -> RefsPage:
    """Raises: RepositoryNotFound, Moved."""
    kind, name = name_of(request)
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "history")
    repo = head.repo
    with site.part(GitStore).open(repo.id) as snap:
        branches = [ref for ref in snap.refs if ref.startswith("refs/heads/")]
        tags = [ref for ref in snap.refs if ref.startswith("refs/tags/")]
        branches.sort(key=lambda ref: (ref.removeprefix("refs/heads/") != repo.default_branch, ref))
        tags.sort(reverse=True)
        branch_rows = [_row(repo, snap, ref) for ref in branches[:SHOWN]]
        tag_rows = [_row(repo, snap, ref) for ref in tags[:SHOWN]]
    return RefsPage(head, branch_rows, tag_rows, len(branches), len(tags), problem, typed)


def _row(repo: Repository, snap: Snapshot, ref: str) -> RefRow:
    name = ref.split("/", 2)[2]
    commit = snap.commit_info(snap.resolve(ref))
    is_default = ref == f"refs/heads/{repo.default_branch}"
    compare = f"{repo.default_branch}...{name}"
    return RefRow(
        name=name,
        commit=commit,
        tree_href=addresses.at(repo, "tree", name),
        commit_href=addresses.at(repo, "commit", commit.oid),
        compare_href=None if is_default else addresses.at(repo, "compare", compare),
        is_default=is_default,
    )


async def change(request: Request) -> Response:
    """``POST …/refs``: ``act`` is create_branch, create_tag, delete_branch or delete_tag."""
    form = await shell.read_form(request)
    act, ref, start = form["act"], form["name"].strip(), form["start"].strip() or None
    kind, name = name_of(request)
    back = request.url.path
    try:
        if act == "create_branch":
            await web.call(request, refs.create_branch, kind, name, ref, start=start)
        elif act == "create_tag":
            await web.call(request, refs.create_tag, kind, name, ref, revision=start)
        elif act == "delete_branch":
            await web.call(request, refs.delete_branch, kind, name, ref)
        elif act == "delete_tag":
            await web.call(request, refs.delete_tag, kind, name, ref)
        else:
            raise shell.PageNotFound
    except HeadwaterError as problem:
        if web.status_of(problem) not in (400, 404, 409, 412, 422) or isinstance(problem, shell.PageNotFound):
            raise
        page = await web.call(request, load, request, problem, ref)
        return shell.render(request, "hub/refs.html", page, status=web.status_of(problem))
    return shell.redirect(request, back, flash=f"refs.done_{act}", values={"name": ref})

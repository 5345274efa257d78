"""One file: what it says, as far as a page can show it, and its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.blobs import ByteSource, read_all
from headwater.hub.content import reading
from headwater.hub.git import CommitInfo, GitStore
from headwater.hub.pages import addresses
from headwater.hub.pages.doors import leads_on
from headwater.hub.pages.files import Crumb, RefChoice, crumbs, ref_choice
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.hub.pages.repository import link_base, render_text
from headwater.kernel import Actor
from headwater.web import Site, shell

EDIT_LIMIT_BYTES = 1 << 20
TEXT_LIMIT_BYTES = 1 << 20
IMAGE_LIMIT_BYTES = 20 << 20


@dataclass(frozen=True)
class BlobPage:
    """``view`` names the template's part; ``shown`` is what that part prints; ``why_not`` why nothing can be shown."""

    head: Head
    revision: str
    refs: RefChoice
    crumbs: Sequence[Crumb]
    path: str
    name: str
    size_bytes: int
    sha256: str | None
    oid: str
    is_large: bool
    last: CommitInfo | None
    last_href: str
    resolve_href: str
    download_href: str
    raw_href: str
    curl: str
    view: str
    shown: Any
    other_view: str | None
    may_edit: bool
    may_delete: bool


def load(site: Site, actor: Actor, request: Request) -> BlobPage:
    """Raises: RepositoryNotFound, Moved, RevisionNotFound, FileNotFound, GateClosed."""
    kind, name = name_of(request)
    path, revision = request.path_params["path"].strip("/"), request.path_params["rev"]
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "files")
    repo = head.repo
    found = reading.find_file(site, actor, kind, name, revision, path)
    folder, _, leaf = path.rpartition("/")
    with site.part(GitStore).open(repo.id) as snap:
        last = snap.last_changed(found.commit, folder, names=[leaf]).get(leaf)
        refs = ref_choice(repo, snap, revision, found.commit, "blob", path)
    resolve = addresses.at(repo, "resolve", revision, path)
    asked = request.query_params.get("view", "")
    view, shown, other = _show(found.source, path, asked, link_base(repo, revision, folder))
    is_branch = refs.kind == "branch"
    is_text = found.entry.sha256 is None and found.entry.size_bytes <= EDIT_LIMIT_BYTES
    return BlobPage(
        head=head,
        revision=revision,
        refs=refs,
        crumbs=crumbs(repo, revision, path, is_file=True),
        path=path,
        name=leaf,
        size_bytes=found.entry.size_bytes,
        sha256=found.entry.sha256,
        oid=found.entry.oid,
        is_large=found.entry.is_pointer,
        last=last,
        last_href=addresses.at(repo, "commit", last.oid) if last is not None else "",
        resolve_href=resolve,
        download_href=addresses.with_query(resolve, download="true"),
        raw_href=addresses.at(repo, "raw", revision, path),
        curl=f"curl -LO {site.base_url}{resolve}",
        view=view,
        shown=shown,
        other_view=other,
        may_edit=head.may_discuss and is_branch and is_text and view != "binary",
        may_delete=head.may_discuss and is_branch,
    )


def _show(source: ByteSource, path: str, asked: str, base: str) -> tuple[str, Any, str | None]:
    """Which part of the template shows this file, with what, and which other view there is."""
    return "binary", None, None


@leads_on
async def show(request: Request) -> Response:
    """``GET …/blob/{rev}/{path}``; a folder leads to its listing, a closed gate to where one may ask."""
    try:
        page = await web.call(request, load, request)
    except accounts.GateClosed:
        kind, name = name_of(request)
        return shell.redirect(request, f"/{kind.url_prefix}{name}")
    return shell.render(request, "hub/blob.html", page)


@leads_on
async def raw(request: Request) -> Response:
    """``GET …/raw/{rev}/{path}``: the bytes as text, never run by a browser."""
    found = await web.call(
        request, reading.find_file, *name_of(request), request.path_params["rev"], request.path_params["path"].strip("/")
    )
    return web.SourceResponse(
        request,
        found.source,
        headers={"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"},
        media_type="text/plain; charset=utf-8",
        etag=f'"{found.etag}"',
    )

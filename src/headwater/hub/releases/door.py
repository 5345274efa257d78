"""Signed releases for programs, and their page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.db import Tx
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.pages import addresses
from headwater.hub.pages.doors import leads_on, show
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.hub.pages.talk import SHOWN_AGAIN
from headwater.hub.releases import service
from headwater.hub.releases.bundle import LARGEST_BUNDLE_BYTES
from headwater.hub.releases.service import Release
from headwater.kernel import Actor, HeadwaterError, to_iso
from headwater.web import Access, JsonResponse, Route, Site, shell

shell.register_pages("releases", Path(__file__).parent)

_AT = "/api/v1/releases/{type:models|datasets|spaces}/{ns}/{name}"
_BODY_BYTES = LARGEST_BUNDLE_BYTES + (1 << 16)


@dataclass(frozen=True)
class ReleasesPage:
    head: Head
    found: Sequence[Release]
    command: str
    typed: tuple[str, str, str] = ("", "", "")  # revision, bundle, key
    problem: HeadwaterError | None = None


def _asked(request: Request) -> tuple[RepoKind, RepoName]:
    values = request.path_params
    return RepoKind.from_plural(values["type"]), RepoName(values["ns"], values["name"])


def _facts(one: Release) -> dict[str, Any]:
    return {
        "id": one.id,
        "commit": one.commit,
        "key_id": one.key_id,
        "public_key": one.public_key,
        "files": one.n_files,
        "added_by": one.added_by,
        "added_at": to_iso(one.added_at),
    }


async def list_all(request: Request) -> Response:
    """``GET /api/v1/releases/{type}/{ns}/{name}``."""
    commit = request.query_params.get("commit")
    _, found = await web.read_tx(request, service.list_releases, *_asked(request), commit=commit)
    return JsonResponse([_facts(one) for one in found])


async def get_bundle(request: Request) -> Response:
    """``GET …/{id}/bundle``: the signature as it was made, for ``model_signing verify key``."""
    text = request.path_params["id"]
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1
    found = await web.read_tx(request, service.read_bundle, *_asked(request), number)
    return Response(
        found,
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="model.sig"', "X-Content-Type-Options": "nosniff"},
    )


async def add(request: Request) -> Response:
    """``POST …`` with ``{revision?, bundle, public_key}``; ``bundle`` is its text."""
    body = await web.read_json_object(request, limit_bytes=2 * _BODY_BYTES)
    given = [body.get(name) for name in ("revision", "bundle", "public_key")]
    made = await web.call(request, service.add_release, *_asked(request), *given)
    return JsonResponse(_facts(made), 201)


def load(site: Site, actor: Actor, request: Request) -> ReleasesPage:
    """``GET …/releases``. Raises: RepositoryNotFound, Moved."""
    with site.db.reading() as tx:
        return _load(tx, actor, request, site.base_url)


def _load(
    tx: Tx,
    actor: Actor,
    request: Request,
    url: str,
    typed: tuple[str, str, str] = ("", "", ""),
    problem: HeadwaterError | None = None,
) -> ReleasesPage:
    kind, name = name_of(request)
    head = find_head(tx, actor, kind, name, "releases")
    _, found = service.list_releases(tx, actor, kind, name)
    command = f"headwater release sign {head.repo.path} --url {url} --key key.pem"
    return ReleasesPage(head, found, command, typed, problem)


@leads_on
async def change(request: Request) -> Response:
    """``POST …/releases``: a signature that was made elsewhere."""
    form = await shell.read_form(request, limit_bytes=4 * LARGEST_BUNDLE_BYTES)
    kind, name = name_of(request)
    revision, bundle, key = form["revision"].strip(), form["bundle"], form["public_key"]
    site = web.site_of(request)
    try:
        await web.call(request, service.add_release, kind, name, revision, bundle, key)
    except HeadwaterError as problem:
        if problem.kind not in SHOWN_AGAIN:
            raise
        typed = (revision, bundle[:100_000], key[:5000])
        page = await web.read_tx(request, _load, request, site.base_url, typed=typed, problem=problem)
        return shell.render(request, "releases/releases.html", page, status=web.status_of(problem))
    return shell.redirect(request, f"/{kind.url_prefix}{name}/releases", flash="releases.flash_added")


ROUTES = [
    Route("GET", _AT, list_all, Access.READ, "api"),
    Route("POST", _AT, add, Access.WRITE, "api"),
    Route("GET", f"{_AT}/{{id}}/bundle", get_bundle, Access.READ, "api"),
    *(
        route
        for prefix in addresses.PREFIXES
        for route in (
            Route("GET", f"/{prefix}{{ns}}/{{name}}/releases", show("releases/releases.html", load), Access.READ),
            Route("POST", f"/{prefix}{{ns}}/{{name}}/releases", change, Access.WRITE),
        )
    ),
]

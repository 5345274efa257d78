"""Whole repositories, and who is asking."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.accounts import Action, Role
from headwater.db import Tx
from headwater.hub import access, files, repos
from headwater.hub.content.errors import BadParameter
from headwater.hub.huggingface.answers import as_json
from headwater.hub.huggingface.asking import (
    API,
    asked,
    count,
    flag,
    json_body,
    kind_of,
    need_text,
    renamed,
    text_of,
)
from headwater.hub.huggingface.info import read_info, read_info_at_once
from headwater.hub.models import RepoName, Repository
from headwater.hub.names import parse_repo_name
from headwater.kernel import Actor, Page, to_iso, utcnow
from headwater.web import Access, Route, Site

_ROLES = {Role.READ: "read", Role.CONTRIBUTE: "contributor", Role.WRITE: "write", Role.ADMIN: "admin"}


def whoami(request: Request, tx: Tx) -> Response:
    """``GET /api/whoami-v2``: who the token belongs to, their organisations, and what the token may do."""
    actor, base_url = web.actor_of(request), web.site_of(request).base_url
    return web.ReadyResponse(tx.remembered(("whoami", actor), lambda: orjson.dumps(_whoami(tx, actor, base_url))))


def _whoami(tx: Tx, actor: Actor, base_url: str) -> dict[str, Any]:
    me = accounts.get_self(tx, actor)
    shown: dict[str, Any] = {
        "type": "user",
        "id": f"{me.id:024x}",
        "name": me.name,
        "fullname": me.full_name or me.name,
        "email": me.email,
        "emailVerified": me.email is not None,
        "isPro": False,
        "canPay": False,
        "avatarUrl": f"{base_url}/-/avatar/{me.name}.svg",
        "orgs": [
            {
                "type": "org",
                "id": f"{org.account.id:024x}",
                "name": org.account.name,
                "fullname": org.account.full_name or org.account.name,
                "avatarUrl": f"{base_url}/-/avatar/{org.account.name}.svg",
                "isEnterprise": False,
                "roleInOrg": _ROLES[Role(org.role)],
            }
            for org in accounts.organisations_of(tx, me.id)
        ],
        "auth": {"type": "session"},
    }
    if actor.limits is not None:
        role = "fineGrained" if actor.limits.role == "fine" else actor.limits.role
        token: dict[str, Any] = {"displayName": actor.limits.name, "role": role}
        if role == "fineGrained":
            token["fineGrained"] = {
                "scoped": [
                    {"entity": {"repo": g.repo_id, "account": g.account_id}, "permissions": [g.action]}
                    for g in actor.limits.grants
                ]
            }
        shown["auth"] = {"type": "access_token", "accessToken": token}
    return shown


async def create(request: Request) -> Response:
    """``POST /api/repos/create``. ``organization`` null stands for the actor's own namespace."""
    body = await json_body(request)
    name = need_text(body, "name", most=300)
    namespace = text_of(body, "organization", most=300)
    if "/" in name and namespace is None:
        namespace, _, name = name.partition("/")
    if namespace is None:
        if request.state.actor.is_anonymous:
            raise accounts.NotSignedIn
        namespace = request.state.actor.name
    made = await web.call(
        request,
        repos.create_repository,
        kind_of(body),
        RepoName(namespace, name),
        is_private=_is_private(body) or False,
        sdk=text_of(body, "sdk", most=40),
    )
    site: Site = request.state.site
    return as_json({"url": f"{site.base_url}/{made.path}", "name": str(made.name), "id": f"{made.id:024x}"})


async def delete(request: Request) -> Response:
    """``DELETE /api/repos/delete`` with a JSON body."""
    body = await json_body(request)
    name = need_text(body, "name", most=300)
    namespace = text_of(body, "organization", most=300)
    if "/" in name and namespace is None:
        namespace, _, name = name.partition("/")
    full = RepoName(namespace or request.state.actor.name, name)
    await web.write_tx(request, repos.delete_repository, kind_of(body), full, now=utcnow())
    return as_json({})


async def move(request: Request) -> Response:
    """``POST /api/repos/move``."""
    body = await json_body(request)
    source = _existing(need_text(body, "fromRepo", most=300))
    target = parse_repo_name(need_text(body, "toRepo", most=300))
    moved = await web.write_tx(request, repos.move_repository, kind_of(body), source, target, now=utcnow())
    site: Site = request.state.site
    return as_json({"url": f"{site.base_url}/{moved.path}"})


async def put_settings(request: Request) -> Response:
    """``PUT …/settings``: ``visibility`` and ``gated``."""
    kind, name = asked(request)
    body = await json_body(request)
    gated: str | None = None
    if "gated" in body:
        value = body["gated"]
        if value not in (False, "auto", "manual"):
            raise repos.BadSetting("gated", value, "false, 'auto' or 'manual'")
        gated = value or ""
    settings = repos.Settings(is_private=_is_private(body), gated=gated)
    repo = await web.write_tx(request, repos.change_settings, kind, name, settings, now=utcnow())
    return as_json({"private": repo.is_private, "gated": repo.gated or False})


async def duplicate(request: Request) -> Response:
    """``POST …/duplicate``: a new repository with the branches and tags of this one."""
    kind, name = asked(request)
    body = await json_body(request)
    target = need_text(body, "repository", most=300)
    if "/" not in target:
        target = f"{request.state.actor.name}/{target}"
    made = await web.call(
        request,
        repos.duplicate_repository,
        kind,
        name,
        parse_repo_name(target),
        is_private=_is_private(body),
    )
    site: Site = request.state.site
    return as_json({"url": f"{site.base_url}/{made.path}", "filesCopyPending": False})


async def info(request: Request) -> Response:
    """``GET …`` and ``GET …/revision/{rev}``."""
    kind, name = asked(request)
    found = await web.call(request, read_info, kind, name, request.path_params.get("rev"), **_wishes(request))
    return renamed(request, found.repo) or as_json(found.shown)


def info_at_once(request: Request, tx: Tx) -> Response | None:
    """The same of the default branch, where its card was read before."""
    kind, name = asked(request)
    site, actor = web.site_of(request), web.actor_of(request)
    found = read_info_at_once(site, tx, actor, kind, name, **_wishes(request))
    if found is None:
        return None
    repo, shown = found
    return renamed(request, repo) or web.ReadyResponse(shown)


def _wishes(request: Request) -> dict[str, Any]:
    if not request.scope["query_string"]:
        return {"expand": (), "with_blobs": False, "with_security": False}
    query = request.query_params
    return {
        "expand": tuple(dict.fromkeys((*query.getlist("expand"), *query.getlist("expand[]")))),
        "with_blobs": flag(request, "blobs"),
        "with_security": flag(request, "securityStatus"),
    }


async def auth_check(request: Request) -> Response:
    """``GET …/auth-check[/write]``: the status is the answer."""
    kind, name = asked(request)
    action = Action.WRITE if request.scope["path"].endswith("/write") else Action.READ_FILES
    await web.read_tx(request, access.get_repository, kind, name, action)
    return as_json({})


async def own_repositories(request: Request) -> Response:
    """``GET /api/settings/repositories`` and the same below an organisation."""
    owner = request.path_params.get("org")
    page, used = await web.read_tx(
        request,
        _own_repositories,
        owner,
        request.query_params.get("cursor"),
        count(request, "limit", default=100, most=1000),
    )
    total = sum(used.values()) or 1
    shown = [
        {
            "id": str(repo.name),
            "type": repo.kind.value,
            "updatedAt": to_iso(repo.updated_at),
            "visibility": "private" if repo.is_private else "public",
            "storage": used[repo.id],
            "storagePercent": round(used[repo.id] / total, 4),
        }
        for repo in page.items
    ]
    return as_json(shown, headers=web.next_link(request, page.cursor))


def _own_repositories(
    tx: Tx, actor: Actor, owner: str | None, cursor: str | None, limit: int
) -> tuple[Page[Repository], dict[int, int]]:
    page = repos.list_owned(tx, actor, owner, cursor=cursor, limit=limit)
    return page, {repo.id: repo.size_bytes + files.repo_stored_bytes(tx, repo.id) for repo in page.items}


def _is_private(body: dict[str, Any]) -> bool | None:
    """Out of ``visibility``, or of ``private`` as older clients send it."""
    visibility = text_of(body, "visibility", most=40)
    if visibility is not None:
        if visibility not in ("public", "private"):
            raise repos.BadSetting("visibility", visibility, "'public' or 'private'")
        return visibility == "private"
    private = body.get("private")
    if private is not None and not isinstance(private, bool):
        raise BadParameter("private", "it must be true or false")
    return private


def _existing(text: str) -> RepoName:
    namespace, _, name = text.partition("/")
    return RepoName(namespace, name)


ROUTES = [
    Route("GET", "/api/whoami-v2", web.in_snapshot(whoami), Access.SELF, "hf", at_once=whoami),
    Route("POST", "/api/repos/create", create, Access.WRITE, "hf"),
    Route("DELETE", "/api/repos/delete", delete, Access.ADMIN, "hf"),
    Route("POST", "/api/repos/move", move, Access.ADMIN, "hf"),
    Route("GET", "/api/settings/repositories", own_repositories, Access.SELF, "hf"),
    Route("GET", "/api/organizations/{org}/settings/repositories", own_repositories, Access.SELF, "hf"),
    Route("GET", API, info, Access.READ, "hf", at_once=info_at_once),
    Route("GET", API + "/revision/{rev}", info, Access.READ, "hf"),
    Route("GET", API + "/auth-check", auth_check, Access.READ, "hf"),
    Route("GET", API + "/auth-check/write", auth_check, Access.READ, "hf"),
    Route("PUT", API + "/settings", put_settings, Access.ADMIN, "hf"),
    Route("POST", API + "/duplicate", duplicate, Access.READ, "hf"),
]

"""Branches and tags."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.hub.content import refs
from headwater.hub.content.reading import list_refs
from headwater.hub.huggingface.answers import as_json
from headwater.hub.huggingface.asking import API, asked, flag, json_body, need_text, renamed, text_of
from headwater.web import Access, Route


async def get_refs(request: Request) -> Response:
    """``GET …/refs``: branches and tags, pull requests when asked for."""
    kind, name = asked(request)
    found = await web.call(request, list_refs, kind, name)
    shown = {"branches": _listed(found.branches), "converts": [], "tags": _listed(found.tags)}
    if flag(request, "include_prs"):
        shown["pullRequests"] = [
            {"name": ref.removeprefix("refs/"), "ref": ref, "targetCommit": oid} for ref, oid in found.pulls.items()
        ]
    return renamed(request, found.repo) or as_json(shown)


async def create_branch(request: Request) -> Response:
    """``POST …/branch/{branch}`` with ``{startingPoint?}``."""
    kind, name = asked(request)
    start = text_of(await json_body(request), "startingPoint", most=300)
    await web.call(request, refs.create_branch, kind, name, request.path_params["branch"], start=start)
    return as_json({})


async def delete_branch(request: Request) -> Response:
    """``DELETE …/branch/{branch}``."""
    kind, name = asked(request)
    await web.call(request, refs.delete_branch, kind, name, request.path_params["branch"])
    return as_json({})


async def create_tag(request: Request) -> Response:
    """``POST …/tag/{rev}`` with ``{tag, message?}``."""
    kind, name = asked(request)
    body = await json_body(request)
    tag, message = need_text(body, "tag", most=300), text_of(body, "message", most=65_536)
    await web.call(request, refs.create_tag, kind, name, tag, revision=request.path_params["rev"], message=message)
    return as_json({})


async def delete_tag(request: Request) -> Response:
    """``DELETE …/tag/{tag}``."""
    kind, name = asked(request)
    await web.call(request, refs.delete_tag, kind, name, request.path_params["rev"])
    return as_json({})


async def super_squash(request: Request) -> Response:
    """``POST …/super-squash/{branch}`` with ``{message?}``."""
    kind, name = asked(request)
    message = text_of(await json_body(request), "message", most=65_536)
    branch = request.path_params["branch"].removeprefix("refs/heads/")
    await web.call(request, refs.squash_branch, kind, name, branch, message=message)
    return as_json({})


def _listed(found: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"name": ref.split("/", 2)[2], "ref": ref, "targetCommit": oid} for ref, oid in found.items()]


ROUTES = [
    Route("GET", API + "/refs", get_refs, Access.READ, "hf"),
    Route("POST", API + "/branch/{branch}", create_branch, Access.WRITE, "hf"),
    Route("DELETE", API + "/branch/{branch}", delete_branch, Access.WRITE, "hf"),
    Route("POST", API + "/tag/{rev}", create_tag, Access.WRITE, "hf"),
    Route("DELETE", API + "/tag/{rev}", delete_tag, Access.WRITE, "hf"),
    Route("POST", API + "/super-squash/{branch}", super_squash, Access.WRITE, "hf"),
]

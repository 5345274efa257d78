"""The LFS door: the batch call, both at ``name.git/info/lfs`` and ``name/info/lfs``, and what its links lead to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from headwater import web
from headwater.hub.gate.door import accepts_suspicious
from headwater.hub.huggingface import errors as hf_errors
from headwater.hub.lfs import service
from headwater.hub.lfs.errors import BadLfsRequest, LocksNotServed
from headwater.hub.lfs.service import Answered, Batch, Wanted
from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import HeadwaterError, Kind, Sha256, to_iso, utcnow
from headwater.web import Access, Route
from headwater.web.threads import run_in

MEDIA_TYPE = "application/vnd.git-lfs+json"
MAX_BATCH_BYTES = 1 << 20
MAX_COMPLETION_BYTES = 1 << 20
PATIENCE_S = 15.0


async def batch(request: Request) -> Response:
    """``POST …/info/lfs/objects/batch``. Source: git-lfs, docs/api/batch.md."""
    body = await web.read_json_object(request, limit_bytes=MAX_BATCH_BYTES)
    wanted = _objects(body)
    kind, name = _repository(request)
    operation = body.get("operation")
    if body.get("hash_algo", "sha256") != "sha256":
        raise BadLfsRequest("only sha256 is known as `hash_algo`")
    if operation == "download":
        accepts = partial(accepts_suspicious, request)
        answer = await web.call(request, service.plan_download, kind, name, wanted, now=utcnow(), accepts=accepts)
    elif operation == "upload":
        transfers = tuple(t for t in body.get("transfers") or ["basic"] if isinstance(t, str))
        answer = await web.call(request, service.plan_upload, kind, name, wanted, transfers=transfers, now=utcnow())
    else:
        raise BadLfsRequest("`operation` is neither upload nor download")
    return _json(
        {"transfer": answer.transfer, "objects": [_object(answer, o) for o in answer.objects], "hash_algo": "sha256"}
    )


def _objects(body: dict[str, Any]) -> list[Wanted]:
    objects = body.get("objects")
    if not isinstance(objects, list) or not objects:
        raise BadLfsRequest("`objects` is not a list of objects")
    if len(objects) > service.MAX_OBJECTS:
        raise BadLfsRequest(f"it asks for more than {service.MAX_OBJECTS} objects at once")
    wanted = []
    for one in objects:
        oid, size = (one.get("oid"), one.get("size")) if isinstance(one, dict) else (None, None)
        if not isinstance(oid, str) or not isinstance(size, int) or isinstance(size, bool):
            raise BadLfsRequest("an object lacks `oid` or `size`")
        wanted.append(Wanted(oid, size))
    return wanted


def _object(answer: Batch, one: Answered) -> dict[str, Any]:
    found: dict[str, Any] = {"oid": one.wanted.oid, "size": one.wanted.size_bytes}
    if one.error is not None:
        found["error"] = {"code": one.error_status, "message": one.error}
    elif one.links:  # an object that is stored gets no "actions" at all: clients take that as "nothing to send"
        found["authenticated"] = True  # the links need no credential; git-lfs would otherwise ask for one
        expires_at = to_iso(answer.expires_at)
        found["actions"] = {
            rel: {"href": link.href, "header": link.header, "expires_at": expires_at} for rel, link in one.links.items()
        }
    return found


async def put_object(request: Request) -> Response:
    """``PUT /lfs/objects/{link}``: the body is the object."""
    site, link = request.state.site, request.path_params["link"]
    digest = await web.receive_body(request, lambda body: service.receive_object(site, link, body))
    return Response(status_code=200, headers={"ETag": f'"{digest}"'})


async def get_object(request: Request) -> Response:
    """``GET /lfs/objects/{link}``, with ranges."""
    source, digest = await web.in_thread(service.open_object, request.state.site, request.path_params["link"])
    return web.SourceResponse(request, source, etag=f'"{digest}"', direct_s=service.LINK_S)


async def put_part(request: Request) -> Response:
    """``PUT /lfs/parts/{link}``; huggingface_hub hands the ETag back when it completes."""
    site, link = request.state.site, request.path_params["link"]
    etag = await web.receive_body(request, lambda body: service.receive_part(site, link, body))
    return Response(status_code=200, headers={"ETag": etag})


async def complete(request: Request) -> Response:
    """``POST /lfs/uploads/{link}`` ``{"oid", "parts": [{"partNumber", "etag"}]}``."""
    body = await web.read_json_object(request, limit_bytes=MAX_COMPLETION_BYTES)
    link = request.path_params["link"]
    reading = asyncio.ensure_future(
        run_in("body", service.complete_upload, request.state.site, link, body.get("oid"), body.get("parts"))
    )
    # Reading a large object back takes longer than proxies wait for an answer. Clients look at the status alone, and ask
    # ``verify`` afterwards, which tells whether it went well.
    await asyncio.wait({reading}, timeout=PATIENCE_S)
    if reading.done():
        return _json({"oid": reading.result()})
    return StreamingResponse(_while_reading(reading), media_type=MEDIA_TYPE)


async def _while_reading(reading: asyncio.Future[Sha256]) -> AsyncIterator[bytes]:
    while not reading.done():
        yield b" "
        await asyncio.wait({reading}, timeout=PATIENCE_S)
    try:
        yield orjson.dumps({"oid": reading.result()})
    except HeadwaterError as error:
        yield orjson.dumps({"message": error.message, "code": error.code})


async def verify(request: Request) -> Response:
    """``POST /lfs/verify/{link}`` ``{"oid", "size"}``."""
    body = await web.read_json_object(request)
    link = request.path_params["link"]
    await web.in_thread(service.verify_upload, request.state.site, link, body.get("oid"), body.get("size"))
    return _json({"oid": body["oid"]})


async def refuse_locks(request: Request) -> Response:
    """``…/info/lfs/locks…``: git-lfs goes on without."""
    raise LocksNotServed


def refuse(request: Request, error: HeadwaterError) -> Response:
    """The ``lfs`` dialect: the headers that huggingface_hub reads, the ``message`` that git-lfs shows."""
    answer = hf_errors.refuse(request, error)
    if answer.status_code == 401 or (error.kind is Kind.NOT_FOUND and _may_be_hidden(request, error)):
        # git-lfs asks for a password only then; whether the repository exists is not told by it.
        answer.status_code = 401
        answer.headers["LFS-Authenticate"] = 'Basic realm="Headwater"'
        answer.headers["WWW-Authenticate"] = 'Basic realm="Headwater"'
    answer.headers["Content-Type"] = MEDIA_TYPE
    answer.body = orjson.dumps({"message": error.message, "request_id": request.state.request_id})
    answer.headers["Content-Length"] = str(len(answer.body))
    return answer


def _may_be_hidden(request: Request, error: HeadwaterError) -> bool:
    return error.code == "repository_not_found" and request.state.actor.is_anonymous


def _repository(request: Request) -> tuple[RepoKind, RepoName]:
    values = request.path_params
    return RepoKind.from_plural(values.get("type", "models")), RepoName(values["ns"], values["name"])


def _json(value: dict[str, Any]) -> Response:
    return Response(orjson.dumps(value), media_type=MEDIA_TYPE)


# The longer form first: "{name}" would take "x.git" as well.
_BASES = [
    f"{prefix}/{{ns}}/{{name}}{tail}/info/lfs" for prefix in ("", "/{type:datasets|spaces}") for tail in (".git", "")
]
ROUTES = [
    *(Route("POST", f"{base}/objects/batch", batch, Access.READ, "lfs") for base in _BASES),
    *(
        Route(method, f"{base}/locks{rest}", refuse_locks, Access.PUBLIC, "lfs")
        for base in _BASES
        for method, rest in (("GET", ""), ("POST", ""), ("POST", "/verify"), ("POST", "/{id}/unlock"))
    ),
    Route("PUT", "/lfs/objects/{link}", put_object, Access.SIGNED_LINK, "lfs"),
    Route("GET", "/lfs/objects/{link}", get_object, Access.SIGNED_LINK, "lfs"),
    Route("PUT", "/lfs/parts/{link}", put_part, Access.SIGNED_LINK, "lfs"),
    Route("POST", "/lfs/uploads/{link}", complete, Access.SIGNED_LINK, "lfs"),
    Route("POST", "/lfs/verify/{link}", verify, Access.SIGNED_LINK, "lfs"),
]
DIALECTS = {"lfs": refuse}

"""The Xet door: tokens, and the content-addressed store that hf_xet speaks to under ``casUrl``."""

from __future__ import annotations

import asyncio
import queue as queues
import re
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from headwater import web
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.signing import BadSignature, BadXetToken
from headwater.hub.xet import ingest, serving
from headwater.hub.xet.errors import BadXorb, ChunkUnknown, GrantsNotServed, XetFileNotFound
from headwater.hub.xet.models import CasGrant
from headwater.hub.xet.shards import MAX_SHARD
from headwater.hub.xet.xorbs import MAX_BODY
from headwater.kernel import HeadwaterError, Kind, XetHash, utcnow
from headwater.web import Access, Route
from headwater.web.responses import parse_ranges
from headwater.web.threads import run_in

HEARTBEAT_S = 5.0  # between lines of a shard's answer; clients give up after 20 s of silence

_HASH = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


async def read_token(request: Request) -> Response:
    """``GET /api/{T}/{R}/xet-read-token/{rev}``: read by huggingface_hub from headers, by hf_xet from the body."""
    return await _token(request, for_writing=False)


async def write_token(request: Request) -> Response:
    """``GET /api/{T}/{R}/xet-write-token/{rev}[?create_pr=1]``."""
    return await _token(request, for_writing=True)


async def _token(request: Request, *, for_writing: bool) -> Response:
    values = request.path_params
    for_pull = request.query_params.get("create_pr") in ("1", "true") or values["rev"].startswith("refs/pr/")
    token = await web.call(
        request,
        serving.issue_token,
        RepoKind.from_plural(values["type"]),
        RepoName(values["ns"], values["name"]),
        for_writing=for_writing,
        for_pull=for_pull,
        now=utcnow(),
    )
    expires = int(token.expires_at.timestamp())
    headers = {
        "X-Xet-Access-Token": token.text,
        "X-Xet-Token-Expiration": str(expires),
        "X-Xet-Cas-Url": token.cas_url,
        "Cache-Control": "no-store",
    }
    return web.JsonResponse({"accessToken": token.text, "exp": expires, "casUrl": token.cas_url}, headers=headers)


async def put_xorb(request: Request) -> Response:
    """``POST {casUrl}/v1/xorbs/{prefix}/{hash}``."""
    grant = _grant(request, for_writing=True)
    name = _hash(request)
    if name is None:
        raise BadXorb("its address does not end in a hash of 64 hex digits")
    site = request.state.site
    is_new = await web.receive_body(
        request, lambda reader: ingest.accept_xorb(site, grant, name, reader), limit_bytes=MAX_BODY
    )
    return web.JsonResponse({"was_inserted": is_new})


async def put_shard_v1(request: Request) -> Response:
    """``POST {casUrl}/v1/shards``: silent until all is verified."""
    grant, checked = await _checked_shard(request)
    is_new = await run_in("body", ingest.finish_shard, request.state.site, grant, checked, lambda _: None)
    return web.JsonResponse({"result": int(is_new)})


async def put_shard_v2(request: Request) -> Response:
    """``POST {casUrl}/v2/shards``: lines of progress while the bytes are hashed, then the result."""
    grant, checked = await _checked_shard(request)
    return StreamingResponse(_shard_lines(request, grant, checked), media_type="application/x-ndjson")


async def _checked_shard(request: Request) -> tuple[CasGrant, ingest.CheckedShard]:
    grant = _grant(request, for_writing=True)
    data = await web.read_body(request, MAX_SHARD)
    return grant, await run_in("body", ingest.check_shard, request.state.site, grant, data)


async def _shard_lines(request: Request, grant: CasGrant, checked: ingest.CheckedShard) -> AsyncIterator[bytes]:
    reached: queues.SimpleQueue[int] = queues.SimpleQueue()
    total = checked.bytes_to_hash
    work = asyncio.create_task(run_in("body", ingest.finish_shard, request.state.site, grant, checked, reached.put))
    verified = 0
    yield _line({"type": "validating", "verified": 0, "total": total})
    while not (await asyncio.wait([work], timeout=HEARTBEAT_S))[0]:
        while not reached.empty():
            verified = reached.get()
        yield _line({"type": "validating", "verified": verified, "total": total})
    try:
        is_new = work.result()
    except HeadwaterError as error:
        retryable = error.kind in (Kind.UNAVAILABLE, Kind.TOO_MANY)
        yield _line({"type": "error", "message": error.message, "retryable": retryable})
        return
    yield _line({"type": "result", "result": int(is_new)})


def _line(value: dict[str, Any]) -> bytes:
    return orjson.dumps(value) + b"\n"


async def get_chunk(request: Request) -> Response:
    """``GET {casUrl}/v1/chunks/{prefix}/{hash}``: is this chunk known? 404, or a shard of what is stored around it."""
    grant = _grant(request, for_writing=True)
    name = _hash(request)
    if name is None:
        raise ChunkUnknown
    shard = await web.in_thread(serving.answer_dedup, request.state.site, grant, name, now=utcnow())
    return Response(shard, media_type="application/octet-stream")


async def refuse_grant(request: Request) -> Response:
    """``POST {casUrl}/v1/xorb-grants/{prefix}/{hash}``: 404 makes the client send the xorb itself."""
    raise GrantsNotServed


async def reconstruction_v1(request: Request) -> Response:
    """``GET {casUrl}/v1/reconstructions/{file}`` (+ ``Range``)."""
    return web.JsonResponse(serving.to_v1(await _reconstruction(request)))


async def reconstruction_v2(request: Request) -> Response:
    """``GET {casUrl}/v2/reconstructions/{file}`` (+ ``Range``)."""
    return web.JsonResponse(serving.to_v2(await _reconstruction(request)))


async def _reconstruction(request: Request) -> serving.Reconstruction:
    grant = _grant(request, for_writing=False)
    name = _hash(request)
    if name is None:
        raise XetFileNotFound
    asked = _RANGE.fullmatch(request.headers.get("range", ""))
    byte_range = None
    if asked is not None:
        last = int(asked[2]) if asked[2] else None
        byte_range = (int(asked[1]), None if last is None else last + 1)
    return await web.in_thread(serving.reconstruct, request.state.site, grant, name, byte_range, now=utcnow())


async def get_range(request: Request) -> Response:
    """``GET /xet/range/{link}`` with ``Range``: bytes of a xorb, at most those that the link was made for."""
    source, start, end, name = await web.in_thread(serving.open_range, request.state.site, request.path_params["link"])
    asked = parse_ranges(request.headers.get("range", ""), source.size_bytes)
    if asked is None or any(low < start or high > end for low, high in asked):
        raise BadSignature
    return web.SourceResponse(request, source, etag=f'"{name}"', headers={"Cache-Control": "private, max-age=3600"})


def _grant(request: Request, *, for_writing: bool) -> CasGrant:
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise BadXetToken
    grant = serving.read_token(request.state.site, text.strip())
    if for_writing and not grant.may_upload:
        raise BadXetToken
    return grant


def _hash(request: Request) -> XetHash | None:
    text = request.path_params["hash"].lower()
    return XetHash(text) if _HASH.fullmatch(text) else None


def refuse(request: Request, error: HeadwaterError) -> Response:
    """The ``cas`` dialect: status and JSON; hf_xet shows the body of a failed call."""
    return web.refuse_in_json(request, error)


_REPO = "/api/{type:models|datasets|spaces}/{ns}/{name}"
_CAS = "/xet/{site}/{owner}/{epoch}"

ROUTES = [
    Route("GET", f"{_REPO}/xet-read-token/{{rev}}", read_token, Access.READ, "hf"),
    Route("GET", f"{_REPO}/xet-write-token/{{rev}}", write_token, Access.CONTRIBUTE, "hf"),
    # The token in the Authorization header is ours, not a person's: it is looked at here.
    Route("POST", f"{_CAS}/v1/xorbs/{{prefix}}/{{hash}}", put_xorb, Access.SIGNED_LINK, "cas"),
    Route("POST", f"{_CAS}/v1/xorb-grants/{{prefix}}/{{hash}}", refuse_grant, Access.SIGNED_LINK, "cas"),
    Route("POST", f"{_CAS}/v1/shards", put_shard_v1, Access.SIGNED_LINK, "cas"),
    Route("POST", f"{_CAS}/v2/shards", put_shard_v2, Access.SIGNED_LINK, "cas"),
    Route("GET", f"{_CAS}/v1/chunks/{{prefix}}/{{hash}}", get_chunk, Access.SIGNED_LINK, "cas"),
    Route("GET", f"{_CAS}/v1/reconstructions/{{hash}}", reconstruction_v1, Access.SIGNED_LINK, "cas"),
    Route("GET", f"{_CAS}/v2/reconstructions/{{hash}}", reconstruction_v2, Access.SIGNED_LINK, "cas"),
    Route("GET", "/xet/range/{link}", get_range, Access.SIGNED_LINK, "cas"),
]
DIALECTS = {"cas": refuse}

"""The log as strangers read it: checkpoint, tiles and bundles as C2SP tlog-tiles says, proofs as JSON, and the witness of others.

Everything here is fit for anyone's eyes: of private things the log holds salted digests.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater import ledger, web
from headwater.blobs import MemorySource
from headwater.db import Tx
from headwater.hub.log import witnesses
from headwater.kernel import Actor, to_iso
from headwater.ledger import keys, sequencer
from headwater.ledger.notes import COSIGNS
from headwater.ledger.tree import parse_tile_path
from headwater.ledger.witnessing import LARGEST_REQUEST_BYTES
from headwater.web import Access, JsonResponse, Route

# A tile never changes but where a log was begun anew with less: whoever keeps one asks whether that has happened.
_KEPT_IF_SAME = {"Cache-Control": "public, no-cache"}
_NOT_LONG = {"Cache-Control": "no-cache"}
_TEXT = "text/plain; charset=utf-8"


async def checkpoint(request: Request) -> Response:
    """``GET /log/checkpoint``: how far the log has come, signed."""
    found = await web.read_tx(request, lambda tx, _: sequencer.find_checkpoint(tx))
    if found is None:
        raise ledger.LogEntryNotFound
    return Response(found.whole, media_type=_TEXT, headers=_NOT_LONG)


async def tile(request: Request) -> Response:
    """``GET /log/tile/…``; what a cache has of it is confirmed by 304."""
    asked = parse_tile_path(request.path_params["path"])
    if asked is None:
        raise ledger.LogTileNotFound
    level, index, width = asked

    def read(tx: Tx, _: Actor) -> bytes | None:
        if level is None:
            return sequencer.read_bundle(tx, index, width)
        return sequencer.read_tile(tx, level, index, width)

    found = await web.read_tx(request, read)
    if found is None:
        raise ledger.LogTileNotFound
    etag = f'"{hashlib.sha256(found).hexdigest()[:32]}"'
    return web.SourceResponse(request, MemorySource(found), etag=etag, headers=_KEPT_IF_SAME)


async def key(request: Request) -> Response:
    """``GET /log/key``: whose signature stands below the checkpoints."""
    return Response(f"{await _log_key(request)}\n", media_type=_TEXT, headers=_NOT_LONG)


async def witness_key(request: Request) -> Response:
    """``GET /log/witness/key``: whose signature this site gives as a witness."""
    found = (await _log_key(request)).with_kind(COSIGNS)
    return Response(f"{found}\n", media_type=_TEXT, headers=_NOT_LONG)


async def _log_key(request: Request) -> Any:
    identity = await web.read_tx(request, lambda tx, _: keys.find_log(tx))
    if identity is None:
        raise ledger.LogEntryNotFound
    return identity.key


async def add_checkpoint(request: Request) -> Response:
    """``POST /log/witness/add-checkpoint``: another site's log asks for this one's signature."""
    body = await web.read_body(request, LARGEST_REQUEST_BYTES)
    answer = await web.call(request, witnesses.answer, body)
    return Response(answer.body, answer.status, headers={"Content-Type": answer.media_type, **_NOT_LONG})


async def entry(request: Request) -> Response:
    """``GET /api/v1/log/entries/{index}``: an entry, and the proof that it is in the latest checkpoint."""
    return JsonResponse(await web.read_tx(request, _entry, _number(request.path_params["index"])))


def _entry(tx: Tx, _: Actor, index: int) -> dict[str, Any]:
    proven = prove(tx, index)
    return {
        "index": proven.leaf.index,
        "leaf": proven.leaf.text,
        "hash": proven.leaf.hash.hex(),
        "size": proven.checkpoint.size,
        "root": proven.checkpoint.root.hex(),
        "proof": [step.hex() for step in proven.proof],
        "checkpoint": proven.checkpoint.whole,
        "signed_at": to_iso(proven.checkpoint.signed_at),
    }


async def consistency(request: Request) -> Response:
    """``GET /api/v1/log/consistency?from=…&to=…``: the proof that the log of ``to`` entries has grown out of the one of ``from``."""
    asked = [_number(request.query_params.get(name, "")) for name in ("from", "to")]
    return JsonResponse(await web.read_tx(request, _consistency, *asked))


def _consistency(tx: Tx, _: Actor, old: int, new: int) -> dict[str, Any]:
    size = sequencer.size_of(tx)
    if not 0 <= old <= new <= size:
        raise ledger.BadLogRange(size)
    tree = sequencer.tree_of(tx, new)
    proof = tree.consistency_proof(old)
    roots = {"from": sequencer.tree_of(tx, old).root().hex(), "to": tree.root().hex()}
    return {"from": old, "to": new, "roots": roots, "proof": [base64.b64encode(step).decode() for step in proof]}


def prove(tx: Tx, index: int) -> ledger.Proven:
    """An entry with the proof that it is in the latest checkpoint.

    Raises:
        LogEntryNotFound: it is not there, or not signed yet.
    """
    found = ledger.prove(tx, index)
    if found is None:
        raise ledger.LogEntryNotFound
    return found


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1


ROUTES = [
    Route("GET", "/log/checkpoint", checkpoint, Access.PUBLIC, "api"),
    Route("GET", "/log/tile/{path*}", tile, Access.PUBLIC, "api"),
    Route("GET", "/log/key", key, Access.PUBLIC, "api"),
    Route("GET", "/log/witness/key", witness_key, Access.PUBLIC, "api"),
    Route("POST", "/log/witness/add-checkpoint", add_checkpoint, Access.PUBLIC, "api"),
    Route("GET", "/api/v1/log/entries/{index}", entry, Access.PUBLIC, "api"),
    Route("GET", "/api/v1/log/consistency", consistency, Access.PUBLIC, "api"),
]

"""From a request to one service function: the actor, the transaction, the thread it runs in."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar
from urllib.parse import parse_qs

import orjson
from starlette.requests import Request
from starlette.responses import Response

from headwater.db import Tx
from headwater.kernel import ANONYMOUS, Actor
from headwater.web.bodies import read_body
from headwater.web.refusals import BadForm, BadJson
from headwater.web.routing import AtOnce, Endpoint
from headwater.web.site import Site
from headwater.web.threads import in_thread

P = ParamSpec("P")
T = TypeVar("T")

JSON_LIMIT_BYTES = 1 << 20


def site_of(request: Request) -> Site:
    site: Site = request.scope["state"]["site"]
    return site


def actor_of(request: Request) -> Actor:
    """Who asks; nobody in particular until ``authenticate`` has said otherwise."""
    actor: Actor = request.scope["state"].get("actor", ANONYMOUS)
    return actor


async def read_tx(
    request: Request, act: Callable[Concatenate[Tx, Actor, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """``act(tx, actor, ...)`` in one read snapshot, in a thread."""
    db, actor = site_of(request).db, actor_of(request)

    def run() -> T:
        with db.reading() as tx:
            return act(tx, actor, *args, **kwargs)

    return await in_thread(run)


def in_snapshot(act: AtOnce) -> Endpoint:
    """An endpoint out of what answers at once, for where the event loop must not read."""

    async def endpoint(request: Request) -> Response:
        def run(tx: Tx, _actor: Actor) -> Response:
            found = act(request, tx)
            if found is None:
                raise TypeError("this cannot be answered from a snapshot alone")
            return found

        return await read_tx(request, run)

    return endpoint


async def write_tx(
    request: Request, act: Callable[Concatenate[Tx, Actor, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """``act(tx, actor, ...)`` in a write transaction of its own; returns once it is durable.

    ``act`` runs on the process's writer thread and does no I/O but SQL.
    """
    actor, context = actor_of(request), contextvars.copy_context()

    @functools.wraps(act)  # and as row-locked as it
    def run(tx: Tx) -> T:
        return context.run(act, tx, actor, *args, **kwargs)

    return await asyncio.wrap_future(site_of(request).db.submit(run))


async def call(request: Request, act: Callable[Concatenate[Site, Actor, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``act(site, actor, ...)`` in a thread: for acts that do I/O and open their own transactions."""
    return await in_thread(functools.partial(act, site_of(request), actor_of(request)), *args, **kwargs)


def parse_form(body: bytes, *, most: int = 1000) -> dict[str, list[str]]:
    """The fields of a url-encoded form, each with its values in their order, empty ones too.

    Raises:
        BadForm: there are more than ``most``.
    """
    try:
        return parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=most)
    except ValueError as exc:
        raise BadForm(most) from exc


async def read_json(request: Request, *, limit_bytes: int = JSON_LIMIT_BYTES) -> Any:
    """The body as JSON; an empty body is None.

    Raises:
        BadJson: it is not JSON.
        BodyTooLarge, BodyTooSlow, BodyTruncated: it did not come whole.
    """
    body = await read_body(request, limit_bytes)
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise BadJson(str(exc)) from exc


async def read_json_object(request: Request, *, limit_bytes: int = JSON_LIMIT_BYTES) -> dict[str, Any]:
    """As ``read_json``, where only an object will do; an empty body is an empty object."""
    value = await read_json(request, limit_bytes=limit_bytes)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadJson("an object was expected")
    return value

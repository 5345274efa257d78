"""What happens to a run, as it happens: server-sent events out of the database, whichever process writes it.

``log`` events carry the number of their piece as id, so that a browser that comes back goes on where it was. A stream ends with the
run, with the server, and after some minutes; browsers then ask again by themselves.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from headwater.accounts import Action, still_stands
from headwater.compute.errors import RunNotFound, TooManyStreams
from headwater.compute.rows import LogPiece, Run
from headwater.compute.service import access
from headwater.compute.store import said
from headwater.db import Tx
from headwater.kernel import Actor, HeadwaterError, utcnow
from headwater.web import Site, in_thread
from headwater.web.health import DRAINING

LOOK_S = 0.25
ASK_AGAIN_S = 15.0  # whether the reader may still see it; and a sign of life to proxies
LONGEST_S = 600.0
PIECES = 16
MOST_STREAMS = 64  # of one account, or of one address of those without; in each process

_STREAMS: Counter[str] = Counter()


class Place:
    """One of the streams that ``actor`` may have at a time: taken when it is made, and given back once.

    Raises:
        TooManyStreams
    """

    def __init__(self, request: Request, actor: Actor) -> None:
        self._reader: str | None = None
        reader = f"a{actor.account_id}" if actor.account_id else f"@{request.client.host if request.client else ''}"
        if _STREAMS[reader] >= MOST_STREAMS:
            raise TooManyStreams(MOST_STREAMS)
        _STREAMS[reader] += 1
        self._reader = reader

    def give_back(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            _STREAMS[reader] -= 1
            if _STREAMS[reader] <= 0:
                del _STREAMS[reader]

    def __del__(self) -> None:
        self.give_back()  # of an answer that was never sent


class EventStream(StreamingResponse):
    """The answer; its place is free as soon as it ends, also where its reader went away."""

    def __init__(self, events: Events, place: Place) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events.iterate(), media_type="text/event-stream", headers=headers)
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._place.give_back()


class Events:
    """One reader's stream."""

    def __init__(self, site: Site, actor: Actor, run_id: int, after: int) -> None:
        self.site = site
        self.actor = actor
        self.run_id = run_id
        self.after = after
        self._shown: dict[str, Any] = {}
        self._versions: dict[int, int] = {}

    async def iterate(self) -> AsyncIterator[bytes]:
        looked_at, ends_at, is_behind = 0.0, time.monotonic() + LONGEST_S, True
        yield b"retry: 2000\n\n"
        while time.monotonic() < ends_at and not DRAINING.total():
            has_changed = await in_thread(self._has_changed)
            now = time.monotonic()
            if not has_changed and not is_behind and now - looked_at < ASK_AGAIN_S:
                await asyncio.sleep(LOOK_S)
                continue
            if now - looked_at >= ASK_AGAIN_S:
                yield b": alive\n\n"
            looked_at = now
            try:
                run, pieces = await in_thread(self._look)
            except HeadwaterError:
                return  # gone, or hidden from this reader by now
            for piece in pieces:
                self.after = piece.number
                facts = {"attempt": piece.attempt, "start": piece.start, "end": piece.end, "text": piece.text}
                yield _event("log", facts, piece.number)
            shown = _facts(run)
            if shown != self._shown:
                self._shown = shown
                yield _event("run", shown)
            is_behind = len(pieces) == PIECES
            if not is_behind and run.state.is_over:
                yield _event("over", {"state": run.state.value})
                return
            await asyncio.sleep(LOOK_S)

    def _has_changed(self) -> bool:
        """Whether anybody has committed anything since this thread last asked: each thread's connection counts for itself."""
        thread, version = threading.get_ident(), self.site.db.version()
        before, self._versions[thread] = self._versions.get(thread), version
        return before != version

    def _look(self) -> tuple[Run, list[LogPiece]]:
        with self.site.db.reading() as tx:
            return self._read(tx)

    def _read(self, tx: Tx) -> tuple[Run, list[LogPiece]]:
        if not still_stands(tx, self.actor, now=utcnow()):
            raise RunNotFound
        run = access.get(tx, self.actor, self.run_id, Action.READ)
        return run, said.log_after(tx, run.id, self.after, PIECES)


def _facts(run: Run) -> dict[str, Any]:
    return {
        "state": run.state.value,
        "progress": run.progress,
        "reason": run.reason,
        "points": run.n_points,
        "attempt": run.n_attempts,
        "result": run.result is not None,
        "cancel_requested": run.cancel_requested_at is not None,
    }


def _event(name: str, facts: dict[str, Any], number: int | None = None) -> bytes:
    head = b"" if number is None else b"id: %d\n" % number
    return head + b"event: " + name.encode() + b"\ndata: " + orjson.dumps(facts) + b"\n\n"

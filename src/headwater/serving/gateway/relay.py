"""One request on its way: from its key to an engine, and the engine's bytes back, as they came.

What is changed of a stream is one event: the usage that was asked of the engine for counting, where the client did not ask
for it. Whoever leaves ends their generation: the connection to the engine is let go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import orjson
import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from headwater.db import Tx
from headwater.kernel import Actor, HeadwaterError, metrics, utcnow
from headwater.serving import service, store, usage_store
from headwater.serving.errors import (
    BadRequest,
    ContextExceeded,
    EndpointFailed,
    EndpointStarting,
    EndpointStopped,
    EngineGone,
    WrongTask,
)
from headwater.serving.gateway import limits as limits_module
from headwater.serving.gateway.asking import EMBEDDINGS, Asked
from headwater.serving.gateway.limits import Budget, Subject, Taken
from headwater.serving.gateway.refusing import shape_of
from headwater.serving.gateway.upstream import Broken, Connection, Upstream, read_whole
from headwater.serving.models import Limits, Served, State, Used
from headwater.serving.settings import ServingSettings
from headwater.serving.supervisor import nudge
from headwater.web import Site, in_thread

ANSWER_BYTES = 256 << 20
LOOK_S = 0.05  # while an endpoint wakes
TOUCH_S, FRESH_S = 15.0, 5.0  # how often a long answer says that its endpoint is in use; and how lately is often enough
LOG_CHARS = 64 * 1024
ACCOUNT_FACTOR = 2  # an account may use more than each of its keys, so that a runaway program leaves its owner room

_REQUESTS = metrics.counter("headwater_gateway_requests_total", "Requests to served models.", "outcome")
_ANSWERED, _REFUSED, _FAILED, _LEFT = (_REQUESTS.of(word) for word in ("answered", "refused", "failed", "left"))
_TOKENS = metrics.counter("headwater_gateway_tokens_total", "Tokens that served models read and wrote.", "kind")
_READ, _WRITTEN = _TOKENS.of("read"), _TOKENS.of("written")

log = structlog.get_logger("headwater.serving")


class Leaving:
    """Whether the client has gone. ``let_go`` is called once, when it goes."""

    def __init__(self, receive: Receive) -> None:
        self.is_gone = False
        self.let_go: Callable[[], None] | None = None
        self._task = asyncio.ensure_future(self._watch(receive))

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True
        if self.let_go is not None:
            self.let_go()

    def end(self) -> None:
        self._task.cancel()


@dataclass
class Exchange:
    """What is known of a request while it is answered."""

    asked: Asked
    served: Served
    account_id: int
    token_id: int
    taken: Taken
    leaving: Leaving
    began: float
    first_at: float | None = None
    usage: dict[str, Any] | None = None
    n_events: int = 0
    is_error: bool = False
    kept: list[bytes] = field(default_factory=list)
    n_kept: int = 0

    toucher: asyncio.TimerHandle | None = None

    def keep(self, data: bytes) -> None:
        """For owners who keep contents; the first of an answer is enough."""
        if self.served.endpoint.keeps_contents and self.n_kept < LOG_CHARS:
            self.kept.append(data)
            self.n_kept += len(data)


class Gateway:
    """A site part of each web worker."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._settings = site.settings.of(ServingSettings)
        self.budget = Budget(site.db)
        self.upstream = Upstream()
        own = self._settings
        self._own = Limits(own.requests_per_minute, own.requests_per_day, own.tokens_per_minute, own.tokens_per_day)
        self._of_account = Limits(*(ACCOUNT_FACTOR * each for each in (
            own.requests_per_minute, own.requests_per_day, own.tokens_per_minute, own.tokens_per_day)))  # fmt: skip

    async def answer(self, request: Request, actor: Actor, asked: Asked, began: float) -> Response:
        """Raises: every refusal of the gateway; once this has returned, only bytes follow."""
        served, subjects = await self._read(self._find, actor, asked.model)
        one = served.endpoint
        if one.task == "embed" and asked.call != EMBEDDINGS:
            raise WrongTask(one.model, "makes embeddings only", "/v1/embeddings")
        if one.task != "embed" and asked.call == EMBEDDINGS:
            raise WrongTask(one.model, "generates text", "/v1/chat/completions")
        taken = self.budget.take(subjects, asked.n_chars)
        token_id = 0 if actor.limits is None else actor.limits.token_id
        leaving = Leaving(request.receive)
        under_way = Exchange(asked, served, actor.account_id or 0, token_id, taken, leaving, began)
        used_at = served.standing.last_used_at
        if used_at is None or utcnow() - used_at > timedelta(seconds=FRESH_S):
            self._touch(under_way)
        else:
            under_way.toucher = asyncio.get_running_loop().call_later(TOUCH_S, self._touch, under_way)
        try:
            return await self._ask(under_way)
        except BaseException as exc:
            is_theirs = isinstance(exc, BadRequest | ContextExceeded | asyncio.CancelledError)
            under_way.is_error = not (is_theirs or leaving.is_gone)
            self._end(under_way)
            raise

    def _find(self, tx: Tx, actor: Actor, model: str) -> tuple[Served, list[Subject]]:
        served = service.get_for_use(tx, actor, model)
        return served, tx.remembered(
            ("serving limits", actor.account_id, actor.limits and actor.limits.token_id, served.endpoint.owner_id),
            lambda: self._subjects(tx, actor, served),
        )

    def _subjects(self, tx: Tx, actor: Actor, served: Served) -> list[Subject]:
        """Whose use it is, and what was set for them: a key's own limit, an account's, an owner's."""
        account_id, owner_id = actor.account_id or 0, served.endpoint.owner_id
        wanted = [(usage_store.ACCOUNT, account_id), (usage_store.OWNER, owner_id)]
        if actor.limits is not None:
            wanted.append((usage_store.TOKEN, actor.limits.token_id))
        found = usage_store.limits_of(tx, wanted)
        subjects = []
        if actor.limits is not None:
            key = actor.limits.token_id
            subjects.append(Subject(f"t{key}", "this key", found.get((usage_store.TOKEN, key), self._own)))
        account = found.get((usage_store.ACCOUNT, account_id), self._of_account)
        subjects.append(Subject(f"a{account_id}", f"the account {actor.name}", account))
        owner = found.get((usage_store.OWNER, owner_id))
        if owner is not None:
            subjects.append(Subject(f"o{owner_id}", f"everyone together at {served.endpoint.owner}", owner))
        return subjects

    # ---- to the engine

    async def _ask(self, under_way: Exchange) -> Response:
        connection = await self._reach(under_way)
        address = under_way.served.standing.address or ""
        streams = connection.status == 200 and b"event-stream" in connection.headers.get(b"content-type", b"")
        try:
            if connection.status != 200:
                body = await read_whole(connection, ANSWER_BYTES)
                raise _refusal_of(connection.status, body)
            if not streams:
                body = await read_whole(connection, ANSWER_BYTES)
                return self._whole(under_way, connection, address, body)
            # The head goes out with the first of the body, so an engine that refuses by an event still gets its status.
            first = await connection.read()
            if not first:
                raise EngineGone("it sent nothing")
            refused = _refusal_in(first)
            if refused is not None:
                raise refused
        except BaseException:
            connection.abort()
            raise
        under_way.first_at = time.perf_counter()
        return _Stream(self, under_way, connection, address, first)

    async def _reach(self, under_way: Exchange) -> Connection:
        """The engine's answer has begun. What sleeps is woken, and waited for; so is the next one, where one has died before it
        was asked. What dies while it is asked is not: the request may be what ends it, and would end the next one, too.
        """
        loop, leaving = asyncio.get_running_loop(), under_way.leaving
        deadline = loop.time() + self._settings.wake_timeout_s
        is_woken = False
        while not leaving.is_gone:
            standing, one = under_way.served.standing, under_way.served.endpoint
            if one.wanted != "running" or standing.state is State.STOPPED:
                raise EndpointStopped(one.model)
            if standing.state is State.FAILED:
                raise EndpointFailed(one.model)
            if standing.state is State.READY and standing.address is not None:
                try:
                    return await self._ask_at(under_way, standing.address, standing.key or "")
                except Broken as exc:
                    if leaving.is_gone:
                        break
                    nudge(self._site.data_dir)
                    if exc.was_asked:
                        raise EngineGone("its process ended") from exc
            elif not is_woken:
                is_woken = True
                await self._write(store.note_use, one.id, now=utcnow(), wakes=True)
                nudge(self._site.data_dir)
            if loop.time() > deadline:
                raise EndpointStarting(one.model, self._settings.wake_timeout_s)
            await asyncio.sleep(LOOK_S)
            found = await self._read(store.find, one.id)
            if found is None:
                raise EndpointStopped(one.model)
            under_way.served = found
        raise ClientLeft

    async def _ask_at(self, under_way: Exchange, address: str, key: str) -> Connection:
        asked = under_way.asked
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

        def holds(connection: Connection) -> None:
            if under_way.leaving.is_gone:  # what was let go for them must not be asked again on the next connection
                connection.abort()
                raise ClientLeft
            under_way.leaving.let_go = connection.abort

        return await self.upstream.ask(
            address, "POST", f"/v1/{asked.call}", headers, asked.body, self._settings.stall_s, holds
        )

    def _whole(self, under_way: Exchange, connection: Connection, address: str, body: bytes) -> Response:
        under_way.first_at = time.perf_counter()
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError as exc:
            raise EngineGone("what it sent is not JSON") from exc
        usage = said.get("usage") if isinstance(said, dict) else None
        if not isinstance(usage, dict):
            raise EngineGone("its answer does not say what was used")
        under_way.usage = usage
        under_way.keep(body)
        self.upstream.done(address, connection)
        self._end(under_way)
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store", **under_way.taken.headers}
        return Response(body, 200, headers)

    # ---- the end of it

    def _end(self, under_way: Exchange) -> None:
        """Count what was used, aside."""
        under_way.leaving.end()
        if under_way.toucher is not None:
            under_way.toucher.cancel()
        prompt, completion = _counts(under_way)
        is_refused = under_way.first_at is None and not under_way.is_error
        left = under_way.leaving.is_gone
        (_LEFT if left else _FAILED if under_way.is_error else _REFUSED if is_refused else _ANSWERED).add()
        _READ.add(prompt)
        _WRITTEN.add(completion)
        self.budget.settle(under_way.taken, prompt + completion)
        now, moment = utcnow(), time.perf_counter()
        first_ms = 0 if under_way.first_at is None else round((under_way.first_at - under_way.began) * 1000)
        whole_ms = round((moment - under_way.began) * 1000)
        used = Used(1, int(under_way.is_error), prompt, completion, first_ms, whole_ms)
        one = under_way.served.endpoint
        minute = int(now.timestamp()) // 60
        try:
            self._site.db.submit(
                usage_store.add_usage, one.id, under_way.account_id, under_way.token_id, minute, used, now=now
            )
            if one.keeps_contents and under_way.kept:
                text = b"".join(under_way.kept).decode(errors="replace")
                self._site.db.submit(
                    usage_store.add_exchange, one.id, under_way.account_id, under_way.asked.text, text, now=now
                )
        except HeadwaterError as error:  # a site that takes no writes still answers
            log.info("usage.not_counted", reason=error.message)

    def _touch(self, under_way: Exchange) -> None:
        """The endpoint is in use, and is said to be so again until the answer has ended: it must not be put to sleep meanwhile."""
        under_way.toucher = asyncio.get_running_loop().call_later(TOUCH_S, self._touch, under_way)
        try:
            self._site.db.submit(store.note_use, under_way.served.endpoint.id, now=utcnow(), wakes=False)
        except HeadwaterError as error:
            log.info("usage.not_counted", reason=error.message)

    async def _read(self, act: Callable[..., Any], *args: Any) -> Any:
        if self._site.db.dialect == "sqlite":  # out of memory, in less time than another thread takes
            return self._site.db.read(act, *args)
        return await in_thread(self._site.db.read, act, *args)

    async def _write(self, act: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        await asyncio.wrap_future(self._site.db.submit(act, *args, **kwargs))

    def close(self) -> None:
        self.upstream.close()


class ClientLeft(HeadwaterError):
    """Nobody is there to read it."""

    code = "client_left"

    def __init__(self) -> None:
        super().__init__("The client left before it was answered.")


class _Stream(Response):
    """Server-sent events, as the engine makes them."""

    def __init__(
        self, gateway: Gateway, under_way: Exchange, connection: Connection, address: str, first: bytes
    ) -> None:
        super().__init__(status_code=200, headers={
            "Cache-Control": "no-store", "X-Accel-Buffering": "no", **under_way.taken.headers,
        }, media_type=None)  # fmt: skip
        self.raw_headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        self.raw_headers.append((b"content-type", b"text/event-stream; charset=utf-8"))
        self._gateway = gateway
        self._under_way = under_way
        self._connection = connection
        self._address = address
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        under_way, connection = self._under_way, self._connection
        events = Events(under_way)
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            data = self._first
            while data:
                out = events.feed(data)
                if out:
                    under_way.keep(out)
                    await send({"type": "http.response.body", "body": out, "more_body": True})
                data = await connection.read()
            await send({"type": "http.response.body", "body": events.end(), "more_body": False})
        except EngineGone as error:
            under_way.is_error = not under_way.leaving.is_gone
            if not under_way.leaving.is_gone:
                log.warning("engine.broke_off", endpoint=under_way.served.endpoint.model, reason=error.message)
                nudge(self._gateway._site.data_dir)  # noqa: SLF001 -- a part of it
                last = b"data: " + orjson.dumps(shape_of(error)) + b"\n\n"
                await send({"type": "http.response.body", "body": last, "more_body": False})
        finally:
            self._gateway.upstream.done(self._address, connection)
            self._gateway._end(under_way)  # noqa: SLF001


class Events:
    """Looks at events as they pass, whole ones only, for the one that tells what was used."""

    def __init__(self, under_way: Exchange) -> None:
        self._under_way = under_way
        self._strips = not under_way.asked.wants_usage
        self._rest = b""

    def feed(self, data: bytes) -> bytes:
        """What of it goes on now."""
        if self._rest:
            data = self._rest + data
        at = data.rfind(b"\n\n") + 2
        if at == 1:
            self._rest = data
            return b""
        self._rest = data[at:]
        whole = data if at == len(data) else data[:at]
        under_way = self._under_way
        under_way.n_events += whole.count(b"data:")
        if b'"usage"' not in whole:
            return whole
        return b"".join([event + b"\n\n" for event in whole.split(b"\n\n") if event and self._goes_on(event)])

    def _goes_on(self, event: bytes) -> bool:
        if b'"usage"' not in event or not event.startswith(b"data:"):
            return True
        try:
            said = orjson.loads(event[5:])
        except orjson.JSONDecodeError:
            return True
        usage = said.get("usage") if isinstance(said, dict) else None
        if not isinstance(usage, dict):
            return True
        self._under_way.usage = usage
        return not (self._strips and said.get("choices") == [])

    def end(self) -> bytes:
        rest, self._rest = self._rest, b""
        return rest


def _counts(under_way: Exchange) -> tuple[int, int]:
    """Tokens of prompt and answer: as the engine says, or about, where the client left before it could."""
    usage = under_way.usage
    if usage is not None:
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
        if isinstance(prompt, int) and isinstance(completion, int):
            return max(0, prompt), max(0, completion)
    if under_way.first_at is None:
        return 0, 0
    return under_way.asked.n_chars // limits_module.CHARS_PER_TOKEN, under_way.n_events


def _refusal_in(first: bytes) -> HeadwaterError | None:
    """What an engine refuses by the first event of a stream."""
    for mark in (b"data:", b"error:"):
        if first.startswith(mark):
            try:
                said = orjson.loads(first[len(mark) :].split(b"\n\n", 1)[0])
            except orjson.JSONDecodeError:
                return None
            if not isinstance(said, dict) or (b"error" not in mark and "error" not in said):
                return None
            error = said.get("error", said)
            code = error.get("code") if isinstance(error, dict) else None
            return _refusal_of(code if isinstance(code, int) else 500, orjson.dumps({"error": error}))
    return None


def _refusal_of(status: int, body: bytes) -> HeadwaterError:
    """An engine's refusal as the gateway's own."""
    try:
        said = orjson.loads(body)
        error = said["error"] if isinstance(said["error"], dict) else {"message": str(said["error"])}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        error = {}
    message = str(error.get("message") or f"the engine answered with status {status}")[:2000]
    n_prompt, n_context = error.get("n_prompt_tokens"), error.get("n_ctx")
    if error.get("type") == "exceed_context_size_error":
        return ContextExceeded(
            n_prompt if isinstance(n_prompt, int) else None, n_context if isinstance(n_context, int) else None
        )
    if status in (401, 403, 503):
        return EngineGone(f"it says {message!r}")
    if 400 <= status < 500:
        return BadRequest(message)
    return EngineGone(f"it says {message!r}")

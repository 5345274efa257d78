"""Git's smart HTTP: ``info/refs``, ``git-upload-pack``, ``git-receive-pack``, at ``/ns/name`` and ``/ns/name.git``.

Fetching is the git program's work on the cache, streamed through; pushing is ``push.receive``.
Protocol: gitprotocol-http(5), gitprotocol-v2(5).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

import headwater
from headwater import web
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub import access, gate
from headwater.hub.gate.door import accepts_suspicious
from headwater.hub.git import bitmaps, lsrefs, pktline
from headwater.hub.git.cache import GitStore
from headwater.hub.git.errors import BadPush
from headwater.hub.git.snapshot import git_command, git_env
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import Actor, HeadwaterError, Kind
from headwater.web import Access, Route, Site

if TYPE_CHECKING:
    from headwater.hub.git.snapshot import Snapshot

MAX_FETCH_BYTES = 64 << 20  # what a client says it has; gigabytes of history need a few megabytes
CHUNK_BYTES = 256 << 10
STALLED_S = 300.0  # a client that takes nothing for so long is let go

_PROTOCOL = re.compile(r"version=([0-2])(?::.*)?")
_log = logging.getLogger("headwater.hub.git")


async def info_refs(request: Request) -> Response:
    """``GET …/info/refs?service=…``: where a conversation begins; moved repositories redirect from here."""
    service = request.query_params.get("service", "")
    if service == "git-receive-pack":
        from headwater.hub.git import push

        repo = await _repository(request, push.get_pushable)
    elif service == "git-upload-pack":
        repo = await _repository(request, _get_readable)
        await web.read_tx(request, gate.require_clone, repo, partial(accepts_suspicious, request))
    else:
        raise BadPush(
            "This server speaks git's smart protocol only; the address needs ?service=. Use git 1.6.6 or later."
        )
    _, name = _asked(request)
    if repo.name != name:
        return RedirectResponse(f"{web.site_of(request).base_url}/{repo.path}.git/info/refs?service={service}", 301)
    if service == "git-receive-pack":
        return await web.in_thread(_advertise_push, web.site_of(request), repo)
    return await _advertise_fetch(request, repo)


async def upload_pack(request: Request) -> Response:
    """``POST …/git-upload-pack``: ls-refs and fetch."""
    repo = await _repository(request, _get_readable)
    body = await web.receive_body(request, lambda reader: reader.read(), limit_bytes=MAX_FETCH_BYTES, decode=True)
    env = _protocol_env(request)
    if _is_v2(env):
        asked = lsrefs.parse(body)
        if asked is not None:
            refs = await web.call(request, _list_refs, repo, asked)
            return Response(refs, headers=_NO_CACHE, media_type="application/x-git-upload-pack-result")
    await web.read_tx(request, _require_fetch, repo, body, partial(accepts_suspicious, request))
    return await _run_fetch(request, repo, body, env)


async def receive_pack(request: Request) -> Response:
    """``POST …/git-receive-pack``."""
    from headwater.hub.git import push

    site, actor = web.site_of(request), web.actor_of(request)
    kind, name = _asked(request)
    report = await web.receive_body(request, lambda reader: push.receive(site, actor, kind, name, reader), decode=True)
    return Response(report, headers=_NO_CACHE, media_type="application/x-git-receive-pack-result")


def refuse(request: Request, error: HeadwaterError) -> Response:
    """A refusal as git shows it: plain text is printed after "remote:".

    A stranger who asks for what is not there, or is hidden, is asked to sign in: the same answer for both.
    """
    status, headers = web.status_of(error), dict(error.headers)
    actor: Actor | None = getattr(request.state, "actor", None)
    is_stranger = actor is None or actor.is_anonymous
    if error.kind is Kind.NOT_AUTHENTICATED or (is_stranger and error.kind in (Kind.NOT_FOUND, Kind.NOT_ALLOWED)):
        status = 401
        headers["WWW-Authenticate"] = 'Basic realm="Headwater: user name, and a token as password", charset="UTF-8"'
    return Response(f"{error.message}\n", status, headers, "text/plain; charset=utf-8")


_NO_CACHE = {"Cache-Control": "no-cache, max-age=0, must-revalidate"}


def _get_readable(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName) -> Repository:
    return access.get_repository(tx, actor, kind, name, Action.READ_FILES)


_WANT = re.compile(rb"want ([0-9a-fA-F]{40})")


def _require_fetch(tx: Tx, actor: Actor, repo: Repository, body: bytes, accepts: gate.Accepts) -> None:
    """What only pull requests hold comes to those alone who ask for more than the ends of branches and tags."""
    from headwater.hub.git import store

    if gate.holds_small(tx, repo.id):
        refs = store.read_refs(tx, repo.id).items()
        ends = {oid.encode() for ref, oid in refs if ref.startswith(("refs/heads/", "refs/tags/"))}
        wanted = [oid.lower() for oid in _WANT.findall(body)]
        # What git may read otherwise than we do counts as asking for more.
        with_pulls = len(wanted) != body.count(b"want") or not ends.issuperset(wanted)
        gate.require_clone(tx, actor, repo, accepts, with_pulls=with_pulls)


def _asked(request: Request) -> tuple[RepoKind, RepoName]:
    values = request.path_params
    kind = RepoKind.from_plural(values.get("type") or "models")
    return kind, RepoName(values["ns"], values["name"].removesuffix(".git"))


async def _repository(request: Request, find: Callable[[Tx, Actor, RepoKind, RepoName], Repository]) -> Repository:
    kind, name = _asked(request)
    return await web.read_tx(request, find, kind, name)


def _protocol_env(request: Request) -> dict[str, str]:
    asked = request.headers.get("git-protocol", "")
    return {"GIT_PROTOCOL": asked} if len(asked) < 200 and _PROTOCOL.fullmatch(asked) else {}


def _is_v2(env: dict[str, str]) -> bool:
    return env.get("GIT_PROTOCOL", "").startswith("version=2")


def _list_refs(site: Site, _actor: Actor, repo: Repository, asked: lsrefs.Question) -> bytes:
    with site.part(GitStore).open(repo.id) as snap:
        return lsrefs.answer(snap, asked)


def _advertise_push(site: Site, repo: Repository) -> Response:
    from headwater.hub.git import push, store

    refs = site.db.read(store.read_refs, repo.id)
    capabilities = f"{push.CAPABILITIES} agent=headwater/{headwater.__version__}"
    body = pktline.format_advertisement("git-receive-pack", sorted(refs.items()), capabilities)
    return Response(body, headers=_NO_CACHE, media_type="application/x-git-receive-pack-advertisement")


_v2_advertisement: bytes | None = None


async def _advertise_fetch(request: Request, repo: Repository) -> Response:
    """In version 2 it tells what the git program can do, nothing about the repository: asked of it once a process."""
    global _v2_advertisement  # noqa: PLW0603
    env = _protocol_env(request)
    is_v2 = _is_v2(env)
    body = _v2_advertisement if is_v2 else None
    if body is None:
        args = ["upload-pack", "--stateless-rpc", "--http-backend-info-refs"]
        body = await web.call(request, _advertisement_of, repo, args, env)
        if is_v2:
            _v2_advertisement = body
        else:
            body = pktline.pkt(b"# service=git-upload-pack\n") + pktline.FLUSH + body
    return Response(body, headers=_NO_CACHE, media_type="application/x-git-upload-pack-advertisement")


def _advertisement_of(site: Site, _actor: Actor, repo: Repository, args: list[str], env: dict[str, str]) -> bytes:
    with site.part(GitStore).open(repo.id) as snap:
        return snap.run_git(*args, str(snap.folder), env=env)


async def _run_fetch(request: Request, repo: Repository, body: bytes, env: dict[str, str]) -> Response:
    store = web.site_of(request).part(GitStore)
    opened = ExitStack()
    try:
        snap: Snapshot = await web.in_thread(opened.enter_context, store.open(repo.id))
        child = await asyncio.create_subprocess_exec(
            *git_command(snap.folder, "upload-pack", "--stateless-rpc", str(snap.folder)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env=git_env(env),
            pass_fds=(snap.lock_fd,),
            limit=CHUNK_BYTES,
        )
    except BaseException:
        opened.close()
        raise
    is_clone = body.endswith(_DONE) and b"have " not in body and b"deepen" not in body
    return _ChildResponse(child, body, opened, (lambda: bitmaps.consider(snap)) if is_clone else None)


_DONE = (pktline.pkt(b"done\n") + pktline.FLUSH, pktline.pkt(b"done") + pktline.FLUSH)
# What git shows as "remote error" when the program found nothing to answer.
_NOT_READ = pktline.pkt(b"ERR The request is cut short or not in git's packet format. Try again.\n")


class _ChildResponse(Response):
    """What a child prints, as fast as the client takes it. The child is killed when the client goes or stalls."""

    def __init__(
        self, child: asyncio.subprocess.Process, stdin: bytes, opened: ExitStack, then: Callable[[], None] | None
    ) -> None:
        super().__init__(None, 200, _NO_CACHE, "application/x-git-upload-pack-result")
        del self.headers["content-length"]
        self._child = child
        self._stdin = stdin
        self._opened = opened
        self._then = then

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tasks = [asyncio.create_task(act) for act in (self._feed(), self._pump(send), _until_gone(receive))]
        _, pumping, gone = tasks
        try:
            await asyncio.wait({pumping, gone}, return_when=asyncio.FIRST_COMPLETED)
            if pumping.done():
                pumping.result()
                if self._then is not None:
                    self._then()
        finally:
            for task in tasks:
                task.cancel()
            with contextlib.suppress(ProcessLookupError):
                self._child.kill()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._child.wait()
            self._opened.close()

    async def _feed(self) -> None:
        stdin = self._child.stdin
        if stdin is not None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                stdin.write(self._stdin)
                await stdin.drain()
            stdin.close()

    async def _pump(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        out, is_silent = self._child.stdout, True
        while out is not None and (block := await out.read(CHUNK_BYTES)):
            is_silent = False
            await asyncio.wait_for(send({"type": "http.response.body", "body": block, "more_body": True}), STALLED_S)
        code = await self._child.wait()
        if code != 0:
            _log.warning("upload_pack.failed", extra={"exit_code": code})
        # The program takes an end in the middle of a packet for a client that has gone, and is content.
        is_broken = is_silent and (code != 0 or not self._stdin.endswith(pktline.FLUSH))
        await send({"type": "http.response.body", "body": _NOT_READ if is_broken else b""})


async def _until_gone(receive: Callable[[], Any]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _routes() -> list[Route]:
    found = []
    for base in ("/{type:datasets|spaces|models}/{ns}/{name}", "/{ns}/{name}"):
        found += [
            Route("GET", f"{base}/info/refs", info_refs, Access.READ, "git"),
            Route("POST", f"{base}/git-upload-pack", upload_pack, Access.READ, "git"),
            Route("POST", f"{base}/git-receive-pack", receive_pack, Access.WRITE, "git"),
        ]
    return found


ROUTES = _routes()
DIALECTS = {"git": refuse}

"""From a request to an actor: the same for every door.

A token comes as ``Authorization: Bearer`` or as the password of Basic (git, git-lfs, any user name). A browser comes with
its session's cookie; then a request that changes something must also show that one of our own pages sent it.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater.accounts import credentials
from headwater.accounts.errors import BadCredential
from headwater.accounts.models import Session
from headwater.accounts.service import identify
from headwater.db import Tx
from headwater.kernel import ANONYMOUS, Actor, utcnow
from headwater.web import Route, Site, in_thread

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
CSRF_HEADER = "x-csrf-token"
FORM_LIMIT_BYTES = 256 * 1024
COOKIE_LIFE_S = 400 * 86_400  # browsers keep none longer; the session behind it ends much sooner

ROUTES: list[Route] = []  # people's own pages are in pages.py


class LastUses:
    """Which tokens and sessions had their last use written of late, so that few requests cause a write."""

    LIMIT = 20_000

    def __init__(self) -> None:
        self._written: dict[object, float] = {}

    def is_due(self, key: object) -> bool:
        """Whether to write now; says yes once in a while for each key."""
        moment = time.monotonic()
        if moment - self._written.get(key, -1e9) < identify.TOUCH_EVERY.total_seconds():
            return False
        if len(self._written) >= self.LIMIT:
            self._written.clear()
        self._written[key] = moment
        return True


def install(site: Site) -> None:
    """Give the site what this context keeps in memory."""
    site.add_part(LastUses())


async def authenticate(request: Request) -> Actor:
    """Who sends this request.

    Sets ``request.state.session`` and ``request.state.csrf`` (the word that forms carry) for a signed-in browser.

    Raises:
        BadCredential: a token that is wrong, expired or revoked, or whose owner is suspended.
        ForgedForm: a change with a browser's cookie that no page of ours sent.
    """
    site: Site = request.scope["state"]["site"]
    if site.db.dialect == "sqlite":
        # One indexed look-up costs less than handing it to another thread, and readers never wait for writers.
        actor = site.db.read(_identify, request)
    else:
        actor = await in_thread(site.db.read, _identify, request)
    session = session_of(request)
    if session is not None and request.method not in SAFE_METHODS:
        await _require_own_page(request, session)
    return actor


def _identify(tx: Tx, request: Request) -> Actor:
    return identify_sender(request, tx)


def identify_sender(request: Request, tx: Tx) -> Actor:
    """As ``authenticate`` for a request that changes nothing.

    Raises:
        BadCredential.
    """
    state = request.scope["state"]
    state["session"], state["csrf"] = None, ""
    header = cookies = None
    for name, value in request.scope["headers"]:
        if name == b"authorization":
            header = value.decode("latin-1")
            break
        if name == b"cookie":
            cookies = value
    if header is not None:
        return _by_token(state["site"], tx, header)
    secret = None if cookies is None else request.cookies.get(cookie_name(state["site"]))
    return ANONYMOUS if not secret else _by_session(request, tx, secret)


def session_of(request: Request) -> Session | None:
    """The browser session that ``authenticate`` found, None for tokens and strangers."""
    found: Session | None = getattr(request.state, "session", None)
    return found


def cookie_name(site: Site) -> str:
    """On https the prefix makes browsers refuse the cookie from any other host or path."""
    return "__Host-hw_session" if site.is_https else "hw_session"


def set_session_cookie(response: Response, site: Site, secret: str) -> None:
    response.set_cookie(
        cookie_name(site), secret, max_age=COOKIE_LIFE_S, path="/", httponly=True, samesite="lax", secure=site.is_https
    )


def clear_session_cookie(response: Response, site: Site) -> None:
    response.delete_cookie(cookie_name(site), path="/", httponly=True, samesite="lax", secure=site.is_https)


def _by_token(site: Site, tx: Tx, header: str) -> Actor:
    token, now = credentials.secret_of_authorization(header), utcnow()
    if token is None:
        raise BadCredential
    found = identify.identify_token(tx, token, now=now)
    limits = found.actor.limits
    if found.is_stale and limits is not None:
        _write_aside(site, ("token", limits.token_id), identify.note_token_use, limits.token_id, now=now)
    return found.actor


def _by_session(request: Request, tx: Tx, secret: str) -> Actor:
    site: Site = request.state.site
    now = utcnow()
    found = identify.identify_session(tx, secret, now=now)
    if found is None or found.session is None:
        return ANONYMOUS
    request.state.session, request.state.csrf = found.session, found.session.csrf
    if found.is_stale:
        address = request.client.host if request.client else ""
        note = identify.note_session_use
        _write_aside(site, ("session", found.session.id), note, found.session, address=address, now=now)
    return found.actor


async def _require_own_page(request: Request, session: Session) -> None:
    """The request's origin is ours, and it carries the session's word: in a header, or in the form itself."""
    from headwater.web import parse_form, read_body
    from headwater.web.shell import ForgedForm, check_origin

    check_origin(request)
    given = request.headers.get(CSRF_HEADER)
    if given is None:
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/x-www-form-urlencoded":
            body = await read_body(request, FORM_LIMIT_BYTES)
            request.state.form_body = body  # read_body gives it again to the page
            given = parse_form(body).get("csrf", [""])[-1]
        elif kind == "multipart/form-data" and _names_own_origin(request):
            return  # too large to look into here: the browser itself vouches for the page it came from
    if not hmac.compare_digest((given or "").encode(), session.csrf.encode()):
        raise ForgedForm


def _names_own_origin(request: Request) -> bool:
    """Whether the browser said where the form came from; ``check_origin`` has judged what it said."""
    return "origin" in request.headers or request.headers.get("sec-fetch-site") == "same-origin"


def _write_aside(site: Site, key: object, act: Callable[..., None], *args: Any, **kwargs: Any) -> None:
    if site.part(LastUses).is_due(key):
        site.db.submit(act, *args, **kwargs)

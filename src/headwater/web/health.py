"""Whether this server lives, and whether it should be given requests: for balancers, ``headwater status`` and whoever waits.

``/healthz`` says that the process answers; it touches nothing, so that a slow disk never gets a server restarted. ``/readyz``
says that requests would be served: 503 sends a balancer elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import structlog
from sqlalchemy import text
from starlette.requests import Request
from starlette.responses import Response

from headwater import __version__
from headwater.db import ClockDiffers, Tx, require_same_clock
from headwater.db.schema import MIGRATIONS
from headwater.kernel import Actor, HeadwaterError, metrics
from headwater.web.requests import read_tx, site_of
from headwater.web.responses import JsonResponse
from headwater.web.routing import Access, Route
from headwater.web.site import Site
from headwater.web.threads import run_in

CHECK_S = 2.0  # what has not answered by then does not answer
FRESH_S = 1.0  # balancers ask often, and several of them

_NO_STORE = {"Cache-Control": "no-store"}

# Set by the parent process; every worker sees it at once.
DRAINING = metrics.gauge(
    "headwater_draining", "1 while the server ends: it answers still, and wants no new clients."
).of()

_READY = metrics.counter("headwater_ready_checks_total", "Checks behind /readyz.", "check", "outcome")

log = structlog.get_logger("headwater.web")


class _NotSo(Exception):
    """Why a check fails: a word for a machine to match."""


class _Check:
    """One thing that must answer. Asked once at a time, on a thread, however many wait for it."""

    def __init__(self, name: str, act: Callable[[Site], None]) -> None:
        self.name = name
        self._act = act
        self._good, self._bad = _READY.of(name, "good"), _READY.of(name, "bad")
        self._running: asyncio.Task[str | None] | None = None
        self._found: tuple[float, dict[str, Any]] | None = None

    async def run(self, site: Site) -> dict[str, Any]:
        """``{"ok": …, "took_ms": …}``, and the ``problem`` in one word where there is one."""
        started = time.monotonic()
        if self._found is not None and started - self._found[0] < FRESH_S:
            return self._found[1]
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._ask(site))
        done, _ = await asyncio.wait({self._running}, timeout=CHECK_S)
        problem = self._running.result() if done else "no_answer"
        found: dict[str, Any] = {"ok": problem is None, "took_ms": round((time.monotonic() - started) * 1000, 1)}
        if problem is not None:
            found["problem"] = problem
        (self._good if problem is None else self._bad).add()
        self._found = (time.monotonic(), found)
        return found

    async def _ask(self, site: Site) -> str | None:
        try:
            await run_in("probe", self._act, site)
        except _NotSo as exc:
            return str(exc)
        except Exception:
            log.exception("ready.failed", check=self.name)
            return "failed"
        return None


def _check_database(site: Site) -> None:
    site.db.read(_touch)


def _touch(tx: Tx) -> None:
    tx.execute(text("select 1")).scalar()


def _check_schema(site: Site) -> None:
    found, breaks_before = site.db.read(_read_schema)
    # A newer one is that of a rolling upgrade: what this release reads is still there, unless it says that it is not.
    if found is None or found < _wanted_version():
        raise _NotSo("older_than_this_release")
    if breaks_before > _wanted_version():
        raise _NotSo("too_new_for_this_release")


def _read_schema(tx: Tx) -> tuple[str | None, str]:
    found = tx.execute(text("select version_num from alembic_version")).scalar()
    return found, tx.execute(text("select max(breaks_before) from schema_reach")).scalar() or ""


@cache
def _wanted_version() -> str:
    """The newest version that ships with this release, by file name: no Alembic import."""
    return max(path.name.split("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def _check_clock(site: Site) -> None:
    try:
        require_same_clock(site.db)
    except ClockDiffers as exc:
        log.warning("clock.differs", reason=exc.message)
        raise _NotSo("differs_from_the_databases") from exc


def _check_store(site: Site) -> None:
    try:
        site.blobs.probe()
    except HeadwaterError as exc:
        raise _NotSo(exc.code) from exc
    if not os.access(site.blobs.tmp, os.W_OK | os.X_OK):
        raise _NotSo("not_writable")


_CHECKS = (
    _Check("database", _check_database),
    _Check("schema", _check_schema),
    _Check("clock", _check_clock),
    _Check("store", _check_store),
)


async def get_alive(request: Request) -> Response:
    """200 as long as the process answers at all."""
    return JsonResponse({"status": "alive"}, headers=_NO_STORE)


async def get_ready(request: Request) -> Response:
    """200 when requests would be served, else 503; each check by name either way."""
    site = site_of(request)
    found = await asyncio.gather(*(check.run(site) for check in _CHECKS))
    checks: dict[str, Any] = {check.name: one for check, one in zip(_CHECKS, found, strict=True)}
    is_draining = DRAINING.total() > 0
    checks["not_draining"] = {"ok": not is_draining}
    is_ready = all(one["ok"] for one in checks.values())
    status = "ready" if is_ready else "draining" if is_draining else "not_ready"
    return JsonResponse(
        {"status": status, "version": __version__, "checks": checks},
        status_code=200 if is_ready else 503,
        headers=_NO_STORE,
    )


def _touch_database(tx: Tx, actor: Actor) -> None:
    _touch(tx)


async def get_health(request: Request) -> Response:
    """200 when requests are answered and the database can be read."""
    await read_tx(request, _touch_database)
    return JsonResponse({"status": "ok", "version": __version__}, headers=_NO_STORE)


ROUTES = [
    Route("GET", "/-/health", get_health, Access.PUBLIC, "api"),
    Route("GET", "/healthz", get_alive, Access.UNASKED, "api"),
    Route("GET", "/readyz", get_ready, Access.UNASKED, "api"),
]

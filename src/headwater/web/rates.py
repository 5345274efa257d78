"""How often one account, one token or one address may ask, over all workers and hosts of the site.

The one idea: each process counts in memory, and writes what it counted only when that is a fiftieth of a limit: one
row for hundreds of requests, and none at all for whoever asks little. The answer to the write says what the others
counted. So a site of W processes lets through at most W fiftieths more than the limit, and ordinary use costs a look
into a dictionary.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from sqlalchemy import delete, select
from starlette.types import Scope

from headwater.db import Database, Tx, insert
from headwater.kernel import Actor, HeadwaterError, Kind, metrics
from headwater.kernel.addresses import digest_of_network, is_loopback
from headwater.web.routing import Access, Route
from headwater.web.settings import RateSettings
from headwater.web.tables import rate_use

WINDOW_S = 300
SHARE = 50  # what is counted before it is told is this part of a limit
MOST_KEYS = 50_000  # that a process remembers: who asks from more addresses than that is forgotten now and then
ACCOUNT_FACTOR = (
    2  # an account may ask more often than each of its tokens, so that a runaway program leaves its owner room
)

API, FILES, PAGES = "api", "files", "pages"
BY = ("account", "token", "address")
_LIMITED = metrics.counter("headwater_rate_limited_total", "Requests refused with 429.", "by", "what")
_COUNTED = {(by, what): _LIMITED.of(by, what) for by in BY for what in (API, FILES, PAGES)}
_TOLD = metrics.counter(
    "headwater_rate_writes_total", "Writes that tell other processes how often somebody asked."
).of()

_FREE_SEGMENTS = frozenset({"-", "healthz", "readyz", "metrics", "favicon.ico", "robots.txt"})
_FILE_DIALECTS = frozenset({"git", "lfs", "cas"})


class TooManyRequests(HeadwaterError):
    """huggingface_hub reads ``RateLimit`` and waits for as long as it says, then goes on by itself."""

    code = "too_many_requests"
    kind = Kind.TOO_MANY

    def __init__(self, what: str, limit: int, wait_s: int) -> None:
        super().__init__(
            f"Too many requests: {limit} in {WINDOW_S // 60} minutes are the most. Go on in {wait_s} seconds.",
            headers={
                "Retry-After": str(wait_s),
                "RateLimit": f'"{what}";r=0;t={wait_s}',
                "RateLimit-Policy": f'"fixed window";"{what}";q={limit};w={WINDOW_S}',
            },
        )


@dataclass(slots=True)
class _Count:
    """Of one key in this window. ``told``: what all had counted when last asked, this process included."""

    told: int = 0
    own: int = 0  # since then
    flying: int = 0  # being told now


class Rates:
    """A site part: asked once for each request."""

    def __init__(
        self,
        db: Database,
        settings: RateSettings,
        routes: Iterable[Route],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._db = db
        self._clock = clock
        self._limits = {API: settings.api, FILES: settings.files, PAGES: settings.pages}
        kept = [(id(route), what_of(route)) for route in routes]
        self._what = {key: what for key, what in kept if what is not None and self._limits[what] > 0}
        self._lock = threading.Lock()
        self._counts: dict[str, _Count] = {}
        self._window = 0
        self._ends_at = 0.0
        self._sweeps = False  # whether rows of former windows may be there
        self._networks: dict[str, str] = {}

    def count(self, scope: Scope, route: Route, actor: Actor | None) -> None:
        """One more request; ``actor`` is None where a credential was wrong. A second look at the same request counts nothing.

        Raises:
            TooManyRequests: a limit is reached.
        """
        what = self._what.get(id(route))
        if what is None or "counted" in scope["state"]:
            return
        scope["state"]["counted"] = True
        limit = self._limits[what]
        if actor is None or actor.account_id is None:
            key = self._key_of_address(scope)
            if key is not None:
                self._add("address", f"{key}:{what}", what, limit)
            return
        if actor.limits is not None:
            self._add("token", f"t{actor.limits.token_id}:{what}", what, limit)
        self._add("account", f"a{actor.account_id}:{what}", what, limit * ACCOUNT_FACTOR)

    def _add(self, by: str, key: str, what: str, limit: int) -> None:
        now = self._clock()
        with self._lock:
            if now >= self._ends_at or now < self._ends_at - WINDOW_S:
                self._begin_window(now)
            count = self._counts.get(key)
            if count is None:
                if len(self._counts) >= MOST_KEYS:
                    self._counts.clear()
                count = self._counts[key] = _Count()
            if count.told + count.flying + count.own >= limit:
                wait_s = max(1, int(self._ends_at - now) + 1)
                _COUNTED[by, what].add()
                raise TooManyRequests(what, limit, wait_s)
            count.own += 1
            if count.flying or count.own * SHARE < limit:
                return
            count.flying, count.own = count.own, 0
            n, window, sweeps = count.flying, self._window, self._sweeps
            self._sweeps = False
        self._tell(key, count, n, window, sweeps=sweeps)

    def _begin_window(self, now: float) -> None:
        self._window = int(now // WINDOW_S)
        self._ends_at = (self._window + 1) * WINDOW_S
        self._counts = {}
        self._sweeps = True

    def _tell(self, key: str, count: _Count, n: int, window: int, *, sweeps: bool) -> None:
        """Write what was counted, aside; nobody waits for it."""

        def keep(done: Future[int]) -> None:
            with self._lock:
                if not done.cancelled() and done.exception() is None:
                    count.told = done.result()
                else:  # told another time
                    count.own += count.flying
                count.flying = 0

        try:
            writing = self._db.submit(add_use, key, window, n, sweeps=sweeps)
        except HeadwaterError:  # the site takes no writes: each process counts for itself
            with self._lock:
                count.told, count.flying = count.told + n, 0
            return
        except BaseException:  # whatever it was: told another time
            with self._lock:
                count.own, count.flying = count.own + count.flying, 0
            raise
        _TOLD.add()
        writing.add_done_callback(keep)

    def _key_of_address(self, scope: Scope) -> str | None:
        """None for this machine itself: where a proxy stands on it and is not named, all the world comes from here."""
        client = scope.get("client")
        if not client:
            return None
        host: str = client[0]
        found = self._networks.get(host)
        if found is None:
            if len(self._networks) >= MOST_KEYS:
                self._networks.clear()
            found = self._networks[host] = "" if is_loopback(host) else f"n{digest_of_network(host)}"
        return found or None


def what_of(route: Route) -> str | None:
    """Which of the limits a route counts for; None: none."""
    segments = route.pattern.split("/")
    if route.access is Access.UNASKED or segments[1] in _FREE_SEGMENTS:
        return None
    if route.dialect in _FILE_DIALECTS or "/resolve/" in route.pattern or "/raw/" in route.pattern:
        return FILES
    return PAGES if route.dialect == "page" else API


def add_use(tx: Tx, key: str, window: int, n: int, *, sweeps: bool) -> int:
    """Add to what a key used in this window; returns how much that is now, over all processes."""
    if sweeps:
        tx.execute(delete(rate_use).where(rate_use.c.window < window - 1))
    added = insert(rate_use).values(key=key, window=window, n=n)
    tx.execute(
        added.on_conflict_do_update(
            index_elements=[rate_use.c.key, rate_use.c.window], set_={"n": rate_use.c.n + added.excluded.n}
        )
    )
    wanted = select(rate_use.c.n).where(rate_use.c.key == key, rate_use.c.window == window)
    return int(tx.execute(wanted).scalar_one())

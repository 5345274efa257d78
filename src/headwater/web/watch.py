"""What is noted about each request: counted, traced where that is asked for, and logged.

Requests begin and end on the event loop, the only thread that writes these series.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from headwater.db import metrics as db_metrics
from headwater.kernel import metrics, tracing
from headwater.web.routing import Route
from headwater.web.settings import WebSettings

_REQUESTS = metrics.histogram(
    "headwater_request_seconds",
    "From a request's arrival until its answer begins: receiving the body is in it, sending the answer is not.",
    "method",
    "route",
    "status",
)
_IN_FLIGHT = metrics.gauge("headwater_requests_in_flight", "Requests that are being answered.").of()
_SLOW = metrics.counter(
    "headwater_slow_requests_total", "Requests whose answer began later than web.slow_request_s."
).of()
_SENT = metrics.counter("headwater_sent_bytes_total", "Bytes of answers' bodies, by who moved them.", "by")
_RECEIVED = metrics.counter("headwater_received_bytes_total", "Bytes of requests' bodies, by who took them.", "by")
SENT_BY_KERNEL, SENT_BY_LOOP = _SENT.of("sendfile"), _SENT.of("loop")
RECEIVED_BY_THREAD, RECEIVED_BY_LOOP = _RECEIVED.of("thread"), _RECEIVED.of("loop")
_REDIRECTS = metrics.counter(
    "headwater_redirects_to_store_total", "Answers that sent the client to the object store for the bytes."
)
REDIRECTS_TO_STORE = _REDIRECTS.of()
REDIRECTED_BYTES = metrics.counter(
    "headwater_redirected_bytes_total", "Bytes that clients were sent to the object store for, as they asked."
).of()


def count_redirect(size_bytes: int) -> None:
    """A client is sent to the store for so many bytes; from any thread."""
    REDIRECTS_TO_STORE.add()
    REDIRECTED_BYTES.add(size_bytes)


_CLASSES = ("none", "2xx", "3xx", "4xx", "5xx")  # none: the connection ended before there was an answer
_UNKNOWN = ("OTHER", "(none)")  # what no route takes; the address itself never becomes a label
_LARGE_BODY_BYTES = 1 << 20  # whoever sends so much decides how long it takes

_Series = dict[tuple[str, str], tuple[metrics.Buckets, ...]]


def declare(routes: Iterable[Route]) -> _Series:
    """The series of every route; the server calls this before it forks, so that they have their place."""
    keys = {(route.method, route.pattern) for route in routes}
    keys |= {("HEAD", pattern) for method, pattern in keys if method == "GET"}
    return {key: tuple(_REQUESTS.of(*key, status) for status in _CLASSES) for key in (_UNKNOWN, *sorted(keys))}


class Seen:
    """One request under way."""

    __slots__ = ("begun_at", "db", "head_at", "span", "status")

    def __init__(self, span: tracing.Span | None) -> None:
        self.begun_at = time.monotonic()
        self.head_at = 0.0
        self.status = 0
        self.span = span
        self.db = db_metrics.Spent()

    def began(self, status: int) -> None:
        """The answer's head leaves."""
        self.status = status
        self.head_at = time.monotonic()


class Watch:
    """Notes requests; one of it in each application."""

    def __init__(self, routes: Iterable[Route], settings: WebSettings) -> None:
        self._series = declare(routes)
        self._unknown = self._series[_UNKNOWN]
        self._slow_s = settings.slow_request_s
        self._logs_all = settings.access_log

    def begin(self, traceparent: str | None = None) -> Seen:
        """A request has come; ``traceparent`` only from those who are trusted to name a trace."""
        _IN_FLIGHT.add_alone()
        tracer = tracing.tracer
        seen = Seen(None if tracer is None else tracer.start_request(traceparent))
        db_metrics.spent.set(seen.db)
        return seen

    def end(self, seen: Seen, route: Route | None, method: str, received_bytes: int) -> dict[str, Any] | None:
        """It is over. Returns what a line of the log adds to its other facts, or None where none is wanted."""
        now = time.monotonic()
        took_s = (seen.head_at or now) - seen.begun_at
        _IN_FLIGHT.add_alone(-1)
        series = self._unknown if route is None else self._series.get((method, route.pattern), self._unknown)
        series[max(0, min(seen.status // 100, 5) - 1)].observe_alone(took_s)
        if seen.span is not None:
            self._end_span(seen.span, route, method, seen.status)
        is_slow = took_s > self._slow_s > 0 and received_bytes < _LARGE_BODY_BYTES
        if not is_slow:
            return {"duration_ms": round((now - seen.begun_at) * 1000, 1)} if self._logs_all else None
        _SLOW.add_alone()
        return {
            "duration_ms": round((now - seen.begun_at) * 1000, 1),
            "slow": True,
            "head_after_ms": round(took_s * 1000, 1),
            "db_ms": round(seen.db.seconds * 1000, 1),
            "db_transactions": seen.db.n_transactions,
        }

    def _end_span(self, span: tracing.Span, route: Route | None, method: str, status: int) -> None:
        span.rename(f"{method} {route.pattern}" if route else method)
        span.set({"http.request.method": method, "http.response.status_code": status})
        if route is not None:
            span.set({"http.route": route.pattern})
        if status >= 500:
            span.fail(None)
        span.end()

"""What is counted about repositories' cache, and how the collector stands."""

from __future__ import annotations

from collections.abc import Iterator

from headwater.db import Tx
from headwater.kernel import metrics
from headwater.kernel.metrics import Family

_OPENED = metrics.counter(
    "headwater_git_opened_total",
    "Repositories opened to read: as this process had them at hand, with what is new out of SQL, or by bringing their "
    "cache folder up to date.",
    "by",
)
OPENED_AT_HAND, OPENED_FROM_SQL, OPENED_FROM_FOLDER = (_OPENED.of(by) for by in ("memory", "sql", "folder"))
GIT_CACHE_BYTES = metrics.gauge(
    "headwater_git_cache_bytes", "Size of this host's git cache, as last measured by the queue worker."
).of()
GIT_CACHE_EVICTED = metrics.counter(
    "headwater_git_cache_evicted_total", "Cache folders removed to keep the limit."
).of()


def measure(tx: Tx) -> Iterator[Family]:
    """When the collector last ran, and whether it waits for an operator."""
    from headwater.hub.collector.clock import find_backup_time, find_last_run, find_stop

    last, stop = find_last_run(tx), find_stop(tx)
    text = "When the collector last began to run, in seconds since 1970; 0 if it never did."
    yield Family(
        "headwater_collector_last_run_timestamp_seconds",
        "gauge",
        text,
        [({}, 0.0 if last is None else last.timestamp())],
    )
    text = "1 while the collector waits for an operator to confirm the clock."
    yield Family("headwater_collector_stopped", "gauge", text, [({}, 0.0 if stop is None else 1.0)])
    backup = find_backup_time(tx)
    text = "When the last backup was made, in seconds since 1970; not there before the first."
    samples: list[tuple[dict[str, str], float]] = [] if backup is None else [({}, backup.timestamp())]
    yield Family("headwater_backup_last_timestamp_seconds", "gauge", text, samples)

"""What is counted about the store, folder or S3. Imported before the first fork, unlike what speaks with S3."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from headwater.kernel import metrics, tracing

OPERATIONS = ("adopt", "find", "delete", "list", "read", "probe", "claim", "multipart")
OUTCOMES = ("ok", "missing", "failed")

_CALLS = metrics.histogram(
    "headwater_store_seconds",
    "Time of a call to the store. A file that is sent from a folder is none; missing is an answer, failed is not.",
    "operation",
    "outcome",
)
_SERIES = {(operation, outcome): _CALLS.of(operation, outcome) for operation in OPERATIONS for outcome in OUTCOMES}


@contextmanager
def calling(operation: str) -> Iterator[None]:
    """Count the block, and put it into the trace."""
    outcome, started = "ok", time.perf_counter()
    span = None if tracing.tracer is None else tracing.tracer.start(f"store.{operation}")
    try:
        yield
    except FileNotFoundError:
        outcome = "missing"
        raise
    except Exception as exc:
        outcome = "failed"
        if span is not None:
            span.fail(exc)
        raise
    finally:
        _SERIES[operation, outcome].observe(time.perf_counter() - started)
        if span is not None:
            span.end()

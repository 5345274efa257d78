"""Where a trace's spans would begin, for code in every layer. Nothing is traced, nor imported for it, unless
``web.telemetry`` has put a tracer here.

    span = None if tracing.tracer is None else tracing.tracer.start("store.put", bytes=n)
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Span(Protocol):
    """Something under way. It is current for what begins inside it, also on the threads that ``in_thread`` uses."""

    def set(self, **facts: str | float | bool) -> None: ...

    def fail(self, exc: BaseException) -> None: ...

    def end(self) -> None: ...


class Tracer(Protocol):
    def start(
        self, name: str, *, kind: str = "internal", parent: str | None = None, **facts: str | float | bool
    ) -> Span:
        """Begin a span. ``parent`` is a W3C ``traceparent``; without one the current span is the parent."""
        ...


tracer: Tracer | None = None


@contextmanager
def span(name: str, **facts: str | float | bool) -> Iterator[Span | None]:
    """A span around a block, where there is a tracer; what the block raises is told to it."""
    if tracer is None:
        yield None
        return
    found = tracer.start(name, **facts)
    try:
        yield found
    except BaseException as exc:
        found.fail(exc)
        raise
    finally:
        found.end()

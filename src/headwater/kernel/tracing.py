"""Where a trace's spans would begin, for code in every layer. Nothing is traced, nor imported for it, unless
``web.telemetry`` has put a tracer here.

    span = None if tracing.tracer is None else tracing.tracer.start("store.put", bytes=n)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

Fact = str | float | bool


class Span(Protocol):
    """Something under way. It is current for what begins inside it, also on the threads that ``in_thread`` uses."""

    def rename(self, name: str) -> None: ...

    def set(self, facts: Mapping[str, Fact]) -> None: ...

    def fail(self, exc: BaseException | None) -> None: ...

    def end(self) -> None: ...


class Tracer(Protocol):
    def start(self, name: str, **facts: Fact) -> Span:
        """Begin a span inside the current one."""
        ...

    def start_request(self, traceparent: str | None) -> Span:
        """Begin what answers somebody's request, inside the trace that a trusted caller named (W3C Trace Context)."""
        ...


tracer: Tracer | None = None


@contextmanager
def span(name: str, **facts: Fact) -> Iterator[Span | None]:
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

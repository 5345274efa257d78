"""Traces by OpenTelemetry. Imported only where ``otlp.endpoint`` is set, in each process after its fork."""

from __future__ import annotations

import importlib.util
import os
import socket
from collections.abc import Mapping
from typing import Any

from headwater import __version__
from headwater.kernel import HeadwaterError, Kind, tracing
from headwater.kernel.tracing import Fact
from headwater.web.settings import TelemetrySettings

EXPORT_TIMEOUT_S = 5.0
END_MS = 3000  # for sending what is left when a process ends
HELD_SPANS = 4096  # more than can be sent are dropped, never waited for


class TelemetryMissing(HeadwaterError):
    code = "telemetry_missing"
    kind = Kind.UNAVAILABLE

    def __init__(self) -> None:
        super().__init__(
            "otlp.endpoint is set, but OpenTelemetry is not installed. Install it into Headwater's virtual environment, "
            "`pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http`, or leave the setting out."
        )


def require_packages() -> None:
    """
    Raises:
        TelemetryMissing: the extra is not installed.
    """
    for name in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        try:
            found = importlib.util.find_spec(name)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise TelemetryMissing


class _Span:
    """One span, current from its start to its end on the thread (or task) that began it."""

    __slots__ = ("_span", "_token")

    def __init__(self, span: Any) -> None:
        from opentelemetry import context, trace

        self._span = span
        self._token = context.attach(trace.set_span_in_context(span))

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, facts: Mapping[str, Fact]) -> None:
        self._span.set_attributes(dict(facts))

    def fail(self, exc: BaseException | None) -> None:
        """By the exception's type alone: its text may hold what a stranger sent."""
        from opentelemetry.trace import Status, StatusCode

        if isinstance(exc, HeadwaterError):
            self._span.set_attribute("error.type", exc.code)  # a refusal is an answer, not a fault
            return
        if exc is not None:
            self._span.set_attribute("error.type", type(exc).__qualname__)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        from opentelemetry import context

        context.detach(self._token)
        self._span.end()


class _Tracer:
    def __init__(self, settings: TelemetrySettings) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        resource = Resource.create(
            {
                "service.name": "headwater",
                "service.version": __version__,
                "host.name": socket.gethostname(),
                "process.pid": os.getpid(),
            }
        )
        exporter = OTLPSpanExporter(
            endpoint=f"{(settings.endpoint or '').rstrip('/')}/v1/traces",
            headers=dict(pair.split("=", 1) for pair in settings.headers if "=" in pair) or None,
            timeout=EXPORT_TIMEOUT_S,
        )
        self.provider = TracerProvider(
            resource=resource, sampler=ParentBased(TraceIdRatioBased(settings.sample_ratio)), shutdown_on_exit=False
        )
        self.provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=HELD_SPANS))
        self._tracer = self.provider.get_tracer("headwater", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def start(self, name: str, **facts: Fact) -> _Span:
        return _Span(self._tracer.start_span(name, attributes=facts))

    def start_request(self, traceparent: str | None) -> _Span:
        from opentelemetry.context import Context
        from opentelemetry.trace import SpanKind

        # An empty context: a task may have been started in that of another request on the same connection.
        outside = Context()
        if traceparent is not None:
            outside = self._propagator.extract({"traceparent": traceparent}, outside)
        return _Span(self._tracer.start_span("request", outside, kind=SpanKind.SERVER))


_running: _Tracer | None = None


def begin(settings: TelemetrySettings) -> None:
    """Trace this process from now on. Starts a thread: call it after the fork."""
    global _running  # noqa: PLW0603 -- one a process, as the hook it fills
    _running = _Tracer(settings)
    tracing.tracer = _running


def end() -> None:
    """Trace no more, and send what is held; a receiver that does not answer is not waited for long."""
    global _running  # noqa: PLW0603
    tracing.tracer = None
    if _running is not None:
        _running.provider.force_flush(END_MS)
        _running.provider.shutdown()
        _running = None

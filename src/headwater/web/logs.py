"""Logs: one line of JSON per event on standard error, or coloured lines where a person looks on."""

from __future__ import annotations

import logging
import socket
import sys
from typing import Any

import orjson
import structlog

from headwater.kernel import metrics

_LINES = metrics.counter("headwater_log_lines_total", "Lines of the log, by level.", "level")
_OF_LEVEL = {level: _LINES.of(level) for level in ("debug", "info", "warning", "error", "critical")}
_BYTES = metrics.counter("headwater_log_bytes_total", "Bytes written to the log.").of()


def configure_logging(level: str = "info") -> None:
    """Send our own events and those of libraries the same way. Call once per process tree, before any fork."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if not sys.stderr.isatty():
        shared.append(_HostName())
    if sys.stderr.isatty():
        render: list[Any] = [structlog.dev.ConsoleRenderer()]
        own, factory = render, structlog.PrintLoggerFactory(sys.stderr)
    else:
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_dumps)]
        # One write a line: several processes share the file, and halves of lines would mix.
        own = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_dump_bytes)]
        factory = structlog.BytesLoggerFactory(sys.stderr.buffer)  # type: ignore[assignment]
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*shared, *own],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    # Their lines about each start and end say nothing that ours do not.
    logging.getLogger("uvicorn.error").setLevel(max(number, logging.WARNING))
    logging.getLogger("alembic").setLevel(max(number, logging.WARNING))


class _HostName:
    """Where a line was written: logs of several hosts are read together."""

    def __init__(self) -> None:
        self._host = socket.gethostname()

    def __call__(self, _logger: Any, _method: str, event: Any) -> Any:
        event.setdefault("host", self._host)
        return event


def _dumps(event: Any, **_: Any) -> str:
    return _dump_bytes(event).decode()


def _dump_bytes(event: Any, **_: Any) -> bytes:
    line = orjson.dumps(event, default=str)
    _OF_LEVEL.get(event.get("level"), _OF_LEVEL["info"]).add()
    _BYTES.add(len(line) + 1)
    return line

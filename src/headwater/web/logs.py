"""Logs: one line of JSON per event on standard error, or coloured lines where a person looks on."""

from __future__ import annotations

import logging
import socket
import sys
from datetime import UTC, datetime
from typing import Any, BinaryIO

import orjson
import structlog

from headwater.kernel import metrics
from headwater.web import logfile

_LINES = metrics.counter("headwater_log_lines_total", "Lines of the log, by level.", "level")
_OF_LEVEL = {level: _LINES.of(level) for level in ("debug", "info", "warning", "error", "critical")}
_BYTES = metrics.counter("headwater_log_bytes_total", "Bytes written to the log.").of()

_HOST = socket.gethostname()
_LEVELS = {"exception": "error", "warn": "warning"}

_lines: BinaryIO | None = None  # where lines of JSON go; None: structlog has them, for a person to look at
_shows_info = True


def write_info(event: str, facts: dict[str, Any]) -> None:
    """As ``structlog.get_logger().info(event, **facts)`` at a fifth of its cost: every request ends with such a line.

    ``facts`` holds what is bound to the context, too.
    """
    if _lines is None:
        structlog.get_logger("headwater").info(event, **facts)
    elif _shows_info:
        facts["event"] = event
        _lines.write(_stamped("info", facts) + b"\n")
        _lines.flush()


def configure_logging(level: str = "info") -> None:
    """Send our own events and those of libraries the same way. Call once per process tree, before any fork."""
    global _lines, _shows_info  # noqa: PLW0603 -- as structlog's own configuration
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if not sys.stderr.isatty():
        shared.append(_add_host)
    if sys.stderr.isatty():
        render: list[Any] = [structlog.dev.ConsoleRenderer()]
        own, factory = [*shared, *render], structlog.PrintLoggerFactory(sys.stderr)
        _lines = None
    else:
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(_dumps)]
        # One write a line: several processes share the file, and halves of lines would mix.
        own = [_line]
        factory = structlog.BytesLoggerFactory(sys.stderr.buffer)  # type: ignore[assignment]
        _lines = sys.stderr.buffer
    number = logging.getLevelNamesMapping()[level.upper()]
    _shows_info = number <= logging.INFO
    structlog.configure(
        processors=own,
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


def _add_host(_logger: Any, _method: str, event: Any) -> Any:
    """Where a line was written: logs of several hosts are read together."""
    event.setdefault("host", _HOST)
    return event


def _line(logger: Any, level: str, event: Any) -> bytes:
    """What the chain of the others makes of an event, in one step."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, level, event)
    return _stamped(level, structlog.contextvars.merge_contextvars(logger, level, event))


def _stamped(level: str, event: Any) -> bytes:
    event["level"] = _LEVELS.get(level, level)
    event["timestamp"] = datetime.now(UTC)
    event.setdefault("host", _HOST)
    return _dump_bytes(event)


def _dumps(event: Any, **_: Any) -> str:
    return _dump_bytes(event).decode()


def _dump_bytes(event: Any, **_: Any) -> bytes:
    logfile.before_line()
    line = orjson.dumps(event, str, orjson.OPT_UTC_Z)
    _OF_LEVEL.get(event.get("level"), _OF_LEVEL["info"]).add()
    _BYTES.add(len(line) + 1)
    return line

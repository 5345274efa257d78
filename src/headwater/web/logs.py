"""Logs: one line of JSON per event on standard error, or coloured lines where a person looks on.

A line that cannot be written is lost and counted, and nothing else happens: by default the log lies on the disk of the data,
and no request and no process may end because that is full.
"""

from __future__ import annotations

import logging
import socket
import sys
from datetime import UTC, datetime
from typing import Any

import orjson
import structlog

from headwater.kernel import metrics
from headwater.web import logfile

_LINES = metrics.counter("headwater_log_lines_total", "Lines of the log, by level.", "level")
_OF_LEVEL = {level: _LINES.of(level) for level in ("debug", "info", "warning", "error", "critical")}
_BYTES = metrics.counter("headwater_log_bytes_total", "Bytes written to the log.").of()
_LOST = metrics.counter("headwater_log_lines_lost_total", "Lines that could not be written: a full disk, say.").of()

_HOST = socket.gethostname()
_LEVELS = {"exception": "error", "warn": "warning"}


class _Lines:
    """A file as those who write lines see it: each goes out at once and whole, or not at all, and never fails."""

    def __init__(self, file: Any) -> None:
        self._raw = getattr(file, "raw", file)  # beside the buffer, which would keep what did not go out and fail later

    def write(self, line: bytes | str) -> int:
        data = line.encode("utf-8", "backslashreplace") if isinstance(line, str) else line
        try:
            n_written = self._raw.write(data) or 0
        except (OSError, ValueError):  # ValueError: closed
            n_written = 0
        if n_written < len(data):
            _LOST.add()
        return len(data)

    def flush(self) -> None:
        """Nothing waits."""


_lines: _Lines | None = None  # where lines of JSON go; None: structlog has them, for a person to look at
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
        _lines = _Lines(sys.stderr.buffer)
        factory = structlog.BytesLoggerFactory(_lines)  # type: ignore[arg-type, assignment]
    number = logging.getLevelNamesMapping()[level.upper()]
    _shows_info = number <= logging.INFO
    structlog.configure(
        processors=own,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    handler: logging.StreamHandler[Any] = logging.StreamHandler(sys.stderr if _lines is None else _lines)
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

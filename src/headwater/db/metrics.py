"""What is counted about the database, and the time that one request spends in it."""

from __future__ import annotations

from contextvars import ContextVar
from time import perf_counter

from headwater.kernel import metrics, tracing

_TRANSACTIONS = metrics.histogram(
    "headwater_db_transaction_seconds",
    "Time of a transaction as its caller sees it, waiting for its turn and, for writes, for the disk included.",
    "kind",
)
READ, WRITE = _TRANSACTIONS.of("read"), _TRANSACTIONS.of("write")

BATCH = metrics.histogram(
    "headwater_db_write_batch_acts", "Acts that one commit made durable.", bounds=(1, 2, 4, 8, 16, 32, 64)
).of()

_ERRORS = metrics.counter(
    "headwater_db_errors_total", "Transactions that the database itself refused or broke off.", "reason"
)
ERROR_BUSY, ERROR_FULL, ERROR_LOST, ERROR_TIMEOUT, ERROR_OTHER = (
    _ERRORS.of(reason) for reason in ("busy", "full", "connection_lost", "timeout", "other")
)

RETRIES = metrics.counter(
    "headwater_db_retries_total", "Write transactions run again because another one was in their way."
).of()

_POOL = metrics.gauge("headwater_db_connections", "Connections that are open.", "state")
POOL_USED, POOL_IDLE = _POOL.of("used"), _POOL.of("idle")


class Spent:
    """Seconds and transactions of one request or job, whichever threads it uses."""

    __slots__ = ("n_transactions", "seconds")

    def __init__(self) -> None:
        self.seconds = 0.0
        self.n_transactions = 0


spent: ContextVar[Spent | None] = ContextVar("headwater_db_spent", default=None)


def begin(name: str) -> tracing.Span | None:
    """A span around a transaction, where there is a tracer; ``name`` is ``db.read`` or ``db.write``."""
    return None if tracing.tracer is None else tracing.tracer.start(name)


def end(series: metrics.Buckets, started: float, span: tracing.Span | None) -> None:
    """A transaction that began at ``started`` (``perf_counter``) is over, as its caller sees it."""
    seconds = perf_counter() - started
    series.observe(seconds)
    account = spent.get()
    if account is not None:
        account.seconds += seconds
        account.n_transactions += 1
    if span is not None:
        span.end()


def count_error(exc: BaseException) -> None:
    """Which way the database itself failed. Refusals of ours are not its errors."""
    found = getattr(exc, "orig", exc)  # SQLAlchemy wraps the driver's own
    name = type(found).__name__
    code = getattr(found, "sqlite_errorname", "") or ""
    state = getattr(found, "sqlstate", "") or ""
    if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or state in ("40001", "40P01", "55P03"):
        ERROR_BUSY.add()
    elif code.startswith("SQLITE_FULL") or state.startswith("53") or name == "DatabaseFull":
        ERROR_FULL.add()
    elif state in ("57014", "25P03") or name == "DatabaseBusy":
        ERROR_TIMEOUT.add()
    elif state.startswith(("08", "57P")) or name == "DatabaseAway" or getattr(exc, "connection_invalidated", False):
        ERROR_LOST.add()
    elif (code or state or name in _DRIVER_ERRORS) and not _is_refusal(code, state):
        ERROR_OTHER.add()


_DRIVER_ERRORS = ("OperationalError", "InternalError", "DatabaseError")


def _is_refusal(code: str, state: str) -> bool:
    """A constraint did what it is there for."""
    return code.startswith("SQLITE_CONSTRAINT") or state.startswith("23")

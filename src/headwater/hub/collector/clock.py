"""The guard against a clock that lies: what was promised for 28 days must not end in an instant.

If the clock stands before the last run, or more than two days after it (a jump, or a site that was off for long), the
collector stops until an operator has looked and confirmed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, select

from headwater.db import Tx, insert
from headwater.hub.tables.xet import bytes_fact
from headwater.kernel import HeadwaterError, Kind, from_iso, to_iso

MAX_FORWARD = timedelta(days=2)
MAX_BACK = timedelta(seconds=5)  # what time servers correct

_LAST = "collector_last_run"
_STOP = "collector_stopped"
_REPORT = "collector_last_report"
_BACKUP = "last_backup"


@dataclass(frozen=True)
class Stopped:
    """Why nothing is collected."""

    last_run_at: datetime
    noticed_at: datetime


class ClockJumped(HeadwaterError):
    code = "clock_jumped"
    kind = Kind.CONFLICT

    def __init__(self, stop: Stopped) -> None:
        self.stop = stop
        super().__init__(
            f"The clock said {to_iso(stop.noticed_at)} when the collector last ran at {to_iso(stop.last_run_at)}. Nothing is "
            "collected until you have seen that the clock is right and run `headwater collector confirm`."
        )


def advance_clock(tx: Tx, now: datetime) -> Stopped | None:
    """Note that a run begins; or, if the clock has jumped, that none may."""
    stop = find_stop(tx)
    if stop is not None:
        return stop
    last = _read(tx, _LAST)
    if last is not None and not from_iso(last) - MAX_BACK <= now <= from_iso(last) + MAX_FORWARD:
        stop = Stopped(from_iso(last), now)
        _write(tx, _STOP, [to_iso(stop.last_run_at), to_iso(now)])
        return stop
    _write(tx, _LAST, to_iso(now))
    return None


def find_stop(tx: Tx) -> Stopped | None:
    found = _read(tx, _STOP)
    return None if found is None else Stopped(from_iso(found[0]), from_iso(found[1]))


def find_last_run(tx: Tx) -> datetime | None:
    found = _read(tx, _LAST)
    return None if found is None else from_iso(found)


def keep_report(tx: Tx, done: dict[str, int]) -> None:
    """What the run that has just ended did, in numbers."""
    _write(tx, _REPORT, done)


def find_report(tx: Tx) -> dict[str, int] | None:
    found: dict[str, int] | None = _read(tx, _REPORT)
    return found


def keep_backup_time(tx: Tx, made_at: datetime) -> None:
    """A backup has been made."""
    _write(tx, _BACKUP, to_iso(made_at))


def find_backup_time(tx: Tx) -> datetime | None:
    found = _read(tx, _BACKUP)
    return None if found is None else from_iso(found)


def confirm_clock(tx: Tx, now: datetime) -> None:
    """An operator says that the clock is right: collect again, counting from ``now``."""
    tx.execute(delete(bytes_fact).where(bytes_fact.c.key == _STOP))
    _write(tx, _LAST, to_iso(now))


def _read(tx: Tx, key: str) -> Any:
    return tx.execute(select(bytes_fact.c.value).where(bytes_fact.c.key == key)).scalar()


def _write(tx: Tx, key: str, value: object) -> None:
    tx.execute(
        insert(bytes_fact)
        .values(key=key, value=value)
        .on_conflict_do_update(index_elements=["key"], set_={"value": value})
    )

"""A process that has the turn to write and says nothing more keeps the whole site from writing: not for long."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from headwater.db import DatabaseAway, Tx, open_database, postgresql
from tests.servers.postgres import cluster


def _put(tx: Tx, key: str) -> None:
    tx.execute(text("insert into site_setting (key, value) values (:key, '1')"), {"key": key})


def _count(tx: Tx) -> int:
    return int(tx.execute(text("select count(*) from site_setting")).scalar_one())


@pytest.mark.parametrize("inside", [False, True])
def test_a_writer_that_stands_still_loses_its_turn(monkeypatch: pytest.MonkeyPatch, inside: bool) -> None:
    """As on a machine that is paused, just when the turn became its own, or in the middle of its act."""
    cluster().sql(f"create database still_{int(inside)}")
    monkeypatch.setattr(postgresql, "_TAKE_TURN", postgresql._TAKE_TURN.replace(b"'30s'", b"'1s'"))
    still, other = (open_database(Path(), cluster().url_of(f"still_{int(inside)}")) for _ in range(2))
    still.ensure_schema()
    stands, goes_on = threading.Event(), threading.Event()

    def stand() -> None:
        stands.set()
        goes_on.wait(30)

    def slow(tx: Tx) -> None:
        if inside:
            _put(tx, "half")
            stand()
        _put(tx, "late")

    begin = still._write_once
    if not inside:
        monkeypatch.setattr(still, "_write_once", lambda *given: (stand(), begin(*given))[1])
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(still.write, slow)
        assert stands.wait(10)
        other.write(_put, "in time")
        goes_on.set()
        with pytest.raises(DatabaseAway, match="nothing was changed"):
            late.result()
    monkeypatch.undo()
    assert other.read(_count) == 1
    still.write(_put, "again")
    # A connection that has had its turn rests for as long as it likes.
    with still._link() as link:
        assert link.run(b"show idle_session_timeout").get_value(0, 0) == b"0"
        assert link.run(b"show idle_in_transaction_session_timeout").get_value(0, 0) == b"2min"
    still.close()
    other.close()

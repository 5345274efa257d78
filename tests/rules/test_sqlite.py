"""What SQLite is told; and, on both databases, that no process starves beside others."""

from __future__ import annotations

import multiprocessing
import time
from pathlib import Path
from typing import Any

from sqlalchemy import text

from headwater.db import Tx, open_database
from tests import growth

PROCESSES = 4
SECONDS = 3.0
UNEVEN = 8  # with the lock they differ by a half, without it by a hundred times
DEADLINE_S = 60.0


@growth.only_on_one_machine
def test_what_was_answered_is_on_the_disk_and_a_write_begins_as_one(tmp_path: Path) -> None:
    db = growth.new_database(tmp_path)
    said: list[str] = []

    def facts(tx: Tx) -> dict[str, Any]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return {name: tx.execute(text(f"pragma {name}")).scalar() for name in names}

    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    assert db.write(facts) == wanted
    assert db.read(facts) == wanted
    db._writing.raw.set_trace_callback(said.append)
    db.write(lambda tx: tx.execute(text("select 1")).all())
    db.submit(lambda tx: tx.execute(text("select 2")).all()).result()
    assert [line for line in said if line.startswith(("BEGIN", "COMMIT"))] == ["BEGIN IMMEDIATE", "COMMIT"] * 2
    db.close()


def write_for_a_while(folder: Path, url: str | None, start: Any, counts: Any, number: int) -> None:
    db = open_database(folder, url)

    def add_one(tx: Tx) -> None:
        tx.execute(text("update site_setting set value = cast(cast(value as integer) + 1 as text) where key = 'n'"))

    db.read(lambda tx: tx.execute(text("select 1")).all())
    start.wait(DEADLINE_S)
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        db.write(add_one)
        counts[number] += 1
    db.close()


def test_every_process_gets_its_turn(tmp_path: Path) -> None:
    """Without a lock that keeps a queue, some of the processes write all, and others nothing."""
    db = growth.new_database(tmp_path)
    db.write(lambda tx: tx.execute(text("insert into site_setting values ('n', '0')")))
    context = multiprocessing.get_context("spawn")
    start, counts = context.Barrier(PROCESSES), context.Array("i", PROCESSES)
    url = growth.database_url_of(tmp_path)
    others = [
        context.Process(target=write_for_a_while, args=(tmp_path, url, start, counts, n)) for n in range(PROCESSES)
    ]
    for other in others:
        other.start()
    for other in others:
        other.join(120)
        assert other.exitcode == 0
    found = db.read(lambda tx: tx.execute(text("select value from site_setting where key = 'n'")).scalar())
    assert int(found) == sum(counts)
    assert min(counts) * UNEVEN >= max(counts), list(counts)
    db.close()

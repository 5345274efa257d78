"""The lock between naming an object and the row that relies on it.

An object is brought under its key without any lock: that may take minutes, and no sweep touches what is younger than its
grace time. Then, held *shared*: is it (still) there? and the row is written. A sweep holds it *exclusively* while it looks
once more whether an object is old and has no row, and removes it. So no sweep takes what is just getting its row.
Both ask ``Held.check`` right before: on PostgreSQL a lock goes with its connection.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from headwater.db import Database, Held

COLLECTOR_LOCKS = ("collector", "pack-collector")  # whoever holds both may be sure that nothing named is removed


@contextmanager
def placing(db: Database, *, exclusive: bool = False) -> Iterator[Held]:
    with db.holding("placing", exclusive=exclusive) as held:
        yield held

"""Reading entries one after another, in the order of the log: for checks, and whoever follows the record."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import func, select

from headwater.db import Tx
from headwater.kernel import to_iso
from headwater.ledger.record import digest_of, salted
from headwater.ledger.tables import entry, entry_secret, leaf, pending_entry

_STEP = 1000
_NAMES = ("subject", "actor", "facts")


@dataclass(frozen=True)
class Recorded:
    """One entry as its rows have it. ``names`` are the plain values beside a private leaf; None for a public one."""

    id: int
    kind: str
    repo_id: int | None
    is_private: bool
    leaf: str
    created_at: datetime
    names: dict[str, Any] | None
    salt: bytes | None
    owner_id: int | None = None

    def subject(self) -> str:
        """What it is about, by its plain name. Raises: ValueError, KeyError, TypeError: it cannot be read."""
        return self._text("subject")

    def actor(self) -> str:
        """Who did it, likewise."""
        return self._text("actor")

    def _text(self, name: str) -> str:
        found = orjson.loads(self.leaf)[name] if self.names is None else self.names[name]
        if not isinstance(found, str):
            raise TypeError(f"the {name} of an entry is no text")
        return found

    def facts(self) -> dict[str, Any]:
        """Raises: ValueError, KeyError, TypeError: it cannot be read."""
        found: dict[str, Any] = orjson.loads(self.leaf)["facts"] if self.names is None else self.names["facts"]
        if not isinstance(found, dict):
            raise TypeError("the facts of an entry are no object")
        return found

    def what_is_wrong(self) -> str | None:
        """Why leaf, row and plain values do not belong together; None where they do."""
        try:
            leaf = orjson.loads(self.leaf)
            if leaf["kind"] != self.kind:
                return f"its row says {self.kind!r} and its leaf {leaf['kind']!r}"
            if leaf["at"] != to_iso(self.created_at):
                return f"its row says {to_iso(self.created_at)} and its leaf {leaf['at']}"
            if not self.is_private and self.names is not None:
                is_so = leaf["facts"] == digest_of(self.names["facts"])
                return None if is_so else "its facts are not what its leaf was made of"
            if not self.is_private:
                stated = leaf["facts"].get("repo_id", self.repo_id)
                return None if stated == self.repo_id else "it stands with another repository than it is about"
            if self.names is None or self.salt is None:
                return "what its hashes stand for is gone"
            for name in _NAMES:
                if salted(self.salt, self.names[name]) != leaf[name]:
                    return f"its {name} is not what its leaf was made of"
        except (ValueError, KeyError, TypeError, AttributeError):
            return "it cannot be read"
        return None


def iter_entries(
    tx: Tx, *, repo_id: int | None = None, kind: str | None = None, only_pending: bool = False
) -> Iterator[Recorded]:
    """Entries in the log's order, which its proofs are about, and then those that have no place in it yet, in that of their numbers.

    Of one repository or kind, or those alone that wait for their place.
    """
    query = select(entry, entry_secret.c.names, entry_secret.c.salt, leaf.c.idx)
    query = query.outerjoin(entry_secret, entry_secret.c.entry_id == entry.c.id)
    if repo_id is not None:
        query = query.where(entry.c.repo_id == repo_id)
    if kind is not None:
        query = query.where(entry.c.kind == kind)
    if only_pending:
        query = query.where(entry.c.id.in_(select(pending_entry.c.entry_id)))
    else:
        yield from _pages(tx, query.join(leaf, leaf.c.entry_id == entry.c.id), leaf.c.idx, -1)
        query = query.where(leaf.c.idx.is_(None))
    yield from _pages(tx, query.outerjoin(leaf, leaf.c.entry_id == entry.c.id), entry.c.id, 0)


def _pages(tx: Tx, query: Any, order: Any, after: int) -> Iterator[Recorded]:
    while True:
        rows = tx.execute(query.where(order > after).order_by(order).limit(_STEP)).all()
        for row in rows:
            after = getattr(row, order.name)
            yield Recorded(
                row.id,
                row.kind,
                row.repo_id,
                row.is_private,
                row.leaf,
                row.created_at,
                row.names,
                row.salt,
                row.owner_id,
            )
        if len(rows) < _STEP:
            return


def count_all(tx: Tx) -> int:
    """How many entries there are."""
    found: int = tx.execute(select(func.count()).select_from(entry)).scalar_one()
    return found

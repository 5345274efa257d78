"""What anyone may know of how the site is looked after: when it was last backed up, tried, checked, read through."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from headwater import accounts
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub.checking import store
from headwater.hub.checking.settings import CheckSettings
from headwater.hub.tables.upkeep import scrub_place
from headwater.kernel import Actor, Settings, to_iso

KINDS = ("backup", "drill", "check", "scrub")
SHOWN = 50


@dataclass(frozen=True)
class Line:
    """One kind of care. ``failed`` is the latest that did not go well, if nothing went well since."""

    kind: str
    good: store.Run | None
    failed: store.Run | None


@dataclass(frozen=True)
class Round:
    """Scrubbing under way."""

    began_at: datetime
    n_objects: int
    n_bytes: int


@dataclass(frozen=True)
class Status:
    """``problems`` is None for those who may only know how many there are."""

    lines: Sequence[Line]
    round: Round | None
    n_problems: int
    problems: Sequence[store.Known] | None

    def as_facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = {"problems": self.n_problems}
        for line in self.lines:
            facts[line.kind] = {
                "last_good_at": None if line.good is None else to_iso(line.good.ended_at),
                "failed_since_at": None if line.failed is None else to_iso(line.failed.ended_at),
                "facts": {} if line.good is None else line.good.facts,
            }
        return facts


def find_status(tx: Tx, actor: Actor, settings: Settings) -> Status:
    """
    Raises:
        NotSignedIn, NotAllowed: the site shows this to its administrators only.
    """
    if not settings.of(CheckSettings).public_status:
        accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    lines = []
    for kind in KINDS:
        good, bad = store.find_last(tx, kind, is_good=True), store.find_last(tx, kind, is_good=False)
        is_over = bad is None or (good is not None and good.ended_at >= bad.ended_at)
        lines.append(Line(kind, good, None if is_over else bad))
    row = tx.execute(select(scrub_place)).first()
    under_way = None if row is None else Round(row.round_began_at, row.n_objects, row.n_bytes)
    may_see = accounts.allows(tx, actor, Action.MANAGE_SITE, on=None)
    return Status(lines, under_way, store.count_problems(tx), store.list_problems(tx, SHOWN) if may_see else None)

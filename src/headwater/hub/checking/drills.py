"""That a backup was tried, and how that went: one run for ``/status``, one entry of the record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from headwater import ledger
from headwater.db import Tx
from headwater.hub.checking import store
from headwater.hub.checking.models import Problem
from headwater.kernel import SYSTEM, utcnow
from headwater.web.site import Site


def note_drill(
    site: Site,
    *,
    snapshot: str,
    started_at: datetime,
    n_objects: int,
    problems: Sequence[Problem] | None,
    code: str = "",
) -> None:
    """``problems``: what a check of the restored site found; None where it could not be restored, for ``code``."""
    now = utcnow()
    is_good = problems is not None and not problems
    facts = {
        "snapshot": snapshot,
        "n_objects": n_objects,
        "seconds": round((now - started_at).total_seconds(), 1),
        "problems": len(problems or ()),
        **({"code": code} if code else {}),
    }

    def note(tx: Tx) -> None:
        store.insert_run(tx, "drill", is_good=is_good, started_at=started_at, now=now, facts=facts)
        ledger.record(tx, SYSTEM, "restore.tested", "site", {**facts, "ok": is_good}, now=now)

    site.db.write(note)

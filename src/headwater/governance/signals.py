"""What governance does in the transactions of others: it queues a job, and imports next to nothing."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from headwater import queue
from headwater.db import Tx
from headwater.governance.jobs import GRADE
from headwater.kernel import RepoId, utcnow

if TYPE_CHECKING:
    from headwater.compute import Run

SETTLE_S = 0.5  # changes come in bursts
MOST_ALIKE = 50


def ask(tx: Tx, repo_id: RepoId, now: datetime, *, wave: int = 0, delay_s: float = SETTLE_S) -> None:
    """Have a repository graded, soon after this transaction. ``wave`` counts how far it follows from another's change."""
    queue.put(tx, GRADE, {"repo_id": repo_id, "wave": wave}, unique=str(repo_id), delay_s=delay_s, now=now)


def on_change(tx: Tx, repo_id: RepoId, now: datetime) -> None:
    ask(tx, repo_id, now)


def on_run_end(tx: Tx, run: Run) -> None:
    """What a run made or read is looked at again, now that it is known; and what others made of the same, which it may have made again."""
    from headwater.compute.store import runs

    read = [each.repo_id for each in runs.inputs_of(tx, [run.id])[run.id]]
    alike = runs.numbers_around(tx, read, MOST_ALIKE) if read else []
    made = runs.made_by_many(tx, {run.id, *alike})
    for repo_id in dict.fromkeys([*read, *(one for each in made.values() for one in each)]):
        ask(tx, repo_id, utcnow())

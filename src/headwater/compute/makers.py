"""What a repository's own page says of runs."""

from __future__ import annotations

from headwater.compute.service import reading
from headwater.db import Tx
from headwater.hub.models import Repository
from headwater.hub.pages.marks import Made
from headwater.kernel import Actor


def find_made(tx: Tx, actor: Actor, repo: Repository) -> Made | None:
    """The run that last put something on the default branch, if its reader may see it."""
    if repo.head_commit is None:
        return None
    found = reading.find_makers(tx, actor, repo.id)
    latest = next((run for commit, run in found if commit.revision == repo.default_branch), None)
    return None if latest is None else Made("runs.made", {"n": latest.id}, f"/runs/{latest.id}")

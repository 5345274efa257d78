"""What a repository's own page says of runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from headwater.compute.kinds import Kind, kinds
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


@dataclass(frozen=True)
class Beginning:
    """What a run of a kind could make of a repository."""

    kind: Kind
    href: str


def load_section(tx: Tx, actor: Actor, repo: Repository) -> Sequence[Beginning] | None:
    """Runs that whoever is signed in could begin from this repository; None where there is none."""
    if actor.is_anonymous:
        return None
    about = quote(f"{repo.kind.value}s/{repo.name}", safe="/")
    return [
        Beginning(kind, f"/runs/new?kind={quote(kind.name)}&of={about}")
        for kind in kinds().values()
        if repo.kind.value in kind.example_of
    ] or None

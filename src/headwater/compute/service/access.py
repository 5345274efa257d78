"""From a run's number to a run the actor may act on: the one ``require`` for runs."""

from __future__ import annotations

from headwater import accounts
from headwater.accounts import Action
from headwater.compute.errors import NotThisRun, RunNotFound
from headwater.compute.rows import Attempt, Run
from headwater.compute.store import attempts, runs
from headwater.db import Tx
from headwater.kernel import Actor


def get(tx: Tx, actor: Actor, run_id: int, action: Action) -> Run:
    """The run, if ``actor`` may read it, or end and repeat it (WRITE). Its own process may read it, too.

    Raises:
        RunNotFound: absent or hidden: it is private and of others, or a private repository of it is.
        NotSignedIn, NotAllowed
    """
    found = runs.find_run(tx, run_id) if 0 < run_id < 1 << 31 else None
    if found is None:
        raise RunNotFound
    if action is Action.READ and _is_its_own(tx, actor, found) is not None:
        return found
    if found.is_private and not runs.find_many(tx, accounts.visible(tx, actor), [found.id]):
        raise RunNotFound
    try:
        accounts.require(tx, actor, action, on=found.resource)
    except accounts.Hidden as exc:
        raise RunNotFound from exc
    return found


def get_own(tx: Tx, actor: Actor, run_id: int) -> tuple[Run, Attempt]:
    """The run and the attempt whose own token this is.

    Raises:
        RunNotFound, NotThisRun, NotSignedIn
    """
    found = runs.find_run(tx, run_id) if 0 < run_id < 1 << 31 else None
    own = None if found is None else _is_its_own(tx, actor, found)
    if found is None or own is None:
        get(tx, actor, run_id, Action.READ)
        if actor.is_anonymous:
            raise accounts.NotSignedIn
        raise NotThisRun
    return found, own


def _is_its_own(tx: Tx, actor: Actor, run: Run) -> Attempt | None:
    if actor.limits is None:
        return None
    return attempts.find_by_token(tx, run.id, actor.limits.token_id)

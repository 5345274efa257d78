"""From queued to its end: claiming, ending, cancelling, trying again. What runners call, and what people may do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from headwater import accounts, ledger
from headwater.accounts import Action
from headwater.compute.errors import RunGoesOn, RunIsOver, RunNotFound
from headwater.compute.kinds import end_handlers
from headwater.compute.models import Need, RunId, State
from headwater.compute.rows import Attempt, Run, RunHost
from headwater.compute.service import access
from headwater.compute.service.quotas import Quota, quota_of, require_room, within
from headwater.compute.service.submitting import grants_of, record
from headwater.compute.settings import ComputeSettings
from headwater.compute.store import attempts
from headwater.compute.store import runs as run_store
from headwater.db import Tx
from headwater.kernel import SYSTEM, Actor, utcnow

LEASE_S = 60  # a host that has not said for so long that it lives has lost its runs
PATIENCE_S = 600  # a run that waits for longer than this is not overtaken by smaller ones any more
LOSSES = 2  # so often a run is begun again because its host was lost, whatever its recipe says of retries
GRACE_S = 20  # between asking a process to end and ending it
TOKEN_SLACK_S = 3600  # a run's token lives no longer than the run may, and this

# What another try may mend. What a program itself calls a failure, and what ran out of time, would end so again.
_AGAIN = frozenset({"exit_code", "signal", "exception", "memory_limit", "start_failed"})


@dataclass(frozen=True)
class Claimed:
    """A run that this host is to start, and the secret its process is given."""

    run: Run
    attempt: int
    token: str


@dataclass(frozen=True)
class Outcome:
    """How an attempt ended. ``reason_code`` is a stable word; "" where it succeeded."""

    state: State
    reason_code: str = ""
    reason: str = ""
    exit_code: int | None = None
    usage: dict[str, Any] | None = None


def claim(tx: Tx, host: RunHost, settings: ComputeSettings, now: datetime) -> Claimed | None:
    """Take the next run that fits into what is free on this host and in its owner's quota.

    By priority; of the same, whose owner uses least now; of these, who has waited longest.
    """
    waiting = run_store.due(tx, host, now)
    if not waiting:
        return None
    held = attempts.in_use(tx)
    free = _free_of(host, held)
    by_owner: dict[int, Need] = {}
    n_by_owner: dict[int, int] = {}
    for row in held:
        before = by_owner.get(row.owner_id, Need(0, 0, 0))
        by_owner[row.owner_id] = Need(
            before.cpus + row.cpus, before.memory_bytes + row.memory_bytes, before.gpus + row.gpus
        )
        n_by_owner[row.owner_id] = n_by_owner.get(row.owner_id, 0) + 1
    quotas = attempts.quotas(tx)
    waiting.sort(key=lambda run: (-run.priority, by_owner.get(run.owner_id, Need(0, 0, 0)).cpus, run.id))
    for each in waiting:
        quota = quota_of(quotas.get(each.owner_id), settings)
        used = by_owner.get(each.owner_id, Need(0, 0, 0))
        if not within(quota, used, n_by_owner.get(each.owner_id, 0), each.need):
            continue
        run = run_store.find_run(tx, each.id) if _fits(free, each.need) else None
        if run is not None:
            return _begin(tx, run, host, now)
        if now - each.due_at > timedelta(seconds=PATIENCE_S):
            return None  # what becomes free is for this one
    return None


def _begin(tx: Tx, run: Run, host: RunHost, now: datetime) -> Claimed:
    number = run.n_attempts + 1
    inputs, outputs = run_store.inputs_of(tx, [run.id])[run.id], run_store.outputs_of(tx, [run.id])[run.id]
    limit_s = run.need.time_limit_s or ComputeSettings().time_limit_s
    token = accounts.create_run_token(
        tx,
        run.created_by,
        name=f"run {run.id}, attempt {number}",
        grants=grants_of(tx, run, inputs, outputs),
        expires_at=now + timedelta(seconds=limit_s + GRACE_S + TOKEN_SLACK_S),
        now=now,
    )
    attempts.insert_attempt(
        tx,
        run.id,
        {
            "number": number,
            "state": State.STARTING.value,
            "runner": host.runner,
            "host_id": host.id,
            "token_id": token.info.id,
            "lease_until": now + timedelta(seconds=LEASE_S),
            "started_at": now,
        },
    )
    run_store.update_run(
        tx,
        run.id,
        state=State.STARTING.value,
        n_attempts=number,
        started_at=now,
        reason_code=None,
        reason=None,
    )
    begun = run_store.find_run(tx, run.id)
    if begun is None:
        raise RunNotFound
    return Claimed(begun, number, token.secret)


def _free_of(host: RunHost, held: list[Any]) -> Need:
    mine = [row for row in held if row.host_id == host.id]
    return Need(
        host.cpus - sum(row.cpus for row in mine),
        host.memory_bytes - sum(row.memory_bytes for row in mine),
        host.gpus - sum(row.gpus for row in mine),
    )


def _fits(free: Need, need: Need) -> bool:
    return need.cpus <= free.cpus + 1e-9 and need.memory_bytes <= free.memory_bytes and need.gpus <= free.gpus


def set_quota(tx: Tx, actor: Actor, name: str, quota: Quota) -> None:
    """What the runs of one account may hold at once; None: as the settings say.

    Raises:
        NotAllowed, AccountNotFound
    """
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    account = accounts.get_account(tx, name)
    attempts.save_quota(
        tx, account.id, cpus=quota.cpus, memory_bytes=quota.memory_bytes, gpus=quota.gpus, runs=quota.runs
    )
    facts = {"cpus": quota.cpus, "memory_bytes": quota.memory_bytes, "gpus": quota.gpus, "runs": quota.runs}
    about = f"run-quotas/{account.name}"
    ledger.record(tx, actor, "run_quota.set", about, facts, private=True, owner_id=account.id, now=utcnow())


# ---- what runners say


def note_started(tx: Tx, run_id: RunId, number: int, *, remote_id: str | None, runs: bool) -> None:
    """The process was handed over to where it is started, and runs there, or says itself when it does."""
    attempt = attempts.find_attempt(tx, run_id, number)
    if attempt is None or not attempt.state.is_active:
        return  # it is over already: a short one, or somebody was quick to cancel
    values: dict[str, Any] = {} if remote_id is None else {"remote_id": remote_id}
    if runs:
        values["state"] = State.RUNNING.value
        run_store.update_run(tx, run_id, state=State.RUNNING.value)
    if values:
        attempts.update_attempt(tx, run_id, number, **values)


def put_back(tx: Tx, run_id: RunId, number: int, now: datetime) -> None:
    """Where it was to be started did not answer: it waits as before, as if it had not been claimed."""
    attempt, run = attempts.find_attempt(tx, run_id, number), run_store.find_run(tx, run_id)
    if attempt is None or run is None or not attempt.state.is_active or number != run.n_attempts:
        return
    if run.cancel_requested_at is not None:
        end_attempt(tx, run_id, number, Outcome(State.CANCELLED, "cancelled", "It was cancelled."), now)
        return
    if attempt.token_id is not None:
        accounts.end_run_token(tx, attempt.token_id, now=now)
    attempts.delete_attempt(tx, run_id, number)
    run_store.update_run(tx, run_id, state=State.QUEUED.value, n_attempts=number - 1, started_at=None)


def renew(tx: Tx, held: list[tuple[RunId, int]], now: datetime) -> list[tuple[RunId, int]]:
    """Hold on to these attempts; returns those that are over for the site, whatever their processes do."""
    gone = []
    for run_id, number in held:
        attempt = attempts.find_attempt(tx, run_id, number)
        if attempt is None or not attempt.state.is_active:
            gone.append((run_id, number))
            continue
        attempts.update_attempt(tx, run_id, number, lease_until=now + timedelta(seconds=LEASE_S))
    return gone


def end_attempt(tx: Tx, run_id: RunId, number: int, outcome: Outcome, now: datetime) -> Run | None:
    """The attempt is over: its token ends, and the run does, or is begun again. None: it was over before."""
    attempt, run = attempts.find_attempt(tx, run_id, number), run_store.find_run(tx, run_id)
    if attempt is None or run is None or not attempt.state.is_active:
        return None
    outcome = _as_reported(attempt, run, outcome)
    attempts.update_attempt(
        tx,
        run_id,
        number,
        state=outcome.state.value,
        reason_code=outcome.reason_code or None,
        reason=outcome.reason or None,
        exit_code=outcome.exit_code,
        usage=outcome.usage,
        ended_at=now,
    )
    if attempt.token_id is not None:
        accounts.end_run_token(tx, attempt.token_id, now=now)
    if number != run.n_attempts:
        return run
    lost = outcome.state is State.LOST
    n_failed = number - run.n_losses - 1  # before this one
    again = run.cancel_requested_at is None and (
        run.n_losses < LOSSES
        if lost
        else outcome.state is State.FAILED and outcome.reason_code in _AGAIN and n_failed < run.retries
    )
    values: dict[str, Any] = {
        "n_losses": run.n_losses + lost,
        "reason_code": outcome.reason_code or None,
        "reason": outcome.reason or None,
    }
    if outcome.usage is not None:
        values["usage"] = outcome.usage
    if again:
        delay_s = 0 if lost else min(4**n_failed, 300)
        due_at = now + timedelta(seconds=delay_s)
        run_store.update_run(tx, run_id, state=State.QUEUED.value, due_at=due_at, started_at=None, **values)
        return run_store.find_run(tx, run_id)
    return _end(tx, SYSTEM, run, outcome.state, now, values)


def _as_reported(attempt: Attempt, run: Run, outcome: Outcome) -> Outcome:
    """What the process itself gave as the reason says more than its exit code."""
    if run.cancel_requested_at is not None and outcome.state is State.FAILED:
        return Outcome(State.CANCELLED, "cancelled", "It was cancelled.", outcome.exit_code, outcome.usage)
    if attempt.reason_code and outcome.state is State.FAILED and outcome.reason_code in ("exit_code", "signal"):
        return Outcome(State.FAILED, attempt.reason_code, attempt.reason or "", outcome.exit_code, outcome.usage)
    if attempt.reason_code and outcome.state is State.SUCCEEDED:  # it said that it failed, and then left in peace
        return Outcome(State.FAILED, attempt.reason_code, attempt.reason or "", outcome.exit_code, outcome.usage)
    return outcome


def _end(tx: Tx, actor: Actor, run: Run, state: State, now: datetime, values: dict[str, Any]) -> Run:
    run_store.update_run(tx, run.id, state=state.value, ended_at=now, **values)
    ended = run_store.find_run(tx, run.id)
    if ended is None:
        raise RunNotFound
    commits = [
        {"output": each.output, "commit": each.commit, "repo_id": each.repo_id}
        for each in run_store.commits_of(tx, run.id)
    ]
    record(tx, actor, "run.ended", ended, {"state": state.value, "reason": ended.reason_code, "commits": commits})
    for handler in end_handlers(run.kind):
        handler(tx, ended)
    return ended


def lose_expired(tx: Tx, now: datetime, *, but_of: str) -> list[RunId]:
    """Attempts whose host has not been heard of; a host knows better about its own."""
    found = []
    for run_id, attempt in attempts.expired(tx, now):
        if attempt.host_id == but_of:
            continue
        outcome = Outcome(State.LOST, "host_lost", "The host it ran on has not been heard of for a minute.")
        end_attempt(tx, run_id, attempt.number, outcome, now)
        found.append(run_id)
    return found


# ---- what people may do


def cancel(tx: Tx, actor: Actor, run_id: int) -> Run:
    """End a run: at once if it waits, else its process is asked to, and has 20 seconds to save what it has.

    Raises:
        RunNotFound, NotSignedIn, NotAllowed, RunIsOver
    """
    run = access.get(tx, actor, run_id, Action.WRITE)
    if run.state.is_over:
        raise RunIsOver(run.state.value)
    if run.cancel_requested_at is not None:
        return run
    now = utcnow()
    record(tx, actor, "run.cancelled", run, {})
    if run.state is State.QUEUED:
        values = {"cancel_requested_at": now, "reason_code": "cancelled", "reason": f"{actor.name} cancelled it."}
        return _end(tx, actor, run, State.CANCELLED, now, values)
    run_store.update_run(tx, run.id, cancel_requested_at=now)
    return run_store.find_run(tx, run.id) or run


def retry(tx: Tx, actor: Actor, run_id: int, settings: ComputeSettings) -> Run:
    """Put a run that did not succeed into the queue again: the same recipe, inputs pinned as they were.

    Raises:
        RunNotFound, NotSignedIn, NotAllowed, RunGoesOn, TooManyWaiting
    """
    run = access.get(tx, actor, run_id, Action.WRITE)
    if not run.state.is_over or run.state is State.SUCCEEDED:
        raise RunGoesOn(run.state.value)
    require_room(tx, settings, owner_id=run.owner_id, created_by=run.created_by)
    now = utcnow()
    run_store.update_run(
        tx,
        run.id,
        state=State.QUEUED.value,
        due_at=now,
        started_at=None,
        ended_at=None,
        cancel_requested_at=None,
        reason_code=None,
        reason=None,
        # Its retries begin anew.
        n_losses=0,
        retries=run.resolved["retries"] + run.n_attempts,
    )
    record(tx, actor, "run.retried", run, {})
    return run_store.find_run(tx, run.id) or run

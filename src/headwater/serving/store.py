"""SQL of endpoints and of how they are; of use, limits and kept contents in ``usage_store``."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, Select, bindparam, exists, or_, select, update

from headwater.accounts import Resource, Visibility
from headwater.accounts.tables import account
from headwater.db import Tx, insert, prepared, row_locked
from headwater.hub.tables.repositories import repository
from headwater.kernel import AccountId, CommitId, RepoId
from headwater.serving.errors import EndpointNameTaken
from headwater.serving.models import Endpoint, Served, Standing, State
from headwater.serving.tables import endpoint, endpoint_state

_COLUMNS = (
    endpoint,
    account.c.name.label("owner_name"),
    repository.c.namespace.label("repo_namespace"),
    repository.c.name.label("repo_name"),
    repository.c.owner_id.label("repo_owner_id"),
    repository.c.is_private.label("repo_is_private"),
)


def _selected(*more: Any) -> Select[Any]:
    return (
        select(*_COLUMNS, *more)
        .join(account, account.c.id == endpoint.c.owner_id)
        .join(repository, repository.c.id == endpoint.c.repo_id)
        .where(endpoint.c.name_key.is_not(None))
    )


_state = [column.label(f"s_{column.name}") for column in endpoint_state.columns]
_WITH_STATE = _selected(*_state).join(endpoint_state, endpoint_state.c.endpoint_id == endpoint.c.id)
# Asked with every call of the gateway.
_BY_NAME = prepared(
    _WITH_STATE.where(account.c.name_key == bindparam("owner_key"), endpoint.c.name_key == bindparam("key"))
)
_BY_ID = prepared(_WITH_STATE.where(endpoint.c.id == bindparam("of_id")))


def endpoint_of(row: Row[Any]) -> Endpoint:
    return Endpoint(
        id=row.id,
        owner_id=AccountId(row.owner_id),
        owner=row.owner_name,
        name=row.name,
        repo_id=RepoId(row.repo_id),
        repo=f"{row.repo_namespace}/{row.repo_name}",
        repo_resource=Resource(AccountId(row.repo_owner_id), row.repo_id, is_private=row.repo_is_private),
        commit=CommitId(row.commit_id),
        file=row.file,
        engine=row.engine,
        task=row.task,
        access=row.access,
        context_tokens=row.context_tokens,
        slots=row.slots,
        idle_s=row.idle_s,
        keeps_contents=row.keeps_contents,
        wanted=row.wanted,
        created_by=AccountId(row.created_by),
        created_at=row.created_at,
    )


def served_of(row: Row[Any]) -> Served:
    standing = Standing(
        state=State(row.s_state),
        reason=row.s_reason,
        since=row.s_since,
        holder=row.s_holder,
        held_until=row.s_held_until,
        host=row.s_host,
        pid=row.s_pid,
        pid_started=row.s_pid_started,
        address=row.s_address,
        key=row.s_key,
        context_tokens=row.s_context_tokens,
        n_failures=row.s_n_failures,
        retry_at=row.s_retry_at,
        wake_at=row.s_wake_at,
        last_used_at=row.s_last_used_at,
        log_tail=row.s_log_tail,
    )
    return Served(endpoint_of(row), standing)


def insert_endpoint(tx: Tx, values: dict[str, Any], *, now: datetime) -> int:
    """Raises: EndpointNameTaken."""
    made = tx.execute(insert(endpoint).values(values).on_conflict_do_nothing().returning(endpoint.c.id)).first()
    if made is None:
        raise EndpointNameTaken(values["name"])
    state = State.STOPPED if values["wanted"] == "stopped" else State.WAITING
    tx.execute(insert(endpoint_state).values(endpoint_id=made.id, state=state.value, since=now))
    return int(made.id)


def find_by_name(tx: Tx, owner_key: str, key: str) -> Served | None:
    row = tx.execute(_BY_NAME, {"owner_key": owner_key, "key": key}).first()
    return None if row is None else served_of(row)


def find(tx: Tx, endpoint_id: int) -> Served | None:
    row = tx.execute(_BY_ID, {"of_id": endpoint_id}).first()
    return None if row is None else served_of(row)


def list_all(
    tx: Tx, *, visible: Visibility | None = None, repo_ids: Collection[int] | None = None, limit: int = 1000
) -> list[Served]:
    """Newest first; those that ``visible`` shows, where it is given."""
    query = _WITH_STATE.order_by(endpoint.c.id.desc()).limit(limit)
    if visible is not None:
        is_private = endpoint.c.access == "members"
        query = query.where(
            visible.where(owner_id=endpoint.c.owner_id, repo_id=endpoint.c.repo_id, is_private=is_private)
        )
    if repo_ids is not None:
        query = query.where(endpoint.c.repo_id.in_(list(repo_ids)))
    return [served_of(row) for row in tx.execute(query)]


def change(tx: Tx, endpoint_id: int, values: dict[str, Any], *, now: datetime) -> None:
    tx.execute(update(endpoint).where(endpoint.c.id == endpoint_id).values(**values, changed_at=now))


def set_state(tx: Tx, /, endpoint_id: int, state: State, *, now: datetime, reason: str = "", **more: Any) -> None:
    values = {"state": state.value, "reason": reason[:4000], "since": now, **more}
    tx.execute(update(endpoint_state).where(endpoint_state.c.endpoint_id == endpoint_id).values(values))


@row_locked
def note_use(tx: Tx, endpoint_id: int, *, now: datetime, wakes: bool) -> None:
    """Somebody uses it; ``wakes`` asks for its engine, where there is none."""
    values: dict[str, Any] = {"last_used_at": now}
    if wakes:
        values["wake_at"] = now
    tx.execute(update(endpoint_state).where(endpoint_state.c.endpoint_id == endpoint_id).values(values))


# ---- what supervisors ask


def list_for_supervisor(tx: Tx, holder: str) -> list[Served]:
    """Those to be looked after: whatever should run, and whatever this supervisor still holds."""
    state = endpoint_state.c
    busy = or_(endpoint.c.wanted == "running", state.holder == holder, state.pid.is_not(None))
    gone = or_(state.holder == holder, state.pid.is_not(None))
    query = (
        select(*_COLUMNS, *_state)
        .join(account, account.c.id == endpoint.c.owner_id)
        .join(repository, repository.c.id == endpoint.c.repo_id)
        .join(endpoint_state, state.endpoint_id == endpoint.c.id)
        .where(or_(endpoint.c.name_key.is_not(None) & busy, endpoint.c.name_key.is_(None) & gone))
        .order_by(endpoint.c.id)
    )
    return [served_of(row) for row in tx.execute(query)]


def count_alive(tx: Tx) -> int:
    """How many endpoints ask anything of a supervisor."""
    query = select(endpoint_state.c.endpoint_id).join(endpoint, endpoint.c.id == endpoint_state.c.endpoint_id)
    alive = or_(endpoint.c.wanted == "running", endpoint_state.c.pid.is_not(None))
    return 0 if tx.execute(query.where(alive).limit(1)).first() is None else 1


@row_locked
def take(tx: Tx, endpoint_id: int, holder: str, former: str | None, *, now: datetime, lease_s: float) -> bool:
    """Hold it, if it is still as it was seen: free, or ``former``'s who has let it go or is no more."""
    state = endpoint_state.c
    free = or_(state.holder.is_(None), state.holder == holder, state.held_until < now)
    if former is not None:
        free = or_(free, state.holder == former)
    taken = tx.execute(
        update(endpoint_state)
        .where(state.endpoint_id == endpoint_id, free)
        .values(holder=holder, held_until=now + timedelta(seconds=lease_s))
    )
    return bool(taken.rowcount)


@row_locked
def write_held(tx: Tx, endpoint_id: int, holder: str, values: dict[str, Any]) -> bool:
    """Write how it is, if it is still this supervisor's to say: of what has been stopped meanwhile, only that it is."""
    state = endpoint_state.c
    query = update(endpoint_state).where(state.endpoint_id == endpoint_id, state.holder == holder)
    if values.get("state", State.STOPPED.value) != State.STOPPED.value:
        query = query.where(exists().where(endpoint.c.id == endpoint_id, endpoint.c.wanted == "running"))
    return bool(tx.execute(query.values(values)).rowcount)


@row_locked
def put_to_sleep(
    tx: Tx, endpoint_id: int, holder: str, used_at: datetime | None, *, now: datetime, reason: str = ""
) -> bool:
    """It is asleep from now on, unless somebody has used it since ``used_at``."""
    state = endpoint_state.c
    unused = state.last_used_at.is_(None) if used_at is None else state.last_used_at == used_at
    done = tx.execute(
        update(endpoint_state)
        .where(state.endpoint_id == endpoint_id, state.holder == holder, state.state == State.READY.value, unused)
        .values(state=State.ASLEEP.value, since=now, reason=reason, address=None, key=None, wake_at=None)
    )
    return bool(done.rowcount)


@row_locked
def release(tx: Tx, holder: str, endpoint_id: int | None = None) -> None:
    state = endpoint_state.c
    query = update(endpoint_state).where(state.holder == holder)
    if endpoint_id is not None:
        query = query.where(state.endpoint_id == endpoint_id)
    tx.execute(query.values(holder=None, held_until=None))

"""SQL of verdicts, of what is held and of what was released; nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import and_, bindparam, delete, exists, func, or_, select, tuple_, update

from headwater import queue
from headwater.accounts.tables import account
from headwater.db import Tx, insert, prepared
from headwater.hub.access import from_row
from headwater.hub.events import INDEX_REPOSITORY
from headwater.hub.gate.models import FileVerdict, Found, HeldFile, Hold, Key, Release, Status
from headwater.hub.models import Repository
from headwater.hub.tables.files import file_right
from headwater.hub.tables.gate import file_verdict, gate_due, gate_release, gate_state, held_file, verdict_batch
from headwater.hub.tables.repositories import repository
from headwater.kernel import AccountId, RepoId, to_iso

_BATCH = 200
MARK_BYTES, KEY_BYTES = 64, 32
_IS_RELEASED = and_(
    gate_release.c.repo_id == held_file.c.repo_id,
    gate_release.c.content == held_file.c.content,
    gate_release.c.role == held_file.c.role,
)
_HAS_VERDICT = and_(file_verdict.c.content == held_file.c.content, file_verdict.c.role == held_file.c.role)
# A verdict that is not there is one that somebody took away: then it waits to be judged.
_STATUS = func.coalesce(file_verdict.c.status, "queued")
_IN_FORCE = and_(_STATUS != "safe", or_(gate_release.c.status.is_(None), gate_release.c.status != _STATUS))

_HOLDS_OF = (
    select(
        held_file.c.repo_id,
        held_file.c.content,
        held_file.c.role,
        held_file.c.path,
        held_file.c.pull,
        _STATUS.label("status"),
        gate_release.c.status.label("released"),
    )
    .select_from(held_file)
    .outerjoin(file_verdict, _HAS_VERDICT)
    .outerjoin(gate_release, _IS_RELEASED)
)
# What every download of a file asks that is not remembered: built once.
_OF_CONTENT = prepared(
    _HOLDS_OF.where(held_file.c.repo_id == bindparam("repo"), held_file.c.content == bindparam("content"))
)
_INSERT_VERDICT = prepared(insert(file_verdict).on_conflict_do_nothing())
_VERDICT = prepared(
    select(file_verdict).where(file_verdict.c.content == bindparam("content"), file_verdict.c.role == bindparam("role"))
)
_FEW = 8
SHOWN = frozenset({"card", "safetensors", "gguf"})  # roles of what a repository's pages are made of


def find_holds(tx: Tx, repo_id: RepoId, content: str) -> list[Hold]:
    """All roles under which the repository names these bytes and is not served with them; released ones are left out."""
    return [_hold(row) for row in tx.execute(_OF_CONTENT, {"repo": repo_id, "content": content}) if _is_in_force(row)]


def find_holds_among(tx: Tx, repo_id: RepoId, contents: Iterable[str]) -> dict[str, list[Hold]]:
    """As ``find_holds``, for many."""
    found: dict[str, list[Hold]] = {}
    for part in _batches(contents):
        rows = tx.execute(_HOLDS_OF.where(held_file.c.repo_id == repo_id, held_file.c.content.in_(part)))
        for row in rows:
            if _is_in_force(row):
                found.setdefault(row.content, []).append(_hold(row))
    return found


def list_in_force(
    tx: Tx,
    repo_id: RepoId,
    *,
    small_only: bool = False,
    with_pulls: bool = False,
    but: Status | None = None,
    only: Status | None = None,
    limit: int = 1000,
) -> list[Hold]:
    """What is held back and not released. All conditions are in the query: ``limit`` bounds what is told, never whether there is any.

    Args:
        small_only: files in git itself, which a clone would bring.
        but, only: without those of this status; those of this status alone.
    """
    query = _HOLDS_OF.where(held_file.c.repo_id == repo_id, _IN_FORCE)
    if small_only:
        query = query.where(func.length(held_file.c.content) == 40)
    if not with_pulls:
        query = query.where(held_file.c.pull == 0)
    if but is not None:
        query = query.where(_STATUS.not_in([but.value]))
    if only is not None:
        query = query.where(_STATUS.in_([only.value]))
    return [_hold(row) for row in tx.execute(query.limit(limit))]


def _is_in_force(row: Any) -> bool:
    return row.status not in ("safe", row.released)


def _hold(row: Any) -> Hold:
    return Hold(RepoId(row.repo_id), row.content, row.role, row.path, Status(row.status), row.pull)


def list_held(
    tx: Tx,
    *,
    repo_ids: Collection[int] | None = None,
    before: tuple[datetime, str] | None = None,
    own_only: bool = False,
    limit: int = 100,
) -> list[HeldFile]:
    """Held and released files, the latest first; of these repositories, or of all. ``own_only``: without pull requests'."""
    query = (
        _HOLDS_OF.add_columns(
            held_file.c.noted_at,
            file_verdict.c.findings,
            file_verdict.c.second,
            gate_release.c.reason,
            gate_release.c.released_at,
            account.c.name.label("released_by"),
        )
        .outerjoin(account, account.c.id == gate_release.c.released_by)
        .order_by(held_file.c.noted_at.desc(), held_file.c.content)
        .limit(limit)
    )
    if repo_ids is not None:
        query = query.where(held_file.c.repo_id.in_(sorted(repo_ids)))
    if own_only:
        query = query.where(held_file.c.pull == 0)
    if before is not None:
        at, content = before
        query = query.where(
            or_(held_file.c.noted_at < at, and_(held_file.c.noted_at == at, held_file.c.content > content))
        )
    return [_held(row) for row in tx.execute(query)]


def _held(row: Any) -> HeldFile:
    release = None
    if row.released is not None:
        release = Release(Status(row.released), row.reason, row.released_by or "", row.released_at)
    kept = row.findings or {}
    return HeldFile(
        _hold(row),
        [Found.from_json(each) for each in kept.get("found", ())],
        [(module, name, ok) for module, name, ok in kept.get("imports", ())],
        row.second,
        row.noted_at,
        release,
    )


def find_verdicts(tx: Tx, keys: Iterable[Key]) -> dict[Key, FileVerdict]:
    wanted = set(keys)
    found: dict[Key, FileVerdict] = {}
    if len(wanted) <= _FEW:
        for content, role in wanted:
            row = tx.execute(_VERDICT, {"content": content, "role": role}).first()
            if row is not None:
                found[content, role] = _verdict(row)
        return found
    for part in _batches({content for content, _ in wanted}):
        for row in tx.execute(select(file_verdict).where(file_verdict.c.content.in_(part))):
            if (row.content, row.role) in wanted:
                found[row.content, row.role] = _verdict(row)
    return found


def list_judged(tx: Tx, contents: Iterable[str]) -> set[str]:
    """Those of these that have a verdict, under whatever name."""
    found: set[str] = set()
    for part in _batches(contents):
        found.update(tx.execute(select(file_verdict.c.content).where(file_verdict.c.content.in_(part))).scalars())
    return found


def _verdict(row: Any) -> FileVerdict:
    kept = row.findings or {}
    return FileVerdict(
        row.content,
        row.role,
        row.name,
        Status(row.status),
        row.rules,
        tuple(Found.from_json(each) for each in kept.get("found", ())),
        tuple((module, name, ok) for module, name, ok in kept.get("imports", ())),
        tuple(kept.get("kinds", ())),
        row.second,
        row.batch_id,
        row.judged_at,
    )


def put_verdicts(tx: Tx, verdicts: Sequence[FileVerdict], now: datetime) -> list[Key]:
    """Keep them. One by the same rules that is there already stays; one by others, or that waited, gives way.

    Returns those that were recorded as something else: the caller records them again, in this transaction.
    """
    if not verdicts:
        return []
    rows = [_values(verdict, now) for verdict in verdicts]
    if tx.execute(_INSERT_VERDICT, rows).rowcount == len(rows):
        return []
    there = find_verdicts(tx, [verdict.key for verdict in verdicts])
    recorded = []
    for verdict, values in zip(verdicts, rows, strict=True):
        known = there[verdict.key]
        if known.rules != verdict.rules and verdict.rules:
            tx.execute(
                update(file_verdict)
                .where(file_verdict.c.content == verdict.content, file_verdict.c.role == verdict.role)
                .values(**values)
            )
            if known.batch_id is not None:
                recorded.append(verdict.key)
    return recorded


def set_second(tx: Tx, key: Key, second: Mapping[str, Any]) -> list[Key]:
    """Keep another scanner's opinion. Returns what is to be recorded again with it."""
    return _amend(tx, [key], second=second)


def _amend(tx: Tx, keys: Iterable[Key], **values: Any) -> list[Key]:
    """Change something of verdicts that else stay what they are. One that is not what was recorded stays as it is, to be found."""
    recorded = []
    for key, verdict in find_verdicts(tx, keys).items():
        if verdict.batch_id is not None:
            if not _is_as_recorded(tx, verdict):
                continue
            recorded.append(key)
        content, role = key
        tx.execute(
            update(file_verdict).where(file_verdict.c.content == content, file_verdict.c.role == role).values(**values)
        )
    return recorded


def _is_as_recorded(tx: Tx, verdict: FileVerdict) -> bool:
    query = select(verdict_batch.c.marks).where(verdict_batch.c.id == verdict.batch_id)
    marks, mark = bytes(tx.execute(query).scalar() or b""), mark_of(verdict)
    return any(marks[at : at + MARK_BYTES] == mark for at in range(0, len(marks), MARK_BYTES))


def _values(verdict: FileVerdict, now: datetime) -> dict[str, Any]:
    return {
        "content": verdict.content,
        "role": verdict.role,
        "name": verdict.name[-255:],
        "status": verdict.status.value,
        "rules": verdict.rules,
        "findings": {
            "found": [found.to_json() for found in verdict.findings],
            "imports": [list(each) for each in verdict.imports],
            "kinds": list(verdict.kinds),
        },
        "second": verdict.second,
        "judged_at": now,
    }


def hold(tx: Tx, repo_id: RepoId, held: Mapping[Key, str], *, pull: int, now: datetime) -> None:
    """Note that the repository names these; what a pull request named first belongs to the repository once a branch does."""
    rows = [
        {"repo_id": repo_id, "content": content, "role": role, "path": path, "pull": pull, "noted_at": now}
        for (content, role), path in held.items()
    ]
    if not rows:
        return
    tx.execute(insert(held_file).on_conflict_do_nothing(), rows)
    if pull == 0:
        for part in _batches({content for content, _ in held}):
            tx.execute(
                update(held_file)
                .where(held_file.c.repo_id == repo_id, held_file.c.content.in_(part), held_file.c.pull != 0)
                .values(pull=0)
            )


def promote(tx: Tx, repo_id: RepoId, pull: int | None = None, contents: Iterable[str] | None = None) -> None:
    """What a pull request brought has come to a branch: all of it, or these contents of any."""
    where = [held_file.c.repo_id == repo_id, held_file.c.pull == pull if pull else held_file.c.pull != 0]
    if contents is None:
        tx.execute(update(held_file).where(*where).values(pull=0))
        return
    for part in _batches(contents):
        tx.execute(update(held_file).where(*where, held_file.c.content.in_(part)).values(pull=0))


def list_pull_contents(tx: Tx, repo_id: RepoId) -> set[str]:
    """Held files that only pull requests have."""
    query = select(held_file.c.content).where(held_file.c.repo_id == repo_id, held_file.c.pull != 0)
    return set(tx.execute(query).scalars())


def let_go(tx: Tx, keys: Iterable[Key]) -> None:
    """These are safe: no repository holds them any more."""
    for part in _batches(keys):
        tx.execute(delete(held_file).where(tuple_(held_file.c.content, held_file.c.role).in_(part)))


def list_contents(tx: Tx, repo_id: RepoId) -> set[str]:
    return set(tx.execute(select(held_file.c.content).where(held_file.c.repo_id == repo_id)).scalars())


def drop_contents(tx: Tx, repo_id: RepoId, contents: Iterable[str]) -> None:
    """The repository has these no more."""
    for part in _batches(contents):
        tx.execute(delete(held_file).where(held_file.c.repo_id == repo_id, held_file.c.content.in_(part)))


def copy_holds(tx: Tx, source_id: RepoId) -> dict[Key, str]:
    """What a copy of the repository will hold as well."""
    query = select(held_file).where(held_file.c.repo_id == source_id, held_file.c.pull == 0)
    return {(row.content, row.role): row.path for row in tx.execute(query)}


def put_release(
    tx: Tx, repo_id: RepoId, key: Key, status: Status, reason: str, account_id: AccountId | None, now: datetime
) -> None:
    content, role = key
    values = {"status": status.value, "reason": reason, "released_by": account_id, "released_at": now}
    tx.execute(
        insert(gate_release)
        .values(repo_id=repo_id, content=content, role=role, **values)
        .on_conflict_do_update(index_elements=["repo_id", "content", "role"], set_=values)
    )


def drop_release(tx: Tx, repo_id: RepoId, key: Key) -> bool:
    content, role = key
    gone = delete(gate_release).where(
        gate_release.c.repo_id == repo_id, gate_release.c.content == content, gate_release.c.role == role
    )
    return bool(tx.execute(gone).rowcount)


def find_released(tx: Tx, repo_id: RepoId, keys: Iterable[Key]) -> dict[Key, Status]:
    """Which of these the repository's owner has released, and as what."""
    found = {}
    for part in _batches({content for content, _ in keys}):
        query = select(gate_release).where(gate_release.c.repo_id == repo_id, gate_release.c.content.in_(part))
        found.update({(row.content, row.role): Status(row.status) for row in tx.execute(query)})
    return found


def list_holding(tx: Tx, owner_ids: Collection[AccountId], limit: int = 500) -> list[int]:
    """Repositories of these owners that hold anything back."""
    query = (
        select(held_file.c.repo_id)
        .join(repository, repository.c.id == held_file.c.repo_id)
        .where(repository.c.owner_id.in_(sorted(owner_ids)), repository.c.deleted_at.is_(None))
        .distinct()
        .limit(limit)
    )
    return list(tx.execute(query).scalars())


def find_repositories(tx: Tx, ids: Collection[RepoId]) -> dict[RepoId, Repository]:
    """Those that are not deleted; rights are the caller's affair."""
    found = {}
    for part in _batches(ids):
        rows = tx.execute(select(repository).where(repository.c.id.in_(part), repository.c.deleted_at.is_(None)))
        found.update({RepoId(row.id): from_row(row) for row in rows})
    return found


def count_holds(tx: Tx, repo_id: RepoId) -> dict[Status, int]:
    """How many of the repository's own files are held, by status; released ones are left out."""
    query = _HOLDS_OF.where(held_file.c.repo_id == repo_id, held_file.c.pull == 0)
    found: dict[Status, int] = {}
    for row in tx.execute(query):
        if _is_in_force(row):
            found[Status(row.status)] = found.get(Status(row.status), 0) + 1
    return found


# ---- the record: batches


def seal(tx: Tx, limit: int, now: datetime) -> tuple[int, int, str] | None:
    """Put verdicts that were never recorded into one batch; its number, how many, and the digest that the record gets."""
    query = (
        select(file_verdict)
        .where(file_verdict.c.batch_id.is_(None), file_verdict.c.status != "queued")
        .order_by(file_verdict.c.judged_at)
        .limit(limit)
    )
    return _seal(tx, [_verdict(row) for row in tx.execute(query)], now)


def seal_again(tx: Tx, keys: Iterable[Key], now: datetime) -> tuple[int, int, str] | None:
    """The same for verdicts that were recorded, and say something else since this transaction."""
    return _seal(tx, find_verdicts(tx, keys).values(), now)


def _seal(tx: Tx, verdicts: Iterable[FileVerdict], now: datetime) -> tuple[int, int, str] | None:
    found = sorted(verdicts, key=lambda verdict: verdict.key)
    if not found:
        return None
    marks = b"".join(mark_of(verdict) for verdict in found)
    digest = hashlib.sha256(marks).hexdigest()
    values = {"n_verdicts": len(found), "digest": digest, "marks": marks, "created_at": now}
    number: int = tx.execute(insert(verdict_batch).values(values).returning(verdict_batch.c.id)).scalar_one()
    for verdict in found:
        tx.execute(
            update(file_verdict)
            .where(file_verdict.c.content == verdict.content, file_verdict.c.role == verdict.role)
            .values(batch_id=number)
        )
    return number, len(found), digest


def has_unrecorded(tx: Tx) -> bool:
    waits = select(file_verdict.c.role).where(file_verdict.c.batch_id.is_(None), file_verdict.c.status != "queued")
    return tx.execute(waits.limit(1)).first() is not None


def key_mark(key: Key) -> bytes:
    return hashlib.sha256(orjson.dumps(key)).digest()


def mark_of(verdict: FileVerdict) -> bytes:
    """What a batch keeps of a verdict: 32 bytes that say which it is, 32 that say what it says."""
    told = {
        "content": verdict.content,
        "role": verdict.role,
        "name": verdict.name,
        "status": verdict.status.value,
        "rules": verdict.rules,
        "found": [found.to_json() for found in verdict.findings],
        "imports": [list(each) for each in verdict.imports],
        "kinds": list(verdict.kinds),
        "second": verdict.second,
        "judged_at": to_iso(verdict.judged_at) if verdict.judged_at else None,
    }
    return key_mark(verdict.key) + hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).digest()


def iter_batches(tx: Tx) -> Iterator[tuple[int, int, str, bytes]]:
    """Number, how many verdicts, digest and marks of each, in order."""
    last = 0
    while True:
        query = select(verdict_batch).where(verdict_batch.c.id > last).order_by(verdict_batch.c.id).limit(20)
        rows = tx.execute(query).all()
        if not rows:
            return
        for row in rows:
            yield row.id, row.n_verdicts, row.digest, bytes(row.marks)
        last = rows[-1].id


def iter_verdicts(tx: Tx) -> Iterator[FileVerdict]:
    after: Key = ("", "")
    while True:
        query = (
            select(file_verdict)
            .where(tuple_(file_verdict.c.content, file_verdict.c.role) > after)
            .order_by(file_verdict.c.content, file_verdict.c.role)
            .limit(1000)
        )
        rows = tx.execute(query).all()
        if not rows:
            return
        yield from (_verdict(row) for row in rows)
        after = (rows[-1].content, rows[-1].role)


def list_unheld(tx: Tx, limit: int = 1000) -> list[Key]:
    """Large files that are not safe under a name by which some repository has them, and that it does not hold."""
    from headwater.scanning import role_of

    not_held = ~exists().where(
        held_file.c.repo_id == file_right.c.repo_id,
        held_file.c.content == file_verdict.c.content,
        held_file.c.role == file_verdict.c.role,
    )
    query = (
        select(file_verdict.c.content, file_verdict.c.role, file_right.c.filename)
        .join(file_right, file_right.c.sha256 == file_verdict.c.content)
        .join(repository, repository.c.id == file_right.c.repo_id)
        .where(file_verdict.c.status != "safe", repository.c.deleted_at.is_(None), not_held)
        .limit(limit)
    )
    rows = tx.execute(query)
    return list({(row.content, row.role): None for row in rows if role_of(row.filename) == row.role})


def list_unsafe(tx: Tx, contents: Iterable[str]) -> set[str]:
    """Those of these that are not safe under some name."""
    found: set[str] = set()
    for part in _batches(contents):
        query = select(file_verdict.c.content).where(file_verdict.c.content.in_(part), file_verdict.c.status != "safe")
        found.update(tx.execute(query).scalars())
    return found


def find_unheld(tx: Tx, repo_id: RepoId, wanted: Mapping[Key, int]) -> list[Key]:
    """Those of these that are not safe, and that the repository does not hold, or only for a pull request (the number) and not as its own."""
    found = []
    for key, verdict in find_verdicts(tx, wanted).items():
        if verdict.status is Status.SAFE:
            continue
        content, role = key
        query = select(held_file.c.pull).where(
            held_file.c.repo_id == repo_id, held_file.c.content == content, held_file.c.role == role
        )
        pull = tx.execute(query).scalar()
        if pull is None or (pull != 0 and wanted[key] == 0):
            found.append(key)
    return found


def is_waiting(tx: Tx, repo_id: RepoId) -> bool:
    """Whether the repository still has to be looked at by the rules of today."""
    row = tx.execute(select(gate_state)).first()
    return row is None or repo_id < row.marked_below or is_due(tx, repo_id)


def list_releases(tx: Tx) -> dict[tuple[int, str, str], Release]:
    """By repository, content and role."""
    query = select(gate_release, account.c.name).outerjoin(account, account.c.id == gate_release.c.released_by)
    return {
        (row.repo_id, row.content, row.role): Release(Status(row.status), row.reason, row.name or "", row.released_at)
        for row in tx.execute(query)
    }


# ---- judging again


def list_stale(tx: Tx, rules: str, limit: int, after: Key = ("", "")) -> list[FileVerdict]:
    """Verdicts on large files by other rules than these, in order behind ``after``; those that wait have jobs of their own."""
    query = select(file_verdict).where(
        or_(file_verdict.c.rules < rules, file_verdict.c.rules > rules),
        file_verdict.c.rules != "",
        func.length(file_verdict.c.content) == 64,
        tuple_(file_verdict.c.content, file_verdict.c.role) > after,
    )
    in_order = query.order_by(file_verdict.c.content, file_verdict.c.role)
    return [_verdict(row) for row in tx.execute(in_order.limit(limit))]


def carry_over(tx: Tx, keys: Iterable[Key], rules: str) -> list[Key]:
    """Nobody can read these any more: their verdicts stay, and are not looked at again. Returns what is to be recorded again."""
    return _amend(tx, keys, rules=rules)


def index_again(tx: Tx, repo_ids: Iterable[RepoId], now: datetime) -> None:
    """Files that their pages are made of are held, or are no more."""
    for repo_id in set(repo_ids):
        queue.put(tx, INDEX_REPOSITORY, {"repo_id": repo_id}, unique=str(repo_id), now=now)


def list_holders(tx: Tx, content: str, limit: int = 50) -> list[RepoId]:
    """Repositories in which these bytes are held."""
    query = select(held_file.c.repo_id).where(held_file.c.content == content).limit(limit)
    return [RepoId(found) for found in tx.execute(query).scalars()]


def list_waiting(tx: Tx, limit: int) -> list[tuple[Key, str]]:
    """Verdicts that wait since before any others, with their names, of files that some repository has."""
    is_held = exists().where(_HAS_VERDICT)
    query = (
        select(file_verdict).where(file_verdict.c.rules == "", is_held).order_by(file_verdict.c.judged_at).limit(limit)
    )
    return [((row.content, row.role), row.name) for row in tx.execute(query)]


def mark_due(tx: Tx, rules: str, limit: int) -> bool:
    """Mark some more repositories as due where the rules have changed; whether there are more to mark."""
    row = tx.execute(select(gate_state)).first()
    if row is None or row.rules != rules:
        top = tx.execute(select(func.max(repository.c.id))).scalar() or 0
        values = {"rules": rules, "marked_below": top + 1}
        put = insert(gate_state).values(id=1, **values)
        tx.execute(put.on_conflict_do_update(index_elements=["id"], set_=values))
        below = top + 1
    else:
        below = row.marked_below
    if below <= 1:
        return False
    query = (
        select(repository.c.id)
        .where(repository.c.id < below, repository.c.deleted_at.is_(None))
        .order_by(repository.c.id.desc())
        .limit(limit)
    )
    ids = list(tx.execute(query).scalars())
    if ids:
        tx.execute(insert(gate_due).on_conflict_do_nothing(), [{"repo_id": found} for found in ids])
    left = ids[-1] if len(ids) == limit else 0
    tx.execute(update(gate_state).where(gate_state.c.id == 1).values(marked_below=left))
    return left > 1


def is_settled(tx: Tx, rules: str) -> bool:
    """Whether ``mark_due`` would have nothing to do."""
    row = tx.execute(select(gate_state)).first()
    return row is not None and row.rules == rules and row.marked_below <= 1


def list_due(tx: Tx, limit: int, after: int = 0) -> list[RepoId]:
    """In order, behind ``after``."""
    query = select(gate_due.c.repo_id).where(gate_due.c.repo_id > after).order_by(gate_due.c.repo_id).limit(limit)
    return [RepoId(found) for found in tx.execute(query).scalars()]


def is_due(tx: Tx, repo_id: RepoId) -> bool:
    return tx.execute(select(gate_due.c.repo_id).where(gate_due.c.repo_id == repo_id)).first() is not None


def copy_due(tx: Tx, source_id: RepoId, target_id: RepoId) -> None:
    """A copy is looked at where its source still has to be."""
    row = tx.execute(select(gate_state)).first()
    if is_due(tx, source_id) or (row is not None and source_id < row.marked_below):
        tx.execute(insert(gate_due).on_conflict_do_nothing(), [{"repo_id": target_id}])


def end_due(tx: Tx, repo_id: RepoId) -> None:
    tx.execute(delete(gate_due).where(gate_due.c.repo_id == repo_id))


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    whole = list(dict.fromkeys(items))
    return (whole[at : at + _BATCH] for at in range(0, len(whole), _BATCH))

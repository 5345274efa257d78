"""Reading what is stored, again and again, at a set rate: bytes go bad without anybody reading them.

A round goes through the xorbs, the large files and the packs in the order of their names; how far it is stands in a table, so a
restart or another host goes on there. One turn reads a minute's worth of bytes at once, a file larger than that whole, and the
next one comes when they are paid for. What is wrong is noted and told; what is right again is struck off.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import delete, select

from headwater import ledger, queue
from headwater.db import Tx, insert
from headwater.hub.checking import objects, store
from headwater.hub.checking.graph import check_repository
from headwater.hub.checking.models import BY_HAND, Looking, Problem
from headwater.hub.checking.settings import CheckSettings
from headwater.hub.placing import COLLECTOR_LOCKS
from headwater.hub.tables.files import blob
from headwater.hub.tables.repositories import repository
from headwater.hub.tables.upkeep import scrub_place
from headwater.hub.tables.xet import xorb
from headwater.kernel import SYSTEM, HeadwaterError, RepoId, Sha256, utcnow
from headwater.web.site import Site

TURN_S = 60.0
SCRUB = "hub.scrub"
LEAST_ROUND = timedelta(days=1)  # a small site is read once a day, not all the time
_KINDS = ("xorbs", "files", "repositories")
_FEW = 50  # of one kind, between two looks at the clock

log = structlog.get_logger("headwater.hub.scrubbing")


def scrub(site: Site, *, seconds: float = TURN_S, now: datetime | None = None) -> int:
    """One turn; returns how many objects were looked at."""
    rate = site.settings.of(CheckSettings).scrub_mb_per_s * 1e6
    if rate <= 0:
        return 0
    moment = now or site.db.now()
    place = site.db.write(_begin, moment)
    if place is None:
        return 0
    kind, after = place
    looked, started = 0, time.monotonic()
    looking = Looking(site)
    while looking.seen.bytes < rate * seconds and time.monotonic() - started < seconds:
        batch = site.db.read(_next, kind, after)
        if batch:
            done = _look_at(looking, kind, batch, rate * seconds)
            site.db.write(_advance, kind, done, moment, moment + timedelta(seconds=looking.seen.bytes / rate))
            looked, after = looked + len(done.names), done.names[-1]
            continue
        following = _KINDS.index(kind) + 1
        if following == len(_KINDS):
            site.db.write(_finish, now or utcnow())
            break
        kind, after = _KINDS[following], ""
        site.db.write(_enter, kind)
    return looked


def ask_for_turn(site: Site) -> None:
    """Every minute: a turn as a job, since a file may take longer to read than others should wait for."""
    if site.settings.of(CheckSettings).scrub_mb_per_s > 0:
        site.db.write(lambda tx: queue.put(tx, SCRUB, {}, unique="site"))


def run_asked(site: Site, _: Mapping[str, Any]) -> None:
    """The handler of ``SCRUB``."""
    scrub(site)


@dataclass
class _Done:
    """What one batch came to."""

    names: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    places: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    n_bytes: int = 0


def _look_at(looking: Looking, kind: str, batch: list[tuple[str, Any]], budget: float) -> _Done:
    done, before = _Done(), looking.seen.bytes
    for name, row in batch:
        found = _found(looking, kind, name, row)
        if found:
            found = _look_again(looking, kind, name)
        for problem in found:
            log.error("object.damaged", code=problem.code, place=problem.where, what=problem.what)
        done.names.append(name)
        done.keys += _keys_of(kind, row)
        done.places += _places_of(kind, name, row)
        done.problems += found
        if looking.seen.bytes >= budget:
            break
    done.n_bytes = looking.seen.bytes - before
    return done


def _look_again(looking: Looking, kind: str, name: str) -> list[Problem]:
    """While no collector runs: what was wrong a moment ago may have been taken away by right."""
    with contextlib.ExitStack() as holds:
        for lock in COLLECTOR_LOCKS:
            holds.enter_context(looking.site.db.holding(lock, exclusive=True))
        rows = [row for found, row in looking.site.db.read(_next, kind, name, exactly=True) if found == name]
        return [problem for row in rows for problem in _found(looking, kind, name, row)]


def _begin(tx: Tx, now: datetime) -> tuple[str, str] | None:
    """Where the round is; a new one if the last was long enough ago; None when it was not."""
    row = tx.execute(select(scrub_place)).first()
    if row is not None:
        return (row.kind, row.after) if row.next_at <= now else None
    last = store.find_last(tx, "scrub")
    if last is not None and now - last.started_at < LEAST_ROUND:
        return None
    tx.execute(insert(scrub_place).values(kind=_KINDS[0], after="", round_began_at=now, next_at=now))
    return _KINDS[0], ""


def _next(tx: Tx, kind: str, after: str, *, exactly: bool = False) -> list[tuple[str, Any]]:
    """The next few of a kind, each with the name that the place is told by; or just the one of this name."""
    key, table, is_kept = {
        "xorbs": (xorb.c.hash, xorb, xorb.c.state.in_(objects.KEPT)),
        "files": (blob.c.sha256, blob, blob.c.state.in_(objects.KEPT)),
        "repositories": (repository.c.id, repository, repository.c.deleted_at.is_(None)),
    }[kind]
    value: Any = int(after or 0) if kind == "repositories" else after
    query = select(table).where(is_kept, key == value if exactly else key > value).order_by(key).limit(_FEW)
    return [(str(getattr(row, key.name)), row) for row in tx.execute(query)]


def _found(looking: Looking, kind: str, name: str, row: Any) -> list[Problem]:
    """What is wrong, and that it could not be looked at: what nobody can have written must not stop every turn at its place."""
    try:
        return list(_look(looking, kind, row))
    except HeadwaterError:
        raise  # the database or the store is away
    except Exception as exc:  # noqa: BLE001 -- whatever somebody has put into a row
        what = f"Looking at {name} of the {kind} ended early ({type(exc).__name__}: {str(exc)[:200]})"
        return [Problem("check.stumbled", f"{what}.", name, BY_HAND)]


def _look(looking: Looking, kind: str, row: Any) -> Iterator[Problem]:
    if kind == "xorbs":
        yield from objects.check_xorb(looking, row)
    elif kind == "files":
        if row.layout == "plain":
            yield from objects.check_plain(looking, Sha256(row.sha256), row.generation, row.size_bytes)
        else:
            yield from objects.check_decoded(looking, Sha256(row.sha256))
        if row.copy_generation is not None:
            yield from objects.check_plain(looking, Sha256(row.sha256), row.copy_generation, row.size_bytes)
    else:
        yield from check_repository(looking, RepoId(row.id), f"{row.kind} {row.namespace}/{row.name}")


def _keys_of(kind: str, row: Any) -> list[str]:
    """Problems of these objects are gone unless they were met again."""
    from headwater.blobs import blob_key
    from headwater.hub.files.terms import payload_key
    from headwater.hub.xet.xorbs import index_key

    if kind == "xorbs":
        key = payload_key(row.hash, row.generation)
        return [key, index_key(key)]
    return [blob_key(Sha256(row.sha256), row.generation)] if kind == "files" and row.layout == "plain" else []


def _places_of(kind: str, name: str, row: Any) -> list[tuple[str, tuple[str, ...]]]:
    """The same of what lies in rows, or in several objects: where, and what was looked for there (a check looks for more)."""
    if kind == "xorbs":
        return [(name, ("xorb.differs", "check.stumbled"))]
    if kind == "files":  # repositories that miss it tell that again later in the round
        own_codes = ("blob.differs",) if row.layout == "plain" else ("file.differs", "file.unreadable")
        return [(name, (*own_codes, "blob.missing", "check.stumbled"))]
    packs = ("pack.damaged", "pack.missing")
    of_graph = (
        "head.differs",
        "hold.lost",
        "pointer.differs",
        "ref.unreachable",
        "revision.unreachable",
        "right.missing",
    )
    there = (*packs, *of_graph)
    own = f"{row.kind} {row.namespace}/{row.name}"
    return [(name, ("check.stumbled",)), (f"git/{row.id}", packs), (own, there)]


def _enter(tx: Tx, kind: str) -> None:
    tx.execute(scrub_place.update().values(kind=kind, after=""))


def _advance(tx: Tx, kind: str, done: _Done, now: datetime, next_at: datetime) -> None:
    for key in done.keys:
        store.drop_problems(tx, key=key)
    for place, codes in done.places:
        store.drop_problems(tx, place=place, codes=codes)
    store.put_problems(tx, done.problems, now)
    values = {
        "kind": kind,
        "after": done.names[-1],
        "next_at": next_at,
        "n_objects": scrub_place.c.n_objects + len(done.names),
        "n_bytes": scrub_place.c.n_bytes + done.n_bytes,
        "n_problems": scrub_place.c.n_problems + len(done.problems),
    }
    tx.execute(scrub_place.update().values(values))


def _finish(tx: Tx, now: datetime) -> None:
    """The round is over: a run for ``/status``, and an entry of the record."""
    row = tx.execute(select(scrub_place)).first()
    if row is None:
        return
    tx.execute(delete(scrub_place))
    facts = {"n_objects": row.n_objects, "bytes": row.n_bytes, "problems": row.n_problems}
    is_good = row.n_problems == 0
    store.insert_run(tx, "scrub", is_good=is_good, started_at=row.round_began_at, now=now, facts=facts)
    ledger.record(tx, SYSTEM, "site.scrubbed", "site", facts, now=now)

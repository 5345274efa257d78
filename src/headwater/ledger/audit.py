"""Whether the log says what the entries say: leaves, tiles, head and checkpoints, recomputed from SQL.

1. Every entry is a leaf or pending, never both and never neither. 2. Leaves are dense, and each is its entry's hash.
3. An entry's columns, its secret and its place in the list of tombstones are what its leaf says. 4. Tiles are what the leaves make. 5. The head is their number.
6. Every checkpoint is signed by the log's key and has the root that the leaves make at its size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import select

from headwater.db import Tx
from headwater.kernel import HeadwaterError, to_iso
from headwater.ledger.keys import LogIdentity, list_logs
from headwater.ledger.notes import parse_checkpoint, parse_note
from headwater.ledger.record import TOMBSTONES, digest_of, salted
from headwater.ledger.sequencer import size_of
from headwater.ledger.tables import (
    entry,
    entry_secret,
    leaf,
    log_checkpoint,
    log_head,
    log_tile,
    pending_entry,
    tombstone_entry,
)
from headwater.ledger.tree import Edge, FullTile, leaf_hash

_STEP = 1000
_NAMES = {"subject", "actor", "facts"}
_FROM_BACKUP = "Restore the database from the last backup before this."


@dataclass(frozen=True)
class LogProblem:
    """Something that the log and the entries do not agree on. ``where`` names it; ``mend`` says what may help."""

    code: str
    what: str
    where: str
    mend: str = _FROM_BACKUP
    repo_id: int | None = None


def audit(tx: Tx) -> Iterator[LogProblem]:
    """Every problem there is, in one snapshot; reads each entry once and keeps little."""
    size = size_of(tx)
    yield from _check_places(tx)
    edge = Edge()
    asked: dict[int, list[Any]] = {}
    for row in tx.execute(select(log_checkpoint).order_by(log_checkpoint.c.size)):
        asked.setdefault(row.size, []).append(row)
    logs = {one.generation: one for one in list_logs(tx)}
    yield from _check_checkpoints(asked.pop(0, []), logs, edge)
    for row in _iter_leaves(tx):
        if row.idx != edge.size:
            yield LogProblem(
                "log.gap", f"After leaf {edge.size - 1} comes leaf {row.idx}.", f"leaf {edge.size}", repo_id=row.repo_id
            )
            return  # what comes after it cannot be told from what should
        hashed = leaf_hash((row.leaf or "").encode())
        if hashed != bytes(row.hash):
            yield LogProblem(
                "log.leaf_differs",
                f"Entry {row.entry_id} is no longer what leaf {row.idx} is a hash of.",
                f"leaf {row.idx}",
                repo_id=row.repo_id,
            )
        for problem in _check_entry(row):
            yield LogProblem("log.entry_differs", problem, f"leaf {row.idx}", repo_id=row.repo_id)
        for tile in edge.append(bytes(row.hash)):
            yield from _check_tile(tx, tile)
        yield from _check_checkpoints(asked.pop(edge.size, []), logs, edge)
    if edge.size != size:
        yield LogProblem("log.head_differs", f"The head says {size} leaves, and there are {edge.size}.", "log_head")
    elif bytes(tx.execute(select(log_head.c.edge)).scalar() or b"") != edge.packed():
        mend = "headwater log rebuild-tiles makes it again out of the entries."
        yield LogProblem("log.edge_differs", "The tree's edge is not what the leaves make.", "log_head", mend)
    for rows in asked.values():
        for row in rows:
            yield LogProblem(
                "log.shortened",
                f"A checkpoint of {row.size} leaves was signed, and there are {edge.size}.",
                f"checkpoint {row.size}",
            )
    yield from _check_surplus(tx, edge)


def _iter_leaves(tx: Tx) -> Iterator[Any]:
    after = -1
    columns = (leaf, entry.c.leaf, entry.c.kind, entry.c.is_private, entry.c.created_at, entry.c.repo_id)
    query = (
        select(*columns, entry_secret.c.salt, entry_secret.c.names, tombstone_entry.c.entry_id.label("tombstone"))
        .outerjoin(entry, entry.c.id == leaf.c.entry_id)
        .outerjoin(tombstone_entry, tombstone_entry.c.entry_id == leaf.c.entry_id)
        .outerjoin(entry_secret, entry_secret.c.entry_id == leaf.c.entry_id)
        .order_by(leaf.c.idx)
        .limit(_STEP)
    )
    while rows := tx.execute(query.where(leaf.c.idx > after)).all():
        yield from rows
        after = rows[-1].idx


def _check_places(tx: Tx) -> Iterator[LogProblem]:
    query = (
        select(entry.c.id, entry.c.repo_id, leaf.c.idx, pending_entry.c.entry_id.label("pending"))
        .outerjoin(leaf, leaf.c.entry_id == entry.c.id)
        .outerjoin(pending_entry, pending_entry.c.entry_id == entry.c.id)
    )
    for row in tx.execute(query.where(leaf.c.idx.is_(None), pending_entry.c.entry_id.is_(None))):
        yield LogProblem(
            "log.entry_unplaced",
            f"Entry {row.id} is neither in the log nor waiting for it.",
            f"entry {row.id}",
            repo_id=row.repo_id,
        )
    for row in tx.execute(query.where(leaf.c.idx.is_not(None), pending_entry.c.entry_id.is_not(None))):
        yield LogProblem(
            "log.entry_placed_twice", f"Entry {row.id} is in the log and waits for it too.", f"entry {row.id}"
        )


def _check_entry(row: Any) -> Iterator[str]:
    """What an entry's columns and its secret say otherwise than its leaf."""
    if row.leaf is None:
        yield f"Entry {row.entry_id} is gone."
        return
    try:
        told = orjson.loads(row.leaf)
    except orjson.JSONDecodeError:
        yield f"The leaf of entry {row.entry_id} is not JSON."
        return
    if told.get("kind") != row.kind or told.get("at") != to_iso(row.created_at):
        yield f"The kind or the time of entry {row.entry_id} is not what its leaf says."
    if row.is_private != (row.salt is not None and len(row.salt) > 0):
        yield f"Whether entry {row.entry_id} is private is not what its secret says."
    if (row.tombstone is not None) != (row.kind in TOMBSTONES):
        yield f"Whether entry {row.entry_id} is in the list of what was taken away is not what its kind says."
    facts = told.get("facts") if row.names is None else row.names.get("facts")
    number = facts.get("repo_id") if isinstance(facts, dict) else None
    if isinstance(number, int) and row.repo_id is not None and number != row.repo_id:
        yield f"Entry {row.entry_id} stands under repository {row.repo_id}, and is about {number}."
    if row.names is not None and not _opens(told, bytes(row.salt or b""), row.names):
        yield f"The secret of entry {row.entry_id} is not what its leaf is a salted hash of."
    elif row.is_private and row.names is None:
        yield f"The secret of entry {row.entry_id} is gone."


def _opens(told: Mapping[str, Any], salt: bytes, names: Mapping[str, Any]) -> bool:
    if set(names) != _NAMES:
        return False
    if salt:
        return all(told.get(key) == salted(salt, value) for key, value in names.items())
    return bool(told == {**told, **names, "facts": digest_of(names["facts"])})


def _check_tile(tx: Tx, tile: FullTile) -> Iterator[LogProblem]:
    row = tx.execute(select(log_tile).where(log_tile.c.level == tile.level, log_tile.c.idx == tile.index)).first()
    where = f"tile {tile.level}/{tile.index}"
    mend = "headwater log rebuild-tiles makes it again out of the entries."
    if row is None:
        yield LogProblem("log.tile_missing", "A tile that the leaves fill is not kept.", where, mend)
    elif bytes(row.hashes) != tile.hashes or bytes(row.root) != tile.root:
        yield LogProblem("log.tile_differs", "A tile is not what the leaves make.", where, mend)


def _check_checkpoints(rows: list[Any], logs: dict[int, LogIdentity], edge: Edge) -> Iterator[LogProblem]:
    for row in rows:
        where = f"checkpoint {row.size}"
        log = logs.get(row.generation)
        try:
            note = parse_note(row.note)
            told = parse_checkpoint(note.text)
        except HeadwaterError as exc:
            yield LogProblem("log.checkpoint_differs", exc.message, where)
            continue
        if log is None or told.origin != log.origin or not note.is_signed_by(log.key):
            yield LogProblem("log.checkpoint_differs", "A checkpoint is not signed by this log's key.", where)
        elif told.size != row.size or told.root != bytes(row.root):
            yield LogProblem("log.checkpoint_differs", "A checkpoint is kept as another than was signed.", where)
        elif told.root != edge.root():
            yield LogProblem("log.root_differs", f"At {row.size} leaves another root was signed than they make.", where)


def _check_surplus(tx: Tx, edge: Edge) -> Iterator[LogProblem]:
    for row in tx.execute(select(log_tile.c.level, log_tile.c.idx)):
        if (row.idx + 1) << (8 * (row.level + 1)) > edge.size:
            yield LogProblem("log.tile_differs", "A tile is kept that no leaves fill.", f"tile {row.level}/{row.idx}")

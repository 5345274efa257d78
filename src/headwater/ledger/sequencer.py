"""Numbering entries as leaves of the tree, and reading the tree out of SQL: tiles, bundles of entries, checkpoints.

One sequencer at a time, made so by a lock on the row ``log_head``: it takes what is pending, gives each entry the next number,
keeps the tiles that became full, and moves the head, all in one transaction. So numbers are dense, no entry is lost or numbered
twice under however many writers, and a tile is a function of SQL. Only what is durable is signed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, func, select, update

from headwater.db import Tx, insert, prepared, row_locked
from headwater.kernel import EntryId
from headwater.ledger.notes import Checkpoint
from headwater.ledger.tables import (
    entry,
    leaf,
    log_checkpoint,
    log_cosignature,
    log_head,
    log_tile,
    pending_entry,
    tombstone_entry,
)
from headwater.ledger.tree import (
    HASH_BYTES,
    TILE_WIDTH,
    Edge,
    FullTile,
    Tree,
    leaf_hash,
    pack_entries,
    tile_width,
    unpack_edge,
)

BATCH = 1024  # entries in one transaction, so that others' writes do not wait for long
KEPT_CHECKPOINTS = 100  # besides the last of each day

_INSERT_LEAF = prepared(insert(leaf))
_INSERT_TILE = prepared(insert(log_tile))
_END_PENDING = prepared(delete(pending_entry).where(pending_entry.c.entry_id == bindparam("pending_id")))
_SIZE = prepared(select(log_head.c.size))
_HEAD = prepared(select(log_head.c.size, log_head.c.edge))
_ANY_PENDING = prepared(select(pending_entry.c.entry_id).limit(1))
_PENDING = prepared(
    select(entry.c.id, entry.c.leaf)
    .join(pending_entry, pending_entry.c.entry_id == entry.c.id)
    .order_by(entry.c.id)
    .limit(BATCH)
)
_HASHES = prepared(
    select(leaf.c.hash).where(leaf.c.idx >= bindparam("first"), leaf.c.idx < bindparam("end")).order_by(leaf.c.idx)
)
_FULL = prepared(select(log_tile.c.hashes).where(log_tile.c.level == bindparam("at"), log_tile.c.idx == bindparam("n")))
_TEXTS = prepared(
    select(entry.c.leaf)
    .join(leaf, leaf.c.entry_id == entry.c.id)
    .where(leaf.c.idx >= bindparam("first"), leaf.c.idx < bindparam("end"))
    .order_by(leaf.c.idx)
)


@dataclass(frozen=True)
class SignedCheckpoint:
    """``note`` is the log's own; ``cosignatures`` are the lines of its witnesses."""

    generation: int
    size: int
    root: bytes
    note: str
    signed_at: datetime
    cosignatures: tuple[str, ...] = ()

    @property
    def whole(self) -> str:
        return self.note + "".join(self.cosignatures)


def is_pending(tx: Tx) -> bool:
    """Whether there is anything to number: a read, so that an idle site writes nothing."""
    return tx.execute(_ANY_PENDING).first() is not None


@row_locked
def sequence(tx: Tx) -> int:
    """Number up to ``BATCH`` entries; returns how many."""
    edge = _lock_head(tx)
    rows = tx.execute(_PENDING).all()
    if not rows:
        return 0
    size, leaves, tiles = edge.size, [], []
    for number, row in enumerate(rows, start=size):
        hashed = leaf_hash(row.leaf.encode())
        leaves.append({"idx": number, "entry_id": row.id, "hash": hashed})
        tiles += edge.append(hashed)
    tx.execute(_INSERT_LEAF, leaves)
    if tiles:
        tx.execute(_INSERT_TILE, [_tile_row(one) for one in tiles])
    tx.execute(_END_PENDING, [{"pending_id": row.id} for row in rows])
    moved = tx.execute(update(log_head).where(log_head.c.size == size).values(size=edge.size, edge=edge.packed()))
    if moved.rowcount != 1:
        raise RuntimeError("another sequencer has moved the head of the log")
    return len(rows)


def _lock_head(tx: Tx) -> Edge:
    query = select(log_head.c.size, log_head.c.edge).with_for_update()
    row = tx.execute(query).first()
    if row is None:
        tx.execute(insert(log_head).values(one=1, size=0, edge=b"").on_conflict_do_nothing(index_elements=["one"]))
        row = tx.execute(query).one()
    return _edge(row)


def _edge(row: Any) -> Edge:
    try:
        return unpack_edge(row.size, bytes(row.edge))
    except ValueError as exc:
        raise LogDamaged(str(exc)) from exc


def _tile_row(tile: FullTile) -> dict[str, Any]:
    return {"level": tile.level, "idx": tile.index, "hashes": tile.hashes, "root": tile.root}


def size_of(tx: Tx) -> int:
    """How many entries are in the tree."""
    return tx.execute(_SIZE).scalar() or 0


def read_tile(tx: Tx, level: int, index: int, width: int = TILE_WIDTH) -> bytes | None:
    """A tile's first ``width`` hashes; None where there are not so many."""
    tree = tree_of(tx)
    if not 0 < width <= tile_width(tree.size, level, index):
        return None
    return tree.tile(level, index)[: width * HASH_BYTES]


def read_bundle(tx: Tx, index: int, width: int = TILE_WIDTH) -> bytes | None:
    """The entries that the leaves of a tile of level 0 are hashes of; None where there are not so many."""
    if tile_width(size_of(tx), 0, index) < width:
        return None
    rows = tx.execute(_TEXTS, {"first": index * TILE_WIDTH, "end": index * TILE_WIDTH + width}).all()
    return pack_entries([row.leaf.encode() for row in rows])


def tree_of(tx: Tx, size: int | None = None) -> Tree:
    """The tree, or a smaller one that it has grown out of, to make proofs with while ``tx`` is open.

    A tile that was not full then is the beginning of one that is now, or of the edge.
    """
    row = tx.execute(_HEAD).first()
    edge = Edge() if row is None else _edge(row)

    def read(level: int, index: int, width: int) -> bytes:
        if tile_width(edge.size, level, index) < TILE_WIDTH:
            return b"".join(edge.levels[level][:width])
        found = tx.execute(_FULL, {"at": level, "n": index}).first()
        if found is None:
            raise LogDamaged(f"tile {index} of level {level} is not there")
        return bytes(found.hashes)[: width * HASH_BYTES]

    return Tree(edge.size if size is None else size, read)


class LogDamaged(RuntimeError):
    """A hash that every reader relies on is not there."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the log's tree is damaged: {why}. Look at it with: headwater check")


# ---- checkpoints


def checkpoint_of(tx: Tx, origin: str) -> Checkpoint:
    """What the log would say of itself now."""
    tree = tree_of(tx)
    return Checkpoint(origin, tree.size, tree.root())


@row_locked
def keep_checkpoint(tx: Tx, generation: int, checkpoint: Checkpoint, note: str, now: datetime) -> None:
    """Keep what was signed, and forget those that nobody asks for any more: all but a hundred, and the last of each day."""
    tx.execute(
        insert(log_checkpoint)
        .values(generation=generation, size=checkpoint.size, root=checkpoint.root, note=note, signed_at=now)
        .on_conflict_do_nothing()
    )
    mine = log_checkpoint.c.generation == generation
    known = select(log_checkpoint.c.size, log_checkpoint.c.signed_at).where(mine)
    rows = tx.execute(
        known.where(log_checkpoint.c.signed_at > now - timedelta(days=2)).order_by(log_checkpoint.c.size.desc())
    ).all()
    doomed, days = [], set()
    for place, row in enumerate(rows):
        day = row.signed_at.date()
        if place >= KEPT_CHECKPOINTS and day in days:
            doomed.append(row.size)
        days.add(day)
    for size in doomed:
        for table in (log_cosignature, log_checkpoint):
            tx.execute(delete(table).where(table.c.generation == generation, table.c.size == size))


def find_checkpoint(tx: Tx) -> SignedCheckpoint | None:
    """The latest that was signed, with what witnesses have said of it."""
    query = select(log_checkpoint).order_by(log_checkpoint.c.generation.desc(), log_checkpoint.c.size.desc()).limit(1)
    row = tx.execute(query).first()
    if row is None:
        return None
    lines = tx.execute(
        select(log_cosignature.c.line)
        .where(log_cosignature.c.generation == row.generation, log_cosignature.c.size == row.size)
        .order_by(log_cosignature.c.witness)
    ).scalars()
    return SignedCheckpoint(
        row.generation, row.size, bytes(row.root), row.note, row.signed_at, cosignatures=tuple(lines)
    )


def keep_cosignature(tx: Tx, generation: int, size: int, witness: str, line: str, now: datetime) -> None:
    tx.execute(
        insert(log_cosignature)
        .values(generation=generation, size=size, witness=witness, line=line, cosigned_at=now)
        .on_conflict_do_update(
            index_elements=["generation", "size", "witness"], set_={"line": line, "cosigned_at": now}
        )
    )


def list_cosignatures(tx: Tx, generation: int) -> list[tuple[str, int, datetime]]:
    """Of each witness: how far it has cosigned, and when."""
    table = log_cosignature
    query = select(table.c.witness, func.max(table.c.size), func.max(table.c.cosigned_at))
    rows = tx.execute(query.where(table.c.generation == generation).group_by(table.c.witness).order_by(table.c.witness))
    return [(row[0], row[1], row[2]) for row in rows]


# ---- single entries


@dataclass(frozen=True)
class Leaf:
    """One entry at its place in the tree."""

    index: int
    entry_id: EntryId
    kind: str
    repo_id: int | None
    is_private: bool
    text: str
    hash: bytes
    created_at: datetime


def find_leaf(tx: Tx, index: int) -> Leaf | None:
    rows = _leaves(tx, lambda query: query.where(leaf.c.idx == index))
    return rows[0] if rows else None


def list_leaves(tx: Tx, *, before: int | None = None, limit: int = 50) -> list[Leaf]:
    """What stands in the log, the latest first."""

    def narrowed(query: Any) -> Any:
        if before is not None:
            query = query.where(leaf.c.idx < before)
        return query.order_by(leaf.c.idx.desc()).limit(limit)

    return _leaves(tx, narrowed)


def list_tombstones(tx: Tx, *, before: EntryId | None = None, limit: int = 50) -> list[Leaf]:
    """What says that something was taken away, the latest first, from below an entry's number."""

    def narrowed(query: Any) -> Any:
        query = query.join(tombstone_entry, tombstone_entry.c.entry_id == entry.c.id)
        if before is not None:
            query = query.where(tombstone_entry.c.entry_id < before)
        return query.order_by(tombstone_entry.c.entry_id.desc()).limit(limit)

    return _leaves(tx, narrowed)


def leaves_of_repository(tx: Tx, repo_id: int, *, before: int | None = None, limit: int = 50) -> list[Leaf]:
    """What the log has of one repository, the latest first."""

    def narrowed(query: Any) -> Any:
        query = query.where(entry.c.repo_id == repo_id)
        if before is not None:
            query = query.where(leaf.c.idx < before)
        return query.order_by(leaf.c.idx.desc()).limit(limit)

    return _leaves(tx, narrowed)


def indexes_of(tx: Tx, entry_ids: list[EntryId]) -> dict[int, int]:
    """Where these entries stand in the log; those that are pending stand nowhere yet."""
    if not entry_ids:
        return {}
    rows = tx.execute(select(leaf.c.entry_id, leaf.c.idx).where(leaf.c.entry_id.in_(entry_ids)))
    return {row.entry_id: row.idx for row in rows}


def _leaves(tx: Tx, narrowed: Callable[[Any], Any]) -> list[Leaf]:
    columns = (
        leaf.c.idx,
        leaf.c.entry_id,
        leaf.c.hash,
        entry.c.kind,
        entry.c.repo_id,
        entry.c.is_private,
        entry.c.leaf,
        entry.c.created_at,
    )
    rows = tx.execute(narrowed(select(*columns).join(entry, entry.c.id == leaf.c.entry_id)))
    return [
        Leaf(
            row.idx,
            EntryId(row.entry_id),
            row.kind,
            row.repo_id,
            row.is_private,
            row.leaf,
            bytes(row.hash),
            row.created_at,
        )
        for row in rows
    ]


def rebuild_tiles(tx: Tx) -> int:
    """Make every tile again out of the leaves' hashes; returns how many of them are full."""
    tx.execute(delete(log_tile))
    edge, n_tiles, size = Edge(), 0, size_of(tx)
    while edge.size < size:
        rows = tx.execute(_HASHES, {"first": edge.size, "end": min(size, edge.size + TILE_WIDTH)}).all()
        if not rows:
            raise LogDamaged(f"leaf {edge.size} is not there")
        full = [tile for row in rows for tile in edge.append(bytes(row.hash))]
        n_tiles += len(full)
        if full:
            tx.execute(_INSERT_TILE, [_tile_row(one) for one in full])
    tx.execute(update(log_head).values(edge=edge.packed()))
    return n_tiles

"""Rows of one database into another, by comparison in the order of keys, so that it can be broken off anywhere and begun again.

What is in the target and differs goes; then what it lacks comes. The two databases are ``Side``s of ``copying``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from headwater.db.copying import BATCH, Key, Row, Shape, Side, SqliteSide, batches

Change = Callable[[Row], Row]


def differences(
    shape: Shape, source: Side, target: Side, change: Change | None = None
) -> Iterator[tuple[Key, Row | None, Row | None]]:
    """Each key whose rows are not the same, and both rows; None where there is none."""
    ours = source.rows(shape) if change is None else (change(row) for row in source.rows(shape))
    theirs = target.rows(shape)
    one, other = next(ours, None), next(theirs, None)
    while one is not None or other is not None:
        if other is None or (one is not None and shape.key(one) < shape.key(other)):
            assert one is not None  # noqa: S101 -- else the loop had ended
            yield shape.key(one), one, None
            one = next(ours, None)
        elif one is None or shape.key(other) < shape.key(one):
            yield shape.key(other), None, other
            other = next(theirs, None)
        else:
            if one != other:
                yield shape.key(one), one, other
            one, other = next(ours, None), next(theirs, None)


def copy_table(
    shape: Shape, source: Side, target: Side, change: Change | None, advance: Callable[[float], None]
) -> int:
    """Make the table what the source's was at one moment; returns how many rows came.

    One moment for both walks: between two, a unique value could move to a row that comes from one that stays.
    """
    n_rows = 0
    with source.one_moment():
        if target.count(shape):  # begun before: what differs goes first, since a value may have moved to another row
            stale = (key for key, _, theirs in differences(shape, source, target, change) if theirs is not None)
            for keys in batches(stale, BATCH):
                target.delete(shape, keys)
        missing = (
            ours
            for _, ours, theirs in differences(shape, source, target, change)
            if ours is not None and theirs is None
        )
        for rows in _sized(missing):
            target.insert(shape, rows)
            n_rows += len(rows)
            advance(len(rows))
    return n_rows


def _sized(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Batches of bounded size in memory, whatever the rows hold."""
    batch: list[Row] = []
    n_bytes = 0
    for row in rows:
        batch.append(row)
        n_bytes += sum(len(value) for value in row if isinstance(value, bytes | str))
        if len(batch) >= BATCH or n_bytes > 8 << 20:
            yield batch
            batch, n_bytes = [], 0
    if batch:
        yield batch


def catch_up(shapes: Sequence[Shape], source: SqliteSide, target: Side, changes: dict[str, Change]) -> int:
    """Bring the rows that were noted as changed; returns how many keys that were.

    Keys and rows are read at one moment: a row that is newer than the notes may hold a unique value that the target still
    has in another row, whose key is not among them.
    """
    brought = []
    with source.one_moment():
        last, changed = source.changed()
        for shape in shapes:
            keys = sorted(changed.get(shape.name, ()))
            if keys:
                rows = source.rows_of(shape, keys)
                brought.append((shape, keys, [changes.get(shape.name, _same)(row) for row in rows.values()]))
    for shape, keys, _ in brought:
        target.delete(shape, keys)
    for shape, _, came in brought:
        for some in _sized(came):
            target.insert(shape, some)
    if last:
        source.forget(last)
    return sum(len(keys) for _, keys, _ in brought)


def _same(row: Row) -> Row:
    return row

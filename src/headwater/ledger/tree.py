"""The Merkle tree of RFC 6962, read and grown by tiles of 256 hashes: roots, proofs, and checking what others prove. No I/O.

A tile at level ``l`` holds consecutive hashes of complete subtrees of ``256 ** l`` leaves, so that a full tile's own root is
one hash of the level above. Everything but the right edge never changes.

Sources: RFC 6962, section 2.1; RFC 9162, section 2.1 (checking proofs); C2SP tlog-tiles.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

TILE_WIDTH = 256
TILE_HEIGHT = 8
HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

# (level, index, width) -> the tile's first ``width`` hashes, one after another
ReadTile = Callable[[int, int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\0" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def split_hashes(tile: bytes) -> list[bytes]:
    return [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root of a complete subtree over these hashes; their number is a power of two."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


@lru_cache(maxsize=48)
def _rows_of(tile: bytes) -> tuple[list[bytes], ...]:
    """Every hash of complete subtrees that a tile holds, by their height. A pure function, and those near the root are asked for often."""
    rows = [split_hashes(tile)]
    while len(rows[-1]) > 1:
        row = rows[-1]
        rows.append([node_hash(row[at], row[at + 1]) for at in range(0, len(row) - 1, 2)])
    return tuple(rows)


def tile_width(size: int, level: int, index: int) -> int:
    """How many hashes this tile has in a tree of ``size`` leaves."""
    return max(0, min(TILE_WIDTH, (size >> (TILE_HEIGHT * level)) - index * TILE_WIDTH))


class Tree:
    """A tree of ``size`` leaves, as its tiles say; each tile is read once."""

    def __init__(self, size: int, read_tile: ReadTile) -> None:
        self.size = size
        self._read_tile = read_tile
        self._tiles: dict[tuple[int, int], bytes] = {}

    def root(self) -> bytes:
        return self._hash_of(0, self.size) if self.size else EMPTY_ROOT

    def leaf(self, index: int) -> bytes:
        """The hash of a leaf."""
        return self._hash_of(index, index + 1)

    def inclusion_proof(self, index: int) -> list[bytes]:
        """What proves that the leaf at ``index`` is in this tree."""
        if not 0 <= index < self.size:
            raise ValueError(f"a tree of {self.size} leaves has none at {index}")
        return self._path(index, 0, self.size)

    def consistency_proof(self, old_size: int) -> list[bytes]:
        """What proves that this tree's first ``old_size`` leaves are the whole of the smaller tree."""
        if not 0 <= old_size <= self.size:
            raise ValueError(f"a tree of {self.size} leaves has not grown out of one of {old_size}")
        return [] if old_size in (0, self.size) else self._subproof(old_size, 0, self.size, is_whole=True)

    def _path(self, index: int, start: int, end: int) -> list[bytes]:
        if end - start == 1:
            return []
        middle = start + _largest_power_below(end - start)
        if index < middle:
            return [*self._path(index, start, middle), self._hash_of(middle, end)]
        return [*self._path(index, middle, end), self._hash_of(start, middle)]

    def _subproof(self, old_end: int, start: int, end: int, *, is_whole: bool) -> list[bytes]:
        if old_end == end:
            return [] if is_whole else [self._hash_of(start, end)]
        middle = start + _largest_power_below(end - start)
        if old_end <= middle:
            return [*self._subproof(old_end, start, middle, is_whole=is_whole), self._hash_of(middle, end)]
        return [*self._subproof(old_end, middle, end, is_whole=False), self._hash_of(start, middle)]

    def _hash_of(self, start: int, end: int) -> bytes:
        """The root over the leaves [start, end), where ``start`` is as RFC 6962 splits trees."""
        n = end - start
        if n & (n - 1) == 0 and start % n == 0:
            return self._complete(n.bit_length() - 1, start)
        middle = start + _largest_power_below(n)
        return node_hash(self._hash_of(start, middle), self._hash_of(middle, end))

    def _complete(self, height: int, start: int) -> bytes:
        level, within = divmod(height, TILE_HEIGHT)
        index, first = divmod(start >> (TILE_HEIGHT * level), TILE_WIDTH)
        return _rows_of(self.tile(level, index))[within][first >> within]

    def tile(self, level: int, index: int) -> bytes:
        """All of a tile's hashes that this tree has.

        Raises:
            TileTruncated
        """
        tile = self._tiles.get((level, index))
        if tile is None:
            width = tile_width(self.size, level, index)
            tile = self._read_tile(level, index, width)
            if len(tile) != width * HASH_BYTES:
                raise TileTruncated(level, index, width, len(tile))
            self._tiles[level, index] = tile
        return tile


class TileTruncated(ValueError):
    """A tile has not as many hashes as the tree's size asks for."""

    def __init__(self, level: int, index: int, width: int, n_bytes: int) -> None:
        super().__init__(
            f"tile {index} of level {level} should hold {width} hashes ({width * HASH_BYTES} bytes) and has {n_bytes} bytes"
        )


@dataclass(frozen=True)
class FullTile:
    level: int
    index: int
    hashes: bytes
    root: bytes


class Edge:
    """The right edge of a growing tree: at each level the hashes that no full tile holds yet. Enough for its root."""

    def __init__(self, size: int = 0, levels: Sequence[Sequence[bytes]] = ()) -> None:
        self.size = size
        self.levels: list[list[bytes]] = [list(level) for level in levels]
        for level, hashes in enumerate(self.levels):
            if len(hashes) != (size >> (TILE_HEIGHT * level)) % TILE_WIDTH:
                raise ValueError(f"level {level} of this edge does not belong to a tree of {size} leaves")
        if size >> (TILE_HEIGHT * len(self.levels)):
            raise ValueError(f"this edge lacks levels of a tree of {size} leaves")

    def append(self, leaf: bytes) -> list[FullTile]:
        """Add a leaf's hash; returns the tiles that became full by it, lowest first."""
        self.size += 1
        full: list[FullTile] = []
        level, added = 0, leaf
        while True:
            if level == len(self.levels):
                self.levels.append([])
            row = self.levels[level]
            row.append(added)
            if len(row) < TILE_WIDTH:
                return full
            added = fold(row)
            index = (self.size >> (TILE_HEIGHT * (level + 1))) - 1
            full.append(FullTile(level, index, b"".join(row), added))
            self.levels[level] = []
            level += 1

    def root(self) -> bytes:
        return Tree(self.size, lambda level, _index, width: b"".join(self.levels[level][:width])).root()

    def packed(self) -> bytes:
        """As bytes: with the size, ``unpack_edge`` makes it again."""
        return b"".join(b"".join(row) for row in self.levels)


def unpack_edge(size: int, packed: bytes) -> Edge:
    """Raises: ValueError: the bytes are not the edge of a tree of this size."""
    levels, at, level = [], 0, 0
    while size >> (TILE_HEIGHT * level):
        end = at + (size >> (TILE_HEIGHT * level)) % TILE_WIDTH * HASH_BYTES
        levels.append(split_hashes(packed[at:end]))
        at, level = end, level + 1
    if at != len(packed):
        raise ValueError(f"{len(packed)} bytes are not the edge of a tree of {size} leaves")
    return Edge(size, levels)


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether ``proof`` shows that ``leaf`` stands at ``index`` of the tree of this size and root."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(step, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, step)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def check_consistency(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """Whether ``proof`` shows that the tree grew out of the older one without changing any leaf of it."""
    if old_size > size or old_size < 0:
        return False
    if old_size == size:
        return not proof and old_root == root
    if old_size == 0:
        return not proof and old_root == EMPTY_ROOT
    steps = list(proof)
    if old_size & (old_size - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        return False
    at, last = old_size - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            new = node_hash(new, step)
        at, last = at >> 1, last >> 1
    return last == 0 and old == old_root and new == root


def tile_path(level: int | str, index: int, width: int = TILE_WIDTH) -> str:
    """Where a tile is served below the log's address; ``level`` is "entries" for the entries themselves."""
    parts = [f"{index % 1000:03d}"]
    while index >= 1000:
        index //= 1000
        parts.append(f"x{index % 1000:03d}")
    path = f"tile/{level}/{'/'.join(reversed(parts))}"
    return path if width == TILE_WIDTH else f"{path}.p/{width}"


def parse_tile_path(path: str) -> tuple[int | None, int, int] | None:
    """(level, index, width) of a path below ``tile/``; level None stands for entries. None where it is no such path."""
    first, _, rest = path.partition("/")
    level = None if first == "entries" else _small_number(first, 63)
    if level is None and first != "entries":
        return None
    rest, is_partial, told = rest.partition(".p/")
    width = _small_number(told, TILE_WIDTH - 1) if is_partial else TILE_WIDTH
    parts = rest.split("/")
    if not width or len(parts) > 6:
        return None
    index = 0
    for part in parts[:-1]:
        if len(part) != 4 or part[0] != "x" or not _is_digits(part[1:]):
            return None
        index = index * 1000 + int(part[1:])
    if len(parts[-1]) != 3 or not _is_digits(parts[-1]) or (len(parts) > 1 and parts[0] == "x000"):
        return None
    return level, index * 1000 + int(parts[-1]), width


def pack_entries(entries: Sequence[bytes]) -> bytes:
    """A bundle: each entry behind its length in two bytes."""
    return b"".join(len(entry).to_bytes(2) + entry for entry in entries)


def unpack_entries(bundle: bytes) -> Iterator[bytes]:
    """The entries of a bundle.

    Raises:
        ValueError: it ends in the middle of one.
    """
    at = 0
    while at < len(bundle):
        end = at + 2 + int.from_bytes(bundle[at : at + 2])
        if end > len(bundle) or at + 2 > len(bundle):
            raise ValueError("a bundle of entries ends in the middle of one")
        yield bundle[at + 2 : end]
        at = end


def _small_number(text: str, most: int) -> int | None:
    if not _is_digits(text) or len(text) > 3 or (len(text) > 1 and text[0] == "0") or int(text) > most:
        return None
    return int(text)


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _largest_power_below(n: int) -> int:
    """The largest power of two smaller than ``n``, for ``n`` above 1."""
    return 1 << ((n - 1).bit_length() - 1)

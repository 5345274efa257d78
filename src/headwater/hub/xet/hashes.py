"""The keyed hashes of the Xet specification: chunks, trees of them, files, ranges.

Source: Xet protocol specification, "Hashing"; each was compared with what the real client sends (tests/xet).
"""

from __future__ import annotations

from collections.abc import Iterable

from blake3 import blake3

from headwater.hub.files.terms import to_text
from headwater.kernel import XetHash

DATA_KEY = bytes.fromhex("6697f5775b9550de3135cbaca597181c9de421109beb2b58b4d0b04b93adf229")
NODE_KEY = bytes.fromhex("017ec5c7a5472996fd946666b48a02e65ddd536f37c76dd2f86352e64a53713f")
RANGE_KEY = bytes.fromhex("7f1857d6ce56ed66127ff913e7a5c3f3a4cd26d5b5db49e64124987f28fb94c3")
FILE_KEY = bytes(32)

Node = tuple[bytes, int]
"""A hash and how many raw bytes lie under it."""

MAX_CHILDREN = 9
EMPTY_FILE = to_text(bytes(32))


def chunk_hash(data: bytes | memoryview) -> bytes:
    return blake3(data, key=DATA_KEY).digest()


class Tree:
    """The tree over chunks given in order; keeps at most one open group a level, however many come.

    A group has 2 to 9 children and ends after the first, from the third on, whose last u64 is a multiple of 4.
    """

    def __init__(self) -> None:
        self._open: list[list[Node]] = []  # the unfinished group of each level
        self._closed: list[int] = []  # how many groups of each level are finished

    def extend(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            self._add(0, node)

    def root(self) -> bytes:
        """The hash over all; 32 zero bytes when there was nothing. The tree takes no more after this."""
        level = 0
        while level < len(self._open):
            group = self._open[level]
            if not self._closed[level] and len(group) == 1 and level + 1 == len(self._open):
                return group[0][0]
            if group:
                self._close(level)
            level += 1
        return bytes(32)

    def _add(self, level: int, node: Node) -> None:
        if level == len(self._open):
            self._open.append([])
            self._closed.append(0)
        group = self._open[level]
        group.append(node)
        if len(group) == MAX_CHILDREN or (len(group) > 2 and node[0][24] & 3 == 0):
            self._close(level)

    def _close(self, level: int) -> None:
        group, self._open[level] = self._open[level], []
        self._closed[level] += 1
        text = "".join([f"{to_text(digest)} : {size}\n" for digest, size in group])
        self._add(level + 1, (blake3(text.encode(), key=NODE_KEY).digest(), sum([size for _, size in group])))


def merkle_root(nodes: Iterable[Node]) -> bytes:
    tree = Tree()
    tree.extend(nodes)
    return tree.root()


def xorb_hash(nodes: Iterable[Node]) -> XetHash:
    return to_text(merkle_root(nodes))


def file_hash(root: bytes) -> XetHash:
    """The name of the file whose chunks have this root; an empty file is 32 zero bytes."""
    return to_text(blake3(root, key=FILE_KEY).digest()) if root != bytes(32) else EMPTY_FILE


def range_hash(chunk_hashes: Iterable[bytes]) -> bytes:
    """Proof that the sender of a shard knows the chunks of a term."""
    return blake3(b"".join(chunk_hashes), key=RANGE_KEY).digest()

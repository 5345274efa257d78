"""The keyed hashes of the Xet specification: chunks, trees of them, files, ranges.

Source: Xet protocol specification, "Hashing"; each was compared with what the real client sends (tests/xet).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence

from blake3 import blake3

from headwater.hub.files.terms import from_text, to_text
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

    A group has 2 to 9 children and ends after the first, from the third on, whose last u64 is a multiple of 4. What is hashed
    is text, one line a child, so hashes are kept as text all the way.
    """

    def __init__(self) -> None:
        self._open: list[list[str]] = []  # the lines of each level's unfinished group
        self._sizes: list[int] = []  # and how many raw bytes lie under them
        self._closed: list[int] = []  # how many groups of each level are finished

    def add_chunks(self, hashes: bytes, lengths: Sequence[int]) -> None:
        """Chunks by their hashes, 32 bytes each, and their lengths."""
        texts = to_texts(hashes)
        for i, size in enumerate(lengths):
            self._add(0, texts[64 * i : 64 * i + 64], size)

    def extend(self, nodes: Iterable[Node]) -> None:
        for digest, size in nodes:
            self._add(0, to_text(digest), size)

    def root(self) -> bytes:
        """The hash over all; 32 zero bytes when there was nothing. The tree takes no more after this."""
        level = 0
        while level < len(self._open):
            group = self._open[level]
            if not self._closed[level] and len(group) == 1 and level + 1 == len(self._open):
                return from_text(group[0][:64])
            if group:
                self._close(level)
            level += 1
        return bytes(32)

    def _add(self, level: int, text: str, size: int) -> None:
        if level == len(self._open):
            self._open.append([])
            self._sizes.append(0)
            self._closed.append(0)
        group = self._open[level]
        group.append(f"{text} : {size}\n")
        self._sizes[level] += size
        if len(group) > 2 and (text[63] in "048c" or len(group) == MAX_CHILDREN):
            self._close(level)

    def _close(self, level: int) -> None:
        group, self._open[level] = self._open[level], []
        size, self._sizes[level] = self._sizes[level], 0
        self._closed[level] += 1
        self._add(level + 1, to_text(blake3("".join(group).encode(), key=NODE_KEY).digest()), size)


def to_texts(hashes: bytes) -> str:
    """``to_text`` of each 32 bytes, one after another."""
    words = array("Q", hashes)
    words.byteswap()
    return words.tobytes().hex()


def merkle_root(nodes: Iterable[Node]) -> bytes:
    tree = Tree()
    tree.extend(nodes)
    return tree.root()


def file_hash(root: bytes) -> XetHash:
    """The name of the file whose chunks have this root; an empty file is 32 zero bytes."""
    return to_text(blake3(root, key=FILE_KEY).digest()) if root != bytes(32) else EMPTY_FILE


def range_hash(chunk_hashes: bytes) -> bytes:
    """Proof that the sender of a shard knows the chunks of a term: over their hashes, one after another."""
    return blake3(chunk_hashes, key=RANGE_KEY).digest()


def iter_asked_about(hashes: bytes) -> Iterator[int]:
    """Which of these chunks clients ask about wherever they stand: last u64 divisible by 1024; of the others only a file's first."""
    lowest, second = hashes[24::32], hashes[25::32]
    at = lowest.find(0)
    while at >= 0:
        if second[at] & 3 == 0:
            yield at
        at = lowest.find(0, at + 1)

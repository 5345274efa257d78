"""Objects of one place to another, by key: each is read in full, checked by what its name promises, and looked for afterwards."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from headwater.blobs import BlobStore
from headwater.hub.backup.folder import claimed_sha256, hash_file
from headwater.hub.moving.errors import MoveFailed

PREFIXES = ("sha256/", "git/", "xet/")
AT_ONCE = 4
SAMPLE = 50

Named = dict[str, int | None]


def _present(blobs: BlobStore) -> dict[str, int]:
    return {found.key: found.size_bytes for prefix in PREFIXES for found in blobs.iter_keys(prefix)}


class ObjectCopier:
    """Remembers what has arrived, so that a later pass costs only what is new."""

    def __init__(self, source: BlobStore, target: BlobStore) -> None:
        self._source = source
        self._target = target
        self.arrived: dict[str, int] | None = None
        self.n_copied = 0
        self.bytes_copied = 0

    def copy(self, named: Named, advance: Callable[[float], None]) -> list[str]:
        """Bring what the target lacks; returns the keys that the source lacks, or has altered."""
        if self.arrived is None:
            self.arrived = _present(self._target)
        missing = []
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mover") as pool:
            wanted = iter(named.items())
            running: dict[Future[int | None], str] = {}
            while True:
                while len(running) < 2 * AT_ONCE and (item := next(wanted, None)) is not None:
                    running[pool.submit(self._bring, *item)] = item[0]
                if not running:
                    break
                done = next(as_completed(running))
                key, size = running.pop(done), done.result()
                if size is None:
                    missing.append(key)
                else:
                    advance(size)
        return missing

    def _bring(self, key: str, size: int | None) -> int | None:
        """The object's size; None where it is not what it should be."""
        assert self.arrived is not None  # noqa: S101 -- looked up by ``copy``
        there = self.arrived.get(key)
        if there is not None and there == (self._source.size_of(key) if size is None else size):
            return there
        try:
            with self._source.local_copy(key) as path:
                found = path.stat().st_size
                claimed = claimed_sha256(key)
                if (size is not None and found != size) or (claimed and hash_file(path) != claimed):
                    return None
                if key.endswith(".pack") and not _pack_is_whole(path):
                    return None
                self._target.adopt(path, key)
        except FileNotFoundError:
            return None
        self.arrived[key] = found
        self.n_copied += 1
        self.bytes_copied += found
        return found

    def look(self, named: Named) -> None:
        """That the target lists every object with its size.

        Raises:
            MoveFailed
        """
        assert self.arrived is not None  # noqa: S101
        present = _present(self._target)
        for key in named:
            if present.get(key) != self.arrived[key]:
                raise MoveFailed(f"The object {key} has not arrived in full.")

    def read_back(self, named: Named, advance: Callable[[float], None], *, everything: bool) -> int:
        """Compare bytes of a sample, or of every object; returns how many.

        Raises:
            MoveFailed
        """
        keys = sorted(named)
        if not everything and len(keys) > SAMPLE:
            keys = random.sample(keys, SAMPLE)
        with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="mover") as pool:
            for key, same in zip(keys, pool.map(self._is_same, keys), strict=True):
                if not same:
                    self._target.delete(key)  # so that another run brings it again
                    raise MoveFailed(f"The object {key} has arrived altered.")
                advance(1)
        return len(keys)

    def _is_same(self, key: str) -> bool:
        try:
            return self._target.digest_of(key) == self._source.digest_of(key)
        except FileNotFoundError:
            return False


def _pack_is_whole(path: Path) -> bool:
    """Whether it ends with the SHA-1 of what comes before."""
    hasher = hashlib.sha1(usedforsecurity=False)
    left = path.stat().st_size - 20
    with path.open("rb") as file:
        for block in _blocks(file.read, left):
            hasher.update(block)
        return left > 0 and file.read() == hasher.digest()


def _blocks(read: Callable[[int], bytes], left: int) -> Iterator[bytes]:
    while left > 0 and (block := read(min(left, 1 << 20))):
        left -= len(block)
        yield block

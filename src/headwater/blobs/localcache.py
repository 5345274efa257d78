"""Copies of objects on this machine's disk, bounded in size; everything here may vanish at any moment."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from pathlib import Path

_SWEEP_PART = 16  # swept when so great a part of the limit has come in since


class LocalCache:
    """Files by the digest of their key. Readers get a second name of a file, so that its eviction does not touch them."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._new_bytes = 0
        self._lock = threading.Lock()

    def link(self, key: str, target: Path) -> bool:
        """Make ``target`` the cached copy; False when there is none."""
        path = self._path_of(key)
        try:
            os.link(path, target)
        except FileNotFoundError:
            return False
        with contextlib.suppress(OSError):
            os.utime(path)
        return True

    def keep(self, key: str, path: Path) -> None:
        """Take a second name of ``path`` into the cache; that it cannot is no fault."""
        size = path.stat().st_size
        if size > self._limit // 4:
            return
        target = self._path_of(key)
        with contextlib.suppress(OSError):
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
        with self._lock:
            self._new_bytes += size
            is_due = self._new_bytes > self._limit // _SWEEP_PART
            if is_due:
                self._new_bytes = 0
        if is_due:
            self.sweep()

    def sweep(self) -> None:
        """Remove what was not used for longest, until the rest fits."""
        found = []
        for path in self._folder.glob("??/*"):
            with contextlib.suppress(FileNotFoundError):
                stat = path.stat()
                found.append((stat.st_mtime, stat.st_size, path))
        total = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if total <= self._limit:
                break
            path.unlink(missing_ok=True)
            total -= size

    def _path_of(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self._folder / digest[:2] / digest

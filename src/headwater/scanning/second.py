"""A second opinion on pickles: what picklescan says, where it is installed (extra ``scanners``). Kept beside our judgement, which alone
decides: picklescan has a list of what is dangerous, ours is a list of what is not.
"""

from __future__ import annotations

import importlib.util
import io
import os
from typing import Any

from headwater.scanning.apart import ChildFailed, ask_child
from headwater.scanning.confined import Limits
from headwater.scanning.models import printable
from headwater.scanning.reading import Bytes
from headwater.scanning.roles import UNPACKED, role_of

SCANNER = "picklescan"
MAX_BYTES = 4 << 30
_ROLES = frozenset({"pickle", "pickle?", "pickle or paths", "torch", "npy", "zip"})
_LIMITS = Limits(memory_bytes=2 << 30, cpu_s=60, time_s=120)
_MAX_GLOBALS = 200
_told: list[str] = []  # the scanner and its version, as the child found it


def second_opinion(path: str, source: Bytes, limits: Limits | None = None) -> dict[str, Any] | None:
    """``{"scanner", "verdict", "globals"}``, the verdict one of clean, suspicious, dangerous, error; None where it is not asked.

    It runs in a child without network; it reads what it wants into memory, so its limits are wide.
    """
    if role_of(path).rstrip(UNPACKED) not in _ROLES or source.size_bytes > MAX_BYTES or not _is_installed():
        return None
    try:
        found = ask_child("second", path, source, limits or _LIMITS)
        return {"scanner": str(found["scanner"]), "verdict": str(found["verdict"]), "globals": list(found["globals"])}
    except (ChildFailed, KeyError, TypeError):
        return {"scanner": SCANNER, "verdict": "error", "globals": []}


def _is_installed() -> bool:
    return importlib.util.find_spec(SCANNER) is not None


def prepare() -> None:
    """In the child, while it can still import."""
    import logging
    from importlib.metadata import version

    import picklescan.scanner  # noqa: F401

    logging.disable()
    _told.append(f"{SCANNER} {version(SCANNER)}")


def scan(path: str, source: Bytes) -> dict[str, Any]:
    """In the child."""
    from picklescan.scanner import scan_bytes

    name = _told[0]
    try:
        result = scan_bytes(_File(source), path, os.path.splitext(path)[1].lower() or None)  # noqa: PTH122
    except Exception:  # noqa: BLE001  # whatever it meets, it has no opinion
        return {"scanner": name, "verdict": "error", "globals": []}
    if result.issues_count:
        verdict = "dangerous"
    elif result.scan_err:
        verdict = "error"
    else:
        verdict = "suspicious" if result.suspicious_count else "clean"
    found = sorted({(printable(g.module), printable(g.name), g.safety.value) for g in result.globals})
    return {"scanner": name, "verdict": verdict, "globals": [list(each) for each in found[:_MAX_GLOBALS]]}


class _File(io.BufferedReader):
    """Bytes as the file that the scanner wants."""

    def __init__(self, source: Bytes) -> None:
        super().__init__(_Raw(source), 256 << 10)


class _Raw(io.RawIOBase):
    def __init__(self, source: Bytes) -> None:
        self._source, self._at = source, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset + (0, self._at, self._source.size_bytes)[whence])
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._source.read_at(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

"""What runs are made of that needs neither database nor framework."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import NewType

RunId = NewType("RunId", int)

METRIC_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./@-]{0,63}")
LARGEST_RESULT_BYTES = 64 << 10
PROVENANCE_FILE = "provenance.intoto.json"
PRIORITIES = {"low": -1, "normal": 0, "high": 1}


class State(Enum):
    """Of a run. An attempt has the same, but never waits."""

    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_over(self) -> bool:
        return self in _OVER

    @property
    def is_active(self) -> bool:
        """Whether it holds resources."""
        return self in (State.STARTING, State.RUNNING)


_OVER = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED, State.LOST})


@dataclass(frozen=True)
class Problem:
    """Something in a recipe: where (a path in the document), what is wrong, and what to do about it."""

    where: str
    what: str
    do: str = ""

    def __str__(self) -> str:
        what = f"{self.where}: {self.what}"
        return f"{what.removesuffix('.')}. {self.do}" if self.do else what


@dataclass(frozen=True)
class Need:
    """Resources that a recipe declares: what the queue counts, and what the process is held to."""

    cpus: float = 1.0
    memory_bytes: int = 2 << 30
    gpus: int = 0
    chip: str | None = None
    time_limit_s: int | None = None

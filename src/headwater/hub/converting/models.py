"""What is known of one conversion, and what its result is called."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headwater.kernel import AccountId

_ENDINGS = (".bin", ".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class Conversion:
    """``state``: queued, done (``pull`` offers it) or refused (``why``)."""

    path: str
    state: str
    why: str | None
    pull: int | None
    asked_by: AccountId | None
    asked_at: datetime
    ended_at: datetime | None


def is_convertible(path: str) -> bool:
    return path.lower().endswith(_ENDINGS)


def target_of(path: str) -> str:
    """Where libraries look for it: ``pytorch_model.bin`` becomes ``model.safetensors``, shards too."""
    folder, slash, name = path.rpartition("/")
    stem = name.rpartition(".")[0]
    if stem.startswith("pytorch_model"):
        stem = stem.removeprefix("pytorch_")
    return f"{folder}{slash}{stem}.safetensors"

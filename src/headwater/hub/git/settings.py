"""What an operator may set about git."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headwater.kernel import setting


@dataclass(frozen=True)
class GitSettings:
    section: ClassVar[str] = "git"

    max_push_bytes: int = setting(
        4 << 30,
        "Largest pack that one push may bring, in bytes. Files kept by LFS are not in it.",
        check=lambda value: None if value >= 1 << 20 else f"{value} is less than 1 MiB (1048576)",
    )

"""What an operator may set about looking after the bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headwater.kernel import setting


@dataclass(frozen=True)
class CheckSettings:
    section: ClassVar[str] = "check"

    scrub_mb_per_s: float = setting(
        4.0,
        "How many MB of what is stored are read and compared with their names every second, in the background. 0: none.",
        check=lambda value: None if 0 <= value <= 10_000 else f"{value} is not between 0 and 10000",
    )
    public_status: bool = setting(
        True, "Whether strangers may see /status: when the site was last backed up, tried and checked."
    )

"""What an operator may set about LFS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headwater.kernel import setting


def _at_least_1_mib(value: int) -> str | None:
    return None if value >= 1 << 20 else f"{value} is less than 1 MiB (1048576)"


@dataclass(frozen=True)
class LfsSettings:
    section: ClassVar[str] = "lfs"

    multipart_from_bytes: int = setting(
        4 << 30, "From this size on, clients that can send a file in parts are asked to.", check=_at_least_1_mib
    )
    part_size_bytes: int = setting(64 << 20, "Least size of one part of such an upload.", check=_at_least_1_mib)
    max_file_bytes: int = setting(1 << 40, "Largest single file.", check=_at_least_1_mib)

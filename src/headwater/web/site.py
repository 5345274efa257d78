"""What a running process has at hand; built once by the entrypoint, read by every door."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from headwater.blobs import BlobStore
from headwater.db import Database
from headwater.kernel import Settings

T = TypeVar("T")


@dataclass
class Site:
    """``base_url`` has no trailing slash and is what every link carries, whatever Host a request came with.

    ``secret`` (32 bytes, kept in the data folder) signs links and short-lived tokens; derive a key per purpose from it.
    ``settings.of(SomeSettings)`` is what the operator set. ``parts`` holds what a context builds for itself at start, by
    type: ``site.part(GitStore)``.
    """

    data_dir: Path
    db: Database
    blobs: BlobStore
    base_url: str
    secret: bytes
    settings: Settings = field(default_factory=Settings)
    parts: dict[type, Any] = field(default_factory=dict)

    @property
    def is_https(self) -> bool:
        return self.base_url.startswith("https://")

    def part(self, kind: type[T]) -> T:
        found: T = self.parts[kind]
        return found

    def add_part(self, part: Any) -> None:
        self.parts[type(part)] = part

    def close(self) -> None:
        """Let each part write what it still holds, then close the database: the end of a process."""
        for part in self.parts.values():
            if hasattr(part, "close"):
                part.close()
        self.db.close()

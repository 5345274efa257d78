"""How a package declares its settings; reading the environment is the entrypoint's part (``headwater.config``).

    @dataclass(frozen=True)
    class LfsSettings:
        section: ClassVar[str] = "lfs"
        part_size_bytes: int = setting(64 << 20, "Size of one part of a multipart upload.")

is ``HEADWATER_LFS_PART_SIZE_BYTES`` in the environment and ``part_size_bytes`` under ``[lfs]`` in ``headwater.toml``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import field
from typing import Any, TypeVar

T = TypeVar("T")


def setting(default: T, description: str, *, check: Callable[[T], str | None] | None = None) -> T:
    """A field of a settings class.

    Types understood: ``str``, ``int``, ``float``, ``bool``, ``str | None`` and ``tuple[str, ...]``.

    Args:
        check: says what is wrong with a value, or None when nothing is.
    """
    found: T = field(default=default, metadata={"description": description, "check": check})
    return found


class Settings:
    """Every package's settings, found by their class; what was not given has its defaults."""

    def __init__(self, sections: Iterable[Any] = ()) -> None:
        self._sections: dict[type, Any] = {type(section): section for section in sections}

    def of(self, kind: type[T]) -> T:
        """The settings that ``kind`` declares."""
        found: T | None = self._sections.get(kind)
        return kind() if found is None else found

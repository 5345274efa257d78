"""What an operator may set about corpora."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from headwater.kernel import setting


def _check_folders(value: tuple[str, ...]) -> str | None:
    for each in value:
        path = PurePosixPath(each)
        if not path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
            return f"{each!r} is not the absolute path of a folder"
    return None


@dataclass(frozen=True)
class CorporaSettings:
    section: ClassVar[str] = "corpora"

    folders: tuple[str, ...] = setting(
        (),
        "Folders of the hosts of runs that recipes of corpora may read, with all below them. Without any, sources are repositories alone.",
        check=_check_folders,
    )

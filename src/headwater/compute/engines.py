"""Programs of engines that were built for this machine, and where they are kept: those who serve and runs that convert use them.

Only the standard library: programs of runs import it, too.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

FOLDER_VARIABLE = "HEADWATER_ENGINES"  # says to a run, whose HOME is its own, where its host keeps them


def folder() -> Path:
    """For all sites of this user."""
    told = os.environ.get(FOLDER_VARIABLE)
    if told:
        return Path(told)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "headwater" / "engines"


def find_program(engine: str, name: str) -> Path | None:
    """One of an engine's programs on the PATH, or the latest that was built here."""
    on_path = shutil.which(name)
    if on_path is not None:
        return Path(on_path)
    built = [version / "bin" / name for version in _versions(folder() / engine)]
    return next((path for path in built if os.access(path, os.X_OK)), None)


def _versions(home: Path) -> list[Path]:
    if not home.is_dir():
        return []

    def number(path: Path) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", path.name))

    return sorted((path for path in home.iterdir() if (path / "bin").is_dir()), key=number, reverse=True)

"""A process whose clock of the day is another one, by libfaketime; what measures time goes as ever."""

from __future__ import annotations

from pathlib import Path

import pytest


def shifted(**how: str) -> dict[str, str]:
    """The environment for it: ``FAKETIME="-2d"``, or ``FAKETIME_TIMESTAMP_FILE`` and what else the library reads."""
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if library is None:
        pytest.skip("libfaketime is not installed")
    own = {"PYTHONPATH": str(Path(__file__).with_name("shifted")), "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return {"LD_PRELOAD": str(library), **own, **how}

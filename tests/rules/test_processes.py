"""What the parent of the server's processes has open when it forks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.conftest import LiveApp
from tests.growth import only_on_one_machine


def opened(pid: int) -> Iterator[str]:
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            yield str(fd.readlink())
        except FileNotFoundError:
            continue


@only_on_one_machine
def test_the_parent_has_no_connection_to_hand_on(live_app: LiveApp) -> None:
    """It forks again whenever a child dies, at any time; and SQLite's locks do not survive a fork."""
    live_app.hf("ada").whoami()
    parent, *children = live_app.processes()
    assert not [path for path in opened(parent) if "headwater.db" in path]
    assert [path for child in children for path in opened(child) if path.endswith("headwater.db")]

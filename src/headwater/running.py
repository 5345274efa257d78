"""Whether a server runs on a data folder, and where: the lock and ``server.json``, read and written by nothing else.

Kept light: ``headwater down`` and the like import no more than this.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from pathlib import Path
from typing import Any

import orjson

from headwater.kernel import HeadwaterError, Kind

LOCK_FILE = "server.lock"


class AlreadyRunning(HeadwaterError):
    """A server already holds this data folder; ``running`` is what it wrote into ``server.json``, if it got so far."""

    code = "already_running"
    kind = Kind.CONFLICT

    def __init__(self, data_dir: Path, running: dict[str, Any] | None) -> None:
        self.running = running
        where = (
            f" at {running['url']} (process {running['pid']})" if running else ", and is starting or ending just now"
        )
        super().__init__(f"Headwater already runs on {data_dir}{where}. Nothing was started.")


def is_running(data_dir: Path) -> bool:
    """Whether a server, or what is left of one, holds this folder."""
    try:
        fd = os.open(data_dir / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(fd)


def read_server_file(data_dir: Path) -> dict[str, Any] | None:
    """What the running server wrote, or None when none runs on this folder, or none that answers yet."""
    if not is_running(data_dir):
        return None
    try:
        found: dict[str, Any] = orjson.loads((data_dir / "server.json").read_bytes())
    except (OSError, ValueError):
        return None
    return found


def write_server_file(data_dir: Path, facts: dict[str, Any]) -> None:
    """Whole or not at all: others wait for it to appear."""
    temporary = data_dir / "server.json.new"
    temporary.write_bytes(orjson.dumps(facts) + b"\n")
    temporary.replace(data_dir / "server.json")


def remove_server_file(data_dir: Path) -> None:
    (data_dir / "server.json").unlink(missing_ok=True)


def lock_folder(data_dir: Path) -> int:
    """Hold the folder until the descriptor is closed, by this process and all it forks.

    Raises:
        AlreadyRunning: another server holds it.
    """
    fd = os.open(data_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for attempt in range(10):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            running = read_server_file(data_dir)
            if running is not None or attempt == 9:
                os.close(fd)
                raise AlreadyRunning(data_dir, running) from None
            time.sleep(0.02)  # somebody may only be asking whether it runs
    remove_server_file(data_dir)
    return fd


def tell_systemd(state: str) -> None:
    """Say ``READY=1`` and the like to the service manager, where one has asked for it. Source: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect("\0" + address[1:] if address.startswith("@") else address)
        sock.sendall(state.encode())

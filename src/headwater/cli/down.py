"""``headwater down``."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import click

from headwater.kernel import HeadwaterError, Kind
from headwater.running import is_running, read_server_file
from headwater.web.terminal import Output, data_option, json_option

PATIENCE_S = 12.0  # the server ends within 10


class StillRunning(HeadwaterError):
    code = "still_running"
    kind = Kind.UNAVAILABLE

    def __init__(self, pid: int) -> None:
        super().__init__(f"Process {pid} was asked to end and has not done so. Look into its log, or: kill -9 {pid}")


@click.command()
@data_option
@json_option
def down(data_dir: Path, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags so
    """Stop the platform that runs on a data folder; requests under way are finished first."""
    out = Output(as_json=as_json)
    running = read_server_file(data_dir)
    if running is None:
        out.result({"stopped": False}, f"Nothing runs on {data_dir}.")
        return
    pid: int = running["pid"]
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_S
    while is_running(data_dir):
        if time.monotonic() > deadline:
            raise StillRunning(pid)
        time.sleep(0.02)
    out.result({"stopped": True, "pid": pid}, "Stopped.")

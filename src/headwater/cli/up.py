"""``headwater up``: in this terminal, or with ``--background`` as a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headwater.kernel import HeadwaterError, Kind
from headwater.web.terminal import Output, data_option, json_option

if TYPE_CHECKING:
    from headwater.config import ServerSettings

START_S = 60.0
STOP_VARIABLE = "_HEADWATER_STOP_COMMAND"
LOG_VARIABLE = "_HEADWATER_LOG_FILE"  # tells the process in the background which file its standard error is


class StartFailed(HeadwaterError):
    code = "start_failed"
    kind = Kind.UNAVAILABLE

    def __init__(self, log_path: Path, tail: str) -> None:
        super().__init__(f"The server did not start. The end of {log_path}:\n{tail}")


@click.command()
@data_option
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on, 0 for a free one.  [default: 7860]")
@click.option("--workers", type=int, help="Web worker processes.  [default: 2, or 1 on a single processor]")
@click.option("--url", help="Public address that links carry, such as https://hub.example.edu.")
@click.option(
    "--background",
    is_flag=True,
    help="Return once it answers; its log goes to headwater.log in the data folder, a large one is put beside as headwater.log.1.",
)
@json_option
def up(data_dir: Path, background: bool, as_json: bool, **flags: Any) -> int:  # noqa: FBT001 -- click passes flags so
    """Start the platform.

    It keeps everything in one folder. A second start on the same folder changes nothing.
    """
    from headwater.config import ServerSettings, read_settings

    out = Output(as_json=as_json)
    data_dir = data_dir.absolute()
    settings = read_settings(data_dir, **flags)
    if background:
        return _up_in_background(data_dir, out, flags, settings.of(ServerSettings))

    from headwater import worker
    from headwater.running import AlreadyRunning
    from headwater.server import Ready, serve
    from headwater.web import logfile
    from headwater.web.logs import configure_logging

    own = settings.of(ServerSettings)
    if log_path := os.environ.get(LOG_VARIABLE):
        logfile.follow(Path(log_path), max_bytes=own.log_file_bytes, n_kept=own.log_files_kept)
    configure_logging(own.log_level)

    def on_ready(ready: Ready) -> None:
        facts = {"url": ready.url, "pid": ready.pid, "data": str(data_dir), "first_admin_link": ready.first_admin_link}
        with contextlib.suppress(OSError):  # a full disk, say: server.json tells it, too
            out.result(facts, _welcome(ready.url, ready.first_admin_link, "Stop it with Ctrl-C."))
            sys.stdout.flush()

    try:
        return serve(
            data_dir,
            settings,
            run_worker=worker.run,
            on_ready=on_ready,
            reread=lambda: read_settings(data_dir, **flags),
        )
    except AlreadyRunning as error:
        return _already(error, out)


def _already(error: Any, out: Output) -> int:
    out.result({"already_running": True, **(error.running or {})}, error.message)
    return 0


def _welcome(url: str, link: str | None, last: str) -> str:
    lines = [f"Headwater answers at {url}"]
    if link:
        lines.append(f"The first administrator signs up here (works once): {link}")
    return "\n".join([*lines, last])


def _up_in_background(data_dir: Path, out: Output, flags: dict[str, Any], own: ServerSettings) -> int:
    import orjson

    from headwater.running import read_server_file
    from headwater.web import logfile

    running = read_server_file(data_dir)
    if running is not None:
        out.result(
            {"already_running": True, **running}, f"Headwater already runs at {running['url']}. Nothing was started."
        )
        return 0
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    log_path = data_dir / "headwater.log"
    given = [f"--{name}={value}" for name, value in flags.items() if value is not None]
    command = [sys.executable, "-m", "headwater", "up", f"--data={data_dir}", "--json", *given]
    if log_path.exists() and log_path.stat().st_size > own.log_file_bytes:
        logfile.turn(log_path, own.log_files_kept)
    with log_path.open("ab") as log:
        start = log.tell()
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, LOG_VARIABLE: str(log_path)},
            start_new_session=True,
        )
    if child.stdout is None:
        raise RuntimeError("the child's output was not opened")
    said = _first_answer(child)
    if said is None:
        with log_path.open("rb") as log:
            log.seek(start)
            raise StartFailed(log_path, log.read().decode("utf-8", "replace")[-2000:].strip())
    facts = {**orjson.loads(said), "log": str(log_path)}
    near = data_dir.relative_to(Path.cwd()) if data_dir.is_relative_to(Path.cwd()) else data_dir
    # Whoever starts it by another command sets how that one stops it: `make up` does.
    by = os.environ.get(STOP_VARIABLE) or f"headwater down --data {near}"
    stop = f"Its log is {log_path}. Stop it with `{by}`."
    out.result(facts, _welcome(facts["url"], facts.get("first_admin_link"), stop))
    return 0


def _first_answer(child: subprocess.Popen[bytes]) -> bytes | None:
    """What the child prints once it answers; None if it ends or takes too long before that."""
    import orjson

    if child.stdout is None:
        return None
    os.set_blocking(child.stdout.fileno(), False)
    said, deadline = b"", time.monotonic() + START_S
    while time.monotonic() < deadline:
        said += child.stdout.read() or b""
        try:
            orjson.loads(said)
        except ValueError:
            if child.poll() is not None:
                return None
            time.sleep(0.02)
        else:
            return said
    child.terminate()
    return None

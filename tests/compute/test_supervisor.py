"""The process beside a run's own, started as the server starts it: limits, ends, what it writes down."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from headwater.compute import supervisor
from tests.conftest import wait_for

MIB = 1 << 20


def start(folder: Path, code: str, **spec: Any) -> subprocess.Popen[bytes]:
    folder.mkdir()
    given = {
        "name": f"test-{os.getpid()}-{folder.name}",
        "command": [sys.executable, "-c", code],
        "cwd": str(folder),
        "env": {"PATH": os.environ["PATH"]},
        "log_bytes": 4 * MIB,
        "grace_s": 0.5,
        "memory_bytes": 512 * MIB,
        "cpus": 1,
        "time_limit_s": 60,
        **spec,
    }
    (folder / "spec.json").write_text(json.dumps(given))
    return subprocess.Popen([sys.executable, "-I", "-S", supervisor.__file__, str(folder)], start_new_session=True)


def finish(process: subprocess.Popen[bytes], folder: Path) -> dict[str, Any]:
    assert process.wait(30) == 0
    return json.loads((folder / "exit.json").read_text())


def test_a_program_that_ends_by_itself(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    told = finish(start(folder, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"), folder)
    assert (told["code"], told["signal"], told["reason"]) == (7, None, "")
    assert set((folder / "log").read_text().split()) == {"out", "err"}
    assert told["cpu_s"] > 0


def test_it_is_asked_to_end_and_may_save(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    code = "import signal,sys,time\nsignal.signal(15, lambda *_: (print('saved'), sys.exit(0)))\nprint('on', flush=True)\ntime.sleep(60)"
    process = start(folder, code)
    wait_for(lambda: (folder / "log").exists() and "on" in (folder / "log").read_text())
    process.send_signal(signal.SIGTERM)
    told = finish(process, folder)
    assert (told["code"], told["reason"]) == (0, "cancelled")
    assert "saved" in (folder / "log").read_text()


def test_what_does_not_hear_is_ended_with_all_its_children(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    # A child in a session of its own, whose parent has ended: neither the group nor the tree names it any more.
    code = (
        "import os,signal,subprocess,sys,time\n"
        "signal.signal(15, signal.SIG_IGN)\n"
        "deaf = 'import signal,time,os; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(600)'\n"
        "subprocess.run([sys.executable, '-c', f'import subprocess,sys; subprocess.Popen([sys.executable, \"-c\", {deaf!r}], start_new_session=True)'])\n"
        "time.sleep(600)\n"
    )
    process = start(folder, code)
    pid = int(wait_for(lambda: (folder / "log").exists() and (folder / "log").read_text().strip()))
    os.kill(pid, 0)
    process.send_signal(signal.SIGTERM)
    told = finish(process, folder)
    assert (told["signal"], told["reason"]) == (signal.SIGKILL, "cancelled")
    wait_for(lambda: not Path(f"/proc/{pid}").exists())


def test_time_is_limited(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    told = finish(start(folder, "import time; time.sleep(600)", time_limit_s=1), folder)
    assert told["reason"] == "time_limit"
    assert told["wall_s"] < 10


_EAT = "import time\nheld = bytearray(b'x' * (256 << 20))\nprint(len(held), flush=True)\ntime.sleep(60)"


def test_memory_is_limited_whether_or_not_a_group_can_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = finish(start(tmp_path / "a", _EAT, memory_bytes=128 * MIB), tmp_path / "a")
    assert (told["reason"], told["code"]) == ("memory_limit", None)
    # A name that cannot be a folder's: no group is made, and the memory is watched.
    told = finish(start(tmp_path / "b", _EAT, memory_bytes=128 * MIB, name="no/such/parent"), tmp_path / "b")
    assert (told["reason"], told["limits"]) == ("memory_limit", "watched")
    assert told["peak_bytes"] > 128 * MIB


def test_pages_that_children_share_count_once(tmp_path: Path) -> None:
    """Four processes that look at the same 100 MiB use 100 MiB; no address space is bounded."""
    code = (
        "import mmap,os,time\nheld = b'x' * (100 << 20)\nwide = mmap.mmap(-1, 8 << 30)\n"
        "pids = [os.fork() for _ in range(2)]\ntime.sleep(1.2)\nprint('fine', flush=True)"
    )
    folder = tmp_path / "a"
    told = finish(start(folder, code, memory_bytes=200 * MIB, name="no/such/parent"), folder)
    assert (told["code"], told["reason"]) == (0, "")


def test_a_log_without_end_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    code = "print('first')\nfor n in range(200): print('x' * 9999)\nprint('last')"
    told = finish(start(folder, code, log_bytes=100_000), folder)
    log = (folder / "log").read_text()
    assert told["code"] == 0
    assert log.startswith("first\n")
    assert log.endswith("last\n")
    assert "bytes of this log were left out" in log
    assert len(log) < 100_000 + 300_000


def test_a_full_disk_takes_the_log_and_not_the_program(tmp_path: Path) -> None:
    told = finish(start(tmp_path / "a", "print('x' * 100_000)", log="/dev/full"), tmp_path / "a")
    assert (told["code"], told["reason"]) == (0, "")


def test_a_second_one_on_the_same_folder_does_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    process = start(folder, "import time; print('on', flush=True); time.sleep(60)")
    wait_for(lambda: (folder / "log").exists() and (folder / "log").read_text())
    again = subprocess.run([sys.executable, "-I", "-S", supervisor.__file__, str(folder)], check=False, timeout=20)
    assert again.returncode == 1
    process.send_signal(signal.SIGTERM)
    finish(process, folder)
    again = subprocess.run([sys.executable, "-I", "-S", supervisor.__file__, str(folder)], check=False, timeout=20)
    assert again.returncode == 1
    assert (folder / "log").read_text() == "on\n"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    process = start(folder, "", command=["/no/such/python"])
    process.wait(20)
    told = json.loads((folder / "exit.json").read_text())
    assert told["reason"] == "start_failed"
    assert "/no/such/python" in told["message"]

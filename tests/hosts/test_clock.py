"""A host whose clock is ten minutes off does not start; one whose clock goes wrong is not ready, and takes no jobs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from headwater import queue
from headwater.db import ClockDiffers, open_database, require_same_clock
from tests.conftest import clean_env, wait_for
from tests.hosts.several import Host, new_database, write_toml
from tests.servers.clocks import shifted
from tests.servers.nginx import free_port
from tests.servers.seaweed import seaweed


def test_the_databases_clock_is_told_to_a_few_milliseconds(tmp_path: Path):
    db = open_database(tmp_path, new_database("one_clock"))
    try:
        assert abs(db.clock_offset_s()) < 1
        require_same_clock(db)
    finally:
        db.close()


@pytest.mark.parametrize(("shift", "told"), [("+10m", "10 minutes ahead of"), ("-10m", "10 minutes behind")])
def test_a_clock_ten_minutes_off_does_not_start(tmp_path: Path, shift: str, told: str):
    write_toml(tmp_path / "data", new_database("wrong_clock"), f"s3://{seaweed().new_bucket()}/site")
    command = [sys.executable, "-m", "headwater", "up", f"--data={tmp_path / 'data'}", f"--port={free_port()}"]
    done = subprocess.run(
        ["faketime", "-f", shift, *command], capture_output=True, text=True, timeout=60, env=clean_env(), check=False
    )
    assert done.returncode != 0
    assert told in done.stderr
    assert "clock_differs" in done.stderr or "chrony" in done.stderr


def test_a_clock_that_goes_wrong_while_it_serves_is_noticed(tmp_path: Path):
    """The library reads the shift from a file, which changes under the running server."""
    shift = tmp_path / "shift"
    shift.write_text("+0")
    database = new_database("drifting_clock")
    write_toml(tmp_path / "data", database, f"s3://{seaweed().new_bucket()}/site")
    env = shifted(FAKETIME_TIMESTAMP_FILE=str(shift), FAKETIME_NO_CACHE="1")
    host = Host(tmp_path / "data", free_port(), env=env)
    try:
        assert wait_for(
            lambda: (a := httpx.get(f"{host.direct}/readyz", timeout=60)).json()["status"] == "ready" or print(a.json())
        )
        shift.write_text("+600")
        answer = wait_for(lambda: (a := httpx.get(f"{host.direct}/readyz", timeout=60)).status_code == 503 and a)
        assert answer.json()["checks"]["clock"]["problem"] == "differs_from_the_databases"
        assert [name for name, check in answer.json()["checks"].items() if not check["ok"]] == ["clock"]
        wait_for(lambda: host.log_lines("clock.differs"), what="its queue worker's notice", timeout_s=40)
        wait_for(lambda: any(line["level"] == "error" for line in host.log_lines("clock.differs")), timeout_s=40)
        with host.opened() as site:
            site.db.write(queue.put, "hub.index_repository", {"repo_id": 1})
            assert site.db.read(queue.count_by_state) == {"waiting": 1}
        shift.write_text("+0")
        wait_for(lambda: httpx.get(f"{host.direct}/readyz", timeout=60).status_code == 200)
        with host.opened() as site:
            wait_for(lambda: site.db.read(queue.count_by_state) == {}, what="the job", timeout_s=60)
    finally:
        host.stop()


def test_commands_on_a_host_with_a_wrong_clock_can_be_told(tmp_path: Path):
    assert "10 minutes behind" in ClockDiffers(600).message
    assert "45 s ahead of" in ClockDiffers(-45).message

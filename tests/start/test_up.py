"""Starting, ending and asking after the platform, as an operator or a script does."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import orjson
import pytest
from huggingface_hub import HfApi

from headwater.web import logfile
from tests.conftest import LiveApp, clean_env, wait_for

PASSWORD = "seven calm herons drink"


def command(*arguments: str, stdin: str = "", env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headwater", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=clean_env(env),
        timeout=60,
    )


def test_it_can_be_automated_without_a_browser(tmp_path):
    """The commands exactly as the outside relies on them: before the server runs, and while it does."""
    data = str(tmp_path / "D")
    made = command("user", "create", "ada", "--admin", "--password-stdin", "--data", data, stdin=PASSWORD)
    assert made.returncode == 0, made.stderr
    server = subprocess.Popen(
        [sys.executable, "-m", "headwater", "up", "--data", data, "--port", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=clean_env(),
    )
    try:
        path = Path(data) / "server.json"
        wait_for(path.exists, what="server.json")
        written = orjson.loads(path.read_bytes())
        assert set(written) == {"url", "pid", "version"}
        assert written["pid"] == server.pid
        # It is written once the server answers: the very next request does.
        assert httpx.get(f"{written['url']}/-/health").json()["status"] == "ok"

        assert command("org", "create", "lab", "--owner", "ada", "--data", data).returncode == 0
        said = command("token", "create", "--user", "ada", "--scope", "write", "--data", data, "--json")
        token = orjson.loads(said.stdout)["token"]
        assert token.startswith("hw_")
        me = HfApi(endpoint=written["url"], token=token).whoami()
        assert me["name"] == "ada"
        assert [org["name"] for org in me["orgs"]] == ["lab"]
    finally:
        server.send_signal(signal.SIGTERM)
        started = time.monotonic()
        assert server.wait(10) == 0
        assert time.monotonic() - started < 10
    assert not path.exists()


def test_the_first_start_prints_a_link_for_the_first_administrator_and_later_ones_do_not(tmp_path):
    data = str(tmp_path / "D")

    def up() -> dict[str, str]:
        said = command("up", "--data", data, "--port", "0", "--background", "--json")
        assert said.returncode == 0, said.stderr
        assert command("down", "--data", data).returncode == 0
        return orjson.loads(said.stdout)

    first = up()
    assert first["first_admin_link"].startswith(first["url"] + "/link/")
    command("user", "create", "ada", "--admin", "--password-stdin", "--data", data, stdin=PASSWORD)
    assert up()["first_admin_link"] is None


def test_a_second_start_on_the_same_folder_changes_nothing(live_app):
    for more in ([], ["--background"]):
        again = command("up", "--data", str(live_app.data), "--port", "0", *more)
        assert again.returncode == 0
        assert live_app.url in again.stdout
        assert "Nothing was started" in again.stdout
    assert httpx.get(f"{live_app.url}/-/health").status_code == 200


def test_a_taken_port_is_a_clear_error(live_app, tmp_path):
    port = live_app.url.rsplit(":", 1)[1]
    for more in ([], ["--background"]):
        failed = command("up", "--data", str(tmp_path / "other"), "--port", port, *more)
        assert failed.returncode == 1
        assert f"port {port}" in failed.stderr
        assert "--port 0" in failed.stderr
        assert "Traceback" not in failed.stderr
    as_json = command("up", "--data", str(tmp_path / "other"), "--port", port, "--json")
    assert orjson.loads(as_json.stderr.splitlines()[-1])["code"] == "port_taken"


def test_bad_configuration_lists_every_problem_at_once(tmp_path):
    (tmp_path / "headwater.toml").write_text('workers = "many"\n[web]\ntrusted_proxys = []\n')
    env = {"HEADWATER_PORT": "no", "HEADWATER_URL": "ftp://x", "HEADWATER_HOSTT": "x"}
    failed = command("up", "--data", str(tmp_path), env=env)
    assert failed.returncode == 1
    for part in ("5 problem", "HEADWATER_PORT", "HEADWATER_URL", "did you mean HEADWATER_HOST?", "workers in headwater.toml",
                 "did you mean web.trusted_proxies?"):  # fmt: skip
        assert part in failed.stderr
    assert not (tmp_path / "server.json").exists()


def test_git_is_asked_for_before_anything_is_started(tmp_path):
    empty = tmp_path / "bin"
    empty.mkdir()
    failed = command("up", "--data", str(tmp_path / "D"), "--port", "0", env={"PATH": str(empty)})
    assert failed.returncode == 1
    assert "apt install git" in failed.stderr


def test_a_git_that_does_not_run_is_told_from_one_that_is_not_there(tmp_path):
    broken = tmp_path / "git"
    broken.write_text("#!/bin/sh\necho 'no such library' >&2\nexit 1\n")
    broken.chmod(0o755)
    failed = command("up", "--data", str(tmp_path / "D"), "--port", "0", env={"PATH": str(tmp_path)})
    assert failed.returncode == 1
    assert "could not be run: it ended with 1 and said 'no such library'" in failed.stderr


def test_doctor_names_what_is_wrong_and_how_to_mend_it(live_app, tmp_path):
    healthy = command("doctor", "--data", str(live_app.data), "--json")
    assert orjson.loads(healthy.stdout)["healthy"], healthy.stdout
    taken = socket.create_server(("127.0.0.1", 0))
    env = {"PATH": str(tmp_path), "HEADWATER_PORT": str(taken.getsockname()[1])}
    sick = command("doctor", "--data", str(tmp_path / "D"), "--json", env=env)
    assert sick.returncode == 1
    bad = {check["check"]: check["mend"] for check in orjson.loads(sick.stdout)["checks"] if check["verdict"] == "bad"}
    assert set(bad) == {"git", "port"}
    assert "apt install git" in bad["git"]
    assert "bad  port" in command("doctor", "--data", str(tmp_path / "D"), env=env).stdout
    taken.close()


def test_status_tells_what_runs(live_app, tmp_path):
    facts = live_app.cli("status")
    assert facts["running"]
    assert facts["url"] == live_app.url
    assert facts["answers_in_ms"] > 0
    assert facts["processes"] >= 3
    absent = command("status", "--data", str(tmp_path), "--json")
    assert (absent.returncode, orjson.loads(absent.stdout)["running"]) == (3, False)
    assert command("down", "--data", str(tmp_path)).returncode == 0


def test_unknown_commands_and_options_are_told(tmp_path):
    for arguments in (["upp"], ["up", "--prt", "1"], ["token", "create", "--data", str(tmp_path)]):
        failed = command(*arguments)
        assert failed.returncode == 2
        assert "Traceback" not in failed.stderr
    assert "Commands" in command("--help").stdout


def test_a_worker_that_dies_is_started_again(new_app):
    app: LiveApp = new_app(people=False, workers=1)
    _, *children = app.processes()
    os.kill(children[0], signal.SIGKILL)
    wait_for(
        lambda: len(app.processes()) == len(children) + 1 and children[0] not in app.processes(), what="a new worker"
    )
    wait_for(lambda: httpx.get(f"{app.url}/-/health").status_code == 200)
    [died] = app.log_lines("process.died")
    assert died["exit"] == -signal.SIGKILL
    app.stop()
    app.log_path.write_text("")  # the death was meant


@pytest.mark.parametrize("is_reloaded", [False, True])
def test_no_process_outlives_its_parent(tmp_path, is_reloaded):
    app = LiveApp(tmp_path / "D", options={"workers": 2})
    if is_reloaded:
        app.process.send_signal(signal.SIGHUP)
        wait_for(lambda: app.log_lines("server.reloaded"), timeout_s=60)
    pids = app.processes()
    assert "Traceback" not in app.log_path.read_text()
    app.process.kill()
    app.process.wait()
    wait_for(lambda: not any(_is_alive(pid) for pid in pids), timeout_s=10, what="the end of every process")
    again = LiveApp(tmp_path / "D")  # what the dead one left behind does not stand in the way
    assert httpx.get(f"{again.url}/-/health").status_code == 200
    again.stop()


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_within_ten_seconds_even_with_open_connections(new_app, number):
    app: LiveApp = new_app(people=False)
    host, port = app.url.removeprefix("http://").split(":")
    held = [socket.create_connection((host, int(port))) for _ in range(20)]
    held[0].sendall(b"GET /-/health HTTP/1.1\r\nHost: x\r\n\r\n")
    held[1].sendall(b"POST /api/repos/create HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
    started = time.monotonic()
    app.process.send_signal(number)
    assert app.process.wait(10) == 0
    assert time.monotonic() - started < 10
    for sock in held:
        sock.close()


def test_an_idle_platform_takes_less_than_150_mib(new_app):
    app: LiveApp = new_app(people=False)
    assert httpx.get(app.url).status_code < 500
    memory = app.cli("status")["memory_bytes"]
    assert memory < 150 * 2**20, f"{memory / 2**20:.0f} MiB"


def test_every_link_carries_the_public_address(new_app):
    app: LiveApp = new_app(url="https://hub.example.edu/", people=False)
    assert app.url == "https://hub.example.edu"
    link = app.cli("user", "create", "zoe")["link"]
    assert link.startswith("https://hub.example.edu/link/")


def test_the_commands_base_imports_little():
    """What every command pays for; the rest is imported when it is called."""
    script = "import sys, headwater.cli; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    heavy = {"sqlalchemy", "starlette", "uvicorn", "pygit2", "numpy", "jinja2", "rich", "alembic", "httpx", "asyncio"}
    assert not heavy & set(loaded)


def test_no_command_begins_by_importing_what_draws_tracebacks():
    script = (
        "import gc, sys, headwater.cli as c; enabled = [];"
        "[(c.headwater.get_command(None, name), enabled.append(gc.isenabled())) for name in ('status', 'up')];"
        "import headwater.server, headwater.cli.open; headwater.server.routes();"
        "print(enabled, *sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.startswith("[True, False]")
    assert not {"rich", "rich.traceback"} & set(said.split())


def test_the_server_never_imports_what_only_rare_acts_need():
    script = (
        "import sys; from headwater import server, worker; server._preload(); worker.lanes(with_store=True);"
        "print(' '.join(sys.modules))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    rare = {"alembic", "pyarrow", "pandas", "torch", "transformers", "authlib", "argon2", "huggingface_hub", "datasets"}
    rare |= {"daft", "numba", "ray", "lm_eval", "trl", "peft", "accelerate", "tokenizers", "safetensors", "gguf"}
    rare |= {"codecarbon", "pydantic", "httpx", "openai"}
    assert not rare & set(loaded)


def test_settings_and_errors_are_documented():
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "tools/generated_docs.py", "--check"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_pinned_packages_name_no_registry():
    text = (Path(__file__).parents[2] / "constraints.txt").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) > 50
    assert all(re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.]+", line) for line in lines)


def test_a_large_log_is_put_beside_before_a_server_writes_on(tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    with (data / "headwater.log").open("wb") as log:
        log.truncate((16 << 20) + 1)
    env = {"_HEADWATER_STOP_COMMAND": "make down"}
    said = command("up", "--data", str(data), "--port", "0", "--background", env=env)
    try:
        assert said.returncode == 0, said.stderr
        assert "Stop it with `make down`." in said.stdout
        assert (data / "headwater.log.1").stat().st_size > 16 << 20
        assert (data / "headwater.log").stat().st_size < 1 << 20
    finally:
        assert command("down", "--data", str(data)).returncode == 0


def test_the_log_begins_anew_while_the_server_runs_and_no_line_is_lost(tmp_path):
    data = tmp_path / "data"
    env = {"HEADWATER_LOG_FILE_BYTES": "65536", "HEADWATER_LOG_FILES_KEPT": "50", "HEADWATER_WORKERS": "2"}
    said = command("up", "--data", str(data), "--port", "0", "--background", "--json", env=env)
    assert said.returncode == 0, said.stderr
    asked: list[str] = []
    with httpx.Client(base_url=orjson.loads(said.stdout)["url"]) as client:

        def has_turned() -> bool:
            for _ in range(200):
                asked.append(f"line-{len(asked):08}")
                client.get("/healthz-not", headers={"X-Request-Id": asked[-1], "Connection": "close"})
            return (data / "headwater.log.3").exists()

        try:
            wait_for(has_turned, what="three files put beside", timeout_s=60)
        finally:
            assert command("down", "--data", str(data)).returncode == 0
    files = sorted(data.glob("headwater.log*"))
    lines = [orjson.loads(line) for path in files for line in path.read_bytes().splitlines()]
    found = [line["request_id"] for line in lines if str(line.get("request_id", "")).startswith("line-")]
    assert sorted(found) == sorted(asked)
    assert {"web-1", "web-2"} <= {line.get("process") for line in lines}
    assert "server.stopped" in (data / "headwater.log").read_text()


def test_only_so_many_logs_stay(tmp_path):
    path = tmp_path / "headwater.log"
    for number in range(5):
        path.write_text(str(number))
        logfile.turn(path, 2)
    logfile.turn(path, 2)  # there is none to turn
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"headwater.log.1": "4", "headwater.log.2": "3"}

"""Ending and replacing processes while real clients are at work."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from tests.conftest import LiveApp, clean_env, wait_for
from tests.operation.reading import Scrape


def git(*arguments: str, cwd: Path | None = None) -> str:
    who = {f"GIT_{role}_{what}": "ada@x.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    env = clean_env({**who, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_GLOBAL": "/dev/null"})
    done = subprocess.run(["git", *arguments], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def signed_in(app: LiveApp, path: str) -> str:
    return app.url.replace("://", f"://ada:{app.token('ada')}@") + path


class SlowDownload(threading.Thread):
    """Takes a file over a plain socket, with a pause that lasts until ``go`` is set."""

    def __init__(self, app: LiveApp, path: str) -> None:
        super().__init__()
        parts = urlsplit(app.url)
        self.sock = socket.create_connection((parts.hostname, parts.port))
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        self.sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        self.go, self.body, self.length = threading.Event(), hashlib.sha256(), 0
        head = b""
        while b"\r\n\r\n" not in head:
            head += self.sock.recv(1)
        self.head = head.decode().lower()
        assert " 200 " in self.head.splitlines()[0], head
        self.start()

    def run(self) -> None:
        self.go.wait(60)
        while data := self.sock.recv(1 << 20):
            self.body.update(data)
            self.length += len(data)
        self.sock.close()


def a_large_file(app: LiveApp, repo: str, tmp_path: Path, size: int = 48 << 20) -> str:
    data = random.Random(3).randbytes(size)
    (tmp_path / "large.bin").write_bytes(data)
    hf = app.hf("ada")
    hf.create_repo(repo)
    hf.upload_file(path_or_fileobj=tmp_path / "large.bin", path_in_repo="large.bin", repo_id=repo)
    return hashlib.sha256(data).hexdigest()


def test_what_runs_is_finished_a_download_a_push_and_a_job(new_app, tmp_path):
    app = new_app(env={"HEADWATER_DRAIN_TIMEOUT_S": "40"}, workers=2)
    digest = a_large_file(app, "ada/large", tmp_path)
    app.hf("ada").create_repo("ada/pushed")
    clone = tmp_path / "clone"
    git("clone", signed_in(app, "/ada/pushed"), str(clone))
    rng = random.Random(5)
    for number in range(300):
        (clone / f"{number}.txt").write_bytes(rng.randbytes(6000))
    git("add", ".", cwd=clone)
    git("commit", "-m", "many", cwd=clone)

    download = SlowDownload(app, "/ada/large/resolve/main/large.bin")
    before = len(app.log_lines("request.answered"))
    push = subprocess.Popen(
        ["git", "-c", "http.postBuffer=1000", "push", "origin", "HEAD"], cwd=clone, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: len(app.log_lines("request.answered")) > before, what="the push's first request")
    app.process.send_signal(signal.SIGTERM)
    download.go.set()
    download.join(60)
    assert download.body.hexdigest() == digest
    said = push.communicate(timeout=60)[1]
    assert app.process.wait(60) == 0
    assert not app.log_lines("process.killed")
    # The push is several requests. One that came before the end was answered; one that came after found nobody.
    again = LiveApp(app.data)
    try:
        refs = again.hf("ada").list_repo_refs("ada/pushed")
        head = git("rev-parse", "HEAD", cwd=clone).strip()
        arrived = [ref.target_commit for ref in refs.branches if ref.target_commit == head]
        assert bool(arrived) == (push.returncode == 0), said
        if push.returncode:
            git("push", signed_in(again, "/ada/pushed"), "HEAD:main", cwd=clone)
        # No job was lost: what was at hand was finished or is taken up again.
        wait_for(lambda: Scrape(again.url)("headwater_jobs") == 0, timeout_s=60)
    finally:
        again.stop()
    again.check_clean()


def test_workers_are_replaced_under_load_and_nobody_is_refused(new_app, tmp_path):
    app = new_app(workers=2)
    digest = a_large_file(app, "ada/large", tmp_path)
    download = SlowDownload(app, "/ada/large/resolve/main/large.bin")
    hf, failures, done = app.hf("ada"), [], threading.Event()
    counts = [0, 0, 0]

    def reads_by_the_client() -> None:
        while not done.is_set():
            try:
                hf.model_info("ada/large")
                counts[0] += 1
            except Exception as exc:
                failures.append(exc)

    def new_connections() -> None:
        while not done.is_set():
            try:
                assert httpx.get(f"{app.url}/healthz").status_code == 200
                counts[1] += 1
            except Exception as exc:
                failures.append(exc)

    def one_connection_kept() -> None:
        with httpx.Client() as client:
            while not done.is_set():
                try:
                    assert client.get(f"{app.url}/healthz").status_code == 200
                    counts[2] += 1
                except Exception as exc:
                    failures.append(exc)

    loads = [threading.Thread(target=act) for act in (reads_by_the_client, new_connections, one_connection_kept)]
    for load in loads:
        load.start()
    former = set(app.processes()[1:])
    app.process.send_signal(signal.SIGHUP)
    wait_for(lambda: app.log_lines("server.reloaded"), timeout_s=60)
    seen = list(counts)
    wait_for(lambda: all(now > then for now, then in zip(counts, seen, strict=True)), timeout_s=60)
    done.set()
    for load in loads:
        load.join()
    assert not failures, failures[:3]
    assert app.process.poll() is None
    # The download, begun before, is still under way: its process has not left, all others of that generation have.
    wait_for(lambda: len(former & set(app.processes())) == 1, timeout_s=30)
    download.go.set()
    download.join(60)
    assert download.body.hexdigest() == digest
    wait_for(lambda: not former & set(app.processes()), timeout_s=30)
    assert Scrape(app.url)("headwater_reloads_total", outcome="done") == 1


def test_a_reload_reads_the_settings_and_a_bad_one_changes_nothing(new_app):
    app = new_app(people=False, workers=1)
    (app.data / "headwater.toml").write_text('[metrics]\ntoken = "short"\n')
    former = app.processes()
    app.process.send_signal(signal.SIGHUP)
    refused = wait_for(lambda: app.log_lines("server.not_reloaded"))
    assert "at least 16 characters" in refused[0]["reason"]
    assert app.processes() == former
    assert httpx.get(f"{app.url}/metrics").status_code == 200
    (app.data / "headwater.toml").write_text('[metrics]\ntoken = "long enough for a token"\n')
    app.process.send_signal(signal.SIGHUP)
    wait_for(lambda: app.log_lines("server.reloaded"))
    assert httpx.get(f"{app.url}/metrics").status_code == 404


def test_a_second_signal_ends_what_would_take_long(new_app, tmp_path):
    app = new_app(env={"HEADWATER_DRAIN_TIMEOUT_S": "300"}, workers=1)
    a_large_file(app, "ada/large", tmp_path)
    download = SlowDownload(app, "/ada/large/resolve/main/large.bin")
    app.process.send_signal(signal.SIGTERM)
    wait_for(lambda: app.log_lines("server.stopping"))
    app.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    assert app.process.wait(20) == 0
    assert time.monotonic() - started < 15
    download.go.set()
    download.join(20)
    assert download.length < 48 << 20


def test_a_socket_of_the_service_manager_is_served_and_it_is_told(tmp_path):
    """As systemd does it: descriptor 3 is the listening socket, and a datagram says that it is ready."""
    listener = socket.create_server(("127.0.0.1", 0))
    notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notified.bind(str(tmp_path / "notify"))
    notified.settimeout(60)
    script = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" -m headwater up --data "$1" --port 1 --workers 1'

    def give_third() -> None:
        os.dup2(listener.fileno(), 3)

    process = subprocess.Popen(
        ["sh", "-c", script, sys.executable, str(tmp_path / "D")],
        env=clean_env({"NOTIFY_SOCKET": str(tmp_path / "notify")}),
        preexec_fn=give_third,  # noqa: PLW1509 -- no other thread holds a lock here
        close_fds=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert notified.recv(100) == b"READY=1"
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        assert httpx.get(f"{url}/readyz").json()["status"] == "ready"
        process.terminate()
        assert notified.recv(100) == b"STOPPING=1"
        assert process.wait(15) == 0
        # Whoever comes between two servers waits and is not refused.
        with socket.create_connection(listener.getsockname()):
            pass
    finally:
        process.kill()
        process.wait()
        listener.close()
        notified.close()

"""Three hosts behind nginx, one of them killed in the middle of pushes and uploads.

Afterwards: nothing that was acknowledged is lost, no client met more than one error, and the dead host's jobs are done.
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from headwater import queue
from headwater.db import open_database
from tests.conftest import wait_for
from tests.gate.files import safetensors
from tests.git.live import git
from tests.hosts.several import Host, balancer, new_database, write_toml
from tests.servers.nginx import free_port
from tests.servers.postgres import cluster
from tests.servers.receiver import Receiver
from tests.servers.seaweed import seaweed

ENOUGH = 3  # acts of each client before the kill, and after


class Client(threading.Thread):
    """Acts again and again; what fails is done again. ``done`` is what the server has acknowledged."""

    def __init__(self, name: str, act: Callable[[int], object]) -> None:
        super().__init__(name=name, daemon=True)
        self.act = act
        self.done: list[object] = []
        self.errors: list[str] = []
        self.stopping = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.stopping.is_set() and len(self.errors) < 5:
            try:
                self.done.append(self.act(number))
            except Exception as exc:
                self.errors.append(f"{time.strftime('%X')} {type(exc).__name__}: {exc}"[:600])
            else:
                number += 1


@pytest.fixture
def receiver():
    made = Receiver(drip=True).start()
    yield made
    made.stop()


def test_no_acknowledged_write_is_lost_when_a_host_is_killed(tmp_path: Path, receiver: Receiver):
    started = time.monotonic()
    database, blobs = new_database("three_hosts"), f"s3://{seaweed().new_bucket()}/site"
    public, *ports = [free_port() for _ in range(4)]
    url = f"http://127.0.0.1:{public}"
    for number in range(3):
        write_toml(tmp_path / f"host{number}", database, blobs, url=url, queue_workers=int(number < 2))
    with ThreadPoolExecutor(3) as starting:  # all at once on an empty database
        hosts = list(starting.map(lambda n: Host(tmp_path / f"host{n}", ports[n]), range(3)))
    dying, second, third = hosts
    try:
        assert sum('"first_admin_link":' in h.log() or "/join/" in h.log() for h in hosts) <= 1
        with balancer(tmp_path / "nginx", public, ports):
            _kill_one(tmp_path, dying, second, third, receiver, started, database)
    finally:
        for host in hosts:
            if host.process.poll() is None:
                host.stop()
    second.check_clean()
    third.check_clean()


def _kill_one(folder: Path, dying: Host, second: Host, third: Host, receiver: Receiver, started: float, database: str):
    second.add_people()
    api = second.hf("ada")
    repos = {name: f"ada/{name}" for name in ("commits", "files", "pushed", "talk")}
    for repo in repos.values():
        api.create_repo(repo)
    talk = api.create_discussion(repos["talk"], "Is it there?", description="So far.")
    api.create_webhook(
        url=receiver.url, watched=[{"type": "model", "name": repos["commits"]}], domains=["repo"], secret="s"
    )
    # The second host's queue worker rests, so that all jobs are the first one's.
    queue_pid = second.queue_worker()
    _rest(queue_pid, database)

    def commit(n: int) -> tuple[str, bytes]:
        data = f"{n} {random.random()}".encode()
        api.upload_file(path_or_fileobj=data, path_in_repo=f"c/{n}.txt", repo_id=repos["commits"])
        return f"{repos['commits']}/resolve/main/c/{n}.txt", data

    def upload_folder(n: int) -> tuple[str, bytes]:
        data, place = safetensors(os.urandom(2_500_000)), folder / f"up{n}"
        place.mkdir(exist_ok=True)
        (place / f"w{n}.safetensors").write_bytes(data)
        api.upload_folder(folder_path=place, repo_id=repos["files"])
        return f"{repos['files']}/resolve/main/w{n}.safetensors", data

    def put_large(n: int) -> tuple[str, bytes]:
        data = os.urandom(6_000_000)
        (folder / "large").write_bytes(data)
        with (folder / "large").open("rb") as file:  # an open file goes by LFS, and not by Xet
            api.upload_file(path_or_fileobj=file, path_in_repo=f"l{n}.bin", repo_id=repos["files"])
        return f"{repos['files']}/resolve/main/l{n}.bin", data

    clone = folder / "clone"
    site = urlsplit(second.url)
    remote = f"http://ada:{second.token('ada')}@{site.netloc}/{repos['pushed']}"
    git("clone", "-q", remote, str(clone))

    def push(n: int) -> str:
        if not (clone / f"p{n}.bin").exists():
            (clone / f"p{n}.bin").write_bytes(os.urandom(3_000_000))
            git("add", ".", cwd=clone)
            git("commit", "-qm", f"Number {n}", cwd=clone)
        git("push", "-q", "origin", "HEAD:main", cwd=clone)
        return git("rev-parse", "HEAD", cwd=clone).stdout.strip()

    def comment(n: int) -> str:
        text = f"Comment {n} of {random.random()}"
        api.comment_discussion(repos["talk"], talk.num, text)
        return text

    def read(n: int) -> int:
        place = folder / f"read{n}"
        api.snapshot_download(repos["files"], local_dir=place)
        return n

    acts = (commit, upload_folder, put_large, push, comment, read)
    clients = [Client(act.__name__, act) for act in acts]
    for client in clients:
        client.start()

    def each_did(more: dict[str, int]) -> bool:
        broken = [client.errors for client in clients if len(client.errors) > 1]
        assert not broken, broken
        return all(len(client.done) >= more[client.name] for client in clients)

    watching = open_database(folder, database)
    try:
        wait_for(lambda: each_did(dict.fromkeys((c.name for c in clients), ENOUGH)), timeout_s=60)
        wait_for(lambda: watching.read(queue.count_by_state).get("running"), what="a job under way")
        dying.stop_in("index-pack")  # a push that the first host receives
        dying.kill()
        killed = time.monotonic()
        at_kill = {client.name: len(client.done) for client in clients}
        heard, receiver.drip = len(receiver.received), False
        os.kill(queue_pid, signal.SIGCONT)
        wait_for(lambda: each_did({name: n + ENOUGH for name, n in at_kill.items()}), timeout_s=60)
        for client in clients:
            client.stopping.set()
        for client in clients:
            client.join(60)
            assert not client.is_alive()
        assert [client.errors for client in clients if len(client.errors) > 1] == []

        acknowledged = {client.name: client.done for client in clients}
        files = [found for name in ("commit", "upload_folder", "put_large") for found in acknowledged[name]]

        def require_all(host: Host) -> None:
            with httpx.Client(base_url=host.direct, follow_redirects=True, timeout=30) as client:
                for path, data in files:
                    answer = client.get(path)
                    assert answer.status_code == 200, (path, answer.text)
                    assert answer.content == data, path
            there = {event.content for event in _discussion(host, talk.num, repos["talk"]) if event.type == "comment"}
            assert set(acknowledged["comment"]) <= there
            again = folder / f"clone-{host.data.name}"
            git("clone", "-q", f"{host.direct}/{repos['pushed']}", str(again))
            git("fsck", "--full", "--strict", cwd=again)
            history = git("rev-list", "origin/main", cwd=again).stdout.split()
            assert set(acknowledged["push"]) <= set(history)
            for path in sorted(clone.glob("p*.bin"))[: len(acknowledged["push"])]:
                assert (again / path.name).read_bytes() == path.read_bytes()

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(require_all, (second, third))) == [None, None]
        wait_for(lambda: watching.read(queue.count_by_state) == {}, timeout_s=60, what="the end of all jobs")
    finally:
        for client in clients:  # what acts on would use the hub client's one session in the tests after this
            client.stopping.set()
        watching.close()
    assert len(receiver.received) > heard  # what the dead host was about to tell was told by another
    print(
        f"{sum(map(len, acknowledged.values()))} acts acknowledged, errors {[(c.name, c.errors) for c in clients if c.errors]},"
        f" killed after {killed - started:.0f} s, whole {time.monotonic() - started:.0f} s"
    )


def _rest(pid: int, database: str) -> None:
    """Stop a process at a moment at which it holds nothing that others wait for."""
    held = "select count(*) from pg_locks where locktype = 'advisory' or (mode = 'RowExclusiveLock' and granted)"

    def stopped() -> bool:
        os.kill(pid, signal.SIGSTOP)
        if all(
            cluster().sql(held, database.rsplit("/", maxsplit=1)[-1].split("?", maxsplit=1)[0]) == [(0,)]
            for _ in range(3)
        ):
            return True
        os.kill(pid, signal.SIGCONT)
        return False

    wait_for(stopped, what="a queue worker at rest")


def _discussion(host: Host, num: int, repo: str):
    from huggingface_hub import HfApi

    return HfApi(endpoint=host.direct, token=host.token("ada")).get_discussion_details(repo, num).events

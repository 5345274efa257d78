"""What clients do while the server is killed, over real HTTP, and what they were told.

Each actor has a repository of its own, but for two that race for one branch. What was acknowledged is kept in ``Truth``; what was under way when
the server died may be there or not, whole.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.git.live import git
from tests.xet.making import MadeXorb, make_shard

GIT_LFS = {"Accept": "application/vnd.git-lfs+json", "Content-Type": "application/vnd.git-lfs+json"}
REPOS = ("commits", "uploads", "pushes", "pieces", "raced")


class Refused(Exception):
    """The server answered, and said no."""

    def __init__(self, status: int, what: str) -> None:
        self.status = status
        super().__init__(what)


@dataclass
class Truth:
    """``files``: what each path of main holds, by sha256, as acknowledged; ``maybe``: what acts without an answer may have put there.

    ``raced``: who won on which parent.
    """

    commits: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in REPOS})
    files: dict[tuple[str, str], str] = field(default_factory=dict)
    maybe: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    raced: dict[str, list[str]] = field(default_factory=dict)
    n_acts: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begins(self, repo: str, path: str, data: bytes) -> None:
        with self.lock:
            self.maybe.setdefault((repo, path), set()).add(hashlib.sha256(data).hexdigest())

    def acknowledged(self, repo: str, commit: str, path: str, data: bytes) -> None:
        with self.lock:
            self.n_acts += 1
            self.commits[repo].append(commit)
            self.files[repo, path] = hashlib.sha256(data).hexdigest()
            self.maybe.pop((repo, path), None)


class Client:
    """Talks with one server; ``url`` changes with each start."""

    def __init__(self, url: str, token: str, rng: random.Random) -> None:
        self.url, self.token, self.rng = url, token, rng
        self.http = httpx.Client(timeout=60, headers={"Authorization": f"Bearer {token}"})

    def ask(self, method: str, path: str, **how: object) -> httpx.Response:
        answer = self.http.request(method, path if path.startswith("http") else f"{self.url}{path}", **how)
        if answer.status_code >= 500:
            raise httpx.RemoteProtocolError(f"{answer.status_code}")  # a server that ends, too, may answer so
        if answer.status_code >= 400:
            raise Refused(answer.status_code, f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer

    def commit(self, repo: str, lines: list[dict], *, parent: str | None = None) -> str:
        header = {"summary": "change", "description": ""} | ({"parentCommit": parent} if parent else {})
        body = "".join(json.dumps(line) + "\n" for line in [{"key": "header", "value": header}, *lines])
        path = f"/api/models/ada/{repo}/commit/main"
        return self.ask("POST", path, content=body, headers={"Content-Type": "application/x-ndjson"}).json()[
            "commitOid"
        ]


def inline(path: str, data: bytes) -> dict:
    return {"key": "file", "value": {"path": path, "content": base64.b64encode(data).decode(), "encoding": "base64"}}


def large(path: str, data: bytes) -> dict:
    value = {"path": path, "algo": "sha256", "oid": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return {"key": "lfsFile", "value": value}


def commit_small(client: Client, truth: Truth) -> None:
    path, data = f"f{client.rng.randrange(40)}.txt", client.rng.randbytes(client.rng.randrange(1, 3000))
    truth.begins("commits", path, data)
    truth.acknowledged("commits", client.commit("commits", [inline(path, data)]), path, data)


def upload(client: Client, truth: Truth) -> None:
    """By LFS; one in three is never named by a commit."""
    data = client.rng.randbytes(client.rng.randrange(10_000, 400_000))
    oid = hashlib.sha256(data).hexdigest()
    body = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": oid, "size": len(data)}]}
    answer = client.ask("POST", "/ada/uploads.git/info/lfs/objects/batch", json=body, headers=GIT_LFS).json()
    action = answer["objects"][0].get("actions", {}).get("upload")
    if action is not None:
        got = httpx.put(action["href"], content=data, headers=action.get("header", {}), timeout=60)
        if got.status_code >= 500:
            raise httpx.RemoteProtocolError("ended")
        assert got.status_code == 200, got.text
    if client.rng.random() < 0.33:
        return
    path = f"w{client.rng.randrange(20)}.bin"
    truth.begins("uploads", path, data)
    truth.acknowledged("uploads", client.commit("uploads", [large(path, data)]), path, data)


def pieces(client: Client, truth: Truth) -> None:
    """By Xet: a xorb, a shard, a commit."""
    found = client.ask("GET", "/api/models/ada/pieces/xet-write-token/main").json()
    headers = {"Authorization": f"Bearer {found['accessToken']}"}
    xorb = MadeXorb([client.rng.randbytes(client.rng.randrange(200, 9000)) for _ in range(client.rng.randrange(1, 12))])
    data = b"".join(xorb.chunks)
    base = found["casUrl"]
    client.ask("POST", f"{base}/v1/xorbs/default/{xorb.name}", content=xorb.body, headers=headers)
    shard = make_shard([([(xorb, 0, len(xorb.chunks))], hashlib.sha256(data).hexdigest())])
    client.ask("POST", f"{base}/v1/shards", content=shard, headers=headers)
    path = f"p{client.rng.randrange(20)}.bin"
    truth.begins("pieces", path, data)
    truth.acknowledged("pieces", client.commit("pieces", [large(path, data)]), path, data)


class Pusher:
    """A clone that pushes. What was in flight is fetched before the next push, as a person would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, client: Client, truth: Truth) -> None:
        remote = client.url.replace("://", f"://ada:{client.token}@") + "/ada/pushes"
        if not self.folder.exists():
            git("clone", "-q", remote, str(self.folder))
        git("remote", "set-url", "origin", remote, cwd=self.folder)
        git("fetch", "-q", "origin", cwd=self.folder)
        git("reset", "-q", "--hard", "origin/main", cwd=self.folder)
        path, data = (
            f"g{client.rng.randrange(20)}.txt",
            client.rng.randbytes(client.rng.randrange(1, 90_000)).hex().encode(),
        )
        (self.folder / path).write_bytes(data)
        git("add", path, cwd=self.folder)
        git("commit", "-q", "--allow-empty", "-m", "change", cwd=self.folder)
        head = git("rev-parse", "HEAD", cwd=self.folder).stdout.strip()
        truth.begins("pushes", path, data)
        if git("push", "-q", "origin", "HEAD:refs/heads/main", cwd=self.folder, check=False).returncode:
            raise httpx.RemoteProtocolError("the push did not end well")
        truth.acknowledged("pushes", head, path, data)


def race(client: Client, truth: Truth) -> None:
    """Two of these run at once: each builds on what it sees, and of those on one parent one wins."""
    head = client.ask("GET", "/api/models/ada/raced/revision/main").json()["sha"]
    path, data = f"r{client.rng.randrange(5)}.txt", client.rng.randbytes(50)
    try:
        made = client.commit("raced", [inline(path, data)], parent=head)
    except Refused as exc:
        if exc.status not in (409, 412):
            raise
        return
    with truth.lock:
        truth.raced.setdefault(head, []).append(made)
        truth.commits["raced"].append(made)
        truth.n_acts += 1


class Actor(threading.Thread):
    """Does one thing again and again until the server is gone."""

    def __init__(self, act: Callable[[Client, Truth], None], client: Client, truth: Truth) -> None:
        super().__init__(daemon=True)
        self.act, self.client, self.truth = act, client, truth
        self.failure: BaseException | None = None
        self.is_over = threading.Event()  # nothing that fails from here on is a failure

    def run(self) -> None:
        try:
            while not self.is_over.is_set():
                self.act(self.client, self.truth)
        except (httpx.HTTPError, OSError):
            pass
        except BaseException as exc:
            if not self.is_over.is_set():
                self.failure = exc

"""A mixed load by many clients, one connection each, and the reading back of every write that was acknowledged."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import random
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from bench import harness as h
from bench.transfer import upload

N_REPOSITORIES = 16
LARGE_BYTES = 32_000_000
RANGE = 1 << 20
WORDS = ("herons", "drink", "stones", "tide", "calm", "river", "source", "模型", "数据")
JSON, LINES = {"Content-Type": "application/json"}, {"Content-Type": "application/x-ndjson"}
LFS = dict.fromkeys(("Accept", "Content-Type"), "application/vnd.git-lfs+json")


class Refused(Exception):
    """An answer that the load did not expect."""


@dataclass
class Writes:
    """What was acknowledged, to be read back: text by place."""

    files: dict[tuple[str, str], str] = field(default_factory=dict)
    comments: dict[str, list[str]] = field(default_factory=dict)
    objects: dict[tuple[str, str], str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files) + sum(map(len, self.comments.values())) + len(self.objects)


@dataclass
class Done:
    """What one period of load came to."""

    seconds: float = 0.0
    n: Counter[str] = field(default_factory=Counter)
    waited_s: dict[str, list[float]] = field(default_factory=dict)
    errors: Counter[str] = field(default_factory=Counter)
    writes: Writes = field(default_factory=Writes)

    @property
    def per_second(self) -> float:
        return self.n.total() / self.seconds

    def p99_ms(self, kind: str) -> float:
        waited = sorted(self.waited_s.get(kind, [0.0]))
        return waited[min(len(waited) - 1, int(len(waited) * 0.99))] * 1000

    def slowest(self) -> str:
        """The three kinds whose median took longest."""
        ordered = sorted(self.waited_s, key=lambda kind: -statistics.median(self.waited_s[kind]))
        return ", ".join(
            f"{kind} {statistics.median(self.waited_s[kind]) * 1000:.0f}/{self.p99_ms(kind):.0f} ms"
            for kind in ordered[:3]
        )


class Client:
    """One connection that is kept; ``number`` keeps its writes apart from those of the others."""

    def __init__(self, url: str, token: str, number: int, done: Done, lock: threading.Lock) -> None:
        self.number, self.done, self.lock = number, done, lock
        self._at, self._token = urlsplit(url).netloc, token
        basic = base64.b64encode(f"ada:{token}".encode()).decode()
        self.of_lfs = {**LFS, "Authorization": f"Basic {basic}"}
        self._connection = http.client.HTTPConnection(self._at, timeout=120)
        self.random = random.Random(number)
        self.count = 0

    def ask(
        self, method: str, path: str, body: str | bytes | None = None, headers: dict[str, str] | None = None
    ) -> bytes:
        """Send one request and read its answer; redirects to a store are followed, on a connection of their own."""
        own = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        payload = body.encode() if isinstance(body, str) else body
        try:
            self._connection.request(method, path, body=payload, headers=own)
            answer = self._connection.getresponse()
            data = answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise
        if answer.status in (302, 307) and method == "GET":
            return self._follow(answer.headers["Location"], headers or {})
        if answer.status >= 300 and not (answer.status == 302 and method == "HEAD"):
            raise Refused(f"{answer.status} {data[:120].decode(errors='replace')}")
        return data

    def put(self, address: str, body: bytes, headers: dict[str, str]) -> None:
        """Send bytes where the hub said, which may be another host."""
        parts = urlsplit(address)
        connection = http.client.HTTPConnection(parts.netloc, timeout=120)
        try:
            connection.request("PUT", f"{parts.path}?{parts.query}".rstrip("?"), body=body, headers=headers)
            answer = connection.getresponse()
            answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise Refused(f"{answer.status} from {parts.netloc}")

    def _follow(self, location: str, headers: dict[str, str]) -> bytes:
        parts = urlsplit(location)
        connection = http.client.HTTPConnection(parts.netloc or self._at, timeout=120)
        try:
            connection.request("GET", f"{parts.path}?{parts.query}".rstrip("?"), headers=headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status >= 300:
            raise Refused(f"{answer.status} from {parts.netloc}")
        return data

    def run(self, acts: Sequence[tuple[str, float, Act]], until: float, pause_s: float) -> None:
        """Ask one thing after another until then."""
        names, weights, calls = zip(*acts, strict=True)
        while time.monotonic() < until:
            (at,) = self.random.choices(range(len(names)), weights)
            self.count += 1
            began = time.perf_counter()
            try:
                calls[at](self)
            except (Refused, OSError, http.client.HTTPException) as exc:
                with self.lock:
                    self.done.errors[f"{names[at]}: {type(exc).__name__} {exc}"] += 1
            else:
                with self.lock:
                    self.done.n[names[at]] += 1
                    self.done.waited_s.setdefault(names[at], []).append(time.perf_counter() - began)
            if pause_s:
                time.sleep(self.random.uniform(0, 2 * pause_s))
        self._connection.close()


Act = Callable[[Client], None]


def _repo(client: Client) -> str:
    return f"ada/mixed-{client.random.randrange(N_REPOSITORIES)}"


def commit(client: Client) -> None:
    """One new small file."""
    repo, path = _repo(client), f"notes/{client.number}-{client.count}-{os.urandom(3).hex()}.txt"
    text = f"{path} {client.random.random()}\n"
    content = base64.b64encode(text.encode()).decode()
    lines = (
        {"key": "header", "value": {"summary": f"Add {path}"}},
        {"key": "file", "value": {"path": path, "content": content, "encoding": "base64"}},
    )
    client.ask("POST", f"/api/models/{repo}/commit/main", "\n".join(map(json.dumps, lines)), LINES)
    client.done.writes.files[repo, path] = text


def comment(client: Client) -> None:
    repo, text = _repo(client), f"comment {client.number}-{client.count}-{os.urandom(3).hex()}"
    client.ask("POST", f"/api/models/{repo}/discussions/1/comment", json.dumps({"comment": text}), JSON)
    with client.lock:
        client.done.writes.comments.setdefault(repo, []).append(text)


def large_range(client: Client) -> None:
    start = client.random.randrange(LARGE_BYTES // RANGE - 1) * RANGE
    data = client.ask(
        "GET", "/ada/mixed-0/resolve/main/large.bin", headers={"Range": f"bytes={start}-{start + RANGE - 1}"}
    )
    if len(data) != RANGE:
        raise Refused(f"{len(data)} bytes of a range of {RANGE}")


def lfs_upload(client: Client) -> None:
    """A new object by LFS, batch, PUT, verify, and the commit that names it: without one nobody may fetch it."""
    repo, data = _repo(client), os.urandom(256 << 10)
    digest, size = hashlib.sha256(data).hexdigest(), len(data)
    asked = {"operation": "upload", "transfers": ["basic"], "objects": [{"oid": digest, "size": size}]}
    answer = client.ask("POST", f"/{repo}.git/info/lfs/objects/batch", json.dumps(asked), client.of_lfs)
    actions = json.loads(answer)["objects"][0]["actions"]
    client.put(actions["upload"]["href"], data, actions["upload"].get("header", {}))
    if verify := actions.get("verify"):
        address, told = urlsplit(verify["href"]), json.dumps({"oid": digest, "size": size})
        client.ask("POST", f"{address.path}?{address.query}".rstrip("?"), told, {**client.of_lfs, **verify["header"]})
    path = f"weights/{digest}.bin"
    lines = (
        {"key": "header", "value": {"summary": f"Add {path}"}},
        {"key": "lfsFile", "value": {"path": path, "algo": "sha256", "oid": digest, "size": size}},
    )
    client.ask("POST", f"/api/models/{repo}/commit/main", "\n".join(map(json.dumps, lines)), LINES)
    client.done.writes.objects[repo, path] = digest


def _asks(method: str, *paths: str) -> Act:
    def act(client: Client) -> None:
        path = client.random.choice(paths)
        client.ask(method, path.format(repo=_repo(client), word=client.random.choice(WORDS[:7])))

    return act


# What is asked how often: four in five read.
READS: tuple[tuple[str, float, Act], ...] = (
    ("info", 20, _asks("GET", "/api/models/{repo}")),
    ("tree", 10, _asks("GET", "/api/models/{repo}/tree/main", "/api/models/{repo}/tree/main?recursive=true")),
    ("resolve HEAD", 20, _asks("HEAD", "/{repo}/resolve/main/README.md", "/ada/mixed-0/resolve/main/large.bin")),
    ("resolve GET", 15, _asks("GET", "/{repo}/resolve/main/README.md", "/{repo}/resolve/main/config.json")),
    ("list", 8, _asks("GET", "/api/models?limit=20&sort=likes", "/api/models?author=ada&limit=50")),
    ("search", 7, _asks("GET", "/api/models?search={word}&limit=20")),
)
WRITES: tuple[tuple[str, float, Act], ...] = (("commit", 10, commit), ("comment", 10, comment))
SCALING = READS + WRITES
# Over 20 minutes also what holds bytes and pages in memory; fewer writes, or the reading back would take longer than the load.
STEADY = (
    *READS,
    ("range of a large file", 10, large_range),
    ("page", 8, _asks("GET", "/{repo}", "/models", "/models?search={word}", "/{repo}/discussions/1")),
    ("git refs", 4, _asks("GET", "/{repo}.git/info/refs?service=git-upload-pack")),
    ("commit", 3, commit),
    ("comment", 2, comment),
    ("LFS upload", 2, lfs_upload),
)


def prepare(site: h.Headwater, folder: Path) -> None:
    """The repositories that the load is about: a card, a configuration and a discussion each, and one large file."""
    client = Client(site.url, site.token, 0, Done(), threading.Lock())
    for n in range(N_REPOSITORIES):
        name = f"mixed-{n}"
        client.ask("POST", "/api/repos/create", json.dumps({"name": name, "type": "model"}), JSON)
        said = " ".join(WORDS[(n + each) % len(WORDS)] for each in range(3))
        card = f"---\nlicense: apache-2.0\nlanguage: [zh, en]\ntags: [text-generation]\n---\n# {name}\n\n{said}\n"
        lines = (
            {"key": "header", "value": {"summary": "First files"}},
            {"key": "file", "value": {"path": "README.md", "content": card}},
            {"key": "file", "value": {"path": "config.json", "content": json.dumps({"n": n})}},
        )
        client.ask("POST", f"/api/models/ada/{name}/commit/main", "\n".join(map(json.dumps, lines)), LINES)
        talk = {"title": f"About {name}", "description": "What do you think?"}
        client.ask("POST", f"/api/models/ada/{name}/discussions", json.dumps(talk), JSON)
    path = h.random_file(folder / "large.bin", LARGE_BYTES)
    upload(site, "ada/mixed-0", path, "large.bin", HF_HUB_DISABLE_XET="1")


def load(
    site: h.Headwater,
    acts: Sequence[tuple[str, float, Act]],
    *,
    clients: int,
    seconds: float,
    pause_s: float = 0.0,
    writes: Writes | None = None,
) -> Done:
    """``clients`` at once for so long, each pausing so long on average between two requests."""
    done, lock = Done(writes=Writes() if writes is None else writes), threading.Lock()
    began = time.monotonic()
    every = [Client(site.url, site.token, n, done, lock) for n in range(clients)]
    threads = [threading.Thread(target=each.run, args=(acts, began + seconds, pause_s), daemon=True) for each in every]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done.seconds = time.monotonic() - began
    return done


def lost(site: h.Headwater, writes: Writes) -> list[str]:
    """Acknowledged writes that are not there, whole and once, read back one by one."""
    client = Client(site.url, site.token, 0, Done(), threading.Lock())
    found: list[str] = []
    for (repo, path), text in writes.files.items():
        try:
            if client.ask("GET", f"/{repo}/resolve/main/{path}") != text.encode():
                found.append(f"{repo} {path}: other bytes")
        except Refused as exc:
            found.append(f"{repo} {path}: {exc}")
    for repo, texts in writes.comments.items():
        events = json.loads(client.ask("GET", f"/api/models/{repo}/discussions/1"))["events"]
        there = Counter(each["data"]["latest"]["raw"] for each in events if each["type"] == "comment")
        found += [f"{repo}: {text} is there {there[text]} times" for text in texts if there[text] != 1]
    for (repo, path), digest in writes.objects.items():
        try:
            if hashlib.sha256(client.ask("GET", f"/{repo}/resolve/main/{path}")).hexdigest() != digest:
                found.append(f"{repo} {path}: other bytes")
        except Refused as exc:
            found.append(f"{repo} {path}: {exc}")
    return found

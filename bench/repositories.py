"""Commits, trees, clones against raw pygit2 and plain git; pages and start-up. ``python -m bench.repositories [--quick]``."""

from __future__ import annotations

import argparse
import base64
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pygit2

from bench import harness as h


def commit_body(n: int, path: str = "notes/now.txt") -> bytes:
    content = base64.b64encode(f"change {n} {time.time_ns()}\n".encode()).decode()
    lines = [
        {"key": "header", "value": {"summary": f"change {n}", "description": ""}},
        {"key": "file", "value": {"content": content, "path": path, "encoding": "base64"}},
    ]
    return b"\n".join(json.dumps(line).encode() for line in lines)


def make_tree(folder: Path, n_files: int) -> None:
    """``n_files`` small files, 100 a folder, 100 folders a folder."""
    for n in range(n_files):
        path = folder / f"d{n // 10_000:02d}" / f"e{n // 100 % 100:02d}" / f"f{n % 100:02d}.txt"
        if n % 100 == 0:
            path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"file {n}\n" * 3)


def git(*args: str, cwd: Path | None = None) -> str:
    return subprocess.run(["git", *args], cwd=cwd, check=True, capture_output=True, text=True).stdout


def local_repository(folder: Path, n_files: int) -> Path:
    work = folder / f"work-{n_files}"
    work.mkdir()
    make_tree(work, n_files)
    git("init", "-q", "-b", "main", cwd=work)
    git("config", "gc.auto", "0", cwd=work)  # else it repacks in the background while others are measured
    git("add", ".", cwd=work)
    git("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-qm", "all", cwd=work)
    git("repack", "-adq", cwd=work)  # as a served repository is; loose objects would make git look slow
    return work


def create(site: h.Headwater, name: str) -> None:
    httpx.post(
        f"{site.url}/api/repos/create",
        json={"name": name, "organization": None, "type": "model"},
        headers={"Authorization": f"Bearer {site.token}"},
    ).raise_for_status()


def push(site: h.Headwater, work: Path, name: str) -> None:
    address = site.url.replace("://", f"://ada:{site.token}@")
    git("push", "-qf", f"{address}/ada/{name}", "main:main", cwd=work)


def settle(site: h.Headwater) -> None:
    """Wait until the jobs of what was pushed are done: a push is not what is measured."""
    still = 0
    while still < 3:
        before = h.cpu_s(site.pid)
        time.sleep(1)
        still = still + 1 if h.cpu_s(site.pid) - before < 0.02 else 0


def raw_commit(repo: pygit2.Repository, n: int, path: str) -> None:
    """What a commit of one file costs at least: blob, changed trees, commit, ref."""
    parts = path.split("/")
    oid = repo.create_blob(f"change {n} {time.time_ns()}\n".encode())
    head = repo[repo.references["refs/heads/main"].target]
    trees = [head.tree]
    for part in parts[:-1]:
        entry = trees[-1][part] if trees[-1] is not None and part in trees[-1] else None
        trees.append(repo[entry.id] if entry is not None else None)
    mode = pygit2.enums.FileMode.BLOB
    for name, tree in zip(reversed(parts), reversed(trees), strict=True):
        builder = repo.TreeBuilder(tree) if tree is not None else repo.TreeBuilder()
        builder.insert(name, oid, mode)
        oid, mode = builder.write(), pygit2.enums.FileMode.TREE
    who = pygit2.Signature("Ada", "ada@example.org")
    repo.create_commit("refs/heads/main", who, who, f"change {n}", oid, [head.id])


def commits(report: h.Report, site: h.Headwater, work: Path, name: str, goal: float, rounds: int, folder: Path) -> None:
    """CPU of 50 commits through the API against 50 by pygit2 on a bare copy, in a process of its own."""
    per_round = 50
    create(site, name)
    push(site, work, name)
    settle(site)
    bare = folder / f"{name}.git"
    git("clone", "-q", "--bare", str(work), str(bare))
    pygit2.settings.enable_fsync_gitdir(True)  # durable before it is answered, as ours is
    repo = pygit2.Repository(str(bare))
    client = httpx.Client(headers={"Authorization": f"Bearer {site.token}"}, timeout=60)
    url = f"{site.url}/api/models/ada/{name}/commit/main"

    def ours() -> None:
        for n in range(per_round):
            client.post(url, content=commit_body(n, "d00/e00/f00.txt")).raise_for_status()
        time.sleep(2.5)  # for the jobs that follow a burst of commits: they are part of the price

    def theirs() -> float:
        start = time.process_time()
        for n in range(per_round):
            raw_commit(repo, n, "d00/e00/f00.txt")
        return time.process_time() - start

    got = h.alternate([h.Side("ours", ours, site.pid), h.Side("pygit2", theirs)], rounds)
    cpu = h.ratio(got["ours"].cpu_s, got["pygit2"].cpu_s)
    each = [statistics.median(got[side].cpu_s) / per_round * 1000 for side in ("ours", "pygit2")]
    report.add(
        f"API commit of one small file, {name}, against raw pygit2 that syncs to disk as we do",
        f"CPU {cpu:.2f}× ({each[0]:.2f} ms against {each[1]:.2f} ms)",
        f"≤ {goal:.0f}×",
        met=cpu <= goal,
    )


def tree(report: h.Report, site: h.Headwater, bare: Path, name: str, n_files: int, rounds: int) -> None:
    client = httpx.Client(headers={"Authorization": f"Bearer {site.token}"}, timeout=120)

    def ours() -> None:
        url: str | None = f"{site.url}/api/models/ada/{name}/tree/main?recursive=true&expand=false"
        seen = 0
        while url:
            answer = client.get(url).raise_for_status()
            seen += sum(item["type"] == "file" for item in answer.json())
            url = answer.links.get("next", {}).get("url")
        if seen < n_files:
            raise RuntimeError(f"{seen} files listed, {n_files} were pushed")

    def theirs() -> float:
        return h.child_cpu(["git", "-C", str(bare), "ls-tree", "-r", "-l", "main"])

    got = h.alternate([h.Side("ours", ours, site.pid), h.Side("git", theirs)], rounds)
    cpu = h.ratio(got["ours"].cpu_s, got["git"].cpu_s)
    report.add(
        f"tree of {n_files:,} files through the API, against git ls-tree -r -l", f"CPU {cpu:.2f}×", "≤ 2×", met=cpu <= 2
    )


def clones(report: h.Report, site: h.Headwater, bare: Path, name: str, rounds: int, folder: Path) -> None:
    """Wall time of a bare clone, warm and with the cache emptied, against a plain one by git's own server."""
    port = h.free_port()
    daemon = subprocess.Popen(
        [
            "git",
            "daemon",
            "--export-all",
            "--reuseaddr",
            f"--base-path={bare.parent}",
            "--listen=127.0.0.1",
            f"--port={port}",
        ]
    )
    target = folder / "clone"

    def clone(url: str) -> None:
        shutil.rmtree(target, ignore_errors=True)
        git("clone", "-q", "--bare", url, str(target))

    def cold() -> None:
        shutil.rmtree(site.data / "cache", ignore_errors=True)
        clone(f"{site.url}/ada/{name}")

    try:
        time.sleep(0.5)
        plain = h.Side("plain", lambda: clone(f"git://127.0.0.1:{port}/{bare.name}"), daemon.pid)
        for word, act, goal in (("warm", lambda: clone(f"{site.url}/ada/{name}"), 1.1), ("cold", cold, 1.5)):
            got = h.alternate([h.Side("ours", act, site.pid), plain], rounds)
            wall = h.ratio(got["ours"].wall_s, got["plain"].wall_s)
            cpu = h.ratio(got["ours"].cpu_s, got["plain"].cpu_s)
            report.add(
                f"clone of a 100k-file repository, {word} cache, against a plain bare repository",
                f"wall {wall:.2f}×, server CPU {cpu:.2f}×",
                f"≤ {goal}×",
                met=wall <= goal,
            )
    finally:
        daemon.terminate()
        daemon.wait(10)


def start_up(report: h.Report, rounds: int) -> None:
    """From the command to the first answered page on fresh data, and memory once idle; compiled as ``make up`` leaves it."""
    subprocess.run([sys.executable, str(Path(__file__).parent.parent / "tools/compile_ahead.py")], check=True)
    walls, idles = [], []
    for _ in range(rounds):
        with h.workspace() as folder:
            start = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "headwater", "up", "--data", str(folder / "data"), "--port", "0"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            facts = folder / "data/server.json"
            while not facts.exists():
                if process.poll() is not None or time.perf_counter() - start > 30:
                    raise RuntimeError("the server did not start")
                time.sleep(0.005)
            httpx.get(json.loads(facts.read_text())["url"]).raise_for_status()
            walls.append(time.perf_counter() - start)
            time.sleep(2)
            idles.append(h.pss_mib(process.pid))
            process.terminate()
            process.wait(15)
    wall, idle = statistics.median(walls), statistics.median(idles)
    report.add("start to first answered page", f"{wall:.2f} s", "< 1.5 s", met=wall < 1.5)
    report.add("idle memory (PSS of the tree, default workers)", f"{idle:.0f} MiB", "< 150 MiB", met=idle < 150)


def run(report: h.Report, *, n_files: int, rounds: int) -> None:
    start_up(report, rounds)
    with h.workspace() as folder, h.headwater(folder) as site:
        small, large = local_repository(folder, 10), local_repository(folder, n_files)
        commits(report, site, small, "small", 3, rounds, folder)
        commits(report, site, large, "large", 2, rounds, folder)
        bare = folder / "large-plain.git"
        git("clone", "-q", "--bare", str(large), str(bare))
        create(site, "still")
        push(site, large, "still")
        settle(site)
        tree(report, site, bare, "still", n_files, rounds)
        clones(report, site, bare, "still", rounds, folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="10,000 files and 3 rounds instead of 100,000 and 5")
    quick = parser.parse_args().quick
    run(h.Report(), n_files=10_000 if quick else 100_000, rounds=3 if quick else 5)

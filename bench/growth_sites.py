"""What sites that grow are kept in: SQLite or a PostgreSQL of its own, a folder or a SeaweedFS of its own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from tests.servers.postgres import Cluster
from tests.servers.seaweed import KEY_ID, SECRET_KEY, Seaweed

from bench import harness as h

ONE_MACHINE, DATABASE, GROWN = "SQLite + folder", "PostgreSQL + folder", "PostgreSQL + S3"


@dataclass
class Place:
    """``folder/data`` is the site's; ``database_pid`` is the parent of PostgreSQL's processes."""

    name: str
    folder: Path
    database_pid: int | None = None


@contextmanager
def place(name: str) -> Iterator[Place]:
    """An empty site that is not yet started. PostgreSQL writes through to the disk, as it must where it is meant."""
    folder = Path(tempfile.mkdtemp(prefix="headwater-growth-"))
    folder.chmod(0o755)
    made, cluster, store, top, below = Place(name, folder), None, None, "", ""
    (folder / "data").mkdir()
    try:
        if name == GROWN:
            (folder / "store").mkdir()
            store = Seaweed(folder / "store")
            top = f'blobs = "s3://{store.new_bucket()}/bench"\n'
            below = f'[s3]\nendpoint = "{store.url}"\nkey_id = "{KEY_ID}"\nsecret_key = "{SECRET_KEY}"\n'
        if name != ONE_MACHINE:
            (folder / "database").mkdir(mode=0o755)
            cluster = Cluster(folder / "database", fsync=True)
            cluster.sql("create database growth")
            below += f'[database]\nurl = "{cluster.url_of("growth")}"\n'
            made.database_pid = int((cluster.data / "postmaster.pid").read_text().split()[0])
        (folder / "data/headwater.toml").write_text(top + below)
        yield made
    finally:
        if cluster is not None:
            cluster.stop()
        if store is not None:
            store.stop()
        shutil.rmtree(folder, ignore_errors=True)


def figure(site: h.Headwater, name: str, **labels: str) -> float:
    """The sum of one of the site's own figures over its processes."""
    total = 0.0
    for line in httpx.get(f"{site.url}/metrics", timeout=60).raise_for_status().text.splitlines():
        if line.startswith((f"{name} ", f"{name}{{")) and all(
            f'{key}="{value}"' in line for key, value in labels.items()
        ):
            total += float(line.rsplit(" ", 1)[1])
    return total


def failures(folder: Path) -> int:
    """Lines of the site's log that tell of a request or a process that failed."""
    words = ("request.failed", "refusal.failed", "process.died", "process.failed", "periodic.failed", "job.failed")
    return sum(
        any(f'"{word}"' in line for word in words)
        for line in (folder / "headwater.log").read_text(errors="replace").splitlines()
    )

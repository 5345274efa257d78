"""Backup, second backup with nothing changed, and check: ``python -m bench.looking_after [--repositories 10000] [--bytes 10000000000]``.

Repositories are made by the service that makes real ones, each with a small file of random bytes that goes through what stores uploads, and
some with a large one; the backups and the check are the commands that an operator runs, compiled as an installed package is. Time is the
processor's, of the whole command; the clock's is told beside it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

from bench import harness as h

FILE_BYTES = 250_000_000
SMALL_BYTES = 20_000


def fill(data: Path, n_repositories: int, n_bytes: int) -> None:
    """A site of so many repositories, and so many bytes of large files in some of them."""
    from headwater.accounts.service import people
    from headwater.cli.open import open_site
    from headwater.hub import files
    from headwater.hub.content.commits import commit_draft
    from headwater.hub.content.draft import Draft, InlineFile, LargeFile
    from headwater.hub.models import RepoKind, RepoName
    from headwater.hub.repos import service as repos
    from headwater.kernel import SYSTEM, Actor, utcnow

    site = open_site(data)
    try:
        made = site.db.write(people.create_person, SYSTEM, "ada", password_hash=None, now=utcnow())
        ada = Actor(made.id, "ada")
        every = max(1, n_repositories // max(1, n_bytes // FILE_BYTES))
        left = n_bytes - n_repositories * SMALL_BYTES
        for number in range(n_repositories):
            name = RepoName("ada", f"m{number}")
            repo = repos.create_repository(site, ada, RepoKind.MODEL, name)
            changes: list[InlineFile | LargeFile] = [InlineFile("README.md", f"# {number}\n".encode())]
            sizes = {"small.bin": SMALL_BYTES}
            if left > 0 and number % every == 0:
                sizes["w.bin"] = min(FILE_BYTES, left)
                left -= sizes["w.bin"]
            for name_of_file, size in sizes.items():
                with site.blobs.temporary() as path:
                    h.random_file(path, size)
                    with path.open("rb") as file:
                        changes.append(LargeFile(name_of_file, files.store_plain(site, ada, repo.id, file), size))
            commit_draft(site, ada, RepoKind.MODEL, name, "main", Draft("first", "", None, list(changes)))
    finally:
        site.close()


@contextmanager
def not_written_through() -> Iterator[None]:
    """While a site is only being filled, nothing waits for the disk; at the end all of it is there."""
    with patch.object(os, "fsync", lambda _: None):
        yield
    os.sync()


def command(*arguments: str) -> tuple[float, float]:
    """CPU and wall seconds of one command."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    cpu = h.child_cpu([sys.executable, "-m", "headwater", *arguments, "--json"], stderr=subprocess.DEVNULL, env=env)
    took_s = time.perf_counter() - start
    os.sync()  # so that nobody waits for what others have written
    return cpu, took_s


def run(report: h.Report, *, n_repositories: int, n_bytes: int) -> None:
    with h.workspace() as folder:
        data, backups = folder / "data", folder / "backups"
        os.environ["PYTHONPYCACHEPREFIX"] = str(folder / "compiled")
        with not_written_through():
            fill(folder / "empty", 1, 0)
            command("backup", str(folder / "of-empty"), f"--data={folder / 'empty'}")
            fill(data, n_repositories, n_bytes)
        empty, empty_wall = command("backup", str(folder / "of-empty"), f"--data={folder / 'empty'}")
        report.add("backup of an empty site, again", f"{empty:.1f} CPU s, {empty_wall:.1f} s", "–", met=None)
        of = f"{n_repositories:,} repositories + {n_bytes / 1e9:g} GB"
        first, first_wall = command("backup", str(backups), f"--data={data}")
        again = [command("backup", str(backups), f"--data={data}") for _ in range(2)]
        second, second_wall = min(again)
        share, wall_share = second / first, min(wall for _, wall in again) / first_wall
        told = f"{second:.1f} of {first:.1f} CPU s ({100 * share:.1f} %), {second_wall:.1f} of {first_wall:.1f} s ({100 * wall_share:.1f} %)"
        report.add(
            f"backup of {of}, second with nothing changed", told, "<= 5 % of the first's time", met=wall_share <= 0.05
        )
        cpu, wall = command("check", f"--backup={backups}", f"--data={data}")
        report.add("reading the three snapshots, every byte once", f"{cpu:.1f} CPU s, {wall:.1f} s", "–", met=None)
        cpu, wall = command("check", f"--data={data}")
        report.add(f"check of {of}, every byte read", f"{cpu:.1f} CPU s, {wall:.1f} s", "–", met=None)
        cpu, wall = command("check", "--quick", f"--data={data}")
        report.add(f"quick check of {of}", f"{cpu:.1f} CPU s, {wall:.1f} s", "–", met=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repositories", type=int, default=10_000)
    parser.add_argument("--bytes", type=int, default=10_000_000_000)
    asked = parser.parse_args()
    run(h.Report(), n_repositories=asked.repositories, n_bytes=asked.bytes)


if __name__ == "__main__":
    main()

"""Reads, uploads, commits, deletions and copies while the collector runs on the same store, a day further each time.

Only the site's own functions are used, so that the same test holds on any database and any store. Each thread knows what
its repositories must hold; what the collector takes meanwhile may only be what nobody holds.
"""

from __future__ import annotations

import hashlib
import random
import threading
import time
from datetime import timedelta
from pathlib import Path

from headwater.blobs import read_all
from headwater.hub import collector, files, repos
from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Draft, LargeFile
from headwater.hub.content.large_files import delete_large_files
from headwater.hub.errors import BlobNotStored
from headwater.hub.git.collector import collect as collect_packs
from headwater.hub.git.collector import merge_packs, prune_repository
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.quotas import recount
from headwater.hub.xet import ingest
from headwater.hub.xet.errors import BadShard
from headwater.kernel import SYSTEM, Actor, Sha256, utcnow
from tests.storage import Storage, make_storage
from tests.xet.making import Body, MadeXorb, grant_of, make_shard

MODEL = RepoKind.MODEL
SECONDS = 6.0
TRIES = 40
XORBS = [MadeXorb([bytes([n, i]) * 700 for i in range(4)]) for n in range(10)]
CONTENTS = [b"".join(x.chunks) for x in XORBS]  # all threads fight over the same few digests
DIGESTS = [Sha256(hashlib.sha256(c).hexdigest()) for c in CONTENTS]


class Worker:
    """One person with repositories of their own, and what each must hold."""

    def __init__(self, storage: Storage, name: str, stop: threading.Event) -> None:
        self.storage, self.site, self.name, self.stop = storage, storage.site, name, stop
        self.actor: Actor = storage.person(name)
        self.random = random.Random(name)
        self.held: dict[RepoName, tuple[int, set[int]]] = {}
        self.made = self.acts = 0
        self.failed: Exception | None = None
        self.add_repository()

    def run(self) -> None:
        acts = [self.bring, self.bring, self.read, self.read, self.forget, self.forget, self.copy, self.tidy]
        try:
            while not self.stop.is_set():
                self.random.choice([*acts, self.remove])()
                self.acts += 1
            for name in list(self.held):
                self.read(name)
        except Exception as exc:
            self.failed = exc
            self.stop.set()

    def any_repository(self) -> RepoName:
        return self.random.choice(list(self.held))

    def add_repository(self) -> None:
        self.made += 1
        repo = repos.create_repository(self.site, self.actor, MODEL, RepoName(self.name, f"r{self.made}"))
        self.held[repo.name] = repo.id, set()

    def bring(self) -> None:
        """Upload and commit as clients do: when the commit says that the file is not there, they send it again."""
        name, n = self.any_repository(), self.random.randrange(len(CONTENTS))
        repo_id, held = self.held[name]
        by_xet = self.random.random() < 0.5
        for _ in range(TRIES):
            try:
                if by_xet:
                    grant = grant_of(self.storage, self.name, repo_id)
                    ingest.accept_xorb(self.site, grant, XORBS[n].name, Body(XORBS[n].body))
                    shard = make_shard([([(XORBS[n], 0, 4)], DIGESTS[n])])
                    ingest.finish_shard(self.site, grant, ingest.check_shard(self.site, grant, shard), lambda _: None)
                else:
                    files.store_plain(self.site, self.actor, repo_id, CONTENTS[n])
                draft = Draft("add", "", None, [LargeFile(f"w{n}.bin", DIGESTS[n], len(CONTENTS[n]))])
                commit_draft(self.site, self.actor, MODEL, name, "main", draft)
            except (BlobNotStored, BadShard):
                continue
            held.add(n)
            return
        raise AssertionError("an upload never got as far as its commit")

    def read(self, name: RepoName | None = None) -> None:
        repo_id, held = self.held[name or self.any_repository()]
        for n in held:
            assert read_all(files.open_file(self.site, repo_id, DIGESTS[n])) == CONTENTS[n]

    def forget(self) -> None:
        name = self.any_repository()
        gone = {n for n in self.held[name][1] if self.random.random() < 0.7}
        if gone:
            delete_large_files(self.site, self.actor, MODEL, name, [DIGESTS[n] for n in gone], rewrite_history=True)
            self.held[name][1].difference_update(gone)

    def copy(self) -> None:
        source = self.any_repository()
        self.made += 1
        target = RepoName(self.name, f"r{self.made}")
        made = repos.duplicate_repository(self.site, self.actor, MODEL, source, target)
        self.held[target] = made.id, set(self.held[source][1])

    def tidy(self) -> None:
        repo_id, _ = self.held[self.any_repository()]
        if self.random.random() < 0.5:
            merge_packs(self.site, {"repo_id": repo_id})
        else:
            prune_repository(self.site, SYSTEM, repo_id)

    def remove(self) -> None:
        name = self.any_repository()
        self.site.db.write(repos.delete_repository, self.actor, MODEL, name, now=utcnow())
        del self.held[name]
        if not self.held:
            self.add_repository()


def test_nothing_that_is_held_is_ever_taken(tmp_path: Path) -> None:
    storage = make_storage(tmp_path / "data", hub=True)
    site, stop = storage.site, threading.Event()
    workers = [Worker(storage, name, stop) for name in ("ada", "bob", "eve")]
    threads = [threading.Thread(target=worker.run, name=worker.name) for worker in workers]
    now, condemned, runs, deadline = utcnow(), 0, 0, time.monotonic() + SECONDS
    try:
        for thread in threads:
            thread.start()
        while (time.monotonic() < deadline or runs < 3) and not stop.is_set():
            now += timedelta(days=1)
            done = collector.collect(site, now=now)
            condemned += done.blobs_condemned + done.xorbs_condemned
            runs += 1
            collect_packs(site)
        stop.set()
        for thread in threads:
            thread.join()
        for worker in workers:
            if worker.failed is not None:
                raise worker.failed
        assert min(worker.acts for worker in workers) > 0
        assert runs > 2
        assert condemned > 0
        assert site.db.read(recount.find_differences) == []
        for _ in range(40):  # once all is quiet, what nobody holds goes, and what is held stays
            now += timedelta(days=1)
            collector.collect(site, now=now)
        kept = {n for worker in workers for _, held in worker.held.values() for n in held}
        for worker in workers:
            for name in worker.held:
                worker.read(name)
        for n, digest in enumerate(DIGESTS):
            if n not in kept:
                assert site.db.read(files.blob_sizes, [digest]) == {}
    finally:
        stop.set()
        site.close()

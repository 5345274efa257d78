"""A site whose server is killed again and again, and what must hold after each time."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import orjson
from sqlalchemy import text, update

from headwater import queue
from headwater.accounts import passwords
from headwater.accounts.service import people, tokens
from headwater.blobs import feed
from headwater.cli.open import open_site
from headwater.hub import files
from headwater.hub.checking import check
from headwater.hub.events import COLLECT_BYTES, MERGE_PACKS, PRUNE_REPOSITORY
from headwater.hub.git import GitStore, parse_pointer
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.repos import service as repos
from headwater.hub.tables.files import blob, upload_claim
from headwater.hub.tables.xet import xorb
from headwater.kernel import SYSTEM, RepoId, Sha256, utcnow
from headwater.web.site import Site
from tests.faults.acts import REPOS, Actor, Client, Pusher, Truth, commit_small, pieces, race, upload
from tests.faults.launcher import Launcher
from tests.git.live import actor_named

OLD = timedelta(days=60)


class Killing:
    """``run`` starts it, lets clients act, kills it at a random moment, and looks."""

    def __init__(self, folder: Path, launcher: Launcher, rng: random.Random) -> None:
        self.data, self.rng, self.launcher = folder / "data", rng, launcher
        self.log = folder / "server.log"
        self.truth = Truth()
        self.pusher = Pusher(folder / "clone")
        self.started = 0
        site = open_site(self.data)
        try:
            site.db.write(
                people.create_person, SYSTEM, "ada", password_hash=passwords.hash_password("x" * 20), now=utcnow()
            )
            made = site.db.write(
                tokens.create_token,
                SYSTEM,
                owner="ada",
                name="t",
                role="write",
                grants=[],
                expires_at=None,
                now=utcnow(),
            )
            self.token = made.secret
            ada = actor_named(site, "ada")
            self.repos = {
                name: repos.create_repository(site, ada, RepoKind.MODEL, RepoName("ada", name)).id for name in REPOS
            }
        finally:
            site.close()

    def run(self) -> None:
        self._ask_for_collections()
        pid = self.launcher.start(self.data, self.log)
        url = self._wait_until_it_answers(pid)
        acts = [commit_small, upload, pieces, self.pusher, race, race]
        actors = [Actor(act, Client(url, self.token, random.Random(self.rng.random())), self.truth) for act in acts]
        for actor in actors:
            actor.start()
        self._until_a_random_moment(actors)
        for actor in actors:
            actor.is_over.set()
        os.killpg(pid, signal.SIGKILL)
        self.launcher.reap(pid)
        for actor in actors:
            actor.join(60)
            actor.client.http.close()
            assert actor.failure is None, repr(actor.failure)
        self.look()

    def _until_a_random_moment(self, actors: list[Actor]) -> None:
        """After some acknowledged acts, at times before the first, and somewhere inside those that are under way."""
        wanted, deadline = self.truth.n_acts + self.rng.randrange(12), time.monotonic() + 20
        while self.truth.n_acts < wanted and time.monotonic() < deadline and any(a.is_alive() for a in actors):
            time.sleep(0.002)
        time.sleep(self.rng.uniform(0, 0.12))  # the moment of death is what is random here: nothing is waited for

    def _wait_until_it_answers(self, pid: int) -> str:
        path, deadline = self.data / "server.json", time.monotonic() + 60
        while True:
            with suppress(FileNotFoundError, ValueError):
                written = orjson.loads(path.read_bytes())
                if written.get("pid") == pid:
                    return str(written["url"])
            assert time.monotonic() < deadline, self.log.read_text(errors="replace")[-3000:]
            time.sleep(0.005)

    def _ask_for_collections(self) -> None:
        """Merges, prunes and the collector of bytes run, too, and find something to do: what earlier lives left unnamed."""
        site = open_site(self.data)
        try:
            site.db.write(_make_old)
            for name in self.rng.sample(REPOS, 2):
                kind = self.rng.choice((MERGE_PACKS, PRUNE_REPOSITORY))
                site.db.write(lambda tx, kind=kind, name=name: _put(tx, kind, self.repos[name]))
            site.db.write(lambda tx: queue.put(tx, COLLECT_BYTES, {}, unique="site"))
        finally:
            site.close()

    def look(self) -> None:
        """Every acknowledged write is there, nothing is wrong, and one won each race."""
        site = open_site(self.data)
        try:
            for name in REPOS:
                self._look_at(site, name)
            for parent, winners in self.truth.raced.items():
                assert len(winners) == 1, f"{len(winners)} won on {parent}"
            found = check(site, keeps=False)
            assert not found.problems, found.problems[:3]
        finally:
            site.close()

    def _look_at(self, site: Site, name: str) -> None:
        repo_id = RepoId(self.repos[name])
        with site.part(GitStore).open(repo_id) as snap:
            head = snap.refs["refs/heads/main"]
            reached, todo = set(), [head]
            while todo:
                oid = todo.pop()
                if oid not in reached:
                    reached.add(oid)
                    todo += snap.commit_info(oid).parents
            lost = set(self.truth.commits[name]) - reached
            assert not lost, f"{len(lost)} acknowledged commits of {name} are gone: {sorted(lost)[:3]}"
            for (repo, path), digest in self.truth.files.items():
                if repo != name:
                    continue
                entry = snap.entry(head, path)
                assert entry is not None, f"{repo}/{path} is gone"
                allowed = {digest} | self.truth.maybe.get((repo, path), set())
                assert _digest(site, snap, repo_id, entry.oid) in allowed, f"{repo}/{path} holds other bytes"


def _digest(site: Site, snap, repo_id: RepoId, oid: str) -> str:
    _, data = snap.find_object(oid)
    pointer = parse_pointer(data)
    if pointer is None:
        return hashlib.sha256(data).hexdigest()
    hasher = hashlib.sha256()
    source = files.open_file(site, repo_id, Sha256(pointer.sha256))
    feed(hasher.update, source.pieces(0, source.size_bytes))
    return hasher.hexdigest()


def _make_old(tx) -> None:
    """What was uploaded and never named is old enough to go."""
    long_ago = utcnow() - OLD
    tx.execute(update(upload_claim).values(created_at=long_ago))
    tx.execute(update(blob).values(created_at=long_ago))
    tx.execute(update(blob).where(blob.c.condemned_at.is_not(None)).values(condemned_at=long_ago))
    tx.execute(update(xorb).values(last_promised_at=long_ago))
    tx.execute(update(xorb).where(xorb.c.condemned_at.is_not(None)).values(condemned_at=long_ago))
    tx.execute(text("update pack set retired_at = retired_at - 7200000000 where retired_at is not null"))


def _put(tx, kind: str, repo_id: int) -> None:
    queue.put(tx, kind, {"repo_id": repo_id}, unique=str(repo_id))

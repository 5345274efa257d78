"""The store under random acts, lost caches, many threads and processes, and sudden death."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update

from headwater.blobs import blob_key
from headwater.db import row_locked
from headwater.hub import files
from headwater.hub.errors import BlobNotStored, HeadMoved, RepositoryNotFound, RevisionNotFound
from headwater.hub.events import RefMove
from headwater.hub.git import (
    AddFile,
    AddPointer,
    DeleteFile,
    GitStore,
    build_commit,
    collector,
    merge_commit,
    packs,
    publish,
    store,
)
from headwater.hub.git.errors import DefaultBranchStays, RepositoryPruned
from headwater.hub.git.lastchanged import build_last_changed
from headwater.hub.git.store import PackRow
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.repos import service as repos
from headwater.hub.tables.repositories import pack
from headwater.kernel import Sha256, utcnow
from tests import growth
from tests.git.conftest import AUTHOR


def n_packs(work) -> int:
    return len(work.site.db.read(store.read_state, work.repo.id).packs)


def lose_cache(work) -> None:
    shutil.rmtree(work.store.cache_dir, ignore_errors=True)


def test_random_acts_keep_what_a_small_model_says(work):
    """Refs to contents, beside the real thing; after each act all branches read as the model says."""
    rng = random.Random(7)
    model: dict[str, dict[str, bytes]] = {"main": {}}
    for step in range(150):
        branch = rng.choice(sorted(model))
        act = rng.choice(
            ["write"] * 5 + ["branch", "delete", "merge", "pack", "prune", "lose", "evict", "built", "stale"]
        )
        if act == "write":
            path, data = rng.choice(["a", "b", "c/d", "c/e", "f/g/h"]), b"%d" % rng.randint(0, 5)
            if path in model[branch] and rng.random() < 0.3:
                work.commit([DeleteFile(path)], branch=branch)
                del model[branch][path]
            else:
                work.commit([AddFile(path, data)], branch=branch)
                model[branch][path] = data
        elif act == "branch":
            name = f"b{step}"
            with work.open() as snap:
                head = snap.refs[f"refs/heads/{branch}"]
            work.branch(name, head)
            model[name] = dict(model[branch])
        elif act == "delete" and branch != "main":
            work.branch(branch, None)
            del model[branch]
        elif act == "merge":
            other = rng.choice(sorted(model))
            with work.open() as snap:
                ours, theirs = snap.resolve(branch), snap.resolve(other)
                work.now += timedelta(seconds=1)
                result = merge_commit(snap, ours, theirs, title="m", now=work.now, **AUTHOR)
                if result.built is not None:
                    move = RefMove(f"refs/heads/{branch}", ours, result.built.commit)
                    epoch = snap.prune_epoch
                    publish(work.site, work.actor, work.repo.id, [move], result.built, epoch=epoch, now=work.now)
            if result.built is not None:
                with work.open() as snap:
                    entries = list(snap.iter_files(result.built.commit))
                    model[branch] = {e.path: snap.read_blob(e.oid) for e in entries if e.path != ".gitattributes"}
        elif act == "pack":
            collector.merge_packs(work.site, {"repo_id": work.repo.id})
        elif act == "prune":
            collector.prune_repository(work.site, work.actor, work.repo.id)
        elif act == "lose":
            lose_cache(work)
        elif act == "evict":
            work.store.evict(0)
        elif act == "built":
            build_last_changed(work.site, {"repo_id": work.repo.id})
        elif act == "stale":
            with work.open() as snap:
                built = build_commit(
                    snap, snap.resolve(branch), [AddFile("x", b"?")], title="x", now=work.now, **AUTHOR
                )
                move = RefMove(f"refs/heads/{branch}", "1" * 40, built.commit)
                with pytest.raises(HeadMoved):
                    publish(work.site, work.actor, work.repo.id, [move], built, epoch=snap.prune_epoch, now=work.now)
        with work.open() as snap:
            assert {n.removeprefix("refs/heads/") for n in snap.refs} == set(model)
            for name, want in model.items():
                found = {e.path: snap.read_blob(e.oid) for e in snap.iter_files(snap.resolve(name))}
                found.pop(".gitattributes")
                assert found == want, (step, act)
    assert work.git("fsck", "--strict", "--no-dangling") == ""


def test_a_lost_cache_loses_nothing(work):
    commit = work.commit([AddFile("small", b"s"), AddFile("large", os.urandom(300_000))])
    before = work.git("rev-list", "--objects", "--all")
    lose_cache(work)
    assert work.git("rev-list", "--objects", "--all") == before
    work.store.forget(work.repo.id)
    lose_cache(work)
    with work.open() as snap:
        assert snap.entry(commit, "large").size_bytes == 300_000


def test_a_cache_from_before_a_crash_of_the_machine_is_not_believed(work):
    commit = work.commit([AddFile("a", b"1")])
    with work.open() as snap:
        folder = snap.folder
    for path in (folder / "objects/pack").iterdir():
        path.write_bytes(b"\0" * path.stat().st_size)
    version = (folder / "headwater-version").read_text().split()[0]
    (folder / "headwater-version").write_text(f"{version} another-boot")
    work.store.forget(work.repo.id)
    with work.open() as snap:
        assert snap.entry(commit, "a").size_bytes == 1


def test_readers_and_evictions_do_not_meet(work):
    commit = work.commit([AddFile("a", os.urandom(100_000))])
    with work.open() as snap:
        assert work.store.evict(0) == 0
        assert snap.entry(commit, "a")
    assert work.store.evict(0) == 1
    assert work.store.evict(0) == 0
    with work.open() as snap:
        assert snap.entry(commit, "a")


def test_a_snapshot_stays_while_others_write_and_merge(work):
    for n in range(5):
        work.commit([AddFile("a", b"%d" % n)])
    with work.open() as old:
        head = old.resolve("main")
        work.commit([AddFile("a", b"new")])
        collector.merge_packs(work.site, {"repo_id": work.repo.id})
        collector.prune_repository(work.site, work.actor, work.repo.id)
        work.commit([AddFile("a", b"newer")])
        assert old.resolve("main") == head
        assert old.read_blob(old.entry(head, "a").oid) == b"4"
        assert old.run_git("rev-list", "--count", head).strip() == b"6"


def test_what_is_read_inside_an_older_transaction_is_older(work, site):
    first = work.commit([AddFile("a", b"1")])
    with site.db.reading() as tx:
        store.read_head(tx, work.repo.id)
        with ThreadPoolExecutor(1) as other:
            second = other.submit(work.commit, [AddFile("a", b"2")]).result()
            with work.open() as snap:
                assert snap.resolve("main") == first
            assert other.submit(lambda: work.git("rev-parse", "main").strip()).result() == second
        with work.open() as snap:
            assert snap.resolve("main") == first
    with work.open() as snap:
        assert snap.resolve("main") == second


def test_threads_that_commit_and_read_at_once(work):
    work.commit([AddFile(f"f{n}", b"0") for n in range(20)])

    def write(n: int) -> int:
        lost = 0
        for m in range(8):
            while True:
                try:
                    with work.open() as snap:
                        head = snap.resolve("main")
                        built = build_commit(
                            snap, head, [AddFile(f"t{n}/{m}", b"x")], title="x", now=work.now, **AUTHOR
                        )
                        move = RefMove("refs/heads/main", head, built.commit)
                        epoch = snap.prune_epoch
                        publish(work.site, work.actor, work.repo.id, [move], built, epoch=epoch, now=work.now)
                    break
                except (HeadMoved, RepositoryPruned):
                    lost += 1
        return lost

    def read(_: int) -> None:
        for _ in range(25):
            with work.open() as snap:
                head = snap.resolve("main")
                for entry in snap.list_tree(head, recursive=True, limit=None):
                    if entry.kind == "file":
                        snap.read_blob(entry.oid)
                snap.log(head, limit=5)

    def keep_house(_: int) -> None:
        for _ in range(5):
            collector.merge_packs(work.site, {"repo_id": work.repo.id})
            collector.prune_repository(work.site, work.actor, work.repo.id)
            work.store.evict(0)

    with ThreadPoolExecutor(8) as pool:
        acts = [pool.submit(act, n) for n, act in enumerate([write] * 3 + [read] * 3 + [keep_house])]
        for act in acts:
            act.result()
    assert len([p for p in work.git("ls-tree", "-r", "--name-only", "main").split() if p.startswith("t")]) == 24


def test_packs_merge_geometrically_and_keep_every_object(work):
    commits = [work.commit([AddFile("a", b"%d" % n)]) for n in range(30)]
    work.branch("side", commits[3])
    work.branch("side", None)
    unreachable = work.commit([AddFile("only", b"here")], branch="main", parent=commits[5])
    assert n_packs(work) > 25
    collector.merge_packs(work.site, {"repo_id": work.repo.id})
    assert n_packs(work) == 1
    lose_cache(work)
    with work.open() as snap:
        for commit in [*commits, unreachable]:
            snap.raw_commit(commit)
    collector.merge_packs(work.site, {"repo_id": work.repo.id})
    assert n_packs(work) == 1


def test_a_small_repository_stays_in_memory_though_its_packs_are_merged(work, tmp_path):
    other = GitStore(work.site.db, work.site.blobs, tmp_path / "other")  # another process's view
    commits, cache_dir = [], work.store.cache_dir
    for n in range(60):
        commits.append(work.commit([AddFile(f"f{n % 7}", b"%d" % n)]))
        if n % 10 == 4:
            collector.merge_packs(work.site, {"repo_id": work.repo.id})
        for each in (other, work.store) if n % 5 == 0 else ():
            with each.open(work.repo.id) as snap:
                assert snap.refs["refs/heads/main"] == commits[-1]
                assert [snap.commit_info(c).oid for c in commits] == commits
    assert n_packs(work) < 20
    assert not (tmp_path / "other").exists()
    assert not cache_dir.exists()


def test_a_pack_that_is_taken_into_use_again_is_read_again(work, tmp_path):
    """It was pruned away before the other process first looked, so nothing of it is there in memory."""
    other = GitStore(work.site.db, work.site.blobs, tmp_path / "other")
    first = work.commit([AddFile("a", b"1")])
    with work.open() as snap:
        built = build_commit(snap, first, [AddFile("b", b"2")], title="side", now=work.now, **AUTHOR)
        epoch = snap.prune_epoch
    move = RefMove("refs/heads/side", None, built.commit)
    publish(work.site, work.actor, work.repo.id, [move], built, epoch=epoch, now=work.now)
    work.branch("side", None)
    collector.prune_repository(work.site, work.actor, work.repo.id)
    for n in range(3):
        work.commit([AddFile("c", b"%d" % n)])
    with other.open(work.repo.id) as snap:
        assert not snap.has_object(built.commit)
    known = n_packs(work)
    collector.merge_packs(work.site, {"repo_id": work.repo.id})
    publish(work.site, work.actor, work.repo.id, [move], built, epoch=epoch + 1, now=work.now)
    assert n_packs(work) < known  # so their number tells nothing
    with other.open(work.repo.id) as snap:
        assert snap.commit_info(built.commit).title == "side"
        assert snap.entry(built.commit, "b") is not None


def test_objects_of_all_sizes_are_read_by_git(work):
    window = packs.SMALL_WINDOW_BYTES
    sizes = [0, 1, 100, window - 1, window, window + 1, 4096, 5000, 40_000, 300_000]
    half = {size: os.urandom(size - size // 2) + b"A" * (size // 2) for size in sizes}
    work.commit([AddFile(f"f{size}", data) for size, data in half.items()])
    repeated = {size: (half[100] * (size // 100 + 1))[:size] for size in sizes}
    work.commit([AddFile(f"g{size}", data) for size, data in repeated.items()])
    lose_cache(work)
    work.git("fsck", "--strict")
    with work.open() as snap:
        for size in sizes:
            assert snap.run_git("cat-file", "blob", f"main:f{size}") == half[size]
            assert snap.run_git("cat-file", "blob", f"main:g{size}") == repeated[size]


def test_small_packs_in_files_are_joined_without_git_if_they_are_whole(work):
    content = bytearray(os.urandom(70_000))
    for n in range(3):
        content[n] ^= 1
        work.commit([AddFile("f", bytes(content))])
    collector.merge_packs(work.site, {"repo_id": work.repo.id})
    rows = work.site.db.read(store.read_state, work.repo.id).packs
    assert [row.is_inline for row in rows] == [False]
    assert rows[0].size_bytes > 3 * 70_000  # git would have found that they are nearly the same
    lose_cache(work)
    work.git("fsck", "--strict")

    content[9] ^= 1
    work.commit([AddFile("f", bytes(content))])
    work.commit([AddFile("g", os.urandom(200_000))])
    if not growth.ON_GROWTH:
        path = work.site.blobs.path_of(f"git/{work.repo.id}/pack-{rows[0].name}.pack")
        damaged = bytearray(path.read_bytes())
        damaged[1000] ^= 1
        path.chmod(0o600)
        path.write_bytes(damaged)
        with pytest.raises(subprocess.CalledProcessError):
            collector.merge_packs(work.site, {"repo_id": work.repo.id})
        assert n_packs(work) == 3


@pytest.mark.parametrize("seed", range(5))
def test_chosen_packs_leave_a_geometric_row(seed):
    rng = random.Random(seed)
    packs = [PackRow(n, f"{n}", int(2 ** rng.uniform(0, 30)), 1, is_inline=False) for n in range(rng.randint(0, 40))]
    chosen = collector.choose_packs(packs)
    rest = sorted(
        {p.size_bytes for p in packs if p not in chosen} | ({sum(p.size_bytes for p in chosen)} if chosen else set())
    )
    kept = sorted(p.size_bytes for p in packs if p not in chosen)
    for n, size in enumerate(kept):
        assert size >= 2 * sum(kept[:n])
    assert rest or not packs


def test_pruned_objects_cannot_be_read_any_more(work):
    first = work.commit([AddFile("secret", b"the password")])
    with work.open() as snap:
        blob = snap.entry(first, "secret").oid
        squashed = build_commit(None, None, [AddFile("clean", b"1")], title="clean", now=work.now, **AUTHOR)
        move = RefMove("refs/heads/main", first, squashed.commit)
        publish(work.site, work.actor, work.repo.id, [move], squashed, epoch=snap.prune_epoch, now=work.now)
    with work.open() as snap:
        assert snap.has_object(blob)
        old_folder = snap.folder
    collector.prune_repository(work.site, work.actor, work.repo.id)
    assert not old_folder.exists()
    with work.open() as snap:
        assert not snap.has_object(blob)
        with pytest.raises(RevisionNotFound):
            snap.resolve(first)
    work.commit([AddFile("more", b"1")])
    work.git("fsck", "--strict")


def test_a_commit_built_before_a_prune_is_built_again(work):
    work.commit([AddFile("a", b"1")])
    with work.open() as snap:
        head = snap.resolve("main")
        built = build_commit(snap, head, [AddFile("b", b"1")], title="x", now=work.now, **AUTHOR)
        collector.prune_repository(work.site, work.actor, work.repo.id)
        move = RefMove("refs/heads/main", head, built.commit)
        with pytest.raises(RepositoryPruned):
            publish(work.site, work.actor, work.repo.id, [move], built, epoch=snap.prune_epoch, now=work.now)
    assert work.commit([AddFile("b", b"1")])


def test_retired_and_orphaned_packs_go_in_their_time(work, monkeypatch):
    for n in range(3):
        work.commit([AddFile(f"f{n}", os.urandom(100_000))])

    def packs() -> set[str]:
        found = {stored.key for stored in work.site.blobs.iter_keys(f"git/{work.repo.id}/")}
        return {Path(key).stem.removeprefix("pack-") for key in found if key.endswith(".pack")}

    collector.merge_packs(work.site, {"repo_id": work.repo.id})
    collector.merge_packs(work.site, {"repo_id": work.repo.id})
    collector.collect(work.site)
    assert len(packs()) >= 4  # younger than the grace time
    monkeypatch.setattr(collector, "GRACE", timedelta(0))
    collector.collect(work.site)
    orphan = min(packs() - names(work))
    assert list(collector.remove_orphans(work.site)) == []  # too young to be called an orphan
    assert orphan in packs()
    assert f"git/{work.repo.id}/pack-{orphan}.pack" in list(collector.remove_orphans(work.site, age_s=-1))
    assert packs() <= names(work)
    lose_cache(work)
    work.git("fsck", "--strict")


@pytest.mark.skipif(not growth.ON_GROWTH, reason="on SQLite nothing is written beside another act")
def test_a_retired_pack_that_is_deleted_while_it_is_named_again_is_put_anew(work):
    work.commit([AddFile("f", os.urandom(100_000))])
    db, row = work.site.db, work.site.db.read(store.read_state, work.repo.id).packs[-1]
    db.write(lambda tx: tx.execute(update(pack).where(pack.c.id == row.id).values(retired_at=work.now)))
    deleted = []

    class Meeting:
        """Once the insert has met the retired row, the collector comes."""

        def __init__(self, tx):
            self.tx = tx

        def execute(self, statement, values):
            found = self.tx.execute(statement, values)
            if not deleted:
                with ThreadPoolExecutor(1) as other:
                    deleted.append(
                        other.submit(db.write, store.delete_retired, work.now + timedelta(1)).result(timeout=30)
                    )
            return found

    @row_locked
    def name_again(tx):
        return store.insert_pack(Meeting(tx), work.repo.id, row.name, row.size_bytes, row.n_objects, None, utcnow())

    pack_id, grown = db.write(name_again)
    assert (deleted, grown) == ([1], row.size_bytes)
    assert pack_id not in (None, row.id)
    assert row.name in names(work)
    lose_cache(work)
    work.git("fsck", "--strict")


def names(work) -> set[str]:
    return work.site.db.read(store.find_pack_names, work.repo.id)


def test_a_pack_that_a_sweep_takes_while_it_is_named_again_is_brought_again(work, monkeypatch):
    work.commit([AddFile("f", os.urandom(100_000))])
    real, blobs, taken = work.site.blobs.adopt, work.site.blobs, []

    def taken_at_once(path, key):
        real(path, key)
        if key.endswith(".pack") and not taken:
            taken.append(key)
            blobs.delete(key)  # what a sweep does that decided just before

    monkeypatch.setattr(blobs, "adopt", taken_at_once)
    work.commit([AddFile("g", os.urandom(100_000))])
    assert taken
    assert blobs.exists(taken[0])
    lose_cache(work)
    work.git("fsck", "--strict")


def test_deleting_the_default_branch_and_reading_a_deleted_repository(work, site, ada):
    with pytest.raises(DefaultBranchStays):
        work.branch("main", None)
    site.db.write(repos.delete_repository, ada, RepoKind.MODEL, RepoName("ada", "m"), now=utcnow())
    with pytest.raises(RepositoryNotFound), work.open():
        pass


def test_large_files_need_their_bytes_here(work, site, ada):
    data = os.urandom(1000)
    with pytest.raises(BlobNotStored):
        work.commit([AddPointer("w.bin", "ab" * 32, 5)])
    digest = Sha256(hashlib.sha256(data).hexdigest())
    with site.blobs.temporary() as path:
        path.write_bytes(data)
        site.blobs.adopt(path, blob_key(digest))
    with pytest.raises(BlobNotStored):
        work.commit([AddPointer("w.bin", digest, 1000)])  # on disk, but nobody brought it here
    sha256 = files.store_plain(site, ada, work.repo.id, io.BytesIO(data))
    commit = work.commit([AddPointer("w.bin", sha256, 1000)])
    with work.open() as snap:
        entry = snap.entry(commit, "w.bin")
        assert (entry.sha256, entry.size_bytes, entry.pointer_size) == (sha256, 1000, snap.blob_size(entry.oid))
        (change,) = [f for f in snap.diff(snap.raw_commit(commit).parents[0], commit).files if f.path == "w.bin"]
        assert change.is_pointer
    assert site.db.read(files.has_right, work.repo.id, sha256)
    assert site.db.read(store.find_pointers, [entry.oid])[entry.oid].sha256 == sha256


KILLED = """
import os, signal, sys
from pathlib import Path
from headwater.cli.open import open_site
from headwater.hub.git import AddFile, GitStore, RefMove, build_commit, publish
import importlib
module = importlib.import_module("headwater.hub.git.publish")
from headwater.kernel import Actor, utcnow

data, repo_id, account_id, where = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
site = open_site(data)
db, blobs = site.db, site.blobs
die = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
if where == "before the transaction":
    db.write = die
elif where == "inside the transaction":
    module.refs_moved = die
elif where == "while adopting":
    adopt, calls = blobs.adopt, []
    def once(*args):
        calls.append(args)
        die() if len(calls) > 1 else adopt(*args)
    blobs.adopt = once
elif where == "while filling the cache":
    import headwater.hub.git.folders as folders
    folders._write_refs = die
with site.part(GitStore).open(repo_id) as snap:
    snap.folder
    head = snap.resolve("main")
    built = build_commit(snap, head, [AddFile("big", os.urandom(200_000))], title="x", now=utcnow(),
                         author_name="Ada", author_email="ada@example.org")
    publish(site, Actor(account_id, "ada"), repo_id, [RefMove("refs/heads/main", head, built.commit)], built,
            epoch=snap.prune_epoch, now=utcnow())
print("alive")
"""


@pytest.mark.parametrize(
    "where",
    ["before the transaction", "inside the transaction", "while adopting", "while filling the cache", "nowhere"],
)
def test_sudden_death_leaves_a_whole_site(work, site, ada, where):
    head = work.commit([AddFile("a", b"1")])
    growth.write_settings(site.data_dir)
    args = [str(site.data_dir), str(work.repo.id), str(ada.account_id), where]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), *args], capture_output=True, text=True, check=False
    )
    assert done.returncode == (0 if where == "nowhere" else -signal.SIGKILL), done.stderr
    with work.open() as snap:
        assert (snap.resolve("main") == head) == (where != "nowhere")
    work.git("fsck", "--strict")
    work.commit([AddFile("b", b"2")])
    lose_cache(work)
    work.git("fsck", "--strict")


def test_two_processes_share_one_cache(work, site, ada):
    """Each reads what the other wrote at once; the version is compared, not remembered."""
    other = GitStore(site.db, site.blobs, work.store.cache_dir)
    for n in range(5):
        commit = work.commit([AddFile("a", b"%d" % n)])
        with other.open(work.repo.id) as snap:
            assert snap.resolve("main") == commit
            assert snap.read_blob(snap.entry(commit, "a").oid) == b"%d" % n

"""Packs, refs and their collector: what keeps a push, a reader and a prune from harming one another."""

from __future__ import annotations

import ast
import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from headwater import ledger
from headwater.hub import git
from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Draft, InlineFile
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.events import RefMove
from headwater.hub.git import AddFile, build_commit, collector, objects, publish, store
from headwater.hub.git import push as pushing
from headwater.hub.git.lastchanged import build_last_changed
from headwater.hub.git.packs import PackWriter
from headwater.hub.git.pktline import pkt
from headwater.hub.git.snapshot import git_command
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.repos import service as repos
from headwater.hub.tables.git import last_changed_node, last_changed_root
from headwater.hub.tables.repositories import pack, pack_bytes
from headwater.kernel import utcnow
from tests.git.conftest import AUTHOR
from tests.xet.making import Body

MODEL, NAME = RepoKind.MODEL, RepoName("ada", "m")
INLINE_BYTES = 64 << 10


class PushBody(Body):
    """What git sends: it is read in pieces."""

    def read(self, n: int = -1) -> bytes:
        got = bytes(self._left[:n] if n >= 0 else self._left)
        self._left = self._left[len(got) :]
        return got


def push_of(parent: str, tree: str, folder) -> tuple[str, bytes]:
    """A commit on ``parent`` in a pack of its own, which has neither its tree nor anything else; and the body of its push."""
    who = b"a <a@b> 1900000000 +0000"
    with PackWriter(folder) as packs:
        text = b"tree %s\nparent %s\nauthor %s\ncommitter %s\n\nx\n" % (tree.encode(), parent.encode(), who, who)
        new = packs.add(1, text).hex()
        data = packs.finish().data
    line = f"{'0' * 40} {new} refs/heads/again\0report-status".encode()
    return new, pkt(line) + b"0000" + data


def test_a_push_that_was_checked_before_a_prune_is_checked_again(work, site, ada, monkeypatch, tmp_path):
    """It builds on a branch that was just deleted: its objects are here when they are looked for, and gone when it counts."""
    base = work.commit([AddFile("a", b"1")])
    work.branch("side", base)
    side = work.commit([AddFile("only", b"here")], branch="side")
    with work.open() as snap:
        tree = snap.raw_commit(side).tree
    work.branch("side", None)
    _, body = push_of(side, tree, tmp_path)
    pruned = []

    def publish_after_a_prune(*args, **kwargs):
        if not pruned:
            pruned.append(collector.prune_repository(site, ada, work.repo.id))
        return publish(*args, **kwargs)

    monkeypatch.setattr(pushing, "publish", publish_after_a_prune)
    report = pushing.receive(site, ada, MODEL, NAME, PushBody(body))
    assert pruned
    assert b"unpack Objects are missing" in report, report
    with work.open() as snap:
        assert set(snap.refs) == {"refs/heads/main"}
    work.git("fsck", "--strict", "--connectivity-only")


def test_a_push_that_needs_nothing_of_what_a_prune_took_comes_through(work, site, ada, monkeypatch, tmp_path):
    base = work.commit([AddFile("a", b"1")])
    with work.open() as snap:
        tree = snap.raw_commit(base).tree
    new, body = push_of(base, tree, tmp_path)
    pruned = []

    def publish_after_a_prune(*args, **kwargs):
        if not pruned:
            pruned.append(collector.prune_repository(site, ada, work.repo.id))
        return publish(*args, **kwargs)

    monkeypatch.setattr(pushing, "publish", publish_after_a_prune)
    assert b"ok refs/heads/again" in pushing.receive(site, ada, MODEL, NAME, PushBody(body))
    with work.open() as snap:
        assert snap.refs["refs/heads/again"] == new
    work.git("fsck", "--strict")


def test_merging_packs_is_no_prune_and_lets_a_commit_through(work, site, ada):
    for n in range(4):
        work.commit([AddFile("a", b"%d" % n)])
    with work.open() as snap:
        head = snap.resolve("main")
        built = build_commit(snap, head, [AddFile("b", b"1")], title="x", now=work.now, **AUTHOR)
        collector.merge_packs(site, {"repo_id": work.repo.id})
        move = RefMove("refs/heads/main", head, built.commit)
        publish(site, ada, work.repo.id, [move], built, epoch=snap.prune_epoch, now=work.now)
    work.git("fsck", "--strict")


@pytest.mark.parametrize("over", [False, True])
def test_small_packs_lie_in_a_table_of_their_own_and_large_ones_do_not(work, site, ada, over):
    """Up to 64 KiB, to the byte."""
    with work.open() as snap:
        head = snap.resolve("main")
        size = INLINE_BYTES
        for _ in range(20):  # until the pack, and not the file in it, has just the size
            built = build_commit(snap, head, [AddFile("f", os.urandom(size))], title="x", now=work.now, **AUTHOR)
            off = built.pack.size_bytes - (INLINE_BYTES + over)
            if off == 0:
                break
            size -= off
        assert built.pack.size_bytes == INLINE_BYTES + over
        move = RefMove("refs/heads/main", head, built.commit)
        publish(site, ada, work.repo.id, [move], built, epoch=snap.prune_epoch, now=work.now)

    def find(tx):
        query = select(pack, pack_bytes.c.pack_id).outerjoin(pack_bytes, pack_bytes.c.pack_id == pack.c.id)
        return tx.execute(query.where(pack.c.name == built.pack.name)).one()

    row, keys = site.db.read(find), [found.key for found in site.blobs.iter_keys("git/")]
    assert row.is_inline is not over
    assert (row.pack_id is None) is over
    assert len(keys) == (2 if over else 0)  # the pack, and its index beside it


def test_a_reader_whose_pack_is_gone_reads_the_list_again(work, site, monkeypatch):
    """It took the list, then packs were merged, and the grace time went by."""
    for n in range(4):
        work.commit([AddFile(f"f{n}", os.urandom(100_000))])
    stale = site.db.read(store.read_state, work.repo.id)
    collector.merge_packs(site, {"repo_id": work.repo.id})
    site.db.write(store.delete_retired, utcnow() + timedelta(days=1))
    gone = list(collector.remove_orphans(site, age_s=-1))
    assert gone
    answers = [stale]
    read_state = store.read_state
    monkeypatch.setattr(store, "read_state", lambda tx, repo_id: answers.pop() if answers else read_state(tx, repo_id))
    work.store.forget(work.repo.id)
    work.store.evict(0)
    work.git("fsck", "--strict")
    assert not answers


def test_a_folder_from_before_a_crash_of_the_machine_is_made_anew(work):
    """It was never synced. What git itself reads there is asked, not what this process has in memory."""
    work.commit([AddFile("f", os.urandom(100_000))])
    with work.open() as snap:
        folder = snap.folder
    version, _, boot = (folder / "headwater-version").read_text().partition(" ")
    assert boot
    for path in (folder / "objects/pack").iterdir():
        size = path.stat().st_size
        path.unlink()  # another name of the object, in a store that is a folder
        path.write_bytes(bytes(size))
    (folder / "headwater-version").write_text(f"{version} another-boot")
    work.store.forget(work.repo.id)
    work.git("fsck", "--strict")


def test_a_git_child_keeps_the_folder_it_reads(work):
    """Its descriptor is the reader's own: eviction waits for the child, even when whoever began it is gone."""
    work.commit([AddFile("f", os.urandom(100_000))])
    with work.open() as snap:
        snap.folder  # noqa: B018 -- made when first asked for
        child = subprocess.Popen(
            git_command(snap.folder, "cat-file", "--batch"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(snap.lock_fd,),
        )
    assert work.store.evict(0) == 0
    child.communicate(b"HEAD\n", timeout=30)
    assert child.returncode == 0
    assert work.store.evict(0) == 1


def test_every_git_child_of_the_hub_is_given_the_lock():
    """Whatever is run on a cache folder is handed a descriptor that keeps the folder in place."""
    runs = 0
    for path in Path(git.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and any(_names_git(arg) for arg in node.args):
                runs += 1
                assert "pass_fds" in {keyword.arg for keyword in node.keywords}, f"{path.name}:{node.lineno}"
    assert runs >= 4


def _names_git(arg: ast.expr) -> bool:
    arg = arg.value if isinstance(arg, ast.Starred) else arg
    return isinstance(arg, ast.Call) and getattr(arg.func, "id", "") == "git_command"


def test_nodes_are_reused_and_never_changed(work, site):
    """A folder that is as a parent's has the parent's node; the first parent's, or another's of the same content."""

    def rows(tx):
        nodes = {row.number: (row.whole, row.data) for row in tx.execute(select(last_changed_node))}
        return nodes, {row.commit_oid: row.node for row in tx.execute(select(last_changed_root))}

    def build():
        build_last_changed(site, {"repo_id": work.repo.id})
        return site.db.read(rows)

    work.commit([AddFile("d/a", b"1"), AddFile("e/b", b"1")])
    first, _ = build()
    changed = work.commit([AddFile("d/a", b"2")])
    second, roots = build()
    assert len(second) == len(first) + 2  # the root and d; e is as it was
    assert first.items() <= second.items()
    with work.open() as snap:
        start = snap.raw_commit(changed).parents[0]
        merged = build_commit(
            snap, start, [AddFile("d/a", b"2")], title="m", now=work.now, merged=[changed], **AUTHOR
        )  # to what the second parent has
        move = RefMove("refs/heads/merged", None, merged.commit)
        publish(site, work.actor, work.repo.id, [move], merged, epoch=snap.prune_epoch, now=work.now)
    third, after = build()
    assert after[merged.commit] == roots[changed]
    assert third == second
    with work.open() as snap:
        ours = build_commit(snap, changed, [], title="ours", now=work.now, merged=[start], **AUTHOR)
        move = RefMove("refs/heads/ours", None, ours.commit)
        publish(site, work.actor, work.repo.id, [move], ours, epoch=snap.prune_epoch, now=work.now)
    third, after = build()
    assert after[ours.commit] == roots[changed]
    assert third == second
    for n in range(40):  # each is one step from a complete one, however long the row of differences
        work.commit([AddFile(f"many/{m}", b"%d" % n) for m in range(60 if n == 0 else 1)])
    fourth, _ = build()
    assert third.items() <= fourth.items()
    assert {whole for whole, _ in fourth.values() if whole is not None} <= {
        number for number, (whole, _) in fourth.items() if whole is None
    }


@pytest.mark.parametrize(
    "other", [{"title": "another"}, {"author_name": "Bob"}, {"author_email": "bob@example.org"}, {}]
)
def test_only_the_very_same_act_is_a_retry(work, other):
    """Same parent, tree, message and author; whatever the time."""
    said = {"title": "same", **AUTHOR}
    with work.open() as snap:
        head = snap.resolve("main")
        later = work.now + timedelta(hours=1)
        built = build_commit(snap, head, [AddFile("x", b"1")], now=later, **{**said, **other})
    made = work.commit([AddFile("x", b"1")], title="same")
    with work.open() as snap:
        assert git.is_retry_of(snap, made, built) is (not other)


def test_no_commit_is_older_than_its_parents(work):
    """Not even where this host's clock is behind that of whoever made the parent."""
    head = work.commit([AddFile("x", b"1")])
    with work.open() as snap:
        of_parent = snap.raw_commit(head).committed_s
        built = build_commit(snap, head, [AddFile("y", b"1")], title="t", now=work.now - timedelta(days=1), **AUTHOR)
    assert objects.parse_commit(built.data).committed_s == of_parent


def test_a_name_that_is_used_again_is_another_repository(work, site, ada):
    """Its number was never given before, so that nothing that still knows the old one reaches the new."""
    work.commit([AddFile("secret", b"of the first")])
    site.db.write(repos.delete_repository, ada, MODEL, NAME, now=utcnow())
    again = repos.create_repository(site, ada, MODEL, NAME)
    assert again.id > work.repo.id
    with work.store.open(again.id) as snap:
        assert snap.entry(snap.resolve("main"), "secret") is None
    with pytest.raises(RepositoryNotFound), work.open():
        pass


def test_a_commit_that_changes_nothing_moves_nothing(work, site, ada):
    def send():
        return commit_draft(site, ada, MODEL, NAME, "main", Draft("same", "", None, [InlineFile("a", b"1")])).commit

    first = send()
    before = site.db.read(store.read_head, work.repo.id), site.db.read(ledger.count_entries, repo_id=work.repo.id)
    assert send() == first
    assert before == (
        site.db.read(store.read_head, work.repo.id),
        site.db.read(ledger.count_entries, repo_id=work.repo.id),
    )

"""Last-changed answers against git's own, on random histories with merges; logs, diffs and merges."""

from __future__ import annotations

import random

import pytest

from headwater.hub.errors import AmbiguousRevision, RevisionNotFound
from headwater.hub.events import RefMove
from headwater.hub.git import (
    AddFile,
    ChangeKind,
    DeleteFile,
    DeleteFolder,
    build_commit,
    merge_commit,
    nodes,
    publish,
)
from headwater.hub.git.lastchanged import Builder, build_last_changed
from tests.git.conftest import AUTHOR


def random_history(work, rng, n_commits):
    """Branches, edits, deletions, files that become folders, reverts, octopus-free merges, all in few names."""
    names = ["a", "b", "d/a", "d/b", "d/e/a", "d/e/b", "f/a", "f/b", "g"]
    with work.open() as snap:
        commits = [snap.resolve("main")]
    for n in range(n_commits):
        parents = [rng.choice(commits[-6:])]
        if rng.random() < 0.35 and len(commits) > 3:
            other = rng.choice(commits[-8:])
            if other not in parents:
                parents.append(other)
        with work.open() as snap:
            here = {e.path for e in snap.iter_files(parents[0])}
            operations = []
            for path in rng.sample(names, rng.randint(0 if len(parents) > 1 else 1, 3)):
                if path in here and rng.random() < 0.3:
                    operations.append(DeleteFile(path))
                else:
                    operations.append(AddFile(path, b"%d" % rng.randint(0, 3)))
            if len(parents) > 1:
                for entry in snap.iter_files(parents[1]):
                    if rng.random() < 0.5 and entry.path not in {o.path for o in operations}:
                        operations.append(AddFile(entry.path, snap.read_blob(entry.oid)))
            work.now += work.now.resolution * 1_000_000
            built = build_commit(snap, parents[0], operations, title=f"{n}", now=work.now, merged=parents[1:], **AUTHOR)
            if not built.changed:
                continue
            ref = f"refs/heads/r{len(commits)}"
            move = RefMove(ref, None, built.commit)
            publish(work.site, work.actor, work.repo.id, [move], built, epoch=snap.prune_epoch, now=work.now)
            commits.append(built.commit)
    return commits


@pytest.mark.parametrize("seed", range(6))
def test_last_changed_is_what_git_log_says(work, seed):
    rng = random.Random(seed)
    commits = random_history(work, rng, 40)
    sample = rng.sample(commits, 6) + commits[-2:]
    want = {}
    for commit in sample:
        for path in work.git("ls-tree", "-r", "-t", "--name-only", commit).split():
            want[commit, path] = work.git("log", "-1", "--format=%H", commit, "--", path).strip()

    def answers():
        found = {}
        with work.open() as snap:
            for commit in sample:
                folders = [""] + [e.path for e in snap.list_tree(commit, recursive=True) if e.kind == "directory"]
                for folder in folders:
                    for name, info in snap.last_changed(commit, folder).items():
                        found[commit, f"{folder}/{name}" if folder else name] = info.oid
        return found

    assert answers() == want  # walked
    with work.open() as snap:
        for commit in rng.sample(commits, 5):  # some are built before the rest is known
            builder = Builder(snap, work.repo.id, work.site)
            builder._heads = lambda commit=commit: {commit}
            builder.build()
    assert answers() == want
    build_last_changed(work.site, {"repo_id": work.repo.id})
    assert answers() == want  # from nodes
    with work.open() as snap:
        assert Builder(snap, work.repo.id, work.site).build() == 0


def test_nodes_come_back_as_they_were_written():
    rng = random.Random(1)
    whole = {b"n%d" % n: (rng.randbytes(20), rng.randint(0, 2**40)) for n in range(300)}
    assert nodes.decode(nodes.encode_whole(whole), None) == whole
    changed = dict(whole)
    changed[b"n3"] = (b"x" * 20, 0)
    del changed[b"n7"]
    changed[b"new"] = (b"y" * 20, 5)
    data = nodes.encode_difference(changed, whole)
    assert len(data) < 200
    assert nodes.decode(data, whole) == changed
    assert nodes.encode_difference({b"q%d" % n: (b"z" * 20, 0) for n in range(300)}, whole) is None


def test_nodes_stay_small_in_a_large_folder(work):
    work.commit([AddFile(f"big/{n}", b"%d" % n) for n in range(2000)])
    for n in range(20):
        work.commit([AddFile(f"big/{n}", b"x")])
    build_last_changed(work.site, {"repo_id": work.repo.id})
    from headwater.hub.tables.git import last_changed_node

    sizes = work.site.db.read(lambda tx: [len(r.data) for r in tx.execute(last_changed_node.select())])
    assert sum(sizes) < 60_000
    with work.open() as snap:
        found = snap.last_changed("".join(work.git("rev-parse", "main").split()), "big", ["3", "1999"])
        assert found["3"].committed_at > found["1999"].committed_at


def test_log_pages_and_paths(work):
    commits = [work.commit([AddFile("a" if n % 2 else "d/b", b"%d" % n)], title=f"c{n}") for n in range(10)]
    with work.open() as snap:
        head = commits[-1]
        whole = snap.log(head)
        assert [c.title for c in whole[:10]] == [f"c{n}" for n in reversed(range(10))]
        assert snap.count_commits(head) == len(whole) == 11
        pages, after = [], None
        while page := snap.log(head, after=after, limit=3):
            pages += page
            after = page[-1].oid
        assert pages == whole
        assert [c.title for c in snap.log(head, path="d")] == ["c8", "c6", "c4", "c2", "c0"]
        second = snap.log(head, path="d", after=snap.log(head, path="d", limit=2)[-1].oid, limit=2)
        assert [c.title for c in second] == ["c4", "c2"]
        assert snap.log(head, path="nowhere") == []
        with pytest.raises(RevisionNotFound):
            snap.log("0" * 40)
        with pytest.raises(RevisionNotFound):
            snap.log(head, after="0" * 40)


def test_revisions(work):
    first = work.commit([AddFile("a", b"1")])
    work.branch("feat/x", first)
    second = work.commit([AddFile("a", b"2")])
    with work.open() as snap:
        for name in ("main", "", "HEAD", "refs/heads/main", "heads/main", second, second[:7], second[:12]):
            assert snap.resolve(name) == second
        assert snap.resolve("feat/x") == first
        for name in ("nope", "0" * 40, "0" * 7, second[:6], snap.raw_commit(first).tree, "..", "main\0", "\ud800"):
            with pytest.raises(RevisionNotFound):
                snap.resolve(name)
        assert snap.is_on_branch(first)
    assert work.git("rev-parse", "HEAD").strip() == second


def test_ambiguous_short_shas(work):
    """Two commits whose ids begin alike: found by trying messages, among what fits one pack."""
    from headwater.hub.git import objects
    from headwater.hub.git.packs import PackWriter

    with work.open() as snap:
        head = snap.resolve("main")
        tree = snap.raw_commit(head).tree
    seen, pair = {}, None
    n = 0
    while pair is None:
        data = objects.format_commit(
            tree, [head], author_name="a", author_email="a", author_s=n, committer_s=2_000_000_000, message="m\n"
        )
        prefix = objects.object_id(objects.COMMIT, data)[:4].hex()[:7]
        if prefix in seen:
            pair = prefix, seen[prefix], data
        seen[prefix] = data
        n += 1
    prefix, one, two = pair
    with PackWriter(work.site.blobs.tmp) as pack:
        pack.add(objects.COMMIT, one)
        oid = pack.add(objects.COMMIT, two).hex()
        built = pack.finish()
    with work.open() as snap:
        move = RefMove("refs/heads/alike", None, oid)
        publish(work.site, work.actor, work.repo.id, [move], built, epoch=snap.prune_epoch, now=work.now)
    with work.open() as snap:
        with pytest.raises(AmbiguousRevision):
            snap.resolve(prefix)
        assert snap.resolve(oid) == oid


def test_diff(work):
    base = work.commit(
        [
            AddFile("text", b"one\ntwo\nthree\n"),
            AddFile("moved", b"stays the same\n" * 5),
            AddFile("bin", b"\0\1\2"),
            AddFile("gone/x", b"x\n"),
            AddFile("long", b"line\n" * 10),
        ]
    )
    head = work.commit(
        [
            AddFile("text", b"one\n2\nthree\n"),
            AddFile("to/here", b"stays the same\n" * 5),
            DeleteFile("moved"),
            AddFile("bin", b"\0\1\3"),
            DeleteFolder("gone"),
            AddFile("long", b"".join(b"line %d\n" % n for n in range(20_000))),
        ]
    )
    with work.open() as snap:
        found = snap.diff(base, head)
        by_path = {f.path: f for f in found.files}
        assert {p: f.kind for p, f in by_path.items()} == {
            "text": ChangeKind.MODIFIED,
            "to/here": ChangeKind.RENAMED,
            "bin": ChangeKind.MODIFIED,
            "gone/x": ChangeKind.DELETED,
            "long": ChangeKind.MODIFIED,
        }
        assert by_path["bin"].is_binary
        assert by_path["long"].is_cut
        assert by_path["to/here"].old_path == "moved"
        assert found.is_cut
        text = by_path["text"]
        assert (text.n_added, text.n_deleted) == (1, 1)
        assert [(line.origin, line.text) for line in text.hunks[0].lines] == [
            (" ", "one\n"),
            ("-", "two\n"),
            ("+", "2\n"),
            (" ", "three\n"),
        ]
        assert "rename from moved" in found.unified()
        assert snap.diff(None, base).n_files == 6
        assert snap.diff(base, base).files == []
        small = snap.diff(base, head, path="text")
        assert [f.path for f in small.files] == ["text"]


def test_diffs_apply_with_git(work, tmp_path):
    base = work.commit([AddFile("a", b"1\n2\n3\n"), AddFile("b", b"no newline"), AddFile("c/d", b"x\n")])
    head = work.commit(
        [AddFile("a", b"1\n2\nthree\n4"), AddFile("b", b"with one\n"), DeleteFile("c/d"), AddFile("e", b"new\n")]
    )
    with work.open() as snap:
        patch = snap.diff(base, head).unified()
    from tests.git.live import git

    git("init", "-q", str(tmp_path / "w"))
    (tmp_path / "w/c").mkdir()
    for path, data in {"a": b"1\n2\n3\n", "b": b"no newline", "c/d": b"x\n"}.items():
        (tmp_path / "w" / path).write_bytes(data)
    (tmp_path / "p").write_text(patch)
    git("apply", "--verbose", str(tmp_path / "p"), cwd=tmp_path / "w")
    assert (tmp_path / "w/a").read_bytes() == b"1\n2\nthree\n4"
    assert not (tmp_path / "w/c/d").exists()


def merge(work, base, head):
    with work.open() as snap:
        return snap, merge_commit(snap, base, head, title="merge", now=work.now, **AUTHOR)


def test_merges_that_do_not_meet(work):
    root = work.commit([AddFile("a", b"1\n2\n3\n4\n5\n6\n7\n"), AddFile("b", b"b"), AddFile("d/x", b"x")])
    work.branch("topic", root)
    ours = work.commit([AddFile("a", b"one\n2\n3\n4\n5\n6\n7\n"), AddFile("new", b"n"), DeleteFile("b")])
    theirs = work.commit([AddFile("a", b"1\n2\n3\n4\n5\n6\nseven\n"), AddFile("d/y", b"y")], branch="topic")
    with work.open() as snap:
        result = merge_commit(snap, ours, theirs, title="merge", now=work.now, **AUTHOR)
        assert not result.conflicts
        move = RefMove("refs/heads/main", ours, result.built.commit)
        publish(work.site, work.actor, work.repo.id, [move], result.built, epoch=snap.prune_epoch, now=work.now)
    with work.open() as snap:
        head = snap.resolve("main")
        assert snap.read_blob(snap.entry(head, "a").oid) == b"one\n2\n3\n4\n5\n6\nseven\n"
        assert {e.path for e in snap.iter_files(head)} == {".gitattributes", "a", "new", "d/x", "d/y"}
        assert snap.commit_info(head).parents == (ours, theirs)
        assert merge_commit(snap, head, theirs, title="m", now=work.now, **AUTHOR).is_merged
        assert merge_commit(snap, root, theirs, title="m", now=work.now, **AUTHOR).is_fast_forward
    work.git("fsck", "--strict")


def test_conflicts_are_named_and_nothing_is_made(work):
    root = work.commit([AddFile("same", b"1\n"), AddFile("edited", b"1"), AddFile("d/deep", b"1\n")])
    work.branch("topic", root)
    ours = work.commit(
        [AddFile("same", b"2\n"), DeleteFile("edited"), AddFile("d/deep", b"2\n"), AddFile("both", b"1")]
    )
    theirs = work.commit(
        [AddFile("same", b"2\n"), AddFile("edited", b"3"), AddFile("d/deep", b"3\n"), AddFile("both", b"2")],
        branch="topic",
    )
    with work.open() as snap:
        result = merge_commit(snap, ours, theirs, title="merge", now=work.now, **AUTHOR)
    assert result.built is None
    assert sorted(result.conflicts) == ["both", "d/deep", "edited"]


@pytest.mark.parametrize("seed", range(4))
def test_merges_agree_with_git(work, seed, tmp_path):
    """Where git merges cleanly without renames, so do we, to the same tree; where it does not, we name conflicts."""
    from tests.git.live import git

    rng = random.Random(seed)
    commits = random_history(work, rng, 14)
    folder = tmp_path / "w"
    with work.open() as snap:
        git("clone", "-q", "--no-checkout", str(snap.folder), str(folder))
        for _ in range(10):
            a, b = rng.sample(commits, 2)
            result = merge_commit(snap, a, b, title="m", now=work.now, **AUTHOR)
            git("checkout", "-q", "--force", "--detach", a, cwd=folder)
            git("clean", "-qfdx", cwd=folder)
            done = git(
                "-c", "merge.renames=false", "merge", "-q", "--no-ff", "-s", "recursive", b, cwd=folder, check=False
            )
            tree = git("rev-parse", "HEAD^{tree}", cwd=folder).stdout.strip()
            if result.is_merged:
                assert git("merge-base", "--is-ancestor", b, a, cwd=folder, check=False).returncode == 0
            elif done.returncode == 0:
                if result.conflicts:  # several merge bases: git merges those first, we take one
                    assert len(git("merge-base", "--all", a, b, cwd=folder).stdout.split()) > 1
                else:
                    same = result.built.tree == tree
                    assert same or len(git("merge-base", "--all", a, b, cwd=folder).stdout.split()) > 1
            else:
                git("merge", "--abort", cwd=folder, check=False)
                assert result.conflicts or len(git("merge-base", "--all", a, b, cwd=folder).stdout.split()) > 1

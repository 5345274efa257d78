"""Commits by operations: the objects are git's own, only what changes is written, paths are judged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Draft, InlineFile
from headwater.hub.errors import BadPath, FileNotFound, HeadMoved
from headwater.hub.events import RefMove
from headwater.hub.git import (
    AddFile,
    AddPointer,
    CopyEntry,
    DeleteFile,
    DeleteFolder,
    EntryKind,
    build_commit,
    format_pointer,
    is_retry_of,
    objects,
    parse_pointer,
    publish,
)
from headwater.hub.git.collector import prune_repository
from headwater.hub.git.errors import PathInTheWay, RefInTheWay, RepositoryPruned
from tests.git.conftest import AUTHOR


def paths(work, rev="main"):
    return work.git("ls-tree", "-r", "--name-only", rev).split()


def test_files_come_back_as_they_were_written(work):
    commit = work.commit([AddFile("a.txt", b"one"), AddFile("dir/sub/b.txt", b"two")], title="first\n\nbody")
    work.git("fsck", "--strict")
    with work.open() as snap:
        assert snap.resolve("main") == commit
        entry = snap.entry(commit, "dir/sub/b.txt")
        assert entry.kind is EntryKind.FILE
        assert entry.size_bytes == 3
        assert snap.read_blob(entry.oid) == b"two"
        assert [e.path for e in snap.list_tree(commit)] == [".gitattributes", "a.txt", "dir"]
        assert [e.path for e in snap.list_tree(commit, "dir", recursive=True)] == ["dir/sub", "dir/sub/b.txt"]
        with pytest.raises(FileNotFound):
            snap.list_tree(commit, "nowhere")
        assert snap.commit_info(commit).author_name == "Ada"


def test_only_changed_trees_are_written(work):
    work.commit([AddFile(f"d{n}/f{m}", b"%d" % m) for n in range(10) for m in range(10)])
    with work.open() as snap:
        head = snap.resolve("main")
        built = build_commit(snap, head, [AddFile("d3/f3", b"new")], title="x", now=work.now, **AUTHOR)
    assert built.pack.n_objects == 4  # blob, folder, root, commit


def test_the_same_tree_again_is_no_commit(work):
    first = work.commit([AddFile("a", b"1")])
    assert work.commit([AddFile("a", b"1")]) == first


def test_deletions_empty_folders_and_copies(work):
    work.commit([AddFile("d/e/f", b"1"), AddFile("d/g", b"2"), AddFile("h", b"3")])
    work.commit([CopyEntry("d", "copy"), DeleteFile("d/e/f")])
    assert paths(work) == [".gitattributes", "copy/e/f", "copy/g", "d/g", "h"]
    work.commit([DeleteFolder("copy/"), AddFile("d/g/now-a-folder", b"x"), DeleteFile("d/g")])
    assert paths(work) == [".gitattributes", "d/g/now-a-folder", "h"]
    with pytest.raises(FileNotFound):
        work.commit([DeleteFile("nothing")])
    with pytest.raises(FileNotFound):
        work.commit([DeleteFile("d")])
    with pytest.raises(FileNotFound):
        work.commit([DeleteFolder("h")])
    with pytest.raises(FileNotFound):
        work.commit([CopyEntry("nothing", "x")])
    work.git("fsck", "--strict")


@pytest.mark.parametrize(
    "path", ["../x", "a//b", ".git/config", "a/.GIT/x", "/a", "a/", "", "a\0b", "a\\b", "x" * 4096]
)
def test_bad_paths_are_refused(work, path):
    with pytest.raises(BadPath):
        work.commit([AddFile(path, b"")])


def test_a_file_is_not_a_folder(work):
    work.commit([AddFile("a", b"1"), AddFile("d/x", b"1")])
    for operation in (AddFile("a/b", b""), AddFile("d", b""), AddPointer("a/b/c", "0" * 64, 1), CopyEntry("a", "d")):
        with pytest.raises(PathInTheWay):
            work.commit([operation])
    with pytest.raises(PathInTheWay):
        work.commit([AddFile("n", b""), AddFile("n/m", b"")])


def test_git_finds_names_that_look_like_entries(work):
    # The end of a longer name may look like the beginning of an entry.
    names = ["100644 a", "a", "40000 b", "b", "b.c", "b0", "x 100644 a"]
    work.commit([AddFile(name, name.encode()) for name in names])
    work.commit([AddFile(name, name.encode() * 2) for name in ("a", "b", "b/c"[:1])])
    with work.open() as snap:
        head = snap.resolve("main")
        for name in names:
            want = name.encode() * (2 if name in "ab" else 1)
            assert snap.read_blob(snap.entry(head, name).oid) == want
    work.git("fsck", "--strict")


name = st.sampled_from([b"a", b"b", b"a.b", b"a-b", b"ab", b"a0", b"b a", b"40000 a", b"100644 b", b"z" * 40])
entry = st.tuples(st.sampled_from([0o100644, 0o40000, 0o120000]), st.binary(min_size=20, max_size=20))


@given(st.dictionaries(name, entry), st.dictionaries(name, st.none() | entry))
def test_editing_a_tree_equals_writing_it_anew(before, changes):
    raw = objects.format_tree((mode, n, oid) for n, (mode, oid) in before.items())
    after = {n: v for n, v in (before | changes).items() if v is not None}
    want = objects.format_tree((mode, n, oid) for n, (mode, oid) in after.items())
    assert objects.edit_tree(raw, changes) == want
    one_by_one = raw
    for changed, value in changes.items():
        one_by_one = objects.edit_tree(one_by_one, {changed: value})
    assert one_by_one == want
    for n, (mode, oid) in before.items():
        assert objects.find_in_tree(raw, n) == (mode, n, oid)


def test_pages_of_a_tree_join_to_the_whole(work):
    files = [f"{a}/{b}.txt" for a in ("a", "a.b", "a-b", "c/d/e") for b in range(7)] + ["a0", "zz"]
    commit = work.commit([AddFile(path, path.encode()) for path in files])
    with work.open() as snap:
        for recursive in (True, False):
            whole = snap.list_tree(commit, recursive=recursive, limit=None)
            for size in (1, 2, 5):
                pages, after = [], None
                while page := snap.list_tree(commit, recursive=recursive, after=after, limit=size):
                    pages += page
                    after = page[-1].path
                assert pages == whole
        listed = [e.path for e in snap.list_tree(commit, recursive=True, limit=None)]
    assert listed == work.git("ls-tree", "-r", "-t", "--name-only", "main").split()


def test_a_moved_parent_is_refused(work, site, ada):
    with work.open() as snap:
        head = snap.resolve("main")
        built = build_commit(snap, head, [AddFile("x", b"1")], title="x", now=work.now, **AUTHOR)
        work.commit([AddFile("y", b"2")])
        with pytest.raises(HeadMoved):
            publish(
                site,
                ada,
                work.repo.id,
                [RefMove("refs/heads/main", head, built.commit)],
                built,
                epoch=snap.prune_epoch,
                now=work.now,
            )
        assert not is_retry_of(snap, head, built)
    assert "x" not in paths(work)


def test_what_was_built_before_a_prune_is_refused(work, site, ada):
    with work.open() as snap:
        head = snap.resolve("main")
        built = build_commit(snap, head, [AddFile("x", b"1")], title="x", now=work.now, **AUTHOR)
        move = RefMove("refs/heads/main", head, built.commit)
        with pytest.raises(RepositoryPruned):
            publish(site, ada, work.repo.id, [move], built, epoch=snap.prune_epoch + 1, now=work.now)


class PrunedMeanwhile(list):
    """Changes of a commit; while they are looked at, the repository is pruned ``n_times``."""

    def __init__(self, changes, n_times, prune):
        super().__init__(changes)
        self.n_left, self.prune = n_times, prune

    def __iter__(self):
        if self.n_left:
            self.n_left -= 1
            self.prune()
        return super().__iter__()


@pytest.mark.parametrize("has_parent", [False, True])
def test_a_commit_is_built_again_where_the_repository_was_pruned_meanwhile(work, site, ada, has_parent):
    head = work.commit([AddFile("old", b"0")])
    changes = PrunedMeanwhile([InlineFile("new", b"1")], 4, lambda: prune_repository(site, ada, work.repo.id))
    draft = Draft("x", "", head if has_parent else None, changes)
    made = commit_draft(site, ada, work.repo.kind, work.repo.name, "main", draft)
    assert changes.n_left == 0
    assert {"old", "new"} <= set(paths(work))
    with work.open() as snap:
        assert snap.resolve("main") == made.commit
        assert snap.prune_epoch >= 3


def test_a_ref_cannot_be_the_folder_of_another(work):
    head = work.commit([AddFile("x", b"1")])
    work.branch("a/b", head)
    for name in ("a", "a/b/c"):
        with pytest.raises(RefInTheWay):
            work.branch(name, head)
    work.branch("a-b", head)
    work.branch("a/c", head)


def test_a_retry_is_recognised(work):
    with work.open() as snap:
        head = snap.resolve("main")
        built = build_commit(snap, head, [AddFile("x", b"1")], title="same", now=work.now, **AUTHOR)
    made = work.commit([AddFile("x", b"1")], title="same")
    with work.open() as snap:
        assert snap.resolve("main") == made
        assert is_retry_of(snap, made, built)


@given(st.integers(0, 10**17), st.binary(min_size=32, max_size=32))
def test_pointers_round_trip(size, digest):
    pointer = parse_pointer(format_pointer(digest.hex(), size))
    assert (pointer.sha256, pointer.size_bytes) == (digest.hex(), size)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_pointer_or_none(data):
    assert parse_pointer(data) is None
    assert parse_pointer(b"version https://git-lfs.github.com/spec/v1\n" + data) is None


def test_large_commits_go_through_a_file(work, site):
    import os

    blobs = {f"f{n}": os.urandom(3 << 20) for n in range(5)}
    commit = work.commit([AddFile(path, data) for path, data in blobs.items()])
    assert not list(site.blobs.tmp.iterdir())
    with work.open() as snap:
        for path, data in blobs.items():
            assert snap.read_blob(snap.entry(commit, path).oid) == data
    work.git("fsck", "--strict")
    assert len([stored for stored in site.blobs.iter_keys("git/") if stored.key.endswith(".pack")]) == 1

"""After a clone of a large repository the next one need not walk it; and nothing else changes."""

from __future__ import annotations

import subprocess

import pytest

from headwater.hub.git import collector
from tests.conftest import wait_for
from tests.git.live import actor_named, address, commit_files, git, make_repo

N_FILES = 10_200


@pytest.fixture(scope="module")
def large(live_app, tmp_path_factory):
    """A repository of so many files, pushed; and its clone."""
    repo = make_repo(live_app, "ada/many-files")
    folder = tmp_path_factory.mktemp("many") / "work"
    git("init", "-q", str(folder))
    stream = b"commit refs/heads/main\ncommitter Ada <ada@example.org> 1700000000 +0000\ndata 3\nall\n"
    for n in range(N_FILES):
        data = b"file %d\n" % n
        stream += b"M 100644 inline d%d/f%d\ndata %d\n%s\n" % (n // 100, n % 100, len(data), data)
    subprocess.run(["git", "fast-import", "--quiet"], cwd=folder, input=stream, check=True)
    git("remote", "add", "origin", address(live_app, "ada/many-files", "ada"), cwd=folder)
    git("push", "-qf", "origin", "main", cwd=folder)
    git("reset", "-q", "--hard", cwd=folder)
    return repo, folder


def bitmaps(app, repo):
    return list((app.data / "cache/git").glob(f"??/{repo.id}-*.git/objects/pack/multi-pack-index-*.bitmap"))


def listed(folder) -> list[str]:
    return git("ls-tree", "-r", "HEAD", cwd=folder).stdout.splitlines()


def test_clones_are_the_same_before_and_after(live_app, large, tmp_path):
    repo, work = large
    url = address(live_app, "ada/many-files")
    git("clone", "-q", "--bare", url, str(tmp_path / "one"))
    wait_for(lambda: bitmaps(live_app, repo), what="a bitmap after the first clone")
    git("clone", "-q", "--bare", url, str(tmp_path / "two"))
    git("fsck", cwd=tmp_path / "two")
    assert listed(tmp_path / "two") == listed(tmp_path / "one") == listed(work)

    # What comes later lies beside it, and is read by everyone: git, the API, a partial and a shallow clone.
    head = commit_files(work, {"later/file": b"later"}, "later")
    git("push", "-q", "origin", "HEAD:main", cwd=work)
    git("clone", "-q", "--bare", url, str(tmp_path / "three"))
    assert listed(tmp_path / "three") == listed(work)
    assert live_app.hf(None).list_repo_refs("ada/many-files").branches[0].target_commit == head
    assert live_app.hf(None).get_paths_info("ada/many-files", ["later", "later/file", "d7/f7"])[1].size == 5
    git("clone", "-q", "--bare", "--filter=blob:none", url, str(tmp_path / "partial"))
    assert len(listed(tmp_path / "partial")) == N_FILES + 1
    git("clone", "-q", "--bare", "--depth=1", url, str(tmp_path / "shallow"))
    assert listed(tmp_path / "shallow") == listed(work)

    # Packs that go take it along; the next clone makes another.
    with live_app.opened() as site:
        collector.prune_repository(site, actor_named(site, "ada"), repo.id)
    git("clone", "-q", "--bare", url, str(tmp_path / "four"))
    assert listed(tmp_path / "four") == listed(work)
    wait_for(lambda: any(f"{repo.id}-1.git" in str(path) for path in bitmaps(live_app, repo)), what="another bitmap")

"""The real git against a real server."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

from headwater.hub.git import AddFile, GitStore, RefMove, build_commit, format_pointer, publish
from headwater.hub.git.packs import PackWriter
from headwater.hub.git.pktline import pkt
from headwater.hub.models import RepoKind
from headwater.kernel import utcnow
from tests.conftest import wait_for
from tests.git.live import actor_named, address, commit_files, git, make_repo


@pytest.fixture
def clone(live_app, tmp_path, request):
    """A repository of ada's of this test's own, and a clone of it."""
    name = f"ada/{request.node.name.replace('[', '-').replace(']', '')[:60].rstrip('-_.')}"
    make_repo(live_app, name)
    folder = tmp_path / "clone"
    git("clone", "-q", address(live_app, name, "ada"), str(folder))
    return name, folder


def refused(folder, *args: str, said: str):
    done = git("push", *args, cwd=folder, check=False)
    assert done.returncode != 0
    assert said in done.stderr.replace("\nremote: ", " "), done.stderr
    return done.stderr


def test_clone_push_fetch(live_app, tmp_path, clone):
    name, folder = clone
    first = commit_files(folder, {"a.txt": b"one", "d/b.bin": bytes(range(256))})
    git("push", "-q", "origin", "main", cwd=folder)
    other = tmp_path / "other"
    git("clone", "-q", address(live_app, f"{name}.git"), str(other))
    assert (other / "d/b.bin").read_bytes() == bytes(range(256))
    second = commit_files(folder, {"a.txt": b"two"})
    git("tag", "-a", "v1", "-m", "first", cwd=folder)
    git("push", "-q", "origin", "main", "v1", "HEAD:refs/heads/feature/x", cwd=folder)
    git("fetch", "-q", "--tags", cwd=other)
    assert git("rev-parse", "origin/main", "v1^{}", cwd=other).stdout.split() == [second, second]
    assert first in git("log", "--format=%H", "origin/main", cwd=other).stdout
    git("push", "-q", "origin", "--delete", "feature/x", "v1", cwd=folder)
    refs = git("ls-remote", address(live_app, name)).stdout
    assert "feature/x" not in refs
    assert "v1" not in refs
    git("fsck", "--strict", cwd=other)


def test_force_push_moves_a_branch_back(live_app, clone):
    _, folder = clone
    commit_files(folder, {"a": b"1"})
    git("push", "-q", "origin", "main", cwd=folder)
    git("commit", "-q", "--amend", "-m", "other", cwd=folder)
    assert git("push", "origin", "main", cwd=folder, check=False).returncode != 0
    git("push", "-q", "--force", "origin", "main", cwd=folder)


def test_shallow_and_partial_clones(live_app, tmp_path, clone):
    name, folder = clone
    for n in range(5):
        commit_files(folder, {f"f{n}": os.urandom(2000), "same": b"x%d" % n})
    git("push", "-q", "origin", "main", cwd=folder)
    url = address(live_app, name)
    git("clone", "-q", "--depth=2", url, str(tmp_path / "shallow"))
    assert git("rev-list", "--count", "HEAD", cwd=tmp_path / "shallow").stdout.strip() == "2"
    git("fetch", "-q", "--unshallow", cwd=tmp_path / "shallow")
    assert git("rev-list", "--count", "HEAD", cwd=tmp_path / "shallow").stdout.strip() == "6"
    git("clone", "-q", "--filter=blob:none", "--no-checkout", url, str(tmp_path / "partial"))
    missing = git("rev-list", "--objects", "--missing=print", "HEAD", cwd=tmp_path / "partial").stdout
    assert "?" in missing
    assert git("show", "HEAD:same", cwd=tmp_path / "partial").stdout == "x4"
    for version in ("0", "1", "2"):
        folder = tmp_path / f"v{version}"
        git("-c", f"protocol.version={version}", "clone", "-q", url, str(folder))
        assert (folder / "same").read_bytes() == b"x4"


def test_a_push_larger_than_gits_buffer_and_many_haves(live_app, tmp_path, clone):
    name, folder = clone
    data = {f"f{n}": os.urandom(1 << 20) for n in range(4)}
    commit_files(folder, data)
    git("push", "-q", "origin", "main", cwd=folder)
    other = tmp_path / "other"
    git("clone", "-q", address(live_app, name), str(other))
    assert {p: (other / p).read_bytes() for p in data} == data
    for n in range(60):  # what the other clone has and the server has not makes a long, zipped request
        git("commit", "-q", "--allow-empty", "-m", f"{n}", cwd=other)
    commit_files(folder, {"more": b"1"})
    git("push", "-q", "origin", "main", cwd=folder)
    git("fetch", "-q", cwd=other)


def test_every_kind_has_its_address(live_app, tmp_path):
    for kind, prefix in ((RepoKind.DATASET, "datasets/"), (RepoKind.SPACE, "spaces/"), (RepoKind.MODEL, "")):
        make_repo(live_app, "ada/addressed", kind)
        for suffix in ("", ".git"):
            folder = tmp_path / f"{kind.value}{suffix}"
            git("clone", "-q", address(live_app, f"{prefix}ada/addressed{suffix}"), str(folder))


def test_private_and_absent_are_the_same_to_strangers(live_app, tmp_path):
    make_repo(live_app, "ada/hidden", private=True)
    for path in ("ada/hidden", "ada/never-was"):
        url = f"{live_app.url}/{path}.git/info/refs?service=git-upload-pack"
        answer = httpx.get(url)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Basic")
        other = httpx.get(url, auth=("bob", live_app.token("bob")))
        assert (other.status_code, other.text) == (404, "Repository not found\n")
    git("clone", "-q", address(live_app, "ada/hidden", "ada", "read"), str(tmp_path / "x"))


def test_who_may_push(live_app, clone):
    name, folder = clone
    commit_files(folder, {"a": b"1"})
    for user, scope, said in ((None, "", "could not read Username"), ("ada", "read", "403"), ("bob", "write", "403")):
        done = git("push", address(live_app, name, user, scope), "main", cwd=folder, check=False)
        assert done.returncode != 0
        assert said in done.stderr


def test_racing_pushes_have_one_winner(live_app, tmp_path, clone):
    name, _ = clone
    url, folders = address(live_app, name, "ada"), []
    for n in range(4):
        folder = tmp_path / f"racer{n}"
        git("clone", "-q", url, str(folder))
        commit_files(folder, {f"mine{n}": b"%d" % n})
        folders.append(folder)
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda f: git("push", "origin", "main", cwd=f, check=False).returncode, folders))
    assert done.count(0) == 1
    winner = git("rev-parse", "HEAD", cwd=folders[done.index(0)]).stdout.strip()
    assert git("ls-remote", url, "refs/heads/main").stdout.split()[0] == winner


def test_large_files_outside_lfs_are_refused_by_name(live_app, clone):
    _, folder = clone
    commit_files(folder, {"deep/in/model.bin": os.urandom(10_000_001)})
    text = refused(folder, "origin", "main", said="git lfs")
    assert "deep/in/model.bin" in text
    git("rm", "-q", "deep/in/model.bin", cwd=folder)
    git("commit", "-q", "-m", "gone again", cwd=folder)
    refused(folder, "origin", "main", said="deep/in/model.bin")  # still in the history


def test_pointers_to_what_is_not_here_are_refused_by_name(live_app, clone):
    _, folder = clone
    commit_files(folder, {"weights/x.safetensors": format_pointer("ab" * 32, 123456)})
    refused(folder, "origin", "main", said="weights/x.safetensors")
    assert "main" in git("ls-remote", "origin", cwd=folder).stdout


def test_refs_that_may_not_be(live_app, clone):
    _, folder = clone
    commit_files(folder, {"a": b"1"})
    git("push", "-q", "origin", "main", cwd=folder)
    refused(folder, "origin", ":main", said="default branch")
    refused(folder, "origin", "HEAD:refs/odd/place", said="only branches")
    refused(folder, "origin", "HEAD:refs/pr/7", said="pull request 7")
    git("push", "-q", "origin", "HEAD:refs/heads/a/b", cwd=folder)
    refused(folder, "origin", "HEAD:refs/heads/a", said="cannot be made while")
    blob = git("hash-object", "-w", "a", cwd=folder).stdout.strip()
    refused(folder, "origin", f"{blob}:refs/tags/blob", said="must lead to a commit")
    # One refused ref leaves the others, unless the push is atomic.
    commit_files(folder, {"a": b"2"})
    refused(folder, "--atomic", "origin", "HEAD:refs/odd/x", "HEAD:refs/heads/fine", said="atomic")
    assert "refs/heads/fine" not in git("ls-remote", "origin", cwd=folder).stdout
    refused(folder, "origin", "HEAD:refs/odd/x", "HEAD:refs/heads/fine", said="only branches")
    assert "refs/heads/fine" in git("ls-remote", "origin", cwd=folder).stdout


def test_names_that_may_not_be(live_app, clone):
    _, folder = clone
    blob = git("hash-object", "-w", "--stdin", cwd=folder).stdout.strip()
    for bad in ("back\\slash", "a\u202eb", "bell\x07"):
        commit_files(folder, {f"d/{bad}": b"1"})
        refused(folder, "origin", "main", said="cannot be a file's path")
        git("reset", "-q", "--hard", "origin/main", cwd=folder)
    with PackWriter(folder) as pack:
        tree = pack.add(2, b"100644 .GIT\0" + bytes.fromhex(blob))
        who = b"a <a@b> 1700000000 +0000"
        new = pack.add(1, b"tree %s\nauthor %s\ncommitter %s\n\nx\n" % (tree.hex().encode(), who, who))
        pack.add(3, b"")
        made = pack.finish()
    answer = push_raw(live_app, clone[0], new.hex(), made.data)
    assert "hasDotgit" in answer.text


def push_raw(app, name, new, tail, ref="refs/heads/raw", head=None):
    line = f"{'0' * 40} {new} {ref}\0report-status side-band-64k".encode()
    body = (pkt(line) + b"0000" if head is None else head) + tail
    url = f"{app.url}/{name}.git/git-receive-pack"
    kind = {"Content-Type": "application/x-git-receive-pack-request"}
    return httpx.post(url, content=body, headers=kind, auth=("ada", app.token("ada")))


def test_broken_pushes_have_a_clear_answer(live_app, clone):
    name, folder = clone
    with PackWriter(folder) as pack:
        tree = pack.add(2, b"")
        who = b"a <a@b> 1700000000 +0000"
        new = pack.add(1, b"tree %s\nauthor %s\ncommitter %s\n\nx\n" % (tree.hex().encode(), who, who)).hex()
        good = pack.finish().data
    with PackWriter(folder) as pack:
        pack.add(1, b"tree %s\nauthor %s\ncommitter %s\n\ny\n" % (b"12" * 20, who, who))
        hollow = pack.finish().data
    for tail, said in (
        (good[:-25], "git refuses the pack"),
        (good[:-1] + b"x", "git refuses the pack"),
        (good[:5], "ends before its pack"),
        (b"", "ends before its pack"),
        (b"NOPE" + good[4:], "ends before its pack"),
        (struct.pack(">4sII", b"PACK", 2, 9) + zlib.compress(b"x"), "git refuses the pack"),
        (hollow, "git refuses the pack"),
    ):
        answer = push_raw(live_app, name, new, tail)
        assert answer.status_code == 200
        assert said in answer.text, answer.text
        assert "ng refs/heads/raw" in answer.text
    for head, said in (
        (b"00", "packet format"),
        (b"zzzz", "packet format"),
        (b"00ff" + b"x" * 20, "ends after"),
        (b"0003", "not possible"),
        (pkt(b"hello") + b"0000", "not a command"),
        (pkt(b"push-cert\0x") + b"0000", "Signed pushes"),
        (pkt(f"{'0' * 40} {new} refs/heads/a".encode()) * 2 + b"0000", "twice"),
    ):
        answer = push_raw(live_app, name, new, b"", head=head)
        assert answer.status_code == 400
        assert said in answer.text
    assert "raw" not in git("ls-remote", "origin", cwd=folder).stdout
    assert "ok refs/heads/raw" in push_raw(live_app, name, new, good).text
    assert push_raw(live_app, name, new, b"", head=b"0000").status_code == 200


@pytest.mark.parametrize("size", [100, 200_000])
def test_a_ref_moved_by_another_is_left_out_with_any_pack(live_app, clone, size):
    """The pack, whatever its size, is still there for the second try."""
    name, folder = clone
    with PackWriter(folder) as pack:
        content = pack.add(3, os.urandom(size))
        tree = pack.add(2, b"100644 noise\0" + content)
        who = b"a <a@b> 1700000000 +0000"
        new = pack.add(1, b"tree %s\nauthor %s\ncommitter %s\n\nx\n" % (tree.hex().encode(), who, who)).hex()
        data = pack.finish().data
    first = pkt(f"{'0' * 40} {new} refs/heads/taken\0report-status side-band-64k".encode())
    moved = pkt(f"{'12' * 20} {new} refs/heads/moved".encode())
    answer = push_raw(live_app, name, new, data, head=first + moved + b"0000")
    assert "ok refs/heads/taken" in answer.text, answer.text
    assert "ng refs/heads/moved" in answer.text
    found = git("ls-remote", "origin", "refs/heads/taken", "refs/heads/moved", cwd=folder).stdout
    assert found.split() == [new, "refs/heads/taken"]
    git("fetch", "-q", "origin", "taken", cwd=folder)
    assert git("cat-file", "-s", f"{new}:noise", cwd=folder).stdout.strip() == str(size)


def test_commits_by_the_service_and_by_git_meet(live_app, clone):
    name, folder = clone
    head = commit_files(folder, {"a.txt": b"from git"})
    git("push", "-q", "origin", "main", cwd=folder)
    with live_app.opened() as site:
        ada = actor_named(site, "ada")
        from headwater.hub.access import find_by_name
        from headwater.hub.models import RepoName

        repo = site.db.read(find_by_name, RepoKind.MODEL, RepoName(*name.split("/")))
        with site.part(GitStore).open(repo.id) as snap:
            assert snap.resolve("main") == head
            built = build_commit(
                snap,
                head,
                [AddFile("b.txt", b"from the service")],
                author_name="Ada",
                author_email="ada@example.org",
                title="add b",
                now=utcnow(),
            )
            move = RefMove("refs/heads/main", head, built.commit)
            publish(site, ada, repo.id, [move], built, epoch=snap.prune_epoch, now=utcnow())
    git("pull", "-q", cwd=folder)
    assert (folder / "b.txt").read_bytes() == b"from the service"
    assert git("rev-parse", "HEAD", cwd=folder).stdout.strip() == built.commit


def test_git_of_old_is_told_what_is_missing(live_app, clone):
    answer = httpx.get(f"{live_app.url}/{clone[0]}.git/info/refs")
    assert answer.status_code == 400
    assert "smart protocol" in answer.text


def test_a_pull_request_is_pushed_to_by_its_author_only(live_app, clone):
    name, folder = clone
    commit_files(folder, {"proposal": b"1"})
    made = live_app.hf("bob").create_pull_request(name, title="a proposal")
    ref = f"refs/pr/{made.num}"
    eve = address(live_app, name, "eve")
    assert "403" in git("push", eve, f"HEAD:{ref}", cwd=folder, check=False).stderr
    bob = address(live_app, name, "bob")
    git("push", "-q", bob, f"HEAD:{ref}", cwd=folder)
    done = git("push", bob, "HEAD:refs/heads/main", cwd=folder, check=False)
    assert done.returncode != 0
    assert "your own pull requests only" in done.stderr.replace("\nremote: ", " ")
    head = git("rev-parse", "HEAD", cwd=folder).stdout.strip()
    assert git("ls-remote", address(live_app, name), ref).stdout.split()[0] == head
    refused(folder, bob, f":{ref}", said="opened and closed on their page")


def test_a_pull_request_whose_commits_are_pushed_to_the_branch_is_merged(live_app, clone):
    name, folder = clone
    hf = live_app.hf("bob")
    reached = hf.create_pull_request(name, title="reaches main")
    other = hf.create_pull_request(name, title="does not")
    empty = hf.create_pull_request(name, title="nothing in it")
    start = git("rev-parse", "HEAD", cwd=folder).stdout.strip()
    bob = address(live_app, name, "bob")
    commit_files(folder, {"other": b"1"})
    git("push", "-q", bob, f"HEAD:refs/pr/{other.num}", cwd=folder)
    git("reset", "-q", "--hard", start, cwd=folder)
    head = commit_files(folder, {"proposal": b"1"})
    git("push", "-q", bob, f"HEAD:refs/pr/{reached.num}", cwd=folder)
    tip = commit_files(folder, {"and": b"more"})
    git("push", "-q", "origin", "HEAD:refs/heads/elsewhere", cwd=folder)
    git("push", "-q", "origin", "HEAD:main", cwd=folder)

    def details(pull):
        return hf.get_discussion_details(name, pull.num)

    wait_for(lambda: details(reached).status == "merged", what="the pull request to be marked")
    assert details(reached).merge_commit_oid == tip
    assert details(reached).events[-1].author == "ada"
    assert details(other).status == details(empty).status == "draft"
    page = httpx.get(f"{live_app.url}/{name}/discussions/{reached.num}")
    assert head[:7] in page.text
    done = git("push", bob, f"HEAD:refs/pr/{reached.num}", cwd=folder, check=False)
    assert done.returncode != 0


def test_moved_repositories_lead_on(live_app, clone, tmp_path):
    name, folder = clone
    live_app.hf("ada").move_repo(name, "ada/moved-elsewhere")
    commit_files(folder, {"a": b"1"})
    git("push", "-q", "origin", "main", cwd=folder)
    git("clone", "-q", address(live_app, name), str(tmp_path / "again"))
    answer = httpx.get(f"{live_app.url}/{name}.git/info/refs?service=git-upload-pack")
    assert answer.status_code == 301
    assert answer.headers["location"] == f"{live_app.url}/ada/moved-elsewhere.git/info/refs?service=git-upload-pack"


def test_clones_that_end_early_leave_no_child(live_app, clone):
    name, folder = clone
    commit_files(folder, {f"f{n}": os.urandom(1 << 20) for n in range(9)})
    head = git("rev-parse", "HEAD", cwd=folder).stdout.strip()
    git("push", "-q", "origin", "main", cwd=folder)
    body = pkt(b"command=fetch") + b"0001" + pkt(f"want {head}\n".encode()) + pkt(b"done\n") + b"0000"
    where = urlsplit(live_app.url)
    with socket.create_connection((where.hostname, where.port)) as sock:
        sock.sendall(
            f"POST /{name}/git-upload-pack HTTP/1.1\r\nHost: {where.netloc}\r\nGit-Protocol: version=2\r\n"
            f"Content-Type: application/x-git-upload-pack-request\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        assert b"200" in sock.recv(1000)
        assert children(live_app, "upload-pack")
    wait_for(lambda: not children(live_app, "upload-pack"), what="the end of the child")


def children(app, word: str) -> list[int]:
    found = []
    for pid in app.processes():
        try:
            if word in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(pid)
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def test_how_much_one_push_may_bring_is_a_setting(new_app, tmp_path):
    app = new_app(env={"HEADWATER_GIT_MAX_PUSH_BYTES": str(1 << 20)})
    make_repo(app, "ada/pushed")
    folder = tmp_path / "clone"
    git("clone", "-q", address(app, "ada/pushed", "ada"), str(folder))
    before = git("ls-remote", address(app, "ada/pushed")).stdout
    first = commit_files(folder, {"a.bin": os.urandom(700_000)})
    commit_files(folder, {"b.bin": os.urandom(700_000)})
    refused(folder, "origin", "main", said="more than 1,048,576 bytes. Push fewer commits at a time")
    assert git("ls-remote", address(app, "ada/pushed")).stdout == before
    git("push", "-q", "origin", f"{first}:refs/heads/main", cwd=folder)
    git("push", "-q", "origin", "main", cwd=folder)


def test_names_that_other_systems_cannot_hold_come_and_go_whole(live_app, tmp_path, clone):
    name, folder = clone
    made = {path: path.encode() for path in ("CON", "d/nul.txt", "end.", "end ", 'a:b*?"<>|.txt', "Case", "case")}
    commit_files(folder, made)
    git("push", "-q", "origin", "main", cwd=folder)
    other = tmp_path / "other"
    git("clone", "-q", address(live_app, name), str(other))
    for path, content in made.items():
        assert (other / path).read_bytes() == content
        answer = httpx.get(f"{live_app.url}/{name}/resolve/main/{quote(path)}")
        assert (answer.status_code, answer.content) == (200, content), path

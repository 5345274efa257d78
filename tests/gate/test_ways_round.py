"""Ways round the gate: pushes that git itself would not make, two pull requests with one file, many rows, bytes that come late."""

from __future__ import annotations

import hashlib
import io
import subprocess
import zlib
from pathlib import Path

import pytest
from sqlalchemy import insert as plain_insert
from sqlalchemy import select, update

from headwater.accounts import credentials
from headwater.accounts.tables import account
from headwater.db import insert
from headwater.hub import converting, files, gate, leaks
from headwater.hub.community import pulls
from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Draft, InlineFile, LargeFile
from headwater.hub.content.known import KnownEntries, KnownFacts
from headwater.hub.content.reached import ReachedCommits
from headwater.hub.content.reading import find_file
from headwater.hub.content.refs import create_branch
from headwater.hub.converting.jobs import convert_file
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.gate import Status, jobs, pushes
from headwater.hub.gate import store as gate_store
from headwater.hub.git import CopyEntry, GitStore, RefMove, build_commit, door, format_pointer, publish, push
from headwater.hub.git.models import EntryKind
from headwater.hub.git.pktline import pkt
from headwater.hub.models import RepoName
from headwater.hub.repos import copying
from headwater.hub.tables.gate import file_verdict, gate_due, held_file
from headwater.hub.tables.repositories import repository
from headwater.kernel import ANONYMOUS, AccountId, Actor, Sha256, utcnow
from tests.gate.files import EVIL, EVIL_TEXT, safetensors
from tests.gate.test_judging import run_jobs
from tests.git.conftest import AUTHOR, ada, repo, site  # noqa: F401 -- fixtures


@pytest.fixture(autouse=True)
def _parts(site):  # noqa: F811
    site.add_part(KnownEntries())
    site.add_part(KnownFacts())
    site.add_part(ReachedCommits())


@pytest.fixture
def bob(site):  # noqa: F811
    row = {"kind": "person", "name": "bob", "name_key": "bob", "is_site_admin": False, "created_at": utcnow()}
    return Actor(
        AccountId(site.db.write(lambda tx: tx.execute(plain_insert(account).values(row)).inserted_primary_key[0])),
        "bob",
    )


class Objects:
    """Git's objects made by hand, so that they can be what git does not make."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._oids: list[str] = []
        subprocess.run(["git", "init", "-q", str(folder)], check=True)

    def put(self, kind: str, data: bytes) -> str:
        raw = f"{kind} {len(data)}\0".encode() + data
        oid = hashlib.sha1(raw).hexdigest()
        path = self._folder / ".git/objects" / oid[:2] / oid[2:]
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(zlib.compress(raw))
        self._oids.append(oid)
        return oid

    def tree(self, *entries: tuple[bytes, str, str]) -> str:
        return self.put("tree", b"".join(b"%s %s\0" % (m, n.encode()) + bytes.fromhex(o) for m, n, o in entries))

    def commit(self, tree: str, parent: str) -> str:
        who = "a <a@example.org> 1700000000 +0000"
        return self.put("commit", f"tree {tree}\nparent {parent}\nauthor {who}\ncommitter {who}\n\nx\n".encode())

    def send(self, site, actor, repo, *moves: tuple[str, str, str]) -> str:  # noqa: F811
        names = "".join(f"{oid}\n" for oid in self._oids).encode()
        pack = subprocess.run(
            ["git", "pack-objects", "--stdout", "-q"], cwd=self._folder, input=names, check=True, capture_output=True
        ).stdout
        lines = [f"{old} {new} {ref}" for old, new, ref in moves]
        lines[0] += "\0report-status"
        body = io.BytesIO(b"".join(pkt(line.encode()) for line in lines) + b"0000" + pack)

        class Body:
            def read(self, count: int = -1) -> bytes:
                return body.read(count)

            def read_into(self, into) -> int:
                return body.readinto(into)

        return push.receive(site, actor, repo.kind, repo.name, Body()).decode()


def bring(site, actor, repo, path: str, data: bytes, *, large: bool = False, as_pull: bool = False):  # noqa: F811
    change = InlineFile(path, data)
    if large:
        change = LargeFile(path, files.store_plain(site, actor, repo.id, data), len(data))
    draft = Draft("add", "", None, [change])
    return commit_draft(site, actor, repo.kind, repo.name, "main", draft, as_pull=as_pull)


def refs(site, repo) -> dict[str, str]:  # noqa: F811
    with site.part(GitStore).open(repo.id) as snap:
        return dict(snap.refs)


def get(site, repo, path: str):  # noqa: F811
    return find_file(site, ANONYMOUS, repo.kind, repo.name, "main", path)


@pytest.mark.parametrize("mode", [b"60644", b"140644", b"10644", b"644", b"100666", b"40755", b"120777", b"0100644"])
def test_a_mode_that_git_does_not_write_is_refused(site, ada, repo, tmp_path, mode):  # noqa: F811
    bring(site, ada, repo, "a.txt", b"a")
    head = refs(site, repo)["refs/heads/main"]
    made = Objects(tmp_path / "w")
    new = made.commit(made.tree((mode, "evil.pkl", made.put("blob", EVIL))), head)
    assert "ng refs/heads/main" in made.send(site, ada, repo, (head, new, "refs/heads/main"))
    assert refs(site, repo)["refs/heads/main"] == head


@pytest.mark.parametrize("mode", [b"100644", b"100755", b"100664", b"120000"])
def test_modes_that_git_writes_are_taken_and_judged(site, ada, repo, tmp_path, mode):  # noqa: F811
    bring(site, ada, repo, "a.txt", b"a")
    head = refs(site, repo)["refs/heads/main"]
    made = Objects(tmp_path / "w")
    new = made.commit(made.tree((mode, "evil.pkl", made.put("blob", EVIL))), head)
    assert "ok refs/heads/main" in made.send(site, ada, repo, (head, new, "refs/heads/main"))
    with pytest.raises(gate.FileHeld):
        get(site, repo, "evil.pkl")


def test_what_git_takes_for_no_file_is_none_here():
    assert EntryKind.of_mode(0o100640) is EntryKind.FILE
    assert {EntryKind.of_mode(mode) for mode in (0o060644, 0o140644, 0o644)} == {EntryKind.SUBMODULE}


@pytest.mark.parametrize("large", [True, False])
def test_the_second_pull_request_with_a_held_file_does_not_free_it(site, ada, repo, large):  # noqa: F811
    bring(site, ada, repo, "a.txt", b"a")
    bring(site, ada, repo, "evil.pkl", EVIL, large=large, as_pull=True)
    second = bring(site, ada, repo, "evil.pkl", EVIL, large=large, as_pull=True).pull
    site.db.read(gate.require_copy, ANONYMOUS, repo)
    pulls.merge_pull_request(site, ada, repo.kind, repo.name, second, now=utcnow())
    with pytest.raises(gate.FileHeld):
        get(site, repo, "evil.pkl")
    with pytest.raises(gate.CloneHeld):
        site.db.read(gate.require_copy, ANONYMOUS, repo)
    if large:
        hold = site.db.read(gate.find_hold_of_bytes, repo.id, Sha256(hashlib.sha256(EVIL).hexdigest()))
        assert hold is not None
        assert hold.pull == 0
    else:
        with pytest.raises(gate.CloneHeld):
            site.db.read(gate.require_clone, ANONYMOUS, repo)


def test_a_merge_leaves_to_another_pull_request_what_is_its_own(site, ada, repo):  # noqa: F811
    bring(site, ada, repo, "a.txt", b"a")
    bring(site, ada, repo, "evil.pkl", EVIL, as_pull=True)
    second = bring(site, ada, repo, "b.txt", b"b", as_pull=True).pull
    pulls.merge_pull_request(site, ada, repo.kind, repo.name, second, now=utcnow())
    site.db.read(gate.require_clone, ANONYMOUS, repo)
    site.db.read(gate.require_copy, ANONYMOUS, repo)


def test_however_much_pull_requests_hold_opens_neither_clone_nor_copy(site, ada, repo):  # noqa: F811
    bring(site, ada, repo, "evil.pkl", EVIL)
    bring(site, ada, repo, "big.pt", EVIL, large=True)

    def fill(tx):
        rows = [
            {"repo_id": repo.id, "content": f"{n:040x}", "role": "a", "path": "p", "pull": 7, "noted_at": utcnow()}
            for n in range(1100)
        ]
        tx.execute(insert(held_file).on_conflict_do_nothing(), rows)

    site.db.write(fill)
    for require in (gate.require_clone, gate.require_copy):
        with pytest.raises(gate.CloneHeld):
            site.db.read(require, ANONYMOUS, repo)
    told = site.db.read(gate.repository_security, repo.id)
    assert {issue["path"] for issue in told.to_json()["filesWithIssues"]} == {"evil.pkl", "big.pt"}
    assert told.is_done


def test_a_file_whose_bytes_come_while_it_is_judged_waits(site, ada, repo, tmp_path, monkeypatch):  # noqa: F811
    sha256 = Sha256(hashlib.sha256(EVIL).hexdigest())
    judge = pushes.judge_incoming

    def judge_and_then_receive(site, actor, repo_id, *args, **kwargs):
        judged = judge(site, actor, repo_id, *args, **kwargs)
        files.store_plain(site, actor, repo_id, EVIL)  # the upload ends here
        return judged

    monkeypatch.setattr(pushes, "judge_incoming", judge_and_then_receive)
    bring(site, ada, repo, "a.txt", b"a")
    head = refs(site, repo)["refs/heads/main"]
    made = Objects(tmp_path / "w")
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {len(EVIL)}\n"
    new = made.commit(made.tree((b"100644", "m.pt", made.put("blob", pointer.encode()))), head)
    assert "ok refs/heads/main" in made.send(site, ada, repo, (head, new, "refs/heads/main"))
    with pytest.raises(gate.FileHeld) as refused:
        get(site, repo, "m.pt")
    assert refused.value.hold.status is Status.QUEUED
    run_jobs(site)
    with pytest.raises(gate.FileHeld) as refused:
        get(site, repo, "m.pt")
    assert refused.value.hold.status is Status.SUSPICIOUS


def test_another_name_in_a_push_does_not_free_a_held_file(site, ada, repo, tmp_path):  # noqa: F811
    bring(site, ada, repo, "evil.pkl", EVIL)
    head = refs(site, repo)["refs/heads/main"]
    made = Objects(tmp_path / "w")
    new = made.commit(
        made.tree((b"100644", "notes.txt", hashlib.sha1(b"blob %d\0" % len(EVIL) + EVIL).hexdigest())), head
    )
    assert "ok refs/heads/main" in made.send(site, ada, repo, (head, new, "refs/heads/main"))
    with pytest.raises(gate.FileHeld):
        get(site, repo, "notes.txt")


@pytest.mark.parametrize("write", [str.upper, str.lower])
def test_a_wanted_id_is_asked_about_however_it_is_written(site, ada, repo, write):  # noqa: F811
    bring(site, ada, repo, "a.txt", b"a")
    bring(site, ada, repo, "evil.pkl", EVIL, as_pull=True)
    ids = refs(site, repo)

    def ask(oid: str) -> None:
        body = pkt(b"command=fetch") + b"0001" + pkt(f"want {oid}\n".encode()) + pkt(b"done\n") + b"0000"
        site.db.read(door._require_fetch, ANONYMOUS, repo, body, gate.accepts_nothing)

    ask(write(ids["refs/heads/main"]))
    with pytest.raises(gate.CloneHeld):
        ask(write(ids["refs/pr/1"]))
    with pytest.raises(gate.CloneHeld):
        ask(" " + ids["refs/pr/1"])


def test_who_may_not_write_pushes_to_one_pull_request_at_a_time(site, ada, bob, repo, tmp_path):  # noqa: F811
    bring(site, ada, repo, "a.txt", b"a")
    named = [f"refs/pr/{bring(site, bob, repo, f'{n}.txt', b'%d' % n, as_pull=True).pull}" for n in (1, 2)]
    ids = refs(site, repo)
    made = Objects(tmp_path / "w")
    tree = made.tree((b"100644", "evil.pkl", made.put("blob", EVIL)))
    moves = [(ids[ref], made.commit(tree, ids[ref]), ref) for ref in named]
    assert "one pull request at a time" in made.send(site, bob, repo, *moves)
    assert refs(site, repo) == ids
    assert "ok refs/pr/" in made.send(site, bob, repo, moves[0])
    site.db.read(gate.require_clone, ANONYMOUS, repo)


def test_a_lost_file_keeps_no_other_from_being_judged_again(site, ada, repo):  # noqa: F811
    digests = []
    for n in range(3):
        data = safetensors(bytes([n] * 16))
        bring(site, ada, repo, f"{n}.safetensors", data, large=True)
        digests.append(hashlib.sha256(data).hexdigest())
    lost = min(digests)
    site.blobs.delete(next(found.key for found in site.blobs.iter_keys("sha256/") if lost in found.key))
    site.db.write(lambda tx: tx.execute(update(file_verdict).values(rules="old")))
    jobs.judge_again(site)
    with site.db.reading() as tx:
        old = set(tx.execute(select(file_verdict.c.content).where(file_verdict.c.rules == "old")).scalars())
    assert old == {lost}


def test_a_push_with_more_secrets_than_are_told_of_is_refused_though_all_told_are_allowed(site, ada, repo):  # noqa: F811
    keys = ["AKIA" + "".join("ABCDEFGHIJ"[int(digit)] for digit in f"{n:016d}") for n in range(leaks.service.MAX_LEAKS)]
    allowed = InlineFile("a.txt", "\n".join(keys).encode())
    with pytest.raises(leaks.SecretsFound):
        commit_draft(site, ada, repo.kind, repo.name, "main", Draft("add", "", None, [allowed]))
    for found in site.db.read(leaks.list_found, ada, repo.kind, repo.name)[1]:
        site.db.write(leaks.allow, ada, repo.kind, repo.name, found.mark, "made up for a test", now=utcnow())
    other = InlineFile("z.txt", b"ghp_" + b"aB3" * 12)
    with pytest.raises(leaks.SecretsFound):
        commit_draft(site, ada, repo.kind, repo.name, "main", Draft("add", "", None, [allowed, other]))


def oid_of(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def test_what_a_push_brings_beside_its_refs_is_not_kept(site, ada, repo, tmp_path):  # noqa: F811
    """Bytes without a name are judged by nobody, and git would give them to whoever knows their id."""
    bring(site, ada, repo, "a.txt", b"a" * 100)
    head = refs(site, repo)["refs/heads/main"]
    made = Objects(tmp_path / "w")
    stray = made.put("blob", EVIL)
    new = made.commit(made.tree((b"100644", "b.txt", made.put("blob", b"b"))), head)
    assert "ok refs/heads/main" in made.send(site, ada, repo, (head, new, "refs/heads/main"))
    with site.part(GitStore).open(repo.id) as snap:
        assert not snap.has_object(stray)
        assert snap.read_blob(oid_of(b"b")) == b"b"
        assert b"missing" in snap.run_git("cat-file", "--batch-check", stdin=stray.encode())
        snap.run_git("fsck", "--strict")


def test_refs_that_a_push_may_not_move_leave_nothing_behind(site, ada, repo, tmp_path):  # noqa: F811
    bring(site, ada, repo, "a.txt", b"a")
    head = refs(site, repo)["refs/heads/main"]
    made = Objects(tmp_path / "w")
    moves = []
    for data, ref in ((b"b", "refs/heads/main"), (EVIL, "refs/other/x")):
        new = made.commit(made.tree((b"100644", "b.pkl" if data == EVIL else "b.txt", made.put("blob", data))), head)
        moves.append((head if ref.endswith("main") else "0" * 40, new, ref))
    told = made.send(site, ada, repo, *moves)
    assert "ok refs/heads/main" in told
    assert "ng refs/other/x" in told
    with site.part(GitStore).open(repo.id) as snap:
        assert snap.has_object(moves[0][1])
        assert not snap.has_object(oid_of(EVIL))
    site.db.read(gate.require_clone, ANONYMOUS, repo)


def test_a_branch_at_a_pull_request_takes_over_what_that_one_holds_and_no_other(site, ada, repo):  # noqa: F811
    bring(site, ada, repo, "a.txt", b"a")
    contents = {}
    for n, large in ((1, False), (2, True)):
        data = EVIL + b"%d" % n
        bring(site, ada, repo, "evil.pkl", data, large=large, as_pull=True)
        contents[n] = hashlib.sha256(data).hexdigest() if large else oid_of(data)
    for n in (1, 2):
        create_branch(site, ada, repo.kind, repo.name, f"b{n}", start=refs(site, repo)[f"refs/pr/{n}"])
        pulls_now = {each: site.db.read(gate_store.find_holds, repo.id, contents[each])[0].pull for each in contents}
        assert pulls_now == {1: 0, 2: 2 if n == 1 else 0}


def test_what_is_held_while_a_copy_is_packed_is_not_copied(site, ada, bob, repo, monkeypatch):  # noqa: F811
    bring(site, ada, repo, "evil.pkl", EVIL)
    key = (oid_of(EVIL), "pickle")
    site.db.write(gate.release, ada, repo.kind, repo.name, key, "shown in a lecture", now=utcnow())
    pack = copying._pack

    def pack_and_then_hold(*args):
        packed = pack(*args)
        site.db.write(gate.withdraw, ada, repo.kind, repo.name, key, now=utcnow())
        return packed

    target = RepoName("bob", "copy")
    copying.duplicate_repository(site, bob, repo.kind, repo.name, target)
    with pytest.raises(gate.FileHeld):  # his own word is another
        find_file(site, ANONYMOUS, repo.kind, target, "main", "evil.pkl")
    monkeypatch.setattr(copying, "_pack", pack_and_then_hold)
    with pytest.raises(gate.CloneHeld):
        copying.duplicate_repository(site, bob, repo.kind, repo.name, RepoName("bob", "second"))
    with pytest.raises(RepositoryNotFound):
        find_file(site, bob, repo.kind, RepoName("bob", "second"), "main", "evil.pkl")


def test_a_copy_of_what_has_yet_to_be_judged_is_judged_too(site, ada, bob, repo):  # noqa: F811
    bring(site, ada, repo, "a.txt", b"a")
    jobs.judge_again(site)
    site.db.write(lambda tx: tx.execute(insert(gate_due).values(repo_id=repo.id)))
    copy = copying.duplicate_repository(site, bob, repo.kind, repo.name, RepoName("bob", "copy"))
    assert site.db.read(gate_store.is_due, copy.id)
    jobs.judge_again(site)
    assert not site.db.read(gate_store.is_due, copy.id)


def test_a_conversion_that_fails_by_a_fault_of_the_site_says_so(site, ada, repo):  # noqa: F811
    bring(site, ada, repo, "m.pt", b"\x80\x02}.", large=True)
    site.db.write(converting.ask, ada, repo.kind, repo.name, "m.pt", now=utcnow())
    site.blobs.delete(next(found.key for found in site.blobs.iter_keys("sha256/")))
    convert_file(site, {"repo_id": repo.id, "path": "m.pt"})
    (found,) = site.db.read(converting.list_conversions, ada, repo.kind, repo.name)[1]
    assert found.state == "refused"
    assert "fault of this site" in found.why


def own_tokens(count: int) -> list[str]:
    return [credentials.new_token() for _ in range(count)]


def commit_text(site, actor, repo, *texts: str):  # noqa: F811
    changes = [InlineFile(f"{n}.txt", text.encode()) for n, text in enumerate(texts)]
    return commit_draft(site, actor, repo.kind, repo.name, "main", Draft("add", "", None, changes))


def test_however_many_marks_and_keys_stand_before_it_a_secret_is_found(site, ada, repo):  # noqa: F811
    key = "ghp_" + "aB3" * 12
    with pytest.raises(leaks.SecretsFound, match="line 2: GitHub token"):
        commit_text(site, ada, repo, "ghp_ " * 5000 + "\n" + key)
    many = "\n".join(
        f"AKIA{n:016d}".translate(str.maketrans("0189", "ZYXW")) for n in range(leaks.service.MAX_LEAKS + 9)
    )
    watch = leaks.Watch()
    watch.look("a", "1", many.encode())
    own = own_tokens(1)[0]
    watch.look("b", "2", ("hw_" + "a" * 38 + " ").encode() * 2000 + own.encode())
    assert watch.is_full
    assert not watch.is_cut
    assert [leak.text.decode() for leak in watch.leaks if leak.is_own] == [own]
    assert len(watch.leaks) == leaks.service.MAX_LEAKS + 1


def test_nothing_goes_in_unlooked_even_into_a_private_repository(site, ada, repo, monkeypatch):  # noqa: F811
    site.db.write(lambda tx: tx.execute(update(repository).values(is_private=True)))
    monkeypatch.setattr(leaks.service, "MAX_OWN", 3)
    commit_text(site, ada, repo, *own_tokens(3))
    with pytest.raises(leaks.SecretsNotLooked):
        commit_text(site, ada, repo, "\n".join(own_tokens(4)))
    monkeypatch.setattr(leaks.service, "LOOK_CPU_S", 0.002)
    commit_text(site, ada, repo, "plain text " * 1000)
    with pytest.raises(leaks.SecretsNotLooked):
        commit_text(site, ada, repo, "T3BlbkFJ " * 20_000)


@pytest.mark.parametrize("as_pull", [False, True])
@pytest.mark.parametrize("as_path", [False, True])
def test_a_pointer_in_a_small_file_is_judged_as_what_it_stands_for(site, ada, bob, repo, tmp_path, as_pull, as_path):  # noqa: F811
    bring(site, ada, repo, "a.txt", b"a")
    who = bob if as_pull else ada
    sha256 = files.store_plain(site, who, repo.id, EVIL)
    data = format_pointer(sha256, len(EVIL))
    kept = tmp_path / "kept"
    kept.write_bytes(data)
    draft = Draft("add", "", None, [InlineFile("model.bin", kept if as_path else data)])
    commit_draft(site, who, repo.kind, repo.name, "main", draft, as_pull=as_pull)
    with pytest.raises(gate.FileHeld):
        find_file(site, ANONYMOUS, repo.kind, repo.name, "refs/pr/1" if as_pull else "main", "model.bin")


@pytest.mark.parametrize("folder", ["", "deep/"])
def test_a_copy_in_a_commit_is_judged_by_its_new_name(site, ada, repo, folder):  # noqa: F811
    bring(site, ada, repo, f"{folder}notes.txt", EVIL_TEXT)
    with site.part(GitStore).open(repo.id) as snap:
        head = snap.refs["refs/heads/main"]
        copy = CopyEntry(f"{folder}notes.txt", f"{folder}model.pkl")
        built = build_commit(snap, head, [copy], title="x", now=utcnow(), **AUTHOR)
        publish(site, ada, repo.id, [RefMove("refs/heads/main", head, built.commit)], built, epoch=0, now=utcnow())
    with pytest.raises(gate.FileHeld):
        get(site, repo, f"{folder}model.pkl")
    assert get(site, repo, f"{folder}notes.txt").entry.size_bytes == len(EVIL_TEXT)

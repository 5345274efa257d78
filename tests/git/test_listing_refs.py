"""What refs there are, answered without the git program, byte for byte as the git program does."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import update

from headwater.hub.git import AddFile, lsrefs, pktline
from headwater.hub.git.pktline import FLUSH, pkt
from headwater.hub.tables.repositories import repository
from tests.git.live import address, commit_files, git, make_repo

HEAD = pkt(b"command=ls-refs\n") + pkt(b"agent=git/2.39.5-Linux") + pkt(b"object-format=sha1")


@pytest.fixture(scope="module")
def tagged(live_app, tmp_path_factory):
    """A repository with branches, light and annotated tags, a tag of a tag; and a bare mirror of it."""
    make_repo(live_app, "ada/tagged")
    folder = tmp_path_factory.mktemp("tagged")
    git("clone", "-q", address(live_app, "ada/tagged", "ada"), str(folder / "work"))
    work = folder / "work"
    commit_files(work, {"a": b"1"})
    git("tag", "light", cwd=work)
    git("tag", "-a", "noted", "-m", "one", cwd=work)
    git("tag", "-a", "again", "noted", "-m", "two", cwd=work)
    git("branch", "a/b", cwd=work)
    git("branch", "a-b", cwd=work)
    git("branch", "源头", cwd=work)
    git("push", "-q", "origin", "--all", cwd=work)
    git("push", "-q", "origin", "--tags", cwd=work)
    live_app.hf("bob").create_pull_request("ada/tagged", title="a proposal")
    git("clone", "-q", "--mirror", address(live_app, "ada/tagged", "ada"), str(folder / "mirror.git"))
    return folder / "mirror.git"


def by_git(folder: Path, body: bytes) -> bytes:
    done = subprocess.run(
        ["git", "upload-pack", "--stateless-rpc", str(folder)],
        input=body,
        env={"PATH": "/usr/bin:/bin", "GIT_PROTOCOL": "version=2", "HOME": "/nonexistent"},
        capture_output=True,
        check=True,
    )
    return done.stdout


def ask(app, name: str, body: bytes) -> bytes:
    headers = {"Git-Protocol": "version=2"}
    return httpx.post(f"{app.url}/{name}.git/git-upload-pack", content=body, headers=headers).raise_for_status().content


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [b"peel\n"],
        [b"symrefs\n"],
        [b"peel\n", b"symrefs\n", b"unborn\n"],
        [b"peel", b"symrefs", b"ref-prefix HEAD", b"ref-prefix refs/heads/", b"ref-prefix refs/tags/"],
        [b"symrefs", b"ref-prefix refs/heads/a"],
        [b"ref-prefix refs/tags/n", b"peel"],
        [b"ref-prefix nothing"],
    ],
)
def test_the_answer_is_gits_own(live_app, tagged, arguments):
    body = HEAD + b"0001" + b"".join(map(pkt, arguments)) + FLUSH
    assert lsrefs.parse(body) is not None
    answered = ask(live_app, "ada/tagged", body)
    assert answered == by_git(tagged, body)
    assert answered.endswith(FLUSH)


def test_an_empty_default_branch_is_named_to_who_asks(work):
    first = work.commit([AddFile("a", b"1")])
    work.branch("kept", first)
    work.site.db.write(lambda tx: tx.execute(update(repository).values(default_branch="next", version=99)))
    asked = HEAD + b"0001" + pkt(b"symrefs\n") + pkt(b"ref-prefix HEAD")
    with work.open() as snap:
        assert lsrefs.answer(snap, lsrefs.parse(asked + FLUSH)) == FLUSH
        told = lsrefs.answer(snap, lsrefs.parse(asked + pkt(b"unborn\n") + FLUSH))
        assert told == pkt(b"unborn HEAD symref-target:refs/heads/next\n") + FLUSH


def test_anything_out_of_the_ordinary_goes_to_git(live_app, tagged):
    for body in (
        pkt(b"command=fetch") + b"0001" + FLUSH,
        HEAD + b"0001" + pkt(b"what-is-this") + FLUSH,
        HEAD + pkt(b"server-option=x") + b"0001" + FLUSH,
        pkt(b"command=ls-refs") + pkt(b"object-format=sha256") + FLUSH,
        HEAD + b"0001" + pkt(b"peel"),
        HEAD + b"0001" + b"0003" + FLUSH,
        HEAD[:-3],
        b"",
    ):
        assert lsrefs.parse(body) is None


@given(st.lists(st.binary(min_size=1, max_size=40)))
def test_packets_come_out_as_they_went_in(lines):
    body = b"".join(map(pkt, lines)) + FLUSH
    assert pktline.split(body) == [*(line.removesuffix(b"\n") for line in lines), None]


@given(st.binary(max_size=60))
def test_any_bytes_are_packets_or_are_not(body):
    found = pktline.split(body)
    assert found is None or len(found) <= len(body) // 4
    lsrefs.parse(body)


def test_ls_remote_sees_every_ref_and_what_tags_point_at(live_app, tagged):
    said = git("ls-remote", address(live_app, "ada/tagged")).stdout.splitlines()
    refs = dict(reversed(line.split("\t")) for line in said)
    commit = git("rev-parse", "refs/heads/main", cwd=tagged).stdout.strip()
    assert refs["HEAD"] == refs["refs/tags/noted^{}"] == refs["refs/tags/again^{}"] == commit
    assert "refs/heads/源头" in refs
    assert "refs/pr/1" in refs

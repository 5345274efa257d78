"""What a push may bring that git clients of others would stumble over: H19."""

from __future__ import annotations

import subprocess
from pathlib import Path

import httpx
import pytest

from tests.attacks.asking import bearer
from tests.conftest import LiveApp
from tests.git.live import address, git

WHO = "A <a@example.org> 1700000000 +0000"


class Forge:
    """A folder in which objects are made that no git command would make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        git("init", str(folder))

    def put(self, kind: str, data: bytes) -> str:
        done = subprocess.run(
            ["git", "hash-object", "-w", "--stdin", "--literally", "-t", kind],
            input=data,
            cwd=self.folder,
            capture_output=True,
            check=True,
        )
        return done.stdout.decode().strip()

    def tree(self, *entries: tuple[str, bytes, str]) -> str:
        return self.put(
            "tree", b"".join(f"{mode} ".encode() + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
        )

    def commit(self, tree: str, *, author: str = WHO, head: bytes = b"") -> str:
        return self.put("commit", f"tree {tree}\nauthor {author}\ncommitter {author}\n".encode() + head + b"\nforged\n")

    def push(self, app: LiveApp, repo: str, commit: str) -> subprocess.CompletedProcess[str]:
        return git("push", "-f", address(app, repo, "bob"), f"{commit}:refs/heads/forged", cwd=self.folder, check=False)


@pytest.fixture
def forge(tmp_path: Path) -> Forge:
    return Forge(tmp_path / "forge")


@pytest.fixture(scope="module")
def repo(live_app: LiveApp) -> str:
    live_app.hf("bob").create_repo("bob/h19")
    return "bob/h19"


def branches(app: LiveApp, repo: str) -> set[str]:
    return {ref.name for ref in app.hf("bob").list_repo_refs(repo).branches}


CASES = {
    "a submodule's address that is an option": b'[submodule "x"]\n\tpath = x\n\turl = -u./payload\n',
    "a submodule's path that is an option": b'[submodule "x"]\n\tpath = -x\n\turl = https://example.org/x\n',
    "a submodule's name that climbs": b'[submodule "../../x"]\n\tpath = x\n\turl = https://example.org/x\n',
    "a submodule that runs a command": b'[submodule "x"]\n\tpath = x\n\turl = https://example.org/x\n\tupdate = !sh\n',
}


@pytest.mark.parametrize("text", CASES.values(), ids=CASES.keys())
def test_h19_submodules_that_attack_are_refused(live_app: LiveApp, repo: str, forge: Forge, text: bytes):
    tree = forge.tree(("100644", b".gitmodules", forge.put("blob", text)))
    assert forge.push(live_app, repo, forge.commit(tree)).returncode != 0
    assert "forged" not in branches(live_app, repo)


def test_h19_names_that_a_checkout_would_write_elsewhere_are_refused(live_app: LiveApp, repo: str, forge: Forge):
    blob = forge.put("blob", b"x")
    inner = forge.tree(("100644", b"config", blob))
    trees = {
        ".git": forge.tree(("40000", b".git", inner)),
        ".GIT": forge.tree(("40000", b".GIT", inner)),
        "git~1": forge.tree(("40000", b"git~1", inner)),
        "..": forge.tree(("40000", b"..", inner)),
        ".": forge.tree(("40000", b".", inner)),
        "slash": forge.tree(("100644", b"a/b", blob)),
        "backslash": forge.tree(("100644", b"..\\..\\x", blob)),
        "empty": forge.tree(("100644", b"", blob)),
        "hidden joiner": forge.tree(("40000", b".g\xe2\x80\x8cit", inner)),
        "twice": forge.tree(("100644", b"a", blob), ("100644", b"a", blob)),
        "unsorted": forge.tree(("100644", b"b", blob), ("100644", b"a", blob)),
        "gitmodules as a link": forge.tree(("120000", b".gitmodules", forge.put("blob", b"/etc/passwd"))),
    }
    taken = [name for name, tree in trees.items() if forge.push(live_app, repo, forge.commit(tree)).returncode == 0]
    assert taken == []
    assert "forged" not in branches(live_app, repo)


def test_h19_commits_that_are_none_are_refused(live_app: LiveApp, repo: str, forge: Forge):
    tree = forge.tree(("100644", b"a", forge.put("blob", b"x")))
    commits = {
        "author without an address": forge.commit(tree, author="A 1700000000 +0000"),
        "author with a line": forge.commit(tree, author="A <a@example.org\nparent x> 1 +0000"),
        "a date that is none": forge.commit(tree, author="A <a@example.org> 99999999999999999999999 +0000"),
        "a tree that is not there": forge.commit("1" * 40),
        "a tree that is a blob": forge.commit(forge.put("blob", b"x")),
        "a parent that is not there": forge.put(
            "commit", f"tree {tree}\nparent {'2' * 40}\nauthor {WHO}\ncommitter {WHO}\n\nx\n".encode()
        ),
    }
    taken = [name for name, oid in commits.items() if forge.push(live_app, repo, oid).returncode == 0]
    assert taken == []
    assert "forged" not in branches(live_app, repo)


def test_h19_a_link_to_a_file_of_the_server_is_never_followed(live_app: LiveApp, forge: Forge):
    live_app.hf("bob").create_repo("bob/h19-links")
    tree = forge.tree(
        ("120000", b"passwd", forge.put("blob", b"/etc/passwd")),
        ("120000", b"up", forge.put("blob", b"../../../../secret")),
    )
    forge.push(live_app, "bob/h19-links", forge.commit(tree))
    for view in ("resolve", "raw", "blob"):
        for name in ("passwd", "up", "passwd/x"):
            answer = httpx.get(f"{live_app.url}/bob/h19-links/{view}/forged/{name}", headers=bearer(live_app, "bob"))
            assert answer.status_code < 500
            assert b"root:" not in answer.content


def test_h19_refs_without_end_and_names_that_are_none_are_refused(live_app: LiveApp, repo: str):
    oid = live_app.hf("bob").model_info(repo).sha
    url, headers = f"{live_app.url}/{repo}.git/git-receive-pack", bearer(live_app, "bob")

    def push(names: list[str]) -> httpx.Response:
        lines = []
        for at, name in enumerate(names):
            line = f"{'0' * 40} {oid} {name}".encode() + (b"\0report-status\n" if at == 0 else b"\n")
            lines.append(b"%04x%b" % (len(line) + 4, line))
        empty = b"PACK\0\0\0\2\0\0\0\0\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e"
        return httpx.post(
            url,
            content=b"".join(lines) + b"0000" + empty,
            headers={**headers, "Content-Type": "application/x-git-receive-pack-request"},
            timeout=60,
        )

    before = branches(live_app, repo)
    many = push([f"refs/heads/many-{n}" for n in range(20_000)])
    assert many.status_code >= 400 or b"unpack ok" not in many.content or b"ng " in many.content
    assert branches(live_app, repo) == before
    for name in (
        "refs/heads/../../x", "refs/heads/a..b", "refs/heads/a b", "refs/heads/-x", "refs/heads/a.lock", "refs/heads/a~1",
        "refs/heads/.a", "refs/heads//a", "HEAD", "refs/pr/1", "refs/convert/x", "refs/headwater/x", "x", "refs/heads/a\x07",
        "refs/heads/" + "a" * 5000,
    ):  # fmt: skip
        answer = push([name])
        assert b"ok " + name.encode() not in answer.content, name
        assert answer.status_code < 500, name
    assert branches(live_app, repo) == before

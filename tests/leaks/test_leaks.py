"""Secrets in commits and pushes, by the real clients: refused where everyone could read them, and this site's own tokens ended."""

from __future__ import annotations

import httpx
import pytest
from huggingface_hub import CommitOperationAdd
from huggingface_hub.errors import HfHubHTTPError

from headwater import ledger
from headwater.accounts import NotAllowed, Role
from headwater.accounts.service import tokens
from headwater.hub import leaks
from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import SYSTEM, utcnow
from tests.git.live import actor_named, address, commit_files, git, make_repo

KEY = "AKIA" + "QWERTYUIOPASDFGH"
OTHER = "ghp_" + "aB3" * 12


def new_token(app, user: str = "bob") -> str:
    with app.opened() as site:
        made = site.db.write(
            tokens.create_token,
            SYSTEM,
            owner=user,
            name="to be leaked",
            role="read",
            grants=[],
            expires_at=None,
            now=utcnow(),
        )
    return made.secret


def who(app, token: str) -> int:
    return httpx.get(f"{app.url}/api/whoami-v2", headers={"Authorization": f"Bearer {token}"}).status_code


def add(path: str, text: str) -> CommitOperationAdd:
    return CommitOperationAdd(path, text.encode())


def test_a_commit_to_a_public_repository_is_refused_with_the_line(live_app):
    make_repo(live_app, "ada/leak-commit")
    hf = live_app.hf("ada")
    with pytest.raises(HfHubHTTPError) as refused:
        hf.create_commit("ada/leak-commit", [add("a/run.py", f"import os\n\nKEY = '{KEY}'\n")], commit_message="x")
    assert refused.value.response.status_code == 422
    assert "'a/run.py' holds what looks like a secret in line 3: AWS access key" in str(refused.value)
    assert KEY not in refused.value.response.text
    assert "a/run.py" not in hf.list_repo_files("ada/leak-commit")
    assert KEY not in live_app.log()


def test_a_push_is_refused_with_path_and_line_and_goes_through_without(live_app, tmp_path):
    make_repo(live_app, "ada/leak-push")
    folder = tmp_path / "clone"
    git("clone", "-q", address(live_app, "ada/leak-push", "ada"), str(folder))
    commit_files(folder, {"deep/er/settings.env": f"A=1\nTOKEN={OTHER}\n".encode(), "README.md": b"# Hello\n"})
    done = git("push", "origin", "main", cwd=folder, check=False)
    assert done.returncode != 0
    said = " ".join(done.stderr.replace("remote:", "").split())
    assert "'deep/er/settings.env' holds what looks like a secret in line 2: GitHub token" in said
    commit_files(folder, {"deep/er/settings.env": b"A=1\n"})
    assert git("push", "origin", "main", cwd=folder, check=False).returncode != 0  # it still stands in the first commit
    git("reset", "-q", "--soft", "HEAD~1", cwd=folder)
    git("commit", "-q", "--amend", "-m", "without", cwd=folder)
    git("push", "-q", "origin", "main", cwd=folder)
    assert live_app.hf("ada").list_repo_files("ada/leak-push")


def test_a_private_repository_keeps_its_owners_keys(live_app):
    make_repo(live_app, "ada/leak-private", private=True)
    hf = live_app.hf("ada")
    hf.create_commit("ada/leak-private", [add("key.txt", KEY)], commit_message="x")
    assert "key.txt" in hf.list_repo_files("ada/leak-private")


@pytest.mark.parametrize("private", [False, True])
def test_a_token_of_this_site_ends_at_once(live_app, private: bool):
    name = f"ada/leak-own-{'private' if private else 'public'}"
    make_repo(live_app, name, private=private)
    token = new_token(live_app)
    assert who(live_app, token) == 200
    hf = live_app.hf("ada")
    if private:
        hf.create_commit(name, [add("notes.md", f"use {token}\n")], commit_message="x")
    else:
        with pytest.raises(HfHubHTTPError, match="Headwater token"):
            hf.create_commit(name, [add("notes.md", f"use {token}\n")], commit_message="x")
    assert who(live_app, token) == 401
    # It opens nothing any more, so the same file is taken now.
    hf.create_commit(name, [add("notes.md", f"use {token}\n")], commit_message="x")
    with live_app.opened() as site:
        repo, _ = site.db.read(leaks.list_found, SYSTEM, RepoKind.MODEL, RepoName(*name.split("/")))
        entries = site.db.read(lambda tx: ledger.list_entries(tx, repo_id=repo.id, cursor=None, limit=20).items)
    assert "token.leaked" in [entry.kind for entry in entries]
    assert token not in str(entries)


def test_a_token_with_a_wrong_checksum_is_no_token(live_app):
    make_repo(live_app, "ada/leak-checksum")
    live_app.hf("ada").create_commit("ada/leak-checksum", [add("a.txt", "hw_" + "a" * 38)], commit_message="x")


def test_an_owner_lets_one_in_with_a_reason_that_is_recorded(live_app):
    name = RepoName("ada", "leak-allowed")
    make_repo(live_app, str(name))
    live_app.add_member("lab", "bob", Role.WRITE)
    hf = live_app.hf("ada")
    operation = [add("tests/fixture.py", f"KEY = '{KEY}'\n"), add("other.py", f"T = '{OTHER}'\n")]
    with pytest.raises(HfHubHTTPError):
        hf.create_commit(str(name), operation, commit_message="x")
    with live_app.opened() as site:
        ada, bob = actor_named(site, "ada"), actor_named(site, "bob")
        _, found = site.db.read(leaks.list_found, ada, RepoKind.MODEL, name)
        assert {(each.path, each.line) for each in found} == {("tests/fixture.py", 1), ("other.py", 1)}
        assert KEY not in repr(found)
        mark = next(each.mark for each in found if each.path == "tests/fixture.py")
        with pytest.raises(leaks.SecretReasonMissing):
            site.db.write(leaks.allow, ada, RepoKind.MODEL, name, mark, "short", now=utcnow())
        with pytest.raises(NotAllowed):
            site.db.write(leaks.allow, bob, RepoKind.MODEL, name, mark, "because I say so", now=utcnow())
        repo = site.db.write(leaks.allow, ada, RepoKind.MODEL, name, mark, "made up for a test", now=utcnow())
        entries = site.db.read(lambda tx: ledger.list_entries(tx, repo_id=repo.id, cursor=None, limit=20).items)
        assert [e.names["facts"]["reason"] for e in entries if e.kind == "secret.allowed"] == ["made up for a test"]
        with pytest.raises(leaks.SecretNotFound):
            site.db.write(leaks.allow, ada, RepoKind.MODEL, name, mark, "made up for a test", now=utcnow())
    with pytest.raises(HfHubHTTPError, match=r"other\.py"):  # the other one was not let in
        hf.create_commit(str(name), operation, commit_message="x")
    hf.create_commit(str(name), operation[:1], commit_message="x")
    assert "tests/fixture.py" in hf.list_repo_files(str(name))


def test_what_is_named_anew_is_looked_at_in_another_repository(live_app):
    """A configuration that was judged before, elsewhere, is looked at for secrets all the same."""
    make_repo(live_app, "ada/leak-first", private=True)
    make_repo(live_app, "ada/leak-second")
    hf = live_app.hf("ada")
    hf.create_commit("ada/leak-first", [add("config.json", f'{{"key": "{KEY}"}}')], commit_message="x")
    with pytest.raises(HfHubHTTPError, match="AWS access key"):
        hf.create_commit("ada/leak-second", [add("config.json", f'{{"key": "{KEY}"}}')], commit_message="x")

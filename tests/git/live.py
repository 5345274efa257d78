"""Helpers around a running server: repositories, and a git that reads nothing of this machine's settings."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from headwater.accounts.service import people  # noqa: F401  # declares its tables
from headwater.accounts.tables import account
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.repos import service as repos
from headwater.kernel import AccountId, Actor


def actor_named(site, name: str) -> Actor:
    row = site.db.read(lambda tx: tx.execute(account.select().where(account.c.name == name)).one())
    return Actor(AccountId(row.id), name, is_site_admin=row.is_site_admin)


def make_repo(app, name: str, kind: RepoKind = RepoKind.MODEL, *, private: bool = False) -> Repository:
    namespace, _, short = name.partition("/")
    with app.opened() as site:
        return repos.create_repository(
            site, actor_named(site, namespace), kind, RepoName(namespace, short), is_private=private
        )


def address(app, path: str, user: str | None = None, scope: str = "write") -> str:
    parts = urlsplit(app.url)
    who = "" if user is None else f"{user}:{app.token(user, scope)}@"
    return f"{parts.scheme}://{who}{parts.netloc}/{path}"


def git(*args: str, cwd: Path | None = None, check: bool = True, **env: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/nonexistent",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LFS_SKIP_SMUDGE": "1",
            "GIT_AUTHOR_NAME": "Ada",
            "GIT_AUTHOR_EMAIL": "ada@example.org",
            "GIT_COMMITTER_NAME": "Ada",
            "GIT_COMMITTER_EMAIL": "ada@example.org",
            "LC_ALL": "C.UTF-8",
            **env,
        },
    )
    if check:
        assert done.returncode == 0, f"git {' '.join(args)}\n{done.stdout}\n{done.stderr}"
    return done


def commit_files(folder: Path, files: dict[str, bytes | None], message: str = "change") -> str:
    for path, data in files.items():
        target = folder / path
        if data is None:
            target.unlink()
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    git("add", "-A", cwd=folder)
    git("commit", "-q", "-m", message, cwd=folder)
    return git("rev-parse", "HEAD", cwd=folder).stdout.strip()

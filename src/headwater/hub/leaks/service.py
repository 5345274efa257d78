"""What becomes of a secret in a push: this site's own tokens end at once, and what everyone could read is refused.

``Watch`` looks at files as they come, ``settle`` decides when all were seen: before the transaction that would make them part of
the repository.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from headwater import ledger
from headwater.accounts import Action, credentials, end_leaked_token
from headwater.db import Tx
from headwater.hub import access
from headwater.hub.leaks import store
from headwater.hub.leaks.errors import SecretNotFound, SecretReasonMissing, SecretsFound, SecretsNotLooked
from headwater.hub.leaks.models import FoundSecret, Leak
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import SYSTEM, Actor, RepoId, utcnow
from headwater.web.site import Site

if TYPE_CHECKING:
    from headwater.scanning import Secret

MAX_LEAKS = 200  # of one push; there is no telling of more
MAX_OWN = 1000  # of this site's own tokens, each of which is to be ended
LOOK_CPU_S = 10.0  # gigabytes of ordinary text
MAX_SHOWN = 200
MIN_REASON, MAX_REASON = 10, 1000


class TookTooLong(Exception):
    """There was no more time to look."""


class Watch:
    """Secrets in the small files of one commit or push. Large files are not looked at.

    ``is_full``: there are more than are told. ``is_cut``: not all was looked at, or there are more of this site's own than can be ended.
    """

    def __init__(self) -> None:
        self.leaks: list[Leak] = []
        self.is_full = self.is_cut = False
        self._seen: set[str] = set()
        self._n_own = 0
        self._left_s = LOOK_CPU_S
        self._begun: float | None = None

    def look(self, path: str, content: str, data: bytes) -> None:
        """``content`` is git's id of the file, which is looked at once whatever its names."""
        if content in self._seen or self.is_cut:
            return
        self._seen.add(content)
        from headwater.scanning import find_secrets

        try:
            for secret in find_secrets(data, self._check):
                self._note(path, content, secret, data[secret.start : secret.end])
        except TookTooLong:
            self.is_cut = True
        if self._begun is not None:
            self._left_s -= time.thread_time() - self._begun
            self._begun = None

    def _check(self) -> None:
        if self._begun is None:
            self._begun = time.thread_time()
        if time.thread_time() - self._begun > self._left_s:
            raise TookTooLong

    def _note(self, path: str, content: str, secret: Secret, text: bytes) -> None:
        from headwater.scanning import OWN_KIND

        leak = Leak(path, content, secret.line, secret.kind, text, is_own=secret.kind == OWN_KIND)
        if leak.is_own:
            if not credentials.is_token(text.decode()):
                return
            self.is_cut = self.is_cut or self._n_own >= MAX_OWN
            self._n_own += 1
        elif len(self.leaks) - self._n_own >= MAX_LEAKS:
            self.is_full = True
            return
        if not self.is_cut:
            self.leaks.append(leak)


def settle(
    site: Site, actor: Actor, repo_id: RepoId, watch: Watch, path_of: Callable[[str, str], str] | None = None
) -> None:
    """End this site's own tokens among what ``watch`` saw, and refuse what a public repository would tell everyone.

    Writes in a transaction of its own, which stays whatever becomes of the push.

    Args:
        path_of: (git's id, name) to the path that a refusal names, where callers know names only.

    Raises:
        SecretsFound
        SecretsNotLooked: not everything could be looked at; of what was, this site's own tokens have ended.
    """
    if not watch.leaks and not watch.is_cut:
        return

    def named(leak: Leak) -> str:
        path = leak.path if path_of is None else path_of(leak.content, leak.path)
        return path.encode(errors="replace").decode()

    paths = {leak: named(leak) for leak in watch.leaks}
    refused = site.db.write(_settle, actor, repo_id, paths, utcnow(), is_full=watch.is_full)
    if watch.is_cut:
        raise SecretsNotLooked
    if refused:
        first = refused[0]
        raise SecretsFound(paths[first], first.line, first.kind, first.mark(repo_id), len(refused) - 1)


def _settle(
    tx: Tx, actor: Actor, repo_id: RepoId, paths: dict[Leak, str], now: datetime, *, is_full: bool
) -> list[Leak]:
    """Those for which the push is refused; where there are more than are told, the last one at least."""
    repo = access.get_repository_by_id(tx, SYSTEM, repo_id, Action.READ)
    told: list[Leak] = []
    for leak, path in paths.items():
        if leak.is_own:
            found = end_leaked_token(tx, leak.text.decode(), where=f"{repo.path}: {path}", now=now)
            if found is not None and found.was_live:
                facts = {"path": path, "line": leak.line, "token": credentials.hint_of(leak.text.decode())}
                ledger.record(
                    tx,
                    actor,
                    "token.leaked",
                    repo.path,
                    facts,
                    private=True,
                    repo_id=repo.id,
                    owner_id=repo.owner_id,
                    now=now,
                )
            elif found is not None:
                continue  # it opens nothing any more
        told.append(leak)
    rest = list(paths)[-1:] if is_full and not repo.is_private else []
    if repo.is_private or not told:
        return rest
    allowed = store.find_allowed(tx, repo_id, {leak.mark(repo_id) for leak in told})
    refused = [leak for leak in told if leak.mark(repo_id) not in allowed]
    rows = [
        {
            "mark": leak.mark(repo_id),
            "kind": leak.kind,
            "path": paths[leak],
            "line": leak.line,
            "found_by": actor.account_id,
            "found_at": now,
        }
        for leak in refused
    ]
    store.put_found(tx, repo_id, rows)
    return refused or rest


def list_found(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName) -> tuple[Repository, list[FoundSecret]]:
    """What pushes to this repository were refused for, the latest first.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed: for those who administer it.
    """
    repo = access.get_repository(tx, actor, kind, name, Action.ADMIN)
    return repo, store.list_found(tx, repo.id, MAX_SHOWN)


def allow(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, mark: str, reason: str, *, now: datetime) -> Repository:
    """Let one secret into this repository from now on; the reason is recorded. The push has to be made again.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed: for those who administer it.
        SecretNotFound, SecretReasonMissing
    """
    repo = access.get_repository(tx, actor, kind, name, Action.ADMIN)
    reason = " ".join(reason.split())
    if not MIN_REASON <= len(reason) <= MAX_REASON:
        raise SecretReasonMissing
    found = store.allow(tx, repo.id, mark, by=actor.account_id, reason=reason, now=now)
    if found is None:
        raise SecretNotFound
    facts = {"mark": mark, "kind": found.kind, "path": found.path, "line": found.line, "reason": reason}
    ledger.record(
        tx,
        actor,
        "secret.allowed",
        repo.path,
        facts,
        private=repo.is_private,
        repo_id=repo.id,
        owner_id=repo.owner_id,
        now=now,
    )
    return repo

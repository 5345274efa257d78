"""What may happen to held files: who gets them, who lets them go, and what is told of them.

Every door that hands out bytes asks ``find_hold`` what is in the way, and ``require_open`` whether that holds for its reader.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from headwater import accounts, ledger
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub import access
from headwater.hub.gate import store
from headwater.hub.gate.errors import CloneHeld, FileHeld, NotHeld, ReasonMissing
from headwater.hub.gate.models import FileVerdict, HeldFile, Hold, Key, Status
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import Actor, BadCursor, Page, RepoId, Sha256, decode_cursor, encode_cursor

MIN_REASON, MAX_REASON = 10, 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Accepts = Callable[[], bool]
"""Whether the reader has said that they want suspicious files; asked only where there is one."""


def accepts_nothing() -> bool:
    return False


def find_hold(tx: Tx, repo_id: RepoId, content: str, path: str) -> Hold | None:
    """What keeps the file at ``path`` from being served to everyone; remembered where the snapshot can be."""
    holds = holds_of(tx, repo_id, content)
    if not holds:
        return None
    from headwater.scanning import role_of

    role = role_of(path)
    return next((replace(each, path=path) for each in holds if each.role == role), None)


def holds_of(tx: Tx, repo_id: RepoId, content: str) -> Sequence[Hold]:
    """All that keeps these bytes; one look-up for most files, which nothing keeps."""
    return tx.remembered(("holds", repo_id, content), lambda: tuple(store.find_holds(tx, repo_id, content)))


def find_hold_of_bytes(tx: Tx, repo_id: RepoId, sha256: Sha256) -> Hold | None:
    """As ``find_hold`` for doors that know no path. What only a pull request names so keeps nobody from the repository's own file."""
    return _worst(tx, repo_id, sha256, holds_of(tx, repo_id, sha256))


def find_holds_of_bytes(tx: Tx, repo_id: RepoId, digests: Iterable[Sha256]) -> dict[str, Hold]:
    """As ``find_hold_of_bytes``, for many."""
    found = {}
    for content, holds in store.find_holds_among(tx, repo_id, digests).items():
        worst = _worst(tx, repo_id, Sha256(content), holds)
        if worst is not None:
            found[content] = worst
    return found


def _worst(tx: Tx, repo_id: RepoId, sha256: Sha256, holds: Sequence[Hold]) -> Hold | None:
    if not holds:
        return None
    from headwater.hub import files

    own = [each for each in holds if each.pull == 0]
    if not own and files.has_right(tx, repo_id, sha256, pull=0):
        return None
    return max(own or holds, key=lambda each: each.status.rank)


def is_open(tx: Tx, actor: Actor, repo: Repository, hold: Hold, accepts: Accepts = accepts_nothing) -> bool:
    """Whether ``actor`` gets the bytes: those who may write to the repository, and for suspicious ones those who ask for them."""
    if hold.status is Status.SUSPICIOUS and accepts():
        return True
    return accounts.allows(tx, actor, Action.WRITE, on=repo.resource)


def require_open(
    tx: Tx, actor: Actor, repo: Repository, hold: Hold, accepts: Accepts = accepts_nothing, *, found: Any = None
) -> None:
    """
    Raises:
        FileHeld: ``actor`` does not get it, or not without the explicit step.
    """
    if not is_open(tx, actor, repo, hold, accepts):
        raise FileHeld(hold, found)


def holds_small(tx: Tx, repo_id: RepoId) -> bool:
    """Whether there are held files that a clone of everything would bring; one look-up for most repositories, which hold none."""

    def look() -> bool:
        return bool(store.list_in_force(tx, repo_id, small_only=True, with_pulls=True, limit=1))

    return tx.remembered(("small holds", repo_id), look)


def require_clone(
    tx: Tx, actor: Actor, repo: Repository, accepts: Accepts = accepts_nothing, *, with_pulls: bool = False
) -> None:
    """That what git would send holds nothing that is kept from this reader. Large files are no part of it.

    Raises:
        CloneHeld
    """
    if not holds_small(tx, repo.id) or accounts.allows(tx, actor, Action.WRITE, on=repo.resource):
        return
    but = Status.SUSPICIOUS if accepts() else None
    shut = store.list_in_force(tx, repo.id, small_only=True, with_pulls=with_pulls, but=but)
    if shut:
        raise CloneHeld(max(shut, key=lambda each: each.status.rank), len(shut))


def require_copy(tx: Tx, actor: Actor, repo: Repository) -> None:
    """That a copy of the repository would hold nothing that is kept from this actor, large files among it.

    Raises:
        CloneHeld
    """
    kept = store.list_in_force(tx, repo.id)
    if kept and not accounts.allows(tx, actor, Action.WRITE, on=repo.resource):
        raise CloneHeld(max(kept, key=lambda each: each.status.rank), len(kept))


# ---- release


def release(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, key: Key, reason: str, *, now: datetime
) -> Repository:
    """An owner's word that a held file may be served. It is recorded, and holds until the file is judged otherwise.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed: for those who administer the repository.
        NotHeld, ReasonMissing
    """
    repo = access.get_repository(tx, actor, kind, name, Action.ADMIN)
    reason = " ".join(reason.split())
    if not MIN_REASON <= len(reason) <= MAX_REASON:
        raise ReasonMissing
    held = _get_hold(tx, repo, key)
    if held.status is Status.QUEUED:
        raise NotHeld
    store.put_release(tx, repo.id, key, held.status, reason, actor.account_id, now)
    if key[1] in store.SHOWN:
        store.index_again(tx, [repo.id], now)
    _record(tx, actor, repo, "file.released", held, now, reason=reason)
    return repo


def withdraw(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, key: Key, *, now: datetime) -> Repository:
    """Hold a released file back again.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed, NotHeld
    """
    repo = access.get_repository(tx, actor, kind, name, Action.ADMIN)
    if not store.drop_release(tx, repo.id, key):
        raise NotHeld
    if key[1] in store.SHOWN:
        store.index_again(tx, [repo.id], now)
    _record(tx, actor, repo, "file.held_again", _get_hold(tx, repo, key), now)
    return repo


def _get_hold(tx: Tx, repo: Repository, key: Key) -> Hold:
    for each in store.find_holds(tx, repo.id, key[0]):
        if each.role == key[1]:
            return each
    raise NotHeld


def _record(tx: Tx, actor: Actor, repo: Repository, kind: str, hold: Hold, now: datetime, **facts: str) -> None:
    told = {"content": hold.content, "role": hold.role, "path": hold.path, "status": hold.status.value, **facts}
    ledger.record(
        tx,
        actor,
        kind,
        repo.path,
        told,
        private=repo.is_private,
        repo_id=repo.id,
        owner_id=repo.owner_id,
        now=now,
    )


# ---- what is told


@dataclass(frozen=True)
class Security:
    """What is known of one file. ``verdict`` is None where nothing had to be kept, or where it has not been judged."""

    status: Status
    verdict: FileVerdict | None
    is_released: bool = False

    def to_json(self) -> dict[str, Any]:
        """``securityFileStatus``: clients take the three first keys for granted."""
        shown: dict[str, Any] = {"status": self.status.value, "avScan": None, "pickleImportScan": None}
        verdict = self.verdict
        if verdict is None:
            return shown
        if "pickle" in verdict.kinds or verdict.imports:
            worst = "innocuous" if self.status is Status.SAFE else "suspicious"
            shown["pickleImportScan"] = {
                "highestSafetyLevel": worst,
                "imports": [
                    {"module": module, "name": name, "safety": "innocuous" if ok else "suspicious"}
                    for module, name, ok in verdict.imports
                ],
            }
        if verdict.findings:
            shown["findings"] = [found.to_json() for found in verdict.findings]
        if verdict.second is not None:
            shown["secondOpinion"] = dict(verdict.second)
        shown["rules"] = verdict.rules
        if self.is_released:
            shown["released"] = True
        return shown


def find_security(tx: Tx, repo_id: RepoId, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Security]:
    """What is known of files, given as (content, path).

    A small text in which nothing was found has no row: it is safe, unless the repository waits for the rules of today.
    """
    from headwater.scanning import role_of

    pairs = list(wanted)
    keys: dict[tuple[str, str], Key] = {(content, path): (content, role_of(path)) for content, path in pairs}
    verdicts = store.find_verdicts(tx, keys.values())
    released = store.find_released(tx, repo_id, verdicts)
    is_due: bool | None = None
    found = {}
    for pair, key in keys.items():
        verdict = verdicts.get(key)
        if verdict is not None:
            found[pair] = Security(verdict.status, verdict, released.get(key) is verdict.status)
            continue
        if is_due is None:
            is_due = store.is_due(tx, repo_id)
        is_plain = key[1] == "text" and len(key[0]) == 40
        found[pair] = Security(Status.SAFE if is_plain and not is_due else Status.QUEUED, None)
    return found


@dataclass(frozen=True)
class RepositorySecurity:
    """``held``: the latest held and released ones of the repository's own files, a bounded number to show."""

    is_done: bool
    held: Sequence[HeldFile]

    def to_json(self) -> dict[str, Any]:
        """``securityRepoStatus``."""
        issues = [
            {"path": each.hold.path, "level": each.hold.status.value}
            for each in self.held
            if each.hold.status is not Status.QUEUED and not each.is_released
        ]
        return {"scansDone": self.is_done, "filesWithIssues": issues}


def repository_security(tx: Tx, repo_id: RepoId, limit: int = 200) -> RepositorySecurity:
    held = store.list_held(tx, repo_ids=[repo_id], own_only=True, limit=limit)
    waits = store.list_in_force(tx, repo_id, only=Status.QUEUED, limit=1)
    return RepositorySecurity(not waits and not store.is_due(tx, repo_id), held)


def list_held(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, limit: int = 200
) -> tuple[Repository, Sequence[HeldFile]]:
    """All held and released files of a repository, pull requests' too.

    Raises:
        RepositoryNotFound
    """
    repo = access.get_repository(tx, actor, kind, name, Action.READ)
    return repo, store.list_held(tx, repo_ids=[repo.id], limit=limit)


def list_queue(
    tx: Tx, actor: Actor, *, everywhere: bool, cursor: str | None, limit: int = 50
) -> Page[tuple[Repository, HeldFile]]:
    """Held files in repositories that ``actor`` may administer, the latest first; administrators may ask for the whole site's.

    Raises:
        NotSignedIn, NotAllowed
    """
    if everywhere:
        accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
        ids = None
    else:
        if actor.is_anonymous:
            raise accounts.NotSignedIn
        owners = [space.account.id for space in accounts.namespaces_of(tx, actor)]
        ids = store.list_holding(tx, owners)
    before = None
    if cursor is not None:
        before = _position(cursor)
    found = store.list_held(tx, repo_ids=ids, before=before, limit=limit + 1) if ids is None or ids else []
    repos = store.find_repositories(tx, {each.hold.repo_id for each in found[:limit]})
    shown = [
        (repos[each.hold.repo_id], each)
        for each in found[:limit]
        if each.hold.repo_id in repos and accounts.allows(tx, actor, Action.ADMIN, on=repos[each.hold.repo_id].resource)
    ]
    last = found[limit - 1] if len(found) > limit else None
    return Page(shown, None if last is None else _cursor(last))


def _cursor(last: HeldFile) -> str:
    return encode_cursor([(last.noted_at - _EPOCH) // timedelta(microseconds=1), last.hold.content])


def _position(cursor: str) -> tuple[datetime, str]:
    match decode_cursor(cursor):
        case [int(at), str(content)] if 0 <= at < 1 << 56:
            return _EPOCH + timedelta(microseconds=at), content
    raise BadCursor

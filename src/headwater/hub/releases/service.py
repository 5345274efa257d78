"""Taking signatures over a revision, and listing them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from headwater import ledger
from headwater.accounts import Action
from headwater.db import Tx, insert
from headwater.hub import access
from headwater.hub.content.reading import Revision, open_revision
from headwater.hub.git import EntryKind
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.releases import bundle
from headwater.hub.releases.bundle import BadRelease
from headwater.hub.tables.releases import release_signature
from headwater.kernel import Actor, HeadwaterError, Kind, utcnow
from headwater.web import Site

_LINK_MODE = 0o120000
MOST_SIGNATURES = 1000  # of one repository
SHOWN = 100


class ReleaseNotFound(HeadwaterError):
    code = "release_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("This repository has no such signature. Its page 'releases' lists those that there are.")


class TooManySignatures(HeadwaterError):
    code = "too_many_signatures"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__(
            f"This repository has {MOST_SIGNATURES} signatures, which is as many as are kept for one. Commit the next to the repository "
            f"as {bundle.SIGNATURE_FILE}: headwater release sign --no-upload --output {bundle.SIGNATURE_FILE}"
        )


@dataclass(frozen=True)
class Release:
    """A signature that was right when it came; revisions never change, so it is still. Its bundle is had by ``read_bundle``."""

    id: int
    commit: str
    key_id: str
    public_key: str
    n_files: int
    added_by: str
    added_at: datetime


def add_release(
    site: Site, actor: Actor, kind: RepoKind, name: RepoName, revision: object, text: object, public_key: object
) -> Release:
    """Keep a signature by the key over exactly the files of a revision. A second one by the same key changes nothing.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed, RevisionNotFound.
        BadRelease: it is not a bundle, not by this key, or not of these files.
        BadSigningKey, TooManySignatures
    """
    site.db.read(access.get_repository, actor, kind, name, Action.WRITE)  # before a word about what was sent
    if not isinstance(text, str) or not isinstance(public_key, str) or not isinstance(revision, str | None):
        raise BadRelease("the texts bundle and public_key are needed, and a revision is a text")
    key, data = bundle.load_public_key(public_key), text.encode()
    parsed = bundle.parse(data)
    bundle.check_signature(parsed, key)
    if len(data) > bundle.largest_for(parsed.statement):
        most = bundle.largest_for(parsed.statement)
        raise BadRelease(f"it is {len(data)} bytes long, and {most} are enough for the files that it names")
    with open_revision(site, actor, kind, name, revision or None, action=Action.WRITE) as at:
        repo, commit = at.repo, at.commit
        bundle.compare(parsed.statement, hash_files(at))
    now = utcnow()
    values = {
        "repo_id": repo.id,
        "commit_id": commit,
        "key_id": bundle.key_id(key),
        "public_key": bundle.public_pem(key),
        "bundle": text,
        "n_files": len(parsed.statement.files),
        "added_by": actor.name,
        "added_at": now,
    }

    def act(tx: Tx) -> Release:
        here = access.get_repository_by_id(tx, actor, repo.id, Action.WRITE)  # it may be private by now
        made = tx.execute(insert(release_signature).values(values).on_conflict_do_nothing())
        if made.rowcount:
            query = select(func.count()).where(release_signature.c.repo_id == here.id)
            if tx.execute(query).scalar_one() > MOST_SIGNATURES:
                raise TooManySignatures
            facts = {"commit": commit, "key": values["key_id"], "bundle": hashlib.sha256(data).hexdigest()}
            ledger.record(
                tx,
                actor,
                "release.signed",
                here.path,
                facts,
                private=here.is_private,
                repo_id=here.id,
                owner_id=here.owner_id,
                now=now,
            )
        columns = release_signature.c
        mine = columns.repo_id == repo.id, columns.commit_id == commit, columns.key_id == values["key_id"]
        return _release(tx.execute(select(*_SHORT).where(*mine)).one())

    return site.db.write(act)


def hash_files(at: Revision) -> dict[str, str]:
    """Every file of a revision with its SHA-256: of large ones as the pointer says, which is how they are kept.

    Raises:
        BadRelease: it cannot be signed.
    """
    found: dict[str, str] = {}
    for entry in at.snap.iter_files(at.commit):
        if entry.kind is not EntryKind.FILE or entry.mode == _LINK_MODE:
            raise BadRelease(f"{entry.path!r} is a link or another repository, and this format names files alone")
        if len(found) >= bundle.MOST_FILES:
            raise BadRelease(f"the revision has more than {bundle.MOST_FILES} files")
        found[entry.path] = entry.sha256 or hashlib.sha256(at.snap.read_blob(entry.oid)).hexdigest()
    return found


def list_releases(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, *, commit: str | None = None
) -> tuple[Repository, Sequence[Release]]:
    """A repository's signatures, or those of one revision, the latest first; the last hundred.

    Raises:
        RepositoryNotFound
    """
    repo = access.get_repository(tx, actor, kind, name, Action.READ)
    return repo, _list(tx, repo, commit)


def read_bundle(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, number: int) -> str:
    """A signature as it was made. Raises: RepositoryNotFound, ReleaseNotFound."""
    repo = access.get_repository(tx, actor, kind, name, Action.READ)
    table = release_signature
    query = select(table.c.bundle).where(table.c.repo_id == repo.id, table.c.id == number)
    found: str | None = tx.execute(query).scalar()
    if found is None:
        raise ReleaseNotFound
    return found


def _list(tx: Tx, repo: Repository, commit: str | None) -> list[Release]:
    table = release_signature
    query = select(*_SHORT).where(table.c.repo_id == repo.id).order_by(table.c.id.desc()).limit(SHOWN)
    if commit is not None:
        query = query.where(table.c.commit_id == commit)
    return [_release(row) for row in tx.execute(query)]


_SHORT = [column for column in release_signature.c if column.name != "bundle"]  # which may be of megabytes


def _release(row: Any) -> Release:
    return Release(row.id, row.commit_id, row.key_id, row.public_key, row.n_files, row.added_by, row.added_at)

"""SQL of blobs, rights and claims, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import ColumnElement, bindparam, false, func, or_, select, update

from headwater import accounts
from headwater.accounts import Action
from headwater.db import Tx, insert, prepared
from headwater.hub import quotas
from headwater.hub.access import from_row
from headwater.hub.models import Repository
from headwater.hub.tables.files import blob, file_right, upload_claim
from headwater.hub.tables.repositories import repository
from headwater.hub.tables.xet import xet_file, xet_file_xorb, xorb
from headwater.kernel import Actor, RepoId, Sha256, XetHash

_BATCH = 500  # bound parameters a statement
_CANDIDATES = 8  # repositories looked at to find one through which a digest is readable

# What every download asks, about one digest: built once, for building costs more than running.
_BLOB = prepared(select(blob).where(blob.c.sha256 == bindparam("digest")))
_RIGHTS = prepared(
    select(file_right.c.sha256, file_right.c.pull).where(
        file_right.c.repo_id == bindparam("repo"), file_right.c.sha256 == bindparam("digest")
    )
)
_READABLE = prepared(
    select(
        blob.c.size_bytes,
        blob.c.layout,
        blob.c.xet_hash,
        blob.c.state,
        blob.c.generation,
        blob.c.copy_generation,
        blob.c.copy_used_at,
        file_right.c.pull,
    )
    .join(file_right, file_right.c.sha256 == blob.c.sha256)
    .where(file_right.c.repo_id == bindparam("repo"), blob.c.sha256 == bindparam("digest"))
)
_STORED = prepared(
    select(func.sum(blob.c.size_bytes))
    .join(file_right, file_right.c.sha256 == blob.c.sha256)
    .where(file_right.c.repo_id == bindparam("repo"), file_right.c.pull == 0)
)
_TERMS = prepared(select(xet_file.c.terms).where(xet_file.c.xet_hash == bindparam("file")))
_GENERATIONS = prepared(
    select(xorb.c.hash, xorb.c.generation)
    .join(xet_file_xorb, xet_file_xorb.c.xorb == xorb.c.hash)
    .where(xet_file_xorb.c.xet_hash == bindparam("file"))
)


@dataclass(frozen=True)
class Blob:
    sha256: Sha256
    size_bytes: int
    layout: str  # "plain" | "xet"
    xet_hash: XetHash | None
    state: str
    generation: int
    copy_generation: int | None = None  # of a plain copy, beside the xorbs
    copy_used_at: datetime | None = None

    @property
    def is_stored(self) -> bool:
        """Whether a row may still come to rely on it; ``deleting`` is final."""
        return self.state in ("live", "condemned")


def find_blobs(tx: Tx, digests: Iterable[Sha256]) -> dict[Sha256, Blob]:
    """Rows in any state."""
    found: dict[Sha256, Blob] = {}
    for part in batches(digests):
        if len(part) == 1:
            rows = tx.execute(_BLOB, {"digest": part[0]})
        else:
            rows = tx.execute(select(blob).where(blob.c.sha256.in_(part)))
        for row in rows:
            found[Sha256(row.sha256)] = Blob(
                Sha256(row.sha256),
                row.size_bytes,
                row.layout,
                row.xet_hash,
                row.state,
                row.generation,
                row.copy_generation,
                row.copy_used_at,
            )
    return found


def find_readable(tx: Tx, repo_id: RepoId, sha256: Sha256) -> tuple[Blob | None, frozenset[int]]:
    """The row of a digest, in any state, and through what the repository may read it; as ``find_rights``."""

    def find() -> tuple[Blob | None, frozenset[int]]:
        rows = tx.execute(_READABLE, {"repo": repo_id, "digest": sha256}).all()
        if not rows:
            return None, frozenset()
        row = rows[0]
        facts = row.size_bytes, row.layout, row.xet_hash, row.state, row.generation
        found = Blob(sha256, *facts, row.copy_generation, row.copy_used_at)
        return found, frozenset(each.pull for each in rows)

    return tx.remembered(("readable", repo_id, sha256), find)


def find_rights(tx: Tx, repo_id: RepoId, digests: Iterable[Sha256]) -> dict[Sha256, set[int]]:
    """For each digest that the repository may read, through what: 0 its own, N only pull request N."""
    found: dict[Sha256, set[int]] = {}
    for part in batches(digests):
        if len(part) == 1:
            rows = tx.execute(_RIGHTS, {"repo": repo_id, "digest": part[0]})
        else:
            query = select(file_right.c.sha256, file_right.c.pull)
            rows = tx.execute(query.where(file_right.c.repo_id == repo_id, file_right.c.sha256.in_(part)))
        for row in rows:
            found.setdefault(Sha256(row.sha256), set()).add(row.pull)
    return found


def find_claims(tx: Tx, repo_id: RepoId, actor: Actor, digests: Iterable[Sha256]) -> set[Sha256]:
    """Which of these the actor has uploaded to this repository."""
    if actor.account_id is None:
        return set()
    found: set[Sha256] = set()
    for part in batches(digests):
        query = select(upload_claim.c.sha256).where(
            upload_claim.c.repo_id == repo_id,
            upload_claim.c.account_id == actor.account_id,
            upload_claim.c.sha256.in_(part),
        )
        found.update(Sha256(row.sha256) for row in tx.execute(query))
    return found


def find_readable_elsewhere(tx: Tx, actor: Actor, digests: Iterable[Sha256]) -> set[Sha256]:
    """Which of these the actor may read through some repository they can see.

    A site administrator's power to look anywhere does not count: nobody else's private bytes slip into their commits.
    """
    person = replace(actor, is_site_admin=False)
    visible = visible_repositories(tx, person)
    found: set[Sha256] = set()
    for digest in digests:
        query = (
            select(repository)
            .join(file_right, file_right.c.repo_id == repository.c.id)
            .where(file_right.c.sha256 == digest, file_right.c.pull == 0, repository.c.deleted_at.is_(None), visible)
            .order_by(repository.c.gated)
            .limit(_CANDIDATES)
        )
        for row in tx.execute(query):
            if _serves(tx, person, from_row(row), digest):
                found.add(digest)
                break
    return found


def _serves(tx: Tx, person: Actor, repo: Repository, digest: Sha256) -> bool:
    """Whether the person may read it there; what the gate holds back from them they cannot name elsewhere, either."""
    from headwater.hub import gate

    if not accounts.allows(tx, person, Action.READ_FILES, on=repo.resource):
        return False
    hold = gate.find_hold_of_bytes(tx, repo.id, digest)
    return hold is None or gate.is_open(tx, person, repo, hold)


def visible_repositories(tx: Tx, actor: Actor) -> ColumnElement[bool]:
    """A first sieve in SQL; ``accounts.allows`` decides about each that passes it."""
    owners = accounts.readable_owner_ids(tx, actor)
    if owners is None:
        return repository.c.id.is_not(None)
    named = [g.repo_id for g in actor.limits.grants if g.repo_id is not None] if actor.limits else []
    return or_(
        repository.c.is_private == false(), repository.c.owner_id.in_(sorted(owners)), repository.c.id.in_(named)
    )


def revive(tx: Tx, digests: Iterable[Sha256]) -> None:
    """Condemned blobs become live: somebody has come to rely on them."""
    for part in batches(digests):
        tx.execute(
            update(blob)
            .where(blob.c.sha256.in_(part), blob.c.state == "condemned")
            .values(state="live", condemned_at=None)
        )


def insert_rights(tx: Tx, repo_id: RepoId, files: dict[Sha256, str], *, actor: Actor, pull: int, now: datetime) -> None:
    rows = [
        {
            "repo_id": repo_id,
            "sha256": sha256,
            "pull": pull,
            "filename": path[:1024],
            "uploaded_by": actor.account_id,
            "created_at": now,
        }
        for sha256, path in files.items()
    ]
    if rows:
        tx.execute(insert(file_right).on_conflict_do_nothing(), rows)


def insert_claim(
    tx: Tx, repo_id: RepoId, sha256: Sha256, actor: Actor, now: datetime, *, bill: quotas.Bill | None = None
) -> None:
    """Note, or renew, a claim. It is charged until a commit names it, unless the repository has the digest already.

    Raises:
        QuotaExceeded: who would pay has no room for it; not raised with a ``bill``, which its caller settles.
    """
    here = (
        (upload_claim.c.repo_id == repo_id)
        & (upload_claim.c.sha256 == sha256)
        & (upload_claim.c.account_id == actor.account_id)
    )
    if tx.execute(update(upload_claim).where(here).values(created_at=now)).rowcount:
        return
    charged = bill or quotas.Bill()
    payer = None if find_rights(tx, repo_id, [sha256]) else quotas.payer_of(tx, actor, repo_id)
    values = {"repo_id": repo_id, "sha256": sha256, "account_id": actor.account_id, "created_at": now}
    tx.execute(insert(upload_claim).values(**values, charged_to=None if payer is None else payer.account_id))
    if payer is not None:
        charged.pending(payer.account_id, find_blobs(tx, [sha256])[sha256].size_bytes, is_guest=payer.is_guest)
    if bill is None:
        charged.settle(tx)


def stored_bytes(tx: Tx, repo_id: RepoId) -> int:
    found: int | None = tx.execute(_STORED, {"repo": repo_id}).scalar()
    return found or 0


def find_terms(tx: Tx, xet_hash: XetHash) -> bytes | None:
    terms: bytes | None = tx.execute(_TERMS, {"file": xet_hash}).scalar()
    return terms


def find_generations(tx: Tx, xet_hash: XetHash) -> dict[XetHash, int]:
    """The xorbs of a file, with the generation under which each lies on disk."""
    return {XetHash(row.hash): row.generation for row in tx.execute(_GENERATIONS, {"file": xet_hash})}


def batches(items: Iterable[Sha256]) -> Iterable[Sequence[Sha256]]:
    whole = list(dict.fromkeys(items))
    return (whole[at : at + _BATCH] for at in range(0, len(whole), _BATCH))

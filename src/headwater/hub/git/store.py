"""SQL of refs and packs, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, or_, select, update

from headwater.db import Tx, prepared
from headwater.db import insert as insert_or_ignore
from headwater.hub import quotas
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.git.models import Pointer
from headwater.hub.tables.files import file_right, upload_claim
from headwater.hub.tables.repositories import lfs_pointer, pack, pack_bytes, ref, repository
from headwater.kernel import GitOid, RepoId, Sha256


@dataclass(frozen=True, slots=True)
class Head:
    """What a cache compares: ``version`` moves with every change of refs or packs, ``prune_epoch`` when objects go."""

    version: int
    prune_epoch: int
    default_branch: str


@dataclass(frozen=True, slots=True)
class PackRow:
    id: int
    name: str
    size_bytes: int
    n_objects: int
    is_inline: bool


@dataclass(frozen=True, slots=True)
class State:
    """All that a cache is made from, out of one snapshot."""

    head: Head
    refs: dict[str, str]
    packs: tuple[PackRow, ...]


# Built and translated once: to put a statement together costs more than to run it.
_HEAD = prepared(
    select(repository.c.version, repository.c.prune_epoch, repository.c.default_branch).where(
        repository.c.id == bindparam("repo_id"), repository.c.deleted_at.is_(None)
    )
)
_REFS = prepared(select(ref.c.name, ref.c.oid).where(ref.c.repo_id == bindparam("repo_id")).order_by(ref.c.name))
_PACKS = prepared(
    select(pack.c.id, pack.c.name, pack.c.size_bytes, pack.c.n_objects, pack.c.is_inline)
    .where(pack.c.repo_id == bindparam("repo_id"), pack.c.retired_at.is_(None))
    .order_by(pack.c.id)
)


_LIVE_PACKS = prepared(select(pack.c.id).where(pack.c.repo_id == bindparam("repo_id"), pack.c.retired_at.is_(None)))
_PACKS_FROM = prepared(
    select(pack.c.id, pack_bytes.c.pack, pack_bytes.c.idx)
    .select_from(pack.outerjoin(pack_bytes, pack_bytes.c.pack_id == pack.c.id))
    .where(pack.c.repo_id == bindparam("repo_id"), pack.c.retired_at.is_(None), pack.c.id >= bindparam("first"))
    .order_by(pack.c.id)
)


_LOCK = prepared(
    select(repository)
    .where(repository.c.id == bindparam("repo_id"), repository.c.deleted_at.is_(None))
    .with_for_update()  # says nothing to SQLite, whose write transactions are one at a time
)
_INSERT_PACK = prepared(insert_or_ignore(pack).on_conflict_do_nothing().returning(pack.c.id))
_FIND_PACK = prepared(
    select(pack.c.id).where(
        pack.c.repo_id == bindparam("for_repo"), pack.c.name == bindparam("for_name"), pack.c.retired_at.is_(None)
    )
)
_REVIVE_PACK = prepared(
    update(pack)
    .where(
        pack.c.repo_id == bindparam("for_repo"), pack.c.name == bindparam("for_name"), pack.c.retired_at.is_not(None)
    )
    .values(retired_at=None)
    .returning(pack.c.size_bytes)
)
_INSERT_BYTES = prepared(insert(pack_bytes))
_AT = (
    (ref.c.repo_id == bindparam("at_repo")) & (ref.c.name == bindparam("at_name")) & (ref.c.oid == bindparam("at_oid"))
)
_INSERT_REF = prepared(insert_or_ignore(ref).on_conflict_do_nothing())
_UPDATE_REF = prepared(update(ref).where(_AT).values(oid=bindparam("new_oid"), updated_at=bindparam("now")))
_DELETE_REF = prepared(delete(ref).where(_AT))
_TOUCH = prepared(
    update(repository)
    .where(repository.c.id == bindparam("at_repo"))
    .values(
        version=repository.c.version + 1,
        updated_at=bindparam("now"),
        size_bytes=repository.c.size_bytes + bindparam("added_bytes"),
        head_commit=bindparam("new_head"),
    )
)


def find_locked(tx: Tx, repo_id: RepoId) -> Any:
    """The repository's whole row, kept from changing until the transaction ends; None when it is deleted."""
    return tx.execute(_LOCK, {"repo_id": repo_id}).first()


def find_epochs(tx: Tx, repo_ids: Sequence[RepoId]) -> dict[RepoId, int]:
    """The prune epoch of each repository that is not deleted."""
    found: dict[RepoId, int] = {}
    for at in range(0, len(repo_ids), 500):
        query = select(repository.c.id, repository.c.prune_epoch).where(
            repository.c.id.in_(repo_ids[at : at + 500]), repository.c.deleted_at.is_(None)
        )
        found.update({RepoId(row[0]): row[1] for row in tx.execute(query)})
    return found


def read_head(tx: Tx, repo_id: RepoId) -> Head:
    row = tx.execute(_HEAD, {"repo_id": repo_id}).first()
    if row is None:
        raise RepositoryNotFound
    return Head(*row)


def read_refs(tx: Tx, repo_id: RepoId) -> dict[str, str]:
    return {row[0]: row[1] for row in tx.execute(_REFS, {"repo_id": repo_id})}


def read_state(tx: Tx, repo_id: RepoId) -> State:
    head = read_head(tx, repo_id)
    packs = tuple(PackRow(*row) for row in tx.execute(_PACKS, {"repo_id": repo_id}))
    return State(head, read_refs(tx, repo_id), packs)


def find_live_packs(tx: Tx, repo_id: RepoId) -> frozenset[int]:
    """The ids of the packs in use."""
    return frozenset([row[0] for row in tx.execute(_LIVE_PACKS, {"repo_id": repo_id})])


def read_packs_from(tx: Tx, repo_id: RepoId, first_id: int) -> list[Any]:
    """The packs in use with this id or a higher one, with their bytes where they lie in the row."""
    found: list[Any] = tx.execute(_PACKS_FROM, {"repo_id": repo_id, "first": first_id}).all()
    return found


def find_pack_bytes(tx: Tx, pack_ids: Sequence[int]) -> dict[int, tuple[bytes, bytes]]:
    """Pack and index of inline packs, by the pack's id."""
    rows = tx.execute(select(pack_bytes).where(pack_bytes.c.pack_id.in_(pack_ids)))
    return {row.pack_id: (row.pack, row.idx) for row in rows}


def insert_pack(
    tx: Tx,
    repo_id: RepoId,
    name: str,
    size_bytes: int,
    n_objects: int,
    inline: tuple[bytes, bytes] | None,
    now: datetime,
) -> tuple[int | None, int]:
    """A pack's row; its id, and by how many bytes the packs in use have grown.

    One of the same name (a retried act) is taken into use again instead: no id then, and growth only if it was retired.
    """
    values = {
        "repo_id": repo_id,
        "name": name,
        "size_bytes": size_bytes,
        "n_objects": n_objects,
        "is_inline": inline is not None,
        "created_at": now,
    }
    named = {"for_repo": repo_id, "for_name": name}
    pack_id: int | None = tx.execute(_INSERT_PACK, values).scalar()
    while pack_id is None:
        revived = tx.execute(_REVIVE_PACK, named).scalar()
        if revived is not None:
            return None, revived
        if tx.execute(_FIND_PACK, named).first() is not None:
            return None, 0
        # Retired when the insert met it, and deleted by the collector since: beside others each statement looks anew.
        pack_id = tx.execute(_INSERT_PACK, values).scalar()
    if inline is not None:
        tx.execute(_INSERT_BYTES, {"pack_id": pack_id, "pack": inline[0], "idx": inline[1]})
    return pack_id, size_bytes


def move_ref(tx: Tx, repo_id: RepoId, name: str, old: str | None, new: str | None, now: datetime) -> bool:
    """Compare and swap; False when the ref is not at ``old``."""
    if old is None and new is None:
        return find_ref(tx, repo_id, name) is None
    here = {"at_repo": repo_id, "at_name": name, "at_oid": old}
    if old is None:
        values = {"repo_id": repo_id, "name": name, "oid": new, "updated_at": now}
        done = tx.execute(_INSERT_REF, values)
    elif new is None:
        done = tx.execute(_DELETE_REF, here)
    else:
        done = tx.execute(_UPDATE_REF, here | {"new_oid": new, "now": now})
    return bool(done.rowcount == 1)


def find_ref(tx: Tx, repo_id: RepoId, name: str) -> str | None:
    found: str | None = tx.execute(select(ref.c.oid).where(ref.c.repo_id == repo_id, ref.c.name == name)).scalar()
    return found


def find_ref_in_the_way(tx: Tx, repo_id: RepoId, name: str) -> str | None:
    """A ref that is a folder of ``name``, or that has ``name`` as its folder."""
    parts = name.split("/")
    folders = ["/".join(parts[:n]) for n in range(3, len(parts))]
    # From "name/" up to, not including, "name0": "0" is what follows "/" in every text order that compares code points.
    below = (ref.c.name > f"{name}/") & (ref.c.name < f"{name}0")
    query = select(ref.c.name).where(ref.c.repo_id == repo_id, or_(ref.c.name.in_(folders), below)).limit(1)
    found: str | None = tx.execute(query).scalar()
    return found


def insert_pointers(tx: Tx, pointers: Mapping[GitOid, Pointer]) -> None:
    """Facts about pointers are functions of the git blob, so a second insert changes nothing."""
    if pointers:
        rows = [{"oid": oid, "sha256": p.sha256, "size_bytes": p.size_bytes} for oid, p in pointers.items()]
        tx.execute(insert_or_ignore(lfs_pointer).on_conflict_do_nothing(), rows)


def find_pointers(tx: Tx, oids: Iterable[GitOid]) -> dict[GitOid, Pointer]:
    """What those of the git blobs say that are LFS pointers."""
    wanted, found = list(oids), {}
    for at in range(0, len(wanted), 500):
        rows = tx.execute(select(lfs_pointer).where(lfs_pointer.c.oid.in_(wanted[at : at + 500])))
        found.update({GitOid(row.oid): Pointer(Sha256(row.sha256), row.size_bytes) for row in rows})
    return found


def touch_repository(tx: Tx, repo_id: RepoId, *, added_bytes: int, head_commit: str | None, now: datetime) -> None:
    """Raise the version, so that every cache looks again."""
    values = {"at_repo": repo_id, "added_bytes": added_bytes, "new_head": head_commit, "now": now}
    tx.execute(_TOUCH, values)


def replace_packs(tx: Tx, repo_id: RepoId, retired_ids: Sequence[int], *, pruned: bool, now: datetime) -> None:
    """Retire packs whose objects another one now holds (or, ``pruned``, that nobody should have any more)."""
    for at in range(0, len(retired_ids), 500):
        batch = retired_ids[at : at + 500]
        tx.execute(update(pack).where(pack.c.repo_id == repo_id, pack.c.id.in_(batch)).values(retired_at=now))
    values = {"version": repository.c.version + 1, "prune_epoch": repository.c.prune_epoch + (1 if pruned else 0)}
    tx.execute(update(repository).where(repository.c.id == repo_id).values(values))


def delete_retired(tx: Tx, before: datetime, limit: int = 500) -> int:
    """Delete the rows of packs retired before a moment, and of repositories deleted before it; returns how many went.

    A large pack's files stay, without a row, for the collector to find.
    """
    gone = select(repository.c.id).where(repository.c.deleted_at < before)
    query = select(pack.c.id).where(or_(pack.c.retired_at < before, pack.c.repo_id.in_(gone))).limit(limit)
    ids = [row[0] for row in tx.execute(query)]
    tx.execute(delete(pack_bytes).where(pack_bytes.c.pack_id.in_(ids)))
    tx.execute(delete(pack).where(pack.c.id.in_(ids)))
    return len(ids)


def list_crowded(tx: Tx, threshold: int, limit: int = 100) -> list[RepoId]:
    """Repositories with more live packs than ``threshold``."""
    query = (
        select(pack.c.repo_id)
        .where(pack.c.retired_at.is_(None))
        .group_by(pack.c.repo_id)
        .having(func.count() > threshold)
        .limit(limit)
    )
    return [RepoId(row[0]) for row in tx.execute(query)]


def find_repository_pointers(tx: Tx, repo_id: RepoId) -> list[tuple[str, Sha256]]:
    """Each large file that a repository may read, with the git blobs of any repository that name it; "" for none."""
    query = (
        select(file_right.c.sha256, lfs_pointer.c.oid)
        .outerjoin(lfs_pointer, lfs_pointer.c.sha256 == file_right.c.sha256)
        .where(file_right.c.repo_id == repo_id)
    )
    return [(row.oid or "", Sha256(row.sha256)) for row in tx.execute(query)]


def drop_unnamed(tx: Tx, repo_id: RepoId, digests: Sequence[Sha256]) -> None:
    """Take the right to these from a repository, but for those that somebody has just sent again."""
    if not digests:
        return
    with quotas.rights_changing(tx, repo_id):
        for at in range(0, len(digests), 500):
            part = digests[at : at + 500]
            claimed = select(upload_claim.c.sha256).where(
                upload_claim.c.repo_id == repo_id, upload_claim.c.sha256.in_(part)
            )
            tx.execute(
                delete(file_right).where(
                    file_right.c.repo_id == repo_id, file_right.c.sha256.in_(part), file_right.c.sha256.not_in(claimed)
                )
            )


def find_pack_names(tx: Tx, repo_id: RepoId) -> set[str]:
    """Every pack that has a row, retired ones too."""
    return {row[0] for row in tx.execute(select(pack.c.name).where(pack.c.repo_id == repo_id))}

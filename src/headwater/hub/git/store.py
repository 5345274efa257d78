"""SQL of refs and packs, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, delete, func, insert, or_, select, update
from sqlalchemy.dialects.sqlite import insert as insert_or_ignore

from headwater.db import Tx
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.git.models import Pointer
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


_HEAD = select(repository.c.version, repository.c.prune_epoch, repository.c.default_branch).where(
    repository.c.id == bindparam("repo_id"), repository.c.deleted_at.is_(None)
)
_REFS = select(ref.c.name, ref.c.oid).where(ref.c.repo_id == bindparam("repo_id")).order_by(ref.c.name)
_PACKS = (
    select(pack.c.id, pack.c.name, pack.c.size_bytes, pack.c.n_objects, pack.c.is_inline)
    .where(pack.c.repo_id == bindparam("repo_id"), pack.c.retired_at.is_(None))
    .order_by(pack.c.id)
)


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
) -> None:
    """A pack's row; one of the same name (a retried act) is taken into use again instead."""
    found = tx.execute(select(pack.c.id).where(pack.c.repo_id == repo_id, pack.c.name == name)).scalar()
    if found is not None:
        tx.execute(update(pack).where(pack.c.id == found).values(retired_at=None))
        return
    values = {
        "repo_id": repo_id,
        "name": name,
        "size_bytes": size_bytes,
        "n_objects": n_objects,
        "is_inline": inline is not None,
        "created_at": now,
    }
    pack_id = tx.execute(insert(pack).values(values)).inserted_primary_key[0]
    if inline is not None:
        tx.execute(insert(pack_bytes).values(pack_id=pack_id, pack=inline[0], idx=inline[1]))


def move_ref(tx: Tx, repo_id: RepoId, name: str, old: str | None, new: str | None, now: datetime) -> bool:
    """Compare and swap; False when the ref is not at ``old``."""
    here = (ref.c.repo_id == repo_id) & (ref.c.name == name)
    if old is None and new is None:
        return find_ref(tx, repo_id, name) is None
    if old is None:
        values = {"repo_id": repo_id, "name": name, "oid": new, "updated_at": now}
        done = tx.execute(insert_or_ignore(ref).values(values).on_conflict_do_nothing())
    elif new is None:
        done = tx.execute(delete(ref).where(here, ref.c.oid == old))
    else:
        done = tx.execute(update(ref).where(here, ref.c.oid == old).values(oid=new, updated_at=now))
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


def touch_repository(
    tx: Tx, repo_id: RepoId, *, added_bytes: int, head_commit: str | None, sets_head: bool, now: datetime
) -> None:
    values: dict[str, object] = {
        "version": repository.c.version + 1,
        "updated_at": now,
        "size_bytes": repository.c.size_bytes + added_bytes,
    }
    if sets_head:
        values["head_commit"] = head_commit
    tx.execute(update(repository).where(repository.c.id == repo_id).values(values))


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


def find_pack_names(tx: Tx, repo_id: RepoId) -> set[str]:
    """Every pack that has a row, retired ones too."""
    return {row[0] for row in tx.execute(select(pack.c.name).where(pack.c.repo_id == repo_id))}

"""SQL of cards and of the flat list of the default branch's files."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, select

from headwater.db import Tx, insert, prepared
from headwater.hub.cards.models import Card, Problem, Sibling
from headwater.hub.models import RepoKind
from headwater.hub.tables.cards import card, default_file
from headwater.hub.tables.files import blob, file_right
from headwater.hub.tables.repositories import pack
from headwater.kernel import CommitId, GitOid, RepoId, Sha256

_LISTED = [column for column in card.c if column.name != "text"]
_CHUNK = 500

# What many requests and every commit ask: built once, for building costs more than running.
_CARD = prepared(select(card).where(card.c.repo_id == bindparam("repo")))
_STAMP = prepared(select(card.c.commit_id, card.c.indexed_at).where(card.c.repo_id == bindparam("repo")))
_SIBLINGS = prepared(
    select(default_file)
    .where(default_file.c.repo_id == bindparam("repo"), default_file.c.path > bindparam("after"))
    .order_by(default_file.c.path)
    .limit(bindparam("most"))
)
_N_FILES = prepared(select(func.count()).select_from(default_file).where(default_file.c.repo_id == bindparam("repo")))
_put_card = insert(card)
_PUT_CARD = prepared(
    _put_card.on_conflict_do_update(
        index_elements=["repo_id"],
        set_={column.name: _put_card.excluded[column.name] for column in card.c if column.name != "repo_id"},
    )
)
_put_file = insert(default_file)
_PUT_FILE = prepared(
    _put_file.on_conflict_do_update(
        index_elements=["repo_id", "path"],
        set_={name: _put_file.excluded[name] for name in ("oid", "size_bytes", "sha256", "pointer_size")},
    )
)
_LARGE_BYTES = prepared(
    select(func.coalesce(func.sum(blob.c.size_bytes), 0)).where(
        blob.c.sha256.in_(
            select(file_right.c.sha256).where(file_right.c.repo_id == bindparam("repo"), file_right.c.pull == 0)
        )
    )
)
_PACKED_BYTES = prepared(
    select(func.coalesce(func.sum(pack.c.size_bytes), 0)).where(
        pack.c.repo_id == bindparam("repo"), pack.c.retired_at.is_(None)
    )
)


def find_card(tx: Tx, repo_id: RepoId) -> Card | None:
    row = tx.execute(_CARD, {"repo": repo_id}).first()
    return None if row is None else _to_card(row, row.text)


def get_cards(tx: Tx, repo_ids: Collection[RepoId]) -> dict[RepoId, Card]:
    """Many at once, without their texts."""
    rows = tx.execute(select(*_LISTED).where(card.c.repo_id.in_(repo_ids)))
    return {RepoId(row.repo_id): _to_card(row, "") for row in rows.all()}


def put_card(tx: Tx, repo_id: RepoId, kind: RepoKind, found: Card, *, now: datetime) -> None:
    values = {
        "repo_id": repo_id,
        "kind": kind.value,
        "commit_id": found.commit,
        "readme_oid": found.readme_oid,
        "library": found.library[:64] if found.library else None,
        "pipeline_tag": found.pipeline_tag[:64] if found.pipeline_tag else None,
        "n_parameters": found.n_parameters,
        "n_files": found.n_files,
        "used_storage_bytes": found.used_storage_bytes,
        "indexed_at": now,
        "tags": list(found.tags),
        "data": dict(found.data),
        "problems": [[p.message, p.is_error] for p in found.problems],
        "facts": dict(found.facts),
        "text": found.text,
    }
    tx.execute(_PUT_CARD, values)


def delete_card(tx: Tx, repo_id: RepoId) -> None:
    tx.execute(delete(default_file).where(default_file.c.repo_id == repo_id))
    tx.execute(delete(card).where(card.c.repo_id == repo_id))


def indexed_commit(tx: Tx, repo_id: RepoId) -> CommitId | None:
    found = tx.execute(_STAMP, {"repo": repo_id}).first()
    return None if found is None or found.commit_id is None else CommitId(found.commit_id)


def find_stamp(tx: Tx, repo_id: RepoId) -> tuple[CommitId | None, datetime] | None:
    """The commit that the index stands at, and when it was written: together they name the version of all it says."""
    found = tx.execute(_STAMP, {"repo": repo_id}).first()
    return None if found is None else (found.commit_id, found.indexed_at)


def change_files(tx: Tx, repo_id: RepoId, put: Iterable[Sibling], gone: Iterable[str]) -> None:
    """Bring the flat list from one commit to another; both sides may be large."""
    paths = list(gone)
    for at in range(0, len(paths), _CHUNK):
        tx.execute(
            delete(default_file).where(
                default_file.c.repo_id == repo_id, default_file.c.path.in_(paths[at : at + _CHUNK])
            )
        )
    rows = [
        {
            "repo_id": repo_id,
            "path": file.path,
            "oid": file.oid,
            "size_bytes": file.size_bytes,
            "sha256": file.sha256,
            "pointer_size": file.pointer_size,
        }
        for file in put
    ]
    if rows:
        tx.execute(_PUT_FILE, rows)


def count_files(tx: Tx, repo_id: RepoId) -> int:
    found: int = tx.execute(_N_FILES, {"repo": repo_id}).scalar()
    return found


def list_siblings(tx: Tx, repo_id: RepoId, *, after: str = "", limit: int = 100_000) -> list[Sibling]:
    rows = tx.execute(_SIBLINGS, {"repo": repo_id, "after": after, "most": limit})
    return [_to_sibling(row) for row in rows]


def paths_of_many(tx: Tx, repo_ids: Collection[RepoId]) -> dict[RepoId, list[str]]:
    found: dict[RepoId, list[str]] = {repo_id: [] for repo_id in repo_ids}
    rows = tx.execute(
        select(default_file.c.repo_id, default_file.c.path)
        .where(default_file.c.repo_id.in_(repo_ids))
        .order_by(default_file.c.repo_id, default_file.c.path)
    )
    for repo_id, path in rows.all():
        found[repo_id].append(path)
    return found


def find_files(tx: Tx, repo_id: RepoId, part: str, limit: int) -> list[Sibling]:
    pattern = "%" + part.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
    rows = tx.execute(
        select(default_file)
        .where(default_file.c.repo_id == repo_id, default_file.c.path.ilike(pattern, escape="\\"))
        .order_by(func.length(default_file.c.path), default_file.c.path)
        .limit(limit)
    )
    return [_to_sibling(row) for row in rows]


def used_storage(tx: Tx, repo_id: RepoId) -> int:
    """Bytes of large files that the repository may read, and of its packs."""
    large = tx.execute(_LARGE_BYTES, {"repo": repo_id}).scalar()
    return int(large) + packed_storage(tx, repo_id)


def packed_storage(tx: Tx, repo_id: RepoId) -> int:
    """Bytes of its packs alone: what ``repository.size_bytes`` holds."""
    return int(tx.execute(_PACKED_BYTES, {"repo": repo_id}).scalar())


def _to_card(row: Row[Any], text: str) -> Card:
    return Card(
        commit=None if row.commit_id is None else CommitId(row.commit_id),
        readme_oid=None if row.readme_oid is None else GitOid(row.readme_oid),
        text=text,
        data=row.data,
        problems=tuple(Problem(message, is_error) for message, is_error in row.problems),
        tags=tuple(row.tags),
        library=row.library,
        pipeline_tag=row.pipeline_tag,
        n_parameters=row.n_parameters,
        facts=row.facts,
        n_files=row.n_files,
        used_storage_bytes=row.used_storage_bytes,
    )


def _to_sibling(row: Row[Any]) -> Sibling:
    return Sibling(
        path=row.path,
        oid=GitOid(row.oid),
        size_bytes=row.size_bytes,
        sha256=None if row.sha256 is None else Sha256(row.sha256),
        pointer_size=row.pointer_size,
    )

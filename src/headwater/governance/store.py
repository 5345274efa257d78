"""SQL of grades, evidence, overrides and links."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Row as SqlRow
from sqlalchemy import bindparam, delete, select, update

from headwater import accounts
from headwater.db import Tx, insert, prepared
from headwater.governance.facts import Evidence
from headwater.governance.models import Kept, Link, Override, Row
from headwater.governance.tables import lineage_link, openness_evidence, openness_grade, openness_override
from headwater.hub.access import from_row
from headwater.hub.models import Repository
from headwater.hub.tables.repositories import repository, repository_name
from headwater.kernel import Actor, CommitId, RepoId

MOST_NAMES = 400

_GRADE = prepared(select(openness_grade).where(openness_grade.c.repo_id == bindparam("repo")))
_ROWS = prepared(select(openness_evidence).where(openness_evidence.c.repo_id == bindparam("repo")))
_put_grade = insert(openness_grade)
_PUT_GRADE = prepared(
    _put_grade.on_conflict_do_update(
        index_elements=["repo_id"],
        set_={c.name: _put_grade.excluded[c.name] for c in openness_grade.c if c.name != "repo_id"},
    )
)


def find_grade(tx: Tx, repo_id: RepoId) -> Kept | None:
    row = tx.execute(_GRADE, {"repo": repo_id}).first()
    return None if row is None else _to_grade(row)


def get_grades(tx: Tx, repo_ids: Collection[RepoId]) -> dict[RepoId, Kept]:
    found: dict[RepoId, Kept] = {}
    ids = list(repo_ids)
    for at in range(0, len(ids), MOST_NAMES):
        rows = tx.execute(select(openness_grade).where(openness_grade.c.repo_id.in_(ids[at : at + MOST_NAMES])))
        found |= {RepoId(row.repo_id): _to_grade(row) for row in rows}
    return found


def list_rows(tx: Tx, repo_id: RepoId) -> list[Row]:
    return [_to_row(row) for row in tx.execute(_ROWS, {"repo": repo_id})]


def values_of_many(tx: Tx, repo_ids: Collection[RepoId]) -> dict[RepoId, dict[str, str]]:
    """Of each repository what its criteria came to."""
    table = openness_evidence
    found: dict[RepoId, dict[str, str]] = {repo_id: {} for repo_id in repo_ids}
    query = select(table.c.repo_id, table.c.criterion, table.c.value).where(table.c.repo_id.in_(list(repo_ids)))
    for row in tx.execute(query):
        found[RepoId(row.repo_id)][row.criterion] = row.value
    return found


def licences_of_many(tx: Tx, repo_ids: Collection[RepoId]) -> dict[RepoId, bool]:
    """Of each repository whether what it stands under is open, as its row on the licence says."""
    table = openness_evidence
    query = select(table.c.repo_id, table.c.is_open_licence).where(
        table.c.repo_id.in_(list(repo_ids)), table.c.criterion == "licence"
    )
    return {RepoId(row.repo_id): row.is_open_licence for row in tx.execute(query)}


def put_grade(tx: Tx, grade: Kept, rows: Iterable[Row], links: Sequence[Link]) -> None:
    """All that is kept of one repository, in place of what was."""
    values = asdict(grade) | {name: sorted(getattr(grade, name)) for name in ("texts", "shows", "roles")}
    values["commit_id"] = values.pop("commit")
    values["licences"] = list(grade.licences)
    tx.execute(_PUT_GRADE, values)
    tx.execute(delete(openness_evidence).where(openness_evidence.c.repo_id == grade.repo_id))
    tx.execute(insert(openness_evidence), [_row_values(grade.repo_id, row) for row in rows])
    tx.execute(delete(lineage_link).where(lineage_link.c.repo_id == grade.repo_id))
    if links:
        tx.execute(insert(lineage_link), [_link_values(grade.repo_id, n, link) for n, link in enumerate(links)])


def _row_values(repo_id: RepoId, row: Row) -> dict[str, Any]:
    return asdict(row) | {
        "repo_id": repo_id,
        "words": dict(row.words),
        "evidence": [
            {key: value for key, value in asdict(each).items() if value not in ("", None)} for each in row.evidence
        ],
    }


def _link_values(repo_id: RepoId, place: int, link: Link) -> dict[str, Any]:
    return {
        "repo_id": repo_id,
        "place": place,
        "way": link.way,
        "relation": link.relation,
        "target_kind": link.kind,
        "target_key": link.key,
        "target_name": link.name,
        "pinned": link.pinned,
    }


def forget(tx: Tx, repo_id: RepoId) -> None:
    """Nothing is said of what is gone; decisions on it stay, as what was done does."""
    for table in (openness_evidence, openness_grade, lineage_link):
        tx.execute(delete(table).where(table.c.repo_id == repo_id))


# -- links


def links_of_many(tx: Tx, repo_ids: Collection[RepoId]) -> dict[RepoId, list[Link]]:
    found: dict[RepoId, list[Link]] = {repo_id: [] for repo_id in repo_ids}
    query = (
        select(lineage_link)
        .where(lineage_link.c.repo_id.in_(list(repo_ids)))
        .order_by(lineage_link.c.repo_id, lineage_link.c.place)
    )
    for row in tx.execute(query):
        found[RepoId(row.repo_id)].append(Link(row.way, row.relation, row.target_kind, row.target_name, row.pinned))
    return found


def resolve(tx: Tx, actor: Actor, wanted: Collection[tuple[str, str]]) -> dict[tuple[str, str], Repository]:
    """What ``actor`` may see among these (kind, folded name); former names lead to what they became."""
    found: dict[tuple[str, str], Repository] = {}
    seen = accounts.visible(tx, actor).where(
        owner_id=repository.c.owner_id, repo_id=repository.c.id, is_private=repository.c.is_private
    )
    pairs = sorted(set(wanted))
    for at in range(0, len(pairs), MOST_NAMES):
        some = pairs[at : at + MOST_NAMES]
        query = (
            select(repository, repository_name.c.name_key, repository_name.c.kind.label("name_kind"))
            .join(repository_name, repository_name.c.repo_id == repository.c.id)
            .where(
                repository_name.c.kind.in_({kind for kind, _ in some}),
                repository_name.c.name_key.in_({key for _, key in some}),
                repository_name.c.state != "deleted",
                repository.c.deleted_at.is_(None),
                repository.c.is_disabled.is_(False),
                seen,
            )
        )
        for row in tx.execute(query):
            if (row.name_kind, row.name_key) in wanted:
                found[row.name_kind, row.name_key] = from_row(row)
    return found


def keys_of_many(tx: Tx, repo_ids: Collection[RepoId]) -> dict[tuple[str, str], RepoId]:
    """Every name, present and former, that leads to one of these."""
    table = repository_name
    query = select(table.c.kind, table.c.name_key, table.c.repo_id).where(
        table.c.repo_id.in_(list(repo_ids)), table.c.state != "deleted"
    )
    return {(row.kind, row.name_key): RepoId(row.repo_id) for row in tx.execute(query)}


def linking_to(
    tx: Tx, keys: Collection[tuple[str, str]], *, most: int, actor: Actor | None = None
) -> list[tuple[RepoId, Link]]:
    """Repositories whose cards name one of these, with the link; with an actor only those they may see, the latest first."""
    table = lineage_link
    some = sorted(keys)[:MOST_NAMES]
    query = (
        select(table)
        .join(repository, repository.c.id == table.c.repo_id)
        .where(
            table.c.target_kind.in_({kind for kind, _ in some}),
            table.c.target_key.in_({key for _, key in some}),
            repository.c.deleted_at.is_(None),
        )
        .order_by(table.c.repo_id.desc(), table.c.place)
        .limit(most)
    )
    if actor is not None:
        query = query.where(
            accounts.visible(tx, actor).where(
                owner_id=repository.c.owner_id, repo_id=repository.c.id, is_private=repository.c.is_private
            )
        )
    return [
        (RepoId(row.repo_id), Link(row.way, row.relation, row.target_kind, row.target_name, row.pinned))
        for row in tx.execute(query)
        if (row.target_kind, row.target_key) in keys
    ]


def visible_repositories(tx: Tx, actor: Actor, repo_ids: Collection[RepoId]) -> dict[RepoId, Repository]:
    """Those of these that ``actor`` may see."""
    seen = accounts.visible(tx, actor).where(
        owner_id=repository.c.owner_id, repo_id=repository.c.id, is_private=repository.c.is_private
    )
    query = select(repository).where(
        repository.c.id.in_(list(repo_ids)),
        repository.c.deleted_at.is_(None),
        repository.c.is_disabled.is_(False),
        seen,
    )
    return {RepoId(row.id): from_row(row) for row in tx.execute(query)}


def repositories(tx: Tx, repo_ids: Collection[RepoId]) -> dict[RepoId, Repository]:
    """By id. Whoever calls it has asked who may see them."""
    query = select(repository).where(repository.c.id.in_(list(repo_ids)), repository.c.deleted_at.is_(None))
    return {RepoId(row.id): from_row(row) for row in tx.execute(query)}


def find_behind(tx: Tx, rules: str, after: int, limit: int) -> tuple[list[RepoId], int | None]:
    """Of the next ``limit`` repositories by id those with content that were never graded, or by other rules; and the last id that was looked at,
    None at the end.
    """
    query = (
        select(repository.c.id, repository.c.deleted_at, repository.c.head_commit, openness_grade.c.rules)
        .outerjoin(openness_grade, openness_grade.c.repo_id == repository.c.id)
        .where(repository.c.id > after)
        .order_by(repository.c.id)
        .limit(limit)
    )
    rows = tx.execute(query).all()
    behind = [RepoId(r.id) for r in rows if r.deleted_at is None and r.head_commit is not None and r.rules != rules]
    return behind, rows[-1].id if len(rows) == limit else None


# -- overrides


def list_overrides(tx: Tx, repo_id: RepoId, *, in_force: bool = False) -> list[Override]:
    query = select(openness_override).where(openness_override.c.repo_id == repo_id)
    if in_force:
        query = query.where(openness_override.c.withdrawn_at.is_(None))
    return [_to_override(row) for row in tx.execute(query.order_by(openness_override.c.id.desc()).limit(200))]


def put_override(tx: Tx, repo_id: RepoId, values: dict[str, Any]) -> int:
    found: int = tx.execute(
        insert(openness_override).values(repo_id=repo_id, **values).returning(openness_override.c.id)
    ).scalar_one()
    return found


def withdraw(tx: Tx, repo_id: RepoId, *, by: str, now: datetime, number: int | None = None, criterion: str = "") -> int:
    table = openness_override
    which = table.c.id == number if number is not None else table.c.criterion == criterion
    query = update(table).where(table.c.repo_id == repo_id, which, table.c.withdrawn_at.is_(None))
    done: int = tx.execute(query.values(withdrawn_by=by, withdrawn_at=now)).rowcount
    return done


def _to_grade(row: SqlRow[Any]) -> Kept:
    return Kept(
        repo_id=RepoId(row.repo_id),
        commit=None if row.commit_id is None else CommitId(row.commit_id),
        rules=row.rules,
        label=row.label,
        ladder=row.ladder,
        licences=tuple(row.licences),
        declared=row.declared,
        texts=frozenset(row.texts),
        shows=frozenset(row.shows),
        roles=frozenset(row.roles),
        digest=row.digest,
        graded_at=row.graded_at,
    )


def _to_row(row: SqlRow[Any]) -> Row:
    return Row(
        criterion=row.criterion,
        rule_version=row.rule_version,
        value=row.value,
        basis=row.basis,
        reason=row.reason,
        words=row.words,
        licence=row.licence,
        is_open_licence=row.is_open_licence,
        evidence=tuple(Evidence(**each) for each in row.evidence),
        checked_at=row.checked_at,
    )


def _to_override(row: SqlRow[Any]) -> Override:
    return Override(
        id=row.id,
        criterion=row.criterion,
        value=row.value,
        reason=row.reason,
        machine_value=row.machine_value,
        made_by=row.made_by,
        made_at=row.made_at,
        withdrawn_by=row.withdrawn_by,
        withdrawn_at=row.withdrawn_at,
    )

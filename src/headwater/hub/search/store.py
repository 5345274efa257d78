"""SQL of lists and search. Every list is a constant number of statements, whatever its length.

Two plans. *Few*: the full-text index or another narrow index gives at most ``FEW`` candidates, and those are sorted.
*Many*: the index of the asked order is walked from its top, and each row is probed; as more than ``FEW`` rows match, the walk is short.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Integer,
    Row,
    Select,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    or_,
    select,
    text,
    union_all,
)

from headwater.accounts.tables import account
from headwater.db import Tx
from headwater.hub.models import RepoKind
from headwater.hub.search.matching import Visibility
from headwater.hub.search.models import Query, Sort
from headwater.hub.tables.cards import card
from headwater.hub.tables.repositories import repository
from headwater.hub.tables.search import download_total, repository_tag, search_entry, tag_total
from headwater.kernel import RepoId

FEW = 3000
RANKED = 1000
SAMPLED = 1000
COUNTED = 1000
_PROBE_BATCH = 250
_MOST_PROBES = 20_000

SORT_KEYS = {
    Sort.TRENDING: "trending_score",
    Sort.MODIFIED: "updated_at",
    Sort.CREATED: "created_at",
    Sort.DOWNLOADS: "n_downloads",
    Sort.LIKES: "n_likes",
}

# Columns: name, parts, body, chars, marks. A hit in the name outweighs many in the text.
_BM25 = "bm25(search_index, 10.0, 4.0, 1.0, 0.5, 0.0)"


def find_owner(tx: Tx, name: str) -> int | None:
    found: int | None = tx.execute(select(account.c.id).where(account.c.name_key == name.casefold())).scalar()
    return found


def count_matches(tx: Tx, expression: str, limit: int) -> int:
    """How many documents match, at most ``limit``."""
    found: int = tx.execute(
        text("select count(*) from (select 1 from search_index where search_index match :match limit :limit)"),
        {"match": expression, "limit": limit},
    ).scalar()
    return found


def ranked_matches(tx: Tx, expression: str) -> list[int]:
    """Ranks of the best first, by words among the ``RANKED`` best known documents that match."""
    rows = tx.execute(
        text(
            f"select rowid, {_BM25} as score from search_index where search_index match :match "
            f"order by rowid limit {RANKED}"
        ),
        {"match": expression},
    )
    return [rank for rank, _ in sorted(rows, key=lambda row: (row[1], row[0]))]


def repos_of_ranks(tx: Tx, ranks: Collection[int]) -> dict[int, RepoId]:
    rows = tx.execute(select(search_entry.c.rank, search_entry.c.repo_id).where(search_entry.c.rank.in_(ranks)))
    return {rank: RepoId(repo_id) for rank, repo_id in rows}


def within_parameters(tx: Tx, repo_ids: Collection[RepoId], query: Query) -> set[RepoId]:
    """Those of ``repo_ids`` whose size is within the query's bounds."""
    rows = tx.execute(select(card.c.repo_id).where(card.c.repo_id.in_(repo_ids), *_parameter_bounds(query)))
    return {RepoId(row.repo_id) for row in rows}


def list_by_ids(tx: Tx, repo_ids: Sequence[RepoId], query: Query, visible: Visibility) -> list[Row[Any]]:
    """Those of ``repo_ids`` that really fulfil the query's plain conditions, in no order."""
    return list(tx.execute(_rows(query, visible, None, by_ids=True).where(repository.c.id.in_(repo_ids))))


def candidates_of(query: Query, expression: str | None, owner_id: int | None) -> Select[Any] | None:
    """The narrowest index that leads to the query's rows, cut at ``FEW``; None when only the order can lead."""
    if expression is not None:
        matches = text(
            f"search_entry.rank in (select rowid from search_index where search_index match :match limit {FEW})"
        ).bindparams(match=expression)
        return select(search_entry.c.repo_id).where(matches)
    if owner_id is not None:
        return (
            select(repository.c.id)
            .where(repository.c.owner_id == owner_id, repository.c.kind == query.kind.value)
            .limit(FEW)
            .correlate(None)
        )
    if query.has_bounds:
        return select(card.c.repo_id).where(*_parameter_bounds(query)).limit(FEW).correlate(None)
    return None


def count_candidates(tx: Tx, candidates: Select[Any]) -> int:
    """At most ``FEW``; that many means that there may be more."""
    found: int = tx.execute(select(func.count()).select_from(candidates.subquery())).scalar()
    return found


def list_few(
    tx: Tx,
    candidates: Select[Any],
    query: Query,
    visible: Visibility,
    owner_id: int | None,
    after: tuple[Any, int] | None,
    limit: int,
) -> list[Row[Any]]:
    """All candidates are fewer than ``FEW``: look at each, and sort."""
    statement = _rows(query, visible, owner_id, by_ids=True).where(repository.c.id.in_(candidates))
    return list(tx.execute(_ordered(statement, query.effective_sort, after, limit, by_index=False)))


def list_walking(
    tx: Tx,
    query: Query,
    visible: Visibility,
    owner_id: int | None,
    after: tuple[Any, int] | None,
    limit: int,
) -> list[Row[Any]]:
    """By the index of the asked order, probing tags row by row."""
    statement = _rows(query, visible, owner_id)
    for tag in query.tags:
        statement = statement.where(
            exists().where(
                repository_tag.c.kind == query.kind.value,
                repository_tag.c.tag == tag,
                repository_tag.c.repo_id == repository.c.id,
            )
        )
    return list(tx.execute(_ordered(statement, query.effective_sort, after, limit)))


def list_walking_matches(
    tx: Tx,
    expression: str,
    query: Query,
    visible: Visibility,
    owner_id: int | None,
    after: tuple[Any, int] | None,
    limit: int,
) -> list[Row[Any]]:
    """As ``list_walking``, for queries with words: each row's document is probed in the full-text index."""
    matches = text(
        "exists (select 1 from search_entry d where d.repo_id = repository.id and exists "
        "(select 1 from search_index where search_index.rowid = d.rank and search_index match :match))"
    ).bindparams(match=expression)
    statement = _ordered(_rows(query, visible, owner_id), query.effective_sort, after, limit)
    return list(tx.execute(statement.where(matches)))


def count_rows(
    tx: Tx, candidates: Select[Any] | None, query: Query, visible: Visibility, owner_id: int | None, limit: int
) -> int:
    """Of a query without words and marks."""
    statement: Select[Any] = _rows(query, visible, owner_id, by_ids=candidates is not None)
    statement = statement.with_only_columns(literal_column("1"))
    if candidates is not None:
        statement = statement.where(repository.c.id.in_(candidates))
    found: int = tx.execute(select(func.count()).select_from(statement.limit(limit).subquery())).scalar()
    return found


def facets_of_matches(tx: Tx, expression: str) -> list[tuple[str, int]]:
    """Tags of the ``SAMPLED`` best known documents that match, with how many carry each."""
    ids = text(
        "repository_tag.repo_id in (select repo_id from search_entry where rank in "
        f"(select rowid from search_index where search_index match :match order by rowid limit {SAMPLED}))"
    ).bindparams(match=expression)
    return _facets(tx, ids)


def facets_of_rows(
    tx: Tx, candidates: Select[Any] | None, query: Query, visible: Visibility, owner_id: int | None
) -> list[tuple[str, int]]:
    """The same for a query without words and marks: of ``SAMPLED`` of its rows."""
    statement = _rows(query, visible, owner_id, by_ids=candidates is not None)
    statement = statement.with_only_columns(repository.c.id).limit(SAMPLED)
    if candidates is not None:
        statement = statement.where(repository.c.id.in_(candidates))
    return _facets(tx, repository_tag.c.repo_id.in_(statement))


def _facets(tx: Tx, ids: Any) -> list[tuple[str, int]]:
    rows = tx.execute(
        select(repository_tag.c.tag, func.count().label("n"))
        .where(func.instr(repository_tag.c.tag, ":") > 0, ids)
        .group_by(repository_tag.c.tag)
    )
    return [(row.tag, row.n) for row in rows]


def most_used(tx: Tx, kind: RepoKind, facets: Collection[str], most: int) -> list[tuple[str, int]]:
    """Of each facet the tags that most public repositories carry."""
    rows = tx.execute(_most_used(tuple(facets)), {"of_kind": kind.value, "most": most})
    return [(tag, n) for tag, n in rows]


@lru_cache(maxsize=8)
def _most_used(facets: tuple[str, ...]) -> Select[Any] | CompoundSelect[Any]:
    """One narrow look-up a facet, in one statement; made once, because making it takes longer than running it."""
    each = [
        select(tag_total.c.tag, tag_total.c.n_public)
        .where(tag_total.c.kind == bindparam("of_kind"), tag_total.c.facet == facet, tag_total.c.n_public > 0)
        .order_by(tag_total.c.n_public.desc())
        .limit(bindparam("most", type_=Integer))
        .subquery()
        for facet in facets
    ]
    return union_all(*(select(one) for one in each))


def tag_totals(tx: Tx, kind: RepoKind, *, limit: int) -> list[tuple[str, int]]:
    """Tags of public repositories, the most used first."""
    rows = tx.execute(
        select(tag_total.c.tag, tag_total.c.n_public)
        .where(tag_total.c.kind == kind.value, tag_total.c.n_public > 0)
        .order_by(tag_total.c.n_public.desc(), tag_total.c.tag)
        .limit(limit)
    )
    return [(row.tag, row.n_public) for row in rows]


def downloads_of_all_time(tx: Tx, repo_ids: Collection[RepoId]) -> dict[RepoId, int]:
    rows = tx.execute(select(download_total).where(download_total.c.repo_id.in_(repo_ids)))
    return {RepoId(row.repo_id): row.n for row in rows}


def _rows(query: Query, visible: Visibility, owner_id: int | None, *, by_ids: bool = False) -> Select[Any]:
    """Repositories that fulfil every plain condition; the last word on who may see what.

    ``by_ids``: ids will be given, and no index may be walked instead. The planner cannot know how few they are; any expression
    in place of the bare column keeps it from the indexes that begin with it.
    """
    kind = repository.c.kind.concat("") if by_ids else repository.c.kind
    statement = select(repository).where(kind == query.kind.value, repository.c.deleted_at.is_(None))
    if not visible.everything:
        may: list[ColumnElement[bool]] = [repository.c.is_private == bindparam("open", value=False)]
        if visible.owner_ids:
            may.append(repository.c.owner_id.in_(visible.owner_ids))
        if visible.repo_ids:
            may.append(repository.c.id.in_(visible.repo_ids))
        statement = statement.where(or_(*may))
    if owner_id is not None:
        statement = statement.where(repository.c.owner_id == owner_id)
    if query.gated is not None:
        statement = statement.where(repository.c.gated != "" if query.gated else repository.c.gated == "")
    if query.sdk is not None:
        statement = statement.where(repository.c.sdk == query.sdk)
    if query.has_bounds:
        statement = statement.where(exists().where(card.c.repo_id == repository.c.id, *_parameter_bounds(query)))
    return statement


def _parameter_bounds(query: Query) -> list[ColumnElement[bool]]:
    bounds: list[ColumnElement[bool]] = [card.c.kind == query.kind.value, card.c.n_parameters.is_not(None)]
    if query.min_parameters is not None:
        bounds.append(card.c.n_parameters >= query.min_parameters)
    if query.max_parameters is not None:
        bounds.append(card.c.n_parameters <= query.max_parameters)
    return bounds


def _ordered(
    statement: Select[Any], sort: Sort, after: tuple[Any, int] | None, limit: int, *, by_index: bool = True
) -> Select[Any]:
    column = repository.c[SORT_KEYS[sort]]
    if after is not None:
        value, last_id = after
        statement = statement.where(or_(column < value, and_(column == value, repository.c.id < last_id)))
    order = column.desc() if by_index else (column + literal_column("0")).desc()
    return statement.order_by(order, repository.c.id.desc()).limit(limit)


def owned_by(tx: Tx, repo_ids: Collection[int], owner_ids: Collection[int] | None) -> list[int]:
    """Those of ``repo_ids`` whose owner is among ``owner_ids`` (None: anyone)."""
    if not repo_ids:
        return []
    statement = select(repository.c.id).where(repository.c.id.in_(repo_ids))
    if owner_ids is not None:
        statement = statement.where(repository.c.owner_id.in_(owner_ids))
    return list(tx.execute(statement).scalars())

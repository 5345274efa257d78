"""SQL of lists and search. Every list is a constant number of statements, whatever its length.

Three plans. *Few*: the full-text index or another narrow index gives at most ``FEW`` candidates, and those are sorted. *Known*, on SQLite:
it gives fewer than ``KNOWN`` or ``KNOWN_BY_WORDS``, and the index of the asked order is walked from its top until a page of them is met. *Many*: that index is
walked, and each row is probed; as more than that match, the walk is short.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    CompoundSelect,
    Integer,
    Row,
    Select,
    Table,
    Text,
    any_,
    bindparam,
    cast,
    exists,
    func,
    literal,
    literal_column,
    or_,
    select,
    text,
    tuple_,
    union_all,
)

from headwater.accounts.tables import account
from headwater.db import Tx
from headwater.hub.models import RepoKind
from headwater.hub.search.matching import Expression, Visibility, to_condition, to_fts5, to_tsquery
from headwater.hub.search.models import Query, Sort
from headwater.hub.search.ranks import place_of, repos_of
from headwater.hub.search.tiers import first_ranks
from headwater.hub.tables.cards import card
from headwater.hub.tables.repositories import repository
from headwater.hub.tables.search import RANKS_OF_A_KIND, download_total, repository_tag, search_entry, tag_total
from headwater.kernel import RepoId

FEW = 4000
SORTED = 1500  # on SQLite: where more match, it is quicker to look for them in the order that was asked for
KNOWN = 10_000  # on SQLite: so many hits are told by the index in a few milliseconds
KNOWN_BY_WORDS = 25_000  # the same for words, since it costs more to look for them in texts than for tags in rows
WALKED = 20_000  # rows of an order that are looked through for known hits
RANKED = 1000
COUNTED = 1000


@dataclass(frozen=True)
class Part:
    """What is read of a list: for whom, and at most ``limit`` rows after a position of its order."""

    query: Query
    visible: Visibility
    owner_id: int | None
    after: tuple[Any, int] | None
    limit: int


SORT_KEYS = {
    Sort.TRENDING: "trending_score",
    Sort.MODIFIED: "updated_at",
    Sort.CREATED: "created_at",
    Sort.DOWNLOADS: "n_downloads",
    Sort.LIKES: "n_likes",
}


def find_owner(tx: Tx, name: str) -> int | None:
    found: int | None = tx.execute(select(account.c.id).where(account.c.name_key == name.casefold())).scalar()
    return found


def count_matches(tx: Tx, expression: Expression, limit: int) -> int:
    """How many documents match, at most ``limit``."""
    return len(_best(tx, expression, limit))


# As one text: thousands of rows would cost more to hand over than to find.
_FIRST_RANKS = text(
    "select json_group_array(rowid) from (select rowid from search_index where search_index match :match "
    "and rowid between :start and :last order by rowid limit :limit)"
)


def _best(tx: Tx, expression: Expression, limit: int) -> list[int]:
    """Ranks of the best known ``limit`` documents that match, in order; asked of the database once, however often it is called."""
    asked_for, ranks = expression.found.best.get(expression, (0, []))
    if asked_for < limit and len(ranks) == asked_for:
        if tx.dialect == "sqlite" and _is_one_phrase(expression):
            named, told = replace(expression, in_names=True), replace(expression, in_texts=True)
            ranks = sorted({*_best(tx, named, limit), *_best(tx, told, limit)})[:limit]
        elif tx.dialect == "sqlite":
            start = place_of(expression.kind) * RANKS_OF_A_KIND
            values = {"match": to_fts5(expression), "start": start, "last": start + RANKS_OF_A_KIND - 1, "limit": limit}
            ranks = sorted(orjson.loads(tx.execute(_FIRST_RANKS, values).scalar()))
        else:
            ranks = first_ranks(tx, to_tsquery(expression), expression.kind, limit)
        expression.found.best[expression] = limit, ranks
    return ranks[:limit]


def _is_one_phrase(expression: Expression) -> bool:
    """Words in a row and nothing beside them: a phrase costs the index all documents of its rarest word, so names are asked once and texts once."""
    if expression.in_names or expression.in_texts:
        return False
    return len(expression.terms) == 1 and len(expression.terms[0].words) > 1


def ranked_matches(tx: Tx, expression: Expression, in_names: Expression, bounds: Query | None = None) -> list[int]:
    """Ranks of at most ``RANKED`` documents, the best first: those whose name holds the words, then the others, each by static rank.

    Not by ``bm25``: it counts the rows of every phrase over the whole index, 15 to 30 ms where this takes 3
    (docs/decisions/0012-order-of-search.md). ``bounds``: a query whose bounds of size must hold.
    """
    named = _named_among(tx, expression, in_names, bounds)
    if named is None:
        named = _first_ranks(tx, in_names, bounds)
    if len(named) >= RANKED:
        return named
    return list(dict.fromkeys([*named, *_first_ranks(tx, expression, bounds)]))[:RANKED]


def _named_among(tx: Tx, expression: Expression, in_names: Expression, bounds: Query | None) -> list[int] | None:
    """Which of all hits have the words in their names; None where that is to be asked of the index.

    A phrase costs the index all documents that hold its rarest word, however few hits there are: it is asked once, if that tells all.
    """
    if tx.dialect != "sqlite" or bounds is not None or all(len(term.words) == 1 for term in expression.terms):
        return None
    if _is_one_phrase(expression):
        return None  # which has been asked
    ranks = _best(tx, expression, COUNTED + 1)
    if len(ranks) > RANKED:
        return None
    condition, values = to_condition(replace(in_names, marks=(), may=()), "instr")
    among = text(
        "select d.rank from search_document d where d.rank in (select value from json_each(:ranks)) "
        f"and {condition} order by d.rank"
    )
    return list(tx.execute(among, {**values, "ranks": _json(ranks)}).scalars().all())


def _first_ranks(tx: Tx, expression: Expression, bounds: Query | None) -> list[int]:
    if bounds is None:
        return _best(tx, expression, COUNTED + 1)[:RANKED]
    return _within(tx, expression, bounds)[:RANKED]


def _within(tx: Tx, expression: Expression, bounds: Query) -> list[int]:
    """Ranks of the best known ``COUNTED`` + 1 of the matching documents that are within the bounds, among the best known ``FEW``."""
    kept = (expression, bounds.min_parameters, bounds.max_parameters)
    if kept not in expression.found.within:
        matches = select(search_entry.c.rank).where(_matching(tx, expression, FEW), *_size_bounds(search_entry, bounds))
        ranks = tx.execute(matches.order_by(search_entry.c.rank).limit(COUNTED + 1)).scalars().all()
        expression.found.within[kept] = list(ranks)
    return expression.found.within[kept]


def _matching(tx: Tx, expression: Expression, limit: int) -> ColumnElement[bool]:
    """Entries whose document matches: the best known ``limit`` of them."""
    return _of_ranks(tx, _best(tx, expression, limit))


def _of_ranks(tx: Tx, ranks: Sequence[int]) -> ColumnElement[bool]:
    if tx.dialect != "sqlite":
        return search_entry.c.rank == any_(bindparam("ranks", ranks, ARRAY(BigInteger)))
    return text("search_entry.rank in (select value from json_each(:ranks))").bindparams(ranks=_json(ranks))  # type: ignore[return-value]


def _json(numbers: Sequence[int]) -> str:
    return orjson.dumps(numbers).decode()


def _given(tx: Tx, ids: Sequence[int]) -> Select[Any]:
    if tx.dialect == "sqlite":
        return select(func.json_each(_json(ids)).table_valued("value").c.value)
    return select(func.unnest(bindparam("ids", ids, ARRAY(BigInteger))))


def list_by_ids(tx: Tx, repo_ids: Sequence[RepoId], query: Query, visible: Visibility) -> list[Row[Any]]:
    """Those of ``repo_ids`` that really fulfil the query's plain conditions, in no order."""
    return list(tx.execute(_rows(query, visible, None, by_ids=_is_blind(tx)).where(repository.c.id.in_(repo_ids))))


def candidates_of(tx: Tx, query: Query, expression: Expression | None, owner_id: int | None) -> Select[Any] | None:
    """The narrowest index that leads to the query's rows, cut at ``FEW``; None when only the order can lead."""
    if expression is not None:
        return select(search_entry.c.repo_id).where(_matching(tx, expression, FEW), *_size_bounds(search_entry, query))
    if owner_id is not None:
        return (
            select(repository.c.id)
            .where(repository.c.owner_id == owner_id, repository.c.kind == query.kind.value)
            .limit(FEW)
            .correlate(None)
        )
    if query.has_bounds:
        return select(card.c.repo_id).where(*_size_bounds(card, query)).limit(FEW).correlate(None)
    return None


def count_candidates(tx: Tx, candidates: Select[Any]) -> int:
    """At most ``FEW``; that many means that there may be more."""
    found: int = tx.execute(select(func.count()).select_from(candidates.subquery())).scalar()
    return found


def list_few(
    tx: Tx,
    candidates: Select[Any],
    part: Part,
) -> list[Row[Any]]:
    """All candidates are fewer than ``FEW``: look at each, sort, and only then read the rows of the page."""
    wanted = _among(tx, _rows_of(part, by_ids=_is_blind(tx, part.owner_id)), candidates, part.query, part.owner_id)
    first = _ordered(wanted.with_only_columns(repository.c.id), part, by_index=False)
    return _in_order(tx.execute(select(repository).where(repository.c.id.in_(first))), part.query)


def _among(tx: Tx, statement: Select[Any], candidates: Select[Any], query: Query, owner_id: int | None) -> Select[Any]:
    """``statement``, of these candidates only.

    PostgreSQL plans a statement that was asked often for any values, takes an owner for one with a single repository, and would read
    the candidates anew for each row: so it is not told twice that rows are of one owner, and other candidates are read before.
    """
    if tx.dialect == "sqlite":
        return statement.where(repository.c.id.in_(candidates))
    if owner_id is not None and not (query.text.strip() or query.tags):
        return statement
    return statement.where(repository.c.id == any_(func.array(candidates.scalar_subquery())))


def list_known(
    tx: Tx,
    expression: Expression,
    part: Part,
) -> list[Row[Any]] | None:
    """Of a query without bounds, where all that match can be known; None where there are too many."""
    most = FEW if tx.dialect != "sqlite" else KNOWN_BY_WORDS if expression.terms else KNOWN
    ranks = _best(tx, expression, most)
    if len(ranks) >= most:
        return None
    given = repos_of(ranks)
    if tx.dialect == "sqlite" and len(given) >= SORTED:
        rows = _list_met(tx, given, part)
        if len(rows) == part.limit:
            return rows
    return list_few(tx, _given(tx, list(given)), part)


def _list_met(tx: Tx, given: Collection[int], part: Part) -> list[Row[Any]]:
    """The first of ``given`` among the first ``WALKED`` rows of the asked order, by an index that need not look at rows."""
    plain = replace(
        part, query=replace(part.query, gated=None, sdk=None), limit=WALKED
    )  # which every one of ``given`` fulfils
    walk = _ordered(_rows_of(plain).with_only_columns(repository.c.id), plain)
    met: list[int] = []
    start = 0
    for stop in (WALKED // 10, WALKED):
        # As one text, whose order is that of the rows it is made of.
        ids = walk.offset(start).limit(stop - start).subquery()
        walked = orjson.loads(tx.execute(select(func.json_group_array(ids.c.id))).scalar())
        met += [repo_id for repo_id in walked if repo_id in given]
        if len(met) >= part.limit or len(walked) < stop - start:
            break
        start = stop
    rows = tx.execute(_rows_of(part, by_ids=True).where(repository.c.id.in_(met[: part.limit])))
    return _in_order(rows, part.query)


def _in_order(rows: Iterable[Row[Any]], query: Query) -> list[Row[Any]]:
    key = SORT_KEYS[query.effective_sort]
    return sorted(rows, key=lambda row: (getattr(row, key), row.id), reverse=True)


def list_walking(
    tx: Tx,
    part: Part,
) -> list[Row[Any]]:
    """By the index of the asked order, probing tags row by row."""
    statement = _rows_of(part)
    for tag in part.query.tags:
        statement = statement.where(
            exists().where(
                repository_tag.c.kind == part.query.kind.value,
                repository_tag.c.tag == tag,
                repository_tag.c.repo_id == repository.c.id,
            )
        )
    return list(tx.execute(_ordered(statement, part)))


def list_walking_matches(
    tx: Tx,
    expression: Expression,
    part: Part,
) -> list[Row[Any]]:
    """As ``list_walking``, for queries with words: they are looked for in the text of each document, since the full-text index takes
    ten times as long to say whether one certain document holds them.
    """
    condition, values = to_condition(expression, "instr" if tx.dialect == "sqlite" else "strpos")
    matches = text(
        "exists (select 1 from search_entry e join search_document d on d.rank = e.rank "
        f"where e.repo_id = repository.id and {condition})"
    ).bindparams(**values)
    statement = _ordered(_rows_of(part), part)
    return list(tx.execute(statement.where(matches)))


def count_rows(
    tx: Tx, candidates: Select[Any] | None, query: Query, visible: Visibility, owner_id: int | None, limit: int
) -> int:
    """Of a query without words and marks."""
    statement: Select[Any] = _rows(query, visible, owner_id, by_ids=candidates is not None and _is_blind(tx, owner_id))
    statement = statement.with_only_columns(literal_column("1"))
    if candidates is not None:
        statement = _among(tx, statement, candidates, query, owner_id)
    found: int = tx.execute(select(func.count()).select_from(statement.limit(limit).subquery())).scalar()
    return found


def facets_of_matches(tx: Tx, expression: Expression, query: Query) -> list[str]:
    """Facet tags, a line each, of the ``COUNTED`` + 1 best known documents that match."""
    ranks = _within(tx, expression, query) if query.has_bounds else _best(tx, expression, COUNTED + 1)
    return list(tx.execute(select(search_entry.c.facets).where(_of_ranks(tx, ranks))).scalars().all())


def facets_of_rows(
    tx: Tx, candidates: Select[Any] | None, query: Query, visible: Visibility, owner_id: int | None
) -> list[str]:
    """The same for a query without words and marks: of ``COUNTED`` + 1 of its rows."""
    statement = _rows(query, visible, owner_id, by_ids=candidates is not None and _is_blind(tx, owner_id))
    statement = statement.with_only_columns(repository.c.id).limit(COUNTED + 1)
    if candidates is not None:
        statement = _among(tx, statement, candidates, query, owner_id)
    return list(tx.execute(select(search_entry.c.facets).where(search_entry.c.repo_id.in_(statement))).scalars().all())


def count_within(tx: Tx, expression: Expression, query: Query) -> int:
    """As ``count_matches``, of those within the query's bounds of size, among the best known ``FEW``; at most ``COUNTED`` + 1."""
    return len(_within(tx, expression, query))


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


def most_used_tags(tx: Tx, kind: RepoKind, *, limit: int) -> list[tuple[str, str]]:
    """Tags of public repositories with the facets they belong to ("" for free words), the most used first."""
    first = (
        select(tag_total.c.tag, tag_total.c.facet)
        .where(tag_total.c.kind == kind.value, tag_total.c.n_public > 0)
        .order_by(tag_total.c.n_public.desc(), tag_total.c.tag)
        .limit(limit)
        .subquery()
    )
    # As two texts: ten thousand rows would cost more to hand over than to find.
    together = func.json_group_array if tx.dialect == "sqlite" else func.json_agg
    row = tx.execute(select(*(cast(together(column), Text) for column in first.c))).one()
    tags, facets = (orjson.loads(found or "[]") for found in row)
    return list(zip(tags, facets, strict=True))


def downloads_of_all_time(tx: Tx, repo_ids: Collection[RepoId]) -> dict[RepoId, int]:
    rows = tx.execute(select(download_total).where(download_total.c.repo_id.in_(repo_ids)))
    return {RepoId(row.repo_id): row.n for row in rows}


def _rows_of(part: Part, *, by_ids: bool = False) -> Select[Any]:
    return _rows(part.query, part.visible, part.owner_id, by_ids=by_ids)


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
        statement = statement.where(exists().where(card.c.repo_id == repository.c.id, *_size_bounds(card, query)))
    return statement


def _is_blind(tx: Tx, owner_id: int | None = None) -> bool:
    """Whether the planner knows nothing of how many rows there are: SQLite, which is never told (``ANALYZE``). PostgreSQL is, but would
    rather read the whole index of an order, since it has the owner too, than an owner's few rows.
    """
    return tx.dialect == "sqlite" or owner_id is not None


def _size_bounds(table: Table, query: Query) -> list[ColumnElement[bool]]:
    if not query.has_bounds:
        return []
    size = table.c.n_parameters
    bounds: list[ColumnElement[bool]] = [size.is_not(None)]
    if table is card:
        bounds.append(card.c.kind == query.kind.value)
    if query.min_parameters is not None:
        bounds.append(size >= query.min_parameters)
    if query.max_parameters is not None:
        bounds.append(size <= query.max_parameters)
    return bounds


def _ordered(statement: Select[Any], part: Part, *, by_index: bool = True) -> Select[Any]:
    column = repository.c[SORT_KEYS[part.query.effective_sort]]
    if part.after is not None:
        value, last_id = part.after
        # As one comparison of two pairs, which an index can begin at.
        statement = statement.where(
            tuple_(column, repository.c.id) < tuple_(literal(value, column.type), literal(last_id))
        )
    order = column.desc() if by_index else (column + literal_column("0")).desc()
    return statement.order_by(order, repository.c.id.desc()).limit(part.limit)


def owned_by(tx: Tx, repo_ids: Collection[int], owner_ids: Collection[int] | None) -> list[int]:
    """Those of ``repo_ids`` whose owner is among ``owner_ids`` (None: anyone)."""
    if not repo_ids:
        return []
    statement = select(repository.c.id).where(repository.c.id.in_(repo_ids))
    if owner_ids is not None:
        statement = statement.where(repository.c.owner_id.in_(owner_ids))
    return list(tx.execute(statement).scalars().all())

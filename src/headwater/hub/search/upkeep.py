"""What is done again and again: the month's downloads, what is trending, and the static rank of search.

Each act looks at a few thousand repositories at a time and writes in short transactions of its own, so that on a site of a million no
commit of a person waits long for it, and its memory does not grow with the site. Each can be broken off anywhere.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Row, and_, bindparam, func, select, text, union, update

from headwater.db import Tx, insert
from headwater.hub.models import RepoKind
from headwater.hub.search.ranks import rank_of
from headwater.hub.tables.community import repo_like
from headwater.hub.tables.repositories import repository
from headwater.hub.tables.search import download_day, search_document, search_entry, search_upkeep
from headwater.kernel import utcnow
from headwater.web import Site

SHOWN_DAYS = 30
TRENDING_DAYS = 14
HALF_LIFE_DAYS = 3.0
LIKE_WEIGHT = 3.0
# A score that has only faded by so much is left alone: else each one would be written again every hour.
UNNOTICED = 0.03
_SPAN = 2000  # repositories looked at in one read
_BATCH = 200  # rows of one write
_MOVED_AT_ONCE = 40  # documents of one write: their words leave the full-text index and come back
_MERGED_PAGES = 200
_MOST_MERGES = 2000
_SMALL_INDEX_PAGES = 20_000  # 80 MB

T = TypeVar("T")


def roll_downloads(site: Site, *, now: datetime | None = None) -> int:
    """Make ``repository.n_downloads`` the sum of the last thirty days again; returns how many changed."""
    first = ((now or utcnow()) - timedelta(days=SHOWN_DAYS - 1)).date()
    n_changed = 0
    for start, stop in _spans(site):
        with site.db.reading() as tx:
            rows = tx.execute(
                select(download_day.c.repo_id, func.sum(download_day.c.n))
                .where(_within(download_day.c.repo_id, start, stop), download_day.c.day >= first)
                .group_by(download_day.c.repo_id)
            )
            sums: dict[int, int] = {repo_id: int(n) for repo_id, n in rows}
            rows = tx.execute(
                select(repository.c.id, repository.c.n_downloads).where(
                    _within(repository.c.id, start, stop), repository.c.n_downloads > 0
                )
            )
            shown: dict[int, int] = dict(tuple(row) for row in rows)
        changed = [repo_id for repo_id in shown.keys() | sums.keys() if shown.get(repo_id, 0) != sums.get(repo_id, 0)]
        for batch in _batches(changed):
            site.db.write(_sum_again, batch, first)
        n_changed += len(changed)
    return n_changed


def _sum_again(tx: Tx, repo_ids: Sequence[int], first: date) -> None:
    total = (
        select(func.coalesce(func.sum(download_day.c.n), 0))
        .where(download_day.c.repo_id == repository.c.id, download_day.c.day >= first)
        .scalar_subquery()
    )
    tx.execute(update(repository).where(repository.c.id.in_(repo_ids)).values(n_downloads=total))


def update_trending(site: Site, *, now: datetime | None = None) -> int:
    """Score what was liked and fetched lately, the newer the more; returns how many scores changed.

    A like counts ``LIKE_WEIGHT``; downloads count by their logarithm, so that no robot makes a repository trend; both halve
    every ``HALF_LIFE_DAYS``.
    """
    now = now or utcnow()
    return sum(_score_again(site, _within, (start, stop), now) for start, stop in _spans(site))


def update_rising(site: Site, *, now: datetime | None = None) -> int:
    """The same for those alone that were liked in the last hour or fetched today: quick enough for every few minutes."""
    now = now or utcnow()
    with site.db.reading() as tx:
        liked = select(repo_like.c.repo_id).where(repo_like.c.created_at >= now - timedelta(hours=1))
        fetched = select(download_day.c.repo_id).where(download_day.c.day == now.date())
        touched = sorted(tx.execute(union(liked, fetched)).scalars())
    return sum(_score_again(site, _among, (batch,), now) for batch in _batches(touched))


def _score_again(site: Site, chosen: Callable[..., ColumnElement[bool]], which: tuple[Any, ...], now: datetime) -> int:
    since = now - timedelta(days=TRENDING_DAYS)
    likes: dict[int, float] = defaultdict(float)
    fetched: dict[int, float] = defaultdict(float)
    with site.db.reading() as tx:
        for row in tx.execute(
            select(repo_like.c.repo_id, repo_like.c.created_at).where(
                chosen(repo_like.c.repo_id, *which), repo_like.c.created_at >= since
            )
        ):
            likes[row.repo_id] += _weight((now - row.created_at) / timedelta(days=1))
        for row in tx.execute(
            select(download_day).where(chosen(download_day.c.repo_id, *which), download_day.c.day >= since.date())
        ):
            fetched[row.repo_id] += row.n * _weight((now.date() - row.day).days)
        rows = tx.execute(
            select(repository.c.id, repository.c.trending_score).where(
                chosen(repository.c.id, *which), repository.c.trending_score > 0
            )
        )
        shown: dict[int, float] = dict(tuple(row) for row in rows)
    changed = []
    for repo_id in likes.keys() | fetched.keys() | shown.keys():
        score = round(LIKE_WEIGHT * likes.get(repo_id, 0.0) + math.log2(1 + fetched.get(repo_id, 0.0)), 2)
        before = shown.get(repo_id, 0.0)
        if abs(score - before) > UNNOTICED * before or (score == 0) != (before == 0):
            changed.append({"of": repo_id, "score": score})
    for batch in _batches(changed):
        site.db.write(_set_scores, batch)
    return len(changed)


def _weight(age_days: float) -> float:
    return float(2.0 ** (-max(0.0, age_days) / HALF_LIFE_DAYS))


def _set_scores(tx: Tx, rows: Sequence[dict[str, float]]) -> None:
    statement = update(repository).where(repository.c.id == bindparam("of"))
    tx.execute(statement.values(trending_score=bindparam("score")), list(rows))


def renumber(site: Site) -> int:
    """Move every search document to the static rank that its repository has now; returns how many moved.

    A rank depends on nothing but its own repository, so that each move stands alone: hit sets are whole at each moment.
    """
    n_moved = 0
    for start, stop in _spans(site):
        moved = list(site.db.read(_displaced, _within(repository.c.id, start, stop)))
        for batch in _batches(moved, _MOVED_AT_ONCE):
            site.db.write(_move, batch)
        n_moved += len(moved)
    if n_moved:
        tidy_index(site)
    return n_moved


def _displaced(tx: Tx, which: ColumnElement[bool]) -> dict[int, tuple[int, int]]:
    """Of each repository whose document stands at a wrong rank: where it is, and where it belongs."""
    rows: Sequence[Row[Any]] = tx.execute(
        select(
            repository.c.id,
            repository.c.kind,
            repository.c.trending_score,
            repository.c.n_likes,
            repository.c.n_downloads,
            search_entry.c.rank,
        )
        .join(search_entry, search_entry.c.repo_id == repository.c.id)
        .where(which)
    ).all()
    wanted = {
        row.id: rank_of(RepoKind(row.kind), row.id, row.trending_score, row.n_likes, row.n_downloads) for row in rows
    }
    return {row.id: (row.rank, wanted[row.id]) for row in rows if row.rank != wanted[row.id]}


def _move(tx: Tx, repo_ids: Sequence[int]) -> None:
    moves = [{"of": old, "to": new} for old, new in _displaced(tx, repository.c.id.in_(repo_ids)).values()]
    if moves:
        for table in (search_entry, search_document):
            tx.execute(update(table).where(table.c.rank == bindparam("of")).values(rank=bindparam("to")), moves)


def tidy_index(site: Site) -> None:
    """Merge what many small writes have left of SQLite's full-text index, some pages at a time; reads of it become quicker.

    A small index becomes one piece again; of a large one only what has piled up is merged, since all of it takes minutes.
    PostgreSQL does so by itself.
    """
    if site.db.dialect != "sqlite":
        return
    if site.db.read(_count_pages, _SMALL_INDEX_PAGES + 1) <= _SMALL_INDEX_PAGES:
        site.db.write(_merge, -_MERGED_PAGES)  # a negative number begins a merge of everything
    for _ in range(_MOST_MERGES):
        if not site.db.write(_merge, _MERGED_PAGES):
            return


def _count_pages(tx: Tx, most: int) -> int:
    counted = text("select count(*) from (select 1 from search_index_data limit :most)")
    found: int = tx.execute(counted, {"most": most}).scalar()
    return found


def _merge(tx: Tx, pages: int) -> bool:
    """Whether there was anything left to merge (sqlite.org/fts5.html, "The 'merge' Command")."""
    before = tx.execute(text("select total_changes()")).scalar()
    tx.execute(text("insert into search_index(search_index, rank) values ('merge', :pages)"), {"pages": pages})
    after = tx.execute(text("select total_changes()")).scalar()
    return int(after) - int(before) >= 2


def _spans(site: Site) -> Iterator[tuple[int, int]]:
    """Ranges of ids that together hold every repository."""
    last = site.db.read(lambda tx: tx.execute(select(func.max(repository.c.id))).scalar()) or 0
    for start in range(1, last + 1, _SPAN):
        yield start, start + _SPAN


def _within(repo_id: ColumnElement[int], start: int, stop: int) -> ColumnElement[bool]:
    return and_(repo_id >= start, repo_id < stop)


def _among(repo_id: ColumnElement[int], repo_ids: Collection[int]) -> ColumnElement[bool]:
    return repo_id.in_(repo_ids)


def _batches(items: Sequence[T], size: int = _BATCH) -> Iterator[Sequence[T]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]


def daily(site: Site, *, now: datetime | None = None) -> bool:
    """Once a day, however often it is called: the window of thirty days moves on, then ranks follow. Whether it was done."""
    now = now or utcnow()
    if not site.db.write(claim_day, "daily", now.date()):
        return False
    roll_downloads(site, now=now)
    update_trending(site, now=now)
    renumber(site)
    return True


def claim_day(tx: Tx, name: str, today: date) -> bool:
    """Whether ``name`` was still to be done today; now it counts as done."""
    last = tx.execute(select(search_upkeep.c.day).where(search_upkeep.c.name == name)).scalar()
    if last is not None and last >= today:
        return False
    statement = insert(search_upkeep).values(name=name, day=today)
    tx.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"day": today}))
    return True

"""What is done again and again: the month's downloads, what is trending, and the static rank of search.

Each act goes in short writes of its own, so that no commit of a person waits long for it, and can be broken off anywhere.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import TypeVar

from sqlalchemy import bindparam, func, select, text, update

from headwater.db import Tx, insert
from headwater.hub.tables.community import repo_like
from headwater.hub.tables.repositories import repository
from headwater.hub.tables.search import download_day, search_document, search_entry, search_upkeep
from headwater.kernel import utcnow
from headwater.web import Site

SHOWN_DAYS = 30
TRENDING_DAYS = 14
HALF_LIFE_DAYS = 3.0
LIKE_WEIGHT = 3.0
_BATCH = 200
_MERGED_PAGES = 500
_MOST_MERGES = 2000

T = TypeVar("T")


def roll_downloads(site: Site, *, now: datetime | None = None) -> int:
    """Make ``repository.n_downloads`` the sum of the last thirty days again; returns how many changed."""
    first = ((now or utcnow()) - timedelta(days=SHOWN_DAYS - 1)).date()
    with site.db.reading() as tx:
        rows = tx.execute(
            select(download_day.c.repo_id, func.sum(download_day.c.n))
            .where(download_day.c.day >= first)
            .group_by(download_day.c.repo_id)
        )
        sums: dict[int, int] = {repo_id: int(n) for repo_id, n in rows}
        rows = tx.execute(select(repository.c.id, repository.c.n_downloads).where(repository.c.n_downloads > 0))
        shown: dict[int, int] = dict(tuple(row) for row in rows)
    changed = [repo_id for repo_id in shown.keys() | sums.keys() if shown.get(repo_id, 0) != sums.get(repo_id, 0)]
    for batch in _batches(changed):
        site.db.write(_sum_again, batch, first)
    return len(changed)


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
    since = now - timedelta(days=TRENDING_DAYS)
    with site.db.reading() as tx:
        likes: dict[int, float] = defaultdict(float)
        for row in tx.execute(
            select(repo_like.c.repo_id, repo_like.c.created_at).where(repo_like.c.created_at >= since)
        ):
            likes[row.repo_id] += _weight((now - row.created_at) / timedelta(days=1))
        fetched: dict[int, float] = defaultdict(float)
        for row in tx.execute(select(download_day).where(download_day.c.day >= since.date())):
            fetched[row.repo_id] += row.n * _weight((now.date() - row.day).days)
        rows = tx.execute(select(repository.c.id, repository.c.trending_score).where(repository.c.trending_score > 0))
        shown: dict[int, float] = dict(tuple(row) for row in rows)
    scores = {
        repo_id: round(LIKE_WEIGHT * likes.get(repo_id, 0.0) + math.log2(1 + fetched.get(repo_id, 0.0)), 2)
        for repo_id in likes.keys() | fetched.keys() | shown.keys()
    }
    changed = [{"of": repo_id, "score": score} for repo_id, score in scores.items() if shown.get(repo_id, 0.0) != score]
    for batch in _batches(changed):
        site.db.write(_set_scores, batch)
    return len(changed)


def _weight(age_days: float) -> float:
    return float(2.0 ** (-max(0.0, age_days) / HALF_LIFE_DAYS))


def _set_scores(tx: Tx, rows: Sequence[dict[str, float]]) -> None:
    statement = update(repository).where(repository.c.id == bindparam("of"))
    tx.execute(statement.values(trending_score=bindparam("score")), list(rows))


def renumber(site: Site) -> int:
    """Give every search document its static rank anew: what is trending, liked and fetched comes first; returns how many moved.

    Ranks of one pass lie below all older ones and are given from the best downwards, so that lists are well ordered, and every
    hit set whole, at each moment of it.
    """
    with site.db.reading() as tx:
        wanted = list(
            tx.execute(
                select(search_entry.c.repo_id)
                .join(repository, repository.c.id == search_entry.c.repo_id)
                .order_by(
                    repository.c.trending_score.desc(),
                    repository.c.n_likes.desc(),
                    repository.c.n_downloads.desc(),
                    repository.c.updated_at.desc(),
                    repository.c.id.desc(),
                )
            ).scalars()
        )
        present = list(tx.execute(select(search_entry.c.repo_id).order_by(search_entry.c.rank)).scalars())
        lowest = tx.execute(select(func.min(search_entry.c.rank))).scalar()
    if wanted == present or lowest is None:
        return 0
    first = lowest - len(wanted)
    for number, batch in enumerate(_batches(wanted)):
        site.db.write(_set_ranks, batch, first + number * _BATCH)
    tidy_index(site)
    return len(wanted)


def tidy_index(site: Site) -> None:
    """Merge what many small writes have left of SQLite's full-text index, some pages at a time; reads of it become quicker.
    PostgreSQL does so by itself.
    """
    if site.db.dialect != "sqlite":
        return
    site.db.write(_merge, -_MERGED_PAGES)  # a negative number begins a merge of everything
    for _ in range(_MOST_MERGES):
        if not site.db.write(_merge, _MERGED_PAGES):
            return


def _merge(tx: Tx, pages: int) -> bool:
    """Whether there was anything left to merge (sqlite.org/fts5.html, "The 'merge' Command")."""
    before = tx.execute(text("select total_changes()")).scalar()
    tx.execute(text("insert into search_index(search_index, rank) values ('merge', :pages)"), {"pages": pages})
    after = tx.execute(text("select total_changes()")).scalar()
    return int(after) - int(before) >= 2


def _set_ranks(tx: Tx, repo_ids: Sequence[int], first: int) -> None:
    rows = tx.execute(select(search_entry.c.repo_id, search_entry.c.rank).where(search_entry.c.repo_id.in_(repo_ids)))
    ranks = {row.repo_id: row.rank for row in rows}
    moves = [{"of": ranks[repo_id], "to": first + i} for i, repo_id in enumerate(repo_ids) if repo_id in ranks]
    for table in (search_entry, search_document):
        tx.execute(update(table).where(table.c.rank == bindparam("of")).values(rank=bindparam("to")), moves)


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for at in range(0, len(items), _BATCH):
        yield items[at : at + _BATCH]


def daily(site: Site, *, now: datetime | None = None) -> bool:
    """Once a day, however often it is called: the window of thirty days moves on, then ranks follow. Whether it was done."""
    now = now or utcnow()
    if not site.db.write(_claim_day, "daily", now.date()):
        return False
    roll_downloads(site, now=now)
    update_trending(site, now=now)
    renumber(site)
    return True


def _claim_day(tx: Tx, name: str, today: date) -> bool:
    last = tx.execute(select(search_upkeep.c.day).where(search_upkeep.c.name == name)).scalar()
    if last is not None and last >= today:
        return False
    statement = insert(search_upkeep).values(name=name, day=today)
    tx.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"day": today}))
    return True

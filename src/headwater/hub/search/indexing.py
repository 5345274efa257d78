"""Keeping document, tags and totals of one repository in step with its row and its card. SQL only: fit for any write."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

from sqlalchemy import bindparam, delete, select, update

from headwater.db import Tx, insert, prepared
from headwater.hub.access import from_row
from headwater.hub.cards.store import find_card
from headwater.hub.events import repository_changed
from headwater.hub.models import RepoKind
from headwater.hub.search.documents import Body, body_of, document_of, facets_of, filters_of
from headwater.hub.search.facets import facet_of
from headwater.hub.search.ranks import rank_of
from headwater.hub.tables.repositories import repository
from headwater.hub.tables.search import repository_tag, search_document, search_entry, tag_total
from headwater.kernel import RepoId, utcnow

# Every commit asks these: built once, for building costs more than running.
_ROW = prepared(select(repository).where(repository.c.id == bindparam("repo")))
_ENTRY = prepared(select(search_entry).where(search_entry.c.repo_id == bindparam("repo")))
_TAGS = prepared(select(repository_tag.c.tag).where(repository_tag.c.repo_id == bindparam("repo")))
_DOCUMENT = prepared(select(search_document).where(search_document.c.rank == bindparam("rank")))


def refresh(tx: Tx, repo_id: RepoId, *, body: Body | None = None) -> None:
    """Bring the search index to what the tables say now; safe to repeat. Call it in the write that creates, renames, hides,
    gates or deletes a repository, or changes its card. ``body`` is the new card's; None keeps the one that is indexed.
    """
    repository_changed(tx, repo_id, utcnow())
    row = tx.execute(_ROW, {"repo": repo_id}).first()
    entry = tx.execute(_ENTRY, {"repo": repo_id}).first()
    had = {found[0] for found in tx.execute(_TAGS, {"repo": repo_id})}
    was_public = entry is not None and entry.is_public
    if row is None or row.deleted_at is not None:
        if row is not None:
            _set_tags(tx, repo_id, RepoKind(row.kind), had, set(), was_public=was_public, is_public=False)
        if entry is not None:
            tx.execute(delete(search_document).where(search_document.c.rank == entry.rank))
            tx.execute(delete(search_entry).where(search_entry.c.rank == entry.rank))
        return
    repo = from_row(row)
    card = find_card(tx, repo_id)
    has = filters_of(repo, card)
    is_public = not repo.is_private
    _set_tags(tx, repo_id, repo.kind, had, has, was_public=was_public, is_public=is_public)
    values = {
        "is_public": is_public,
        "n_parameters": None if card is None else card.n_parameters,
        "facets": facets_of(repo.kind, has),
    }
    if entry is None:
        document = document_of(repo, body_of(card) if body is None else body, has)
        rank = rank_of(repo.kind, repo_id, repo.trending_score, repo.n_likes, repo.n_downloads)
        tx.execute(insert(search_entry).values(rank=rank, repo_id=repo_id, **values))
        tx.execute(insert(search_document).values(rank=rank, **asdict(document)))
        return
    old = tx.execute(_DOCUMENT, {"rank": entry.rank}).first()
    document = document_of(repo, Body(old.body, old.chars) if body is None else body, has)
    changed = {name: value for name, value in asdict(document).items() if getattr(old, name) != value}
    if changed:
        tx.execute(update(search_document).where(search_document.c.rank == entry.rank).values(**changed))
    if any(getattr(entry, name) != value for name, value in values.items()):
        tx.execute(update(search_entry).where(search_entry.c.rank == entry.rank).values(**values))


def _set_tags(
    tx: Tx, repo_id: RepoId, kind: RepoKind, had: set[str], has: set[str], *, was_public: bool, is_public: bool
) -> None:
    if had - has:
        tx.execute(
            delete(repository_tag).where(repository_tag.c.repo_id == repo_id, repository_tag.c.tag.in_(had - has))
        )
    if has - had:
        tx.execute(insert(repository_tag), [{"kind": kind.value, "tag": tag, "repo_id": repo_id} for tag in has - had])
    moved: Counter[str] = Counter()
    if was_public:
        moved.subtract(had)
    if is_public:
        moved.update(has)
    rows = [
        {"kind": kind.value, "tag": tag, "facet": facet_of(kind, tag)[0] or "", "n_public": n}
        for tag, n in moved.items()
        if n
    ]
    if rows:
        statement = insert(tag_total)
        statement = statement.on_conflict_do_update(
            index_elements=["kind", "tag"], set_={"n_public": tag_total.c.n_public + statement.excluded.n_public}
        )
        tx.execute(statement, rows)

"""Keeping document, tags and totals of one repository in step with its row and its card. SQL only: fit for any write."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.sqlite import insert

from headwater.db import Tx
from headwater.hub.access import from_row
from headwater.hub.cards.store import find_card
from headwater.hub.models import RepoKind
from headwater.hub.search.documents import Body, body_of, document_of, filters_of
from headwater.hub.tables.repositories import repository
from headwater.hub.tables.search import repository_tag, search_document, tag_total
from headwater.kernel import RepoId

# New documents come after all ranked ones until the next renumbering, which takes a fresh range below.
FIRST_RANK = 1 << 40


def refresh(tx: Tx, repo_id: RepoId, *, body: Body | None = None) -> None:
    """Bring the search index to what the tables say now; safe to repeat. Call it in the write that creates, renames, hides,
    gates or deletes a repository, or changes its card. ``body`` is the new card's; None keeps the one that is indexed.
    """
    row = tx.execute(select(repository).where(repository.c.id == repo_id)).first()
    old = tx.execute(select(search_document).where(search_document.c.repo_id == repo_id)).first()
    had = set(tx.execute(select(repository_tag.c.tag).where(repository_tag.c.repo_id == repo_id)).scalars())
    if row is None or row.deleted_at is not None:
        if old is not None or had:
            kind = RepoKind(row.kind) if row is not None else None
            _set_tags(tx, repo_id, kind, had, set(), was_public=bool(old and old.is_public), is_public=False)
            tx.execute(delete(search_document).where(search_document.c.repo_id == repo_id))
        return
    repo = from_row(row)
    card = find_card(tx, repo_id)
    has = filters_of(repo, card)
    if body is None:
        body = body_of(card) if old is None else Body(old.body, old.chars)
    document = document_of(repo, body, has)
    _set_tags(tx, repo_id, repo.kind, had, has, was_public=bool(old and old.is_public), is_public=document.is_public)
    values = asdict(document)
    if old is None:
        last = tx.execute(select(func.max(search_document.c.rank))).scalar()
        rank = FIRST_RANK if last is None else last + 1
        tx.execute(insert(search_document).values(rank=rank, repo_id=repo_id, **values))
        return
    changed = {name: value for name, value in values.items() if getattr(old, name) != value}
    if changed:
        tx.execute(update(search_document).where(search_document.c.rank == old.rank).values(**changed))


def _set_tags(
    tx: Tx, repo_id: RepoId, kind: RepoKind | None, had: set[str], has: set[str], *, was_public: bool, is_public: bool
) -> None:
    if had - has:
        tx.execute(
            delete(repository_tag).where(repository_tag.c.repo_id == repo_id, repository_tag.c.tag.in_(had - has))
        )
    if kind is None:
        return
    if has - had:
        tx.execute(insert(repository_tag), [{"kind": kind.value, "tag": tag, "repo_id": repo_id} for tag in has - had])
    moved: Counter[str] = Counter()
    if was_public:
        moved.subtract(had)
    if is_public:
        moved.update(has)
    rows = [{"kind": kind.value, "tag": tag, "n_public": n} for tag, n in moved.items() if n]
    if rows:
        statement = insert(tag_total)
        statement = statement.on_conflict_do_update(
            index_elements=["kind", "tag"], set_={"n_public": tag_total.c.n_public + statement.excluded.n_public}
        )
        tx.execute(statement, rows)

"""Rows of discussions, their events, and the refs of pull requests."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, and_, func, insert, select, update

from headwater.accounts.tables import account
from headwater.db import Tx
from headwater.hub import quotas
from headwater.hub.community.models import Discussion, DiscussionFilter, DiscussionPage, Edit, Event, EventKind, Status
from headwater.hub.community.store.people import Readable
from headwater.hub.gate.store import promote as promote_holds
from headwater.hub.tables.community import comment_edit, discussion, discussion_event
from headwater.hub.tables.files import file_right
from headwater.hub.tables.repositories import ref, repository
from headwater.kernel import AccountId, CommitId, RepoId

LIVE = (Status.DRAFT.value, Status.OPEN.value)
DONE = (Status.CLOSED.value, Status.MERGED.value)


def new_public_id() -> str:
    """24 hex digits, the shape in which clients expect ids."""
    return secrets.token_hex(12)


def insert_discussion(
    tx: Tx,
    repo_id: RepoId,
    *,
    title: str,
    is_pull: bool,
    status: Status,
    author_id: AccountId,
    base_ref: str | None,
    start_commit: CommitId | None,
    now: datetime,
) -> Discussion:
    """Add one under the repository's next number. The unique index refuses a racing twin."""
    latest: int | None = tx.execute(
        select(func.max(discussion.c.num)).where(discussion.c.repo_id == repo_id)
    ).scalar_one()
    row = tx.execute(
        insert(discussion)
        .values(
            repo_id=repo_id,
            num=(latest or 0) + 1,
            public_id=new_public_id(),
            is_pull=is_pull,
            title=title,
            status=status.value,
            author_id=author_id,
            base_ref=base_ref,
            start_commit=start_commit,
            created_at=now,
            updated_at=now,
        )
        .returning(discussion)
    ).one()
    return _discussion(row)


def find_discussion(tx: Tx, repo_id: RepoId, num: int, *, lock: bool = False) -> Discussion | None:
    """``lock``: nobody else writes to it until the transaction ends."""
    query = select(discussion).where(discussion.c.repo_id == repo_id, discussion.c.num == num)
    row = tx.execute(query.with_for_update() if lock else query).first()  # says nothing to SQLite
    return None if row is None else _discussion(row)


def list_discussions(tx: Tx, repo_id: RepoId, wanted: DiscussionFilter, *, page: int, page_size: int) -> DiscussionPage:
    """One page, newest number first."""
    query = _narrowed(select(discussion), repo_id, wanted)
    count = tx.execute(_narrowed(select(func.count()).select_from(discussion), repo_id, wanted)).scalar_one()
    start = page * page_size
    rows = tx.execute(query.order_by(discussion.c.num.desc()).offset(start).limit(page_size)).all()
    return DiscussionPage(tuple(_discussion(row) for row in rows), count, start)


def count_by_state(tx: Tx, repo_id: RepoId) -> dict[tuple[bool, str], int]:
    """(is it a pull request, status) to how many."""
    rows = tx.execute(
        select(discussion.c.is_pull, discussion.c.status, func.count().label("n"))
        .where(discussion.c.repo_id == repo_id)
        .group_by(discussion.c.is_pull, discussion.c.status)
    )
    return {(bool(row.is_pull), row.status): row.n for row in rows}


def count_live_of_author(tx: Tx, repo_id: RepoId, author_id: AccountId) -> int:
    found: int = tx.execute(
        select(func.count())
        .select_from(discussion)
        .where(discussion.c.repo_id == repo_id, discussion.c.author_id == author_id, discussion.c.status.in_(LIVE))
    ).scalar_one()
    return found


def count_by_author(tx: Tx, author_id: AccountId, readable: Readable) -> int:
    """How many an account opened, in repositories that are ``readable``."""
    found: int = tx.execute(
        select(func.count())
        .select_from(discussion)
        .where(discussion.c.author_id == author_id, readable.ids(discussion.c.repo_id))
    ).scalar_one()
    return found


def list_by_author(tx: Tx, author_id: AccountId, readable: Readable, *, limit: int) -> list[Discussion]:
    rows = tx.execute(
        select(discussion)
        .where(discussion.c.author_id == author_id, readable.ids(discussion.c.repo_id))
        .order_by(discussion.c.id.desc())
        .limit(limit)
    )
    return [_discussion(row) for row in rows]


def update_discussion(tx: Tx, discussion_id: int, *, now: datetime, **values: Any) -> Discussion:
    row = tx.execute(
        update(discussion)
        .where(discussion.c.id == discussion_id)
        .values(updated_at=now, **values)
        .returning(discussion)
    ).one()
    return _discussion(row)


def insert_event(
    tx: Tx,
    discussion_id: int,
    kind: EventKind,
    author_id: AccountId,
    *,
    now: datetime,
    body: str | None = None,
    data: dict[str, Any] | None = None,
) -> Event:
    row = tx.execute(
        insert(discussion_event)
        .values(
            discussion_id=discussion_id,
            public_id=new_public_id(),
            kind=kind.value,
            author_id=author_id,
            created_at=now,
            body=body,
            data=data or {},
        )
        .returning(discussion_event)
    ).one()
    tx.execute(
        update(discussion)
        .where(discussion.c.id == discussion_id)
        .values(
            n_events=discussion.c.n_events + 1,
            n_comments=discussion.c.n_comments + (1 if kind is EventKind.COMMENT else 0),
            updated_at=now,
        )
    )
    return _event(row)


def list_events(tx: Tx, discussion_id: int, *, limit: int) -> list[Event]:
    """The first ``limit`` events in order, each comment with its former texts."""
    rows = tx.execute(
        select(discussion_event)
        .where(discussion_event.c.discussion_id == discussion_id)
        .order_by(discussion_event.c.id)
        .limit(limit)
    ).all()
    edits = _edits_of(tx, [row.id for row in rows if row.edited_at is not None])
    return [replace(_event(row), edits=tuple(edits.get(row.id, ()))) for row in rows]


def find_event(tx: Tx, discussion_id: int, public_id: str) -> Event | None:
    row = tx.execute(
        select(discussion_event).where(
            discussion_event.c.discussion_id == discussion_id, discussion_event.c.public_id == public_id
        )
    ).first()
    if row is None:
        return None
    return replace(_event(row), edits=tuple(_edits_of(tx, [row.id]).get(row.id, ())))


def replace_body(tx: Tx, event: Event, body: str, *, by: AccountId, keep: int, now: datetime) -> None:
    """Put a new text into a comment; the former one is kept beside, the newest ``keep`` of them."""
    tx.execute(
        insert(comment_edit).values(
            event_id=event.id,
            body=event.body,
            author_id=event.edited_by or event.author_id,
            written_at=event.edited_at or event.created_at,
        )
    )
    newest = (
        select(comment_edit.c.id)
        .where(comment_edit.c.event_id == event.id)
        .order_by(comment_edit.c.id.desc())
        .limit(keep)
    )
    tx.execute(comment_edit.delete().where(comment_edit.c.event_id == event.id, comment_edit.c.id.not_in(newest)))
    tx.execute(
        update(discussion_event).where(discussion_event.c.id == event.id).values(body=body, edited_at=now, edited_by=by)
    )


def hide_event(tx: Tx, event: Event, *, by: AccountId, now: datetime) -> None:
    tx.execute(update(discussion_event).where(discussion_event.c.id == event.id).values(hidden_at=now, hidden_by=by))


def find_ref(tx: Tx, repo_id: RepoId, name: str) -> CommitId | None:
    oid = tx.execute(select(ref.c.oid).where(ref.c.repo_id == repo_id, ref.c.name == name)).scalar()
    return None if oid is None else CommitId(oid)


def find_refs(tx: Tx, repo_id: RepoId, names: Sequence[str]) -> dict[str, CommitId]:
    rows = tx.execute(select(ref.c.name, ref.c.oid).where(ref.c.repo_id == repo_id, ref.c.name.in_(names)))
    return {row.name: CommitId(row.oid) for row in rows}


def insert_pull_ref(tx: Tx, repo_id: RepoId, name: str, commit: CommitId, *, now: datetime) -> None:
    """Start a pull request's ref where its branch stands; caches see the repository's new version."""
    tx.execute(insert(ref).values(repo_id=repo_id, name=name, oid=commit, updated_at=now))
    tx.execute(update(repository).where(repository.c.id == repo_id).values(version=repository.c.version + 1))


def promote_rights(tx: Tx, repo_id: RepoId, num: int) -> None:
    """Large files that came through a pull request become the repository's own; its owner pays for them from now on.

    Raises:
        QuotaExceeded: the owner has no room for them.
    """
    owned = select(file_right.c.sha256).where(file_right.c.repo_id == repo_id, file_right.c.pull == 0)
    of_pull = and_(file_right.c.repo_id == repo_id, file_right.c.pull == num)
    promote_holds(tx, repo_id, num)
    with quotas.rights_changing(tx, repo_id, merged=num):
        tx.execute(update(file_right).where(of_pull, file_right.c.sha256.not_in(owned)).values(pull=0))
        tx.execute(
            file_right.delete().where(
                file_right.c.repo_id == repo_id, file_right.c.pull != 0, file_right.c.sha256.in_(owned)
            )
        )


def _narrowed(query: Select[Any], repo_id: RepoId, wanted: DiscussionFilter) -> Select[Any]:
    query = query.where(discussion.c.repo_id == repo_id)
    if wanted.is_pull is not None:
        query = query.where(discussion.c.is_pull.is_(wanted.is_pull))
    if wanted.status != "all":
        states = {"open": LIVE, "closed": DONE}.get(wanted.status, (wanted.status,))
        query = query.where(discussion.c.status.in_(states))
    if wanted.author is not None:
        author = select(account.c.id).where(account.c.name_key == wanted.author.casefold()).scalar_subquery()
        query = query.where(discussion.c.author_id == author)
    if wanted.search:
        query = query.where(discussion.c.title.icontains(wanted.search, autoescape=True))
    return query


def _edits_of(tx: Tx, event_ids: Sequence[int]) -> dict[int, list[Edit]]:
    found: dict[int, list[Edit]] = defaultdict(list)
    if event_ids:
        rows = tx.execute(
            select(comment_edit).where(comment_edit.c.event_id.in_(event_ids)).order_by(comment_edit.c.id)
        )
        for row in rows:
            found[row.event_id].append(Edit(row.body, AccountId(row.author_id), row.written_at))
    return found


def _discussion(row: Row[Any]) -> Discussion:
    return Discussion(
        id=row.id,
        repo_id=RepoId(row.repo_id),
        num=row.num,
        public_id=row.public_id,
        is_pull=bool(row.is_pull),
        title=row.title,
        status=Status(row.status),
        author_id=AccountId(row.author_id),
        n_comments=row.n_comments,
        n_events=row.n_events,
        created_at=row.created_at,
        updated_at=row.updated_at,
        base_ref=row.base_ref,
        start_commit=row.start_commit,
        merged_base=row.merged_base,
        merge_commit=row.merge_commit,
    )


def _event(row: Row[Any]) -> Event:
    return Event(
        id=row.id,
        public_id=row.public_id,
        kind=EventKind(row.kind),
        author_id=AccountId(row.author_id),
        created_at=row.created_at,
        body=row.body or "",
        edited_at=row.edited_at,
        edited_by=row.edited_by,
        hidden_at=row.hidden_at,
        hidden_by=row.hidden_by,
        data=row.data,
    )

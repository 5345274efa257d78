"""Rows of collections and their items."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, delete, func, insert, or_, select, update

from headwater.accounts.tables import account
from headwater.db import Tx
from headwater.hub.community.models import Collection, CollectionItem
from headwater.hub.community.store.discussions import new_public_id
from headwater.hub.tables.community import collection, collection_item
from headwater.kernel import AccountId, RepoId

_n_items = (
    select(func.count())
    .select_from(collection_item)
    .where(collection_item.c.collection_id == collection.c.id)
    .correlate(collection)
    .scalar_subquery()
    .label("n_items")
)


def _query() -> Select[Any]:
    return select(collection, account.c.name.label("owner_name"), _n_items).join(
        account, account.c.id == collection.c.owner_id
    )


def insert_collection(
    tx: Tx,
    owner_id: AccountId,
    *,
    title: str,
    description: str | None,
    is_private: bool,
    theme: str,
    created_by: AccountId,
    now: datetime,
) -> Collection:
    last = tx.execute(select(func.max(collection.c.position)).where(collection.c.owner_id == owner_id)).scalar_one()
    new_id = tx.execute(
        insert(collection)
        .values(
            public_id=new_public_id(),
            owner_id=owner_id,
            title=title,
            title_key=title.casefold(),
            description=description,
            is_private=is_private,
            theme=theme,
            position=0 if last is None else last + 1,
            created_by=created_by,
            created_at=now,
            updated_at=now,
        )
        .returning(collection.c.id)
    ).scalar_one()
    return _collection(tx.execute(_query().where(collection.c.id == new_id)).one())


def find_collection(tx: Tx, public_id: str) -> Collection | None:
    row = tx.execute(_query().where(collection.c.public_id == public_id)).first()
    return None if row is None else _collection(row)


def find_by_title(tx: Tx, owner_id: AccountId, title: str) -> Collection | None:
    row = tx.execute(
        _query().where(collection.c.owner_id == owner_id, collection.c.title_key == title.casefold())
    ).first()
    return None if row is None else _collection(row)


def collections_by_id(tx: Tx, ids: Sequence[int]) -> dict[int, Collection]:
    return {row.id: _collection(row) for row in tx.execute(_query().where(collection.c.id.in_(ids)))}


def count_collections(tx: Tx, owner_id: AccountId) -> int:
    found: int = tx.execute(
        select(func.count()).select_from(collection).where(collection.c.owner_id == owner_id)
    ).scalar_one()
    return found


def list_collections(
    tx: Tx,
    *,
    owner_ids: Sequence[int] | None,
    repo_ids: Sequence[int] | None,
    private_of: set[int] | None,
    by_position: bool,
    offset: int,
    limit: int,
) -> list[Collection]:
    """Those of the given owners that hold any of the given repositories (None: whichever).

    Args:
        private_of: owners whose private ones may be listed; None means every owner's.
        by_position: in their owners' order, else the one changed last first.
    """
    query = _query()
    if private_of is not None:
        query = query.where(or_(collection.c.is_private.is_(False), collection.c.owner_id.in_(private_of)))
    if owner_ids is not None:
        query = query.where(collection.c.owner_id.in_(owner_ids))
    if repo_ids is not None:
        holding = select(collection_item.c.collection_id).where(collection_item.c.repo_id.in_(repo_ids))
        query = query.where(collection.c.id.in_(holding))
    order = [collection.c.position, collection.c.id] if by_position else [collection.c.updated_at.desc()]
    rows = tx.execute(query.order_by(*order, collection.c.id.desc()).offset(offset).limit(limit))
    return [_collection(row) for row in rows]


def update_collection(tx: Tx, collection_id: int, *, now: datetime, **values: Any) -> None:
    if "title" in values:
        values["title_key"] = values["title"].casefold()
    tx.execute(update(collection).where(collection.c.id == collection_id).values(updated_at=now, **values))


def move_collection(tx: Tx, moved: Collection, position: int) -> None:
    """Put it at ``position`` among its owner's, and number them anew."""
    rows = tx.execute(
        select(collection.c.id)
        .where(collection.c.owner_id == moved.owner_id, collection.c.id != moved.id)
        .order_by(collection.c.position, collection.c.id)
    )
    order = [row.id for row in rows]
    order.insert(max(0, min(position, len(order))), moved.id)
    for at, collection_id in enumerate(order):
        tx.execute(update(collection).where(collection.c.id == collection_id).values(position=at))


def delete_collection(tx: Tx, collection_id: int) -> None:
    tx.execute(
        delete(collection_item).where(
            or_(collection_item.c.collection_id == collection_id, collection_item.c.inner_id == collection_id)
        )
    )
    tx.execute(delete(collection).where(collection.c.id == collection_id))


def list_items(tx: Tx, collection_ids: Sequence[int]) -> dict[int, list[CollectionItem]]:
    """By collection, in order."""
    found: dict[int, list[CollectionItem]] = {collection_id: [] for collection_id in collection_ids}
    rows = tx.execute(
        select(collection_item)
        .where(collection_item.c.collection_id.in_(collection_ids))
        .order_by(collection_item.c.position, collection_item.c.id)
    )
    for row in rows:
        found[row.collection_id].append(_item(row))
    return found


def insert_item(
    tx: Tx, collection_id: int, *, repo_id: RepoId | None, inner_id: int | None, note: str | None, now: datetime
) -> None:
    last = tx.execute(
        select(func.max(collection_item.c.position)).where(collection_item.c.collection_id == collection_id)
    ).scalar_one()
    tx.execute(
        insert(collection_item).values(
            public_id=new_public_id(),
            collection_id=collection_id,
            repo_id=repo_id,
            inner_id=inner_id,
            note=note,
            position=0 if last is None else last + 1,
            added_at=now,
        )
    )


def update_note(tx: Tx, item_id: int, note: str | None) -> None:
    tx.execute(update(collection_item).where(collection_item.c.id == item_id).values(note=note))


def set_order(tx: Tx, item_ids: Sequence[int]) -> None:
    """Number a collection's items from 0 in the given order."""
    for at, item_id in enumerate(item_ids):
        tx.execute(update(collection_item).where(collection_item.c.id == item_id).values(position=at))


def delete_item(tx: Tx, item_id: int) -> None:
    tx.execute(delete(collection_item).where(collection_item.c.id == item_id))


def _collection(row: Row[Any]) -> Collection:
    return Collection(
        id=row.id,
        public_id=row.public_id,
        owner_id=AccountId(row.owner_id),
        owner_name=row.owner_name,
        title=row.title,
        description=row.description,
        is_private=bool(row.is_private),
        theme=row.theme,
        position=row.position,
        created_at=row.created_at,
        updated_at=row.updated_at,
        n_items=row.n_items,
    )


def _item(row: Row[Any]) -> CollectionItem:
    return CollectionItem(
        id=row.id,
        public_id=row.public_id,
        repo_id=row.repo_id,
        inner_id=row.inner_id,
        note=row.note,
        position=row.position,
    )

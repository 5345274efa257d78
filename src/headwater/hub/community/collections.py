"""Collections: lists of repositories that a person or an organisation keeps for others to see.

What an item points at is judged anew for everyone who looks: a private repository in a public collection is not there for
those who may not see it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from headwater import accounts
from headwater.accounts import Account, Action, Resource
from headwater.db import Tx
from headwater.hub.access import get_repository
from headwater.hub.community.discussions import check_title
from headwater.hub.community.errors import (
    BadField,
    CollectionExists,
    CollectionNotFound,
    ItemExists,
    ItemNotFound,
    LimitReached,
)
from headwater.hub.community.models import Collection, CollectionItem
from headwater.hub.community.people import readable
from headwater.hub.community.store import collections as store
from headwater.hub.community.store import people as people_store
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import Actor, Page, RepoId, decode_number, encode_cursor

MAX_COLLECTIONS = 500
MAX_ITEMS = 500
MAX_DESCRIPTION_CHARS = 150
MAX_NOTE_CHARS = 500
PAGE_SIZE = 30
MAX_ASKED = 20  # owners or items in one question
THEMES = ("green", "blue", "orange", "purple", "pink", "indigo")

_PUBLIC_ID = re.compile(r"(?:^|-)([0-9a-f]{24})$")


@dataclass(frozen=True)
class ShownItem:
    """An item and what it points at: a repository or another collection."""

    item: CollectionItem
    position: int
    repo: Repository | None
    inner: Collection | None


@dataclass(frozen=True)
class ShownCollection:
    """``may_edit`` is told for one collection, not in lists."""

    collection: Collection
    owner: Account
    items: tuple[ShownItem, ...]
    may_edit: bool


def create_collection(
    tx: Tx,
    actor: Actor,
    *,
    title: str,
    namespace: str | None = None,
    description: str | None = None,
    is_private: bool = False,
    now: datetime,
) -> ShownCollection:
    """Start a collection of one's own or of an organisation that one may write to.

    Raises:
        CollectionExists: there is one of that title, and which.
        LimitReached: as the limits above say.
    """
    owner = _namespace(tx, actor, namespace)
    title = check_title(title)
    known = store.find_by_title(tx, owner.id, title)
    if known is not None:
        raise CollectionExists(known.slug)
    if store.count_collections(tx, owner.id) >= MAX_COLLECTIONS:
        raise LimitReached("collections here", MAX_COLLECTIONS, "Delete one first.")
    made = store.insert_collection(
        tx,
        owner.id,
        title=title,
        description=_check_text(description, "description", MAX_DESCRIPTION_CHARS),
        is_private=is_private,
        theme=THEMES[0],
        created_by=actor.account_id or owner.id,
        now=now,
    )
    return _shown(tx, actor, [made])[0]


def get_collection(tx: Tx, actor: Actor, slug: str) -> ShownCollection:
    """By any slug it has had: only the id at the end counts.

    Raises:
        CollectionNotFound: absent or hidden.
    """
    return _shown(tx, actor, [_get(tx, actor, slug, Action.READ)])[0]


def list_collections(
    tx: Tx,
    actor: Actor,
    *,
    owners: Sequence[str] = (),
    items: Sequence[tuple[str, str]] = (),
    sort: str = "lastModified",
    cursor: str | None = None,
    limit: int = PAGE_SIZE,
) -> Page[ShownCollection]:
    """Collections that hold any of ``items`` ((kind, name) of repositories) and belong to any of ``owners``.

    One owner's come in that owner's order unless another sort is asked for.
    """
    owner_ids = None
    if owners:
        found = (accounts.find_account(tx, name) for name in owners[:MAX_ASKED])
        owner_ids = [account.id for account in found if account is not None]
    repo_ids = _readable_ids(tx, actor, items[:MAX_ASKED]) if items else None
    offset = 0 if cursor is None else decode_number(cursor)
    rows = store.list_collections(
        tx,
        owner_ids=owner_ids,
        repo_ids=repo_ids,
        private_of=accounts.readable_owner_ids(tx, actor),
        by_position=sort == "position",
        offset=offset,
        limit=limit + 1,
    )
    return Page(_shown(tx, actor, rows[:limit]), encode_cursor(offset + limit) if len(rows) > limit else None)


def update_collection(
    tx: Tx,
    actor: Actor,
    slug: str,
    *,
    title: str | None = None,
    description: str | None = None,
    is_private: bool | None = None,
    theme: str | None = None,
    position: int | None = None,
    now: datetime,
) -> ShownCollection:
    """Change what is given. A new title gives a new slug; the old one still leads here."""
    collection = _get(tx, actor, slug, Action.WRITE)
    values: dict[str, object] = {}
    if title is not None:
        values["title"] = check_title(title)
        twin = store.find_by_title(tx, collection.owner_id, str(values["title"]))
        if twin is not None and twin.id != collection.id:
            raise CollectionExists(twin.slug)
    if description is not None:
        values["description"] = _check_text(description, "description", MAX_DESCRIPTION_CHARS)
    if is_private is not None:
        values["is_private"] = is_private
    if theme is not None:
        if theme not in THEMES:
            raise BadField("theme", " or ".join(THEMES))
        values["theme"] = theme
    store.update_collection(tx, collection.id, now=now, **values)
    if position is not None:
        store.move_collection(tx, collection, position)
    return get_collection(tx, actor, collection.public_id)


def delete_collection(tx: Tx, actor: Actor, slug: str) -> Collection:
    """Delete it, and its place in other collections; the repositories in it stay as they are."""
    collection = _get(tx, actor, slug, Action.WRITE)
    store.delete_collection(tx, collection.id)
    return collection


def add_item(
    tx: Tx, actor: Actor, slug: str, *, kind: str, item_id: str, note: str | None = None, now: datetime
) -> ShownCollection:
    """Put a repository ("model", "dataset", "space") or another collection at the end.

    Raises:
        ItemNotFound: there is no such thing, or the actor may not see it.
        ItemExists: the collection holds it already.
    """
    collection = _get(tx, actor, slug, Action.WRITE)
    repo_id, inner_id = _target(tx, actor, kind, item_id)
    if inner_id == collection.id:
        raise BadField("item", "something other than the collection itself")
    items = store.list_items(tx, [collection.id])[collection.id]
    if any((item.repo_id, item.inner_id) == (repo_id, inner_id) for item in items):
        raise ItemExists
    if len(items) >= MAX_ITEMS:
        raise LimitReached("items in this collection", MAX_ITEMS, "Start another collection.")
    note = _check_text(note, "note", MAX_NOTE_CHARS)
    store.insert_item(tx, collection.id, repo_id=repo_id, inner_id=inner_id, note=note, now=now)
    store.update_collection(tx, collection.id, now=now)
    return get_collection(tx, actor, collection.public_id)


def update_item(
    tx: Tx,
    actor: Actor,
    slug: str,
    item_id: str,
    *,
    note: str | None = None,
    position: int | None = None,
    now: datetime,
) -> ShownCollection:
    """Change an item's note ("" takes it away), or move it; the others make room."""
    collection = _get(tx, actor, slug, Action.WRITE)
    items = store.list_items(tx, [collection.id])[collection.id]
    item = _get_item(items, item_id)
    if note is not None:
        store.update_note(tx, item.id, _check_text(note, "note", MAX_NOTE_CHARS))
    if position is not None:
        order = [other.id for other in items if other.id != item.id]
        order.insert(max(0, min(position, len(order))), item.id)
        store.set_order(tx, order)
    store.update_collection(tx, collection.id, now=now)
    return get_collection(tx, actor, collection.public_id)


def delete_item(tx: Tx, actor: Actor, slug: str, item_id: str, *, now: datetime) -> ShownCollection:
    collection = _get(tx, actor, slug, Action.WRITE)
    items = store.list_items(tx, [collection.id])[collection.id]
    item = _get_item(items, item_id)
    store.delete_item(tx, item.id)
    store.set_order(tx, [other.id for other in items if other.id != item.id])
    store.update_collection(tx, collection.id, now=now)
    return get_collection(tx, actor, collection.public_id)


def _get(tx: Tx, actor: Actor, slug: str, action: Action) -> Collection:
    match = _PUBLIC_ID.search(slug)
    collection = None if match is None else store.find_collection(tx, match.group(1))
    if collection is None:
        raise CollectionNotFound
    try:
        accounts.require(tx, actor, action, on=_resource(collection))
    except accounts.Hidden as exc:
        raise CollectionNotFound from exc
    return collection


def _resource(collection: Collection) -> Resource:
    return Resource(owner_id=collection.owner_id, is_private=collection.is_private)


def _namespace(tx: Tx, actor: Actor, name: str | None) -> Account:
    if actor.account_id is None:
        raise accounts.NotSignedIn
    owner = accounts.get_self(tx, actor) if name is None else accounts.get_account(tx, name)
    accounts.require(tx, actor, Action.WRITE, on=Resource(owner_id=owner.id))
    return owner


def _target(tx: Tx, actor: Actor, kind: str, item_id: str) -> tuple[RepoId | None, int | None]:
    if kind == "collection":
        try:
            return None, _get(tx, actor, item_id, Action.READ).id
        except CollectionNotFound as exc:
            raise ItemNotFound(f"The collection {item_id!r}") from exc
    if kind not in ("model", "dataset", "space"):
        raise BadField("item.type", "model, dataset, space or collection; nothing else is kept here")
    namespace, _, name = item_id.partition("/")
    try:
        return get_repository(tx, actor, RepoKind(kind), RepoName(namespace, name), Action.READ).id, None
    except RepositoryNotFound as exc:
        raise ItemNotFound(f"The {kind} {item_id!r}") from exc


def _readable_ids(tx: Tx, actor: Actor, items: Sequence[tuple[str, str]]) -> list[int]:
    found: list[int] = []
    for kind, name in items:
        try:
            repo_id, _ = _target(tx, actor, kind, name)
        except (ItemNotFound, BadField):
            continue
        if repo_id is not None:
            found.append(repo_id)
    return found


def _get_item(items: Sequence[CollectionItem], public_id: str) -> CollectionItem:
    for item in items:
        if item.public_id == public_id:
            return item
    raise ItemNotFound


def _shown(tx: Tx, actor: Actor, found: Sequence[Collection]) -> list[ShownCollection]:
    """With the items that ``actor`` may see, in a constant number of queries."""
    items = store.list_items(tx, [collection.id for collection in found])
    every = [item for of_one in items.values() for item in of_one]
    seen = readable(tx, actor)
    repos = people_store.repositories_by_id(tx, [item.repo_id for item in every if item.repo_id is not None], seen)
    inner = store.collections_by_id(tx, [item.inner_id for item in every if item.inner_id is not None])
    open_owners = accounts.readable_owner_ids(tx, actor)
    inner = {
        key: one
        for key, one in inner.items()
        if not one.is_private or open_owners is None or one.owner_id in open_owners
    }
    owners = accounts.get_accounts(tx, {collection.owner_id for collection in found})
    alone = len(found) == 1  # lists have no buttons, and would ask once for each owner
    editable = {
        owner_id: alone and accounts.allows(tx, actor, Action.WRITE, on=Resource(owner_id=owner_id))
        for owner_id in owners
    }
    return [
        ShownCollection(
            collection,
            owners[collection.owner_id],
            tuple(
                ShownItem(item, at, repos.get(item.repo_id or RepoId(0)), inner.get(item.inner_id or 0))
                for at, item in enumerate(items[collection.id])
                if (item.repo_id in repos) or (item.inner_id in inner)
            ),
            editable[collection.owner_id],
        )
        for collection in found
    ]


def _check_text(text: str | None, field: str, most: int) -> str | None:
    text = None if text is None else text.strip()
    if text and len(text) > most:
        raise BadField(field, f"at most {most} characters")
    return text or None

"""Pages of collections: everybody's, one, and the forms that change it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.accounts import Action, Resource
from headwater.db import Tx
from headwater.hub import cards
from headwater.hub.community import collections
from headwater.hub.community.collections import ShownCollection, ShownItem
from headwater.hub.pages.listing import Row, row_of
from headwater.hub.pages.talk import SHOWN_AGAIN
from headwater.hub.search import Listed
from headwater.kernel import Actor, HeadwaterError, utcnow
from headwater.web import Access, Route, shell

PER_PAGE = 30


@dataclass(frozen=True)
class CollectionsPage:
    found: Sequence[ShownCollection]
    next_href: str | None
    is_first_page: bool
    may_create: bool


@dataclass(frozen=True)
class ItemRow:
    """One thing in a collection, with what a list shows of it where it is a repository."""

    shown: ShownItem
    row: Row | None


@dataclass(frozen=True)
class CollectionPage:
    """``problem`` belongs to the form named ``form``; ``typed`` is what was sent with it."""

    shown: ShownCollection
    items: Sequence[ItemRow]
    href: str
    is_editing: bool
    form: str = ""
    typed: str = ""
    problem: HeadwaterError | None = None


@dataclass(frozen=True)
class NewCollectionPage:
    owners: Sequence[str]
    owner: str
    title: str
    description: str
    is_private: bool
    problem: HeadwaterError | None = None


def href_of(shown: ShownCollection) -> str:
    return f"/collections/{shown.collection.slug}"


async def show_list(request: Request) -> Response:
    """``GET /collections``."""
    page = await web.read_tx(request, load_list, request)
    return shell.render(request, "hub/collections.html", page)


def load_list(tx: Tx, actor: Actor, request: Request) -> CollectionsPage:
    cursor = request.query_params.get("cursor")
    page = collections.list_collections(tx, actor, cursor=cursor, limit=PER_PAGE)
    next_href = f"/collections?cursor={page.cursor}" if page.cursor else None
    return CollectionsPage(page.items, next_href, cursor is None, not actor.is_anonymous)


async def show_one(request: Request) -> Response:
    """``GET /collections/{ns}/{slug}[?edit=1]``; a former slug leads to the present one."""
    page = await web.read_tx(request, load_one, request)
    if page.shown.collection.slug != _slug(request):
        return Response(status_code=307, headers={"Location": quote(page.href)})
    return shell.render(request, "hub/collection.html", page)


def load_one(
    tx: Tx, actor: Actor, request: Request, form: str = "", typed: str = "", problem: HeadwaterError | None = None
) -> CollectionPage:
    """Raises: CollectionNotFound."""
    shown = collections.get_collection(tx, actor, _slug(request))
    repos = [item.repo for item in shown.items if item.repo is not None]
    known = cards.get_cards(tx, [repo.id for repo in repos]) if repos else {}
    items = [
        ItemRow(item, None if item.repo is None else row_of(Listed(item.repo, known.get(item.repo.id))))
        for item in shown.items
    ]
    is_editing = shown.may_edit and (bool(request.query_params.get("edit")) or bool(form))
    return CollectionPage(shown, items, href_of(shown), is_editing, form, typed, problem)


async def change(request: Request) -> Response:
    """``POST /collections/{ns}/{slug}``: the form's ``act`` says what."""
    form = await shell.read_form(request)
    doing = form["act"]
    try:
        href = await web.write_tx(request, _change, _slug(request), doing, form)
    except HeadwaterError as problem:
        if problem.kind not in SHOWN_AGAIN and problem.code != "item_not_found":
            raise
        page = await web.read_tx(request, load_one, request, doing, form["item"] or form["title"], problem)
        return shell.render(request, "hub/collection.html", page, status=web.status_of(problem))
    if doing == "delete":
        return shell.redirect(request, href, flash="collection.flash_deleted")
    return shell.redirect(request, f"{quote(href)}?edit=1")


def _change(tx: Tx, actor: Actor, slug: str, doing: str, form: shell.Form) -> str:
    now = utcnow()
    if doing == "update":
        shown = collections.update_collection(
            tx,
            actor,
            slug,
            title=form["title"],
            description=form["description"],
            is_private=form["visibility"] == "private",
            theme=form["theme"] or None,
            now=now,
        )
    elif doing == "add":
        kind, item_id = _target(form["kind"], form["item"])
        shown = collections.add_item(tx, actor, slug, kind=kind, item_id=item_id, note=form["note"], now=now)
    elif doing == "note":
        shown = collections.update_item(tx, actor, slug, form["id"], note=form["note"], now=now)
    elif doing in ("up", "down"):
        at = int(form["at"]) if form["at"].isdigit() and len(form["at"]) < 6 else 0
        position = max(0, at + (-1 if doing == "up" else 1))
        shown = collections.update_item(tx, actor, slug, form["id"], position=position, now=now)
    elif doing == "remove":
        shown = collections.delete_item(tx, actor, slug, form["id"], now=now)
    elif doing == "delete":
        gone = collections.delete_collection(tx, actor, slug)
        return f"/{gone.owner_name}?tab=collections"
    else:
        raise shell.PageNotFound
    return href_of(shown)


def _target(kind: str, text: str) -> tuple[str, str]:
    """What a person pasted: a name, or an address of this or another hub."""
    text = text.strip()
    if "://" in text:
        text = text.split("://", 1)[1].partition("/")[2]
    text = text.strip("/")
    for plural in ("models", "datasets", "spaces", "collections"):
        if text.startswith(f"{plural}/"):
            return plural.removesuffix("s"), text.removeprefix(f"{plural}/")
    return kind or "model", text


async def show_new(request: Request) -> Response:
    """``GET /collections/new[?owner=]``."""
    page = await web.read_tx(request, load_new, request, None, None)
    return shell.render(request, "hub/collection_new.html", page)


def load_new(
    tx: Tx, actor: Actor, request: Request, form: shell.Form | None, problem: HeadwaterError | None
) -> NewCollectionPage:
    """Raises: NotSignedIn."""
    if actor.is_anonymous:
        raise accounts.NotSignedIn
    owners = [
        space.account.name
        for space in accounts.namespaces_of(tx, actor)
        if accounts.allows(tx, actor, Action.WRITE, on=Resource(owner_id=space.account.id))
    ]
    if form is None:
        return NewCollectionPage(owners, request.query_params.get("owner", actor.name), "", "", is_private=False)
    is_private = form["visibility"] == "private"
    return NewCollectionPage(owners, form["owner"], form["title"], form["description"], is_private, problem)


async def create(request: Request) -> Response:
    """``POST /collections/new``."""
    form = await shell.read_form(request)
    values: dict[str, Any] = {
        "title": form["title"],
        "namespace": form["owner"] or None,
        "description": form["description"],
        "is_private": form["visibility"] == "private",
    }
    try:
        shown = await web.write_tx(request, _create, values)
    except HeadwaterError as problem:
        if problem.kind not in SHOWN_AGAIN:
            raise
        page = await web.read_tx(request, load_new, request, form, problem)
        return shell.render(request, "hub/collection_new.html", page, status=web.status_of(problem))
    return shell.redirect(request, f"{quote(href_of(shown))}?edit=1")


def _create(tx: Tx, actor: Actor, values: dict[str, Any]) -> ShownCollection:
    return collections.create_collection(tx, actor, **values, now=utcnow())


def _slug(request: Request) -> str:
    return f"{request.path_params['ns']}/{request.path_params['slug']}"


ROUTES = [
    Route("GET", "/collections", show_list, Access.READ),
    Route("GET", "/collections/new", show_new, Access.SELF),
    Route("POST", "/collections/new", create, Access.SELF),
    Route("GET", "/collections/{ns}/{slug}", show_one, Access.READ),
    Route(
        "POST",
        "/collections/{ns}/{slug}",
        change,
        Access.WRITE,
        acts=("update", "add", "note", "up", "down", "remove", "delete"),
    ),
]

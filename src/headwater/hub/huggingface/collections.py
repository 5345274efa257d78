"""Collections, as huggingface_hub calls them."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater.hub.community import collections as service
from headwater.hub.community.collections import ShownCollection, ShownItem
from headwater.hub.community.errors import BadField, CollectionExists
from headwater.hub.huggingface import fields
from headwater.hub.huggingface.discussions import author_json
from headwater.hub.huggingface.errors import NotServed
from headwater.kernel import to_iso, utcnow
from headwater.web import (
    Access,
    JsonResponse,
    Route,
    Site,
    next_link,
    read_json_object,
    read_tx,
    site_of,
    write_tx,
)

SLUG = "/api/collections/{ns}/{slug}"
SORTS = ("lastModified", "trending", "upvotes", "position")
SHOWN_IN_LISTS = 4
MAX_PAGE = 100


async def list_collections(request: Request) -> Response:
    """``GET /api/collections?owner=&item=&sort=&limit=``; a list holds four items of each."""
    query = request.query_params
    sort = query.get("sort", "lastModified")
    if sort not in SORTS:
        raise BadField("sort", " or ".join(SORTS))
    page = await read_tx(
        request,
        service.list_collections,
        owners=query.getlist("owner"),
        items=[_item_key(value) for value in query.getlist("item")],
        sort=sort,
        cursor=query.get("cursor"),
        limit=max(1, fields.number(query.get("limit"), "limit", default=service.PAGE_SIZE, most=MAX_PAGE)),
    )
    # The client counts positions by itself here, and takes no second value for them.
    told = [_collection(site_of(request), shown, most=SHOWN_IN_LISTS) for shown in page.items]
    for one in told:
        del one["position"]
    return JsonResponse(told, headers=next_link(request, page.cursor))


async def get_collection(request: Request) -> Response:
    shown = await read_tx(request, service.get_collection, _slug(request))
    return JsonResponse(_collection(site_of(request), shown))


async def create_collection(request: Request) -> Response:
    """``POST /api/collections``; when the title is in use, 409 with the ``slug`` of the one there is."""
    body = await read_json_object(request)
    try:
        shown = await write_tx(
            request,
            service.create_collection,
            title=fields.text(body, "title"),
            namespace=fields.optional_text(body, "namespace"),
            description=fields.optional_text(body, "description"),
            is_private=bool(fields.optional_bool(body, "private")),
            now=utcnow(),
        )
    except CollectionExists as exc:
        return JsonResponse({"error": exc.message, "slug": exc.slug}, 409)
    return JsonResponse(_collection(site_of(request), shown))


async def update_collection(request: Request) -> Response:
    """``PATCH /api/collections/{slug}``."""
    body = await read_json_object(request)
    shown = await write_tx(
        request,
        service.update_collection,
        _slug(request),
        title=fields.optional_text(body, "title"),
        description=fields.optional_text(body, "description"),
        is_private=fields.optional_bool(body, "private"),
        theme=fields.optional_text(body, "theme"),
        position=fields.optional_int(body, "position"),
        now=utcnow(),
    )
    return JsonResponse({"success": True, "data": _collection(site_of(request), shown)})


async def delete_collection(request: Request) -> Response:
    await write_tx(request, service.delete_collection, _slug(request))
    return JsonResponse({"success": True})


async def add_item(request: Request) -> Response:
    """``POST …/items``; answers the whole collection."""
    body = await read_json_object(request)
    item = body.get("item")
    if not isinstance(item, dict):
        raise BadField("item", 'an object: {"type": "model", "id": "namespace/name"}')
    shown = await write_tx(
        request,
        service.add_item,
        _slug(request),
        kind=fields.text(item, "type"),
        item_id=fields.text(item, "id"),
        note=fields.optional_text(body, "note"),
        now=utcnow(),
    )
    return JsonResponse(_collection(site_of(request), shown))


async def update_item(request: Request) -> Response:
    """``PATCH …/items/{id}``."""
    body = await read_json_object(request)
    shown = await write_tx(
        request,
        service.update_item,
        _slug(request),
        request.path_params["item"],
        note=fields.optional_text(body, "note"),
        position=fields.optional_int(body, "position"),
        now=utcnow(),
    )
    return JsonResponse({"success": True, "data": _collection(site_of(request), shown)})


async def delete_item(request: Request) -> Response:
    """``DELETE …/items/{id}``."""
    await write_tx(request, service.delete_item, _slug(request), request.path_params["item"], now=utcnow())
    return JsonResponse({"success": True})


async def refuse_resource_group(request: Request) -> Response:
    """``POST …/resource-group``: roles of organisations take their place here."""
    raise NotServed("resource groups")


def _slug(request: Request) -> str:
    return f"{request.path_params['ns']}/{request.path_params['slug']}"


def _item_key(value: str) -> tuple[str, str]:
    """``models/ns/name`` as (kind, name); a plural without a repository matches nothing."""
    plural, _, name = value.partition("/")
    return plural.removesuffix("s"), name


def _collection(site: Site, shown: ShownCollection, *, most: int | None = None) -> dict[str, Any]:
    collection = shown.collection
    return {
        "slug": collection.slug,
        "title": collection.title,
        "description": collection.description,
        "owner": author_json(site, shown.owner),
        "items": [_item(item) for item in shown.items[:most]],
        "numItems": len(shown.items),
        "lastUpdated": to_iso(collection.updated_at),
        "position": collection.position,
        "private": collection.is_private,
        "theme": collection.theme,
        "upvotes": 0,
        "isUpvotedByUser": False,
        "url": f"{site.base_url}/collections/{collection.slug}",
    }


def _item(shown: ShownItem) -> dict[str, Any]:
    told: dict[str, Any] = {"_id": shown.item.public_id, "position": shown.position}
    if shown.item.note is not None:
        told["note"] = {"text": shown.item.note, "html": None}
    if shown.repo is not None:
        repo = shown.repo
        told |= {
            "type": repo.kind.value,
            "id": str(repo.name),
            "author": repo.name.namespace,
            "private": repo.is_private,
            "lastModified": to_iso(repo.updated_at),
            "likes": repo.n_likes,
            "downloads": repo.n_downloads,
        }
    elif shown.inner is not None:
        inner = shown.inner
        told |= {
            "type": "collection",
            "id": inner.public_id,
            "slug": inner.slug,
            "title": inner.title,
            "numberItems": inner.n_items,
            "lastUpdated": to_iso(inner.updated_at),
        }
    return told


ROUTES = [
    Route("GET", "/api/collections", list_collections, Access.READ, "hf"),
    Route("POST", "/api/collections", create_collection, Access.WRITE, "hf"),
    Route("GET", SLUG, get_collection, Access.READ, "hf"),
    Route("PATCH", SLUG, update_collection, Access.WRITE, "hf"),
    Route("DELETE", SLUG, delete_collection, Access.WRITE, "hf"),
    Route("POST", f"{SLUG}/items", add_item, Access.WRITE, "hf"),
    Route("PATCH", f"{SLUG}/items/{{item}}", update_item, Access.WRITE, "hf"),
    Route("DELETE", f"{SLUG}/items/{{item}}", delete_item, Access.WRITE, "hf"),
    Route("POST", f"{SLUG}/resource-group", refuse_resource_group, Access.PUBLIC, "hf"),
]

"""Likes, followers and overviews of people and organisations."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts
from headwater.accounts import Account, Member
from headwater.hub.community import likes
from headwater.hub.community import people as service
from headwater.hub.community.people import Known, Overview
from headwater.hub.huggingface.discussions import REPO, Target, avatar_url
from headwater.hub.models import RepoKind
from headwater.kernel import Actor, Page, to_iso, utcnow
from headwater.web import Access, JsonResponse, Route, Site, next_link, read_tx, site_of, write_tx


async def like(request: Request) -> Response:
    """``POST …/like``."""
    target = Target.of(request)
    await write_tx(request, likes.like, target.kind, target.name, now=utcnow())
    return JsonResponse({"liked": True})


async def unlike(request: Request) -> Response:
    """``DELETE …/like``."""
    target = Target.of(request)
    await write_tx(request, likes.unlike, target.kind, target.name)
    return JsonResponse({"liked": False})


async def list_likers(request: Request) -> Response:
    """``GET …/likers``."""
    target = Target.of(request)
    cursor = request.query_params.get("cursor")
    page = await read_tx(request, likes.list_likers, target.kind, target.name, cursor=cursor)
    return _people_page(request, page)


async def list_likes(request: Request) -> Response:
    """``GET /api/users/{user}/likes``."""
    cursor = request.query_params.get("cursor")
    page = await read_tx(request, likes.list_likes, request.path_params["user"], cursor=cursor)
    items = [
        {"createdAt": to_iso(item.created_at), "repo": {"name": str(item.name), "type": item.kind.value}}
        for item in page.items
    ]
    return JsonResponse(items, headers=next_link(request, page.cursor))


async def user_overview(request: Request) -> Response:
    """``GET /api/users/{user}/overview``."""
    found = await read_tx(request, service.get_overview, request.path_params["user"], organisation=False)
    site = site_of(request)
    return JsonResponse(
        {
            **_person(site, found.account),
            **_numbers(found),
            "details": found.account.details,
            "numDiscussions": found.n_discussions,
            "numPapers": 0,
            "numUpvotes": 0,
            "numLikes": found.n_likes,
            "numFollowing": found.n_following,
            "isFollowing": found.is_following,
            "createdAt": to_iso(found.account.created_at),
            "orgs": [_organisation(site, organisation) for organisation in found.organisations],
        }
    )


async def organisation_overview(request: Request) -> Response:
    """``GET /api/organizations/{org}/overview``."""
    found = await read_tx(request, service.get_overview, request.path_params["org"], organisation=True)
    return JsonResponse(
        {
            **_organisation(site_of(request), found.account),
            **_numbers(found),
            "details": found.account.details,
            "isVerified": False,
            "isFollowing": found.is_following,
            "numUsers": found.n_members,
        }
    )


async def list_members(request: Request) -> Response:
    """``GET /api/organizations/{org}/members``: memberships are public."""
    cursor = request.query_params.get("cursor")
    page = await read_tx(request, _members, request.path_params["org"], cursor=cursor)
    site = site_of(request)
    items = [{**_person(site, item.account), "role": item.role.name.lower()} for item in page.items]
    return JsonResponse(items, headers=next_link(request, page.cursor))


async def list_followers(request: Request) -> Response:
    """``GET /api/users/{user}/followers`` and ``GET /api/organizations/{org}/followers``."""
    cursor = request.query_params.get("cursor")
    return _people_page(request, await read_tx(request, service.list_followers, _name(request), cursor=cursor))


async def list_following(request: Request) -> Response:
    """``GET /api/users/{user}/following``."""
    cursor = request.query_params.get("cursor")
    return _people_page(request, await read_tx(request, service.list_following, _name(request), cursor=cursor))


async def follow(request: Request) -> Response:
    """``POST /api/users/{user}/follow`` and ``POST /api/organizations/{org}/follow``."""
    await write_tx(request, service.follow, _name(request), now=utcnow())
    return JsonResponse({"isFollowing": True})


async def unfollow(request: Request) -> Response:
    """``DELETE`` on the same."""
    await write_tx(request, service.unfollow, _name(request))
    return JsonResponse({"isFollowing": False})


def _members(tx: Any, _actor: Actor, org: str, *, cursor: str | None) -> Page[Member]:
    return accounts.list_members(tx, org, cursor=cursor)


def _name(request: Request) -> str:
    values = request.path_params
    return str(values["user"] if "user" in values else values["org"])


def _people_page(request: Request, page: Page[Known]) -> Response:
    site = site_of(request)
    return JsonResponse([_person(site, item.account) for item in page.items], headers=next_link(request, page.cursor))


def _person(site: Site, account: Account) -> dict[str, Any]:
    return {
        "user": account.name,
        "fullname": account.full_name or account.name,
        "avatarUrl": avatar_url(site, account),
        "isPro": False,
        "type": "user" if account.kind is accounts.AccountKind.PERSON else "org",
    }


def _organisation(site: Site, account: Account) -> dict[str, Any]:
    return {
        "name": account.name,
        "fullname": account.full_name or account.name,
        "avatarUrl": avatar_url(site, account),
    }


def _numbers(found: Overview) -> dict[str, Any]:
    return {
        "numModels": found.n_repositories.get(RepoKind.MODEL, 0),
        "numDatasets": found.n_repositories.get(RepoKind.DATASET, 0),
        "numSpaces": found.n_repositories.get(RepoKind.SPACE, 0),
        "numFollowers": found.n_followers,
    }


ROUTES = [
    Route("POST", f"{REPO}/like", like, Access.CONTRIBUTE, "hf"),
    Route("DELETE", f"{REPO}/like", unlike, Access.CONTRIBUTE, "hf"),
    Route("GET", f"{REPO}/likers", list_likers, Access.READ, "hf"),
    Route("GET", "/api/users/{user}/likes", list_likes, Access.PUBLIC, "hf"),
    Route("GET", "/api/users/{user}/overview", user_overview, Access.PUBLIC, "hf"),
    Route("GET", "/api/users/{user}/followers", list_followers, Access.PUBLIC, "hf"),
    Route("GET", "/api/users/{user}/following", list_following, Access.PUBLIC, "hf"),
    Route("POST", "/api/users/{user}/follow", follow, Access.SELF, "hf"),
    Route("DELETE", "/api/users/{user}/follow", unfollow, Access.SELF, "hf"),
    Route("GET", "/api/organizations/{org}/overview", organisation_overview, Access.PUBLIC, "hf"),
    Route("GET", "/api/organizations/{org}/members", list_members, Access.PUBLIC, "hf"),
    Route("GET", "/api/organizations/{org}/followers", list_followers, Access.PUBLIC, "hf"),
    Route("POST", "/api/organizations/{org}/follow", follow, Access.SELF, "hf"),
    Route("DELETE", "/api/organizations/{org}/follow", unfollow, Access.SELF, "hf"),
]

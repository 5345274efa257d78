"""Profiles of people and organisations: what they keep, like, collect and say, as far as the reader may see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import escape
from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.accounts import Account, AccountKind, Action, Member, Resource
from headwater.db import Tx
from headwater.hub import cards
from headwater.hub.community import collections, people
from headwater.hub.community.collections import ShownCollection
from headwater.hub.community.people import Overview
from headwater.hub.community.store import discussions as discussion_store
from headwater.hub.community.store import people as store
from headwater.hub.models import RepoKind, Repository
from headwater.hub.pages.listing import Row, row_of
from headwater.hub.pages.talk import Row as TalkRow
from headwater.hub.pages.talk import Tab
from headwater.hub.search import Listed
from headwater.kernel import Actor, RepoId, utcnow
from headwater.web import Access, Route, shell

PER_PAGE = 50
PER_KIND = 10
PER_TAB = 100
TABS = ("overview", "models", "datasets", "spaces", "collections", "likes", "activity", "people")


@dataclass(frozen=True)
class Group:
    """Repositories of one kind; ``all_href`` leads to the rest."""

    kind: RepoKind
    count: int
    rows: Sequence[Row]
    all_href: str | None


@dataclass(frozen=True)
class Contact:
    account: Account
    role: str  # in an organisation; "" for followers
    since: datetime


@dataclass(frozen=True)
class ActivityRow(TalkRow):
    repo_name: str = ""
    repo_href: str = ""


@dataclass(frozen=True)
class ProfilePage:
    overview: Overview
    tab: str
    tabs: Sequence[Tab]
    groups: Sequence[Group]
    collections: Sequence[ShownCollection]
    likes: Sequence[Row]
    activity: Sequence[ActivityRow]
    contacts: Sequence[Contact]
    members: Sequence[Account]
    next_href: str | None
    is_self: bool
    may_manage: bool
    may_create: bool
    may_follow: bool

    @property
    def account(self) -> Account:
        return self.overview.account

    @property
    def is_organisation(self) -> bool:
        return self.account.kind is AccountKind.ORGANISATION


async def show(request: Request) -> Response:
    """``GET /{name}?tab=``; a name in other letters leads to the name as it is spelled."""
    page = await web.read_tx(request, load, request)
    if page.account.name != request.path_params["ns"]:
        return Response(status_code=307, headers={"Location": f"/{page.account.name}"})
    return shell.render(request, "hub/profile.html", page)


def load(tx: Tx, actor: Actor, request: Request) -> ProfilePage:
    """Raises: AccountNotFound."""
    found = people.get_overview(tx, actor, request.path_params["ns"])
    account = found.account
    is_organisation = account.kind is AccountKind.ORGANISATION
    names = [each for each in TABS if each not in (("likes", "activity") if is_organisation else ())]
    tab = request.query_params.get("tab", "overview")
    tab = tab if tab in names else "overview"
    cursor = request.query_params.get("cursor")
    seen = people.readable(tx, actor)
    groups: list[Group] = []
    shown: Sequence[ShownCollection] = ()
    likes: list[Row] = []
    activity: list[ActivityRow] = []
    contacts: list[Contact] = []
    more: str | None = None
    if tab in ("overview", "models", "datasets", "spaces"):
        groups = _groups(tx, actor, found, tab)
    if tab in ("overview", "collections"):
        most = 4 if tab == "overview" else PER_PAGE
        page = collections.list_collections(
            tx,
            actor,
            owners=[account.name],
            sort="position",
            cursor=cursor if tab == "collections" else None,
            limit=most,
        )
        shown, more = page.items, page.cursor if tab == "collections" else None
    elif tab == "likes":
        from headwater.hub.community import likes as like_service

        liked = like_service.list_likes(tx, actor, account.name, cursor=cursor, limit=PER_PAGE)
        likes, more = _rows(tx, [item.repo_id for item in liked.items], seen), liked.cursor
    elif tab == "activity":
        activity = _activity(tx, account, seen)
    elif tab == "people" and is_organisation:
        members = accounts.list_members(tx, account.name, cursor=cursor, limit=PER_PAGE)
        contacts, more = [_member(member) for member in members.items], members.cursor
    elif tab == "people":
        followers = people.list_followers(tx, actor, account.name, cursor=cursor, limit=PER_PAGE)
        contacts, more = [Contact(known.account, "", known.since) for known in followers.items], followers.cursor
    own = Resource(owner_id=account.id)
    is_theirs = account.id in {space.account.id for space in accounts.namespaces_of(tx, actor)}
    return ProfilePage(
        overview=found,
        tab=tab,
        tabs=[Tab(name, _href(account, name), name == tab, _count(found, name)) for name in names],
        groups=groups,
        collections=shown,
        likes=likes,
        activity=activity,
        contacts=contacts,
        members=[m.account for m in accounts.list_members(tx, account.name, limit=24).items] if is_organisation else (),
        next_href=f"{_href(account, tab)}&cursor={more}" if more and tab != "overview" else None,
        is_self=actor.account_id == account.id,
        may_manage=is_theirs and accounts.allows(tx, actor, Action.MANAGE_ACCOUNT, on=own),
        may_create=is_theirs and accounts.allows(tx, actor, Action.CREATE_REPOSITORY, on=own),
        may_follow=not actor.is_anonymous and actor.account_id != account.id,
    )


def _href(account: Account, tab: str) -> str:
    return f"/{account.name}" if tab == "overview" else f"/{account.name}?tab={tab}"


def _count(found: Overview, tab: str) -> int | None:
    if tab in ("models", "datasets", "spaces"):
        return found.n_repositories.get(RepoKind.from_plural(tab), 0)
    if tab == "people" and found.account.kind is AccountKind.ORGANISATION:
        return found.n_members
    return {"likes": found.n_likes, "people": found.n_followers}.get(tab)


def _groups(tx: Tx, actor: Actor, found: Overview, tab: str) -> list[Group]:
    """On the overview the first few of each kind, else many of one."""
    wanted = list(RepoKind) if tab == "overview" else [RepoKind.from_plural(tab)]
    most = PER_KIND if tab == "overview" else PER_TAB
    found_of = {kind: people.list_repositories(tx, actor, found.account, kind, limit=most) for kind in wanted}
    listed = _listed(tx, [repo for repos in found_of.values() for repo in repos])
    groups = []
    for kind in wanted:
        rows = [row_of(each) for each in listed if each.repo.kind is kind]
        count = found.n_repositories.get(kind, 0)
        if rows:
            all_href = f"/{kind.plural}?author={found.account.name}" if count > len(rows) else None
            groups.append(Group(kind, count, rows, all_href))
    return groups


def _listed(tx: Tx, repos: Sequence[Repository]) -> list[Listed]:
    known = cards.get_cards(tx, [repo.id for repo in repos]) if repos else {}
    return [Listed(repo, known.get(repo.id)) for repo in repos]


def _rows(tx: Tx, ids: Sequence[RepoId], seen: store.Readable) -> list[Row]:
    """In the order of ``ids``."""
    found = store.repositories_by_id(tx, ids, seen)
    return [row_of(each) for each in _listed(tx, [found[repo_id] for repo_id in ids if repo_id in found])]


def _activity(tx: Tx, account: Account, seen: store.Readable) -> list[ActivityRow]:
    found = discussion_store.list_by_author(tx, account.id, seen, limit=PER_PAGE)
    repos = store.repositories_by_id(tx, [item.repo_id for item in found])
    return [
        ActivityRow(
            discussion=item,
            href=f"/{repos[item.repo_id].path}/discussions/{item.num}",
            author=None,
            repo_name=str(repos[item.repo_id].name),
            repo_href=f"/{repos[item.repo_id].path}",
        )
        for item in found
        if item.repo_id in repos
    ]


def _member(member: Member) -> Contact:
    return Contact(member.account, member.role.name.lower(), member.since)


async def change_follow(request: Request) -> Response:
    """``POST /{name}/follow``: ``follow`` is 1 or 0."""
    form = await shell.read_form(request)
    name = request.path_params["ns"]
    if form["follow"] == "1":
        account = await web.write_tx(request, people.follow, name, now=utcnow())
    else:
        account = await web.write_tx(request, people.unfollow, name)
    return shell.redirect(request, f"/{account.name}")


async def show_avatar(request: Request) -> Response:
    """``GET /avatars/{name}.svg``: the first letter of a name, in a colour of its own."""
    name = request.path_params["file"].removesuffix(".svg")
    account = await web.read_tx(request, _find, name)
    hue = sum(ord(char) * (at + 1) for at, char in enumerate(account.name.casefold())) * 47 % 360
    letter = escape(account.name[:1].upper())
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" width="64" height="64">'
        f'<rect width="64" height="64" fill="hsl({hue} 32% 38%)"/>'
        '<text x="32" y="33" fill="#fff" font-family="sans-serif" font-size="32" font-weight="600" '
        f'text-anchor="middle" dominant-baseline="central">{letter}</text></svg>'
    )
    headers = {"Cache-Control": "public, max-age=86400", "Content-Security-Policy": "default-src 'none'"}
    return Response(svg, media_type="image/svg+xml", headers=headers)


def _find(tx: Tx, _actor: Actor, name: str) -> Account:
    return accounts.get_account(tx, name)


ROUTES = [
    Route("GET", "/avatars/{file}", show_avatar, Access.PUBLIC),
    Route("GET", "/{ns}", show, Access.PUBLIC),
    Route("POST", "/{ns}/follow", change_follow, Access.SELF),
]

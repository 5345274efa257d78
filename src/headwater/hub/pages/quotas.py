"""Quotas on pages: what is one's own, who uses what, and how much each may use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.accounts import Account, Namespace, Role
from headwater.accounts import pages as account_pages
from headwater.accounts.pages.frame import Problem, beside_form, refused
from headwater.db import Tx
from headwater.hub.quotas import listing, service
from headwater.hub.quotas.listing import AccountLine, PullLine, RepositoryLine
from headwater.hub.quotas.models import MEASURES, Limits, Quota, SiteLimits
from headwater.kernel import Actor, HeadwaterError, Kind, utcnow
from headwater.web import Access, Route, shell

OWN, USE, LIMITS = "/settings/storage", "/admin/storage/use", "/admin/quotas"
PER_PAGE = 50
account_pages.OWN_TABS.append((OWN, "quota.own_tab"))
account_pages.ADMIN_TABS.append((LIMITS, "quota.tab"))


@dataclass(frozen=True)
class OwnStoragePage:
    """``spaces`` are the namespaces whose storage the reader may look at."""

    tabs: Sequence[tuple[str, str]]
    account: Account
    spaces: Sequence[Namespace]
    quota: Quota
    repositories: Sequence[RepositoryLine]
    pulls: Sequence[PullLine]
    next_href: str | None


@dataclass(frozen=True)
class UsePage:
    """One of the two lists; the other is empty."""

    tabs: Sequence[tuple[str, str]]
    by: str
    search: str
    smallest_first: bool
    accounts: Sequence[AccountLine]
    repositories: Sequence[RepositoryLine]
    next_href: str | None
    turn_href: str


@dataclass(frozen=True)
class QuotasPage:
    """``chosen`` and ``own`` are what stands in the two forms, as text."""

    tabs: Sequence[tuple[str, str]]
    configured: dict[str, str]
    chosen: dict[str, str]
    account: Account | None
    own: dict[str, str]
    quota: Quota | None
    problem: Problem | None = None


def load_own(tx: Tx, actor: Actor, request: Request) -> OwnStoragePage:
    """Raises: NotSignedIn, AccountNotFound, NotAllowed."""
    name = request.query_params.get("of") or accounts.get_self(tx, actor).name
    cursor = request.query_params.get("cursor")
    account, quota = service.get_quota(tx, actor, name)
    page = listing.list_repositories(tx, actor, account.name, cursor=cursor, limit=PER_PAGE)
    query = urlencode({"of": account.name, "cursor": page.cursor or ""})
    return OwnStoragePage(
        tabs=account_pages.OWN_TABS,
        account=account,
        spaces=[space for space in accounts.namespaces_of(tx, actor) if space.role >= Role.ADMIN],
        quota=quota,
        repositories=page.items,
        pulls=listing.list_pulls(tx, actor, account.name) if cursor is None else [],
        next_href=f"{OWN}?{query}" if page.cursor else None,
    )


async def show_own(request: Request) -> Response:
    """``GET /settings/storage?of=&cursor=``."""
    return shell.render(request, "hub/own_storage.html", await web.read_tx(request, load_own, request))


def load_use(tx: Tx, actor: Actor, request: Request) -> UsePage:
    """Raises: NotSignedIn, NotAllowed, BadCursor."""
    asked = request.query_params
    by = "repositories" if asked.get("by") == "repositories" else "accounts"
    search, smallest, cursor = asked.get("q", "").strip(), asked.get("order") == "smallest", asked.get("cursor")
    people: Sequence[AccountLine] = ()
    repositories: Sequence[RepositoryLine] = ()
    if by == "accounts":
        found = listing.list_accounts(tx, actor, search=search, smallest_first=smallest, cursor=cursor, limit=PER_PAGE)
        people, after = found.items, found.cursor
    else:
        owner = search or None
        try:
            page = listing.list_repositories(tx, actor, owner, smallest_first=smallest, cursor=cursor, limit=PER_PAGE)
        except accounts.AccountNotFound:
            repositories, after = (), None
        else:
            repositories, after = page.items, page.cursor

    def href(*, order: bool, cursor: str | None) -> str:
        query = {"by": by, "q": search, "order": "smallest" if order else "", "cursor": cursor or ""}
        return f"{USE}?{urlencode({name: value for name, value in query.items() if value})}"

    return UsePage(
        tabs=account_pages.ADMIN_TABS,
        by=by,
        search=search,
        smallest_first=smallest,
        accounts=people,
        repositories=repositories,
        next_href=href(order=smallest, cursor=after) if after else None,
        turn_href=href(order=not smallest, cursor=None),
    )


async def show_use(request: Request) -> Response:
    """``GET /admin/storage/use?by=&q=&order=&cursor=``."""
    return shell.render(request, "hub/use.html", await web.read_tx(request, load_use, request))


def load_limits(tx: Tx, actor: Actor, name: str, problem: Problem | None = None) -> QuotasPage:
    """Raises: NotSignedIn, NotAllowed."""
    _, configured, chosen = service.get_default(tx, actor)
    account = accounts.find_account(tx, name) if name else None
    quota = None if account is None else service.get_quota(tx, actor, account.name)[1]
    return QuotasPage(
        tabs=account_pages.ADMIN_TABS,
        configured=_texts(configured.to_facts(), none="none"),
        chosen=_texts(chosen.to_facts()),
        account=account,
        own={} if quota is None else _texts(quota.own.to_facts()),
        quota=quota,
        problem=problem,
    )


async def show_limits(request: Request) -> Response:
    """``GET /admin/quotas?name=``."""
    name = request.query_params.get("name", "").strip()
    return shell.render(request, "hub/quotas.html", await web.read_tx(request, load_limits, name))


async def change_limits(request: Request) -> Response:
    """``POST /admin/quotas``: the site's default, or one account's limits."""
    form = await shell.read_form(request)
    act, name = form["act"], form["name"].strip()
    if act not in ("default", "one"):
        raise shell.PageNotFound
    try:
        await web.write_tx(request, _change, act, name, form)
    except HeadwaterError as error:
        problem = beside_form(error, act, form, Kind.NOT_FOUND)
        page = await web.read_tx(request, load_limits, name, problem)
        return refused(request, "hub/quotas.html", page, problem)
    target = LIMITS if act == "default" else f"{LIMITS}?{urlencode({'name': name})}"
    return shell.redirect(request, target, flash=f"quota.flash_{act}", values={"name": name})


def _change(tx: Tx, actor: Actor, act: str, name: str, form: shell.Form) -> None:
    limits = Limits(**{m: service.parse_limit(form[m], is_bytes=m != "max_repositories") for m in MEASURES})
    if act == "default":
        waiting = service.parse_limit(form["max_waiting_bytes"])
        service.set_default(tx, actor, SiteLimits(limits, waiting), now=utcnow())
    else:
        service.set_limits(tx, actor, name, limits, now=utcnow())


def _texts(facts: dict[str, int | None], *, none: str = "") -> dict[str, str]:
    """Limits as they are typed: exact sizes stay exact."""
    shown = {}
    for name, value in facts.items():
        if value is None:
            shown[name] = none
        elif value < 0:
            shown[name] = "none"
        else:
            shown[name] = str(value) if name == "max_repositories" else service.spell_size(value)
    return shown


ROUTES = [
    Route("GET", OWN, show_own, Access.SELF),
    Route("GET", USE, show_use, Access.SITE_ADMIN),
    Route("GET", LIMITS, show_limits, Access.SITE_ADMIN),
    Route("POST", LIMITS, change_limits, Access.SITE_ADMIN, acts=("default", "one")),
]

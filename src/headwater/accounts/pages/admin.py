"""Administration: people, and who may sign up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts.errors import BadSetting
from headwater.accounts.models import Account, Action, OneTimeLink, SignUpPolicy
from headwater.accounts.pages.frame import ADMIN_TABS, Problem, beside_form, refused
from headwater.accounts.rights import require
from headwater.accounts.service import links, people, policy
from headwater.db import Tx
from headwater.kernel import Actor, HeadwaterError, Kind, utcnow
from headwater.web import shell, site_of


@dataclass(frozen=True)
class PeoplePage:
    """``made`` is a new password link for ``made_for``, shown once."""

    tabs: Sequence[tuple[str, str]]
    people: Sequence[Account]
    search: str
    next_href: str | None
    made: str = ""
    made_for: str = ""
    problem: Problem | None = None


@dataclass(frozen=True)
class SignUpSettingsPage:
    tabs: Sequence[tuple[str, str]]
    policy: SignUpPolicy
    invitations: Sequence[OneTimeLink]
    made: str = ""
    problem: Problem | None = None


async def lead_on(request: Request) -> Response:
    """``GET /admin``."""
    return shell.redirect(request, ADMIN_TABS[0][0])


async def show_people(request: Request) -> Response:
    """``GET /admin/people?q=&cursor=``."""
    return shell.render(request, "accounts/people.html", await web.read_tx(request, _load_people, request))


async def change_people(request: Request) -> Response:
    """``POST /admin/people``: create, suspend, reinstate, make administrator or not, link for a new password."""
    form = await shell.read_form(request)
    name, made = form["person"].strip(), ""
    try:
        match form["act"]:
            case "create":
                made = await web.write_tx(request, _create, form)
            case "suspend":
                await web.write_tx(request, people.suspend, name, now=utcnow())
            case "reinstate":
                await web.write_tx(request, people.reinstate, name, now=utcnow())
            case "make_admin":
                await web.write_tx(request, people.set_site_admin, name, is_admin=True, now=utcnow())
            case "unmake_admin":
                await web.write_tx(request, people.set_site_admin, name, is_admin=False, now=utcnow())
            case "reset":
                made = await web.write_tx(request, links.make_reset_link, name, now=utcnow())
            case _:
                raise shell.PageNotFound
    except HeadwaterError as error:
        problem = beside_form(error, form["act"], form, Kind.NOT_FOUND)
        page = await web.read_tx(request, _load_people, request, problem)
        return refused(request, "accounts/people.html", page, problem)
    if made:
        page = await web.read_tx(request, _load_people, request, None, site_of(request).base_url + made, name)
        response = shell.render(request, "accounts/people.html", page)
        response.headers["Cache-Control"] = "no-store"
        return response
    query = urlencode({"q": form["q"]}) if form["q"] else ""
    target = f"/admin/people?{query}" if query else "/admin/people"
    return shell.redirect(request, target, flash=f"admin.flash_{form['act']}", values={"name": name})


async def show_sign_up(request: Request) -> Response:
    """``GET /admin/sign-up``."""
    return shell.render(request, "accounts/sign_up_settings.html", await web.read_tx(request, _load_sign_up))


async def change_sign_up(request: Request) -> Response:
    """``POST /admin/sign-up``: the policy, and invitations."""
    form = await shell.read_form(request)
    made = ""
    await web.read_tx(request, _require_site)
    try:
        match form["act"]:
            case "policy":
                await web.write_tx(request, policy.set_sign_up_policy, _policy(form["policy"]), now=utcnow())
            case "invite":
                path = await web.write_tx(request, links.invite_to_site, note=form["note"], now=utcnow())
                made = site_of(request).base_url + path
            case "withdraw":
                await web.write_tx(request, links.withdraw_invitation, form["link"])
            case _:
                raise shell.PageNotFound
    except HeadwaterError as error:
        problem = beside_form(error, form["act"], form)
        page = await web.read_tx(request, _load_sign_up, problem)
        return refused(request, "accounts/sign_up_settings.html", page, problem)
    if made:
        page = await web.read_tx(request, _load_sign_up, None, made)
        response = shell.render(request, "accounts/sign_up_settings.html", page)
        response.headers["Cache-Control"] = "no-store"
        return response
    return shell.redirect(request, "/admin/sign-up", flash=f"admin.flash_{form['act']}", values={"name": ""})


def _create(tx: Tx, actor: Actor, form: shell.Form) -> str:
    """A person made by hand, and the link with which they set their password."""
    name, now = form["person"].strip(), utcnow()
    people.create_person(tx, actor, name, password_hash=None, full_name=form["full_name"], email=form["email"], now=now)
    return links.make_reset_link(tx, actor, name, now=now)


def _load_people(
    tx: Tx, actor: Actor, request: Request, problem: Problem | None = None, made: str = "", made_for: str = ""
) -> PeoplePage:
    search = request.query_params.get("q", "").strip()
    page = people.list_people(tx, actor, search=search, cursor=request.query_params.get("cursor"), limit=50)
    query = {"q": search, "cursor": page.cursor or ""}
    return PeoplePage(
        tabs=ADMIN_TABS,
        people=page.items,
        search=search,
        next_href=f"/admin/people?{urlencode(query)}" if page.cursor else None,
        made=made,
        made_for=made_for,
        problem=problem,
    )


def _require_site(tx: Tx, actor: Actor) -> None:
    """The services let others invite, too, and see their own invitations: by pages of their own."""
    require(tx, actor, Action.MANAGE_SITE, on=None)


def _load_sign_up(tx: Tx, actor: Actor, problem: Problem | None = None, made: str = "") -> SignUpSettingsPage:
    _require_site(tx, actor)
    return SignUpSettingsPage(
        tabs=ADMIN_TABS,
        policy=policy.sign_up_policy(tx),
        invitations=links.list_invitations(tx, actor, now=utcnow()),
        made=made,
        problem=problem,
    )


def _policy(text: str) -> SignUpPolicy:
    try:
        return SignUpPolicy(text)
    except ValueError as exc:
        raise BadSetting(f"{text[:20]!r} is no policy for signing up.") from exc

"""Organisations: made, described, and who belongs to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts.errors import AccountNotFound, BadSetting, NotAnOrganisation
from headwater.accounts.models import Account, Action, Member, OneTimeLink, Role
from headwater.accounts.pages.frame import Problem, beside_form, refused
from headwater.accounts.rights import allows, require
from headwater.accounts.service import links, lookup, organisations, people
from headwater.db import Tx
from headwater.kernel import Actor, HeadwaterError, Kind, utcnow
from headwater.web import shell, site_of

ROLES = tuple(role.name.lower() for role in Role)


@dataclass(frozen=True)
class NewOrganisationPage:
    problem: Problem | None = None


@dataclass(frozen=True)
class OrganisationPage:
    """What an organisation says about itself, for its administrators."""

    org: Account
    problem: Problem | None = None


@dataclass(frozen=True)
class MembersPage:
    """Members are public; invitations and the forms are for administrators."""

    org: Account
    members: Sequence[Member]
    next_href: str | None
    may_manage: bool
    invitations: Sequence[OneTimeLink]
    made: str = ""
    problem: Problem | None = None

    roles: Sequence[str] = ROLES


async def show_new(request: Request) -> Response:
    """``GET /organizations/new``."""
    await web.read_tx(request, lookup.get_self)
    return shell.render(request, "accounts/new_organisation.html", NewOrganisationPage())


async def create(request: Request) -> Response:
    """``POST /organizations/new``."""
    form = await shell.read_form(request)
    try:
        org = await web.write_tx(
            request,
            organisations.create_organisation,
            form["name"].strip(),
            full_name=form["full_name"],
            now=utcnow(),
        )
    except HeadwaterError as error:
        problem = beside_form(error, "new", form)
        return refused(request, "accounts/new_organisation.html", NewOrganisationPage(problem), problem)
    return shell.redirect(
        request, f"/organizations/{org.name}/members", flash="org.flash_new", values={"org": org.name}
    )


async def show_profile(request: Request) -> Response:
    """``GET /organizations/{org}/settings``."""
    return shell.render(request, "accounts/organisation.html", await web.read_tx(request, _load_profile, request))


async def change_profile(request: Request) -> Response:
    """``POST /organizations/{org}/settings``."""
    form, org = await shell.read_form(request), request.path_params["org"]
    try:
        await web.write_tx(
            request,
            people.update_profile,
            org,
            full_name=form["full_name"],
            details=form["details"],
            email=form["email"],
            now=utcnow(),
        )
    except HeadwaterError as error:
        problem = beside_form(error, "profile", form)
        page = await web.read_tx(request, _load_profile, request, problem)
        return refused(request, "accounts/organisation.html", page, problem)
    return shell.redirect(request, f"/organizations/{org}/settings", flash="own.flash_saved")


async def show_members(request: Request) -> Response:
    """``GET /organizations/{org}/members?cursor=``."""
    return shell.render(request, "accounts/members.html", await web.read_tx(request, _load_members, request))


async def change_members(request: Request) -> Response:
    """``POST /organizations/{org}/members``: add, change, remove, invite, withdraw."""
    form, org = await shell.read_form(request), request.path_params["org"]
    made = ""
    try:
        match form["act"]:
            case "set_role":
                await web.write_tx(
                    request, organisations.set_role, org, form["person"].strip(), _role(form["role"]), now=utcnow()
                )
            case "remove":
                await web.write_tx(request, organisations.remove_member, org, form["person"], now=utcnow())
            case "invite":
                path = await web.write_tx(
                    request,
                    links.invite_to_organisation,
                    org,
                    _role(form["role"]),
                    note=form["note"],
                    now=utcnow(),
                )
                made = site_of(request).base_url + path
            case "withdraw":
                await web.write_tx(request, links.withdraw_invitation, form["link"])
            case _:
                raise shell.PageNotFound
    except HeadwaterError as error:
        problem = beside_form(error, form["act"], form, Kind.NOT_FOUND)
        page = await web.read_tx(request, _load_members, request, problem)
        return refused(request, "accounts/members.html", page, problem)
    if made:
        page = await web.read_tx(request, _load_members, request, None, made)
        response = shell.render(request, "accounts/members.html", page)
        response.headers["Cache-Control"] = "no-store"
        return response
    return shell.redirect(request, f"/organizations/{org}/members", flash=f"org.flash_{form['act']}")


def _load_profile(tx: Tx, actor: Actor, request: Request, problem: Problem | None = None) -> OrganisationPage:
    org = _find(tx, request)
    require(tx, actor, Action.MANAGE_ACCOUNT, on=lookup.namespace_resource(org))
    return OrganisationPage(org, problem)


def _load_members(
    tx: Tx, actor: Actor, request: Request, problem: Problem | None = None, made: str = ""
) -> MembersPage:
    org = _find(tx, request)
    page = organisations.list_members(tx, org.name, cursor=request.query_params.get("cursor"), limit=100)
    may_manage = allows(tx, actor, Action.MANAGE_ACCOUNT, on=lookup.namespace_resource(org))
    return MembersPage(
        org=org,
        members=page.items,
        next_href=f"/organizations/{org.name}/members?cursor={page.cursor}" if page.cursor else None,
        may_manage=may_manage,
        invitations=links.list_invitations(tx, actor, org=org.name, now=utcnow()) if may_manage else (),
        made=made,
        problem=problem,
    )


def _find(tx: Tx, request: Request) -> Account:
    try:
        return lookup.get_organisation(tx, request.path_params["org"])
    except (AccountNotFound, NotAnOrganisation) as exc:
        raise shell.PageNotFound from exc


def _role(text: str) -> Role:
    if text not in ROLES:
        raise BadSetting(f"{text[:20]!r} is no role. Use one of: {', '.join(ROLES)}.")
    return Role[text.upper()]

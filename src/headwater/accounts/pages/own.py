"""What people set about themselves: profile, ways of signing in, tokens, organisations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import door
from headwater.accounts.errors import BadTokenRequest
from headwater.accounts.models import Account, Namespace, OneTimeLink, Session, SignUpPolicy, TokenInfo
from headwater.accounts.pages import other_site
from headwater.accounts.pages.entry import issuer_name
from headwater.accounts.pages.frame import OWN_TABS, Problem, beside_form, browser_of, describe_browser, refused
from headwater.accounts.scopes import RepositoryNames
from headwater.accounts.service import (
    federated,
    links,
    lookup,
    organisations,
    people,
    policy,
    sessions,
    tokens,
)
from headwater.accounts.service.tokens import GRANT_ACTIONS, NewToken
from headwater.db import Tx
from headwater.kernel import Actor, Grant, HeadwaterError, Kind, utcnow
from headwater.web import shell, site_of

LIVES_DAYS = (7, 30, 90, 365)
NAMED_REPOSITORIES = 5  # rows of the form; a token may have more by the command line or by several namespaces


@dataclass(frozen=True)
class ProfilePage:
    tabs: Sequence[tuple[str, str]]
    account: Account
    problem: Problem | None = None


@dataclass(frozen=True)
class SignInSettingsPage:
    """``issuer`` is the other site's name, empty when there is none; ``is_tied`` whether one may come in through it."""

    tabs: Sequence[tuple[str, str]]
    has_password: bool
    sessions: Sequence[Session]
    here: str
    issuer: str
    is_tied: bool
    problem: Problem | None = None

    def describe(self, session: Session) -> str:
        return describe_browser(session.user_agent)


@dataclass(frozen=True)
class TokenLine:
    info: TokenInfo
    is_over: bool
    scopes: Sequence[tuple[str, str]]  # (action, on what) of a fine-grained token


@dataclass(frozen=True)
class TokensPage:
    tabs: Sequence[tuple[str, str]]
    tokens: Sequence[TokenLine]
    namespaces: Sequence[Namespace]
    has_repositories: bool
    made: NewToken | None = None
    problem: Problem | None = None

    lives_days: Sequence[int] = LIVES_DAYS
    actions: Sequence[str] = GRANT_ACTIONS
    rows: range = range(1, NAMED_REPOSITORIES + 1)


@dataclass(frozen=True)
class OrganisationsPage:
    """One's organisations, and the people one has invited to the site."""

    tabs: Sequence[tuple[str, str]]
    organisations: Sequence[Namespace]
    sizes: Mapping[int, int]
    may_invite: bool
    invitations: Sequence[OneTimeLink]
    made: str = ""
    problem: Problem | None = None


async def lead_on(request: Request) -> Response:
    """``GET /settings``."""
    return shell.redirect(request, OWN_TABS[0][0])


# ---- profile


async def show_profile(request: Request) -> Response:
    """``GET /settings/profile``."""
    return shell.render(request, "accounts/profile.html", await web.read_tx(request, _load_profile))


async def change_profile(request: Request) -> Response:
    """``POST /settings/profile``."""
    form = await shell.read_form(request)

    def act(tx: Tx, actor: Actor) -> None:
        people.update_profile(
            tx,
            actor,
            lookup.get_self(tx, actor).name,
            full_name=form["full_name"],
            details=form["details"],
            email=form["email"],
            now=utcnow(),
        )

    try:
        await web.write_tx(request, act)
    except HeadwaterError as error:
        problem = beside_form(error, "profile", form)
        return refused(request, "accounts/profile.html", await web.read_tx(request, _load_profile, problem), problem)
    return shell.redirect(request, "/settings/profile", flash="own.flash_saved")


def _load_profile(tx: Tx, actor: Actor, problem: Problem | None = None) -> ProfilePage:
    return ProfilePage(OWN_TABS, lookup.get_self(tx, actor), problem)


# ---- ways of signing in


async def show_sign_in(request: Request) -> Response:
    """``GET /settings/sign-in``: password, other site, browsers."""
    return shell.render(request, "accounts/sign_in_settings.html", await web.read_tx(request, _load_sign_in, request))


async def change_sign_in(request: Request) -> Response:
    """``POST /settings/sign-in``: the form's ``act`` says what."""
    form = await shell.read_form(request)
    here = door.session_of(request)
    keep = None if here is None else here.id
    try:
        match form["act"]:
            case "password":
                secret = await web.call(
                    request,
                    people.change_password,
                    old=form["old"],
                    new=form["password"],
                    browser=browser_of(request),
                    keep_session=keep,
                    now=utcnow(),
                )
                response = shell.redirect(request, "/settings/sign-in", flash="own.flash_password")
                if secret is not None:
                    door.set_session_cookie(response, site_of(request), secret)
                return response
            case "tie":
                return await other_site.leave_to_tie(request)
            case "untie":
                await web.call(request, federated.remove_identity, now=utcnow())
            case "end":
                await web.write_tx(request, sessions.sign_out, form["session"])
            case "end_others":
                await web.write_tx(request, sessions.sign_out_everywhere, keep=keep)
            case "end_all":
                await web.write_tx(request, sessions.sign_out_everywhere)
                response = shell.redirect(request, "/login", flash="own.flash_end_all")
                door.clear_session_cookie(response, site_of(request))
                return response
            case _:
                raise shell.PageNotFound
    except HeadwaterError as error:
        problem = beside_form(error, form["act"], form, Kind.NOT_AUTHENTICATED, Kind.UNAVAILABLE)
        page = await web.read_tx(request, _load_sign_in, request, problem)
        return refused(request, "accounts/sign_in_settings.html", page, problem)
    return shell.redirect(request, "/settings/sign-in", flash=f"own.flash_{form['act']}")


def _load_sign_in(tx: Tx, actor: Actor, request: Request, problem: Problem | None = None) -> SignInSettingsPage:
    here = door.session_of(request)
    return SignInSettingsPage(
        tabs=OWN_TABS,
        has_password=people.has_password(tx, actor),
        sessions=sessions.list_sessions(tx, actor, now=utcnow()),
        here="" if here is None else here.id,
        issuer=issuer_name(request),
        is_tied=bool(federated.list_identities(tx, actor)),
        problem=problem,
    )


# ---- tokens


async def show_tokens(request: Request) -> Response:
    """``GET /settings/tokens``."""
    return shell.render(request, "accounts/tokens.html", await web.read_tx(request, _load_tokens, request))


async def change_tokens(request: Request) -> Response:
    """``POST /settings/tokens``: make one, shown now and never again, or revoke one."""
    form = await shell.read_form(request)
    try:
        if form["act"] == "revoke":
            await web.write_tx(request, tokens.revoke_token, _number(form["token"]), now=utcnow())
            return shell.redirect(request, "/settings/tokens", flash="own.flash_revoked")
        made = await web.write_tx(request, _create_token, request, form)
    except HeadwaterError as error:
        problem = beside_form(error, "create", form, Kind.NOT_FOUND)
        page = await web.read_tx(request, _load_tokens, request, problem)
        return refused(request, "accounts/tokens.html", page, problem)
    page = await web.read_tx(request, _load_tokens, request, None, made)
    response = shell.render(request, "accounts/tokens.html", page)
    response.headers["Cache-Control"] = "no-store"
    return response


def _create_token(tx: Tx, actor: Actor, request: Request, form: shell.Form) -> NewToken:
    now, life = utcnow(), form["life"]
    return tokens.create_token(
        tx,
        actor,
        name=form["name"],
        role=form["role"],
        grants=_grants_of(tx, actor, request, form) if form["role"] == "fine" else (),
        expires_at=now + timedelta(days=int(life)) if life in map(str, LIVES_DAYS) else None,
        now=now,
    )


def _grants_of(tx: Tx, actor: Actor, request: Request, form: shell.Form) -> list[Grant]:
    found = []
    for space in lookup.namespaces_of(tx, actor):
        action = form[f"on_{space.account.id}"]
        if action:
            found.append(Grant(action, account_id=space.account.id))
    names = site_of(request).parts.get(RepositoryNames)
    for row in range(1, NAMED_REPOSITORIES + 1):
        path, action = form[f"repo_{row}"].strip().strip("/"), form[f"repo_action_{row}"]
        if path and names is not None:
            found.append(Grant(action, repo_id=names.find(tx, actor, path)))
    return found


def _load_tokens(
    tx: Tx, actor: Actor, request: Request, problem: Problem | None = None, made: NewToken | None = None
) -> TokensPage:
    found, now = tokens.list_tokens(tx, actor), utcnow()
    grants = [grant for info in found for grant in info.grants]
    owners = lookup.get_accounts(tx, [g.account_id for g in grants if g.account_id is not None])
    names = site_of(request).parts.get(RepositoryNames)
    ids = [g.repo_id for g in grants if g.repo_id is not None]
    paths = names.paths(tx, actor, ids) if names is not None and ids else {}

    def on_what(grant: Grant) -> str:
        if grant.repo_id is not None:
            return str(paths.get(grant.repo_id, f"#{grant.repo_id}"))
        return next((f"{owner.name}/" for owner_id, owner in owners.items() if owner_id == grant.account_id), "")

    return TokensPage(
        tabs=OWN_TABS,
        tokens=[
            TokenLine(
                info,
                is_over=info.expires_at is not None and info.expires_at <= now,
                scopes=[(grant.action, on_what(grant)) for grant in info.grants],
            )
            for info in found
        ],
        namespaces=lookup.namespaces_of(tx, actor),
        has_repositories=names is not None,
        made=made,
        problem=problem,
    )


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BadTokenRequest(f"{text[:20]!r} is no token's number.")
    return int(text)


# ---- organisations


async def show_organisations(request: Request) -> Response:
    """``GET /settings/organisations``."""
    return shell.render(request, "accounts/organisations.html", await web.read_tx(request, _load_organisations))


async def change_organisations(request: Request) -> Response:
    """``POST /settings/organisations``: leave one, invite someone to the site, withdraw an invitation."""
    form = await shell.read_form(request)
    made = ""
    try:
        match form["act"]:
            case "leave":
                await web.write_tx(
                    request, organisations.remove_member, form["org"], web.actor_of(request).name, now=utcnow()
                )
            case "invite":
                path = await web.write_tx(request, links.invite_to_site, note=form["note"], now=utcnow())
                made = site_of(request).base_url + path
            case "withdraw":
                await web.write_tx(request, links.withdraw_invitation, form["link"])
            case _:
                raise shell.PageNotFound
    except HeadwaterError as error:
        problem = beside_form(error, form["act"], form)
        page = await web.read_tx(request, _load_organisations, problem)
        return refused(request, "accounts/organisations.html", page, problem)
    if made:
        page = await web.read_tx(request, _load_organisations, None, made)
        response = shell.render(request, "accounts/organisations.html", page)
        response.headers["Cache-Control"] = "no-store"
        return response
    return shell.redirect(request, "/settings/organisations", flash=f"own.flash_{form['act']}")


def _load_organisations(tx: Tx, actor: Actor, problem: Problem | None = None, made: str = "") -> OrganisationsPage:
    account = lookup.get_self(tx, actor)
    found = lookup.organisations_of(tx, account.id)
    may_invite = actor.is_site_admin or policy.sign_up_policy(tx) is not SignUpPolicy.CLOSED
    return OrganisationsPage(
        tabs=OWN_TABS,
        organisations=found,
        sizes=organisations.count_members(tx, [space.account.id for space in found]),
        may_invite=may_invite,
        invitations=links.list_invitations(tx, actor, now=utcnow()) if may_invite else (),
        made=made,
        problem=problem,
    )

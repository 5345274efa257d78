"""Coming in: by password or passkey, as someone new, by a one-time link. And going out. (By another site: other_site.py.)"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import door, passkeys
from headwater.accounts.errors import SecondStepOver
from headwater.accounts.models import Account, OneTimeLink, SignUpPolicy
from headwater.accounts.pages.frame import Problem, beside_form, browser_of, refused
from headwater.accounts.passkeys import Party
from headwater.accounts.service import federated, links, lookup, people, policy, second, sessions
from headwater.accounts.service.second import Asked, Shown
from headwater.accounts.service.sessions import Entered, SecondStep
from headwater.db import Tx
from headwater.kernel import Actor, HeadwaterError, Kind, utcnow
from headwater.web import Site, shell, site_of

TICKET_COOKIE = "hw_second"
TICKET_PATH = "/login"


@dataclass(frozen=True)
class SignInPage:
    """``issuer`` is the other site's name, empty when there is none; ``asked`` what a browser with a passkey is asked."""

    next_url: str
    issuer: str
    may_sign_up: bool
    asked: Asked | None
    problem: Problem | None = None

    @property
    def issuer_href(self) -> str:
        return f"/login/oidc?next={quote(self.next_url, safe='')}"


@dataclass(frozen=True)
class SecondStepPage:
    """``kinds`` are the person's second factors; ``asked`` is None where none is a passkey for this address."""

    name: str
    next_url: str
    kinds: frozenset[str]
    asked: Asked | None
    problem: Problem | None = None


@dataclass(frozen=True)
class SignUpPage:
    policy: SignUpPolicy
    issuer: str
    problem: Problem | None = None


@dataclass(frozen=True)
class LinkPage:
    """What a one-time link opens, and for whom."""

    link: OneTimeLink
    secret: str
    org: Account | None
    maker: Account | None
    person: Account | None  # whose password
    may_sign_up: bool
    issuer: str
    problem: Problem | None = None

    @property
    def issuer_href(self) -> str:
        return f"/login/oidc?next=%2F&link={quote(self.secret, safe='')}"


async def show_sign_in(request: Request) -> Response:
    """``GET /login?next=``."""
    next_url = shell.safe_next(request.query_params.get("next"))
    if not web.actor_of(request).is_anonymous:
        return shell.redirect(request, next_url)
    return shell.render(request, "accounts/sign_in.html", await sign_in_page(request, next_url))


async def sign_in(request: Request) -> Response:
    """``POST /login``: by name and password, or by a passkey."""
    form = await shell.read_form(request)
    next_url = shell.safe_next(form["next"])
    entered: Entered
    try:
        if form["answer"]:
            entered = await web.call(
                request,
                sessions.sign_in_by_passkey,
                shown_in(request, form),
                browser=browser_of(request),
                replaces=present(request),
                now=utcnow(),
            )
        else:
            entered = await web.call(
                request,
                sessions.sign_in,
                name=form["name"].strip(),
                password=form["password"],
                browser=browser_of(request),
                replaces=present(request),
                now=utcnow(),
            )
    except HeadwaterError as error:
        problem = beside_form(error, "passkey" if form["answer"] else "sign_in", form, Kind.NOT_AUTHENTICATED)
        return refused(request, "accounts/sign_in.html", await sign_in_page(request, next_url, problem), problem)
    return enter(request, entered, next_url)


async def show_second_step(request: Request) -> Response:
    """``GET /login/second?next=``: after the password, the code or the passkey."""
    next_url = shell.safe_next(request.query_params.get("next"))
    try:
        page = await web.call(request, _load_second_step, request, next_url)
    except SecondStepOver:
        return _begin_again(request, next_url)
    return _private(shell.render(request, "accounts/second_step.html", page))


async def take_second_step(request: Request) -> Response:
    """``POST /login/second``."""
    form = await shell.read_form(request)
    next_url = shell.safe_next(form["next"])
    ticket = request.cookies.get(TICKET_COOKIE, "")
    try:
        signed_in = await web.in_thread(
            sessions.finish_sign_in,
            site_of(request),
            ticket,
            shown_in(request, form),
            browser=browser_of(request),
            replaces=present(request),
            now=utcnow(),
        )
    except SecondStepOver:
        return _begin_again(request, next_url)
    except HeadwaterError as error:
        problem = beside_form(error, "second", form, Kind.NOT_AUTHENTICATED)
        page = await web.call(request, _load_second_step, request, next_url, problem)
        return _private(refused(request, "accounts/second_step.html", page, problem))
    response = enter(request, signed_in, next_url)
    response.delete_cookie(TICKET_COOKIE, path=TICKET_PATH)
    return response


async def sign_out(request: Request) -> Response:
    """``POST /logout``: ends this browser's session; harmless without one."""
    await shell.read_form(request)
    session = door.session_of(request)
    if session is not None:
        await web.write_tx(request, sessions.sign_out, session.id)
    response = shell.redirect(request, "/", flash="signin.flash_out")
    door.clear_session_cookie(response, site_of(request))
    return response


async def show_sign_up(request: Request) -> Response:
    """``GET /join``."""
    if not web.actor_of(request).is_anonymous:
        return shell.redirect(request, "/")
    return shell.render(request, "accounts/sign_up.html", await _sign_up_page(request))


async def sign_up(request: Request) -> Response:
    """``POST /join``."""
    form = await shell.read_form(request)
    try:
        signed_in = await _sign_up(request, form)
    except HeadwaterError as error:
        problem = beside_form(error, "join", form)
        return refused(request, "accounts/sign_up.html", await _sign_up_page(request, problem), problem)
    return enter(request, signed_in, "/", flash="join.flash")


async def show_link(request: Request) -> Response:
    """``GET /link/{secret}``: what it opens, without using it up."""
    page = await web.read_tx(request, _load_link, request)
    return _private(shell.render(request, "accounts/link.html", page))


async def use_link(request: Request) -> Response:
    """``POST /link/{secret}``: join the site or an organisation, or set a new password."""
    form = await shell.read_form(request)
    secret = request.path_params["secret"]
    try:
        if form["act"] == "accept":
            org = await web.write_tx(request, links.accept_invitation, secret, now=utcnow())
            return shell.redirect(request, f"/{org.name}", flash="link.flash_joined", values={"org": org.name})
        if form["act"] == "reset":
            signed_in = await web.call(
                request,
                people.reset_password,
                link_secret=secret,
                password=form["password"],
                browser=browser_of(request),
                replaces=present(request),
                now=utcnow(),
            )
            return _private(enter(request, signed_in, "/", flash="link.flash_reset"))
        signed_in = await _sign_up(request, form, secret)
    except HeadwaterError as error:
        problem = beside_form(error, form["act"], form)
        page = await web.read_tx(request, _load_link, request, problem)
        return _private(refused(request, "accounts/link.html", page, problem))
    return enter(request, signed_in, "/", flash="join.flash")


def issuer_name(request: Request) -> str:
    """How the other site is called on buttons; empty when there is none."""
    settings = federated.settings_of(site_of(request))
    return settings.shown_as if settings.is_on else ""


async def _sign_up(request: Request, form: shell.Form, secret: str | None = None) -> Entered:
    return await web.call(
        request,
        people.sign_up,
        name=form["name"].strip(),
        password=form["password"],
        full_name=form["full_name"],
        email=form["email"],
        browser=browser_of(request),
        link_secret=secret,
        replaces=present(request),
        now=utcnow(),
    )


def party_of(request: Request) -> Party | None:
    """Whom a passkey of this browser would be for; None where there can be none."""
    return passkeys.party_for(site_of(request).base_url, request.headers.get("host", ""))


def shown_in(request: Request, form: shell.Form, prefix: str = "") -> Shown:
    """The code or the passkey's answer in a form."""
    return Shown(
        code=form[f"{prefix}code"][:100],
        answer=form[f"{prefix}answer"],
        challenge=form[f"{prefix}challenge"][:1000],
        party=party_of(request),
    )


def present(request: Request) -> str | None:
    """The session that this browser has now: a sign-in replaces it."""
    session = door.session_of(request)
    return None if session is None else session.id


def enter(request: Request, entered: Entered, next_url: str, *, flash: str | None = None) -> Response:
    """On to where they wanted to go, signed in; or to the second step first."""
    if isinstance(entered, SecondStep):
        response = shell.redirect(request, f"/login/second?next={quote(next_url, safe='')}")
        response.set_cookie(
            TICKET_COOKIE,
            entered.ticket,
            max_age=int(sessions.TICKET_LIFE.total_seconds()),
            path=TICKET_PATH,
            httponly=True,
            samesite="lax",
            secure=site_of(request).is_https,
        )
        return response
    tone, values = "good", {"name": entered.account.name, "n": entered.n_alerts}
    if entered.n_alerts and flash is None:
        flash, tone = "signin.flash_alerts", "warn"
    response = shell.redirect(request, next_url, flash=flash, tone=tone, values=values)
    door.set_session_cookie(response, site_of(request), entered.secret)
    return response


def _begin_again(request: Request, next_url: str) -> Response:
    target = f"/login?next={quote(next_url, safe='')}"
    response = shell.redirect(request, target, flash="signin.flash_over", tone="warn")
    response.delete_cookie(TICKET_COOKIE, path=TICKET_PATH)
    return response


def _load_second_step(
    site: Site, actor: Actor, request: Request, next_url: str, problem: Problem | None = None
) -> SecondStepPage:
    del actor
    now = utcnow()
    found = sessions.waiting(site, request.cookies.get(TICKET_COOKIE, ""), now=now)
    party = party_of(request)
    known = () if party is None else tuple(each for rp_id, each in found.passkeys if rp_id == party.rp_id)
    asked = None if party is None or not known else second.ask_for_passkey(site, party, known=known, now=now)
    return SecondStepPage(found.account.name, next_url, found.kinds, asked, problem)


def _private(response: Response) -> Response:
    """The address is a secret: no cache keeps the page. (Every page's policy tells other sites no referrer.)"""
    response.headers["Cache-Control"] = "no-store"
    return response


async def sign_in_page(request: Request, next_url: str, problem: Problem | None = None) -> SignInPage:
    """What the page for signing in shows."""

    def load(tx: Tx, actor: Actor) -> SignInPage:
        del actor
        may_sign_up = policy.sign_up_policy(tx) is SignUpPolicy.OPEN
        party = party_of(request)
        asked = None if party is None else second.ask_for_passkey(site_of(request), party, known=(), now=utcnow())
        return SignInPage(next_url, issuer_name(request), may_sign_up, asked, problem)

    return await web.read_tx(request, load)


async def _sign_up_page(request: Request, problem: Problem | None = None) -> SignUpPage:
    def load(tx: Tx, actor: Actor) -> SignUpPage:
        del actor
        return SignUpPage(policy.sign_up_policy(tx), issuer_name(request), problem)

    return await web.read_tx(request, load)


def _load_link(tx: Tx, actor: Actor, request: Request, problem: Problem | None = None) -> LinkPage:
    del actor
    secret = request.path_params["secret"]
    link = links.get_link(tx, secret, now=utcnow())
    named = lookup.get_accounts(tx, [i for i in (link.org_id, link.created_by, link.account_id) if i is not None])
    return LinkPage(
        link=link,
        secret=secret,
        org=None if link.org_id is None else named[link.org_id],
        maker=None if link.created_by is None else named[link.created_by],
        person=None if link.account_id is None else named[link.account_id],
        may_sign_up=links.opens_sign_up(tx, link),
        issuer=issuer_name(request),
        problem=problem,
    )

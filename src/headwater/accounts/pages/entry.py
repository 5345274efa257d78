"""Coming in: by password, by another site, as someone new, by a one-time link. And going out."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import door, oidc
from headwater.accounts.errors import OidcUnavailable
from headwater.accounts.models import Account, OneTimeLink, SignUpPolicy
from headwater.accounts.pages.frame import Problem, beside_form, browser_of, refused
from headwater.accounts.service import federated, links, lookup, people, policy, sessions
from headwater.accounts.service.federated import Begun
from headwater.accounts.service.sessions import SignedIn
from headwater.db import Tx
from headwater.kernel import Actor, HeadwaterError, Kind, utcnow
from headwater.web import shell, site_of

JOURNEY_COOKIE = "hw_journey"
JOURNEY_PATH = "/login/oidc"


@dataclass(frozen=True)
class SignInPage:
    """``issuer`` is the other site's name, empty when there is none."""

    next_url: str
    issuer: str
    may_sign_up: bool
    problem: Problem | None = None

    @property
    def issuer_href(self) -> str:
        return f"/login/oidc?next={quote(self.next_url, safe='')}"


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


@dataclass(frozen=True)
class LeavePage:
    """A page between: a form's answer may not lead to another origin, a link may."""

    url: str
    issuer: str


async def show_sign_in(request: Request) -> Response:
    """``GET /login?next=``."""
    next_url = shell.safe_next(request.query_params.get("next"))
    if not web.actor_of(request).is_anonymous:
        return shell.redirect(request, next_url)
    return shell.render(request, "accounts/sign_in.html", await _sign_in_page(request, next_url))


async def sign_in(request: Request) -> Response:
    """``POST /login``."""
    form = await shell.read_form(request)
    next_url = shell.safe_next(form["next"])
    try:
        signed_in = await web.call(
            request,
            sessions.sign_in,
            name=form["name"].strip(),
            password=form["password"],
            browser=browser_of(request),
            now=utcnow(),
        )
    except HeadwaterError as error:
        problem = beside_form(error, "sign_in", form, Kind.NOT_AUTHENTICATED)
        return refused(request, "accounts/sign_in.html", await _sign_in_page(request, next_url, problem), problem)
    return _enter(request, signed_in, next_url)


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
    return _enter(request, signed_in, "/", flash="join.flash")


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
                now=utcnow(),
            )
            return _enter(request, signed_in, "/", flash="link.flash_reset")
        signed_in = await _sign_up(request, form, secret)
    except HeadwaterError as error:
        problem = beside_form(error, form["act"], form)
        page = await web.read_tx(request, _load_link, request, problem)
        return _private(refused(request, "accounts/link.html", page, problem))
    return _enter(request, signed_in, "/", flash="join.flash")


async def leave_for_issuer(request: Request) -> Response:
    """``GET /login/oidc?next=&link=``: off to the other site."""
    try:
        begun = await web.call(
            request,
            federated.begin,
            next_url=shell.safe_next(request.query_params.get("next")),
            link_secret=request.query_params.get("link", ""),
            now=utcnow(),
        )
    except OidcUnavailable as error:
        return await _sign_in_again(request, error)
    response = shell.redirect(request, begun.url)
    keep_journey(request, response, begun)
    return response


async def come_back(request: Request) -> Response:
    """``GET /login/oidc/callback``: back from the other site."""
    try:
        finished = await web.call(
            request,
            federated.finish,
            query=dict(request.query_params),
            cookie=request.cookies.get(JOURNEY_COOKIE, ""),
            browser=browser_of(request),
            now=utcnow(),
        )
    except HeadwaterError as error:
        response = await _sign_in_again(request, error)
    else:
        flash = "join.flash" if finished.is_new else None
        response = _enter(request, finished.signed_in, shell.safe_next(finished.next_url), flash=flash)
    response.delete_cookie(JOURNEY_COOKIE, path=JOURNEY_PATH)
    return response


def keep_journey(request: Request, response: Response, begun: Begun) -> None:
    """Let the browser carry what must be the same when it comes back."""
    response.set_cookie(
        JOURNEY_COOKIE,
        begun.cookie,
        max_age=oidc.JOURNEY_S,
        path=JOURNEY_PATH,
        httponly=True,
        samesite="lax",
        secure=site_of(request).is_https,
    )


def issuer_name(request: Request) -> str:
    """How the other site is called on buttons; empty when there is none."""
    settings = federated.settings_of(site_of(request))
    return settings.shown_as if settings.is_on else ""


async def _sign_up(request: Request, form: shell.Form, secret: str | None = None) -> SignedIn:
    return await web.call(
        request,
        people.sign_up,
        name=form["name"].strip(),
        password=form["password"],
        full_name=form["full_name"],
        email=form["email"],
        browser=browser_of(request),
        link_secret=secret,
        now=utcnow(),
    )


def _enter(request: Request, signed_in: SignedIn, next_url: str, *, flash: str | None = None) -> Response:
    response = shell.redirect(request, next_url, flash=flash, values={"name": signed_in.account.name})
    door.set_session_cookie(response, site_of(request), signed_in.secret)
    return response


def _private(response: Response) -> Response:
    """The address is a secret: no cache keeps the page. (Every page's policy tells other sites no referrer.)"""
    response.headers["Cache-Control"] = "no-store"
    return response


async def _sign_in_again(request: Request, error: HeadwaterError) -> Response:
    problem = Problem(error, "issuer", shell.Form({}))
    return refused(request, "accounts/sign_in.html", await _sign_in_page(request, "/", problem), problem)


async def _sign_in_page(request: Request, next_url: str, problem: Problem | None = None) -> SignInPage:
    def load(tx: Tx, actor: Actor) -> SignInPage:
        del actor
        may_sign_up = policy.sign_up_policy(tx) is SignUpPolicy.OPEN
        return SignInPage(next_url, issuer_name(request), may_sign_up, problem)

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

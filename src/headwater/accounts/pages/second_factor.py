"""A person's second factors: an authenticator app, passkeys, recovery codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import totp
from headwater.accounts.models import SecondFactor
from headwater.accounts.pages.entry import party_of, shown_in
from headwater.accounts.pages.frame import OWN_TABS, Problem, beside_form, browser_of, refused
from headwater.accounts.service import second
from headwater.accounts.service.second import Asked, NewApp
from headwater.kernel import Actor, HeadwaterError, Kind, utcnow
from headwater.web import Site, shell, site_of

HERE = "/settings/second-factor"


@dataclass(frozen=True)
class SetUp:
    """An app being set up: its picture, the secret for typing, and what the form sends back."""

    picture: str
    address: str
    spelled: str
    sealed: str


@dataclass(frozen=True)
class SecondFactorPage:
    """``asked`` is None where no browser has passkeys for this address; ``codes`` are shown this once."""

    tabs: Sequence[tuple[str, str]]
    factors: Sequence[SecondFactor]
    n_codes: int
    host: str
    asked: Asked | None
    set_up: SetUp | None = None
    codes: Sequence[str] = ()
    problem: Problem | None = None


async def show(request: Request) -> Response:
    """``GET /settings/second-factor``."""
    return _render(request, await web.call(request, _load, request))


async def change(request: Request) -> Response:
    """``POST /settings/second-factor``: the form's ``act`` says what."""
    form = await shell.read_form(request)
    browser, now = browser_of(request), utcnow()
    codes: list[str] = []
    try:
        match form["act"]:
            case "begin_app":
                begun = await web.call(request, second.begin_app, now=now)
                page = await web.call(request, _load, request, set_up=_set_up(request, begun))
                return _render(request, page)
            case "finish_app":
                codes = await web.call(
                    request,
                    second.finish_app,
                    sealed=form["sealed"][:1000],
                    code=form["code"][:20],
                    name=form["name"],
                    browser=browser,
                    now=now,
                )
            case "passkey":
                shown = shown_in(request, form)
                codes = await web.call(
                    request, second.finish_passkey, shown, name=form["name"], browser=browser, now=now
                )
            case "remove":
                number = form["factor"]
                if number.isascii() and number.isdigit() and len(number) < 10:
                    await web.write_tx(request, second.remove, int(number), browser=browser, now=now)
            case "codes":
                codes = await web.write_tx(request, second.renew_codes, browser=browser, now=now)
            case _:
                raise shell.PageNotFound
    except HeadwaterError as error:
        problem = beside_form(error, form["act"], form, Kind.NOT_AUTHENTICATED)
        set_up = await _same_app(request, form) if form["act"] == "finish_app" else None
        page = await web.call(request, _load, request, set_up=set_up, problem=problem)
        return refused(request, "accounts/second_factor.html", page, problem)
    if codes:
        return _render(request, await web.call(request, _load, request, codes=codes))
    return shell.redirect(request, HERE, flash=f"second.flash_{form['act']}")


async def _same_app(request: Request, form: shell.Form) -> SetUp | None:
    """A mistyped code does not begin anew: the app has scanned this very picture."""
    sealed = form["sealed"][:1000]
    try:
        secret = await web.call(request, second.reopen_app, sealed, now=utcnow())
    except HeadwaterError:
        return None
    return _set_up(request, NewApp(secret, sealed))


def _render(request: Request, page: SecondFactorPage) -> Response:
    response = shell.render(request, "accounts/second_factor.html", page)
    if page.codes or page.set_up is not None:
        response.headers["Cache-Control"] = "no-store"
    return response


def _load(
    site: Site,
    actor: Actor,
    request: Request,
    *,
    set_up: SetUp | None = None,
    codes: Sequence[str] = (),
    problem: Problem | None = None,
) -> SecondFactorPage:
    found = site.db.read(second.overview, actor)
    party = party_of(request)
    asked = (
        None if party is None or actor.limits is not None else second.begin_passkey(site, actor, party, now=utcnow())
    )
    host = request.url.hostname or ""
    return SecondFactorPage(OWN_TABS, found.factors, found.n_codes, host, asked, set_up, codes, problem)


def _set_up(request: Request, begun: NewApp) -> SetUp:
    import segno

    host = site_of(request).base_url.partition("://")[2]
    address = totp.address_of(begun.secret, account=web.actor_of(request).name, issuer=f"Headwater {host}")
    picture = segno.make(address, error="m").svg_data_uri(scale=5, border=4, light="#fff")
    return SetUp(picture, address, totp.spelled(begun.secret), begun.sealed)

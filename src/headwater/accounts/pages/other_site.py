"""Off to the other site and back from it: to come in, to add that way of coming in, or to show anew who one is."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import door, oidc
from headwater.accounts.errors import NotSignedIn, OidcProofRefused, OidcUnavailable
from headwater.accounts.pages import confirm, entry
from headwater.accounts.pages.frame import Problem, browser_of, refused
from headwater.accounts.service import federated
from headwater.accounts.service.federated import Begun, Proved
from headwater.kernel import HeadwaterError, utcnow
from headwater.web import shell, site_of

JOURNEY_COOKIE = "hw_journey"
JOURNEY_PATH = "/login/oidc"


@dataclass(frozen=True)
class LeavePage:
    """A page between: a form's answer may not lead to another origin, a link may."""

    url: str
    issuer: str


async def leave(request: Request) -> Response:
    """``GET /login/oidc?next=&link=&anew=``: off to the other site; with ``anew`` to bring a fresh proof for this session."""
    next_url = shell.safe_next(request.query_params.get("next"))
    now = utcnow()
    try:
        if "anew" in request.query_params:
            begun = await web.call(request, federated.begin_proof, next_url=next_url, now=now)
        else:
            link = request.query_params.get("link", "")
            begun = await web.call(request, federated.begin, next_url=next_url, link_secret=link, now=now)
    except (OidcUnavailable, OidcProofRefused) as error:
        return await _refusal(request, error, proves="anew" in request.query_params, next_url=next_url)
    response = shell.redirect(request, begun.url)
    _keep_journey(request, response, begun)
    return response


async def leave_to_tie(request: Request) -> Response:
    """Off to add this way of coming in, from the form that asks for it."""
    begun = await web.call(request, federated.begin, next_url="/settings/sign-in", adds_to_account=True, now=utcnow())
    response = shell.render(request, "accounts/leave.html", LeavePage(begun.url, entry.issuer_name(request)))
    _keep_journey(request, response, begun)
    return response


async def come_back(request: Request) -> Response:
    """``GET /login/oidc/callback``: back from the other site."""
    cookie, now = request.cookies.get(JOURNEY_COOKIE, ""), utcnow()
    try:
        done = await web.call(
            request,
            federated.finish,
            query=dict(request.query_params),
            cookie=cookie,
            browser=browser_of(request),
            replaces=entry.present(request),
            now=now,
        )
    except HeadwaterError as error:
        left = federated.find_journey(site_of(request), cookie, now=now)
        next_url = "/" if left is None else shell.safe_next(left.next_url)
        response = await _refusal(
            request, error, proves=left is not None and left.proves_session != "", next_url=next_url
        )
    else:
        next_url = shell.safe_next(done.next_url)
        if isinstance(done, Proved):
            response = shell.redirect(request, next_url, flash="confirm.flash")
            door.set_session_cookie(response, site_of(request), done.secret)
        else:
            flash = "join.flash" if done.is_new else None
            response = entry.enter(request, done.signed_in, next_url, flash=flash)
    response.delete_cookie(JOURNEY_COOKIE, path=JOURNEY_PATH)
    return response


def _keep_journey(request: Request, response: Response, begun: Begun) -> None:
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


async def _refusal(request: Request, error: HeadwaterError, *, proves: bool, next_url: str) -> Response:
    """The page that they left from, with what went wrong."""
    if proves and not web.actor_of(request).is_anonymous and not isinstance(error, NotSignedIn):
        return await confirm.again(request, next_url, Problem(error, "confirm", shell.Form({})))
    problem = Problem(error, "issuer", shell.Form({}))
    return refused(request, "accounts/sign_in.html", await entry.sign_in_page(request, next_url, problem), problem)

"""Showing once more who one is, before an act that asks for it; then the act goes on as it was sent.

A refused form is carried along in the page as it came, and posted again by the browser itself (307) once the proof fits: no
act waits on the server, and none is done that its person did not send.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import door
from headwater.accounts.errors import ProofNeeded
from headwater.accounts.pages.entry import issuer_name, party_of, shown_in
from headwater.accounts.pages.frame import Problem, beside_form, browser_of, refused
from headwater.accounts.service import freshness, second, sessions
from headwater.accounts.service.lookup import get_self
from headwater.accounts.service.second import Asked
from headwater.db import Tx
from headwater.kernel import Actor, HeadwaterError, Kind, utcnow
from headwater.web import shell, site_of

OWN = "proof_"  # how this page's own fields begin; all others are the refused form's
NEVER_CARRIED = ("old", "password")  # no page holds what somebody typed there
_NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True)
class ConfirmPage:
    """``fields`` are those of the form that goes on afterwards, empty where only a page is opened again.

    ``back_url`` is the page to come back to from another site: no form is carried there.
    """

    next_url: str
    back_url: str
    is_form: bool
    fields: Sequence[tuple[str, str]]
    ways: frozenset[str]
    asked: Asked | None
    issuer: str
    problem: Problem | None = None

    @property
    def issuer_href(self) -> str:
        return f"/login/oidc?anew=1&next={quote(self.back_url, safe='')}"


def ask(request: Request, error: HeadwaterError) -> Response:
    """The page instead of a refusal."""
    if not isinstance(error, ProofNeeded):
        raise TypeError(f"{error.code} is nothing to confirm")
    here = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
    body: bytes = getattr(request.state, "form_body", b"")  # nothing where a form came as several parts, with files
    sent = web.parse_form(body)
    is_form = bool(sent) and not any(name in sent for name in NEVER_CARRIED)
    fields = _carried(sent) if is_form else []
    page = _page(request, shell.safe_next(here), is_form=is_form, fields=fields, needed=error)
    return shell.render(request, "accounts/confirm.html", page, status=403, headers=_NO_STORE)


async def again(request: Request, next_url: str, problem: Problem) -> Response:
    """The page once more, after a proof at another site that was none."""
    needed = await web.read_tx(request, _needed)
    page = _page(request, next_url, is_form=False, fields=[], needed=needed, problem=problem)
    return shell.render(request, "accounts/confirm.html", page, status=web.status_of(problem.error), headers=_NO_STORE)


async def show(request: Request) -> Response:
    """``GET /settings/confirm?next=``: before an act, for a program's page that was told to."""
    needed = await web.read_tx(request, _needed)
    next_url = shell.safe_next(request.query_params.get("next"), "/settings/sign-in")
    page = _page(request, next_url, is_form=False, fields=[], needed=needed)
    return shell.render(request, "accounts/confirm.html", page, headers=_NO_STORE)


async def confirm(request: Request) -> Response:
    """``POST /settings/confirm``: the proof; then on with what was asked for."""
    form = await shell.read_form(request, is_carried=True)
    next_url, is_form = shell.safe_next(form[f"{OWN}next"]), form[f"{OWN}form"] == "1"
    try:
        secret = await web.call(
            request,
            sessions.prove,
            password=form[f"{OWN}password"],
            shown=shown_in(request, form, OWN),
            browser=browser_of(request),
            now=utcnow(),
        )
    except HeadwaterError as error:
        problem = beside_form(error, "confirm", form, Kind.NOT_AUTHENTICATED)
        needed = await web.read_tx(request, _needed)
        fields = _carried({name: form.all(name) for name in form.names()})
        page = _page(request, next_url, is_form=is_form, fields=fields, needed=needed, problem=problem)
        return refused(request, "accounts/confirm.html", page, problem)
    headers = {"Location": shell.as_location(next_url), "Cache-Control": "no-store"}
    response = Response(status_code=307 if is_form else 303, headers=headers)
    door.set_session_cookie(response, site_of(request), secret)
    return response


def _carried(sent: dict[str, list[str]]) -> list[tuple[str, str]]:
    names = [name for name in sent if name != "csrf" and name not in NEVER_CARRIED and not name.startswith(OWN)]
    return [(name, value) for name in names for value in sent[name]]


def _needed(tx: Tx, actor: Actor) -> ProofNeeded:
    return freshness.proof_needed(tx, get_self(tx, actor).id)


def _page(
    request: Request,
    next_url: str,
    *,
    is_form: bool,
    fields: Sequence[tuple[str, str]],
    needed: ProofNeeded,
    problem: Problem | None = None,
) -> ConfirmPage:
    party = party_of(request)
    known = () if party is None else needed.passkeys_for(party.rp_id)
    asked = None
    if party is not None and known:
        asked = second.ask_for_passkey(site_of(request), party, known=known, now=utcnow())
    back_url = _page_before(request) if request.method == "POST" else next_url
    return ConfirmPage(next_url, back_url, is_form, fields, needed.ways, asked, issuer_name(request), problem)


def _page_before(request: Request) -> str:
    """The page of this site whose form was sent; the front page where the browser does not say."""
    parts = urlsplit(request.headers.get("referer", ""))
    if parts.netloc != request.headers.get("host") or parts.path == "/settings/confirm":
        return "/"
    return shell.safe_next(f"{parts.path}?{parts.query}" if parts.query else parts.path)

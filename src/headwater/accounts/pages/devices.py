"""``hf auth login`` without a token: the two calls of the program (RFC 8628), and the page where its person approves."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts.errors import CodeNotFound, TooManyAttempts
from headwater.accounts.pages.frame import Problem, beside_form, browser_of, refused
from headwater.accounts.service import devices
from headwater.accounts.store.devices import DeviceCode
from headwater.kernel import Kind, utcnow
from headwater.web import JsonResponse, parse_form, read_body, shell, site_of

GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
FORM_LIMIT_BYTES = 16 << 10
PROGRAMS = {"26be6b09-91c5-47da-9861-d2d2bb7a7e36": "hf auth login"}  # by client_id, huggingface_hub/constants.py
_NO_STORE = {"Cache-Control": "no-store"}


@dataclass(frozen=True)
class DevicePage:
    """First the form for the code; then ``found``, to be approved; then ``done``: "approved" or "refused"."""

    code: str = ""
    found: DeviceCode | None = None
    done: str = ""
    problem: Problem | None = None
    days: int = devices.TOKEN_LIFETIME.days


async def begin(request: Request) -> Response:
    """``POST /oauth/device``: codes for a program."""
    form = parse_form(await read_body(request, FORM_LIMIT_BYTES), most=50)
    site = site_of(request)
    program = PROGRAMS.get(form.get("client_id", [""])[0]) or request.headers.get("user-agent", "").partition(" ")[0]
    made = await web.write_tx(
        request,
        devices.begin,
        client=program,
        address=browser_of(request).address,
        now=utcnow(),
    )
    shown = devices.spelled(made.user_code)
    answer = {
        "device_code": made.device_code,
        "user_code": shown,
        "verification_uri": f"{site.base_url}/oauth/device",
        "verification_uri_complete": f"{site.base_url}/oauth/device?user_code={shown}",
        "interval": devices.INTERVAL_S,
        "expires_in": int(devices.LIFETIME.total_seconds()),
    }
    return JsonResponse(answer, headers=_NO_STORE)


async def token(request: Request) -> Response:
    """``POST /oauth/token``: the token, or the word for why not. Nothing is renewed here: one signs in again."""
    form = parse_form(await read_body(request, FORM_LIMIT_BYTES), most=50)
    if form.get("grant_type", [""])[0] != GRANT_TYPE:
        return _refusal("unsupported_grant_type", "This server signs programs in by device code only.")
    code = form.get("device_code", [""])[0]
    db = site_of(request).db
    found = await web.in_thread(db.read, devices.poll, code, now=utcnow())
    if found.error is None:
        found = await web.in_thread(db.write, devices.redeem, code, now=utcnow())
    if found.token is None:
        return _refusal(found.error or "expired_token", "")
    answer = {
        "access_token": found.token,
        "token_type": "bearer",
        "expires_in": int(devices.TOKEN_LIFETIME.total_seconds()),
        "scope": "write",
    }
    return JsonResponse(answer, headers=_NO_STORE)


async def show(request: Request) -> Response:
    """``GET /oauth/device[?user_code=…]``.

    A miss costs its reader one of few guesses, so a code is looked up only where the page itself was opened: a picture
    that somebody put into a comment has every reader's browser ask for it.
    """
    code = request.query_params.get("user_code", "")[:40]
    if not code or request.headers.get("sec-fetch-dest", "document") != "document":
        return shell.render(request, "accounts/device.html", DevicePage(code=code))
    try:
        address = browser_of(request).address
        found = await web.call(request, devices.find_waiting, code, address=address, now=utcnow())
    except (CodeNotFound, TooManyAttempts) as error:
        return _again(request, code, error)
    return shell.render(request, "accounts/device.html", DevicePage(code=code, found=found))


async def answer(request: Request) -> Response:
    """``POST /oauth/device/answer``: the form's ``act`` is "approve" or "refuse"."""
    form = await shell.read_form(request)
    approve = form["act"] == "approve"
    try:
        address = browser_of(request).address
        await web.call(request, devices.answer, form["user_code"], approve=approve, address=address, now=utcnow())
    except (CodeNotFound, TooManyAttempts) as error:
        return _again(request, form["user_code"], error)
    return shell.render(request, "accounts/device.html", DevicePage(done="approved" if approve else "refused"))


def _again(request: Request, code: str, error: CodeNotFound | TooManyAttempts) -> Response:
    problem = beside_form(error, "code", shell.Form({"user_code": [code]}), Kind.NOT_FOUND)
    return refused(request, "accounts/device.html", DevicePage(code=code, problem=problem), problem)


def _refusal(error: str, description: str) -> Response:
    return JsonResponse({"error": error, "error_description": description or error}, 400, headers=_NO_STORE)

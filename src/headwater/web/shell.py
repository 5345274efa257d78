"""The frame around every page: templates, language, theme, flash messages, forms, static files, error pages.

A page is a frozen dataclass and a template that only prints it: ``render(request, "hub/repository.html", page)``.
A context adds its own folders once, at import: ``register_pages("hub", Path(__file__).parent)`` makes ``templates/``
known under the prefix ``hub/``, and ``texts/{en,zh-CN}.toml`` known to ``t``. In a template stand ``page`` (the
dataclass), ``shell`` (who reads, where they are), ``t(key, **values)``, ``static(name)`` and the filters ``number``,
``size``, ``ago``, ``moment``, ``day``, ``compact``, ``parameters``, ``percent``. No inline script or style passes the
content security policy.

Forms: ``{{ csrf_input() }}`` inside every POST form; ``await read_form(request)`` checks it, and where it comes from.
"""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import hmac
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import jinja2
import jinja2.bccache
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from headwater.kernel import ANONYMOUS, Actor, HeadwaterError, Kind
from headwater.web import i18n
from headwater.web.refusals import status_of
from headwater.web.routing import Access, Route
from headwater.web.site import Site

STATIC = Path(__file__).parent / "static"
FLASH_COOKIE = "hw_flash"
THEME_COOKIE = "hw_theme"
THEMES = ("auto", "light", "dark")
YEAR_S = 365 * 86_400
FORM_LIMIT_BYTES = 256 * 1024

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self'; font-src 'self'; "
    "connect-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_PAGE_HEADERS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "private, no-cache",
    "Vary": "Cookie, Accept-Language, Accept-Encoding",
}


class ForgedForm(HeadwaterError):
    """A form that did not come from a page of this site and session."""

    code = "forged_form"
    kind = Kind.NOT_ALLOWED

    def __init__(self) -> None:
        super().__init__(
            "This form did not come from a page of this site, or the page was too old. Go back, reload it, send again."
        )


class PageNotFound(HeadwaterError):
    code = "page_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("There is no page at this address, or you may not see it.")


# ---- templates


class _Compiled(jinja2.BytecodeCache):
    """Compiled templates beside compiled modules, and under their rules: compiling costs the first page 0.2 s."""

    folder = Path(__file__).parent / "__pycache__" / "templates"

    def load_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        with contextlib.suppress(OSError), (self.folder / bucket.key).open("rb") as file:
            bucket.load_bytecode(file)  # looks at the release of Python and at the source itself

    def dump_bytecode(self, bucket: jinja2.bccache.Bucket) -> None:
        if sys.dont_write_bytecode:
            return
        with contextlib.suppress(OSError):  # not ours to write: compiled again at the next start
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = self.folder / f"{bucket.key}.{os.getpid()}"
            temporary.write_bytes(bucket.bytecode_to_string())
            temporary.replace(self.folder / bucket.key)


def compile_templates() -> None:
    """Compile every template that has been registered, so that no page waits for it."""
    environment = _environment()
    for name in environment.list_templates():
        environment.get_template(name)


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PrefixLoader(_LOADERS),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        bytecode_cache=_Compiled(),
    )
    environment.globals["static"] = static_url
    for name in ("number", "size", "moment", "day", "compact", "parameters", "percent"):
        environment.filters[name] = _language_filter(name)
    environment.filters["ago"] = _ago
    environment.filters["path"] = lambda text: quote(str(text), safe="/")
    environment.filters["segment"] = lambda text: quote(str(text), safe="")
    return environment


_LOADERS: dict[str, jinja2.BaseLoader] = {"web": jinja2.FileSystemLoader(Path(__file__).parent / "templates")}
i18n.register_texts(Path(__file__).parent / "texts")


def register_pages(prefix: str, folder: Path) -> None:
    """Make a context's ``templates/`` and ``texts/`` known; see the module's docstring."""
    _LOADERS[prefix] = jinja2.FileSystemLoader(folder / "templates")
    i18n.register_texts(folder / "texts")


def _language_filter(name: str) -> Any:
    @jinja2.pass_context
    def apply(context: jinja2.runtime.Context, value: Any) -> str:
        written: str = getattr(context["shell"].language, name)(value)
        return written

    return apply


@jinja2.pass_context
def _ago(context: jinja2.runtime.Context, moment: datetime) -> Markup:
    """How long since, with the exact time one hover away and for programs."""
    language: i18n.Language = context["shell"].language
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        moment.strftime("%Y-%m-%dT%H:%M:%SZ"), language.moment(moment), language.ago(moment)
    )


@dataclass(frozen=True)
class Flash:
    """One message carried over a redirect. ``tone`` is good, warn or bad."""

    key: str
    values: dict[str, Any]
    tone: str


@dataclass(frozen=True)
class Shell:
    """What the frame needs to know: who reads, in which language and theme, and where."""

    request: Request
    language: i18n.Language
    theme: str
    flash: Flash | None

    @property
    def actor(self) -> Actor:
        found: Actor = getattr(self.request.state, "actor", ANONYMOUS)
        return found

    @property
    def site(self) -> Site:
        found: Site = self.request.state.site
        return found

    @property
    def csrf(self) -> str:
        return str(getattr(self.request.state, "csrf", "") or "")

    @cached_property
    def here(self) -> str:
        """The present address, path and query, as a ``next=`` value."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    @property
    def section(self) -> str:
        """The first segment of the path: which entry of the main navigation is current."""
        return self.request.url.path.split("/", 2)[1]

    @property
    def search(self) -> str:
        return self.request.query_params.get("search", "")

    @property
    def other_tongues(self) -> tuple[i18n.Tongue, ...]:
        return tuple(tongue for tongue in i18n.TONGUES if tongue.tag != self.language.tag)

    def switch(self, kind: str, value: str) -> str:
        """The address that sets language or theme and comes back here."""
        return f"/-/{kind}/{value}?next={quote(self.here, safe='')}"


def render(
    request: Request, template: str, page: object, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """``page`` printed by ``template`` inside the frame, in the reader's language."""
    language = i18n.choose_language(request)
    theme = request.cookies.get(THEME_COOKIE, "auto")
    shell = Shell(request, language, theme if theme in THEMES else "auto", _read_flash(request))
    html = (
        _environment()
        .get_template(template)
        .render(page=page, shell=shell, t=language.t, csrf_input=lambda: csrf_input(request), themes=THEMES)
    )
    response = html_response(request, html, status=status, headers=headers)
    response.headers["Content-Language"] = language.tag
    if shell.flash is not None:
        response.delete_cookie(FLASH_COOKIE, path="/")
    return response


def html_response(
    request: Request, html: str, *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """HTML with the headers every page has; compressed when that is understood.

    Cookies are SameSite=Lax, so no other site can make a reader's browser fetch pages of theirs to measure the length.
    """
    body, extra = html.encode(), {**_PAGE_HEADERS, **(headers or {})}
    if len(body) > 1024 and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, 4, mtime=0)
        extra["Content-Encoding"] = "gzip"
    return Response(body, status, media_type="text/html", headers=extra)


def csrf_input(request: Request) -> Markup:
    """The hidden field every POST form carries."""
    return Markup('<input type="hidden" name="csrf" value="{}">').format(getattr(request.state, "csrf", "") or "")


# ---- forms and redirects


class Form:
    """What a form sent: ``form["name"]`` is "" when absent, ``form.all("name")`` every value."""

    def __init__(self, values: Mapping[str, list[str]]) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        found = self._values.get(name)
        return found[-1] if found else ""

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def names(self) -> list[str]:
        return list(self._values)

    def all(self, name: str) -> list[str]:
        return list(self._values.get(name, ()))


async def read_form(request: Request, *, limit_bytes: int = FORM_LIMIT_BYTES, is_carried: bool = False) -> Form:
    """The url-encoded form in the body, after it was found to come from our own page and to ask for an act of its route.

    ``is_carried``: it holds fields of another route's form, which are only handed on.

    Raises:
        ForgedForm: it comes from elsewhere, or without the session's word. BadForm: too many fields.
        PageNotFound: its ``act`` is none that the route declares.
    """
    from headwater.web import parse_form, read_body

    body = getattr(request.state, "form_body", None)  # who authenticated a browser has read it already
    if body is None:
        body = await read_body(request, limit_bytes)
    form = Form(parse_form(body))
    check_origin(request)
    check_csrf(request, form["csrf"])
    if not is_carried:
        check_act(request, form["act"])
    return form


def check_act(request: Request, act: str) -> None:
    """Refuse what the route does not declare: then no line of the access table speaks of it either.

    Raises:
        PageNotFound: it does not.
    """
    if act not in request.state.acts:
        raise PageNotFound


def check_origin(request: Request) -> None:
    """Refuse a write that another site's page sends along with our cookie.

    Raises:
        ForgedForm: it does.
    """
    fetched_from = request.headers.get("sec-fetch-site")
    if fetched_from in ("cross-site", "same-site"):
        raise ForgedForm
    origin = request.headers.get("origin")
    if origin is None or fetched_from == "same-origin":
        return
    site: Site = request.state.site
    if urlsplit(origin).netloc not in (request.headers.get("host"), urlsplit(site.base_url).netloc):
        raise ForgedForm


def check_csrf(request: Request, given: str) -> None:
    """Compare with the session's word; requests without a browser session have none and need none.

    Raises:
        ForgedForm: they differ.
    """
    expected = str(getattr(request.state, "csrf", "") or "")
    if expected and not hmac.compare_digest(expected.encode(), given.encode()):
        raise ForgedForm


def redirect(
    request: Request, url: str, *, flash: str | None = None, tone: str = "good", values: dict[str, Any] | None = None
) -> Response:
    """See other; ``flash`` is a text's key that the next page shows once."""
    response = Response(status_code=303, headers={"Location": as_location(url), "Cache-Control": "no-store"})
    if flash is not None:
        packed = base64.urlsafe_b64encode(json.dumps([flash, values or {}, tone]).encode()).decode()
        signed = f"{packed}.{_sign(request, packed)}"
        response.set_cookie(FLASH_COOKIE, signed, max_age=120, path="/", httponly=True, samesite="lax")
    return response


def as_location(url: str) -> str:
    """``url`` as a header may carry it; what is quoted already stays as it is."""
    return quote(url, safe="/?&=%#:+,;@!$'()*~-._")


def safe_next(url: str | None, default: str = "/") -> str:
    """``url`` if it leads to a page of this site, else ``default``."""
    if not url or not url.startswith("/") or url.startswith(("//", "/\\")) or any(ord(c) < 33 for c in url):
        return default
    return url


def _read_flash(request: Request) -> Flash | None:
    packed, _, signature = request.cookies.get(FLASH_COOKIE, "").partition(".")
    if not packed or not hmac.compare_digest(signature.encode(), _sign(request, packed).encode()):
        return None
    key, values, tone = json.loads(base64.urlsafe_b64decode(packed))
    return Flash(key, values, tone)


def _sign(request: Request, text: str) -> str:
    site: Site = request.state.site
    return hmac.new(site.secret, b"flash\0" + text.encode(), hashlib.sha256).hexdigest()[:32]


# ---- errors


@dataclass(frozen=True)
class ErrorPage:
    """A refusal as a page. Messages are English; ``text`` is set where the reader's language has words for the code."""

    status: int
    title: str
    text: str | None
    message: str
    code: str
    request_id: str
    may_sign_in: bool


# Refusals that a page of its own answers, by code. Contexts add theirs at import.
ANSWERS: dict[str, Callable[[Request, HeadwaterError], Response]] = {}


def error_page(request: Request, error: HeadwaterError) -> Response:
    """The ``page`` dialect of a refusal. Who must sign in first is led there and back."""
    status = status_of(error)
    language = i18n.choose_language(request)
    actor: Actor = getattr(request.state, "actor", ANONYMOUS)
    if error.kind is Kind.NOT_AUTHENTICATED and request.method in ("GET", "HEAD"):
        here = f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path
        return redirect(request, f"/login?next={quote(here, safe='')}")
    if error.code in ANSWERS:
        return ANSWERS[error.code](request, error)
    own = f"error.code.{error.code}"
    page = ErrorPage(
        status=status,
        title=language.t(f"error.kind.{error.kind.value}"),
        text=language.t(own) if language.has(own) else None,
        message=error.message,
        code=error.code,
        request_id=str(getattr(request.state, "request_id", "")),
        may_sign_in=actor.is_anonymous and status in (401, 403, 404),
    )
    return render(request, "web/error.html", page, status=status, headers=error.headers)


DIALECTS = {"page": error_page}


# ---- static files


@dataclass(frozen=True)
class StaticFile:
    """One of our own files under a name that changes with its content, so that it may be kept for ever."""

    name: str
    body: bytes
    packed: bytes
    media_type: str


_MEDIA = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
    ".txt": "text/plain",
}


@lru_cache(maxsize=1)
def static_files() -> dict[str, StaticFile]:
    """Every static file by its plain name."""
    found = {}
    for path in sorted(STATIC.iterdir()):
        media_type = _MEDIA.get(path.suffix)
        if media_type is None:
            continue
        body = path.read_bytes()
        digest = hashlib.sha256(body).hexdigest()[:10]
        packed = gzip.compress(body, 9, mtime=0)
        found[path.name] = StaticFile(f"{path.stem}.{digest}{path.suffix}", body, packed, media_type)
    return found


@lru_cache(maxsize=1)
def _static_by_hashed_name() -> dict[str, StaticFile]:
    return {file.name: file for file in static_files().values()}


def static_url(name: str) -> str:
    return f"/-/static/{static_files()[name].name}"


async def get_static(request: Request) -> Response:
    """``GET /-/static/{name}``: for ever under the hashed name, briefly under the plain one."""
    name = request.path_params["name"]
    file, keep = _static_by_hashed_name().get(name), f"public, max-age={YEAR_S}, immutable"
    if file is None:
        file, keep = static_files().get(name), "public, max-age=300"
    if file is None:
        raise PageNotFound
    headers = {"Cache-Control": keep, "Vary": "Accept-Encoding", "X-Content-Type-Options": "nosniff"}
    if "gzip" in request.headers.get("accept-encoding", "") and len(file.packed) < len(file.body):
        return Response(file.packed, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"})
    return Response(file.body, media_type=file.media_type, headers=headers)


async def get_favicon(_: Request) -> Response:
    """``GET /favicon.ico``: browsers ask without being told to."""
    file = static_files()["mark.svg"]
    return Response(file.body, media_type=file.media_type, headers={"Cache-Control": "public, max-age=86400"})


_NOT_FOR_CRAWLERS = ("/api/", "/-/", "/*/compare/", "/*/resolve/", "/*/raw/", "/*/commit/")


async def get_robots(_: Request) -> Response:
    """``GET /robots.txt``: pages may be read; comparing, raw bytes and forms are not for crawlers."""
    text = "User-agent: *\n" + "".join(f"Disallow: {path}\n" for path in _NOT_FOR_CRAWLERS)
    return Response(text, media_type="text/plain", headers={"Cache-Control": "public, max-age=86400"})


# ---- the reader's own choices


async def choose_tongue(request: Request) -> Response:
    """``GET /-/language/{tag}?next=``: keep the language and go back."""
    return _keep(request, i18n.COOKIE, request.path_params["tag"], {tongue.tag for tongue in i18n.TONGUES})


async def choose_theme(request: Request) -> Response:
    """``GET /-/theme/{theme}?next=``: keep light, dark or the system's choice and go back."""
    return _keep(request, THEME_COOKIE, request.path_params["theme"], set(THEMES))


def _keep(request: Request, cookie: str, value: str, known: set[str]) -> Response:
    if value not in known:
        raise PageNotFound
    response = redirect(request, safe_next(request.query_params.get("next")))
    response.set_cookie(cookie, value, max_age=YEAR_S, path="/", samesite="lax")
    return response


ROUTES = [
    Route("GET", "/-/static/{name}", get_static, Access.PUBLIC),
    Route("GET", "/favicon.ico", get_favicon, Access.PUBLIC),
    Route("GET", "/robots.txt", get_robots, Access.PUBLIC),
    Route("GET", "/-/language/{tag}", choose_tongue, Access.PUBLIC),
    Route("GET", "/-/theme/{theme}", choose_theme, Access.PUBLIC),
]

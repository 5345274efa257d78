"""Endpoints on pages: all of them, one, a new one; and those of a model beside its card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.accounts import Action, Namespace, Role
from headwater.db import Tx
from headwater.hub.models import Repository
from headwater.kernel import Actor, HeadwaterError, utcnow
from headwater.serving import engines, service, usage_store
from headwater.serving.door import log_of
from headwater.serving.models import ACCESSES, TASKS, Endpoint, Served, Standing, State, Used
from headwater.serving.service import Wish
from headwater.serving.supervisor import nudge
from headwater.web import Site, shell

IDLE_CHOICES = (300, 900, 3600, 86_400, 0)
SHOWN_EXCHANGES = 20
_TONES = {
    State.READY: "good",
    State.FAILED: "bad",
    State.BACKING_OFF: "warn",
    State.WAITING: "warn",
    State.STARTING: "water",
}


@dataclass(frozen=True)
class Line:
    endpoint: Endpoint
    standing: Standing
    tone: str

    @property
    def href(self) -> str:
        return f"/endpoints/{self.endpoint.model}"


def line_of(one: Served) -> Line:
    return Line(one.endpoint, one.standing, _TONES.get(one.standing.state, ""))


@dataclass(frozen=True)
class ListPage:
    lines: Sequence[Line]
    is_signed_in: bool


@dataclass(frozen=True)
class Kept:
    person: str
    at: datetime
    request: str
    answer: str


@dataclass(frozen=True)
class EndpointPage:
    line: Line
    shows_model: bool
    base_url: str
    may_ask: bool
    may_write: bool
    may_admin: bool
    day: Used
    log: str
    kept: Sequence[Kept]
    idle_choices: Sequence[int]
    problem: HeadwaterError | None = None


@dataclass(frozen=True)
class NewPage:
    """``typed`` is what stands in the form."""

    namespaces: Sequence[Namespace]
    engines: Sequence[str]
    tasks: Sequence[str]
    accesses: Sequence[str]
    idle_choices: Sequence[int]
    typed: dict[str, str]
    problem: HeadwaterError | None = None


@dataclass(frozen=True)
class ModelSection:
    repo: Repository
    lines: Sequence[Line]


def load_section(tx: Tx, actor: Actor, repo: Repository) -> ModelSection | None:
    """What serves this model, and the way to serve it."""
    lines = [line_of(one) for one in service.list_visible(tx, actor, repo_id=repo.id)]
    if not lines and (actor.is_anonymous or repo.head_commit is None):
        return None
    return ModelSection(repo, lines)


async def show_list(request: Request) -> Response:
    """``GET /endpoints``."""
    found = await web.read_tx(request, service.list_visible)
    signed_in = not web.actor_of(request).is_anonymous
    return shell.render(request, "serving/list.html", ListPage([line_of(one) for one in found], signed_in))


async def show_new(request: Request) -> Response:
    """``GET /endpoints/new?model=&revision=``."""
    asked = request.query_params
    typed = {
        "model": asked.get("model", ""),
        "revision": asked.get("revision", ""),
        "context_tokens": str(service.DEFAULT_CONTEXT),
        "slots": str(service.DEFAULT_SLOTS),
        "idle_s": str(service.DEFAULT_IDLE_S),
        "access": "members",
        "task": "generate",
    }
    return shell.render(request, "serving/new.html", await web.read_tx(request, _load_new, request, typed))


def _load_new(
    tx: Tx, actor: Actor, request: Request, typed: dict[str, str], problem: HeadwaterError | None = None
) -> NewPage:
    """Raises: NotSignedIn."""
    accounts.get_self(tx, actor)
    spaces = [space for space in accounts.namespaces_of(tx, actor) if space.role >= Role.WRITE]
    here = list(engines.available(web.site_of(request).settings))
    return NewPage(spaces, here, TASKS, ACCESSES, IDLE_CHOICES, typed, problem)


async def create(request: Request) -> Response:
    """``POST /endpoints/new``."""
    form = await shell.read_form(request)
    names = (
        "model",
        "revision",
        "owner",
        "name",
        "file",
        "engine",
        "task",
        "access",
        "context_tokens",
        "slots",
        "idle_s",
    )
    typed = {name: form[name].strip() for name in names}
    try:
        made = await web.call(request, service.create, _wish_of(typed), now=utcnow())
    except HeadwaterError as problem:
        if problem.code in ("not_signed_in", "forged_form"):
            raise
        page = await web.read_tx(request, _load_new, request, typed, problem)
        return shell.render(request, "serving/new.html", page, status=web.status_of(problem))
    nudge(web.site_of(request).data_dir)
    return shell.redirect(request, f"/endpoints/{made.endpoint.model}", flash="endpoint.flash_created")


def _wish_of(typed: dict[str, str]) -> Wish:
    def number(name: str, default: int) -> int:
        text = typed[name]
        if not text:
            return default
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else -1

    return Wish(
        model=typed["model"],
        revision=typed["revision"] or None,
        owner=typed["owner"] or None,
        name=typed["name"] or None,
        file=typed["file"] or None,
        engine=typed["engine"],
        task=typed["task"] or "generate",
        access=typed["access"] or "members",
        context_tokens=number("context_tokens", service.DEFAULT_CONTEXT),
        slots=number("slots", service.DEFAULT_SLOTS),
        idle_s=number("idle_s", service.DEFAULT_IDLE_S),
    )


async def show(request: Request) -> Response:
    """``GET /endpoints/{ns}/{name}``."""
    return shell.render(request, "serving/endpoint.html", await web.call(request, load, request))


def load(site: Site, actor: Actor, request: Request, problem: HeadwaterError | None = None) -> EndpointPage:
    """Raises: EndpointNotFound."""
    owner, name = request.path_params["ns"], request.path_params["name"]
    now = utcnow()
    with site.db.reading() as tx:
        found = service.get(tx, actor, owner, name)
        one = found.endpoint
        may_write, may_admin = service.may_change(tx, actor, one), service.may_change(tx, actor, one, Action.ADMIN)
        kept = usage_store.list_exchanges(tx, one.id, limit=SHOWN_EXCHANGES) if may_admin and one.keeps_contents else []
        page = EndpointPage(
            line=line_of(found),
            shows_model=service.may_see_model(tx, actor, one),
            base_url=site.base_url,
            may_ask=accounts.allows(tx, actor, Action.INFER, on=one.resource),
            may_write=may_write,
            may_admin=may_admin,
            day=usage_store.sums_of(tx, one.id, since=int((now - timedelta(days=1)).timestamp()) // 60),
            log="",
            kept=[Kept(*each) for each in kept],
            idle_choices=IDLE_CHOICES,
            problem=problem,
        )
    if not may_write:
        return page
    return EndpointPage(**{**vars(page), "log": log_of(site, actor, owner, name)})


async def act(request: Request) -> Response:
    """``POST /endpoints/{ns}/{name}``: start, stop, change or delete."""
    form = await shell.read_form(request)
    owner, name, now = request.path_params["ns"], request.path_params["name"], utcnow()
    here, flash = f"/endpoints/{owner}/{name}", f"endpoint.flash_{form['act']}"
    try:
        match form["act"]:
            case "start":
                await web.write_tx(request, service.start, owner, name, now=now)
            case "stop":
                await web.write_tx(request, service.stop, owner, name, now=now)
            case "change":
                idle = form["idle_s"]
                values = {
                    "access": form["access"],
                    "idle_s": int(idle) if idle.isascii() and idle.isdigit() and len(idle) <= 9 else -1,
                    "keeps_contents": form["keeps_contents"] == "1",
                }
                await web.write_tx(request, service.change, owner, name, values, now=now)
            case "delete":
                if form["confirm"] != f"{owner}/{name}":
                    return shell.redirect(request, here, flash="endpoint.flash_not_deleted", tone="warn")
                await web.write_tx(request, service.delete, owner, name, now=now)
                here = "/endpoints"
            case _:
                raise shell.PageNotFound
    except HeadwaterError as problem:
        if problem.code != "bad_endpoint":
            raise
        page = await web.call(request, load, request, problem)
        return shell.render(request, "serving/endpoint.html", page, status=web.status_of(problem))
    nudge(web.site_of(request).data_dir)
    return shell.redirect(request, here, flash=flash)

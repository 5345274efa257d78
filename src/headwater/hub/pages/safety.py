"""What the gate holds back: on a file's page, of one repository, and the queues of owners and administrators."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.accounts import Action
from headwater.accounts import pages as account_pages
from headwater.db import Tx
from headwater.hub import gate
from headwater.hub.gate import Found, HeldFile, Security, Status
from headwater.hub.models import Repository
from headwater.hub.pages import addresses
from headwater.hub.pages.doors import leads_on
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.hub.pages.talk import SHOWN_AGAIN
from headwater.kernel import Actor, HeadwaterError, utcnow
from headwater.web import Access, Route, shell

OWN, ADMIN = "/settings/held", "/admin/held"
PER_PAGE = 50
account_pages.OWN_TABS.append((OWN, "safety.tab"))
account_pages.ADMIN_TABS.append((ADMIN, "safety.tab"))


@dataclass(frozen=True)
class Why:
    """One reason as it is shown; ``text`` and ``advice_text`` name its words, for languages that have them."""

    rule: str
    version: int
    text: str
    says: str
    advice: str
    advice_text: str
    is_refused: bool
    where: str
    offset: int | None
    what: str


@dataclass(frozen=True)
class Row:
    """One held file. ``key`` goes into forms; ``second`` is another scanner's word, if one was asked."""

    path: str
    href: str
    status: Status
    pull: int
    content: str
    role: str
    why: Sequence[Why]
    imports: Sequence[str]
    second: str
    noted_at: datetime
    release: Any
    is_released: bool
    repo: str = ""
    repo_href: str = ""


@dataclass(frozen=True)
class SafetyPage:
    """``problem`` is why a release was refused; ``typed`` what had been written, for the file ``at``."""

    head: Head
    is_done: bool
    rows: Sequence[Row]
    problem: HeadwaterError | None = None
    at: str = ""
    typed: str = ""


@dataclass(frozen=True)
class QueuePage:
    tabs: Sequence[tuple[str, str]]
    is_everywhere: bool
    rows: Sequence[Row]
    next_href: str | None


@dataclass(frozen=True)
class Panel:
    """What a file's own page says of it."""

    status: Status
    why: Sequence[Why]
    imports: Sequence[str]
    second: str
    is_released: bool
    is_shut: bool  # this reader does not get it, or not without a step
    accept_href: str  # the step
    safety_href: str


def why_of(findings: Sequence[Found]) -> list[Why]:
    return [
        Why(
            rule=found.rule,
            version=found.version,
            text=f"safety.rule.{found.rule.replace('.', '_').replace('-', '_')}",
            says=found.says,
            advice=found.advice,
            advice_text=f"safety.advice.{found.rule.partition('.')[0]}",
            is_refused=found.verdict == "refused",
            where=found.member,
            offset=found.offset,
            what=found.what,
        )
        for found in findings
    ]


def strangers(imports: Sequence[tuple[str, str, bool]]) -> list[str]:
    """Names that a pickle imports and that are not on the list of harmless ones."""
    return [f"{module}.{name}" for module, name, is_allowed in imports if not is_allowed]


def panel_of(repo: Repository, security: Security, *, is_shut: bool, resolve_href: str) -> Panel:
    verdict = security.verdict
    return Panel(
        status=security.status,
        why=why_of(verdict.findings if verdict is not None else ()),
        imports=strangers(verdict.imports if verdict is not None else ()),
        second=_second(verdict.second if verdict is not None else None),
        is_released=security.is_released,
        is_shut=is_shut,
        accept_href=addresses.with_query(resolve_href, accept="suspicious", download="true"),
        safety_href=addresses.of(repo, "safety"),
    )


def load(
    tx: Tx, actor: Actor, request: Request, problem: HeadwaterError | None = None, at: str = "", typed: str = ""
) -> SafetyPage:
    """Raises: RepositoryNotFound, Moved."""
    kind, name = name_of(request)
    head = find_head(tx, actor, kind, name, "files")
    _, held = gate.list_held(tx, actor, kind, name)
    security = gate.repository_security(tx, head.repo.id)
    return SafetyPage(head, security.is_done, [_row(head.repo, each) for each in held], problem, at, typed)


def _row(repo: Repository, held: HeldFile, *, with_name: bool = False) -> Row:
    hold = held.hold
    revision = f"refs/pr/{hold.pull}" if hold.pull else repo.default_branch
    return Row(
        path=hold.path,
        href=addresses.at(repo, "blob", revision, hold.path),
        status=hold.status,
        pull=hold.pull,
        content=hold.content,
        role=hold.role,
        why=why_of(held.findings),
        imports=strangers(held.imports),
        second=_second(held.second),
        noted_at=held.noted_at,
        release=held.release,
        is_released=held.is_released,
        repo=str(repo.name) if with_name else "",
        repo_href=addresses.of(repo, "safety"),
    )


def _second(opinion: Any) -> str:
    return f"{opinion.get('scanner', '')}: {opinion.get('verdict', '')}" if opinion else ""


@leads_on
async def show(request: Request) -> Response:
    """``GET …/safety``."""
    return shell.render(request, "hub/safety.html", await web.read_tx(request, load, request))


@leads_on
async def change(request: Request) -> Response:
    """``POST …/safety``: release a held file with a reason, or hold a released one again."""
    form = await shell.read_form(request)
    (kind, name), key = name_of(request), (form["content"], form["role"])
    try:
        if form["act"] == "release":
            await web.write_tx(request, gate.release, kind, name, key, form["reason"], now=utcnow())
        elif form["act"] == "withdraw":
            await web.write_tx(request, gate.withdraw, kind, name, key, now=utcnow())
        else:
            raise shell.PageNotFound
    except HeadwaterError as problem:
        if problem.kind not in SHOWN_AGAIN:
            raise
        page = await web.read_tx(request, load, request, problem, form["content"], form["reason"])
        return shell.render(request, "hub/safety.html", page, status=web.status_of(problem))
    return shell.redirect(request, request.url.path, flash=f"safety.done_{form['act']}")


def load_queue(tx: Tx, actor: Actor, request: Request) -> QueuePage:
    """Raises: NotSignedIn, NotAllowed, BadCursor."""
    everywhere = request.url.path == ADMIN
    if everywhere:
        accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    page = gate.list_queue(tx, actor, everywhere=everywhere, cursor=request.query_params.get("cursor"), limit=PER_PAGE)
    return QueuePage(
        tabs=account_pages.ADMIN_TABS if everywhere else account_pages.OWN_TABS,
        is_everywhere=everywhere,
        rows=[_row(repo, held, with_name=True) for repo, held in page.items],
        next_href=f"{request.url.path}?cursor={page.cursor}" if page.cursor else None,
    )


async def show_queue(request: Request) -> Response:
    """``GET /settings/held`` and ``GET /admin/held``."""
    page = await web.read_tx(request, load_queue, request)
    return shell.render(request, "hub/held_site.html" if page.is_everywhere else "hub/held_own.html", page)


ROUTES = [
    Route("GET", OWN, show_queue, Access.SELF),
    Route("GET", ADMIN, show_queue, Access.SITE_ADMIN),
]

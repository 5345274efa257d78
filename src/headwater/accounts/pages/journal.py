"""Logs that are for few: an account's own, and an organisation's for its administrators, which can be taken away as a file."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from headwater import web
from headwater.accounts.errors import AccountNotFound, NotAnOrganisation
from headwater.accounts.models import Account, AccountEvent
from headwater.accounts.pages.frame import OWN_TABS, describe_browser
from headwater.accounts.service import audit, journal
from headwater.accounts.service.audit import AuditLine
from headwater.db import Tx
from headwater.kernel import Actor, Page, to_iso, utcnow
from headwater.web import content_disposition, shell

PER_PAGE, PER_STEP = 50, 500
FORMATS = {"csv": "text/csv; charset=utf-8", "json": "application/json", "jsonl": "application/x-ndjson"}
COLUMNS = ("at", "actor", "act", "subject", "facts", "entry")
# What spreadsheets take for the beginning of a formula: such a cell gets an apostrophe, as they do themselves.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class OwnLogPage:
    tabs: Sequence[tuple[str, str]]
    events: Sequence[AccountEvent]
    n_alerts: int
    next_href: str | None

    def describe(self, event: AccountEvent) -> str:
        return describe_browser(event.user_agent)

    @property
    def latest(self) -> int:
        return max((event.id for event in self.events), default=0)


@dataclass(frozen=True)
class AuditPage:
    org: Account
    lines: Sequence[AuditLine]
    next_href: str | None

    def facts(self, line: AuditLine) -> list[tuple[str, str]]:
        return [
            (name, value if isinstance(value, str) else orjson.dumps(value).decode())
            for name, value in line.facts.items()
            if value is not None and name != "repo_id"
        ]


async def show_own(request: Request) -> Response:
    """``GET /settings/log?cursor=``."""
    return shell.render(request, "accounts/own_log.html", await web.read_tx(request, _load_own, request))


async def mark_own(request: Request) -> Response:
    """``POST /settings/log``: the alerts up to the line that was shown were looked at."""
    form = await shell.read_form(request)
    number = form["up_to"]
    if number.isascii() and number.isdigit() and len(number) < 10:
        await web.write_tx(request, journal.mark_seen, up_to=int(number), now=utcnow())
    return shell.redirect(request, "/settings/log")


async def show_audit(request: Request) -> Response:
    """``GET /organizations/{org}/audit?cursor=``."""
    org, page = await web.read_tx(request, _load_audit, request, request.query_params.get("cursor"), PER_PAGE)
    next_href = f"/organizations/{org.name}/audit?cursor={page.cursor}" if page.cursor else None
    return shell.render(request, "accounts/audit.html", AuditPage(org, page.items, next_href))


async def export_audit(request: Request) -> Response:
    """``GET /organizations/{org}/audit/export/{format}``: all of it, newest first, as it is read."""
    kind = request.path_params["format"]
    org, first = await web.read_tx(request, _load_audit, request, None, PER_STEP)
    write = {"csv": _as_csv, "json": _as_json, "jsonl": _as_lines}[kind]
    headers = {
        "Content-Disposition": content_disposition(f"{org.name}-audit.{kind}", inline=False),
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(write(_steps(request, first)), media_type=FORMATS[kind], headers=headers)


async def _steps(request: Request, page: Page[AuditLine]) -> AsyncIterator[Sequence[AuditLine]]:
    """Each a snapshot of its own, in which the right is asked for again: an export may take long."""
    while True:
        yield page.items
        if page.cursor is None:
            return
        _, page = await web.read_tx(request, _load_audit, request, page.cursor, PER_STEP)


async def _as_csv(steps: AsyncIterator[Sequence[AuditLine]]) -> AsyncIterator[bytes]:
    yield (",".join(COLUMNS) + "\r\n").encode()
    async for lines in steps:
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        for line in lines:
            values = _values(line)
            facts = orjson.dumps(values["facts"], option=orjson.OPT_SORT_KEYS).decode()
            writer.writerow([_harmless(str(value)) for value in ({**values, "facts": facts}).values()])
        yield text.getvalue().encode()


async def _as_json(steps: AsyncIterator[Sequence[AuditLine]]) -> AsyncIterator[bytes]:
    between = b"[\n"
    async for lines in steps:
        for line in lines:
            yield between + orjson.dumps(_values(line))
            between = b",\n"
    yield b"\n]\n" if between == b",\n" else b"[]\n"


async def _as_lines(steps: AsyncIterator[Sequence[AuditLine]]) -> AsyncIterator[bytes]:
    async for lines in steps:
        yield b"".join(orjson.dumps(_values(line)) + b"\n" for line in lines)


def _values(line: AuditLine) -> dict[str, object]:
    return {
        "at": to_iso(line.at),
        "actor": line.actor,
        "act": line.kind,
        "subject": line.subject,
        "facts": line.facts,
        "entry": line.number,
    }


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _load_own(tx: Tx, actor: Actor, request: Request) -> OwnLogPage:
    page = journal.list_own(tx, actor, cursor=request.query_params.get("cursor"), limit=PER_PAGE)
    n_alerts = 0 if actor.account_id is None else journal.count_alerts(tx, actor.account_id)
    next_href = f"/settings/log?cursor={page.cursor}" if page.cursor else None
    return OwnLogPage(OWN_TABS, page.items, n_alerts, next_href)


def _load_audit(
    tx: Tx, actor: Actor, request: Request, cursor: str | None, limit: int
) -> tuple[Account, Page[AuditLine]]:
    try:
        return audit.list_lines(tx, actor, request.path_params["org"], cursor=cursor, limit=limit)
    except (AccountNotFound, NotAnOrganisation) as exc:
        raise shell.PageNotFound from exc

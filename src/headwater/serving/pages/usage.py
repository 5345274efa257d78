"""What was used, on a page: by day, model, person and key; and the limits of one's own keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.accounts import Account, Namespace, Role, TokenInfo
from headwater.accounts import pages as account_pages
from headwater.db import Tx
from headwater.kernel import Actor, HeadwaterError, utcnow
from headwater.serving import usage, usage_store
from headwater.serving.models import Limits, Used
from headwater.serving.settings import ServingSettings
from headwater.web import shell

ADDRESS = "/settings/usage"
DAYS = (1, 7, 30, 365)
MOST_ROWS = 500


@dataclass(frozen=True)
class Row:
    day: datetime
    model: str
    person: str
    token: str
    used: Used


@dataclass(frozen=True)
class KeyLine:
    info: TokenInfo
    limits: Limits | None


@dataclass(frozen=True)
class UsagePage:
    tabs: Sequence[tuple[str, str]]
    account: Account
    spaces: Sequence[Namespace]
    days: int
    choices: Sequence[int]
    rows: Sequence[Row]
    has_more: bool
    total: Used  # of all, shown or not
    csv_href: str
    keys: Sequence[KeyLine]
    own: Limits | None  # of all who ask this account's endpoints
    site_limits: Limits
    names: Sequence[str] = usage.LIMIT_NAMES
    problem: HeadwaterError | None = None


async def show(request: Request) -> Response:
    """``GET /settings/usage?of=&days=``."""
    return shell.render(request, "serving/usage.html", await web.read_tx(request, _load, request))


def _load(tx: Tx, actor: Actor, request: Request, problem: HeadwaterError | None = None) -> UsagePage:
    """Raises: NotSignedIn, AccountNotFound, NotAllowed."""
    asked, me = request.query_params, accounts.get_self(tx, actor)
    account = accounts.get_account(tx, asked.get("of") or me.name)
    chosen = asked.get("days", "")
    days = int(chosen) if chosen in {str(each) for each in DAYS} else usage.DEFAULT_DAYS
    now = utcnow()
    lines = usage.list_newest(tx, actor, account.name, days=days, by_s=86_400, now=now, limit=MOST_ROWS + 1)
    rows = [
        Row(datetime.fromtimestamp(line.moment, UTC), line.model, line.person, line.token or "", line.used)
        for line in lines[:MOST_ROWS]
    ]
    keys: list[KeyLine] = []
    if account.id == me.id:
        mine = [one for one in accounts.list_tokens(tx, actor) if one.role in ("infer", "write", "admin", "fine")]
        found = usage_store.limits_of(tx, [(usage_store.TOKEN, one.id) for one in mine])
        keys = [KeyLine(one, found.get((usage_store.TOKEN, one.id))) for one in mine]
    own = web.site_of(request).settings.of(ServingSettings)
    return UsagePage(
        tabs=account_pages.OWN_TABS,
        account=account,
        spaces=[space for space in accounts.namespaces_of(tx, actor) if space.role >= Role.ADMIN],
        days=days,
        choices=DAYS,
        rows=rows,
        has_more=len(lines) > MOST_ROWS,
        total=usage.total(tx, actor, account.name, days=days, now=now),
        csv_href="/api/v1/serving/usage?" + urlencode({"of": account.name, "days": days, "format": "csv"}),
        keys=keys,
        own=usage.get_limits(tx, actor, usage_store.OWNER, account.name),
        site_limits=Limits(own.requests_per_minute, own.requests_per_day, own.tokens_per_minute, own.tokens_per_day),
        problem=problem,
    )


async def set_limits(request: Request) -> Response:
    """``POST /settings/usage``: the limits of one key, or of all who ask an owner; all fields empty take them back."""
    form = await shell.read_form(request)
    texts = {name: form[name].strip() for name in usage.LIMIT_NAMES}
    values: dict[str, object] | None = None
    if any(texts.values()):
        values = {
            name: int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else (text or 0)
            for name, text in texts.items()
        }
    try:
        subject = usage_store.OWNER if form["owner"] else usage_store.TOKEN
        name = form["owner"] or form["token"]
        await web.write_tx(request, usage.set_limits, subject, name, values, now=utcnow())
    except HeadwaterError as problem:
        if problem.code != "bad_endpoint":
            raise
        page = await web.read_tx(request, _load, request, problem)
        return shell.render(request, "serving/usage.html", page, status=web.status_of(problem))
    here = f"{ADDRESS}?{urlencode({'of': form['owner']})}" if form["owner"] else ADDRESS
    return shell.redirect(request, here, flash="usage.flash_limits")

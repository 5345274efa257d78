"""Pages of a person's webhooks: the list, one with what was sent lately, and the forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts.pages import OWN_TABS
from headwater.db import Tx
from headwater.hub.community import webhooks
from headwater.hub.community.errors import BadWebhook
from headwater.hub.community.models import Delivery, Webhook
from headwater.hub.community.webhooks import DOMAINS, WebhookFields
from headwater.hub.pages.talk import SHOWN_AGAIN
from headwater.kernel import Actor, HeadwaterError, Kind, utcnow
from headwater.web import Access, Route, shell

AT = "/settings/webhooks"
KINDS = ("user", "org", "model", "dataset", "space")
SHOWN_DELIVERIES = 50


@dataclass(frozen=True)
class Typed:
    """What stands in the form."""

    url: str
    watched: str
    domains: Sequence[str]
    secret: str


@dataclass(frozen=True)
class WebhooksPage:
    hooks: Sequence[Webhook]
    typed: Typed
    problem: HeadwaterError | None = None

    @property
    def tabs(self) -> Sequence[tuple[str, str]]:
        return OWN_TABS


@dataclass(frozen=True)
class WebhookPage:
    hook: Webhook
    href: str
    deliveries: Sequence[Delivery]
    typed: Typed
    problem: HeadwaterError | None = None

    @property
    def tabs(self) -> Sequence[tuple[str, str]]:
        return OWN_TABS


OWN_TABS.append((AT, "webhook.title_many"))

EMPTY = Typed("", "", DOMAINS, "")


async def show_list(request: Request) -> Response:
    """``GET /settings/webhooks``."""
    return shell.render(request, "hub/webhooks.html", await web.read_tx(request, load_list, EMPTY, None))


def load_list(tx: Tx, actor: Actor, typed: Typed, problem: HeadwaterError | None) -> WebhooksPage:
    return WebhooksPage(webhooks.list_webhooks(tx, actor), typed, problem)


async def create(request: Request) -> Response:
    """``POST /settings/webhooks``."""
    typed = _typed(await shell.read_form(request))
    try:
        hook = await web.write_tx(request, webhooks.create_webhook, _fields(typed), now=utcnow())
    except HeadwaterError as problem:
        if problem.kind not in (*SHOWN_AGAIN, Kind.NOT_FOUND):
            raise
        page = await web.read_tx(request, load_list, typed, problem)
        return shell.render(request, "hub/webhooks.html", page, status=web.status_of(problem))
    return shell.redirect(request, f"{AT}/{hook.public_id}", flash="webhook.flash_created")


async def show_one(request: Request) -> Response:
    """``GET /settings/webhooks/{id}``."""
    page = await web.read_tx(request, load_one, request.path_params["id"], None, None)
    return shell.render(request, "hub/webhook.html", page)


def load_one(tx: Tx, actor: Actor, public_id: str, typed: Typed | None, problem: HeadwaterError | None) -> WebhookPage:
    """Raises: WebhookNotFound."""
    hook = webhooks.get_webhook(tx, actor, public_id)
    deliveries = webhooks.list_deliveries(tx, actor, public_id, limit=SHOWN_DELIVERIES)
    if typed is None:
        watched = "\n".join(f"{item.kind}: {item.name}" for item in hook.watched)
        typed = Typed(hook.url, watched, hook.domains, hook.secret or "")
    return WebhookPage(hook, f"{AT}/{hook.public_id}", deliveries, typed, problem)


async def change(request: Request) -> Response:
    """``POST /settings/webhooks/{id}``: the form's ``act`` says what."""
    form = await shell.read_form(request)
    public_id, doing = request.path_params["id"], form["act"]
    typed = _typed(form)
    try:
        if doing == "update":
            await web.write_tx(request, webhooks.update_webhook, public_id, _fields(typed))
        elif doing in ("enable", "disable"):
            await web.write_tx(request, webhooks.set_enabled, public_id, enabled=doing == "enable")
        elif doing == "again":
            await web.write_tx(request, webhooks.send_again, public_id, form["delivery"], now=utcnow())
        elif doing == "delete":
            await web.write_tx(request, webhooks.delete_webhook, public_id)
            return shell.redirect(request, AT, flash="webhook.flash_deleted")
        else:
            raise shell.PageNotFound
    except HeadwaterError as problem:
        if doing != "update" or problem.kind not in (*SHOWN_AGAIN, Kind.NOT_FOUND):
            raise
        page = await web.read_tx(request, load_one, public_id, typed, problem)
        return shell.render(request, "hub/webhook.html", page, status=web.status_of(problem))
    return shell.redirect(request, f"{AT}/{public_id}", flash=f"webhook.flash_{doing}")


def _typed(form: shell.Form) -> Typed:
    return Typed(form["url"].strip(), form["watched"], form.all("domains"), form["secret"])


def _fields(typed: Typed) -> WebhookFields:
    return WebhookFields(url=typed.url, watched=_watched(typed.watched), domains=typed.domains, secret=typed.secret)


def _watched(text: str) -> list[tuple[str, str]]:
    """One thing a line: ``model: ns/name``, ``user: name``; a name alone is a person, with a slash a model."""
    found = []
    for line in text.splitlines():
        words = line.replace(":", " ").split()
        if not words:
            continue
        if len(words) == 1:
            words = ["model" if "/" in words[0] else "user", words[0]]
        if len(words) != 2 or words[0] not in KINDS:
            raise BadWebhook(
                f"{line[:200]!r} is not understood. Write, for instance, `model: ada/river` or `org: lab`."
            )
        found.append((words[0], words[1]))
    return found


ROUTES = [
    Route("GET", AT, show_list, Access.SELF),
    Route("POST", AT, create, Access.SELF),
    Route("GET", f"{AT}/{{id}}", show_one, Access.SELF),
    Route("POST", f"{AT}/{{id}}", change, Access.SELF, acts=("update", "enable", "disable", "again", "delete")),
]

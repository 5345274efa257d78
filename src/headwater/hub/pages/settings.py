"""A repository's settings: who may see it, its name, who asked for access, and its end. One act each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.accounts import AccessRequest, Action, Namespace, Role
from headwater.db import Tx
from headwater.hub import repos
from headwater.hub.community import gates
from headwater.hub.models import RepoName, Repository
from headwater.hub.pages.doors import leads_on
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.hub.pages.store import list_branches
from headwater.kernel import Actor, HeadwaterError, Kind, utcnow
from headwater.web import shell

GATES = ("", "auto", "manual")


@dataclass(frozen=True)
class SettingsPage:
    """``problem`` belongs to the form named ``form``."""

    head: Head
    owners: Sequence[Namespace]
    branches: Sequence[str]
    n_pending: int
    form: str = ""
    problem: HeadwaterError | None = None


@dataclass(frozen=True)
class AccessPage:
    """Requests for a gated repository's files, of one status."""

    head: Head
    status: str
    requests: Sequence[AccessRequest]
    next_href: str | None
    problem: HeadwaterError | None = None


class NotConfirmed(HeadwaterError):
    """A dangerous act without the thing's name typed out."""

    code = "not_confirmed"
    kind = Kind.BAD_INPUT

    def __init__(self, name: str) -> None:
        super().__init__(f"Type {name} exactly to confirm. Nothing was changed.")


def load(tx: Tx, actor: Actor, request: Request, form: str = "", problem: HeadwaterError | None = None) -> SettingsPage:
    """Raises: RepositoryNotFound, Moved, NotSignedIn, NotAllowed."""
    kind, name = name_of(request)
    head = find_head(tx, actor, kind, name, "settings", Action.ADMIN)
    owners = [space for space in accounts.namespaces_of(tx, actor) if space.role >= Role.CONTRIBUTE]
    n_pending = len(gates.list_requests(tx, actor, kind, name, "pending").items) if head.repo.gated else 0
    return SettingsPage(head, owners, list_branches(tx, head.repo), n_pending, form, problem)


@leads_on
async def show(request: Request) -> Response:
    """``GET …/settings``."""
    page = await web.read_tx(request, load, request)
    return shell.render(request, "hub/settings.html", page)


async def change(request: Request) -> Response:
    """``POST …/settings``: the form's ``act`` says what; a refusal is shown beside that form."""
    form = await shell.read_form(request)
    act = form["act"]
    try:
        repo = await web.write_tx(request, _change, request, act, form)
    except HeadwaterError as problem:
        if problem.kind not in (Kind.BAD_INPUT, Kind.CONFLICT, Kind.UNPROCESSABLE):
            raise
        page = await web.read_tx(request, load, request, act, problem)
        return shell.render(request, "hub/settings.html", page, status=web.status_of(problem))
    if act == "delete":
        return shell.redirect(
            request, f"/{repo.name.namespace}", flash="settings.flash_deleted", values={"name": str(repo.name)}
        )
    return shell.redirect(request, f"/{repo.path}/settings", flash=f"settings.flash_{act}")


def _change(tx: Tx, actor: Actor, request: Request, act: str, form: shell.Form) -> Repository:
    kind, name = name_of(request)
    now = utcnow()
    if act == "visibility":
        values = repos.Settings(is_private=form["visibility"] == "private")
        return repos.change_settings(tx, actor, kind, name, values, now=now)
    if act == "gate":
        gated = form["gated"] if form["gated"] in GATES else ""
        return repos.change_settings(tx, actor, kind, name, repos.Settings(gated=gated), now=now)
    if act == "branch":
        values = repos.Settings(default_branch=form["branch"])
        return repos.change_settings(tx, actor, kind, name, values, now=now)
    if act == "move":
        target = RepoName(form["owner"], form["name"].strip())
        return repos.move_repository(tx, actor, kind, name, target, now=now)
    if act == "delete":
        if form["confirm"].strip() != str(name):
            raise NotConfirmed(str(name))
        return repos.delete_repository(tx, actor, kind, name, reason=form["reason"], now=now)
    raise shell.PageNotFound


def load_access(tx: Tx, actor: Actor, request: Request) -> AccessPage:
    """Raises: RepositoryNotFound, Moved, NotSignedIn, NotAllowed."""
    kind, name = name_of(request)
    head = find_head(tx, actor, kind, name, "settings", Action.ADMIN)
    status = request.query_params.get("status", "pending")
    status = status if status in ("pending", "accepted", "rejected") else "pending"
    page = gates.list_requests(tx, actor, kind, name, status, cursor=request.query_params.get("cursor"))
    next_href = f"/{head.repo.path}/settings/access?status={status}&cursor={page.cursor}" if page.cursor else None
    return AccessPage(head, status, page.items, next_href)


@leads_on
async def show_access(request: Request) -> Response:
    """``GET …/settings/access?status=``."""
    page = await web.read_tx(request, load_access, request)
    return shell.render(request, "hub/access.html", page)


async def change_access(request: Request) -> Response:
    """``POST …/settings/access``: accept or reject a request, or let somebody in by name."""
    form = await shell.read_form(request)
    kind, name = name_of(request)
    user, act, now = form["user"].strip(), form["act"], utcnow()
    if act == "grant":
        await web.write_tx(request, gates.grant_access, kind, name, user, now=now)
    elif act in ("accepted", "rejected", "pending"):
        reason = form["reason"].strip() or None
        await web.write_tx(request, gates.handle_request, kind, name, status=act, user=user, reason=reason, now=now)
    else:
        raise shell.PageNotFound
    return shell.redirect(
        request,
        f"{request.url.path}?status={form['status'] or 'pending'}",
        flash=f"access.flash_{act}",
        values={"name": user},
    )


async def ask_access(request: Request) -> Response:
    """``POST …/request-access``: ask for a gated repository's files."""
    await shell.read_form(request)
    kind, name = name_of(request)
    found = await web.write_tx(request, gates.request_access, kind, name, answers={}, now=utcnow())
    flash = "gate.flash_granted" if found.status == "accepted" else "gate.flash_asked"
    return shell.redirect(request, f"/{kind.url_prefix}{name}", flash=flash)

"""Making a repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.accounts import Namespace, Role
from headwater.db import Tx
from headwater.hub import repos, uploads
from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import Actor, HeadwaterError, Kind
from headwater.web import Site, i18n, shell

# What most people choose from, by SPDX-like id as cards write them; a card may name any other.
LICENCES = (
    "apache-2.0",
    "mit",
    "bsd-3-clause",
    "mulanpsl-2.0",
    "openrail",
    "gpl-3.0",
    "agpl-3.0",
    "cc-by-4.0",
    "cc-by-sa-4.0",
    "cc-by-nc-4.0",
    "cc0-1.0",
    "odc-by",
    "odbl",
)
SDKS = ("static", "gradio", "docker")


@dataclass(frozen=True)
class Typed:
    """What the form holds."""

    owner: str = ""
    name: str = ""
    visibility: str = "public"
    licence: str = ""
    sdk: str = "static"


@dataclass(frozen=True)
class NewPage:
    kind: RepoKind
    owners: Sequence[Namespace]
    licences: Sequence[str]
    sdks: Sequence[str]
    typed: Typed
    problem: HeadwaterError | None = None


def load(tx: Tx, actor: Actor, kind: RepoKind, typed: Typed, problem: HeadwaterError | None = None) -> NewPage:
    """Raises: NotSignedIn."""
    if actor.is_anonymous:
        raise accounts.NotSignedIn
    owners = [space for space in accounts.namespaces_of(tx, actor) if space.role >= Role.CONTRIBUTE]
    return NewPage(kind, owners, LICENCES, SDKS, typed, problem)


def _kind(request: Request) -> RepoKind:
    return RepoKind(request.path_params.get("kind") or "model")


async def show(request: Request) -> Response:
    """``GET /new/{kind}?owner=&name=``."""
    typed = Typed(owner=request.query_params.get("owner", ""), name=request.query_params.get("name", ""))
    page = await web.read_tx(request, load, _kind(request), typed)
    return shell.render(request, "hub/new.html", page)


async def create(request: Request) -> Response:
    """``POST /new/{kind}``: make it, with a first card when a licence was chosen, and go there."""
    form = await shell.read_form(request)
    kind = _kind(request)
    typed = Typed(form["owner"], form["name"].strip(), form["visibility"], form["licence"], form["sdk"])
    try:
        said = i18n.choose_language(request).t("message.licence", name=typed.licence)
        path = await web.call(request, _create, kind, typed, said)
    except HeadwaterError as problem:
        if problem.kind not in (Kind.BAD_INPUT, Kind.CONFLICT, Kind.UNPROCESSABLE):
            raise
        page = await web.read_tx(request, load, kind, typed, problem)
        return shell.render(request, "hub/new.html", page, status=web.status_of(problem))
    return shell.redirect(request, f"/{path}")


def _create(site: Site, actor: Actor, kind: RepoKind, typed: Typed, said: str) -> str:
    repo = repos.create_repository(
        site,
        actor,
        kind,
        RepoName(typed.owner, typed.name),
        is_private=typed.visibility == "private",
        sdk=typed.sdk if kind is RepoKind.SPACE and typed.sdk in SDKS else None,
    )
    if typed.licence in LICENCES:
        text = f"---\nlicense: {typed.licence}\n---\n\n# {repo.name.name}\n"
        message = uploads.Message(said)
        uploads.commit_text(site, actor, kind, repo.name, repo.default_branch, "README.md", text, message)
    return repo.path

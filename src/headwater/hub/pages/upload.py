"""Bringing files by browser: the page, its plain form, and the small protocol that its script speaks.

    POST …/upload-session          {"files": [{"path", "size", "stamp"}]}     → {"files": [{"id", "path", "received", …}]}
    GET  /-/uploads/{id}                                                     → {"received", "size", "complete", "sha256"}
    PUT  /-/uploads/{id}?offset=N  bytes that begin at N                      → the same; 409 says where to go on
    POST …/upload-commit/{rev}     {"ids", "title", "description", "as"}       → {"url"}
    POST …/upload-discard          {"ids"}                                    → {"n"}

A session's request carries its word as ``X-CSRF-Token``; a token needs none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import Action
from headwater.hub import access, uploads
from headwater.hub.content import reading
from headwater.hub.content.preupload import LARGE_BYTES
from headwater.hub.git import GitStore
from headwater.hub.pages import addresses
from headwater.hub.pages.doors import leads_on
from headwater.hub.pages.files import Crumb, crumbs
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.hub.uploads import Announced, BadUpload, Message, Progress, SentForm, Taken
from headwater.kernel import Actor, HeadwaterError, Kind
from headwater.web import Site, i18n, shell

PART_BYTES = 8 << 20
SESSIONS_LIMIT_BYTES = 2 << 20


@dataclass(frozen=True)
class UploadPage:
    """``waiting`` are the reader's uploads to this repository that no commit has taken yet."""

    head: Head
    revision: str
    folder: str
    crumbs: Sequence[Crumb]
    waiting: Sequence[Progress]
    must_propose: bool
    part_bytes: int
    large_bytes: int
    problem: HeadwaterError | None = None
    title: str = ""
    description: str = ""


def load(site: Site, actor: Actor, request: Request, problem: HeadwaterError | None = None) -> UploadPage:
    """Raises: RepositoryNotFound, Moved, NotSignedIn, RevisionNotFound."""
    kind, name = name_of(request)
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "files", Action.DISCUSS)
    repo, revision = head.repo, request.path_params["rev"]
    folder = request.path_params.get("path", "").strip("/")
    with site.part(GitStore).open(repo.id) as snap:
        reading.require_branch(snap, revision)
    return UploadPage(
        head=head,
        revision=revision,
        folder=folder,
        crumbs=crumbs(repo, revision, folder),
        waiting=[found for found in uploads.list_open(site, actor, repo) if not found.is_complete],
        must_propose=not head.may_write,
        part_bytes=PART_BYTES,
        large_bytes=LARGE_BYTES,
        problem=problem,
    )


@leads_on
async def show(request: Request) -> Response:
    """``GET …/upload/{rev}/{folder}``."""
    page = await web.call(request, load, request)
    return shell.render(request, "hub/upload.html", page)


async def take_form(request: Request) -> Response:
    """``POST …/upload/{rev}/{folder}``: the page's form without its script: files and message in one body, one commit."""
    shell.check_origin(request)
    site, kind_and_name = web.site_of(request), name_of(request)
    await web.read_tx(request, access.get_repository, *kind_and_name, Action.DISCUSS)  # before any byte is taken
    form = await web.receive_body(
        request,
        lambda reader: uploads.read_form(
            reader, request.headers.get("content-type", ""), lambda: uploads.new_part(site)
        ),
    )
    try:
        shell.check_csrf(request, form["csrf"])
        taken = await web.call(request, _commit_form, request, form)
    except HeadwaterError as problem:
        form.discard()
        if problem.kind not in (Kind.BAD_INPUT, Kind.CONFLICT, Kind.UNPROCESSABLE, Kind.PRECONDITION_FAILED):
            raise
        page = await web.call(request, load, request, problem)
        return shell.render(request, "hub/upload.html", page, status=web.status_of(problem))
    return shell.redirect(request, _after(request, taken), flash="upload.flash_done")


def _commit_form(site: Site, actor: Actor, request: Request, form: SentForm) -> Taken:
    kind, name = name_of(request)
    folder = request.path_params.get("path", "").strip("/")
    if not form.files:
        raise BadUpload("no file was chosen")
    ids = uploads.adopt_files(site, actor, kind, name, folder, form.files)
    said = default_title(request, [file.name for file in form.files])
    message = Message(form["title"].strip() or said, form["description"])
    try:
        return uploads.commit_uploads(
            site, actor, kind, name, request.path_params["rev"], ids, message, as_pull=form["as"] == "pull"
        )
    except BaseException:
        uploads.give_up(site, actor, ids)
        raise


def default_title(request: Request, names: Sequence[str]) -> str:
    """What a commit of these files says when its author said nothing: in the author's language."""
    language = i18n.choose_language(request)
    return language.t("message.upload_one", path=names[0]) if len(names) == 1 else _many(language, len(names))


def _many(language: i18n.Language, n: int) -> str:
    return language.t("message.upload", n=n)


def _after(request: Request, taken: Taken) -> str:
    repo, folder = taken.committed.repo, request.path_params.get("path", "").strip("/")
    if taken.committed.pull is not None:
        return f"/{repo.path}/discussions/{taken.committed.pull}"
    return addresses.at(repo, "tree", request.path_params["rev"], folder)


# ---- what the script speaks


async def begin(request: Request) -> Response:
    """``POST …/upload-session``."""
    body = await web.read_json_object(request, limit_bytes=SESSIONS_LIMIT_BYTES)
    files = body.get("files")
    if not isinstance(files, list):
        raise BadUpload("'files' must be a list")
    announced = [_announced(each) for each in files]
    found = await web.call(request, uploads.begin, *name_of(request), announced)
    return web.JsonResponse({"files": [_json(each) for each in found]})


def _announced(value: Any) -> Announced:
    if not isinstance(value, dict):
        raise BadUpload("each file must be an object")
    path, size, stamp = value.get("path"), value.get("size"), value.get("stamp", 0)
    if not isinstance(path, str) or type(size) is not int or type(stamp) is not int or abs(stamp) > 1 << 62:
        raise BadUpload("each file needs a path, and its size and stamp as whole numbers")
    return Announced(path, size, stamp)


async def ask(request: Request) -> Response:
    """``GET /-/uploads/{id}``."""
    found = await web.call(request, uploads.get_progress, request.path_params["id"])
    return web.JsonResponse(_json(found))


async def append(request: Request) -> Response:
    """``PUT /-/uploads/{id}?offset=``."""
    text = request.query_params.get("offset", "")
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise BadUpload("'offset' must be a whole number")
    site, actor, upload_id = web.site_of(request), web.actor_of(request), request.path_params["id"]
    found = await web.receive_body(request, lambda reader: uploads.append(site, actor, upload_id, int(text), reader))
    return web.JsonResponse(_json(found))


async def commit(request: Request) -> Response:
    """``POST …/upload-commit/{rev}/{folder}``."""
    body = await web.read_json_object(request, limit_bytes=SESSIONS_LIMIT_BYTES)
    ids, title, text = body.get("ids"), body.get("title", ""), body.get("description", "")
    if not isinstance(ids, list) or not all(isinstance(each, str) for each in ids):
        raise BadUpload("'ids' must be a list of texts")
    if not isinstance(title, str) or not isinstance(text, str):
        raise BadUpload("title and description must be texts")
    message = Message(title.strip() or _many(i18n.choose_language(request), len(ids)), text)
    taken = await web.call(
        request,
        uploads.commit_uploads,
        *name_of(request),
        request.path_params["rev"],
        ids,
        message,
        as_pull=body.get("as") == "pull",
    )
    return web.JsonResponse(
        {"url": _after(request, taken), "commit": taken.committed.commit, "ignored": list(taken.ignored)}
    )


async def discard(request: Request) -> Response:
    """``POST …/upload-discard``: give up uploads."""
    if "application/json" in request.headers.get("content-type", ""):
        body = await web.read_json_object(request, limit_bytes=SESSIONS_LIMIT_BYTES)
        ids = [each for each in body.get("ids") or [] if isinstance(each, str)]
        return web.JsonResponse({"n": await web.call(request, uploads.give_up, ids)})
    form = await shell.read_form(request)
    await web.call(request, uploads.give_up, form.all("id"))
    return shell.redirect(request, shell.safe_next(form["next"]), flash="upload.flash_given_up")


def _json(found: Progress) -> dict[str, Any]:
    return {
        "id": found.id,
        "path": found.path,
        "size": found.size_bytes,
        "received": found.received_bytes,
        "complete": found.is_complete,
        "sha256": found.sha256,
    }

"""Writing one text file in the browser, and removing a file or folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.accounts import Action
from headwater.blobs import read_all
from headwater.hub import access, uploads
from headwater.hub.content import reading
from headwater.hub.content.commits import Committed
from headwater.hub.errors import FileNotFound
from headwater.hub.git import EntryKind
from headwater.hub.names import check_path
from headwater.hub.pages import addresses
from headwater.hub.pages.doors import leads_on
from headwater.hub.pages.files import Crumb, crumbs
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.hub.uploads import BadUpload, Message, SentForm
from headwater.kernel import Actor, HeadwaterError, Kind
from headwater.web import Site, i18n, shell

LIMIT_BYTES = 1 << 20
BODY_LIMIT_BYTES = 6 << 20


@dataclass(frozen=True)
class EditPage:
    """``old_path`` is None for a new file; ``parent`` is the commit the text was read at."""

    head: Head
    revision: str
    crumbs: Sequence[Crumb]
    old_path: str | None
    path: str
    text: str
    parent: str
    title: str
    must_propose: bool
    problem: HeadwaterError | None = None


@dataclass(frozen=True)
class DeletePage:
    head: Head
    revision: str
    crumbs: Sequence[Crumb]
    path: str
    is_folder: bool
    parent: str
    must_propose: bool
    back_href: str


class NotText(HeadwaterError):
    """A file that the editor would break."""

    code = "not_text"
    kind = Kind.UNPROCESSABLE

    def __init__(self, path: str) -> None:
        super().__init__(
            f"{path!r} is not a text of at most 1 MiB, so it cannot be edited here. Upload it anew instead."
        )


def load(site: Site, actor: Actor, request: Request) -> EditPage:
    """Raises: RepositoryNotFound, Moved, NotSignedIn, RevisionNotFound, FileNotFound, NotText."""
    kind, name = name_of(request)
    is_new = "/new/" in request.url.path
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "files", Action.DISCUSS)
    repo, revision = head.repo, request.path_params["rev"]
    path = request.path_params.get("path", "").strip("/")
    with reading.open_revision(site, actor, kind, name, revision) as at:
        reading.require_branch(at.snap, revision)
        commit = at.commit
    text = ""
    if is_new:
        leaf = request.query_params.get("name", "")
        shown = f"{path}/{leaf}" if path else leaf
        if leaf == "README.md" and not path:
            text = f"---\nlicense: \nlanguage:\n- zh\n- en\n---\n\n# {repo.name.name}\n\n"
    else:
        shown = path
        text = _text_of(site, actor, request, path)
    return EditPage(
        head=head,
        revision=revision,
        crumbs=crumbs(repo, revision, path, is_file=not is_new),
        old_path=None if is_new else path,
        path=shown,
        text=text,
        parent=commit,
        title="",
        must_propose=not head.may_write,
    )


def _text_of(site: Site, actor: Actor, request: Request, path: str) -> str:
    found = reading.find_file(site, actor, *name_of(request), request.path_params["rev"], path)
    if found.entry.sha256 is not None or found.entry.size_bytes > LIMIT_BYTES:
        raise NotText(path)
    data = read_all(found.source)
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        raise NotText(path) from exc
    if "\0" in text:
        raise NotText(path)
    return text


@leads_on
async def show(request: Request) -> Response:
    """``GET …/new/{rev}/{folder}?name=`` and ``GET …/edit/{rev}/{path}``."""
    page = await web.call(request, load, request)
    return shell.render(request, "hub/edit.html", page)


async def save(request: Request) -> Response:
    """``POST`` to the same address: one commit; a refusal keeps what was typed."""
    form = await _read(request)
    try:
        done = await web.call(request, _save, request, form)
    except HeadwaterError as problem:
        if problem.kind not in (Kind.BAD_INPUT, Kind.CONFLICT, Kind.UNPROCESSABLE, Kind.PRECONDITION_FAILED):
            raise
        page = await web.call(request, _typed, request, form, problem)
        return shell.render(request, "hub/edit.html", page, status=web.status_of(problem))
    if done.pull is not None:
        return shell.redirect(request, f"/{done.repo.path}/discussions/{done.pull}")
    path = form["path"].strip().strip("/")
    return shell.redirect(request, addresses.at(done.repo, "blob", request.path_params["rev"], path))


def _save(site: Site, actor: Actor, request: Request, form: SentForm) -> Committed:
    kind, name = name_of(request)
    path = check_path(form["path"].strip().strip("/"))
    old_path = None if "/new/" in request.url.path else request.path_params["path"].strip("/")
    text = form["text"]
    if "\r\n" in text and form["line_ends"] != "crlf":
        text = text.replace("\r\n", "\n")  # forms send texts with both; git keeps one
    if text and not text.endswith("\n"):
        text += "\n"
    if len(text.encode()) > LIMIT_BYTES:
        raise BadUpload("the text is longer than 1 MiB")
    revision = request.path_params["rev"]
    if old_path != path:
        _require_free(site, actor, request, path)
    said = i18n.choose_language(request).t("message.create" if old_path is None else "message.update", path=path)
    title = form["title"].strip() or said
    message = Message(title, form["description"], form["parent"] or None)
    return uploads.commit_text(
        site, actor, kind, name, revision, path, text, message, old_path=old_path, as_pull=form["as"] == "pull"
    )


def _require_free(site: Site, actor: Actor, request: Request, path: str) -> None:
    kind, name = name_of(request)
    found = reading.find_paths(site, actor, kind, name, request.path_params["rev"], [path], expand=False)
    if found.entries:
        raise BadUpload(f"{path!r} exists already; open it and edit it")


def _typed(site: Site, actor: Actor, request: Request, form: SentForm, problem: HeadwaterError) -> EditPage:
    kind, name = name_of(request)
    is_new = "/new/" in request.url.path
    path = request.path_params.get("path", "").strip("/")
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "files", Action.DISCUSS)
    return EditPage(
        head=head,
        revision=request.path_params["rev"],
        crumbs=crumbs(head.repo, request.path_params["rev"], path, is_file=not is_new),
        old_path=None if is_new else path,
        path=form["path"],
        text=form["text"],
        parent=form["parent"],
        title=form["title"],
        must_propose=not head.may_write,
        problem=problem,
    )


def load_delete(site: Site, actor: Actor, request: Request) -> DeletePage:
    """Raises: RepositoryNotFound, Moved, NotSignedIn, RevisionNotFound, FileNotFound."""
    kind, name = name_of(request)
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "files", Action.DISCUSS)
    revision, path = request.path_params["rev"], request.path_params["path"].strip("/")
    with reading.open_revision(site, actor, kind, name, revision) as at:
        reading.require_branch(at.snap, revision)
        entry, commit = at.snap.entry(at.commit, path), at.commit
    if entry is None:
        raise FileNotFound(path, commit)
    is_folder = entry.kind is EntryKind.DIRECTORY
    return DeletePage(
        head=head,
        revision=revision,
        crumbs=crumbs(head.repo, revision, path, is_file=not is_folder),
        path=path,
        is_folder=is_folder,
        parent=commit,
        must_propose=not head.may_write,
        back_href=head.at("tree" if is_folder else "blob", revision, path),
    )


@leads_on
async def show_delete(request: Request) -> Response:
    """``GET …/delete/{rev}/{path}``: what would go, and the form that does it."""
    page = await web.call(request, load_delete, request)
    return shell.render(request, "hub/delete.html", page)


async def delete(request: Request) -> Response:
    """``POST …/delete/{rev}/{path}``."""
    form = await shell.read_form(request)
    path, revision = request.path_params["path"].strip("/"), request.path_params["rev"]
    said = i18n.choose_language(request).t("message.delete", path=path)
    message = Message(form["title"].strip() or said, "", form["parent"] or None)
    done = await web.call(
        request, uploads.delete_path, *name_of(request), revision, path, message, as_pull=form["as"] == "pull"
    )
    if done.pull is not None:
        return shell.redirect(request, f"/{done.repo.path}/discussions/{done.pull}")
    to = addresses.at(done.repo, "tree", revision)
    return shell.redirect(request, to, flash="edit.flash_deleted", values={"name": path})


async def _read(request: Request) -> SentForm:
    """The editor's form, which may be larger than the forms of other pages."""
    shell.check_origin(request)
    site = web.site_of(request)
    await web.read_tx(request, access.get_repository, *name_of(request), Action.DISCUSS)
    form = await web.receive_body(
        request,
        lambda reader: uploads.read_form(
            reader, request.headers.get("content-type", ""), lambda: uploads.new_part(site)
        ),
        limit_bytes=BODY_LIMIT_BYTES,
    )
    form.discard()
    shell.check_csrf(request, form["csrf"])
    return form

"""One file: what it says, as far as a page can show it, and its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from headwater import accounts, web
from headwater.blobs import ByteSource, read_all
from headwater.hub import gate, preview
from headwater.hub.content import reading
from headwater.hub.converting import is_convertible
from headwater.hub.git import CommitInfo, GitStore
from headwater.hub.pages import addresses
from headwater.hub.pages.doors import leads_on
from headwater.hub.pages.files import Crumb, RefChoice, crumbs, ref_choice
from headwater.hub.pages.head import Head, find_head, name_of
from headwater.hub.pages.repository import link_base, one_step_down, render_text
from headwater.hub.pages.safety import Panel, panel_of
from headwater.hub.preview import Tensor
from headwater.kernel import Actor, HeadwaterError
from headwater.web import Site, shell

EDIT_LIMIT_BYTES = 1 << 20
TEXT_LIMIT_BYTES = 1 << 20
IMAGE_LIMIT_BYTES = 20 << 20
MAX_LINES = 5000
MAX_TENSORS = 1000
MAX_METADATA = 200
IMAGES = ("png", "jpg", "jpeg", "gif", "webp", "bmp", "svg", "avif", "ico")
SOUNDS = ("wav", "mp3", "flac", "ogg", "oga", "m4a")
FILMS = ("mp4", "webm", "ogv")
TABLES = ("csv", "tsv", "tab", "jsonl", "ndjson", "parquet")


@dataclass(frozen=True)
class BlobPage:
    """``view`` names the template's part; ``shown`` is what that part prints; ``why_not`` why nothing can be shown."""

    head: Head
    revision: str
    refs: RefChoice
    crumbs: Sequence[Crumb]
    path: str
    name: str
    size_bytes: int
    sha256: str | None
    oid: str
    is_large: bool
    last: CommitInfo | None
    last_href: str
    resolve_href: str
    download_href: str
    raw_href: str
    curl: str
    view: str
    shown: Any
    other_view: str | None
    may_edit: bool
    may_delete: bool
    safety: Panel | None = None  # None where there is nothing to say
    status: str = "safe"
    may_convert: bool = False


def load(site: Site, actor: Actor, request: Request) -> BlobPage:
    """Raises: RepositoryNotFound, Moved, RevisionNotFound, FileNotFound, GateClosed."""
    kind, name = name_of(request)
    path, revision = request.path_params["path"].strip("/"), request.path_params["rev"]
    with site.db.reading() as tx:
        head = find_head(tx, actor, kind, name, "files")
    repo = head.repo
    is_shut = False
    try:
        found = reading.find_file(site, actor, kind, name, revision, path)
    except gate.FileHeld as held:  # everything but its bytes
        found, is_shut = held.found, True
    pair = found.etag, path
    security = site.db.read(gate.find_security, repo.id, [pair])[pair]
    folder, _, leaf = path.rpartition("/")
    with site.part(GitStore).open(repo.id) as snap:
        last = snap.last_changed(found.commit, folder, names=[leaf]).get(leaf)
        refs = ref_choice(site, repo, snap, revision, found.commit, "blob", path)
    resolve = addresses.at(repo, "resolve", revision, path)
    asked = request.query_params.get("view", "")
    view, shown, other = "held", None, None
    if not is_shut:
        view, shown, other = _show(found.source, path, asked, link_base(repo, revision, folder))
    panel = None
    if is_shut or (security.status is not gate.Status.SAFE and security.verdict is not None):
        panel = panel_of(repo, security, is_shut=is_shut, resolve_href=resolve)
    is_branch = refs.kind == "branch"
    is_text = found.entry.sha256 is None and found.entry.size_bytes <= EDIT_LIMIT_BYTES
    return BlobPage(
        head=head,
        revision=revision,
        refs=refs,
        crumbs=crumbs(repo, revision, path, is_file=True),
        path=path,
        name=leaf,
        size_bytes=found.entry.size_bytes,
        sha256=found.entry.sha256,
        oid=found.entry.oid,
        is_large=found.entry.is_pointer,
        last=last,
        last_href=addresses.at(repo, "commit", last.oid) if last is not None else "",
        resolve_href=resolve,
        download_href=addresses.with_query(resolve, download="true"),
        raw_href=addresses.at(repo, "raw", revision, path),
        curl=f"curl -LO {site.base_url}{resolve}",
        view=view,
        shown=shown,
        other_view=other,
        may_edit=head.may_discuss and is_branch and is_text and view not in ("binary", "held"),
        may_delete=head.may_discuss and is_branch,
        safety=panel,
        status=security.status.value,
        may_convert=(
            head.may_write
            and is_branch
            and revision == repo.default_branch
            and found.entry.sha256 is not None
            and is_convertible(path)
        ),
    )


# ---- what is shown of a file


@dataclass(frozen=True)
class TextView:
    """``html`` is highlighted, line by line; ``is_cut`` when only the beginning is shown."""

    html: Markup
    n_lines: int
    is_cut: bool


@dataclass(frozen=True)
class WeightsView:
    """The head of a weights file. ``metadata`` is (key, value, number of items if it was cut)."""

    format: str
    n_tensors: int
    n_parameters: int
    by_dtype: Sequence[tuple[str, int]]
    tensors: Sequence[Tensor]
    metadata: Sequence[tuple[str, str, int | None]]
    chat_template: str | None


def _show(source: ByteSource, path: str, asked: str, base: str) -> tuple[str, Any, str | None]:
    """Which part of the template shows this file, with what, and which other view there is."""
    ending = path.rpartition(".")[2].lower()
    try:
        if ending in IMAGES and source.size_bytes <= IMAGE_LIMIT_BYTES and asked != "source":
            return "image", None, "source" if ending == "svg" else None
        if ending in SOUNDS:
            return "sound", None, None
        if ending in FILMS:
            return "film", None, None
        if ending in ("safetensors", "gguf"):
            return "weights", _weights(source, ending), None
        if asked != "source" and (found := _table_or_notebook(source, ending, base)) is not None:
            return *found, None if ending == "parquet" else "source"
        if source.size_bytes == 0:
            return "empty", None, None
        return _text(source, path, ending, asked, base)
    except HeadwaterError as problem:
        return "broken", problem.message, None


def _text(source: ByteSource, path: str, ending: str, asked: str, base: str) -> tuple[str, Any, str | None]:
    is_cut = source.size_bytes > TEXT_LIMIT_BYTES
    data = read_all(source, 0, TEXT_LIMIT_BYTES)
    if b"\0" in data[:8000]:
        return "binary", None, None
    try:
        text = data.decode()
    except UnicodeDecodeError as exc:
        if not is_cut or exc.start < len(data) - 4:
            return "binary", None, None
        text = data[: exc.start].decode()
    if ending in ("md", "markdown") and asked != "source":
        return "prose", render_text(without_front_matter(text), base), "source"
    other = "rendered" if ending in ("md", "markdown", "svg", "ipynb", *TABLES) else None
    lines = text.split("\n", MAX_LINES)
    if len(lines) > MAX_LINES:
        is_cut, text = True, "\n".join(lines[:MAX_LINES])
    html = Markup(preview.highlight(text, path))  # noqa: S704 - every piece is escaped there
    return "text", TextView(html, text.count("\n") + (not text.endswith("\n")), is_cut), other


def without_front_matter(text: str) -> str:
    """A README's text below its metadata, which the page's other parts show."""
    if not text.startswith("---\n"):
        return text
    end = text.find("\n---", 3)
    return text if end < 0 else text[end + 4 :].partition("\n")[2]


def _weights(source: ByteSource, ending: str) -> WeightsView:
    head = preview.gguf_header(source) if ending == "gguf" else preview.safetensors_header(source)
    shown = []
    for key, value in list(head.metadata.items())[:MAX_METADATA]:
        if key == "tokenizer.chat_template":
            continue
        text = value if isinstance(value, str) else orjson.dumps(value, default=str).decode()
        shown.append((key, text if len(text) <= 400 else text[:400] + "…", head.cut.get(key)))
    return WeightsView(
        format=head.format,
        n_tensors=len(head.tensors),
        n_parameters=head.n_parameters,
        by_dtype=sorted(head.parameters_by_dtype().items(), key=lambda pair: -pair[1]),
        tensors=head.tensors[:MAX_TENSORS],
        metadata=shown,
        chat_template=head.chat_template,
    )


def _table_or_notebook(source: ByteSource, ending: str, base: str) -> tuple[str, Any] | None:
    """None for other kinds of files, and for those that are small enough and shown better as they are."""
    if ending == "ipynb":
        html = preview.notebook(read_all(source), link_base=base)
        return "notebook", Markup(one_step_down(html))  # noqa: S704 - cleaned by hub.preview
    if ending in TABLES:
        found = preview.table(source, f"x.{ending}")
        return "table", found
    return None


@leads_on
async def show(request: Request) -> Response:
    """``GET …/blob/{rev}/{path}``; a folder leads to its listing, a closed gate to where one may ask."""
    try:
        page = await web.call(request, load, request)
    except accounts.GateClosed:
        kind, name = name_of(request)
        return shell.redirect(request, f"/{kind.url_prefix}{name}")
    return shell.render(request, "hub/blob.html", page)

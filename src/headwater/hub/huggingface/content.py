"""Reading: trees, paths, histories, and the files themselves."""

from __future__ import annotations

import functools
import mimetypes
from urllib.parse import parse_qs

import orjson
from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.db import Tx
from headwater.hub.content.errors import BadParameter
from headwater.hub.content.reading import (
    FoundFile,
    TreeLines,
    TreePage,
    find_file,
    find_file_at_once,
    find_paths,
    list_history,
    list_tree,
    list_tree_lines,
)
from headwater.hub.gate.door import accepts_suspicious
from headwater.hub.git import TreeEntry
from headwater.hub.huggingface.answers import as_json, commit_json, entry_json, lines_json
from headwater.hub.huggingface.asking import API, asked, count, flag, json_body, parse_flag, renamed
from headwater.hub.huggingface.downloads import note_download
from headwater.kernel import Actor, CommitId, XetHash, decode_cursor, encode_cursor
from headwater.web import Access, Route, Site
from headwater.web.heads import RawHeaders, Told, asked_names
from headwater.web.responses import encoded

TREE_PAGE = 1000
RECURSIVE_PAGE = 10_000  # clients want all of it, and each page costs as much as a thousand lines
EXPANDED_PAGE = 50
COMMITS_PAGE = 50
MAX_PATHS = 1000
PATHS_BYTES = 4 << 20
LINK_S = 3600  # of a file in an object store; a client that breaks off goes on by the same link

# What a browser may show as it is: nothing of these can run a script. SVG is sandboxed by the policy that every answer
# with a stranger's bytes carries. Anything else goes out as plain text or as bytes to be saved.
_SHOWN = ("image/", "audio/", "video/", "font/")
_TEXT = ("text/", "application/json", "application/xml", "application/javascript", "application/x-sh")
_CONDITIONS = frozenset((b"range", b"if-range", b"if-none-match"))
_UNSHOWN = "application/octet-stream"
_TEXT_ENDS = (
    ".md", ".txt", ".json", ".jsonl", ".ndjson", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".py", ".ipynb", ".csv", ".tsv",
    ".gitattributes", ".gitignore", ".jinja", ".bib", ".tex", ".rs", ".go", ".c", ".h", ".cpp", ".ts", ".sql", ".lock",
)  # fmt: skip


async def get_tree(request: Request) -> Response:
    """``GET …/tree/{rev}/{path}``: 1,000 entries a page, 10,000 if recursive, 50 with the last commit of each."""
    kind, name = asked(request)
    values, cursor = request.path_params, request.query_params.get("cursor")
    expand, recursive = flag(request, "expand"), flag(request, "recursive")
    most = EXPANDED_PAGE if expand else RECURSIVE_PAGE if recursive else TREE_PAGE
    revision, path = values["rev"], values["path"].strip("/")
    after = str(decode_cursor(cursor)) if cursor else None
    limit = count(request, "limit", default=most, most=most)

    def list_and_write(site: Site, actor: Actor) -> tuple[TreePage | TreeLines, bytes]:
        if expand:
            page = list_tree(
                site, actor, kind, name, revision, path, recursive=recursive, expand=True, after=after, limit=limit
            )
            return page, orjson.dumps([entry_json(entry, expand=True) for entry in page.entries])
        lines = list_tree_lines(site, actor, kind, name, revision, path, recursive=recursive, after=after, limit=limit)
        return lines, lines_json(lines)

    page, body = await web.call(request, list_and_write)
    headers: dict[str, str] = {"X-Repo-Commit": page.commit}
    if page.after is not None:
        headers |= web.next_link(request, encode_cursor(page.after))
    return renamed(request, page.repo) or Response(body, headers=headers, media_type="application/json")


async def post_paths_info(request: Request) -> Response:
    """``POST …/paths-info/{rev}``: a form with repeated ``paths``, or the same as JSON."""
    kind, name = asked(request)
    if request.headers.get("content-type", "").startswith("application/json"):
        body = await json_body(request, limit_bytes=PATHS_BYTES)
        paths, expand = body.get("paths", []), bool(body.get("expand", False))
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise BadParameter("paths", "it must be a list of texts")
    else:
        try:
            text = (await web.read_body(request, PATHS_BYTES)).decode()
            form = parse_qs(text, keep_blank_values=True, max_num_fields=MAX_PATHS + 10)
        except ValueError as exc:
            raise BadParameter("paths", f"the form cannot be read, or names more than {MAX_PATHS}") from exc
        paths, expand = form.get("paths", []), parse_flag("expand", form.get("expand", [""])[-1])
    if len(paths) > MAX_PATHS:
        raise BadParameter("paths", f"at most {MAX_PATHS} may be asked for at once")
    page = await web.call(request, find_paths, kind, name, request.path_params["rev"], paths, expand=expand)
    return as_json([entry_json(entry, expand=expand) for entry in page.entries])


async def get_commits(request: Request) -> Response:
    """``GET …/commits/{rev}``: the history, newest first."""
    kind, name = asked(request)
    cursor = request.query_params.get("cursor")
    query = request.query_params
    formatted = "formatted" in (*query.getlist("expand[]"), *query.getlist("expand"))
    page = await web.call(
        request,
        list_history,
        kind,
        name,
        request.path_params["rev"],
        after=str(decode_cursor(cursor)) if cursor else None,
        limit=count(request, "limit", default=COMMITS_PAGE, most=1000),
    )
    headers = {} if page.after is None else web.next_link(request, encode_cursor(page.after))
    shown = [commit_json(commit, formatted=formatted) for commit in page.commits]
    return renamed(request, page.repo) or as_json(shown, headers=headers)


async def resolve(request: Request) -> Response:
    """``HEAD|GET …/resolve/{rev}/{path}``: the bytes, with the facts that a client's cache needs."""
    kind, name = asked(request)
    values = request.path_params
    is_head = request.method == "HEAD"
    accepts = functools.partial(accepts_suspicious, request)
    found = await web.call(
        request, find_file, kind, name, values["rev"], values["path"], with_bytes=not is_head, accepts=accepts
    )
    return _answer(request, found)


def resolve_at_once(request: Request, tx: Tx) -> Response | None:
    """The same, of what was asked for before."""
    kind, name = asked(request)
    values = request.scope["path_params"]
    is_head = request.method == "HEAD"
    site = web.site_of(request)
    actor = web.actor_of(request)
    accepts = functools.partial(accepts_suspicious, request)
    found = find_file_at_once(
        site, tx, actor, kind, name, values["rev"], values["path"], with_bytes=not is_head, accepts=accepts
    )
    if found is None:
        return None
    if not is_head or request.scope["query_string"] or not _CONDITIONS.isdisjoint(asked_names(request.scope)):
        return _answer(request, found)
    told = tx.remembered(("told", found), lambda: _file_answer(request, found).told_whole())
    return _answer(request, found, told)


def _answer(request: Request, found: FoundFile, told: Told | None = None) -> Response:
    """``told``: the head, where it is known."""
    moved = renamed(request, found.repo)
    if moved is not None:
        return moved
    note_download(request, found.repo.id)
    return _file_answer(request, found) if told is None else web.HeadResponse(request, told)


def _file_answer(request: Request, found: FoundFile) -> web.SourceResponse:
    values = request.path_params
    site = web.site_of(request)
    media_type, headers = _headers(
        f"{site.base_url}/api/{found.repo.kind.plural}/{found.repo.name}",
        found.commit,
        values["path"],
        found.entry,
        found.xet_hash,
        is_public=not found.repo.is_private and not found.repo.gated and found.hold is None,
        is_on_branch=found.is_on_branch,
        is_saved=_wants_saving(request),
    )
    return web.SourceResponse(
        request,
        found.source,
        headers=headers,
        media_type=media_type,
        etag=f'"{found.etag}"',
        direct_s=LINK_S,
    )


@functools.lru_cache(maxsize=2048)
def _headers(
    api: str,
    commit: CommitId,
    path: str,
    entry: TreeEntry,
    xet_hash: XetHash | None,
    *,
    is_public: bool,
    is_on_branch: bool,
    is_saved: bool,
) -> tuple[str, RawHeaders]:
    """The answer's media type, and what it says of the file besides: clients ask for the same files again and again."""
    media_type = _media_type(path, entry)
    headers = {
        "X-Repo-Commit": commit,
        # A commit's file never changes, but the right to it may; what is not public is kept nowhere.
        "Cache-Control": "public, no-cache" if is_public else "private, no-store",
        "Vary": "Authorization, Cookie",
        "Access-Control-Expose-Headers": "X-Repo-Commit, X-Headwater-Revision, X-Linked-Size, X-Linked-ETag, X-Xet-Hash, ETag, Link",
        "Content-Disposition": web.content_disposition(
            path.rpartition("/")[2], inline=media_type != _UNSHOWN and not is_saved
        ),
    }
    if not is_on_branch:
        headers["X-Headwater-Revision"] = "not on any branch"
    if entry.sha256 is not None:
        headers["X-Linked-ETag"] = f'"{entry.sha256}"'
        headers["X-Linked-Size"] = str(entry.size_bytes)
        if xet_hash is not None:
            headers["X-Xet-Hash"] = xet_hash
            headers["Link"] = f'<{api}/xet-read-token/{commit}>; rel="xet-auth"'
    return media_type, encoded(headers)


def _wants_saving(request: Request) -> bool:
    if not request.scope["query_string"]:
        return False
    return request.query_params.get("download", "").lower() in ("true", "1")


def _media_type(path: str, entry: TreeEntry) -> str:
    if path.lower().endswith(_TEXT_ENDS):
        return "text/plain; charset=utf-8"
    guessed = mimetypes.guess_type(path)[0]
    if guessed is None:
        return _UNSHOWN if entry.is_pointer else "text/plain; charset=utf-8"
    if guessed.startswith(_SHOWN):
        return guessed
    return "text/plain; charset=utf-8" if guessed.startswith(_TEXT) else _UNSHOWN


ROUTES = [
    Route("GET", API + "/tree/{rev}/{path*}", get_tree, Access.READ, "hf"),
    Route("POST", API + "/paths-info/{rev}", post_paths_info, Access.READ, "hf"),
    Route("GET", API + "/commits/{rev}", get_commits, Access.READ, "hf"),
    Route(
        "GET",
        "/{type:datasets|spaces}/{ns}/{name}/resolve/{rev}/{path*}",
        resolve,
        Access.READ,
        "hf",
        at_once=resolve_at_once,
    ),
    Route(
        "GET",
        "/{type:datasets|spaces}/{ns}/{name}/raw/{rev}/{path*}",
        resolve,
        Access.READ,
        "hf",
        at_once=resolve_at_once,
    ),
    Route("GET", "/{ns}/{name}/resolve/{rev}/{path*}", resolve, Access.READ, "hf", at_once=resolve_at_once),
    Route("GET", "/{ns}/{name}/raw/{rev}/{path*}", resolve, Access.READ, "hf", at_once=resolve_at_once),
]

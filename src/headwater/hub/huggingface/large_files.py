"""The large files of a repository, and the headers of its weights."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.hub.content import large_files
from headwater.hub.content.errors import BadParameter
from headwater.hub.content.weights import read_safetensors_headers
from headwater.hub.files import parse_sha256
from headwater.hub.huggingface.answers import as_json
from headwater.hub.huggingface.asking import API, asked, count, json_body, kind_of, need_text, text_of
from headwater.hub.models import RepoName
from headwater.kernel import Sha256, to_iso, utcnow
from headwater.web import Access, Route

MAX_FILES = 1000


async def list_files(request: Request) -> Response:
    """``GET …/lfs-files``. ``fileOid`` is what the delete call takes: here the digest again."""
    kind, name = asked(request)
    page = await web.call(
        request,
        large_files.list_large_files,
        kind,
        name,
        cursor=request.query_params.get("cursor"),
        limit=count(request, "limit", default=100, most=1000),
    )
    shown = []
    for place in page.items:
        item: dict[str, Any] = {
            "fileOid": place.file.sha256,
            "oid": place.file.sha256,
            "filename": place.path,
            "size": place.file.size_bytes,
            "pushedAt": to_iso(place.file.created_at),
        }
        if place.ref is not None:
            item["ref"] = place.ref
        shown.append(item)
    return as_json(shown, headers=web.next_link(request, page.cursor))


async def delete_files(request: Request) -> Response:
    """``POST …/lfs-files/batch`` with ``{"deletions": {"sha": [...], "rewriteHistory": bool}}``."""
    kind, name = asked(request)
    body = await json_body(request)
    deletions = body.get("deletions")
    if not isinstance(deletions, dict):
        raise BadParameter("deletions", "it must be an object with 'sha'")
    rewrite = deletions.get("rewriteHistory", True)
    if not isinstance(rewrite, bool):
        raise BadParameter("rewriteHistory", "it must be true or false")
    digests = _digests(deletions.get("sha"))
    await web.call(request, large_files.delete_large_files, kind, name, digests, rewrite_history=rewrite)
    return as_json({})


async def share_files(request: Request) -> Response:
    """``POST …/lfs-files/duplicate``: on the source, with the target in the body."""
    kind, name = asked(request)
    body = await json_body(request)
    target, listed = body.get("target"), body.get("files")
    if not isinstance(target, dict) or not isinstance(listed, list):
        raise BadParameter("target", "'target' must be an object and 'files' a list")
    digests = _digests([item.get("sha256") if isinstance(item, dict) else None for item in listed])
    namespace, _, short = need_text(target, "name", most=300).partition("/")
    failed = await web.write_tx(
        request,
        large_files.share_large_files,
        kind,
        name,
        kind_of(target),
        RepoName(namespace, short),
        digests,
        now=utcnow(),
    )
    said = "This repository has no such large file."
    return as_json({"failed": [{"sha256": sha256, "error": said} for sha256 in failed]})


async def safetensors_metadata(request: Request) -> Response:
    """``GET …/safetensors-metadata/{file}``: the headers of all shards that an index file names."""
    kind, name = asked(request)
    values = request.path_params
    revision = text_of(dict(request.query_params), "revision", most=300)
    found = await web.call(request, read_safetensors_headers, kind, name, revision, values["path"])
    return as_json({"index": found.index, "headers": found.headers})


def _digests(value: Any) -> list[Sha256]:
    if not isinstance(value, list) or len(value) > MAX_FILES:
        raise BadParameter("sha", f"it must be a list of at most {MAX_FILES}")
    return [parse_sha256(item) for item in value]


ROUTES = [
    Route("GET", API + "/lfs-files", list_files, Access.WRITE, "hf"),
    Route("POST", API + "/lfs-files/batch", delete_files, Access.ADMIN, "hf"),
    Route("POST", API + "/lfs-files/duplicate", share_files, Access.READ, "hf"),
    Route("GET", API + "/safetensors-metadata/{path*}", safetensors_metadata, Access.READ, "hf"),
]

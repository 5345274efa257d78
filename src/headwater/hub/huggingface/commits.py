"""Writing: which way each file should come, and the commit itself."""

from __future__ import annotations

import binascii
import shutil
import tempfile
from pathlib import Path
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from headwater import web
from headwater.blobs.folder import refusing_when_full
from headwater.hub.content.commits import Committed, commit_draft
from headwater.hub.content.draft import MAX_BODY_BYTES, read_draft
from headwater.hub.content.errors import BadParameter
from headwater.hub.content.preupload import Candidate, plan_uploads
from headwater.hub.huggingface.answers import as_json
from headwater.hub.huggingface.asking import API, asked, flag, json_body, need_text, text_of
from headwater.web import Access, Route, Site
from headwater.web.bodies import BodyReader
from headwater.web.responses import ReadyResponse

MAX_CANDIDATES = 1000
MAX_SAMPLE_BYTES = 4096
PREUPLOAD_BYTES = 8 << 20


async def preupload(request: Request) -> Response:
    """``POST …/preupload/{rev}``: regular or lfs, ignored or not, and what is there now, for each file."""
    kind, name = asked(request)
    body = await json_body(request, limit_bytes=PREUPLOAD_BYTES)
    plans = await web.call(
        request,
        plan_uploads,
        kind,
        name,
        request.path_params["rev"],
        _candidates(body),
        git_ignore=text_of(body, "gitIgnore", most=256 << 10),
        as_pull=flag(request, "create_pr"),
    )
    return as_json(
        {
            "files": [
                {
                    "path": plan.path,
                    "uploadMode": "lfs" if plan.is_large else "regular",
                    "shouldIgnore": plan.is_ignored,
                    "oid": plan.oid,
                }
                for plan in plans
            ]
        }
    )


async def commit(request: Request) -> Response:
    """``POST …/commit/{rev}``: newline-separated JSON, read as it comes."""
    kind, name = asked(request)
    revision, as_pull = request.path_params["rev"], flag(request, "create_pr")
    site: Site = request.state.site
    actor = request.state.actor

    def consume(reader: BodyReader) -> Committed:
        spool = _Spool(site.blobs.tmp)
        try:
            with refusing_when_full():
                draft = read_draft(reader, spool)
                return commit_draft(site, actor, kind, name, revision, draft, as_pull=as_pull)
        finally:
            spool.remove()

    made = await web.receive_body(request, consume, limit_bytes=MAX_BODY_BYTES, decode=True)
    base = f"{site.base_url}/{made.repo.path}"
    answer: dict[str, Any] = {
        "success": True,
        "commitOid": made.commit,
        "commitUrl": f"{base}/commit/{made.commit}",
        "hookOutput": "",
    }
    if made.pull is not None:
        answer["pullRequestUrl"] = f"{base}/discussions/{made.pull}"
    return ReadyResponse(orjson.dumps(answer))


class _Spool:
    """A folder for contents that do not fit into memory, made when the first of them comes."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._folder: Path | None = None

    def path(self, name: str) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="commit-", dir=self._parent))
        return self._folder / name

    def remove(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)


def _candidates(body: dict[str, Any]) -> list[Candidate]:
    listed = body.get("files")
    if not isinstance(listed, list) or len(listed) > MAX_CANDIDATES:
        raise BadParameter("files", f"it must be a list of at most {MAX_CANDIDATES}")
    found = []
    for item in listed:
        if not isinstance(item, dict):
            raise BadParameter("files", "each must be an object")
        size = item.get("size")
        if type(size) is not int or size < 0:
            raise BadParameter("size", "it must be a number of bytes")
        sample = text_of(item, "sample", most=MAX_SAMPLE_BYTES) or ""
        try:
            data = binascii.a2b_base64(sample, strict_mode=True) if sample else b""
        except (binascii.Error, ValueError) as exc:
            raise BadParameter("sample", "it is not base64") from exc
        found.append(Candidate(need_text(item, "path"), data, size))
    return found


ROUTES = [
    Route("POST", API + "/preupload/{rev}", preupload, Access.WRITE, "hf"),
    Route("POST", API + "/commit/{rev}", commit, Access.WRITE, "hf"),
]

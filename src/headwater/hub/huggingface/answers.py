"""The JSON shapes of this door, as huggingface_hub reads them."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from headwater.hub.content.reading import Entry, TreeLines
from headwater.hub.git import CommitInfo, EntryKind, TreeEntry
from headwater.kernel import XetHash, to_iso


def as_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


def entry_json(entry: Entry, *, expand: bool) -> dict[str, Any]:
    """One line of ``tree`` and ``paths-info``. ``size`` is the large file's, not the pointer's."""
    shown = _line_json(entry.entry, entry.xet_hash)
    if expand and entry.last_commit is not None:
        last = entry.last_commit
        shown["lastCommit"] = {"id": last.oid, "title": last.title, "date": to_iso(last.committed_at)}
    return shown


def lines_json(page: TreeLines) -> bytes:
    """As ``entry_json`` for each line, written out; plain files, nearly all of a long listing, take the short way."""
    file = EntryKind.FILE
    return orjson.dumps(
        [
            {"type": "file", "oid": line[2], "size": line[3], "path": line[0]}
            if line[1] is file and line[4] is None
            else _line_json(line, None if line.sha256 is None else page.xet_hashes.get(line.sha256))
            for line in page.lines
        ]
    )


def _line_json(line: TreeEntry, xet_hash: XetHash | None) -> dict[str, Any]:
    kind = "directory" if line.kind is EntryKind.DIRECTORY else "file"
    shown: dict[str, Any] = {"type": kind, "oid": line.oid, "size": line.size_bytes, "path": line.path}
    if line.sha256 is not None:
        shown["lfs"] = {"oid": line.sha256, "size": line.size_bytes, "pointerSize": line.pointer_size}
        if xet_hash is not None:
            shown["xetHash"] = xet_hash
    return shown


def commit_json(commit: CommitInfo, *, formatted: bool) -> dict[str, Any]:
    """One line of ``commits``. Titles and messages are plain text; ``formatted`` is the same, escaped for HTML."""
    shown: dict[str, Any] = {
        "id": commit.oid,
        "title": commit.title,
        "message": commit.message,
        "authors": [{"user": commit.author_name}],
        "date": to_iso(commit.committed_at),
    }
    if formatted:
        shown["formatted"] = {"title": escape(commit.title), "message": escape(commit.message)}
    return shown


def escape(text: str) -> str:
    for plain, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;"), ("'", "&#39;")):
        text = text.replace(plain, safe)
    return text

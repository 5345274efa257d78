"""The JSON shapes of this door, as huggingface_hub reads them."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

from headwater.hub.content.reading import Entry, TreeLines
from headwater.hub.git import CommitInfo, EntryKind
from headwater.kernel import to_iso


def as_json(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(orjson.dumps(value), status, headers, "application/json")


def entry_json(entry: Entry, *, expand: bool) -> dict[str, Any]:
    """One line of ``tree`` and ``paths-info``. ``size`` is the large file's, not the pointer's."""
    line = entry.entry
    kind = "directory" if line.kind is EntryKind.DIRECTORY else "file"
    shown: dict[str, Any] = {"type": kind, "oid": line.oid, "size": line.size_bytes, "path": line.path}
    if line.sha256 is not None:
        shown["lfs"] = {"oid": line.sha256, "size": line.size_bytes, "pointerSize": line.pointer_size}
        if entry.xet_hash is not None:
            shown["xetHash"] = entry.xet_hash
    if entry.security is not None:
        shown["securityFileStatus"] = entry.security.to_json()
    if expand and entry.last_commit is not None:
        last = entry.last_commit
        shown["lastCommit"] = {"id": last.oid, "title": last.title, "date": to_iso(last.committed_at)}
    return shown


def lines_json(page: TreeLines) -> bytes:
    """As ``entry_json`` for each line, written out at once: an object for each would cost more than all the rest."""
    columns = page.columns
    paths, oids, text = columns.paths, columns.oids, "".join(columns.paths)
    if '"' in text or "\\" in text or not text.isprintable():
        paths = [orjson.dumps(path.encode(errors="replace").decode())[1:-1].decode() for path in paths]
    lines = [
        f'{{"type":"file","oid":"{oid.hex()}","size":{size},"path":"{path}"}}'
        for oid, size, path in zip(oids, columns.sizes, paths, strict=True)
    ]
    for n, mode in enumerate(columns.modes):
        if mode == b"40000":
            lines[n] = f'{{"type":"directory","oid":"{oids[n].hex()}","size":0,"path":"{paths[n]}"}}'
    for n, entry in page.unusual.items():
        lines[n] = orjson.dumps(entry_json(entry, expand=False)).decode()
    return f"[{','.join(lines)}]".encode()


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

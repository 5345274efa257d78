"""The headers of a sharded model, all at once: what an index file names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from headwater.accounts import Action
from headwater.blobs import read_all
from headwater.hub import files, gate
from headwater.hub.content.reading import open_revision
from headwater.hub.errors import FileNotFound
from headwater.hub.git import EntryKind
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.preview.weights import MAX_SAFETENSORS_HEAD, BadWeights
from headwater.kernel import Actor
from headwater.web import Site

MAX_INDEX_BYTES = 32 << 20
MAX_SHARDS = 1000


@dataclass(frozen=True)
class ShardHeaders:
    """``headers`` maps each shard to its JSON header; ``index`` is the index file without its map of tensors."""

    index: Mapping[str, Any]
    headers: Mapping[str, Any]


def read_safetensors_headers(
    site: Site, actor: Actor, kind: RepoKind, name: RepoName, revision: str | None, path: str
) -> ShardHeaders:
    """Headers of the shards that ``path`` (an index, or one ``.safetensors`` file) names.

    Raises:
        FileNotFound: the index or a shard is not there.
        BadWeights: one of them cannot be read.
        FileHeld: one of them is held back from this reader.
        As ``open_revision``; GateClosed too.
    """
    with open_revision(site, actor, kind, name, revision, action=Action.READ_FILES) as at:

        def read(where: str, limit_bytes: int) -> bytes | None:
            """A file's first bytes, None when there is no such file."""
            entry = at.snap.entry(at.commit, where)
            if entry is None or entry.kind is not EntryKind.FILE:
                return None
            with site.db.reading() as tx:
                hold = gate.find_hold(tx, at.repo.id, entry.sha256 or entry.oid, where)
                if hold is not None:
                    gate.require_open(tx, actor, at.repo, hold)
            if entry.sha256 is None:
                return at.snap.read_blob(entry.oid)[:limit_bytes]
            source = files.open_file(site, at.repo.id, entry.sha256, pull=None)
            return read_all(source, 0, limit_bytes, limit_bytes=limit_bytes)

        if path.endswith(".safetensors"):
            index: dict[str, Any] = {}
            shards = [path]
        else:
            index = _index(read(path, MAX_INDEX_BYTES), path, at.commit)
            shards = sorted({str(shard) for shard in index.pop("weight_map").values()})
        if len(shards) > MAX_SHARDS:
            raise BadWeights(f"it names more than {MAX_SHARDS} shards")
        folder = path.rpartition("/")[0]
        headers = {}
        for shard in shards:
            where = path if shard == path else f"{folder}/{shard}".removeprefix("/")
            first = read(where, 8)
            if first is None:
                raise FileNotFound(where, at.commit)
            length = int.from_bytes(first, "little")
            if length > MAX_SAFETENSORS_HEAD:
                raise BadWeights("its head is longer than is allowed")
            headers[shard] = _json((read(where, 8 + length) or b"")[8:])
    return ShardHeaders(index, headers)


def _index(data: bytes | None, path: str, commit: str) -> dict[str, Any]:
    if data is None:
        raise FileNotFound(path, commit)
    index = _json(data)
    if not isinstance(index.get("weight_map"), dict):
        raise BadWeights("the index has no weight_map")
    return index


def _json(data: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as exc:
        raise BadWeights("it is no JSON") from exc
    if not isinstance(found, dict):
        raise BadWeights("it is no JSON object")
    return found

"""From an endpoint to files that an engine can open: links to where the bytes lie, copies only where they lie in pieces.

Everything is below ``cache/serving`` of the data folder: ``models/<endpoint>-<commit>`` are folders of links, ``bytes/<name>``
copies of what came by Xet in several pieces, or lies in a store. Both can be deleted at any time while nothing runs.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from headwater import accounts
from headwater.accounts import Action
from headwater.blobs import ByteSource, Extent
from headwater.db import Tx
from headwater.hub import access as hub_access
from headwater.hub.content.reading import find_file, open_revision
from headwater.hub.models import RepoKind, RepoName
from headwater.kernel import Actor
from headwater.serving import engines
from headwater.serving.errors import NotServable
from headwater.serving.models import TRANSFORMERS, Endpoint
from headwater.serving.settings import ServingSettings
from headwater.web import Site
from headwater.web.responses import read_blocks

MOST_FILES = 2000


@dataclass(frozen=True)
class Resolved:
    """``model`` is what the engine is given: a GGUF file, or a folder."""

    model: Path
    size_bytes: int
    bytes_used: frozenset[str]  # names of copies that must stay while it runs


def resolve(site: Site, one: Endpoint) -> Resolved:
    """Everything the engine reads, at hand. Rights are asked anew, of whoever made the endpoint.

    Raises:
        NotServable: a file is gone, or whoever made the endpoint may not read the model any more.
        FileHeld, RepositoryNotFound and other refusals of reading.
    """
    actor, name = site.db.read(_maker_and_name, one)
    with open_revision(site, actor, RepoKind.MODEL, name, one.commit, action=Action.READ_FILES) as at:
        sizes = {entry.path: entry.size_bytes for entry in at.snap.iter_files(at.commit)}
    if one.engine == TRANSFORMERS:
        paths = [path for path in sizes if engines.is_read_by_transformers(path)][:MOST_FILES]
    else:
        if one.file is None or one.file not in sizes:
            raise NotServable(f"it has no file {one.file!r}.")
        paths = engines.parts_of(one.file, sizes)
    home = site.data_dir.absolute() / "cache" / "serving"
    folder = home / "models" / f"{one.id}-{one.commit[:12]}"
    fresh = folder.with_name(f"{folder.name}.new")
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(fresh)
    fresh.mkdir(parents=True)
    copies: set[str] = set()
    for path in paths:
        found = find_file(site, actor, RepoKind.MODEL, name, one.commit, path)
        target = fresh / path.rpartition("/")[2]
        whole = _whole_file(found.source)
        if whole is not None:
            target.symlink_to(whole)
        elif found.entry.sha256 is None:
            _write(found.source, target)
        else:
            copies.add(found.entry.sha256)
            target.symlink_to(_copy(site, home / "bytes", found.entry.sha256, found.source, copies))
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)
    fresh.rename(folder)
    model = folder if one.engine == TRANSFORMERS else folder / paths[0].rpartition("/")[2]
    return Resolved(model, sum(sizes[path] for path in paths), frozenset(copies))


def forget(site: Site, one: Endpoint) -> None:
    """Remove an endpoint's folder of links."""
    home = site.data_dir.absolute() / "cache" / "serving" / "models"
    for folder in home.glob(f"{one.id}-*"):
        shutil.rmtree(folder, ignore_errors=True)


def _maker_and_name(tx: Tx, one: Endpoint) -> tuple[Actor, RepoName]:
    maker = accounts.get_accounts(tx, [one.created_by]).get(one.created_by)
    if maker is None or maker.suspended_at is not None:
        raise NotServable("whoever made this endpoint has no account any more; make it anew.")
    actor = Actor(account_id=maker.id, name=maker.name, is_site_admin=maker.is_site_admin)
    repo = hub_access.get_repository_by_id(tx, actor, one.repo_id, Action.READ_FILES)
    return actor, repo.name


def may_still_run(tx: Tx, one: Endpoint) -> str | None:
    """None, or why it may not: rights end while an engine runs."""
    from headwater.kernel import HeadwaterError

    try:
        _maker_and_name(tx, one)
    except HeadwaterError as error:
        return error.message
    return None


def _whole_file(source: ByteSource) -> Path | None:
    """The one local file that these bytes are, where they are one."""
    if not source.is_local:
        return None
    pieces = source.pieces(0, source.size_bytes)
    first = next(pieces, None)
    if not isinstance(first, Extent) or first.offset or first.count != source.size_bytes:
        return None
    return first.path if first.path.stat().st_size == first.count else None


def _write(source: ByteSource, target: Path) -> None:
    with target.open("wb") as out:
        for block in read_blocks(source.pieces(0, source.size_bytes)):
            out.write(block)


def _copy(site: Site, folder: Path, name: str, source: ByteSource, keep: set[str]) -> Path:
    """The bytes as one file, made once; room is made by removing what was not used for the longest time."""
    path = folder / name
    if path.exists() and path.stat().st_size == source.size_bytes:
        os.utime(path)
        return path
    folder.mkdir(parents=True, exist_ok=True)
    _make_room(folder, source.size_bytes, site.settings.of(ServingSettings).cache_bytes, keep)
    temporary = path.with_name(f"{name}.{os.getpid()}.new")
    try:
        _write(source, temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def _make_room(folder: Path, size_bytes: int, limit_bytes: int, keep: set[str]) -> None:
    """A copy that an engine has open stays on the disk until that ends, whatever its name does."""
    files = sorted((path for path in folder.iterdir() if path.name not in keep), key=lambda path: path.stat().st_mtime)
    used = sum(path.stat().st_size for path in folder.iterdir())
    while files and used + size_bytes > limit_bytes:
        oldest = files.pop(0)
        used -= oldest.stat().st_size
        oldest.unlink(missing_ok=True)

"""Packs that pile up, packs that nobody needs, and what should be forgotten.

*Merging* keeps every object and may happen at any time. *Pruning* removes what no ref reaches; it raises the prune
epoch, so that a push or commit that was checked before it is checked again (storage rules, 1). Neither removes bytes:
rows go after a grace time, files only once they have been without a row for long.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import re
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from headwater import ledger, queue
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub import access, events, quotas
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.gate import store as gate_store
from headwater.hub.git import store
from headwater.hub.git.cache import GitStore
from headwater.hub.git.folders import pack_key
from headwater.hub.git.lastchanged import forget_last_changed
from headwater.hub.git.models import BuiltPack
from headwater.hub.git.packs import INDEX_BYTES, INDEX_BYTES_EACH, PackWriter, copy_small_pack, read_small_pack
from headwater.hub.git.publish import stored_pack
from headwater.hub.git.snapshot import Snapshot
from headwater.hub.placing import placing
from headwater.kernel import SYSTEM, Actor, RepoId, Sha256, utcnow
from headwater.web import Site

GRACE = timedelta(hours=1)
ORPHAN_AGE_S = 24 * 3600.0
CROWDED = 20
JOINED_BYTES = 1 << 20  # of objects, uncompressed
FACTOR = 2
PRUNE_TRIES = 30

_PACK_KEY = re.compile(r"^.*/pack-([0-9a-f]+)\..*$")

_log = logging.getLogger("headwater.hub.git")


def merge_packs(site: Site, payload: dict[str, Any]) -> None:
    """Job: merge small packs until each is at least twice as large as all smaller ones together; safe to repeat."""
    repo_id = RepoId(payload["repo_id"])
    try:
        with site.db.reading() as tx:
            state = store.read_state(tx, repo_id)
            chosen = choose_packs(state.packs)
            if len(chosen) < 2:
                return
            bytes_of = _bytes_in_rows(tx, chosen)
        built = None if bytes_of is None else _join_in_memory(site, repo_id, chosen, bytes_of)
        if built is not None:
            _put_in_place(site, repo_id, state.head.prune_epoch, chosen, built)
            return
        with site.part(GitStore).open(repo_id) as snap:
            if state.head.prune_epoch != snap.prune_epoch:
                return
            with tempfile.TemporaryDirectory(prefix="merge-", dir=site.blobs.tmp) as folder:
                names = "".join(f"pack-{row.name}.pack\n" for row in chosen)
                built = _pack_objects(snap, Path(folder), ["--stdin-packs"], names)
                if built is not None:
                    _put_in_place(site, repo_id, snap.prune_epoch, chosen, built)
    except RepositoryNotFound:
        return


def _put_in_place(site: Site, repo_id: RepoId, epoch: int, chosen: list[store.PackRow], built: BuiltPack) -> None:
    with stored_pack(site, repo_id, built) as inline:
        site.db.write(_replace, repo_id, epoch, chosen, built, inline, utcnow())


def choose_packs(packs: Sequence[store.PackRow]) -> list[store.PackRow]:
    """The packs to merge into one: the fewest small ones after which sizes grow geometrically again."""
    ordered = sorted(packs, key=lambda row: (row.size_bytes, row.id))
    sums = [0]
    for row in ordered:
        sums.append(sums[-1] + row.size_bytes)
    n = max((i + 1 for i, row in enumerate(ordered) if i and row.size_bytes < FACTOR * sums[i]), default=0)
    return ordered[:n]


def _bytes_in_rows(tx: Tx, chosen: Sequence[store.PackRow]) -> dict[int, tuple[bytes, bytes]] | None:
    """Those of few small packs that lie in their rows; None when they are too much to be joined in memory."""
    if sum(row.size_bytes for row in chosen) > JOINED_BYTES:
        return None
    return store.find_pack_bytes(tx, [row.id for row in chosen if row.is_inline])


def _join_in_memory(
    site: Site, repo_id: RepoId, chosen: Sequence[store.PackRow], bytes_of: dict[int, tuple[bytes, bytes]]
) -> BuiltPack | None:
    """One pack of few small ones, without the git program and the files it would need; None when they are too much.

    What commits leave behind is joined so most times. Git finds the differences when larger packs are merged.
    """
    left = JOINED_BYTES
    for row in chosen:
        if not row.is_inline:
            found = _read_pack(site, repo_id, row)
            if found is None:
                return None
            bytes_of[row.id] = found
    with PackWriter(site.blobs.tmp) as pack:
        for row in chosen:
            if row.id not in bytes_of:
                return None
            copied = copy_small_pack(*bytes_of[row.id], left)
            if copied is not None:  # as they are: a third of the work
                for name, chunk, crc, size in copied:
                    left -= size
                    pack.add_copied(name, chunk, crc)
                continue
            objects = read_small_pack(*bytes_of[row.id], left)
            if objects is None:
                return None
            for oid, (kind, data) in objects.items():
                left -= len(data)
                pack.add_known(bytes.fromhex(oid), kind, data)
        return pack.finish()


def _read_pack(site: Site, repo_id: RepoId, row: store.PackRow) -> tuple[bytes, bytes] | None:
    """Pack and index out of their objects; None where they are not there as they were stored."""
    sizes = {".pack": row.size_bytes, ".idx": INDEX_BYTES + INDEX_BYTES_EACH * row.n_objects}
    try:
        data, idx = (site.blobs.read_range(pack_key(repo_id, row.name, end), 0, size) for end, size in sizes.items())
    except FileNotFoundError:
        return None
    is_whole = all(hashlib.sha1(part[:-20], usedforsecurity=False).digest() == part[-20:] for part in (data, idx))
    return (data, idx) if is_whole and data[-20:].hex() == idx[-40:-20].hex() == row.name else None


def prune_repository(site: Site, actor: Actor, repo_id: RepoId, *, now: datetime | None = None) -> int:
    """Forget every object that no ref reaches; returns how many are left. The caller has asked for access.

    The right to large files that nothing names any more goes with them. From now on nobody can read them; their bytes leave the disk by and by, as ``collect`` comes to them.

    Raises:
        RepositoryNotFound
    """
    for _ in range(PRUNE_TRIES):
        with site.part(GitStore).open(repo_id) as snap, tempfile.TemporaryDirectory(dir=site.blobs.tmp) as folder:
            built = _pack_objects(snap, Path(folder), ["--all"], "")
            unnamed = site.db.read(_find_unnamed, repo_id, built)
            unheld = site.db.read(_find_unheld, repo_id, built, unnamed)
            with stored_pack(site, repo_id, built) as inline:
                done = site.db.write(
                    _prune, actor, repo_id, snap.version, built, inline, unnamed, unheld, now or utcnow()
                )
        if done:
            site.part(GitStore).evict()
            return 0 if built is None else built.n_objects
    raise TimeoutError(f"repository {repo_id} changes faster than it can be pruned")


def run_prune(site: Site, payload: dict[str, Any]) -> None:
    """Job: as ``prune_repository``."""
    try:
        prune_repository(site, SYSTEM, RepoId(payload["repo_id"]))
    except RepositoryNotFound:
        return


def collect(site: Site) -> None:
    """Periodic: have crowded repositories merged, and remove what has been retired or left over long enough."""
    crowded = site.db.read(store.list_crowded, CROWDED)
    if crowded:
        site.db.write(_queue_merges, crowded)
    n_orphans = 0
    with site.db.holding("pack-collector", exclusive=True, wait=False) as held:
        if held:  # else a backup is being made
            while site.db.write(store.delete_retired, utcnow() - GRACE):
                pass
            held.check()  # so nothing that a backup names has lost its row here
            n_orphans = sum(1 for _ in remove_orphans(site))
    if n_orphans:
        _log.info("packs.collected", extra={"n_orphans": n_orphans})


def evict_here(site: Site) -> None:
    """Periodic, on each host: keep its cache of repositories in bounds."""
    n_evicted = site.part(GitStore).evict()
    if n_evicted:
        _log.info("cache.evicted", extra={"n_evicted": n_evicted})


def remove_orphans(site: Site, *, age_s: float = ORPHAN_AGE_S) -> Iterator[str]:
    """Remove packs that no row names; yields the keys that went.

    A pack may get its row at any moment, even one that lay here without for long: the same push, done again. So the last
    look is taken while nobody stands between a pack and its row (``hub.placing``).
    """
    before = time.time() - age_s
    old = (found.key for found in site.blobs.iter_keys("git/") if found.modified_at < before)
    for folder, keys in itertools.groupby(old, key=lambda key: key.split("/")[1]):
        if not folder.isdigit():
            continue
        repo_id, group = RepoId(int(folder)), list(keys)
        for key in _without_row(site, repo_id, group):
            with placing(site.db, exclusive=True) as alone:
                found = site.blobs.find(key)
                gone = found is not None and found.modified_at < before and bool(_without_row(site, repo_id, [key]))
                if gone:
                    alone.check()
                    site.blobs.delete(key)
            if gone:
                yield key


def _without_row(site: Site, repo_id: RepoId, keys: Sequence[str]) -> list[str]:
    named = site.db.read(store.find_pack_names, repo_id)
    return [key for key in keys if _PACK_KEY.sub(r"\1", key) not in named]


def _pack_objects(snap: Snapshot, folder: Path, args: list[str], stdin: str) -> BuiltPack | None:
    """Run ``git pack-objects``; None when there was nothing to pack."""
    fixed = ["pack-objects", "--quiet", "--non-empty", "--delta-base-offset", "--threads=1"]
    out = snap.run_git(*fixed, *args, str(folder / "pack"), stdin=stdin.encode(), timeout_s=4 * 3600)
    name = out.decode().strip()
    if not name:
        return None
    data, idx = folder / f"pack-{name}.pack", folder / f"pack-{name}.idx"
    with data.open("rb") as file:
        n_objects = int.from_bytes(file.read(12)[8:], "big")
    return BuiltPack(name, n_objects, data.stat().st_size, idx, data, is_lent=True)


def _replace(
    tx: Tx,
    repo_id: RepoId,
    epoch: int,
    chosen: list[store.PackRow],
    built: BuiltPack,
    inline: tuple[bytes, bytes] | None,
    now: datetime,
) -> None:
    state = store.read_state(tx, repo_id)
    live = {row.id for row in state.packs}
    if state.head.prune_epoch != epoch or not live.issuperset(row.id for row in chosen):
        return  # pruned, or merged by another; the pack that was made has no row and is collected
    store.insert_pack(tx, repo_id, built.name, built.size_bytes, built.n_objects, inline, now)
    store.replace_packs(tx, repo_id, [row.id for row in chosen if row.name != built.name], pruned=False, now=now)
    quotas.recount_packs(tx, repo_id)


def _find_unnamed(tx: Tx, repo_id: RepoId, built: BuiltPack | None) -> list[Sha256]:
    """Large files of the repository's that no pointer in the pack names. What a publish may add raises the version."""
    kept = set() if built is None else set(_iter_oids(built.idx))
    named: dict[Sha256, bool] = {}
    for oid, sha256 in store.find_repository_pointers(tx, repo_id):
        named[sha256] = named.get(sha256, False) or oid in kept
    return [sha256 for sha256, is_named in named.items() if not is_named]


def _find_unheld(tx: Tx, repo_id: RepoId, built: BuiltPack | None, unnamed: Sequence[Sha256]) -> list[str]:
    """Files that the gate holds back, and that are gone with this."""
    held = gate_store.list_contents(tx, repo_id)
    if not held:
        return []
    kept = set() if built is None else set(_iter_oids(built.idx))
    return [content for content in held if content in unnamed or (len(content) == 40 and content not in kept)]


def _iter_oids(idx: Path | bytes) -> Iterator[str]:
    """The objects of a pack, out of its index of version 2."""
    data = idx if isinstance(idx, bytes) else idx.read_bytes()
    n_objects = int.from_bytes(data[8 + 255 * 4 : 8 + 256 * 4])
    for at in range(8 + 256 * 4, 8 + 256 * 4 + 20 * n_objects, 20):
        yield data[at : at + 20].hex()


def _prune(
    tx: Tx,
    actor: Actor,
    repo_id: RepoId,
    version: int,
    built: BuiltPack | None,
    inline: tuple[bytes, bytes] | None,
    unnamed: Sequence[Sha256],
    unheld: Sequence[str],
    now: datetime,
) -> bool:
    state = store.read_state(tx, repo_id)
    if state.head.version != version:
        return False
    name = None
    if built is not None:
        name = built.name
        store.insert_pack(tx, repo_id, built.name, built.size_bytes, built.n_objects, inline, now)
    store.replace_packs(tx, repo_id, [row.id for row in state.packs if row.name != name], pruned=True, now=now)
    store.drop_unnamed(tx, repo_id, unnamed)
    gate_store.drop_contents(tx, repo_id, unheld)
    quotas.recount_packs(tx, repo_id)
    forget_last_changed(tx, repo_id)
    queue.put(tx, events.BUILD_LAST_CHANGED, {"repo_id": repo_id}, unique=str(repo_id), now=now)
    repo = access.get_repository_by_id(tx, SYSTEM, repo_id, Action.READ)
    facts = {"epoch": repo.prune_epoch, "n_objects": 0 if built is None else built.n_objects}
    ledger.record(
        tx,
        actor,
        "repository.pruned",
        repo.path,
        facts,
        private=repo.is_private,
        repo_id=repo_id,
        owner_id=repo.owner_id,
        now=now,
    )
    return True


def _queue_merges(tx: Tx, repo_ids: Sequence[RepoId]) -> None:
    for repo_id in repo_ids:
        queue.put(tx, events.MERGE_PACKS, {"repo_id": repo_id}, unique=str(repo_id))

"""Making a backup: hold the collector, copy the database, bring the objects it names, say that it is whole.

Objects that an earlier snapshot has brought are known by name and size, and are not read again unless it is asked for: so a backup
with nothing changed reads the database and one listing, and writes what its own note in the database has changed.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path

from headwater import __version__, accounts, ledger
from headwater.blobs import BlobStore
from headwater.db import Tx
from headwater.db.schema import read_reach
from headwater.hub.backup import names
from headwater.hub.backup.dumping import dump_database
from headwater.hub.backup.folder import (
    FORMAT,
    BackupBusy,
    BackupDamaged,
    BackupFailed,
    BackupIncomplete,
    BackupOfAnotherSite,
    Manifest,
    claimed_sha256,
    hash_file,
)
from headwater.hub.backup.parts import Contents, Part, cut_at_lines, in_order
from headwater.hub.backup.places import FolderPlace, Place, object_name, read_key_files, write_key
from headwater.hub.backup.snapshots import OBJECTS, Kept, Snapshot, latest_snapshot
from headwater.hub.checking import store as upkeep
from headwater.hub.collector.clock import keep_backup_time
from headwater.hub.placing import COLLECTOR_LOCKS
from headwater.hub.xet import store as xet_store
from headwater.kernel import SYSTEM, HeadwaterError, from_iso, to_iso, utcnow
from headwater.web.site import Site

BLOCK = 1 << 20

Progress = Callable[[float], None]


def make_backup(
    site: Site,
    to: Path | Place,
    *,
    database_url: str | None,
    keep: int,
    progress: Callable[[int], Progress] | None = None,
    keys_to: Path | None = None,
    reads_all: bool = False,
) -> Snapshot:
    """Add a snapshot to a place; objects that earlier ones have brought are not copied again.

    Args:
        database_url: of PostgreSQL, None for SQLite.
        keep: how many snapshots stay, this one included; objects that none of them names are removed.
        progress: given the number of bytes to copy, returns what is told of each step.
        keys_to: a folder for what the site signs with, so that whoever has the backup has not the keys; None: with it.
        reads_all: believe no earlier snapshot: read every object of the site, and all that the place has; what is bad there is
            brought anew.

    Raises:
        BackupIncomplete: the site's store lacks what its database names.
        BackupBusy, BackupOfAnotherSite, BackupFailed: of the place.
        DatabaseToolMissing, DatabaseToolFailed: of PostgreSQL.
    """
    place = FolderPlace(to) if isinstance(to, Path) else to
    started_at = utcnow()
    with _telling(place):
        place.prepare()
    try:
        with (
            _telling(place),
            place.locked(exclusive=True),
            site.db.holding("backup", exclusive=True, wait=False) as held,
        ):
            if not held:
                raise BackupBusy(place.name)
            deposit = Deposit(place, reads_all=reads_all)
            snapshot = _make(site, deposit, database_url, progress, keys_to)
            site.db.write(_note_made, snapshot.manifest, started_at)
            place.forget_old(snapshot.name, keep, deposit.there)
    except HeadwaterError as exc:
        with contextlib.suppress(HeadwaterError):  # the database may be what fails
            site.db.write(_note_failed, exc.code, started_at)
        raise
    return snapshot


@contextlib.contextmanager
def _telling(place: Place) -> Iterator[None]:
    """A disk that is full, and the like, in one sentence.

    Raises:
        BackupFailed
    """
    try:
        yield
    except (OSError, sqlite3.Error) as exc:
        raise BackupFailed(place.name, exc) from exc


class Deposit:
    """Brings bytes to a place, each once. ``there`` is what lies there, by name; it was listed once."""

    def __init__(self, place: Place, *, reads_all: bool) -> None:
        self.place = place
        self.there = place.object_sizes()
        self.brought: set[str] = set()
        if reads_all:
            for name in list(in_order(self._find_bad, self.there)):
                self.there.pop(name or "", None)
        self.base = None if reads_all else latest_snapshot(place)

    def has(self, sha256: str, size: int) -> bool:
        return self.there.get(object_name(sha256)) == size

    def take(self, temporary: Path, sha256: str) -> None:
        """A local file that is not there yet."""
        size = temporary.stat().st_size
        self.place.put(temporary, sha256)
        self.there[object_name(sha256)] = size
        self.brought.add(sha256)

    def take_part(self, data: bytes, *, compares: bool = True) -> Part:
        """``compares``: what is there already is read, since every snapshot that shares it would be lost with it."""
        part = Part(hashlib.sha256(data).hexdigest(), len(data))
        if not self.has(part.sha256, part.size_bytes) or (compares and self.place.read(part) != data):
            with self.place.temporary() as temporary:
                temporary.write_bytes(data)
                self.take(temporary, part.sha256)
        return part

    def _find_bad(self, name: str) -> str | None:
        sha256 = name.rpartition("/")[2]
        try:
            with self.place.object(sha256) as path:
                return None if hash_file(path) == sha256 else name
        except FileNotFoundError:  # no name of an object
            return name


def _make(
    site: Site,
    deposit: Deposit,
    database_url: str | None,
    progress: Callable[[int], Progress] | None,
    keys_to: Path | None,
) -> Snapshot:
    started, place = utcnow(), deposit.place
    identity = site.db.read(accounts.find_identity)
    _require_own(place, None if identity is None else identity.id)
    with place.making(started.strftime("%Y%m%dT%H%M%S%fZ")) as work:
        name = work.name
        with contextlib.ExitStack() as holds:
            locks = [holds.enter_context(site.db.holding(lock, exclusive=True)) for lock in COLLECTOR_LOCKS]
            files, cut = dump_database(site.data_dir, work, database_url)
            # Read after the dump: nothing that it names is removed meanwhile, so this is all of it and perhaps more.
            epoch, named = site.db.read(_list_named)
            objects = _bring_all(site.blobs, named, epoch, deposit, progress)
            for lock in locks:
                lock.check()
        schema, breaks_before = site.db.read(lambda tx: read_reach(tx.conn))
        take = partial(deposit.take_part, compares=not place.is_remote)  # a store looks after its own bytes
        contents = Contents({file: list(in_order(take, cut(path))) for file, path in files.items()})
        database_bytes = sum(path.stat().st_size for path in files.values())
        listed = work / OBJECTS
        listed.write_text("".join(kept.line for kept in sorted(objects, key=lambda kept: kept.key)))
        contents.files[OBJECTS] = [deposit.take_part(data) for data in cut_at_lines(listed)]
        own = deposit.take_part(contents.dump())
        _keep_keys(site, place, name, keys_to)
        manifest = Manifest(
            format=FORMAT,
            made_at=to_iso(started),
            version=__version__,
            database=site.db.dialect,
            contents_sha256=own.sha256,
            contents_bytes=own.size_bytes,
            database_bytes=database_bytes,
            n_objects=len(objects),
            object_bytes=sum(kept.size_bytes for kept in objects),
            epoch=epoch,
            site_id=None if identity is None else identity.id,
            schema=schema,
            breaks_before=breaks_before,
        )
        snapshot = Snapshot(place, name, manifest)
        before = frozenset[str]() if deposit.base is None else deposit.base.named()
        place.publish(name, manifest, work, (_all_of(own, contents, objects) - before) | deposit.brought)
    return snapshot


def _all_of(own: Part, contents: Contents, objects: Iterable[Kept]) -> set[str]:
    parts = {part.sha256 for parts in contents.files.values() for part in parts}
    return {own.sha256, *parts, *(kept.sha256 for kept in objects)}


def _list_named(tx: Tx) -> tuple[int, dict[str, int | None]]:
    return xet_store.find_epoch(tx), names.list_named(tx)


def _require_own(place: Place, site_id: str | None) -> None:
    """That the place keeps no other site's snapshots: --keep would end them, one by one.

    Raises:
        BackupOfAnotherSite
    """
    for name in reversed(place.list_snapshots()):
        with contextlib.suppress(BackupDamaged):
            theirs = place.read_manifest(name).site_id
            if theirs is not None and theirs != site_id:
                raise BackupOfAnotherSite(place.name, theirs, str(site_id))
            return


def _note_made(tx: Tx, manifest: Manifest, started_at: datetime) -> None:
    facts = {"contents": manifest.contents_sha256, "n_objects": manifest.n_objects, "bytes": manifest.object_bytes}
    keep_backup_time(tx, from_iso(manifest.made_at))
    upkeep.insert_run(tx, "backup", is_good=True, started_at=started_at, now=utcnow(), facts=facts)
    ledger.record(tx, SYSTEM, "backup.made", "site", facts, now=utcnow())


def _note_failed(tx: Tx, code: str, started_at: datetime) -> None:
    upkeep.insert_run(tx, "backup", is_good=False, started_at=started_at, now=utcnow(), facts={"code": code})


def _bring_all(
    blobs: BlobStore,
    named: dict[str, int | None],
    epoch: int,
    deposit: Deposit,
    progress: Callable[[int], Progress] | None,
) -> list[Kept]:
    """Every object, with what is not there yet brought.

    A key that holds its own sha256 is known by that. Packs and xorbs are known by what the latest snapshot says of their key,
    unless the site was restored since: from then on the key of a lost xorb may be given to other bytes.
    """
    base = deposit.base
    known = base.objects if base is not None and base.manifest.epoch == epoch else {}
    found: list[Kept] = []
    missing: list[str] = []
    advance = progress(sum(size or 0 for size in named.values())) if progress is not None else lambda _: None

    def lacking() -> Iterator[tuple[str, int | None]]:
        for key, size in named.items():
            kept = _known(key, size, known.get(key))
            if kept is not None and deposit.has(kept.sha256, kept.size_bytes):
                found.append(kept)
                advance(kept.size_bytes)
            else:
                yield key, size

    def bring(one: tuple[str, int | None]) -> tuple[str, Kept | None]:
        return one[0], _bring(blobs, *one, deposit)

    for key, brought in in_order(bring, lacking()):
        if brought is None:
            missing.append(key)
        else:
            found.append(brought)
            advance(brought.size_bytes)
    if missing:
        raise BackupIncomplete(missing)
    return found


def _known(key: str, size: int | None, before: Kept | None) -> Kept | None:
    claimed = claimed_sha256(key)
    if claimed is not None and size is not None:
        return Kept(key, size, claimed)
    return before if before is not None and size in (None, before.size_bytes) else None


def _bring(blobs: BlobStore, key: str, size: int | None, deposit: Deposit) -> Kept | None:
    """The object, if it is there and what its row and its name say."""
    with deposit.place.temporary() as temporary:
        try:
            with blobs.local_copy(key) as source:
                sha256, found = _copy(source, temporary)
        except FileNotFoundError:
            return None
        claimed = claimed_sha256(key)
        if (size is not None and found != size) or (claimed and sha256 != claimed):
            return None
        if not deposit.has(sha256, found):
            deposit.take(temporary, sha256)
        return Kept(key, found, sha256)


def _copy(source: Path, target: Path) -> tuple[str, int]:
    """Returns the sha256 and size of what was copied."""
    hasher, total, block = hashlib.sha256(), 0, memoryview(bytearray(BLOCK))
    with source.open("rb", buffering=0) as file, target.open("xb", buffering=0) as out:
        while n := file.readinto(block):
            hasher.update(block[:n])
            total += n
            left = block[:n]
            while left:
                left = left[out.write(left) :]
    return hasher.hexdigest(), total


def _keep_keys(site: Site, place: Place, snapshot: str, keys_to: Path | None) -> None:
    for name, data in read_key_files(site.data_dir).items():
        if keys_to is None:
            place.put_key(snapshot, name, data)
            continue
        keys_to.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_key(keys_to / name, data)

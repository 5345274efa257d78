"""Making a site out of a backup: objects first, each checked; the database last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy import inspect, text

from headwater import ledger
from headwater.blobs import BlobStore
from headwater.blobs.s3 import SITE_OBJECT
from headwater.db import SQLITE_FILE, Database, Tx
from headwater.db.copying import PostgresqlSide, Side, SqliteSide
from headwater.db.moving import find_move
from headwater.db.schema import require_known
from headwater.hub.backup import names
from headwater.hub.backup.dumping import BARE, run_tool
from headwater.hub.backup.folder import (
    BackupDamaged,
    Manifest,
    NoBackup,
    NotEmpty,
    StoreNotEmpty,
)
from headwater.hub.backup.places import Place, read_key_files, write_key
from headwater.hub.backup.snapshots import DATABASE, Snapshot
from headwater.hub.files import copies
from headwater.hub.xet import store as xet_store
from headwater.kernel import SYSTEM, utcnow
from headwater.web.site import Site


def chosen_snapshot(place: Place, name: str | None) -> Snapshot:
    """The latest one, or the one of this name.

    Raises:
        NoBackup: there is none.
        BackupDamaged: what it says of itself is not what was written.
    """
    found = [one for one in place.list_snapshots() if name in (None, one)]
    if not found:
        raise NoBackup(place.name)
    snapshot = Snapshot(place, found[-1])
    snapshot.objects  # noqa: B018 -- with its contents: damage is told before anything is begun
    return snapshot


def find_keys(place: Place, snapshot: str, keys_from: Path | None) -> dict[str, bytes]:
    """What the site signs with: kept with the snapshot, or in a folder of its own; nothing where SQL has it."""
    return place.read_keys(snapshot) if keys_from is None else read_key_files(keys_from)


def require_free(manifest: Manifest, data_dir: Path, db: Database, blobs: BlobStore, *, takes_over: bool) -> bool:
    """Before anything is written: that database and store can take this site, and hold no other.

    Args:
        takes_over: the objects in the store are this site's own, and nobody uses them any more.

    Returns:
        Whether a restore was begun here before, which goes on.

    Raises:
        BackupDamaged: it is of the other kind of database.
        SchemaTooNew: a later release has made it.
        NotEmpty, StoreNotEmpty: the database, or the store, holds a site.
        StoreOfAnotherSite: the store holds another one.
    """
    if manifest.database != db.dialect:
        raise BackupDamaged(f"it was made of {manifest.database}, and this site is to be kept in {db.dialect}")
    require_known(manifest.schema, manifest.breaks_before)
    if db.dialect == "sqlite":
        holds_site = (data_dir / SQLITE_FILE).exists()
    else:
        holds_site = db.read(lambda tx: inspect(tx.conn).has_table("site_identity"))
    is_begun = (holds_site or db.dialect == "postgresql") and _is_begun(db)
    if holds_site and not is_begun:
        raise NotEmpty(str(data_dir) if db.dialect == "sqlite" else "The database")
    # Claimed once all objects are there: until then an earlier restore that was broken off leaves no mark, and is repeated.
    if manifest.site_id is not None and blobs.is_remote and blobs.exists(SITE_OBJECT):
        blobs.claim(manifest.site_id)
        if not is_begun and not takes_over:
            raise StoreNotEmpty(getattr(blobs, "place", "The store"))
    return is_begun


def _is_begun(db: Database) -> bool:
    move = db.read(find_move)
    return move is not None and move.state == "restoring"


def _mark(side: Side, manifest: Manifest) -> None:
    facts = {"one": 1, "state": "restoring", "target": manifest.contents_sha256, "site": manifest.site_id or ""}
    side.note_move(facts)


def restore_objects(snapshot: Snapshot, blobs: BlobStore, advance: Callable[[float], None]) -> None:
    """Put every object of a snapshot in its place; one that is there already in full stays. Safe to repeat.

    Raises:
        BackupDamaged: an object is missing or altered.
    """
    blobs.ensure()
    for kept in snapshot.objects.values():
        with snapshot.opened(kept) as path:
            if blobs.size_of(kept.key) != kept.size_bytes:
                with blobs.temporary() as temporary:
                    shutil.copyfile(path, temporary)
                    blobs.adopt(temporary, kept.key)
        advance(kept.size_bytes)


def fetch_database(snapshot: Snapshot, data_dir: Path) -> Path:
    """Put the snapshot's database together in a folder of its own, each part of it checked; returns that folder.

    Raises:
        BackupDamaged: a part is missing or altered.
    """
    folder = data_dir / "database.restoring"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        snapshot.write_database(folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def restore_database(
    fetched: Path,
    manifest: Manifest,
    data_dir: Path,
    database_url: str | None,
    *,
    again: bool,
    keys: Mapping[str, bytes],
) -> None:
    """The database, and the keys that its sessions, links and checkpoints were signed with.

    From its first row on it says that the site is not whole: until ``note_restored`` no server starts on it.

    Args:
        fetched: what ``fetch_database`` has made; it is used up.
        again: an earlier restore may have left its tables here.

    Raises:
        DatabaseToolMissing, DatabaseToolFailed
    """
    for name, data in keys.items():
        write_key(data_dir / name, data)
    if database_url is not None:
        there = PostgresqlSide(database_url)
        try:
            _mark(there, manifest)
        finally:
            there.close()
        arguments = [*BARE, "--exit-on-error", "--single-transaction", *(["--clean", "--if-exists"] if again else [])]
        run_tool("pg_restore", database_url, [*arguments, "--format=directory", str(fetched / DATABASE)])
        shutil.rmtree(fetched)
        return
    temporary = data_dir / "headwater.db.restoring"
    temporary.unlink(missing_ok=True)
    (fetched / DATABASE).replace(temporary)
    fetched.rmdir()
    side = SqliteSide(temporary)
    try:
        side.give_up()  # of a move that was under way when the snapshot was made
        _mark(side, manifest)
    finally:
        side.close()
    fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    os.fsync(fd)
    os.close(fd)
    for left in ("-wal", "-shm"):  # of whoever tried to open what an earlier restore had begun
        (data_dir / f"{SQLITE_FILE}{left}").unlink(missing_ok=True)
    temporary.replace(data_dir / SQLITE_FILE)
    (data_dir / "headwater.db.restoring.lock").unlink(missing_ok=True)


def verify_named(site: Site) -> int:
    """That every object which the restored database names is there in full; returns how many.

    Raises:
        BackupDamaged: one is not.
    """
    named = site.db.read(names.list_named)
    for key, size in named.items():
        found = site.blobs.size_of(key)
        if found is None or (size is not None and found != size):
            raise BackupDamaged(f"the database names object {key}, which the snapshot does not have")
    return len(named)


def note_restored(site: Site, manifest: Manifest) -> int:
    """Clients remember what they sent after the snapshot was made: a new epoch makes them send it again (storage rules, 4)."""
    return site.db.write(_note, manifest)


def _note(tx: Tx, manifest: Manifest) -> int:
    from headwater.hub import uploads  # with much that a backup does not need

    epoch = xet_store.raise_epoch(tx)
    copies.forget_all(tx)
    tx.execute(text(uploads.SEND_AGAIN))  # no snapshot has their parts
    tx.execute(text("DROP TABLE IF EXISTS site_move"))  # with this the site is whole
    facts = {"contents": manifest.contents_sha256, "made_at": manifest.made_at, "epoch": epoch}
    ledger.record(tx, SYSTEM, "site.restored", "site", facts, now=utcnow())
    return epoch

"""Making a site out of a backup: objects first, each checked; the database last."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import inspect, text

from headwater import ledger
from headwater.blobs import BlobStore
from headwater.blobs.s3 import SITE_OBJECT
from headwater.db import SQLITE_FILE, Database, Tx
from headwater.db.copying import PostgresqlSide, Side, SqliteSide
from headwater.db.moving import find_move
from headwater.db.schema import require_known
from headwater.hub import uploads
from headwater.hub.backup import names
from headwater.hub.backup.folder import (
    BackupDamaged,
    Manifest,
    NoBackup,
    NotEmpty,
    StoreNotEmpty,
    claimed_sha256,
    hash_file,
    list_snapshots,
    read_objects,
)
from headwater.hub.backup.making import BARE, run_tool
from headwater.hub.files import copies
from headwater.hub.xet import store as xet_store
from headwater.kernel import SYSTEM, utcnow
from headwater.web.site import Site


def choose_snapshot(folder: Path, name: str | None) -> tuple[Path, Manifest]:
    """The latest one, or the one of this name, with its database checked.

    Raises:
        NoBackup: there is none.
        BackupDamaged: its database is not what was written.
    """
    found = [one for one in list_snapshots(folder) if name in (None, one.name)]
    if not found:
        raise NoBackup(folder)
    manifest = Manifest.read(found[-1])
    database = found[-1] / "database"
    if not database.exists() or hash_file(database) != manifest.database_sha256:
        raise BackupDamaged(f"the database of {found[-1].name} is missing or altered")
    return found[-1], manifest


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
    facts = {"one": 1, "state": "restoring", "target": manifest.database_sha256, "site": manifest.site_id or ""}
    side.note_move(facts)


def restore_objects(folder: Path, snapshot: Path, blobs: BlobStore, advance: Callable[[float], None]) -> None:
    """Put every object of a snapshot in its place; one that is there already in full stays. Safe to repeat.

    Raises:
        BackupDamaged: an object is missing or altered.
    """
    blobs.ensure()
    for key, size in read_objects(snapshot):
        source, claimed = folder / "objects" / key, claimed_sha256(key)
        if not source.exists() or source.stat().st_size != size or (claimed and hash_file(source) != claimed):
            raise BackupDamaged(f"object {key} is missing or altered")
        if blobs.size_of(key) != size:
            with blobs.temporary() as temporary:
                shutil.copyfile(source, temporary)
                blobs.adopt(temporary, key)
        advance(size)


def restore_database(
    snapshot: Path, manifest: Manifest, data_dir: Path, database_url: str | None, *, again: bool
) -> None:
    """The database, and the secret that its sessions and links were signed with.

    From its first row on it says that the site is not whole: until ``note_restored`` no server starts on it.

    Args:
        again: an earlier restore may have left its tables here.

    Raises:
        DatabaseToolMissing, DatabaseToolFailed
    """
    secret = snapshot / "secret"
    if secret.exists():
        (data_dir / "secret").touch(mode=0o600)
        (data_dir / "secret").write_bytes(secret.read_bytes())
    if database_url is not None:
        there = PostgresqlSide(database_url)
        try:
            _mark(there, manifest)
        finally:
            there.close()
        arguments = [*BARE, "--exit-on-error", "--single-transaction", *(["--clean", "--if-exists"] if again else [])]
        run_tool("pg_restore", database_url, [*arguments, str(snapshot / "database")])
        return
    temporary = data_dir / "headwater.db.restoring"
    temporary.unlink(missing_ok=True)
    shutil.copyfile(snapshot / "database", temporary)
    temporary.chmod(0o600)
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
    epoch = xet_store.raise_epoch(tx)
    copies.forget_all(tx)
    tx.execute(text(uploads.SEND_AGAIN))  # no snapshot has their parts
    tx.execute(text("DROP TABLE IF EXISTS site_move"))  # with this the site is whole
    facts = {"database": manifest.database_sha256, "made_at": manifest.made_at, "epoch": epoch}
    ledger.record(tx, SYSTEM, "site.restored", "site", facts, now=utcnow())
    return epoch

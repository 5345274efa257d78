"""Putting a site together: the data folder, the database, the blobs, and what each context builds for itself."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from headwater import accounts, hub
from headwater.blobs import BlobFolder
from headwater.db import Database, DatabaseSettings, open_database
from headwater.kernel import Settings
from headwater.web.site import Site

SECRET_BYTES = 32


def build_site(data_dir: Path, settings: Settings, *, base_url: str) -> Site:
    """The site kept in ``data_dir``. Opens files and connections: call it after a fork, never before.

    ``prepare_data`` has made the folder and its schema.
    """
    site = Site(
        data_dir=data_dir,
        db=database_of(data_dir, settings),
        blobs=BlobFolder(data_dir / "blobs"),
        base_url=base_url.rstrip("/"),
        secret=(data_dir / "secret").read_bytes(),
        settings=settings,
    )
    accounts.install(site)
    hub.install(site)
    return site


def database_of(data_dir: Path, settings: Settings) -> Database:
    """The site's database, not yet connected to.

    Raises:
        DriverMissing: it is PostgreSQL, and nothing here can speak with that.
    """
    own = settings.of(DatabaseSettings)
    return open_database(data_dir, own.url, connections=own.connections)


def prepare_data(data_dir: Path, settings: Settings | None = None) -> None:
    """Make the data folder, its secret and its schema, or bring them up to date; safe to repeat and to race.

    Raises:
        SchemaTooNew: a later release has written this site.
        DatabaseAway, DatabaseRefused, DatabaseUnfit: it is kept in PostgreSQL, and that cannot be used.
    """
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    _ensure_secret(data_dir / "secret")
    BlobFolder(data_dir / "blobs").ensure()
    db = database_of(data_dir, settings or Settings())
    try:
        db.ensure_schema()
    finally:
        db.close()


def _ensure_secret(path: Path) -> None:
    """The first writer wins, and nobody ever sees half of it."""
    if path.exists():
        return
    temporary = path.with_name(f"secret.{os.getpid()}.{secrets.token_hex(4)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, secrets.token_bytes(SECRET_BYTES))
        os.fsync(fd)
    finally:
        os.close(fd)
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()

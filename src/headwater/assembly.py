"""Putting a site together: the data folder, the database, the blobs, and what each context builds for itself."""

from __future__ import annotations

import hashlib
import os
import secrets
from pathlib import Path

from headwater import accounts, compute, corpora, evaluation, governance, hub, serving, training
from headwater.accounts.settings import IdentitySettings
from headwater.blobs import BlobFolder, BlobStore
from headwater.blobs.settings import BlobSettings, S3Settings
from headwater.db import (
    Database,
    DatabaseSettings,
    SiteHalfMoved,
    SiteHalfRestored,
    SiteMoved,
    SiteMoving,
    open_database,
    require_same_clock,
)
from headwater.db.moving import BEHIND, find_move, settle
from headwater.kernel import Settings
from headwater.ledger import ensure_log_key
from headwater.web.site import Site

SECRET_BYTES = 32


def build_site(data_dir: Path, settings: Settings, *, base_url: str) -> Site:
    """The site kept in ``data_dir``. Opens files and connections: call it after a fork, never before.

    ``prepare_data`` has made the folder and its schema.
    """
    site = Site(
        data_dir=data_dir,
        db=database_of(data_dir, settings),
        blobs=blobs_of(data_dir, settings),
        base_url=base_url.rstrip("/"),
        secret=b"",
        settings=settings,
    )
    site.secret = _secret_of(site)
    accounts.install(site)
    hub.install(site)
    compute.install(site)
    corpora.install(site)
    training.install(site)
    serving.install(site)
    evaluation.install(site)
    governance.install(site)
    return site


def database_of(data_dir: Path, settings: Settings) -> Database:
    """The site's database, not yet connected to.

    Raises:
        DriverMissing: it is PostgreSQL, and nothing here can speak with that.
    """
    own = settings.of(DatabaseSettings)
    return open_database(data_dir, own.url, connections=own.connections)


def blobs_of(data_dir: Path, settings: Settings) -> BlobStore:
    """Where the site's objects lie; a store is not yet asked anything."""
    own = settings.of(BlobSettings)
    if own.blobs is None:
        return BlobFolder(data_dir / "blobs")
    from headwater.blobs.s3 import S3Store

    # Copies of single objects get a quarter; repositories, which are read far more often, the whole.
    return S3Store(own.blobs, settings.of(S3Settings), data_dir / "cache", cache_bytes=own.cache_bytes // 4)


def blobs_place(data_dir: Path, settings: Settings) -> str:
    """Where the site's objects lie, as people are told."""
    own = settings.of(BlobSettings)
    return str(data_dir.absolute() / "blobs") if own.blobs is None else own.blobs.rstrip("/")


def _require_arrived(db: Database, here: str) -> None:
    """That no move of this site to another place is half done, or done, as far as this database knows.

    Raises:
        SiteMoving: from PostgreSQL, whose sites stand still meanwhile.
        SiteHalfMoved, SiteHalfRestored, SiteMoved
    """
    move = db.read(find_move)
    if move is None or move.state in ("copying", "frozen"):
        if move is not None and db.dialect == "postgresql" and (move.frozen_until or 0) > db.now().timestamp():
            raise SiteMoving
        return
    if move.state == BEHIND:
        return  # it is read, and says to each writer why it takes no changes
    if move.state == "arriving":
        raise SiteHalfMoved
    if move.state == "restoring":
        raise SiteHalfRestored
    if move.to_database is None and move.to_blobs == here:
        settle(db)  # it is started for the first time with its objects at their new place
        return
    mend = "HEADWATER_BLOBS" if move.to_database is None else "HEADWATER_DATABASE_URL"
    raise SiteMoved(f" to {move.target} (set {mend})")


def prepare_data(data_dir: Path, settings: Settings | None = None, *, is_restoring: bool = False) -> None:
    """Make the data folder, its secret and its schema, or bring them up to date; safe to repeat and to race.

    Args:
        is_restoring: it is the restore itself that asks, which knows that the site is not whole.

    Raises:
        SchemaTooNew: a later release has written this site.
        ClockDiffers: this host's clock and the database's are too far apart.
        DatabaseAway, DatabaseRefused, DatabaseUnfit: it is kept in PostgreSQL, and that cannot be used.
        StoreRefused, StoreDriverMissing: its objects lie in a store, and that cannot be used.
        StoreOfAnotherSite: that store has another site's objects.
        SiteMoving, SiteHalfMoved, SiteHalfRestored, SiteMoved: it is on its way from here, or here, or has gone elsewhere.
    """
    settings = settings or Settings()
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    db, blobs = database_of(data_dir, settings), blobs_of(data_dir, settings)
    try:
        db.ensure_schema()
        if not is_restoring:
            _require_arrived(db, blobs_place(data_dir, settings))
        require_same_clock(db)
        identity = db.read(accounts.find_identity)
        if identity is None:
            identity = db.write(accounts.ensure_identity, secret=_secret_to_keep(data_dir, db, settings))
        if identity.secret is None and settings.of(IdentitySettings).secret is None:
            _ensure_secret(data_dir / "secret")
        ensure_log_key(db, data_dir, identity.id)
        blobs.ensure()
        blobs.claim(identity.id)
    finally:
        db.close()


def _secret_to_keep(data_dir: Path, db: Database, settings: Settings) -> bytes | None:
    """What a new site keeps in its database: nothing on one machine, where the data folder has it."""
    if db.dialect == "sqlite" or settings.of(IdentitySettings).secret is not None:
        return None
    try:
        return (data_dir / "secret").read_bytes()
    except FileNotFoundError:
        return secrets.token_bytes(SECRET_BYTES)


def _secret_of(site: Site) -> bytes:
    given = site.settings.of(IdentitySettings).secret
    if given is not None:
        return hashlib.sha256(given.encode()).digest()
    identity = None if site.db.dialect == "sqlite" else site.db.read(accounts.find_identity)
    if identity is not None and identity.secret is not None:
        return identity.secret
    return (site.data_dir / "secret").read_bytes()


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

"""Making a backup: hold the collector, snapshot the database, copy the objects it names, say that it is whole."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from headwater import __version__, accounts, ledger
from headwater.blobs import BlobStore
from headwater.db import Tx
from headwater.db.schema import read_reach
from headwater.hub.backup import names
from headwater.hub.backup.folder import (
    FORMAT,
    BackupDamaged,
    BackupFailed,
    BackupIncomplete,
    BackupOfAnotherSite,
    DatabaseToolFailed,
    DatabaseToolMissing,
    Manifest,
    claimed_sha256,
    folder_locked,
    hash_file,
    list_snapshots,
    read_objects,
)
from headwater.hub.collector.clock import keep_backup_time
from headwater.kernel import SYSTEM, from_iso, to_iso, utcnow
from headwater.web.site import Site

COLLECTOR_LOCKS = ("collector", "pack-collector")

BARE = ("--no-owner", "--no-privileges")  # the roles of this server may not be there where it is restored

Progress = Callable[[float], None]


def make_backup(
    site: Site, folder: Path, *, database_url: str | None, keep: int, progress: Callable[[int], Progress] | None = None
) -> tuple[Path, Manifest]:
    """Add a snapshot to ``folder``; objects that earlier ones have brought are not copied again.

    Args:
        database_url: of PostgreSQL, None for SQLite.
        keep: how many snapshots stay, this one included; objects that none of them names are removed.
        progress: given the number of bytes to copy, returns what is told of each step.

    Raises:
        BackupIncomplete: the site's store lacks what its database names.
        BackupBusy, BackupOfAnotherSite, BackupFailed: of the folder.
        DatabaseToolMissing, DatabaseToolFailed: of PostgreSQL.
    """
    with _telling(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("snapshots", "objects"):  # private repositories are in there, whatever the folder's own mode is
            (folder / name).mkdir(exist_ok=True, mode=0o700)
            with contextlib.suppress(PermissionError):  # another user's, who lets this one write there
                (folder / name).chmod(0o700)
    with _telling(folder), folder_locked(folder, exclusive=True):
        snapshot, manifest = _make(site, folder, database_url, progress)
        site.db.write(_note_made, manifest)
        _forget_old(folder, snapshot, keep)
    return snapshot, manifest


@contextlib.contextmanager
def _telling(folder: Path) -> Iterator[None]:
    """A disk that is full, and the like, in one sentence.

    Raises:
        BackupFailed
    """
    try:
        yield
    except (OSError, sqlite3.Error) as exc:
        raise BackupFailed(folder, exc) from exc


def _make(
    site: Site, folder: Path, database_url: str | None, progress: Callable[[int], Progress] | None
) -> tuple[Path, Manifest]:
    started = utcnow()
    identity = site.db.read(accounts.find_identity)
    _require_own(folder, None if identity is None else identity.id)
    snapshot = folder / "snapshots" / started.strftime("%Y%m%dT%H%M%S%fZ")
    snapshot.mkdir(mode=0o700)
    try:
        with contextlib.ExitStack() as holds:
            locks = [holds.enter_context(site.db.holding(name, exclusive=True)) for name in COLLECTOR_LOCKS]
            database = snapshot / "database"
            _dump(site, database, database_url)
            # Read after the dump: nothing that it names is removed meanwhile, so this is all of it and perhaps more.
            named = site.db.read(names.list_named)
            copied = _copy_all(site.blobs, named, folder / "objects", progress)
            for lock in locks:
                lock.check()
        schema, breaks_before = site.db.read(lambda tx: read_reach(tx.conn))
        _write_secret(site, snapshot)
        (snapshot / "objects.txt").write_text("".join(f"{key}\t{size}\n" for key, size in sorted(copied.items())))
        manifest = Manifest(
            format=FORMAT,
            made_at=to_iso(started),
            version=__version__,
            database=site.db.dialect,
            database_sha256=hash_file(database),
            database_bytes=database.stat().st_size,
            n_objects=len(copied),
            object_bytes=sum(copied.values()),
            site_id=None if identity is None else identity.id,
            schema=schema,
            breaks_before=breaks_before,
        )
        _sync([database, snapshot / "objects.txt", snapshot])
        manifest.write(snapshot)
        _sync([snapshot, snapshot.parent])
    except BaseException:
        shutil.rmtree(snapshot, ignore_errors=True)
        raise
    return snapshot, manifest


def _require_own(folder: Path, site_id: str | None) -> None:
    """That the folder keeps no other site's snapshots: --keep would end them, one by one.

    Raises:
        BackupOfAnotherSite
    """
    for snapshot in reversed(list_snapshots(folder)):
        with contextlib.suppress(BackupDamaged):
            theirs = Manifest.read(snapshot).site_id
            if theirs is not None and theirs != site_id:
                raise BackupOfAnotherSite(folder, theirs, str(site_id))
            return


def _note_made(tx: Tx, manifest: Manifest) -> None:
    facts = {"database": manifest.database_sha256, "n_objects": manifest.n_objects, "bytes": manifest.object_bytes}
    keep_backup_time(tx, from_iso(manifest.made_at))
    ledger.record(tx, SYSTEM, "backup.made", "site", facts, now=utcnow())


def _dump(site: Site, target: Path, database_url: str | None) -> None:
    """One consistent state. ``VACUUM INTO`` reads in one transaction; the stepped backup call would begin anew at each write."""
    if database_url is not None:
        run_tool("pg_dump", database_url, ["--format=custom", *BARE, "--exclude-table=site_move", f"--file={target}"])
        return
    with contextlib.closing(sqlite3.connect(site.data_dir / "headwater.db", timeout=60)) as db:
        db.execute("VACUUM INTO ?", (str(target),))
    target.chmod(0o600)


def run_tool(name: str, url: str, arguments: list[str]) -> None:
    """pg_dump or pg_restore on the database at ``url``, its password in the environment and not on the command line.

    Raises:
        DatabaseToolMissing, DatabaseToolFailed
    """
    program = shutil.which(name)
    if program is None:
        raise DatabaseToolMissing(name)
    parts = urlsplit(url)
    bare = f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    env = dict(os.environ)
    if parts.username:
        env["PGUSER"] = unquote(parts.username)
    if parts.password:
        env["PGPASSWORD"] = unquote(parts.password)
    done = subprocess.run(
        [program, f"--dbname={bare}", *arguments], env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DatabaseToolFailed(name, done.stderr)


def _copy_all(
    blobs: BlobStore, named: dict[str, int | None], target: Path, progress: Callable[[int], Progress] | None
) -> dict[str, int]:
    """Copy what is not there yet; returns every object's size.

    What came with an earlier backup was checked then, and is looked at again by ``headwater restore``.
    """
    missing, sizes = [], {}
    advance = progress(sum(size or 0 for size in named.values())) if progress is not None else None
    for key, size in named.items():
        path = target / key
        if not path.exists() or (size is not None and path.stat().st_size != size):
            path.unlink(missing_ok=True)
            if not _copy(blobs, key, size, path):
                missing.append(key)
                continue
        sizes[key] = path.stat().st_size
        if advance is not None:
            advance(sizes[key])
    if missing:
        raise BackupIncomplete(missing)
    return sizes


def _copy(blobs: BlobStore, key: str, size: int | None, path: Path) -> bool:
    """Whether the object is there and what its row and its name say."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.part")
    temporary.unlink(missing_ok=True)
    try:
        with blobs.local_copy(key) as source:
            shutil.copyfile(source, temporary)
        claimed = claimed_sha256(key)
        if (size is not None and temporary.stat().st_size != size) or (claimed and hash_file(temporary) != claimed):
            return False
        _sync([temporary])
        temporary.replace(path)
        return True
    except FileNotFoundError:
        return False
    finally:
        temporary.unlink(missing_ok=True)


def _write_secret(site: Site, snapshot: Path) -> None:
    path = site.data_dir / "secret"
    if path.exists():
        (snapshot / "secret").touch(mode=0o600)
        (snapshot / "secret").write_bytes(path.read_bytes())


def _forget_old(folder: Path, made: Path, keep: int) -> None:
    """What this one pushes out, and what others left that were killed. ``made`` stays, whatever the clock says of its age."""
    whole = list_snapshots(folder)
    kept = [made, *[one for one in reversed(whole) if one != made][: keep - 1]]
    for snapshot in (folder / "snapshots").iterdir():
        if snapshot not in kept:
            (snapshot / "backup.json").unlink(missing_ok=True)  # first: half a snapshot must not look whole
            shutil.rmtree(snapshot)
    still = {key for snapshot in kept for key, _ in read_objects(snapshot)}
    root = folder / "objects"
    for path in list(root.rglob("*")):
        if path.is_file() and path.relative_to(root).as_posix() not in still:
            path.unlink()


def _sync(paths: Iterable[Path]) -> None:
    for path in paths:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

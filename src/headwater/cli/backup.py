"""``headwater backup`` and ``headwater restore``."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater.web.terminal import Output, data_option, json_option

if TYPE_CHECKING:
    from headwater.hub.backup import Manifest, Place
    from headwater.kernel import Settings

keys_from_option = click.option(
    "--keys-from",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder that keeps the keys, where they are not with the backup.",
)


def place_of(where: str, settings: Settings, data_dir: Path) -> Place:
    """A folder, or ``s3://bucket/prefix`` with the keys that the settings name for backups.

    Raises:
        BadParameter: it is neither.
    """
    from headwater.blobs.settings import BackupSettings, S3Settings, check_place
    from headwater.hub.backup import FolderPlace, StorePlace

    if "://" not in where:
        return FolderPlace(Path(where).absolute())
    wrong = check_place(where)
    if wrong is not None:
        raise click.BadParameter(wrong)
    from headwater.blobs.s3 import S3Store

    own, site = settings.of(BackupSettings), settings.of(S3Settings)
    given = {name: value for name, value in asdict(own).items() if value is not None}
    work = data_dir.absolute() / "cache" / "backup"
    return StorePlace(where, S3Store(where, replace(site, **given, direct=False), work), work)


@click.command()
@click.argument("where", required=False)
@click.option("--to", "folder", help="The same as WHERE.")
@click.option(
    "--keep", type=click.IntRange(1), default=7, show_default=True, help="Snapshots that stay, this one included."
)
@click.option(
    "--keys-to",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep the keys in this folder and not with the backup, which is then of no use for signing in anybody's name.",
)
@click.option(
    "--read-all",
    "reads_all",
    is_flag=True,
    help="Read every object again, here and there, and bring anew what has gone bad in the backup.",
)
@data_option
@json_option
def backup(
    where: str | None,
    folder: str | None,
    keep: int,
    keys_to: Path | None,
    reads_all: bool,  # noqa: FBT001 -- click passes flags so
    data_dir: Path,
    as_json: bool,  # noqa: FBT001 -- click passes flags so
) -> None:
    """Copy the whole site to WHERE, a folder or s3://bucket/prefix, whether the server runs or not.

    What an earlier backup in the same place has brought is not copied again, nor read: `headwater check --backup WHERE` reads it.
    """
    from headwater.cli.open import open_site, require_servers_user
    from headwater.db import DatabaseSettings
    from headwater.hub.backup import make_backup

    target = where or folder
    if target is None:
        raise click.UsageError("Say where to: a folder, or s3://bucket/prefix.")
    out = Output(as_json=as_json)
    require_servers_user(data_dir)
    require_site(data_dir)
    site = open_site(data_dir)
    try:
        url = site.settings.of(DatabaseSettings).url
        place = place_of(target, site.settings, data_dir)
        with out.progress("Copying objects") as advance:
            snapshot = make_backup(
                site,
                place,
                database_url=url,
                keep=keep,
                progress=lambda _: advance,
                keys_to=keys_to,
                reads_all=reads_all,
            )
    finally:
        site.db.close()
    made = snapshot.manifest
    text = (
        f"Snapshot {snapshot.name}: database of {made.database_bytes / 1e6:.1f} MB, {made.n_objects} objects "
        f"({made.object_bytes / 1e6:.1f} MB).\nTry it now and then: headwater restore --from {target} --drill"
    )
    out.result({"snapshot": snapshot.name, **asdict(made)}, text)


def require_site(data_dir: Path) -> None:
    """That there is one: opening a wrong folder would make a new site in it, whose snapshots push out the good ones.

    Raises:
        NothingToBackUp
    """
    from sqlalchemy import inspect

    from headwater.assembly import database_of
    from headwater.config import read_settings
    from headwater.db import SQLITE_FILE
    from headwater.hub.backup import NothingToBackUp

    db = database_of(data_dir, read_settings(data_dir))
    try:
        if db.dialect == "sqlite" and not (data_dir / SQLITE_FILE).exists():
            raise NothingToBackUp(str(data_dir))
        if db.dialect == "postgresql" and not db.read(lambda tx: inspect(tx.conn).has_table("site_identity")):
            raise NothingToBackUp("The database")
    finally:
        db.close()


@click.command()
@click.option("--from", "where", required=True, help="Folder, or s3://bucket/prefix, that keeps the backups.")
@click.option("--snapshot", help="Which one.  [default: the latest]")
@click.option(
    "--take-over-objects",
    "takes_over",
    is_flag=True,
    help="The store still has this site's objects, its database is lost, and no host uses them any more.",
)
@keys_from_option
@click.option("--new-keys", is_flag=True, help="The keys are lost: make new ones. Everybody signs in anew.")
@click.option(
    "--drill",
    is_flag=True,
    help="Only try it: restore into a folder that is removed again, check all of it, and note in the site that it went well.",
)
@click.option(
    "--scratch",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where a drill works.  [default: the folder for temporary files]",
)
@click.option("--scratch-database", help="An empty PostgreSQL database for a drill, where the site is kept in one.")
@data_option
@json_option
def restore(
    where: str,
    snapshot: str | None,
    takes_over: bool,  # noqa: FBT001 -- click passes flags so
    keys_from: Path | None,
    new_keys: bool,  # noqa: FBT001
    drill: bool,  # noqa: FBT001
    scratch: Path | None,
    scratch_database: str | None,
    data_dir: Path,
    as_json: bool,  # noqa: FBT001
) -> None:
    """Make a site out of a backup, in an empty data folder; every object is checked on the way.

    Broken off anywhere, run it again: it goes on. With --drill the data folder is that of the site which the backup is of.
    """
    out = Output(as_json=as_json)
    if drill:
        _drill(out, where, snapshot, keys_from, scratch, scratch_database, data_dir.absolute())
        return
    from headwater.config import read_settings

    settings = read_settings(data_dir)
    place = place_of(where, settings, data_dir)
    chosen, _, n_named, epoch = restore_into(
        out,
        place,
        snapshot,
        data_dir.absolute(),
        settings,
        takes_over=takes_over,
        keys_from=keys_from,
        new_keys=new_keys,
    )
    log_key, told = _look_for_log_key(data_dir.absolute(), settings, new_keys=new_keys)
    text = (
        f"Restored snapshot {chosen} into {data_dir}: {n_named} objects are there in full. Xet clients will send again "
        f"what they sent since (epoch {epoch}).\n{told}Start it: headwater up --data {data_dir}"
    )
    facts = {"snapshot": chosen, "n_objects": n_named, "epoch": epoch, "data": str(data_dir), "log_key": log_key}
    out.result(facts, text)


def restore_into(
    out: Output,
    place: Place,
    snapshot: str | None,
    data_dir: Path,
    settings: Settings,
    *,
    takes_over: bool = False,
    keys_from: Path | None = None,
    new_keys: bool = False,
) -> tuple[str, Manifest, int, int]:
    """A whole site in ``data_dir``: the snapshot's name, its manifest, how many objects it has, the epoch.

    Raises:
        NoBackup, BackupDamaged, KeysMissing, NotEmpty, StoreNotEmpty, and what databases and stores refuse.
    """
    from headwater.assembly import blobs_of, build_site, database_of, prepare_data
    from headwater.config import ServerSettings
    from headwater.db import DatabaseSettings
    from headwater.hub.backup import (
        KeysMissing,
        chosen_snapshot,
        fetch_database,
        find_keys,
        note_restored,
        restore_database,
        restore_objects,
        verify_named,
    )
    from headwater.hub.backup.restoring import require_free
    from headwater.running import lock_folder

    url = settings.of(DatabaseSettings).url
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(place.locked(exclusive=False))
        chosen = chosen_snapshot(place, snapshot)
        manifest = chosen.manifest
        keys = find_keys(place, chosen.name, keys_from)
        if "secret" not in keys and manifest.database == "sqlite" and not new_keys and not _has_own_secret(settings):
            raise KeysMissing(chosen.name)
        lock_folder(data_dir)  # until this process ends
        db, blobs = database_of(data_dir, settings), blobs_of(data_dir, settings)
        try:
            is_begun = require_free(manifest, data_dir, db, blobs, takes_over=takes_over)
        finally:
            db.close()
        fetched = fetch_database(chosen, data_dir)
        with out.progress("Restoring objects", manifest.object_bytes) as advance:
            restore_objects(chosen, blobs, advance)
        restore_database(fetched, manifest, data_dir, url, again=is_begun, keys=keys)
    prepare_data(data_dir, settings, is_restoring=True)
    own = settings.of(ServerSettings)
    site = build_site(data_dir, settings, base_url=own.url or f"http://{own.host}:{own.port}")
    try:
        return chosen.name, manifest, verify_named(site), note_restored(site, manifest)
    finally:
        site.close()


def _look_for_log_key(data_dir: Path, settings: Settings, *, new_keys: bool) -> tuple[str, str]:
    """The key that the restored log is signed with, made if that may be; and what to say of it, where it is not the one it was."""
    from headwater.assembly import build_site
    from headwater.hub.log.witnesses import find_log_key, go_on_without_key
    from headwater.kernel import SYSTEM

    site = build_site(data_dir, settings, base_url="")
    try:
        found = find_log_key(site)
        if found is not None:
            return found, ""
        if not new_keys:
            return "", (
                f"The key that signs the log (log_key) is not here, and nothing is signed until it is put into {data_dir}, "
                f"or: headwater log begin-anew --reason … --data {data_dir}\n"
            )
        made = go_on_without_key(site, SYSTEM)
    finally:
        site.close()
    return made, f"The log goes on under another name, with the key {made}, and says why. Tell those who follow it.\n"


def _has_own_secret(settings: Settings) -> bool:
    from headwater.accounts.settings import IdentitySettings

    return settings.of(IdentitySettings).secret is not None


@contextmanager
def _lent(url: str | None) -> Iterator[None]:
    """A database for a drill.

    Raises:
        NotEmpty: there is something in it, which stays.
    """
    if url is None:
        yield
        return
    from headwater.db import open_database, scratch
    from headwater.hub.backup import NotEmpty

    db = open_database(Path(), url)
    try:
        if scratch.holds_anything(db):
            raise NotEmpty("The database for the drill")
        try:
            yield
        finally:
            scratch.empty(db)
    finally:
        db.close()


def _drill(
    out: Output,
    where: str,
    snapshot: str | None,
    keys_from: Path | None,
    scratch: Path | None,
    scratch_database: str | None,
    data_dir: Path,
) -> None:
    """Restore, check, note, remove; a database that is lent for it is empty before and after."""
    from headwater.accounts.settings import IdentitySettings
    from headwater.assembly import build_site
    from headwater.blobs.settings import BlobSettings
    from headwater.cli.open import open_site, require_servers_user
    from headwater.db import DatabaseSettings
    from headwater.hub import checking
    from headwater.hub.backup import BackupDamaged, find_keys
    from headwater.hub.checking.drills import note_drill
    from headwater.kernel import HeadwaterError, Settings, utcnow

    require_servers_user(data_dir)
    require_site(data_dir)
    site = open_site(data_dir)
    if site.db.dialect == "postgresql" and scratch_database is None:
        site.close()
        raise click.UsageError("This site is kept in PostgreSQL: name an empty database with --scratch-database.")
    started_at, started = utcnow(), time.monotonic()
    chosen, n_objects, found = snapshot or "", 0, None
    try:
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        with (
            _lent(scratch_database),
            tempfile.TemporaryDirectory(prefix="headwater-drill-", dir=scratch) as folder,
        ):
            secret = site.settings.of(IdentitySettings)
            tried = Settings([BlobSettings(), DatabaseSettings(url=scratch_database), secret])
            place = place_of(where, site.settings, data_dir)
            target = Path(folder) / "data"
            chosen, manifest, n_objects, _ = restore_into(
                out, place, snapshot, target, tried, keys_from=keys_from, new_keys=True
            )
            has_secret = manifest.database != "sqlite" or _has_own_secret(tried)
            # What was sealed with a secret that is kept elsewhere tells nothing of the backup.
            unfit = () if has_secret or "secret" in find_keys(place, chosen, keys_from) else ("second factors",)
            restored = build_site(target, tried, base_url=site.base_url)
            try:
                found = checking.check(
                    restored,
                    only=[name for name, _ in checking.CHECKERS if name not in unfit],
                    keeps=False,
                    on_step=lambda name: out.note(f"Looking at {name}"),
                )
            finally:
                restored.close()
    except HeadwaterError as exc:
        note_drill(site, snapshot=chosen, started_at=started_at, n_objects=n_objects, problems=None, code=exc.code)
        site.close()
        raise
    took_s = time.monotonic() - started
    note_drill(site, snapshot=chosen, started_at=started_at, n_objects=n_objects, problems=found.problems)
    site.close()
    if found.problems:
        raise BackupDamaged(f"{len(found.problems)} problems in snapshot {chosen}, the first: {found.problems[0].what}")
    text = f"Snapshot {chosen} was restored and checked in {took_s:.1f} s: {n_objects} objects, nothing is wrong."
    out.result({"snapshot": chosen, "n_objects": n_objects, "took_s": round(took_s, 1)}, text)

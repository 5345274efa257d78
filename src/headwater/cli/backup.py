"""``headwater backup`` and ``headwater restore``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from headwater.web.terminal import Output, data_option, json_option


@click.command()
@click.option("--to", "folder", type=click.Path(path_type=Path), required=True, help="Folder that keeps the backups.")
@click.option(
    "--keep", type=click.IntRange(1), default=7, show_default=True, help="Snapshots that stay, this one included."
)
@data_option
@json_option
def backup(folder: Path, keep: int, data_dir: Path, as_json: bool) -> None:  # noqa: FBT001 -- click passes flags so
    """Copy the whole site into a folder, whether the server runs or not.

    Objects that an earlier backup in the same folder has brought are not copied again.
    """
    from headwater.cli.open import open_site, require_servers_user
    from headwater.db import DatabaseSettings
    from headwater.hub.backup import make_backup

    out = Output(as_json=as_json)
    require_servers_user(data_dir)
    _require_site(data_dir)
    site = open_site(data_dir)
    try:
        url = site.settings.of(DatabaseSettings).url
        with out.progress("Copying objects") as advance:
            snapshot, made = make_backup(
                site, folder.absolute(), database_url=url, keep=keep, progress=lambda _: advance
            )
    finally:
        site.db.close()
    text = (
        f"Snapshot {snapshot.name}: database of {made.database_bytes / 1e6:.1f} MB, {made.n_objects} objects "
        f"({made.object_bytes / 1e6:.1f} MB).\nTry it now and then: headwater restore --from {folder} --data SOME_EMPTY_FOLDER"
    )
    out.result({"snapshot": snapshot.name, **asdict(made)}, text)


def _require_site(data_dir: Path) -> None:
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
@click.option(
    "--from",
    "folder",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="Folder that keeps the backups.",
)
@click.option("--snapshot", help="Which one.  [default: the latest]")
@click.option(
    "--take-over-objects",
    "takes_over",
    is_flag=True,
    help="The store still has this site's objects, its database is lost, and no host uses them any more.",
)
@data_option
@json_option
def restore(folder: Path, snapshot: str | None, takes_over: bool, data_dir: Path, as_json: bool) -> None:  # noqa: FBT001
    """Make a site out of a backup, in an empty data folder; every object is checked on the way.

    Broken off anywhere, run it again: it goes on.
    """
    from headwater.assembly import blobs_of, build_site, database_of, prepare_data
    from headwater.config import ServerSettings, read_settings
    from headwater.db import DatabaseSettings
    from headwater.hub.backup import (
        folder_locked,
        note_restored,
        restore_database,
        restore_objects,
        verify_named,
    )
    from headwater.hub.backup.restoring import choose_snapshot, require_free
    from headwater.running import lock_folder

    out, settings = Output(as_json=as_json), read_settings(data_dir)
    data_dir, folder = data_dir.absolute(), folder.absolute()
    url = settings.of(DatabaseSettings).url
    with folder_locked(folder, exclusive=False):
        chosen, manifest = choose_snapshot(folder, snapshot)
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock_folder(data_dir)  # until this process ends
        db, blobs = database_of(data_dir, settings), blobs_of(data_dir, settings)
        try:
            is_begun = require_free(manifest, data_dir, db, blobs, takes_over=takes_over)
        finally:
            db.close()
        with out.progress("Restoring objects", manifest.object_bytes) as advance:
            restore_objects(folder, chosen, blobs, advance)
        restore_database(chosen, manifest, data_dir, url, again=is_begun)
    prepare_data(data_dir, settings, is_restoring=True)
    own = settings.of(ServerSettings)
    site = build_site(data_dir, settings, base_url=own.url or f"http://{own.host}:{own.port}")
    try:
        n_named, epoch = verify_named(site), note_restored(site, manifest)
    finally:
        site.close()
    text = (
        f"Restored snapshot {chosen.name} into {data_dir}: {n_named} objects are there in full. Xet clients will send again "
        f"what they sent since (epoch {epoch}).\nStart it: headwater up --data {data_dir}"
    )
    out.result({"snapshot": chosen.name, "n_objects": n_named, "epoch": epoch, "data": str(data_dir)}, text)

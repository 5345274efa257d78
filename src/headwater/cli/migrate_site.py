"""``headwater migrate-site``."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headwater.accounts.settings import IdentitySettings
from headwater.kernel import HeadwaterError, Kind
from headwater.ledger.keys import LogKeyMissing, find_log, signer_of, write_key_file
from headwater.web.terminal import Output, json_option

if TYPE_CHECKING:
    from headwater.hub.moving import Place


class NoSiteThere(HeadwaterError):
    code = "no_site_there"
    kind = Kind.NOT_FOUND

    def __init__(self, folder: Path) -> None:
        super().__init__(
            f"{folder} holds no site. If its database is in PostgreSQL, say so with --from-database; "
            "HEADWATER_DATABASE_URL and HEADWATER_BLOBS are not looked at here."
        )


@click.command("migrate-site")
@click.option(
    "--from",
    "from_dir",
    type=click.Path(file_okay=False, path_type=Path, exists=True),
    required=True,
    help="The site's data folder.",
)
@click.option(
    "--to",
    "to_dir",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data folder of the site to be, if it is another; its headwater.toml may name database and store.",
)
@click.option(
    "--to-database", envvar="MIGRATE_TO_DATABASE", help="postgresql://… to move the database to.", show_envvar=True
)
@click.option("--to-blobs", help="s3://bucket/prefix to move the objects to.")
@click.option(
    "--from-database", envvar="MIGRATE_FROM_DATABASE", help="Where the site is in PostgreSQL now.", show_envvar=True
)
@click.option("--from-blobs", help="Where its objects are in a store now.")
@click.option("--verify-all", is_flag=True, help="Compare every row and read every object back, while writes wait.")
@click.option("--abort", is_flag=True, help="Give up a move that has not ended: the site goes on where it is.")
@json_option
def migrate_site(
    from_dir: Path,
    to_dir: Path | None,
    to_database: str | None,
    to_blobs: str | None,
    from_database: str | None,
    from_blobs: str | None,
    verify_all: bool,  # noqa: FBT001 -- click passes flags so
    abort: bool,  # noqa: FBT001
    as_json: bool,  # noqa: FBT001
) -> None:
    """Move a site to PostgreSQL, an S3-compatible store, or both, while it runs.

    Both places are named by these flags, or by headwater.toml in the two folders, never by the environment. Reads go on throughout; writes answer 503 in the last pass only. Broken off anywhere, run it again: it goes on. Address
    and keys of the store are read as the server reads them (HEADWATER_S3_…).
    """
    from headwater.cli.open import require_servers_user
    from headwater.db.moving import telling
    from headwater.hub import moving

    out = Output(as_json=as_json)
    require_servers_user(from_dir)
    source = _place(from_dir, from_database, from_blobs)
    try:
        if source.db.dialect == "sqlite" and not (source.data_dir / "headwater.db").exists():
            raise NoSiteThere(from_dir)
        if abort:
            was = moving.abort(source)
            text = "The move is given up; the site goes on where it is." if was else "Nothing was being moved."
            out.result({"aborted": was}, text)
            return
        source = dataclasses.replace(source, secret=_secret_of(source), log_key=_log_key_of(source))
        if to_dir is None:
            to_database, to_blobs = to_database or from_database, to_blobs or from_blobs
        target = _place(to_dir or from_dir, to_database, to_blobs)
        try:
            _keep_secret(source, target)
            with telling():
                made = moving.move_site(source, target, progress=out.progress, note=out.note, verify_all=verify_all)
        finally:
            target.side.close()
            target.db.close()
    finally:
        source.side.close()
        source.db.close()
    text = (
        f"Moved: {made.n_rows} rows, {made.objects_copied} objects ({made.bytes_copied / 1e6:.1f} MB) of {made.n_objects}; "
        f"{made.read_back} objects were read back. Writes waited for {made.paused_s:.1f} s.\n{_next(source, target)}"
    )
    out.result({**dataclasses.asdict(made), "database": target.database, "blobs": target.blobs_at}, text)


def _place(folder: Path, database: str | None, blobs: str | None) -> Place:
    """A place by flags, else by the folder's own file, else the folder itself."""
    from headwater.assembly import blobs_of, blobs_place, database_of
    from headwater.config import read_settings
    from headwater.db import SQLITE_FILE, DatabaseSettings
    from headwater.db.copying import PostgresqlSide, Side, SqliteSide
    from headwater.db.moving import without_password
    from headwater.hub import moving

    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    given = {"HEADWATER_DATABASE_URL": database, "HEADWATER_BLOBS": blobs}
    environ = {name: value for name, value in os.environ.items() if name not in given}
    environ |= {name: value for name, value in given.items() if value is not None}
    settings = read_settings(folder, environ)
    url = settings.of(DatabaseSettings).url
    side: Side
    if url is None:
        side, told = SqliteSide(folder / SQLITE_FILE), str(folder / SQLITE_FILE)
    else:
        side, told = PostgresqlSide(url), without_password(url)
    return moving.Place(
        folder,
        database_of(folder, settings),
        side,
        told,
        blobs_of(folder, settings),
        blobs_place(folder, settings),
        None,
        has_own_secret=settings.of(IdentitySettings).secret is not None,
    )


def _secret_of(place: Place) -> bytes | None:
    """What links and sessions were signed with; None where the environment says it."""
    from headwater import accounts

    path = place.data_dir / "secret"
    if place.has_own_secret:
        return None
    identity = None if place.db.dialect == "sqlite" else place.db.read(accounts.find_identity)
    if identity is not None and identity.secret is not None:
        return identity.secret
    return path.read_bytes() if path.exists() else None


def _keep_secret(source: Place, target: Place) -> None:
    """On one machine it lies in the data folder."""
    path = target.data_dir / "secret"
    if target.db.dialect == "sqlite" and source.secret is not None and path != source.data_dir / "secret":
        path.touch(mode=0o600)
        path.write_bytes(source.secret)
    if target.db.dialect == "sqlite" and source.log_key is not None and path != source.data_dir / "secret":
        write_key_file(target.data_dir, source.log_key)


def _log_key_of(place: Place) -> bytes | None:
    """What the log is signed with; None where that is not to be had, and the site moves without it."""
    log = place.db.read(find_log)
    try:
        return None if log is None else signer_of(log, place.data_dir).seed
    except LogKeyMissing:
        return None


def _next(source: Place, target: Place) -> str:
    lines = []
    if target.db.dialect == "postgresql" and source.database != target.database:
        lines.append("HEADWATER_DATABASE_URL (the address given here)")
    if target.blobs_at.startswith("s3://") and source.blobs_at != target.blobs_at:
        lines.append(f"HEADWATER_BLOBS={target.blobs_at}")
    what = f"Set {' and '.join(lines)}, then s" if lines else "S"
    return (
        f"{what}tart it: headwater up --data {target.data_dir}\n"
        "A server that still runs at the former place goes on reading there, and writes nothing. Keep that place until you "
        "have looked around."
    )

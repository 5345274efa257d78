"""The database as files, of one moment, while others write."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from headwater.db import SQLITE_FILE
from headwater.hub.backup.folder import DatabaseToolFailed, DatabaseToolMissing
from headwater.hub.backup.parts import cut_at_lines, cut_evenly
from headwater.hub.backup.snapshots import DATABASE

BARE = ("--no-owner", "--no-privileges")  # the roles of this server may not be there where it is restored

Cut = Callable[[Path], Iterator[bytes]]


def dump_database(data_dir: Path, work: Path, database_url: str | None) -> tuple[dict[str, Path], Cut]:
    """Its files by the name that the snapshot gives them, and how they are cut into parts.

    SQLite copies page by page, each to where it was, so that what has not changed is in the same parts as before (``VACUUM INTO``
    puts every page elsewhere), and in one step, since the stepped call would begin anew at each write. ``pg_dump`` writes a file
    for each table, not compressed, for the same reason.

    Raises:
        DatabaseToolMissing, DatabaseToolFailed
        sqlite3.Error: the database is not what SQLite has written, or cannot be copied.
    """
    target = work / DATABASE
    if database_url is not None:
        options = ["--format=directory", "--compress=0", *BARE, "--exclude-table=site_move", f"--file={target}"]
        run_tool("pg_dump", database_url, options)
        return {f"{DATABASE}/{path.name}": path for path in sorted(target.iterdir())}, cut_at_lines
    with (
        contextlib.closing(sqlite3.connect(data_dir / SQLITE_FILE, timeout=60)) as db,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        copy.execute("PRAGMA synchronous=OFF")  # its parts are what is kept
        db.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")  # it is one file
        (said,) = copy.execute("PRAGMA quick_check(1)").fetchone()  # pages are copied unread
        if said != "ok":
            raise sqlite3.DatabaseError(f"the site's own database is damaged ({said})")
    return {DATABASE: target}, cut_evenly


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

"""The passes of a move, in their order."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from sqlalchemy import Table, select

import headwater
from headwater import accounts
from headwater.blobs import BlobStore
from headwater.blobs.store import blob_key
from headwater.db import Database, Held, Tx, metadata
from headwater.db.comparing import Change, catch_up, copy_table, differences
from headwater.db.copying import PostgresqlSide, Row, Shape, Side, SqliteSide
from headwater.db.moving import BEHIND, FREEZE_S, SiteBehind, SiteMoved, find_move
from headwater.hub import uploads
from headwater.hub.backup import names
from headwater.hub.moving.errors import MoveFailed, MoveIncomplete, MoveTaken, NothingToMove, SiteRuns
from headwater.hub.moving.objects import ObjectCopier
from headwater.hub.placing import COLLECTOR_LOCKS
from headwater.hub.tables.files import blob
from headwater.kernel import Sha256
from headwater.ledger.notes import SignerKey

FEW = 500  # changed rows that the last pass may bring
CATCHING_UP = 6

Progress = Callable[[str, float | None], AbstractContextManager[Callable[[float], None]]]


@dataclass(frozen=True)
class Place:
    """Where a site is, or is to be. ``database`` and ``blobs_at`` are as people are told: without passwords."""

    data_dir: Path
    db: Database
    side: Side
    database: str
    blobs: BlobStore
    blobs_at: str
    secret: bytes | None  # signs links and sessions; None where a setting has it
    has_own_secret: bool = False  # it is such a setting
    log_key: bytes | None = None  # signs the log


@dataclass(frozen=True)
class Moved:
    n_rows: int
    n_objects: int
    objects_copied: int
    bytes_copied: int
    read_back: int
    paused_s: float
    took_s: float


def declared_tables() -> list[Table]:
    """All of the site's tables, those first that others refer to."""
    for module in pkgutil.walk_packages(headwater.__path__, "headwater."):
        if re.search(r"\.tables(\.|$)", module.name):
            importlib.import_module(module.name)
    return metadata.sorted_tables


def move_site(
    source: Place, target: Place, *, progress: Progress, note: Callable[[str], None], verify_all: bool = False
) -> Moved:
    """Bring a site to another place, in full, and close the former one. Killed anywhere, it may be called again.

    Raises:
        NothingToMove, MoveTaken, SiteRuns: it cannot begin.
        MoveIncomplete, MoveFailed, RowNotMovable: it has ended, and the site goes on where it is.
        SiteMoved: it is there already.
    """
    with source.db.holding("migrate-site", exclusive=True, wait=False) as held:
        if not held:
            raise MoveFailed("Another migration of this site is running.")
        return _Mover(source, target, held, progress, note, verify_all=verify_all).run()


def abort(source: Place) -> bool:
    """Let the site go on where it is, as if nothing had been begun; False where nothing had.

    Raises:
        SiteMoved: the move has ended.
    """
    move = source.db.read(find_move)
    if move is None or move.state == BEHIND:
        return False
    if move.state == "moved":
        raise SiteMoved(f" to {move.target}")
    with source.db.holding("migrate-site", exclusive=True, wait=False) as held:
        if not held:
            raise MoveFailed("The migration is still running: stop it first.")
        source.side.give_up()
    return True


def _list_all(tx: Tx) -> dict[str, int | None]:
    """What is named, and the plain copies of Xet files, which rows name as well."""
    copies = select(blob.c.sha256, blob.c.size_bytes, blob.c.copy_generation).where(
        blob.c.copy_generation.is_not(None), blob.c.state.in_(("live", "condemned"))
    )
    found = {blob_key(Sha256(row.sha256), row.copy_generation): row.size_bytes for row in tx.execute(copies)}
    return names.list_named(tx) | found


class _Mover:
    def __init__(
        self,
        source: Place,
        target: Place,
        held: Held,
        progress: Progress,
        note: Callable[[str], None],
        *,
        verify_all: bool,
    ) -> None:
        self.source, self.target, self.held = source, target, held
        self.progress, self.note, self.verify_all = progress, note, verify_all
        self.moves_rows = source.database != target.database
        self.moves_objects = source.blobs_at != target.blobs_at
        self.tables = declared_tables()
        self.shapes = [Shape(table) for table in self.tables]
        self.changes: dict[str, Change] = {"site_identity": self._identity_there, "log_identity": self._log_there}
        if self.moves_objects:  # parts of browser uploads stay behind
            at = next(shape for shape in self.shapes if shape.name == "upload_session").columns.index
            self.changes["upload_session"] = lambda row: uploads.sent_again(row, at("sha256"), at("size_bytes"))
        self.pause = _Pause(source.side)
        self.copier = ObjectCopier(source.blobs, target.blobs)

    # ---- the order of it

    def run(self) -> Moved:
        started = time.monotonic()
        identity = self.source.db.read(accounts.find_identity)
        if identity is None:
            raise NothingToMove(f"{self.source.database} holds no site.")
        if not self.moves_rows and not self.moves_objects:
            raise NothingToMove("Both places are the same.")
        before = self.source.db.read(find_move)
        if before is not None and before.state == BEHIND:
            raise SiteBehind(before.target)
        if before is not None and before.state in ("arriving", "restoring"):
            raise NothingToMove(f"{self.source.database} holds a site that has not arrived there in full.")
        if before is not None and before.state == "moved":
            return self._end_again(started)
        self._require_stopped()
        self._prepare_target(identity.id)
        with contextlib.ExitStack() as holds:
            locks = [holds.enter_context(self.source.db.holding(name, exclusive=True)) for name in COLLECTOR_LOCKS]
            holds.enter_context(self.pause)
            self._begin(identity.id)
            self._objects("Copying objects")
            n_rows = self._rows() if self.moves_rows else 0
            if self.moves_objects:
                self._objects("Copying objects that came meanwhile")
            n_objects, n_read_back = self._last_pass([self.held, *locks])
        if self.moves_rows:
            self.target.side.tidy()
        done = self.copier
        return Moved(
            n_rows,
            n_objects,
            done.n_copied,
            done.bytes_copied,
            n_read_back,
            self.pause.took_s,
            time.monotonic() - started,
        )

    def _end_again(self, started: float) -> Moved:
        """The former place was closed, and whoever did it was killed before the new one could be opened."""
        move = self.target.db.read(find_move) if self.moves_rows else None
        mine = self.source.db.read(find_move)
        if (
            move is None
            or mine is None
            or move.state != "arriving"
            or move.site != mine.site
            or mine.target != self._told()  # what lies here may be what an earlier run to another place left
        ):
            raise SiteMoved(f" to {mine.target if mine else self.target.database}")
        self.note("Everything has arrived; opening it there")
        self.target.side.end_arrival()
        self.target.side.tidy()
        return Moved(0, 0, 0, 0, 0, 0.0, time.monotonic() - started)

    def _require_stopped(self) -> None:
        side = self.source.side
        if isinstance(side, PostgresqlSide):
            # One connection is ours: ``source.db`` keeps it.
            n_others = side.others() - 1 - (1 if self.source.db.dialect == "postgresql" else 0)
            if n_others > 0:
                raise SiteRuns(n_others)

    def _prepare_target(self, site_id: str) -> None:
        if self.moves_objects:
            self.target.blobs.ensure()
            self.target.blobs.claim(site_id)
        if not self.moves_rows:
            return
        self.target.db.ensure_schema()
        move = self.target.db.read(find_move)
        found = self.target.db.read(accounts.find_identity)
        if (move is None and found is not None) or (
            move is not None and (move.state != "arriving" or move.site != site_id)
        ):
            raise MoveTaken(self.target.database)

    def _begin(self, site_id: str) -> None:
        facts = {
            "one": 1,
            "state": "copying",
            "target": self._told(),
            "to_blobs": self.target.blobs_at if self.moves_objects else None,
            "to_database": self.target.database if self.moves_rows else None,
            "frozen_until": None,
            "site": site_id,
        }
        side = self.source.side
        side.note_move(facts)
        if not isinstance(side, SqliteSide):  # what changed would never be known
            self.pause.begin()
        elif self.moves_rows:
            side.watch(self.tables)
        if self.moves_rows:
            self.target.side.begin_arrival({**facts, "state": "arriving"}, self.tables)

    def _told(self) -> str:
        moved = [self.target.database] if self.moves_rows else []
        return " and ".join([*moved, *([self.target.blobs_at] if self.moves_objects else [])])

    # ---- objects

    def _named(self) -> dict[str, int | None]:
        return self.source.db.read(_list_all)

    def _objects(self, title: str) -> dict[str, int | None]:
        """Returns what is named by now, all of which has arrived but for what the source itself lacks just now."""
        named = self._named() if self.moves_objects else {}
        if named:
            self.note(f"{title}: {len(named)} are named")
            with self.progress(title, sum(size or 0 for size in named.values())) as advance:
                self.copier.copy(named, advance)
        return named

    # ---- rows

    def _rows(self) -> int:
        self.note(f"Copying rows of {len(self.tables)} tables")
        source, target, n_rows = self.source.side, self.target.side, 0
        with self.progress("Copying rows", float(sum(source.count(shape) for shape in self.shapes))) as advance:
            for shape in self.shapes:
                n_rows += copy_table(shape, source, target, self.changes.get(shape.name), advance)
        for _ in range(CATCHING_UP):
            if self._catch_up() < FEW:
                break
        self.note("Comparing rows")
        self._compare()
        return n_rows

    def _catch_up(self) -> int:
        """Bring what changed; returns how many rows that were."""
        side = self.source.side
        if not isinstance(side, SqliteSide):
            return 0
        return catch_up(self.shapes, side, self.target.side, self.changes)

    def _compare(self) -> None:
        """Every row: what differs has changed meanwhile, and is brought by the next pass.

        Raises:
            MoveFailed: it has not.
        """
        side = self.source.side
        for shape in self.shapes:
            unlike = {key for key, _, _ in differences(shape, side, self.target.side, self.changes.get(shape.name))}
            if unlike and isinstance(side, SqliteSide):
                unlike -= side.changed()[1].get(shape.name, set())
            if unlike:
                raise MoveFailed(f"{len(unlike)} rows of the table {shape.name} are not the same at both places.")

    def _identity_there(self, row: Row) -> Row:
        """The secret goes where the kind of database keeps it."""
        one, site_id, _ = row
        keeps = self.target.db.dialect == "postgresql" and self.source.secret is not None
        return (one, site_id, self.source.secret.hex() if keeps and self.source.secret else None)

    def _log_there(self, row: Row) -> Row:
        """Likewise the key of the log; former ones sign nothing any more."""
        generation, origin, public, _, created_at = row
        key = self.source.log_key
        keeps = (
            self.target.db.dialect == "postgresql" and key is not None and SignerKey(origin, key).public.hex() == public
        )
        return (generation, origin, public, key.hex() if keeps and key is not None else None, created_at)

    # ---- the last pass

    def _last_pass(self, locks: list[Held]) -> tuple[int, int]:
        self.note("Last pass: writes wait")
        self.pause.begin()
        if self.moves_rows:
            self._catch_up()
        named = self._named() if self.moves_objects else {}
        if named:
            missing = self.copier.copy(named, lambda _: None)
            if missing:
                raise MoveIncomplete(missing)
        n_read_back = self._verify(named)
        if self.moves_rows:
            self.target.side.make_whole(self.tables, self.source.side.numbers(self.tables))
        for lock in locks:
            lock.check()
        self.pause.close_site(() if self.moves_rows else (uploads.SEND_AGAIN,))
        if self.moves_rows:
            self.target.side.end_arrival()
        return len(named), n_read_back

    def _verify(self, named: dict[str, int | None]) -> int:
        if self.moves_rows:
            for shape in self.shapes:
                ours, theirs = self.source.side.count(shape), self.target.side.count(shape)
                if ours != theirs:
                    raise MoveFailed(f"The table {shape.name} has {ours} rows here and {theirs} there.")
            # Held since the beginning, but by the site's own writes alone: not for whoever is there with other tools.
            if self.verify_all or isinstance(self.source.side, PostgresqlSide):
                self._compare()
        if not named:
            return 0
        self.copier.look(named)
        with self.progress("Reading objects back", None) as advance:
            return self.copier.read_back(named, advance, everything=self.verify_all)


class _Pause:
    """The time in which the source refuses writes: leased, so that it ends by itself if this process does."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._closed = False
        self._began = self.took_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread is None:
            return
        self._ended.set()
        self._thread.join()
        self.took_s = time.monotonic() - self._began
        if not self._closed:
            self._side.thaw()

    def begin(self) -> None:
        """Safe to repeat."""
        if self._thread is None:
            self._began = time.monotonic()
            self._side.freeze()
            self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)
            self._thread.start()

    def _renew(self) -> None:
        while not self._ended.wait(FREEZE_S / 6):
            with contextlib.suppress(Exception):  # found out by ``close_site``
                self._side.renew()

    def close_site(self, also: Sequence[str]) -> None:
        """Nothing is ever written there again, but for the statements ``also``.

        Raises:
            MoveFailed: writes went on meanwhile, because this process had stood still.
        """
        self._closed = self._side.close_site(also)
        if not self._closed:
            raise MoveFailed("Writing at the former place had to go on before all had arrived.")

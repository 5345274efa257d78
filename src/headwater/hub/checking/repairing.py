"""Mending what a check has found: objects and rows from a backup, refs from the record, large files from another site.

Nothing is believed: an object from elsewhere must be what its name says before it takes its place, and after everything the site
is checked again, so what is told as mended was looked at.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import select, update

from headwater import accounts, ledger
from headwater.blobs import blob_key
from headwater.db import Tx, insert, metadata
from headwater.db.schema import require_known
from headwater.hub.backup.folder import BackupDamaged, BackupOfAnotherSite, claimed_sha256, hash_file
from headwater.hub.backup.places import Place
from headwater.hub.backup.restoring import chosen_snapshot
from headwater.hub.backup.snapshots import DATABASE, Snapshot
from headwater.hub.checking import store as kept
from headwater.hub.checking.models import Problem, Row
from headwater.hub.checking.packs import ends_in_own_sum
from headwater.hub.checking.record import recorded_refs
from headwater.hub.checking.service import Report, check
from headwater.hub.git import store as git_store
from headwater.hub.git.cache import GitStore
from headwater.hub.tables.files import blob
from headwater.hub.tables.repositories import ref, repository
from headwater.kernel import SYSTEM, Actor, RepoId, Sha256, utcnow
from headwater.web.site import Site

ROUNDS = 5


class Source(Protocol):
    """Where good copies may be."""

    def object(self, key: str, problem: Problem) -> contextlib.AbstractContextManager[Path | None]:
        """A local file that may be the object; None where it is not here."""
        ...

    def rows(self, wanted: Row) -> list[dict[str, Any]]:
        """What is wanted, as it was."""
        ...


class NoSource:
    """The site itself: what follows from the record alone."""

    @contextmanager
    def object(self, key: str, problem: Problem) -> Iterator[Path | None]:
        yield None

    def rows(self, wanted: Row) -> list[dict[str, Any]]:
        return []


class BackupSource:
    """A snapshot of a backup. Its rows can be read where it was made of SQLite."""

    def __init__(self, snapshot: Snapshot, database: Path | None) -> None:
        self._snapshot = snapshot
        self._raw: sqlite3.Connection | None = None
        if database is not None:
            self._raw = sqlite3.connect(f"file:{database}?mode=ro&immutable=1", uri=True)
            self._raw.row_factory = sqlite3.Row

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()

    @contextmanager
    def object(self, key: str, problem: Problem) -> Iterator[Path | None]:
        with contextlib.ExitStack() as stack:
            path = None
            there = self._snapshot.objects.get(key)
            if there is not None:
                with contextlib.suppress(BackupDamaged):
                    path = stack.enter_context(self._snapshot.opened(there))
            yield path

    def rows(self, wanted: Row) -> list[dict[str, Any]]:
        if self._raw is None or (wanted.of is not None and not self.rows(wanted.of)):
            return []
        table = metadata.tables[wanted.table]  # names are ours, never a stranger's
        named = " and ".join(f"{name} = ?" for name, _ in wanted.key)
        found = self._raw.execute(f"select * from {table.name} where {named}", [value for _, value in wanted.key])
        return [dict(row) for row in found]


@contextmanager
def opened_backup(site: Site, place: Place, snapshot: str | None) -> Iterator[BackupSource]:
    """A snapshot of this very site, which no backup pushes out meanwhile.

    Raises:
        NoBackup, BackupBusy, BackupDamaged, BackupOfAnotherSite: rows are known by their numbers, which mean others there.
        SchemaTooNew: a later release has made it.
    """
    ours = site.db.read(accounts.find_identity)
    with contextlib.ExitStack() as stack:
        stack.enter_context(place.locked(exclusive=False))
        chosen = chosen_snapshot(place, snapshot)
        manifest = chosen.manifest
        if ours is None or manifest.site_id != ours.id:
            raise BackupOfAnotherSite(place.name, str(manifest.site_id), str(ours and ours.id))
        require_known(manifest.schema, manifest.breaks_before)
        database = None
        if manifest.database == "sqlite":
            work = site.data_dir / "cache" / "backup"
            work.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=work)))
            chosen.write_database(folder)
            database = folder / DATABASE
        source = BackupSource(chosen, database)
        stack.callback(source.close)
        yield source


@dataclass
class Repaired:
    """``before`` and ``after``: what was wrong, and what still is."""

    before: Report
    after: Report
    objects: int = 0
    rows: int = 0
    refs: int = 0
    files: int = 0

    @property
    def n_mended(self) -> int:
        left = {(p.code, p.where) for p in self.after.problems}
        return sum((p.code, p.where) not in left for p in self.before.problems)


def repair(
    site: Site,
    source: Source,
    *,
    actor: Actor = SYSTEM,
    fetch_file: Callable[[Sha256, int], contextlib.AbstractContextManager[Path | None]] | None = None,
    on_step: Callable[[str], None] = lambda _: None,
) -> Repaired:
    """Check, mend what can be mended, check again.

    Args:
        fetch_file: a whole large file by digest and size, from a site that has it.
    """
    started_at = utcnow()
    before = check(site, on_step=on_step, keeps=False)
    done = Repaired(before, before)
    for _ in range(ROUNDS):  # one damage may hide another behind it
        found = done.after.problems
        if not found:
            break
        for problem in found:
            on_step(f"{problem.code} {problem.where}")
            _mend(site, source, actor, problem, done)
        _forget_caches(site, {p.repo_id for p in found if p.repo_id is not None})
        if fetch_file is not None:
            done.files += _fetch_files(site, fetch_file, found)
        done.after = check(site, on_step=on_step, keeps=False)
        if {(p.code, p.where) for p in done.after.problems} == {(p.code, p.where) for p in found}:
            break
    if before.problems:
        check(site, on_step=on_step)  # which notes what is left
    site.db.write(_note, actor, done, started_at)
    return done


def _mend(site: Site, source: Source, actor: Actor, problem: Problem, done: Repaired) -> None:
    if problem.key is not None and _restore_object(site, source, problem, problem.key):
        done.objects += 1
    done.rows += sum(_restore_row(site, source, row) for row in problem.rows)
    if problem.code == "ref.differs" and problem.repo_id is not None:
        done.refs += _move_back(site, actor, problem.repo_id, problem.where.rpartition(" ")[2])
    if problem.code == "head.differs" and problem.repo_id is not None:
        site.db.write(_set_head, problem.repo_id)


def _restore_object(site: Site, source: Source, problem: Problem, key: str) -> bool:
    """Put a good copy in the place of an object, if there is one."""
    with source.object(key, problem) as path:
        if path is None or not is_sound(path, key):
            return False
        with site.blobs.temporary() as temporary:
            shutil.copyfile(path, temporary)
            site.blobs.adopt(temporary, key)
    return True


def is_sound(path: Path, key: str) -> bool:
    """Whether a file is what the key promises, as far as the key alone says. A xorb is looked at again by the check that follows."""
    claimed = claimed_sha256(key)
    if claimed is not None:
        return hash_file(path) == claimed
    if key.startswith("git/"):
        name = key.rpartition("/pack-")[2].partition(".")[0]
        with path.open("rb") as file:
            blocks = iter(lambda: file.read(1 << 20), b"")
            return ends_in_own_sum(blocks, path.stat().st_size, name, is_index=key.endswith(".idx"))
    return True


def _restore_row(site: Site, source: Source, wanted: Row) -> int:
    rows = source.rows(wanted)
    if rows:
        site.db.write(_put_rows, wanted, rows)
    return len(rows)


def _put_rows(tx: Tx, wanted: Row, rows: Sequence[Mapping[str, Any]]) -> None:
    """As they were, all columns; what the backup's schema lacked keeps its default."""
    table = metadata.tables[wanted.table]
    primary = [column.name for column in table.primary_key]
    for row in rows:
        values = {name: _from_sqlite(table.c[name], value) for name, value in row.items() if name in table.c}
        others = {name: value for name, value in values.items() if name not in primary}
        statement = insert(table).values(values)
        if others:
            tx.execute(statement.on_conflict_do_update(index_elements=primary, set_=others))
        else:
            tx.execute(statement.on_conflict_do_nothing())


def _from_sqlite(column: Any, value: Any) -> Any:
    """A value as SQLite keeps it, as the column's type takes it."""
    processor = column.type.result_processor(_SQLITE, None)
    if value is not None and processor is not None:
        return processor(value)
    return bool(value) if value is not None and column.type.python_type is bool else value


def _dialect() -> Any:
    from sqlalchemy.dialects import sqlite

    return sqlite.dialect()


_SQLITE = _dialect()


def _move_back(site: Site, actor: Actor, repo_id: RepoId, name: str) -> int:
    """A ref to where the record moved it, if what it leads to is here."""
    said, broken, _ = site.db.read(recorded_refs, repo_id)
    if broken:
        return 0  # the record of this repository is not to be believed
    oid = said.get(name)
    if oid is not None:
        site.part(GitStore).forget(repo_id)
        with site.part(GitStore).open(repo_id) as snap:
            if snap.find_object(oid) is None:
                return 0

    def act(tx: Tx) -> int:
        still, broken, _ = recorded_refs(tx, repo_id)
        if broken or still.get(name) != oid:
            return 0  # moved by right since it was looked at
        there = git_store.find_ref(tx, repo_id, name)
        if there == oid:
            return 0
        now = utcnow()
        git_store.move_ref(tx, repo_id, name, there, oid, now)
        tx.execute(update(repository).where(repository.c.id == repo_id).values(version=repository.c.version + 1))
        _set_head(tx, repo_id)
        facts = {"repo_id": repo_id, "ref": name, "from": there, "to": oid}
        ledger.record(tx, actor, "ref.restored", "site", facts, private=True, repo_id=repo_id, now=now)
        return 1

    return site.db.write(act)


def _set_head(tx: Tx, repo_id: RepoId) -> None:
    default = tx.execute(select(repository.c.default_branch).where(repository.c.id == repo_id)).scalar()
    tip = select(ref.c.oid).where(ref.c.repo_id == repo_id, ref.c.name == f"refs/heads/{default}").scalar_subquery()
    values = {"head_commit": tip, "version": repository.c.version + 1}
    tx.execute(update(repository).where(repository.c.id == repo_id).values(values))


def _forget_caches(site: Site, repo_ids: set[RepoId]) -> None:
    """What was made of damaged packs must not outlive them."""
    for repo_id in repo_ids:
        site.part(GitStore).forget(repo_id)
        for folder in (site.part(GitStore).cache_dir / f"{repo_id % 256:02x}").glob(f"{repo_id}-*.git"):
            shutil.rmtree(folder, ignore_errors=True)


def _fetch_files(
    site: Site,
    fetch: Callable[[Sha256, int], contextlib.AbstractContextManager[Path | None]],
    problems: Sequence[Problem],
) -> int:
    """Large files that are missing or damaged, whole, from a site that has them."""
    done = 0
    for digest in sorted({d for p in problems if (d := _digest_of(p)) is not None}):
        row = site.db.read(_blob_of, digest)
        if row is None:
            continue
        with fetch(digest, row.size_bytes) as path:
            if path is not None and path.stat().st_size == row.size_bytes and hash_file(path) == digest:
                generation = row.generation if row.layout == "plain" else 0
                key = blob_key(digest, generation)
                with site.blobs.temporary() as temporary:
                    shutil.copyfile(path, temporary)
                    site.blobs.adopt(temporary, key)
                site.db.write(_keep_whole, digest, generation)
                done += 1
    return done


def _digest_of(problem: Problem) -> Sha256 | None:
    if not problem.code.startswith(("blob.", "file.")):
        return None
    name = problem.where.rpartition("/")[2].partition(".")[0]
    return Sha256(name) if len(name) == hashlib.sha256().digest_size * 2 else None


def _blob_of(tx: Tx, digest: Sha256) -> Any:
    return tx.execute(select(blob).where(blob.c.sha256 == digest)).first()


def _keep_whole(tx: Tx, digest: Sha256, generation: int) -> None:
    """From now on it is read as one object; xorbs that it was made of stay for others."""
    values = {"layout": "plain", "generation": generation, "state": "live", "condemned_at": None}
    tx.execute(update(blob).where(blob.c.sha256 == digest).values(values))


def _note(tx: Tx, actor: Actor, done: Repaired, started_at: datetime) -> None:
    now = utcnow()
    facts = {"problems": len(done.before.problems), "mended": done.n_mended, "left": len(done.after.problems)}
    kept.insert_run(tx, "repair", is_good=done.after.is_good, started_at=started_at, now=now, facts=facts)
    if done.before.problems:
        codes = sorted({p.code for p in done.before.problems})
        ledger.record(tx, actor, "site.repaired", "site", {**facts, "codes": codes}, now=now)

"""One run of the collector, from claims that came to nothing to files without a row."""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import structlog

from headwater.blobs import blob_key
from headwater.blobs.settings import BlobSettings
from headwater.db import Held
from headwater.hub.collector import store
from headwater.hub.collector.clock import ClockJumped, advance_clock, keep_report
from headwater.hub.community import attachments
from headwater.hub.files import copies
from headwater.hub.files.terms import payload_key
from headwater.hub.lfs import parts
from headwater.hub.lfs import store as lfs_store
from headwater.hub.placing import placing
from headwater.hub.quotas import totals
from headwater.hub.xet.xorbs import index_key
from headwater.kernel import HeadwaterError, Kind, XetHash, utcnow
from headwater.web import Site

CLAIM_GRACE = timedelta(days=7)  # from upload to commit, or of a picture to its comment
DELETED_GRACE = timedelta(days=7)  # from a repository's deletion
CONDEMNED_GRACE = timedelta(days=1)  # from "nobody may read this" to the end
PROMISE = timedelta(days=28)  # clients rely on a xorb for 21 days after they last heard of it
TEMPORARY_GRACE = timedelta(days=1)
PARTS_GRACE = timedelta(days=7)
MULTIPART_GRACE = timedelta(days=2)  # their links are good for one

_NAME = re.compile(r"([0-9a-f]{64})(?:\.(\d+))?(?:\.(?:raw|xorb|idx))?")

log = structlog.get_logger("headwater.hub.collector")


@dataclass
class Report:
    """What one run did, in numbers."""

    claims_dropped: int = 0
    rights_dropped: int = 0
    blobs_condemned: int = 0
    blobs_removed: int = 0
    xorbs_condemned: int = 0
    xorbs_removed: int = 0
    orphans_removed: int = 0
    bytes_freed: int = 0


class CollectorBusy(HeadwaterError):
    code = "collector_busy"
    kind = Kind.CONFLICT

    def __init__(self) -> None:
        super().__init__("The collector is at work already, in the server or in another command. Try again later.")


def run_periodically(site: Site) -> None:
    """As ``collect``, for the worker: a clock that jumped is logged for the operator and ends nothing else."""
    stopped: ClockJumped | None = None
    with contextlib.suppress(CollectorBusy):
        started = time.monotonic()
        try:
            done = collect(site, now=utcnow())
            log.info("collector.finished", duration_ms=round((time.monotonic() - started) * 1000), **asdict(done))
        except ClockJumped as error:
            stopped = error
    if stopped is not None:
        log.error("collector.stopped", reason=stopped.message)


def sweep_here(site: Site) -> None:
    """Temporary files of this host that no process writes any more; each host has its own, whoever of them collects."""
    _sweep_temporary(site, Report())


def run_asked(site: Site, _: Mapping[str, Any]) -> None:
    """The handler of a run that an administrator asked for."""
    run_periodically(site)


def collect(site: Site, *, now: datetime) -> Report:
    """Take every step that is due.

    Raises:
        ClockJumped: an operator must confirm the clock first; nothing was touched.
        CollectorBusy: another run is under way.
    """
    with _alone(site) as held:
        stop = site.db.write(advance_clock, now)
        if stop is not None:
            raise ClockJumped(stop)
        done = Report()
        done.claims_dropped = _until_done(lambda: site.db.write(store.drop_old_claims, now - CLAIM_GRACE))
        _until_done(lambda: site.db.write(store.forgive_old_xorbs, now - CLAIM_GRACE))
        done.rights_dropped = _until_done(lambda: site.db.write(store.drop_rights_of_deleted, now - DELETED_GRACE))
        _until_done(lambda: site.db.write(attachments.drop_uses_in_deleted, now - DELETED_GRACE))
        _until_done(lambda: site.db.write(attachments.drop_unused, now - CLAIM_GRACE))
        _end_blobs(site, held, done, now)
        _end_xorbs(site, held, done, now)
        _sweep_temporary(site, done)
        _sweep_orphans(site, done, now)
        # After the sweep: a link that was just given stays good until the next run.
        unused_for = timedelta(days=site.settings.of(BlobSettings).plain_copy_days)
        _until_done(lambda: site.db.write(copies.drop_unused, now - unused_for))
        _abort_multiparts(site, now)
        site.db.write(keep_report, asdict(done))
        site.db.write(totals.keep, site.db.read(totals.add_up, now))
    return done


@contextmanager
def _alone(site: Site) -> Iterator[Held]:
    with site.db.holding("collector", exclusive=True, wait=False) as held:
        if not held:
            raise CollectorBusy
        yield held


def _until_done(act: Callable[[], int]) -> int:
    """Batches, each a transaction of its own, so that writers never wait long."""
    total = 0
    while count := act():
        total += count
    return total


def _end_blobs(site: Site, held: Held, done: Report, now: datetime) -> None:
    before = now - CONDEMNED_GRACE
    _until_done(lambda: site.db.write(store.doom_blobs, before))
    done.blobs_condemned = _until_done(lambda: site.db.write(store.condemn_blobs, before, now))
    while doomed := site.db.read(store.list_doomed_blobs):
        held.check()  # so all of these were doomed before another, a backup perhaps, could hold it
        for sha256, generation in doomed:
            done.bytes_freed += site.blobs.delete(blob_key(sha256, generation))
        site.db.write(store.finish_blobs, doomed)
        done.blobs_removed += len(doomed)


def _end_xorbs(site: Site, held: Held, done: Report, now: datetime) -> None:
    _until_done(lambda: site.db.write(store.doom_xorbs, now - CONDEMNED_GRACE))
    done.xorbs_condemned = _until_done(lambda: site.db.write(store.condemn_xorbs, now - PROMISE, now))
    while doomed := site.db.read(store.list_doomed_xorbs):
        held.check()
        for name, generation in doomed:
            key = payload_key(XetHash(name), generation)
            done.bytes_freed += site.blobs.delete(key) + site.blobs.delete(index_key(key))
        site.db.write(store.finish_xorbs, doomed)
        done.xorbs_removed += len(doomed)


def _sweep_temporary(site: Site, done: Report) -> None:
    """Temporary files and folders of this host that no process writes any more; uploads in parts may rest for longer.

    Their age is told by the clock that wrote it, that of this host's file system.
    """
    for path in site.blobs.tmp.iterdir():
        grace = PARTS_GRACE if path.name.startswith("parts-") else TEMPORARY_GRACE
        if _last_written(path) < time.time() - grace.total_seconds():
            done.bytes_freed += _remove(path)
            done.orphans_removed += 1


def _sweep_orphans(site: Site, done: Report, now: datetime) -> None:
    """Objects under a digest that no row relies on: a crash came between naming and the row."""
    before = (now - TEMPORARY_GRACE).timestamp()
    for kind in ("sha256", "xet"):
        old = (found.key for found in site.blobs.iter_keys(f"{kind}/") if found.modified_at < before)
        while keys := list(itertools.islice(old, store.BATCH)):
            for key in _orphans(site, kind, keys):
                # Nobody may be between naming an object and its row while this is decided.
                with placing(site.db, exclusive=True) as alone:
                    found = site.blobs.find(key)
                    if found is not None and found.modified_at < before and _orphans(site, kind, [key]):
                        alone.check()
                        done.bytes_freed += site.blobs.delete(key)
                        done.orphans_removed += 1


def _abort_multiparts(site: Site, now: datetime) -> None:
    """Uploads in parts that nobody completed; in a store also those that nothing here knows of."""
    if site.blobs.multipart is not None:
        before = (now - MULTIPART_GRACE).timestamp()
        for begun in site.blobs.multipart.iter_multiparts():
            if begun.begun_at < before:
                site.blobs.multipart.abort_multipart(begun.key, begun.upload_id)
    for one in site.db.write(lfs_store.forget_older, now - MULTIPART_GRACE):
        parts.give_up(site.blobs, one)


def _orphans(site: Site, kind: str, keys: list[str]) -> list[str]:
    named = {}
    for key in keys:
        match = _NAME.fullmatch(key.rpartition("/")[2])
        if match is not None:
            named[key] = (match[1], int(match[2] or 0))
    kept = site.db.read(store.find_kept, kind, sorted({name for name, _ in named.values()}))
    return [key for key, name in named.items() if name not in kept]


def _last_written(path: Path) -> float:
    """When a file, or anything below a folder, was last written; now, if it is gone already."""
    try:
        newest = path.stat().st_mtime
        if path.is_dir():
            newest = max([newest, *(below.stat().st_mtime for below in path.rglob("*"))])
    except FileNotFoundError:
        return time.time()
    return newest


def _remove(path: Path) -> int:
    """Remove a file, or a folder that a process left when it was killed; returns the size, 0 when it was gone already."""
    try:
        if path.is_dir():
            size = sum(below.stat().st_size for below in path.rglob("*") if below.is_file())
            shutil.rmtree(path, ignore_errors=True)
            return size
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return size

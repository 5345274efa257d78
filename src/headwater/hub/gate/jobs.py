"""What the gate does beside requests: judging what waits, judging again when the rules have changed, recording verdicts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import structlog

from headwater import queue
from headwater.db import Tx
from headwater.hub import files
from headwater.hub.events import JUDGE_FILE
from headwater.hub.gate import store
from headwater.hub.gate.judging import Budget, OutOfTime, Stored, verdict_of
from headwater.hub.gate.models import FileVerdict, Key, Status
from headwater.hub.gate.recording import record_again, record_new
from headwater.kernel import RepoId, Sha256, utcnow

if TYPE_CHECKING:
    from headwater import scanning
    from headwater.hub.git import Snapshot
    from headwater.web.site import Site

GROUP = 500
TURN_S = 20.0  # of judging again, at a time
FILE_CPU_S = 2.0  # in this process; what takes longer goes to a child
MAX_SMALL_BYTES = 256 << 20

log = structlog.get_logger("headwater.hub.gate")


def judge_waiting(site: Site, payload: Mapping[str, Any]) -> None:
    """The handler of ``JUDGE_FILE``. A file that cannot be judged is suspicious, never safe."""
    key: Key = payload["content"], payload["role"]
    verdict = site.db.read(store.find_verdicts, [key]).get(key)
    if verdict is None:
        return
    if verdict.rules == _rules():
        if payload.get("second") and verdict.second is None:
            source = _open(site, key[0], RepoId(payload["repo_id"]))
            opinion = None if source is None else _second(verdict.name, source)
            if opinion is not None:
                site.db.write(_add_second, key, opinion, utcnow())
        return
    judged = _judge(site, key, verdict.name, RepoId(payload["repo_id"]))
    if judged is None:
        return  # gone meanwhile; held for as long as a row names it
    site.db.write(_settle, [judged], utcnow())
    log.info("file.judged", content=key[0], role=key[1], status=judged.status.value)


def _judge(site: Site, key: Key, name: str, repo_id: RepoId) -> FileVerdict | None:
    """In this process if that is quick, else in a child with limits of its own."""
    from headwater import scanning

    source = _open(site, key[0], repo_id)
    if source is None:
        return None
    try:
        found = scanning.judge(name, Stored(source, Budget(FILE_CPU_S)))
    except (OutOfTime, RecursionError, MemoryError):
        found = scanning.judge_apart(name, Stored(source))
    return verdict_of(key, name, found, _second(name, source))


def _second(name: str, source: Any) -> Mapping[str, Any] | None:
    """Another scanner's opinion, where one is installed; kept beside ours, which alone decides."""
    from headwater import scanning

    return scanning.second_opinion(name, Stored(source))


def _open(site: Site, content: str, repo_id: RepoId) -> Any:
    """The bytes, or None where they are gone."""
    from headwater.blobs import MemorySource
    from headwater.hub.files import LargeFileNotFound
    from headwater.hub.git import GitStore

    if len(content) == 64:
        try:
            with site.db.reading() as tx:
                return files.open_stored(tx, site.blobs, Sha256(content))
        except LargeFileNotFound:
            return None
    with site.part(GitStore).open(repo_id) as snap:
        try:
            return MemorySource(snap.read_blob(content, limit_bytes=MAX_SMALL_BYTES))
        except KeyError:
            return None


def _add_second(tx: Tx, key: Key, second: Mapping[str, Any], now: datetime) -> None:
    record_again(tx, store.set_second(tx, key, second), now)


def _settle(tx: Tx, verdicts: Sequence[FileVerdict], now: datetime) -> None:
    record_again(tx, store.put_verdicts(tx, verdicts, now), now)
    free = [verdict.key for verdict in verdicts if verdict.status is Status.SAFE]
    for content in (content for content, role in free if role in store.SHOWN):
        store.index_again(tx, store.list_holders(tx, content), now)
    store.let_go(tx, free)


def seal_verdicts(site: Site) -> None:
    """Record what was judged since the last time, a batch at a time; and put to work what waits without a job."""
    if site.db.read(store.has_unrecorded):  # a site where nothing happens writes nothing
        while site.db.write(record_new, utcnow()):
            pass
    if site.db.read(store.list_waiting, 1):
        site.db.write(_put_lost, utcnow())


def _put_lost(tx: Tx, now: datetime) -> None:
    """Jobs that were given up are put again; those that wait already are enough."""
    for key, _ in store.list_waiting(tx, 100):
        holders = store.list_holders(tx, key[0], 1)
        if holders:
            payload = {"content": key[0], "role": key[1], "repo_id": holders[0]}
            queue.put(tx, JUDGE_FILE, payload, unique=f"{key[0]}:{key[1]}", now=now)


def judge_again(site: Site) -> None:
    """Bring verdicts to the rules of today, a while at a time: kept ones first, then what each repository holds.

    Until then the verdict by the rules before stands.
    """
    rules, until = _rules(), time.monotonic() + TURN_S
    if not site.db.read(store.is_settled, rules):
        while site.db.write(store.mark_due, rules, 1000):
            pass
    after: Key = ("", "")
    while time.monotonic() < until:
        stale = site.db.read(store.list_stale, rules, 50, after)
        if not stale:
            break
        _judge_stale(site, stale)
        after = stale[-1].key
    last = RepoId(0)
    while time.monotonic() < until:
        due = site.db.read(store.list_due, 10, last)
        if not due:
            return
        for last in due:
            try:
                _judge_repository(site, last)
            except Exception:  # one that is damaged stays due, and keeps none of the others waiting
                log.exception("repository.not_judged", repo_id=last)
            else:
                site.db.write(store.end_due, last)
            if time.monotonic() > until:
                return


def _judge_stale(site: Site, stale: Sequence[FileVerdict]) -> None:
    """Large files, by their digests; small ones are found in their repositories."""
    judged: list[FileVerdict] = []
    gone: list[Key] = []
    for verdict in stale:
        try:
            found = _judge(site, verdict.key, verdict.name, RepoId(0))
        except Exception:  # the next round tries again; until then the verdict by the rules before stands
            log.exception("file.not_judged", content=verdict.content, role=verdict.role)
            continue
        if found is None:
            gone.append(verdict.key)
        else:
            judged.append(found)
    site.db.write(_rejudged, judged, gone, _rules(), utcnow())


def _rejudged(tx: Tx, judged: Sequence[FileVerdict], gone: Sequence[Key], rules: str, now: datetime) -> None:
    """Who names one that is no longer safe is found when its repository is looked at. What is gone keeps its verdict."""
    _settle(tx, judged, now)
    record_again(tx, store.carry_over(tx, gone, rules), now)


def _judge_repository(site: Site, repo_id: RepoId) -> None:
    """Every file of every ref, in groups: what has no verdict by the rules of today gets one, and is held if it is not safe."""
    from headwater.hub.git import GitStore

    group: dict[Key, tuple[str, int]] = {}
    with site.part(GitStore).open(repo_id) as snap:
        for key, path, pull in files_of_refs(snap):
            group[key] = path, pull
            if len(group) >= GROUP:
                _judge_group(site, repo_id, snap, group)
                group = {}
        _judge_group(site, repo_id, snap, group)


def files_of_refs(snap: Snapshot) -> Iterator[tuple[Key, str, int]]:
    """Each once, with a path of it, and by which pull request it came if no branch has it."""
    from headwater import scanning
    from headwater.hub.community import pull_number
    from headwater.hub.git import EntryKind

    seen: set[Key] = set()
    for ref, oid in sorted(snap.refs.items(), key=lambda item: item[0].startswith("refs/pr/")):
        pull = pull_number(ref)
        if pull is None and not ref.startswith(("refs/heads/", "refs/tags/")):
            continue
        for entry in snap.iter_files(snap.resolve(oid)):
            key = (str(entry.sha256 or entry.oid), scanning.role_of(entry.path))
            if entry.kind in (EntryKind.FILE, EntryKind.SYMLINK) and key not in seen:
                seen.add(key)
                yield key, entry.path, pull or 0


def _judge_group(site: Site, repo_id: RepoId, snap: Snapshot, group: Mapping[Key, tuple[str, int]]) -> None:
    from headwater import scanning

    known = site.db.read(store.find_verdicts, group)
    new: list[FileVerdict] = []
    held: dict[int, dict[Key, str]] = {}
    for key, (path, pull) in group.items():
        verdict = known.get(key)
        if verdict is None or verdict.rules != scanning.RULES_VERSION:
            if len(key[0]) == 64:
                verdict = _judge(site, key, path, repo_id)
            else:
                verdict = verdict_of(key, path, _judge_small(snap, key[0], path))
            if verdict is None:
                continue
            if key[1] != "text" or len(key[0]) == 64 or verdict.status is not Status.SAFE:
                new.append(verdict)
        if verdict.status is not Status.SAFE:
            held.setdefault(pull, {})[key] = path
    site.db.write(_keep_group, repo_id, new, held, utcnow())


def _judge_small(snap: Snapshot, oid: str, path: str) -> scanning.Judgement:
    from headwater import scanning

    try:
        data = snap.read_blob(oid, limit_bytes=MAX_SMALL_BYTES)
    except KeyError:  # what cannot be read is not called safe
        return scanning.Judgement((scanning.Finding(scanning.ALL_RULES["gate.not-judged"], "not here"),))
    return scanning.judge(path, scanning.Memory(data))


def _keep_group(
    tx: Tx, repo_id: RepoId, new: Sequence[FileVerdict], held: Mapping[int, Mapping[Key, str]], now: datetime
) -> None:
    _settle(tx, new, now)
    for pull, of_pull in held.items():
        store.hold(tx, repo_id, of_pull, pull=pull, now=now)
        if any(role in store.SHOWN for _, role in of_pull):
            store.index_again(tx, [repo_id], now)


def _rules() -> str:
    from headwater import scanning

    found: str = scanning.RULES_VERSION
    return found

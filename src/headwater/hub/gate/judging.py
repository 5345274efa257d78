"""From bytes to verdicts, in bounded time: what a commit brings before its transaction, what waits in a job.

``scanning`` judges; here is what it is given to read, how long it may take, and what becomes of its findings.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from headwater.blobs import ByteSource, read_all
from headwater.db import Tx
from headwater.hub import files
from headwater.hub.gate import store
from headwater.hub.gate.errors import FileRefused
from headwater.hub.gate.models import NOTHING, FileVerdict, Found, Judged, Key, Status
from headwater.hub.gate.recording import record_again
from headwater.kernel import SYSTEM, Actor, GitOid, RepoId, Sha256

if TYPE_CHECKING:
    from headwater.hub.git.models import BuiltCommit
    from headwater.hub.leaks import Watch
    from headwater.scanning import Judgement
    from headwater.web.site import Site

# What one commit or push may take of its thread; what is left over waits for a job. The second bound is for stores that are slow.
CPU_S = 3.0
WALL_S = 15.0
SMALL_CPU_S = 10.0  # for files in git itself: there are bounds on their sizes and on their number
QUICK_BYTES = 64 << 10
BLOCK_BYTES = 256 << 10
BLOCKS = 16
KEPT_BYTES = 64 << 10  # of a small file that was read once already
_STATUSES = {0: Status.SAFE, 1: Status.SUSPICIOUS, 2: Status.UNSAFE}


class OutOfTime(Exception):
    """There was no more time to read."""


class SmallFile(NamedTuple):
    """A file in git itself that somebody brings; ``is_new``: its bytes came with it."""

    path: str
    oid: GitOid
    data: Callable[[], bytes]
    is_new: bool = True


@dataclass(frozen=True)
class LargeFile:
    path: str
    sha256: Sha256


class Budget:
    """How long the calling thread may still read."""

    def __init__(self, cpu_s: float = CPU_S, wall_s: float = WALL_S) -> None:
        self._cpu_until = time.thread_time() + cpu_s
        self._wall_until = time.monotonic() + wall_s
        self.is_spent = cpu_s <= 0

    def check(self) -> None:
        """
        Raises:
            OutOfTime
        """
        if time.thread_time() > self._cpu_until or time.monotonic() > self._wall_until:
            self.is_spent = True
            raise OutOfTime


class Stored:
    """A stored file as ``scanning.Bytes``: small reads come out of a few blocks, so that none opens a file of its own."""

    def __init__(self, source: ByteSource, budget: Budget | None = None) -> None:
        self._source = source
        self._budget = budget
        self._blocks: OrderedDict[int, bytes] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        return self._source.size_bytes

    def read_at(self, start: int, count: int) -> bytes:
        if self._budget is not None:
            self._budget.check()
        end = min(start + count, self.size_bytes)
        if start < 0 or end <= start:
            return b""
        if count >= BLOCK_BYTES:
            return read_all(self._source, start, end, limit_bytes=count)
        first, last = start // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        data = self._block(first) if first == last else self._block(first) + self._block(last)
        return data[start - first * BLOCK_BYTES : end - first * BLOCK_BYTES]

    def _block(self, number: int) -> bytes:
        found = self._blocks.get(number)
        if found is None:
            at = number * BLOCK_BYTES
            found = self._blocks[number] = read_all(self._source, at, at + BLOCK_BYTES)
            while len(self._blocks) > BLOCKS:
                self._blocks.popitem(last=False)
        return found


@dataclass(frozen=True)
class _TimedFile:
    """An open file, as long as there is time to look at it."""

    descriptor: int
    size_bytes: int
    budget: Budget

    def read_at(self, start: int, count: int) -> bytes:
        self.budget.check()
        return os.pread(self.descriptor, count, start)


@dataclass(frozen=True)
class _Timed:
    """Bytes in memory, as long as there is time to look at them."""

    data: bytes
    budget: Budget

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def read_at(self, start: int, count: int) -> bytes:
        self.budget.check()
        return self.data[start : start + count]


def require_harmless(name: str, path: Path, size_bytes: int) -> None:
    """That a file which no repository has (a picture in a comment) is safe by all rules: there is nobody who could release it.

    Raises:
        FileRefused
    """
    from headwater import scanning

    try:
        with path.open("rb") as file:
            found = scanning.judge(name, _TimedFile(file.fileno(), size_bytes, Budget()))
    except (OutOfTime, RecursionError, MemoryError):
        found = scanning.Judgement((scanning.Finding(scanning.ALL_RULES["gate.not-judged"], "it took too long"),))
    if found.findings:
        raise FileRefused(name, verdict_of(("", ""), name, found).findings)


def judge_incoming(
    site: Site,
    actor: Actor,
    repo_id: RepoId,
    small: Iterable[SmallFile],
    large: Sequence[LargeFile] = (),
    *,
    path_of: Callable[[str, str], str] | None = None,
) -> Judged:
    """Judge what a commit or a push brings. No transaction may be open that writes.

    Of large files only those are looked at that the actor may name here: of others not even a verdict is told.

    Args:
        path_of: (content, path) to the path that a refusal names, where callers know names only.

    Raises:
        FileRefused: one of them lies about itself.
        SecretsFound: one of them holds what a public repository would tell everyone.
    """
    from headwater.hub import leaks

    judged, watch, cards = _Incoming(site, repo_id), leaks.Watch(), list[SmallFile]()
    judged.take_small(_watched(small, watch, cards))
    leaks.settle(site, actor, repo_id, watch, path_of)
    if cards:
        _require_other_base(site, repo_id, cards, path_of)
    if large:
        judged.take_large(actor, large)
    return judged.result(path_of)


def _watched(small: Iterable[SmallFile], watch: Watch, cards: list[SmallFile]) -> Iterator[SmallFile]:
    """The same files; those whose bytes are new are looked at for secrets as they pass, and cards that name a base are noted."""
    for file in small:
        if not file.is_new:
            yield file
            continue
        data = file.data()
        watch.look(file.path, file.oid, data)
        if b"base_model" in data and file.path.rpartition("/")[2] == "README.md":
            cards.append(file)
        yield SmallFile(file.path, file.oid, lambda data=data: data) if len(data) <= KEPT_BYTES else file  # type: ignore[misc]


def _require_other_base(
    site: Site, repo_id: RepoId, cards: Sequence[SmallFile], path_of: Callable[[str, str], str] | None
) -> None:
    """
    Raises:
        FileRefused: the repository's card names the repository itself as its base model.
    """
    from headwater import scanning
    from headwater.accounts import Action
    from headwater.hub import access
    from headwater.hub.models import RepoKind

    repo = site.db.read(access.get_repository_by_id, SYSTEM, repo_id, Action.READ)
    name = str(repo.name)
    for card in cards if repo.kind is RepoKind.MODEL else ():
        path = card.path if path_of is None else path_of(card.oid, card.path)
        if path == "README.md" and scanning.names_itself(card.data(), name):
            found = scanning.Judgement((scanning.Finding(scanning.ALL_RULES["card.itself"], name),))
            raise FileRefused(path, verdict_of((card.oid, "card"), path, found).findings)


class _Incoming:
    def __init__(self, site: Site, repo_id: RepoId) -> None:
        from headwater import scanning

        self._scanning = scanning
        self._site = site
        self._repo_id = repo_id
        self._new: dict[Key, FileVerdict] = {}
        self._held: dict[Key, str] = {}
        self._refused: list[tuple[str, str, Sequence[Found]]] = []
        self._waiting: list[Key] = []
        self._n_taken = 0

    def take_small(self, small: Iterable[SmallFile]) -> None:
        """Named ones are looked up first, in groups: most of what a push names was here before."""
        budget = Budget(SMALL_CPU_S)
        group: dict[Key, SmallFile] = {}
        for file in small:
            role = self._scanning.role_of(file.path)
            if role == "text":
                self._take((file.oid, role), file, budget)
                continue
            group.setdefault((file.oid, role), file)
            if len(group) >= 500:
                self._take_named(group, budget)
                group = {}
        self._take_named(group, budget)

    def _take_named(self, group: Mapping[Key, SmallFile], budget: Budget) -> None:
        known = self._site.db.read(store.find_verdicts, group) if group else {}
        for key, file in group.items():
            verdict = known.get(key)
            if verdict is not None and verdict.rules == self._scanning.RULES_VERSION:
                self._note(verdict, file.path)
            else:
                self._take(key, file, budget)

    def _take(self, key: Key, file: SmallFile, budget: Budget) -> None:
        if key in self._new:
            return
        try:
            data = file.data()
        except KeyError:
            return  # a name for what is not here, that no ref of the push reaches
        self._n_taken += 1
        is_quick = len(data) <= QUICK_BYTES  # asking for the time takes as long as judging such a one
        try:
            if is_quick and self._n_taken % 64 == 0:
                budget.check()
            source = self._scanning.Memory(data) if is_quick and not budget.is_spent else _Timed(data, budget)
            judgement = self._scanning.judge(file.path, source)
        except (OutOfTime, RecursionError, MemoryError):
            self._wait(key, file.path)
            return
        if key[1] == "text" and not judgement.findings:
            return
        verdict = self._new[key] = verdict_of(key, file.path, judgement)
        self._note(verdict, file.path)

    def take_large(self, actor: Actor, large: Sequence[LargeFile]) -> None:
        wanted = {(str(file.sha256), self._scanning.role_of(file.path)): file for file in large}
        digests = {file.sha256 for file in large}
        with self._site.db.reading() as tx:
            digests -= files.find_missing(tx, actor, self._repo_id, digests)
            known = store.find_verdicts(tx, wanted)
            sources = {
                digest: files.open_stored(tx, self._site.blobs, digest)
                for digest in {Sha256(content) for content, _ in wanted.keys() - _current(known)} & digests
            }
        budget = Budget()
        for key, file in wanted.items():
            if file.sha256 not in digests:
                self._wait(key, file.path)  # the transaction refuses it, unless its bytes arrive until then
                continue
            verdict = known.get(key)
            if verdict is not None and verdict.rules == self._scanning.RULES_VERSION:
                self._note(verdict, file.path)
                continue
            try:
                budget.check()
                judgement = self._scanning.judge(file.path, Stored(sources[file.sha256], budget))
            except (OutOfTime, RecursionError, MemoryError, OSError):
                self._wait(key, file.path)
                continue
            verdict = self._new[key] = verdict_of(key, file.path, judgement)
            self._note(verdict, file.path)

    def _note(self, verdict: FileVerdict, path: str) -> None:
        if verdict.status is Status.UNSAFE:
            self._refused.append((verdict.content, path, verdict.findings))
        elif verdict.status is not Status.SAFE:
            self._held[verdict.key] = path
            if verdict.status is Status.QUEUED:
                self._waiting.append(verdict.key)

    def _wait(self, key: Key, path: str) -> None:
        content, role = key
        self._new[key] = FileVerdict(content, role, _leaf(path), Status.QUEUED, "")
        self._held[key] = path
        self._waiting.append(key)

    def result(self, path_of: Callable[[str, str], str] | None) -> Judged:
        if self._refused:
            content, path, findings = self._refused[0]
            shown = path if path_of is None else path_of(content, path)
            raise FileRefused(shown, findings, len({c for c, _, _ in self._refused}) - 1)
        if not self._new and not self._held:
            return NOTHING
        return Judged(tuple(self._new.values()), self._held, tuple(self._waiting))


def judge_commit(site: Site, actor: Actor, repo_id: RepoId, built: BuiltCommit) -> Judged:
    """What one commit writes, by its own paths.

    Raises:
        FileRefused
    """
    small = (SmallFile(path, oid, read_small(data)) for path, oid, data in built.written)
    return judge_incoming(site, actor, repo_id, small, [LargeFile(path, sha256) for path, sha256 in built.named])


def _current(known: Mapping[Key, FileVerdict]) -> Collection[Key]:
    from headwater import scanning

    return {key for key, verdict in known.items() if verdict.rules == scanning.RULES_VERSION}


def verdict_of(key: Key, path: str, judgement: Judgement, second: Mapping[str, Any] | None = None) -> FileVerdict:
    """What is kept of a judgement."""
    from headwater import scanning

    content, role = key
    return FileVerdict(
        content,
        role,
        _leaf(path),
        _STATUSES[int(judgement.verdict)],
        scanning.RULES_VERSION,
        tuple(
            Found(
                found.rule.id,
                found.rule.version,
                "refused" if int(found.rule.verdict) == 2 else "suspicious",
                found.rule.says,
                found.rule.advice,
                found.what,
                found.offset,
                found.member,
            )
            for found in judgement.findings[:20]
        ),
        tuple((each.module, each.name, each.is_allowed) for each in judgement.imports[:200]),
        tuple(sorted(judgement.kinds)),
        second,
    )


def _leaf(path: str) -> str:
    return path.rpartition("/")[2].encode(errors="replace").decode()[-255:]


def small_file(path: str, data: bytes | Path) -> SmallFile:
    """A file that git does not have yet."""
    from headwater.hub.git.objects import BLOB, object_id

    read = read_small(data)
    return SmallFile(path, GitOid(object_id(BLOB, read()).hex()), read)


def read_small(data: bytes | Path) -> Callable[[], bytes]:
    """What is in memory, or was put aside."""
    return (lambda: data) if isinstance(data, bytes) else data.read_bytes


def record_judged(tx: Tx, repo_id: RepoId, judged: Judged, *, pull: int, now: datetime) -> None:
    """In the transaction that makes these files part of the repository."""
    from headwater import queue
    from headwater.hub.events import JUDGE_FILE

    record_again(tx, store.put_verdicts(tx, judged.verdicts, now), now)
    store.hold(tx, repo_id, judged.held, pull=pull, now=now)
    if judged.promoted:
        store.promote(tx, repo_id, contents=judged.promoted)
    for verdict in judged.verdicts:
        if "pickle" in verdict.kinds and verdict.second is None and _has_second():
            payload: dict[str, Any] = {
                "content": verdict.content,
                "role": verdict.role,
                "repo_id": repo_id,
                "second": True,
            }
            queue.put(tx, JUDGE_FILE, payload, unique=f"second:{verdict.content}:{verdict.role}", now=now)
    for content, role in judged.waiting:
        payload = {"content": content, "role": role, "repo_id": repo_id}
        queue.put(tx, JUDGE_FILE, payload, unique=f"{content}:{role}", now=now)


@functools.cache
def _has_second() -> bool:
    """Whether there is another scanner to ask; a job asks it."""
    return importlib.util.find_spec("picklescan") is not None

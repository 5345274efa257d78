"""The one way refs move: pack bytes first, then one transaction.

Invariant: a ref points only at commits whose objects are all in live packs, and whose large files are all stored and
readable through the repository. Only ``publish`` moves refs, and the collector relies on it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from headwater import queue
from headwater.blobs import BlobStore
from headwater.db import Tx, row_locked
from headwater.hub import quotas
from headwater.hub.access import from_row
from headwater.hub.errors import HeadMoved, RefExists, RepositoryNotFound
from headwater.hub.events import MERGE_PACKS, SETTLE_S, RefMove, refs_moved
from headwater.hub.gate import NOTHING, Judged, judge_commit, record_judged
from headwater.hub.git import store
from headwater.hub.git.cache import GitStore
from headwater.hub.git.errors import DefaultBranchStays, RefInTheWay, RepositoryPruned
from headwater.hub.git.folders import pack_key
from headwater.hub.git.models import BuiltCommit, BuiltPack, Pointer
from headwater.hub.models import Repository
from headwater.hub.names import check_ref
from headwater.hub.placing import placing
from headwater.kernel import Actor, CommitId, GitOid, RepoId, Sha256
from headwater.web import Site

INLINE_BYTES = 64 << 10
MERGE_EVERY = 32


@dataclass(frozen=True)
class Published:
    """``also`` is what the caller's own part of the transaction returned.

    ``pack_id`` is None when the act brought no pack, or one that was here.
    """

    before: Repository
    head_commit: CommitId | None
    at: datetime
    added_bytes: int
    also: Any = None
    pack_id: int | None = None

    @property
    def version(self) -> int:
        return self.before.version + 1

    @property
    def repo(self) -> Repository:
        """As it is after the act."""
        return replace(
            self.before,
            version=self.version,
            head_commit=self.head_commit,
            updated_at=self.at,
            size_bytes=self.before.size_bytes + self.added_bytes,
        )


def publish(
    site: Site,
    actor: Actor,
    repo_id: RepoId,
    moves: Sequence[RefMove],
    built: BuiltCommit | BuiltPack | None = None,
    *,
    epoch: int,
    now: datetime,
    also: Callable[[Tx], Any] | None = None,
    pointers: Mapping[GitOid, Pointer] | None = None,
    paths: Mapping[Sha256, str] | None = None,
    pull: int = 0,
    frees: bool = False,
    judged: Judged | None = None,
) -> Published:
    """Move refs, all or none, with the pack that brings what they need.

    ``epoch`` is ``snap.prune_epoch`` of the snapshot that everything was built on and checked against. ``pull`` is the
    pull request whose right to its large files this grants (0: the repository's own). ``pointers`` and ``paths`` are
    taken from ``built`` if it is a commit. ``frees``: the act is a step to use less, let through however full its payer is. ``also(tx)`` joins the transaction, before the ledger's entry; no I/O in it.
    ``judged`` is what the gate found in the files this brings; of a commit that nobody has judged yet it is found here.
    The caller has asked for access; that the repository still exists is checked here.

    Raises:
        HeadMoved, RefExists: a ref is not where ``old`` says.
        RefInTheWay, DefaultBranchStays, BadName
        RepositoryPruned: objects went since ``epoch``; build and check again.
        BlobNotStored: a pointer names bytes that this actor may not bring here.
        QuotaExceeded: the repository's owner (of a pull request: its author) has no room for what this brings.
        FileRefused: a file of the commit lies about itself.
    """
    if judged is None:
        judged = judge_commit(site, actor, repo_id, built) if isinstance(built, BuiltCommit) else NOTHING
    pack = built.pack if isinstance(built, BuiltCommit) else built
    if isinstance(built, BuiltCommit):
        pointers, paths = built.pointers if pointers is None else pointers, built.paths if paths is None else paths
    for move in moves:
        if move.old is None and move.new is not None:
            check_ref(move.ref)
    with stored_pack(site, repo_id, pack) as inline:
        act = _Act(
            actor, tuple(moves), pack, inline, epoch, now, also, pointers or {}, paths or {}, pull, frees, judged
        )
        done = site.db.write(act.run_beside_others if act.is_plain else act.run, repo_id)
    if pack is not None and done.pack_id is not None and pack.objects is not None:
        changed = {move.ref: move.new for move in moves}
        site.part(GitStore).note_published(repo_id, done.version, epoch, changed, done.pack_id, pack.objects)
    return done


def publish_first(tx: Tx, actor: Actor, repo_id: RepoId, ref: str, built: BuiltCommit, *, now: datetime) -> Published:
    """As ``publish``, inside the transaction that makes the repository.

    Raises:
        ValueError: the pack is too large to lie in its row; its bytes would have to be written before.
    """
    if built.pack is None or not isinstance(built.pack.data, bytes) or built.pack.size_bytes > INLINE_BYTES:
        raise ValueError("only a small commit can join another transaction")
    inline = built.pack.data, _bytes(built.pack.idx)
    moves = (RefMove(ref, None, built.commit),)
    act = _Act(actor, moves, built.pack, inline, 0, now, None, built.pointers, built.paths, 0, False)
    return act.run(tx, repo_id)


@dataclass(frozen=True)
class _Act:
    actor: Actor
    moves: tuple[RefMove, ...]
    pack: BuiltPack | None
    inline: tuple[bytes, bytes] | None
    epoch: int
    now: datetime
    also: Callable[[Tx], Any] | None
    pointers: Mapping[GitOid, Pointer]
    paths: Mapping[Sha256, str]
    pull: int
    frees: bool
    judged: Judged = NOTHING

    @property
    def is_plain(self) -> bool:
        """Whether it touches nothing but its own repository, whose row it locks first: no large files, no pull requests."""
        return self.also is None and not self.paths and not any(m.ref.startswith("refs/pr/") for m in self.moves)

    @row_locked
    def run_beside_others(self, tx: Tx, repo_id: RepoId) -> Published:
        return self.run(tx, repo_id)

    def run(self, tx: Tx, repo_id: RepoId) -> Published:
        from headwater.hub import files

        row = store.find_locked(tx, repo_id)
        if row is None:
            raise RepositoryNotFound
        repo = from_row(row)
        if repo.prune_epoch != self.epoch and any(move.new is not None for move in self.moves):
            raise RepositoryPruned
        head = self._move_refs(tx, repo)
        added, pack_id, bill = 0, None, quotas.Bill()
        if self.pack is not None:
            pack_id, added = store.insert_pack(
                tx, repo.id, self.pack.name, self.pack.size_bytes, self.pack.n_objects, self.inline, self.now
            )
            bill.repository(repo.id, packs=added)
            if self.pull:
                bill.pull(repo.id, self.pull, packs=added)
        if self.pointers:
            store.insert_pointers(tx, self.pointers)
        if self.paths:
            sizes = {p.sha256: p.size_bytes for p in self.pointers.values()}
            files.grant_rights(
                tx, repo.id, self.paths, actor=self.actor, now=self.now, pull=self.pull, sizes=sizes, bill=bill
            )
        bill.settle(tx, check=not self.frees)
        if self.judged:
            record_judged(tx, repo.id, self.judged, pull=self.pull, now=self.now)
        store.touch_repository(tx, repo.id, added_bytes=added, head_commit=head, now=self.now)
        if self.pack is not None and repo.version % MERGE_EVERY == MERGE_EVERY - 1:
            queue.put(tx, MERGE_PACKS, {"repo_id": repo.id}, unique=str(repo.id), delay_s=SETTLE_S, now=self.now)
        value = None if self.also is None else self.also(tx)
        refs_moved(tx, self.actor, repo, list(self.moves), self.now)
        return Published(repo, head, self.now, added, value, pack_id)

    def _move_refs(self, tx: Tx, repo: Repository) -> CommitId | None:
        """Compare and swap them all; returns where the default branch is afterwards."""
        head = repo.head_commit
        default_ref = f"refs/heads/{repo.default_branch}"
        # Deletions first: ``a`` may make room for ``a/b`` in one act.
        for move in sorted(self.moves, key=lambda m: m.new is not None):
            if move.ref == default_ref:
                if move.new is None and move.old is not None:
                    raise DefaultBranchStays(repo.default_branch)
                head = None if move.new is None else CommitId(move.new)
            if move.old is None and move.new is not None:
                other = store.find_ref_in_the_way(tx, repo.id, move.ref)
                if other is not None:
                    raise RefInTheWay(move.ref, other)
            if not store.move_ref(tx, repo.id, move.ref, move.old, move.new, self.now):
                if move.old is None:
                    raise RefExists(move.ref)
                raise HeadMoved(move.ref, store.find_ref(tx, repo.id, move.ref))
        return head


@contextmanager
def stored_pack(site: Site, repo_id: RepoId, pack: BuiltPack | None) -> Iterator[tuple[bytes, bytes] | None]:
    """Bring a pack's bytes where they belong, and keep them there until the block has written the row.

    Gives its bytes if they are small enough to lie in the row. The index goes first: nothing looks for it without the pack.
    Also used by the collector.
    """
    if pack is None:
        yield None
        return
    try:
        if pack.size_bytes <= INLINE_BYTES and _size(pack.idx) <= INLINE_BYTES:
            yield _bytes(pack.data), _bytes(pack.idx)
            return
        contents = {pack_key(repo_id, pack.name, ".idx"): pack.idx, pack_key(repo_id, pack.name, ".pack"): pack.data}
        while True:
            for key, content in contents.items():
                _store(site.blobs, key, content)
            with placing(site.db) as held:
                if all(site.blobs.exists(key) for key in contents):
                    held.check()
                    yield None
                    return
    finally:
        if not pack.is_lent and isinstance(pack.data, Path):
            pack.data.unlink(missing_ok=True)


def _store(blobs: BlobStore, key: str, content: bytes | Path) -> None:
    if isinstance(content, Path):
        blobs.adopt(content, key)
        return
    with blobs.temporary() as temporary:
        temporary.write_bytes(content)
        blobs.adopt(temporary, key)


def _size(content: bytes | Path) -> int:
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _bytes(content: bytes | Path) -> bytes:
    return content if isinstance(content, bytes) else content.read_bytes()

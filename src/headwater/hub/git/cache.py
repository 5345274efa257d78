"""The store as readers see it: ``GitStore.open`` gives a ``Snapshot``.

Small packs that lie in their SQL rows are read into memory, so that pages and API commits on a small or lately changed
repository touch no file. Everything else is read from the cache folder (``folders``), which is made when first needed:
for large packs, for history, and for the git program.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headwater.blobs import BlobStore
from headwater.db import Database, Tx
from headwater.hub.figures import OPENED_AT_HAND, OPENED_FROM_FOLDER, OPENED_FROM_SQL
from headwater.hub.git import store
from headwater.hub.git.folders import CacheDir, Folder
from headwater.hub.git.packs import read_small_pack
from headwater.hub.git.snapshot import Objects, Snapshot
from headwater.kernel import RepoId

MAX_HANDLES = 128
MAX_TREE_BYTES = 8 << 20
MAX_HELD_BYTES = 256 << 10  # of one repository's small packs
MAX_HELD_PACKS = 64  # more are as quickly put on disk


@dataclass(frozen=True)
class Handle:
    """A repository at one version, as this process has it at hand; never changed, only replaced.

    ``folder`` holds everything up to ``folder_version``; what came later is in ``objects.held``. ``on_disk`` and ``in_memory``
    are the ids of the live packs whose objects are there.
    """

    head: store.Head
    refs: dict[str, str]
    folder: Folder | None
    folder_version: int
    objects: Objects
    on_disk: frozenset[int] = frozenset()
    in_memory: frozenset[int] = frozenset()
    held_bytes: int = 0


class TreeCache:
    """Raw trees by id, bounded by bytes; what a tree id stands for never changes."""

    def __init__(self, limit_bytes: int = MAX_TREE_BYTES) -> None:
        self._limit = limit_bytes
        self._held = 0
        self._trees: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def find(self, oid: str) -> bytes | None:
        with self._lock:
            raw = self._trees.get(oid)
            if raw is not None:
                self._trees.move_to_end(oid)
            return raw

    def put(self, oid: str, raw: bytes) -> None:
        if len(raw) > self._limit // 2:
            return
        with self._lock:
            if oid not in self._trees:
                self._trees[oid] = raw
                self._held += len(raw) + 150
            while self._held > self._limit:
                _, dropped = self._trees.popitem(last=False)
                self._held -= len(dropped) + 150


class GitStore:
    """A site part: ``with site.part(GitStore).open(repo.id) as snap: ...``"""

    def __init__(self, db: Database, blobs: BlobStore, cache_dir: Path, *, limit_bytes: int = 20 << 30) -> None:
        self.db = db
        self.blobs = blobs
        self.cache_dir = cache_dir
        self.limit_bytes = limit_bytes
        self.trees = TreeCache()
        self._folders = CacheDir(cache_dir, blobs)
        self._handles: OrderedDict[RepoId, Handle] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def open(self, repo_id: RepoId) -> Iterator[Snapshot]:
        """The repository as it is now (or, inside a read transaction, as that sees it), to read from.

        While it is open its files stay, whatever is merged, pruned or evicted meanwhile.

        Raises:
            RepositoryNotFound: deleted meanwhile.
        """
        for _ in range(5):
            handle, head, refs = self._current(repo_id)
            fd = None if handle.folder is None else handle.folder.lock()
            if handle.folder is None or fd is not None:
                break
            self.forget(repo_id)  # evicted since; make it again
        else:
            raise _unstable(repo_id, self.cache_dir)
        snap = Snapshot(self, repo_id, head, refs, handle.objects, handle.folder_version, handle.folder, fd)
        try:
            yield snap
        finally:
            snap.close()

    def at_hand(self, repo_id: RepoId, version: int, prune_epoch: int) -> Handle | None:
        """What this process has in memory, if it is just this version of the repository; else ``open`` it.

        Names of refs and objects that are held may be read from it; it reads no file, and asks for nothing.
        """
        handle = self._handles.get(repo_id)
        if handle is None or handle.head.version != version or handle.head.prune_epoch != prune_epoch:
            return None
        return handle

    def open_folder(self, repo_id: RepoId, version: int) -> tuple[Folder, int]:
        """The cache folder at ``version`` or later, and the descriptor that keeps its files in place until closed."""
        for _ in range(5):
            with self._lock:
                handle = self._handles.get(repo_id)
            if handle is None or handle.folder is None or handle.folder_version < version:
                handle = self._sync(repo_id, handle)
            if handle.folder is not None:
                fd = handle.folder.lock()
                if fd is not None:
                    return handle.folder, fd
            self.forget(repo_id)
        raise _unstable(repo_id, self.cache_dir)

    def forget(self, repo_id: RepoId) -> None:
        """Close this process's view of a repository; the next reader opens it anew."""
        with self._lock:
            self._handles.pop(repo_id, None)

    def note_published(
        self,
        repo_id: RepoId,
        version: int,
        prune_epoch: int,
        moved: Mapping[str, str | None],
        pack_id: int,
        objects: Mapping[str, tuple[int, bytes]],
    ) -> None:
        """Take in what this process has just done, so that it need not be read again."""
        with self._lock:
            before = self._handles.get(repo_id)
        if before is None or before.head.version != version - 1 or before.head.prune_epoch != prune_epoch:
            return
        held_bytes = before.held_bytes + sum([len(data) for _, data in objects.values()])
        if held_bytes > MAX_HELD_BYTES or len(before.in_memory) >= MAX_HELD_PACKS:
            return
        refs = {**before.refs, **moved}
        after = Handle(
            store.Head(version, prune_epoch, before.head.default_branch),
            {name: oid for name, oid in refs.items() if oid is not None},
            before.folder,
            before.folder_version,
            Objects(before.objects.odb, {**before.objects.held, **objects}),
            before.on_disk,
            before.in_memory | {pack_id},
            held_bytes,
        )
        self._keep(repo_id, after)

    def evict(self, limit_bytes: int | None = None) -> int:
        """Remove cache folders that nobody uses until they fit the limit; returns how many went."""
        limit = self.limit_bytes if limit_bytes is None else limit_bytes
        return self._folders.evict(limit, lambda ids: self.db.read(store.find_epochs, ids))

    def _current(self, repo_id: RepoId) -> tuple[Handle, store.Head, dict[str, str]]:
        """What this process has at hand, holding all of a version; which version that is; its refs."""
        with self._lock:
            handle = self._handles.get(repo_id)
            if handle is not None:
                self._handles.move_to_end(repo_id)
        with self.db.reading() as tx:
            head = store.read_head(tx, repo_id)
            if handle is not None and handle.head == head:
                OPENED_AT_HAND.add()
                return handle, head, handle.refs
            if handle is not None and handle.head.version > head.version:
                # An older transaction is being read. All of it is at hand but what was pruned since.
                return handle, head, store.read_refs(tx, repo_id)
            held = _hold(tx, repo_id, handle, head)
        if held is None:
            OPENED_FROM_FOLDER.add()
            held = self._sync(repo_id, handle)
        else:
            OPENED_FROM_SQL.add()
            self._keep(repo_id, held)
        return held, held.head, held.refs

    def _keep(self, repo_id: RepoId, handle: Handle) -> None:
        with self._lock:
            self._handles[repo_id] = handle
            self._handles.move_to_end(repo_id)
            while len(self._handles) > MAX_HANDLES:
                self._handles.popitem(last=False)

    def _sync(self, repo_id: RepoId, before: Handle | None) -> Handle:
        folder, state = self._folders.sync(
            repo_id,
            lambda: self.db.read(store.read_state, repo_id),
            lambda ids: self.db.read(store.find_pack_bytes, ids),
            None if before is None else before.folder,
        )
        if self._folders.fetched_bytes > self.limit_bytes // 16:
            self._folders.fetched_bytes = 0
            self.evict()
        on_disk = frozenset(row.id for row in state.packs)
        handle = Handle(state.head, state.refs, folder, state.head.version, Objects(folder.odb, {}), on_disk)
        self._keep(repo_id, handle)
        return handle


def _hold(tx: Tx, repo_id: RepoId, handle: Handle | None, head: store.Head) -> Handle | None:
    """``handle`` with what came since, out of small packs; None when that takes the folder."""
    if handle is not None and handle.head.prune_epoch != head.prune_epoch:
        handle = None
    if handle is None:
        handle = Handle(head, {}, None, -1, Objects(None, {}))
    live = store.find_live_packs(tx, repo_id)
    # Packs are merged as commits go on. What was in those is here: none of it is gone within a prune epoch.
    new = live - handle.on_disk - handle.in_memory
    in_memory = new | (live & handle.in_memory)
    if len(in_memory) > MAX_HELD_PACKS:
        return None
    held, held_bytes = handle.objects.held, handle.held_bytes
    if new:
        held = held.copy()
        rows = store.read_packs_from(tx, repo_id, min(new))
        for row in rows:
            if row.id not in new:
                continue
            found = None if row.pack is None else read_small_pack(row.pack, row.idx, MAX_HELD_BYTES - held_bytes, held)
            if found is None:
                return None
            held |= found
            held_bytes += sum([len(data) for _, data in found.values()])
    return Handle(
        head,
        store.read_refs(tx, repo_id),
        handle.folder,
        handle.folder_version,
        Objects(handle.objects.odb, held),
        live & handle.on_disk,
        in_memory,
        held_bytes,
    )


def _unstable(repo_id: RepoId, cache_dir: Path) -> OSError:
    return OSError(f"the cache of repository {repo_id} goes as soon as it is made; is {cache_dir} shared?")

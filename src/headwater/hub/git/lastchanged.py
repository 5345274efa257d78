"""Who changed a path last: built once per commit into nodes, or found by walking until that is done.

Both ways give, for a name in a folder of a commit: if its entry equals a parent's, what holds for the *first* such
parent, else this commit. That is what ``git log -1 -- path`` answers.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, delete, func, insert, select

from headwater.db import Tx, prepared
from headwater.db import insert as insert_or_ignore
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.git import nodes, objects, store
from headwater.hub.git.errors import RepositoryPruned
from headwater.hub.git.models import DIRECTORY_MODE, CommitInfo
from headwater.hub.git.nodes import Content, Node
from headwater.hub.tables.git import last_changed_node, last_changed_root
from headwater.kernel import CommitId, RepoId
from headwater.web import Site

if TYPE_CHECKING:
    from headwater.hub.git.snapshot import Snapshot

BATCH_COMMITS = 200
MAX_WALKED = 20_000
MAX_HELD_ENTRIES = 200_000
_AHEAD = (0, 0, 8, 16, 32, 64)  # generations of commits, looked at together with those that are next

_Entries = dict[bytes, tuple[int, bytes]]

_ROOT = prepared(
    select(last_changed_root.c.commit_oid, last_changed_root.c.node).where(
        last_changed_root.c.repo_id == bindparam("repo_id"), last_changed_root.c.commit_oid == bindparam("commit_oid")
    )
)
_ROOTS = select(last_changed_root.c.commit_oid, last_changed_root.c.node).where(
    last_changed_root.c.repo_id == bindparam("repo_id"),
    last_changed_root.c.commit_oid.in_(bindparam("commits", expanding=True)),
)
_NODE = prepared(
    select(last_changed_node.c.whole, last_changed_node.c.data).where(
        last_changed_node.c.repo_id == bindparam("repo_id"), last_changed_node.c.number == bindparam("number")
    )
)
_INSERT_NODES = prepared(insert(last_changed_node))
_INSERT_ROOTS = prepared(insert_or_ignore(last_changed_root).on_conflict_do_nothing())
_NEXT_NUMBER = prepared(
    select(func.max(last_changed_node.c.number).label("number")).where(
        last_changed_node.c.repo_id == bindparam("repo_id")
    )
)


def last_changed(snap: Snapshot, commit: CommitId, folder: str, names: Sequence[str] | None) -> dict[str, CommitInfo]:
    """See ``Snapshot.last_changed``. In a very long history that is not yet built, names found nowhere are left out."""
    from headwater.hub.git.snapshot import split_path

    tree = snap.tree_of(commit, folder)
    wanted = {name for _, name, _ in objects.iter_tree(snap.raw_tree(tree))}
    if names is not None:
        wanted &= {split_path(name)[0] for name in names}
    found = _walk(snap, commit, split_path(folder) if folder else [], wanted)
    infos = {oid: snap.commit_info(oid.hex()) for oid in set(found.values())}
    return {name.decode(errors="surrogateescape"): infos[oid] for name, oid in found.items()}


def build_last_changed(site: Site, payload: dict[str, Any]) -> None:
    """Job: make the nodes of every commit that a ref reaches and that has none; safe to repeat."""
    from headwater.hub.git.cache import GitStore

    repo_id = RepoId(payload["repo_id"])
    try:
        with site.part(GitStore).open(repo_id) as snap:
            Builder(snap, repo_id, site).build()
    except RepositoryNotFound:
        return


def forget_last_changed(tx: Tx, repo_id: RepoId) -> None:
    """Delete what was built, because commits were pruned; the next build makes it again."""
    tx.execute(delete(last_changed_root).where(last_changed_root.c.repo_id == repo_id))
    tx.execute(delete(last_changed_node).where(last_changed_node.c.repo_id == repo_id))


class NodeReader:
    """Nodes of one repository out of SQL, a bounded number of entries held."""

    def __init__(self, read: Callable[..., Any], repo_id: RepoId) -> None:
        self._read = read
        self._repo_id = repo_id
        self._held: OrderedDict[int, Node] = OrderedDict()
        self._n_entries = 0

    def find_roots(self, commits: Iterable[str]) -> dict[str, int]:
        wanted, found = list(commits), {}
        if len(wanted) == 1:
            rows = self._read(_rows, _ROOT, {"repo_id": self._repo_id, "commit_oid": wanted[0]})
            return {row[0]: row[1] for row in rows}
        for at in range(0, len(wanted), 500):
            rows = self._read(_rows, _ROOTS, {"repo_id": self._repo_id, "commits": wanted[at : at + 500]})
            found.update({row[0]: row[1] for row in rows})
        return found

    def get(self, number: int) -> Node:
        node = self._held.get(number)
        if node is not None:
            self._held.move_to_end(number)
            return node
        whole, data = self._read(_rows, _NODE, {"repo_id": self._repo_id, "number": number})[0]
        base = None if whole is None else self.get(whole).content
        node = Node(number, number if whole is None else whole, nodes.decode(data, base))
        self.hold(node)
        return node

    def hold(self, node: Node) -> None:
        self._held[node.number] = node
        self._n_entries += len(node.content) + 8
        while self._n_entries > MAX_HELD_ENTRIES and len(self._held) > 1:
            _, dropped = self._held.popitem(last=False)
            self._n_entries -= len(dropped.content) + 8


def _rows(tx: Tx, query: Any, values: dict[str, Any]) -> list[Any]:
    return list(tx.execute(query, values).all())


class Builder:
    """Makes nodes, parents before children, and writes them in batches.

    Two builders of one repository may race: the numbers they give collide, one of them fails and is tried again.
    """

    def __init__(self, snap: Snapshot, repo_id: RepoId, site: Site) -> None:
        self._snap = snap
        self._repo_id = repo_id
        self._db = site.db
        self._reader = NodeReader(site.db.read, repo_id)
        self._commit = lru_cache(maxsize=512)(snap.raw_commit)
        self._entries = lru_cache(maxsize=8)(partial(_entries, snap))  # a commit's folders are its child's parents'
        self._roots: dict[str, int] = {}
        self._next = site.db.read(_next_number, repo_id)
        self._new_nodes: list[dict[str, Any]] = []
        self._new_roots: list[dict[str, Any]] = []
        self._unwritten: dict[int, Node] = {}

    def build(self) -> int:
        """Returns how many commits got their node."""
        commits = self._missing()
        for n, commit in enumerate(commits, 1):
            self._build_commit(commit)
            if n % BATCH_COMMITS == 0:
                self._flush()
        self._flush()
        return len(commits)

    def _missing(self) -> list[str]:
        """Commits without a root, parents first."""
        parents: dict[str, tuple[CommitId, ...]] = {}
        level, ahead = {oid for oid in self._heads() if oid}, iter(_AHEAD)
        while level:
            # What lies behind is asked for with it, ever further: a query costs more than reading a few commits in vain.
            asked: set[str] = set(level)
            edge: set[str] = asked
            for _ in range(next(ahead, _AHEAD[-1])):
                behind: set[str] = {parent for oid in edge for parent in self._commit(oid).parents}
                edge = behind - asked
                asked = asked | edge
            self._roots.update(self._reader.find_roots(asked))
            while level and level <= asked:
                following: set[str] = set()
                for oid in level - self._roots.keys():
                    parents[oid] = self._commit(oid).parents
                    following.update(p for p in parents[oid] if p not in parents and p not in self._roots)
                level = following
        order: list[str] = []
        state: dict[str, bool] = {}
        for start in sorted(parents):
            stack = [start]
            while stack:
                oid = stack[-1]
                waiting = [p for p in parents[oid] if p in parents and p not in state] if oid not in state else []
                if oid not in state and waiting:
                    stack.extend(waiting)
                    continue
                stack.pop()
                if oid not in state:
                    state[oid] = True
                    order.append(oid)
        return order

    def _heads(self) -> set[str]:
        heads = set()
        for name, oid in self._snap.refs.items():
            heads.add(self._snap.resolve(name) if name.startswith("refs/tags/") else oid)
        return heads

    def _build_commit(self, oid: str) -> None:
        raw = self._commit(oid)
        parents = [(self._commit(p).tree, self._roots[p]) for p in raw.parents]
        number = self._build_folder(bytes.fromhex(oid), raw.tree, parents)
        self._roots[oid] = number
        self._new_roots.append({"repo_id": self._repo_id, "commit_oid": oid, "node": number})

    def _build_folder(self, commit: bytes, tree: str, parents: Sequence[tuple[str, int]]) -> int:
        """The node of one folder; ``parents`` are (tree, node) of the same folder, where it is a folder."""
        if parents and parents[0][0] == tree:
            return parents[0][1]
        before = [(self._entries(p_tree), self._get(p_node).content) for p_tree, p_node in parents]
        content: Content = {}
        for name, (mode, oid) in self._entries(tree).items():
            for entries, values in before:
                if entries.get(name) == (mode, oid):
                    content[name] = values[name]
                    break
            else:
                child = 0
                if mode == DIRECTORY_MODE:
                    below = []
                    for entries, values in before:
                        entry = entries.get(name)
                        if entry is not None and entry[0] == DIRECTORY_MODE:
                            below.append((entry[1].hex(), values[name][1]))
                    child = self._build_folder(commit, oid.hex(), below)
                content[name] = commit, child
        for p_tree, p_node in parents[1:]:
            if p_tree == tree and self._get(p_node).content == content:
                return p_node
        return self._add(content, parents[0][1] if parents else None)

    def _get(self, number: int) -> Node:
        return self._unwritten.get(number) or self._reader.get(number)

    def _add(self, content: Content, like: int | None) -> int:
        number = self._next
        self._next += 1
        whole, data = number, None
        if like is not None:
            whole = self._get(like).whole
            data = nodes.encode_difference(content, self._get(whole).content)
        if data is None:
            whole, data = number, nodes.encode_whole(content)
        self._unwritten[number] = Node(number, whole, content)
        row = {"repo_id": self._repo_id, "number": number, "whole": None if whole == number else whole, "data": data}
        self._new_nodes.append(row)
        return number

    def _flush(self) -> None:
        if self._new_roots:
            self._db.write(_insert, self._repo_id, self._snap.prune_epoch, self._new_nodes, self._new_roots)
        for node in self._unwritten.values():
            self._reader.hold(node)
        self._new_nodes, self._new_roots, self._unwritten = [], [], {}


def _next_number(tx: Tx, repo_id: RepoId) -> int:
    return int(tx.execute(_NEXT_NUMBER, {"repo_id": repo_id}).scalar() or 0) + 1


def _insert(
    tx: Tx, repo_id: RepoId, epoch: int, new_nodes: list[dict[str, Any]], new_roots: list[dict[str, Any]]
) -> None:
    if store.read_head(tx, repo_id).prune_epoch != epoch:
        raise RepositoryPruned  # the nodes these build upon are gone; the job is tried again
    if new_nodes:
        tx.execute(_INSERT_NODES, new_nodes)
    tx.execute(_INSERT_ROOTS, new_roots)


def _entries(snap: Snapshot, tree: str) -> _Entries:
    return {name: (mode, oid) for mode, name, oid in objects.iter_tree(snap.raw_tree(tree))}


def _walk(snap: Snapshot, commit: CommitId, folder: list[bytes], wanted: set[bytes]) -> dict[bytes, bytes]:
    """Follow each name back until a commit changed it, or until a commit whose nodes are built.

    Names that are together at a commit go on together. Each has one way only, so the order of commits is free; newest
    first lets ways meet again soon.
    """
    reader = NodeReader(snap.owner.db.read, snap.repo_id)
    found: dict[bytes, bytes] = {}
    pending: dict[str, set[bytes]] = {commit: wanted}
    queue = [(-snap.raw_commit(commit).committed_s, commit)]
    n_walked = 0
    while queue and n_walked < MAX_WALKED:
        _, oid = heapq.heappop(queue)
        names = pending.pop(oid, set())
        if not names:
            continue
        n_walked += 1
        built = _read_built(reader, oid, folder)
        if built is not None:
            found.update({name: built[name][0] for name in names})
            continue
        raw = snap.raw_commit(oid)
        tree = _folder_tree(snap, raw.tree, folder)
        here = None
        for parent in raw.parents:
            parent_raw = snap.raw_commit(parent)
            parent_tree = _folder_tree(snap, parent_raw.tree, folder)
            if parent_tree is None:
                continue
            if parent_tree == tree:
                same, names = names, set()
            else:
                here = here or _entries(snap, tree or objects.EMPTY_TREE)
                there = _entries(snap, parent_tree)
                same = {name for name in names if there.get(name) == here.get(name)}
                names = names - same
            if same:
                if parent not in pending:
                    heapq.heappush(queue, (-parent_raw.committed_s, parent))
                pending.setdefault(parent, set()).update(same)
            if not names:
                break
        found.update(dict.fromkeys(names, bytes.fromhex(oid)))
    return found


def _read_built(reader: NodeReader, commit: str, folder: list[bytes]) -> Content | None:
    root = reader.find_roots([commit]).get(commit)
    if root is None:
        return None
    node = reader.get(root)
    for part in folder:
        node = reader.get(node.content[part][1])
    return node.content


def _folder_tree(snap: Snapshot, tree: str, folder: list[bytes]) -> str | None:
    for part in folder:
        entry = objects.find_in_tree(snap.raw_tree(tree), part)
        if entry is None or entry[0] != DIRECTORY_MODE:
            return None
        tree = entry[2].hex()
    return tree

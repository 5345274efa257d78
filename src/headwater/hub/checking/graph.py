"""One repository: whether every ref leads to a whole history, and every large file that it names may be read and is here."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import select

from headwater.db import Tx
from headwater.hub.checking.models import BY_HAND, Looking, Problem, Row
from headwater.hub.checking.packs import Packs, check_packs
from headwater.hub.checking.record import recorded_revisions
from headwater.hub.files import store as file_store
from headwater.hub.gate.checking import check_holds
from headwater.hub.git import objects, store
from headwater.hub.git.folders import pack_key
from headwater.hub.git.models import Pointer
from headwater.hub.git.pointers import MAX_POINTER_BYTES, MIN_POINTER_BYTES, parse_pointer
from headwater.hub.git.snapshot import git_command, git_env
from headwater.hub.tables.repositories import repository
from headwater.kernel import GitOid, RepoId, Sha256
from headwater.ledger import iter_entries

_LINK = 0o160000  # a submodule's commit is another repository's
_BATCH = 500
_TIMEOUT_S = 4 * 3600


def check_repositories(looking: Looking) -> Iterator[Problem]:
    """Every repository that is not deleted, one after another."""
    after = 0
    while rows := looking.site.db.read(_next_repositories, after):
        for row in rows:
            after = row.id
            yield from check_repository(looking, RepoId(row.id), f"{row.kind} {row.namespace}/{row.name}")


def _next_repositories(tx: Tx, after: int) -> list[Any]:
    columns = repository.c.id, repository.c.kind, repository.c.namespace, repository.c.name
    query = select(*columns).where(repository.c.id > after, repository.c.deleted_at.is_(None))
    return list(tx.execute(query.order_by(repository.c.id).limit(200)).all())


def check_repository(looking: Looking, repo_id: RepoId, where: str) -> Iterator[Problem]:
    from headwater.hub.errors import RepositoryNotFound

    try:
        with looking.site.db.reading() as tx:
            state, revisions = store.read_state(tx, repo_id), recorded_revisions(tx, repo_id)
    except RepositoryNotFound:  # deleted since it was listed
        return
    looking.seen.repositories += 1
    looking.seen.refs += len(state.refs)
    found = Packs()
    damaged = list(check_packs(looking, repo_id, where, state, found))
    if (damaged or not looking.reads_bytes) and not looking.site.db.read(_is_still, repo_id, state):
        return  # merged or pruned meanwhile: what was listed is not what is there
    yield from damaged
    yield from _check_head(looking, repo_id, where, state)
    if not looking.reads_bytes and any(not row.is_inline for row in state.packs):
        return
    try:
        if found.objects is not None:
            reached = _walk_all(found.objects, state, revisions)
        else:
            reached = _ask_git(looking, repo_id, state, found.sound, revisions)
    except _GitSays as exc:
        yield Problem("pack.damaged", f"git finds in the packs of {where}: {exc}.", where, repo_id=repo_id)
        return
    for name, missing in reached.broken.items():
        what = f"{name} of {where} leads to {missing}, which is in none of its packs"
        yield Problem("ref.unreachable", f"{what}.", f"{where} {name}", repo_id=repo_id)
    for oid, missing in reached.lost.items():
        what = f"The revision {oid} of {where}, which a ref was at, leads to {missing}, which is in none of its packs"
        yield Problem("revision.unreachable", f"{what}.", f"{where} {oid}", repo_id=repo_id)
    yield from _check_pointers(looking, repo_id, where, reached)
    yield from check_holds(looking, repo_id, where, {*reached.blobs, *(p.sha256 for p in reached.pointers.values())})


def _is_still(tx: Tx, repo_id: RepoId, state: store.State) -> bool:
    live = store.find_live_packs(tx, repo_id)
    return all(row.id in live for row in state.packs)


def _check_head(looking: Looking, repo_id: RepoId, where: str, state: store.State) -> Iterator[Problem]:
    def read(tx: Tx) -> tuple[str | None, str | None]:
        head = tx.execute(select(repository.c.head_commit).where(repository.c.id == repo_id)).scalar()
        return head, store.find_ref(tx, repo_id, f"refs/heads/{state.head.default_branch}")

    head, tip = looking.site.db.read(read)
    if head != tip:
        what = f"{where} says that its newest commit is {head}; its branch {state.head.default_branch} is at {tip}"
        yield Problem("head.differs", f"{what}.", where, BY_HAND, repo_id=repo_id)


@dataclass
class _Reached:
    """What leads where. ``broken``: refs that lead to something missing, with what; ``lost``: revisions that do.

    ``own``: what the default branch reaches; ``reachable``: what any ref does, or revision that one was at. ``blobs``: all there are.
    """

    broken: dict[str, str]
    lost: dict[str, str]
    own: set[str]
    reachable: set[str]
    pointers: dict[GitOid, Pointer]
    blobs: list[str]


def _own_and_others(state: store.State) -> tuple[dict[str, str], dict[str, str]]:
    """The default branch, which has all by rights of its own; refs made at a pull request's commit may have them through that alone."""
    default = f"refs/heads/{state.head.default_branch}"
    own = {name: oid for name, oid in state.refs.items() if name == default}
    return own, {name: oid for name, oid in state.refs.items() if name != default}


def _walk_all(held: dict[str, tuple[int, bytes]], state: store.State, revisions: Sequence[str]) -> _Reached:
    of_default, of_others = _own_and_others(state)
    broken, own = walk(held, of_default)
    reachable = set(own)
    broken |= walk(held, of_others, reachable)[0]
    lost, _ = walk(held, {oid: oid for oid in revisions if oid not in state.refs.values()}, reachable)
    blobs = [oid for oid, (kind, _) in held.items() if kind == objects.BLOB]
    return _Reached(broken, lost, own, reachable, _pointers_in(held), blobs)


def walk(
    held: dict[str, tuple[int, bytes]], refs: dict[str, str], seen: set[str] | None = None
) -> tuple[dict[str, str], set[str]]:
    """Refs that lead to something missing, with what; and every object that the others reach, besides those in ``seen``.

    What an earlier ref has reached is not walked again, so a hole is told of the first ref that leads to it, and of each whose
    own tip is missing.
    """
    broken: dict[str, str] = {}
    seen = set() if seen is None else seen
    for name, tip in refs.items():
        todo = [tip]
        if tip not in held:
            broken[name] = tip
            continue
        while todo:
            oid = todo.pop()
            if oid in seen:
                continue
            entry = held.get(oid)
            if entry is None:
                broken.setdefault(name, oid)
                continue
            seen.add(oid)
            todo += _children(*entry)
    return broken, seen


def _children(kind: int, data: bytes) -> Sequence[str]:
    if kind == objects.COMMIT:
        commit = objects.parse_commit(data)
        return [commit.tree, *commit.parents]
    if kind == objects.TREE:
        return [oid.hex() for mode, _, oid in objects.iter_tree(data) if mode != _LINK]
    if kind == objects.TAG:
        return [objects.tag_target(data)[0]]
    return ()


def _pointers_in(held: dict[str, tuple[int, bytes]]) -> dict[GitOid, Pointer]:
    found = {}
    for oid, (kind, data) in held.items():
        if kind == objects.BLOB:
            pointer = parse_pointer(data)
            if pointer is not None:
                found[GitOid(oid)] = pointer
    return found


def _check_pointers(looking: Looking, repo_id: RepoId, where: str, reached: _Reached) -> Iterator[Problem]:
    """What SQL says of pointers is what they say; and what a ref reaches is stored, and the repository's to read."""
    db = looking.site.db
    pointers, reachable = reached.pointers, reached.reachable
    oids = [GitOid(oid) for oid in reached.blobs]
    for at in range(0, len(oids), _BATCH):
        batch = oids[at : at + _BATCH]
        said = db.read(store.find_pointers, batch)
        for oid in batch:
            if said.get(oid) != pointers.get(oid) and (oid in said or oid in reachable):
                what = f"The table of large files says {said.get(oid)} of {oid} in {where}; the file itself says {pointers.get(oid)}"
                rows = (Row("lfs_pointer", (("oid", oid),)),)
                yield Problem("pointer.differs", f"{what}.", f"{where} {oid}", repo_id=repo_id, rows=rows)
    wanted = {pointer.sha256: pointer for oid, pointer in pointers.items() if oid in reachable}
    if not wanted:
        return
    own = {
        pointer.sha256 for oid, pointer in pointers.items() if oid in reached.own
    }  # by no pull request's right alone

    def read(tx: Tx) -> tuple[set[Sha256], dict[Sha256, int]]:
        stored = {d: b.size_bytes for d, b in file_store.find_blobs(tx, wanted).items() if b.is_stored}
        through = file_store.find_rights(tx, repo_id, wanted)
        return {digest for digest, pulls in through.items() if 0 in pulls or digest not in own}, stored

    rights, stored = db.read(read)
    unfit = [d for d, p in wanted.items() if d not in rights or stored.get(d) != p.size_bytes]
    if not unfit:
        return
    taken = db.read(_deleted_for_good, repo_id)
    for digest in unfit:
        if digest in taken:
            continue
        right = Row("file_right", (("repo_id", repo_id), ("sha256", digest)))
        if digest not in rights:
            what = f"{where} names the large file {digest}, which it has no right to"
            yield Problem("right.missing", f"{what}.", f"{where} {digest}", repo_id=repo_id, rows=(right,))
        elif stored.get(digest) != wanted[digest].size_bytes:
            has = "is not stored" if digest not in stored else f"has {stored[digest]} bytes"
            what = f"The large file {digest}, of {wanted[digest].size_bytes} bytes as {where} names it, {has}"
            rows = (Row("blob", (("sha256", digest),)),)
            yield Problem("blob.missing", f"{what}.", digest, repo_id=repo_id, rows=rows)


def _deleted_for_good(tx: Tx, repo_id: RepoId) -> set[str]:
    """Large files whose bytes were given up on purpose while history still names them."""
    found: set[str] = set()
    for entry in iter_entries(tx, repo_id=repo_id, kind="large_files.deleted"):
        if entry.what_is_wrong() is None:
            found.update(entry.facts()["sha256"])
    return found


class _GitSays(Exception):
    pass


def _ask_git(
    looking: Looking, repo_id: RepoId, state: store.State, packs: Sequence[store.PackRow], revisions: Sequence[str]
) -> _Reached:
    """The same by git itself, in a folder made for it: what is too large for memory."""
    site = looking.site
    with tempfile.TemporaryDirectory(prefix="check-", dir=site.blobs.tmp) as name:
        folder = Path(name)
        pack_dir = folder / "objects" / "pack"
        pack_dir.mkdir(parents=True)
        (folder / "refs").mkdir()
        (folder / "HEAD").write_text("ref: refs/heads/none-of-this-name\n")
        (folder / "config").write_text("[core]\n\trepositoryformatversion = 0\n\tbare = true\n[pack]\n\tthreads = 1\n")
        (folder / "packed-refs").write_text("".join(f"{oid} {ref}\n" for ref, oid in sorted(state.refs.items())))
        for row in packs:
            path = pack_dir / f"pack-{row.name}"
            if row.is_inline:
                for pair in site.db.read(store.find_pack_bytes, [row.id]).values():
                    path.with_suffix(".pack").write_bytes(pair[0])
                    path.with_suffix(".idx").write_bytes(pair[1])
                continue
            for suffix in (".pack", ".idx"):
                site.blobs.fetch(pack_key(repo_id, row.name, suffix), path.with_suffix(suffix))
        for row in packs:  # sums were compared before; this reads every object and compares it with its id
            _git(folder, ["verify-pack", str(pack_dir / f"pack-{row.name}.idx")])
        of_default, of_others = _own_and_others(state)
        broken, own = _list(folder, of_default)
        others, reachable = _list(folder, of_others)
        reachable |= own
        lost, of_revisions = _list(folder, {oid: oid for oid in revisions if oid not in reachable})
        reachable |= of_revisions
        sizes = _git(
            folder, ["cat-file", "--batch-all-objects", "--batch-check=%(objectname) %(objecttype) %(objectsize)"]
        )
        blobs, short = [], []
        for line in sizes.decode().splitlines():
            oid, kind, size = line.split()
            looking.seen.git_objects += 1
            if kind == "blob":
                blobs.append(oid)
                if MIN_POINTER_BYTES <= int(size) <= MAX_POINTER_BYTES:
                    short.append(oid)
        return _Reached(broken | others, lost, own, reachable, _read_pointers(folder, short), blobs)


def _list(folder: Path, tips: dict[str, str]) -> tuple[dict[str, str], set[str]]:
    """As ``walk``, by git."""
    broken: dict[str, str] = {}
    if not tips:
        return broken, set()
    try:
        out = _git(folder, ["rev-list", "--objects", "--stdin"], "".join(f"{oid}\n" for oid in tips.values()).encode())
    except _GitSays:
        out = b""
        for name, oid in tips.items():
            try:
                out += _git(folder, ["rev-list", "--objects", oid])
            except _GitSays as exc:
                broken[name] = str(exc)
    return broken, {line[:40].decode() for line in out.splitlines()}


def _read_pointers(folder: Path, oids: Sequence[str]) -> dict[GitOid, Pointer]:
    found, out = {}, _git(folder, ["cat-file", "--batch"], "".join(f"{oid}\n" for oid in oids).encode())
    at = 0
    while at < len(out):
        end = out.index(b"\n", at)
        oid, _, size = out[at:end].split()
        pointer = parse_pointer(out[end + 1 : end + 1 + int(size)])
        if pointer is not None:
            found[GitOid(oid.decode())] = pointer
        at = end + 2 + int(size)
    return found


def _git(folder: Path, args: list[str], stdin: bytes = b"") -> bytes:
    done = subprocess.run(
        git_command(folder, *args), input=stdin, capture_output=True, env=git_env(), timeout=_TIMEOUT_S, check=False
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["nothing"]
        raise _GitSays("; ".join(lines[:2])[:300])
    return done.stdout

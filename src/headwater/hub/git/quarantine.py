"""A pack that has arrived and is not believed yet: git's own checks, then ours.

Nothing here touches the store. The pack lies in a folder of its own, with the cache as git's alternate.
"""

from __future__ import annotations

import contextlib
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from headwater.hub.errors import BadPath
from headwater.hub.git import objects
from headwater.hub.git.errors import BadPush, ObjectTooLarge, PushTooLarge
from headwater.hub.git.folders import open_odb
from headwater.hub.git.models import BuiltPack, Pointer
from headwater.hub.git.pointers import MAX_POINTER_BYTES, MIN_POINTER_BYTES, parse_pointer
from headwater.hub.git.snapshot import Snapshot, git_command, git_env
from headwater.hub.names import MAX_PATH_BYTES, check_path
from headwater.kernel import GitOid

MAX_FILE_BYTES = 10_000_000
WINDOW_BYTES = 1 << 20
REPACK_TIMEOUT_S = 3600
_NO_FILES = frozenset({b"40000", b"160000"})
_MODES = _NO_FILES | {b"100644", b"100755", b"100664", b"120000"}

ReadInto = Callable[[memoryview], int]


@dataclass
class Arrived:
    """``pack`` is None when nothing new came. ``n_objects`` counts what git completed the pack with, too.

    ``oids``: all that is in the pack; ``unreached``: what of it the last walk did not come by. ``named``: (name, id) of every file in
    every tree that came; ``blobs``: those ids whose bytes came with it.
    """

    folder: Path
    pack: BuiltPack | None
    oids: list[str] = field(default_factory=list)
    unreached: set[str] = field(default_factory=set)
    pointers: dict[GitOid, Pointer] = field(default_factory=dict)
    large: dict[GitOid, int] = field(default_factory=dict)
    bad_names: dict[str, str] = field(default_factory=dict)
    named: set[tuple[bytes, bytes]] = field(default_factory=set)
    blobs: set[str] = field(default_factory=set)

    def env(self, snap: Snapshot) -> dict[str, str]:
        return {
            "GIT_OBJECT_DIRECTORY": str(self.folder / "objects"),
            "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(snap.folder / "objects"),
        }


@contextmanager
def quarantine(snap: Snapshot) -> Iterator[Arrived]:
    """An empty folder for objects, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="push-", dir=snap.owner.blobs.tmp))
    (folder / "objects" / "pack").mkdir(parents=True)
    try:
        yield Arrived(folder, None)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def receive_pack(snap: Snapshot, arrived: Arrived, first: bytes, read_into: ReadInto, *, max_bytes: int) -> None:
    """Take the pack in; ``first`` is its 12-byte head, already read.

    Raises:
        BadPush: it is broken, cut short, or holds objects that git's checks refuse.
        PushTooLarge: the pack has more than ``max_bytes``.
    """
    if len(first) < 12 or first[:4] != b"PACK":
        raise BadPush(
            "The push ends before its pack, or what follows the commands is not one. Nothing was stored; push again."
        )
    version, n_objects = struct.unpack(">II", first[4:])
    if version not in (2, 3):
        raise BadPush(f"Packs of version {version} are not known here.")
    name = _index_pack(snap, arrived, first, read_into, max_bytes)
    if n_objects == 0:
        return
    path = arrived.folder / "objects" / "pack" / f"pack-{name}"
    data, idx = path.with_suffix(".pack"), path.with_suffix(".idx")
    arrived.oids = _read_index(idx)
    _inspect(arrived, arrived.oids)
    arrived.pack = BuiltPack(name, len(arrived.oids), data.stat().st_size, idx, data, is_lent=True)


def _index_pack(snap: Snapshot, arrived: Arrived, first: bytes, read_into: ReadInto, max_bytes: int) -> str:
    args = ["index-pack", "--stdin", "--fix-thin", "--strict", f"--max-input-size={max_bytes}", "--threads=1"]
    with tempfile.TemporaryFile() as errors:
        child = subprocess.Popen(
            git_command(snap.folder, *args),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=git_env(arrived.env(snap)),
            pass_fds=(snap.lock_fd,),
        )
        with child:
            try:
                _feed(child, first, read_into)
            except BaseException:
                child.kill()
                raise
            out = child.stdout.read() if child.stdout else b""
        if child.returncode == 0:
            return out.decode().split()[-1]
        errors.seek(0)
        text = errors.read(4000).decode(errors="replace")
    if "maximum allowed size" in text:
        raise PushTooLarge(max_bytes)
    raise BadPush(f"git refuses the pack: {_explain(text)} Nothing was stored.")


def _feed(child: subprocess.Popen[bytes], first: bytes, read_into: ReadInto) -> None:
    """Everything into the child; when it has stopped listening, the rest is read and dropped, so that it can be told why."""
    window = memoryview(bytearray(WINDOW_BYTES))
    assert child.stdin is not None  # noqa: S101
    listening, data = True, memoryview(first)
    while data:
        if listening:
            try:
                child.stdin.write(data)
                child.stdin.flush()
            except BrokenPipeError:
                listening = False
        data = window[: read_into(window)]
    with contextlib.suppress(BrokenPipeError):
        child.stdin.close()


def _explain(text: str) -> str:
    lines = [line.removeprefix("fatal: ").removeprefix("error: ").strip() for line in text.splitlines() if line.strip()]
    return ("; ".join(dict.fromkeys(lines[:3])) or "no reason given").rstrip(".") + "."


def _read_index(path: Path) -> list[str]:
    data = path.read_bytes()
    (n,) = struct.unpack_from(">I", data, 8 + 255 * 4)
    start = 8 + 256 * 4
    return [data[start + 20 * i : start + 20 * i + 20].hex() for i in range(n)]


def _inspect(arrived: Arrived, oids: Iterable[str]) -> None:
    """Find what needs a look: large blobs, pointers, names that may not be. All objects, reachable or not."""
    odb = open_odb(arrived.folder)
    seen: set[bytes] = set()
    for oid in oids:
        kind, size = odb.read_header(oid)
        if kind == objects.BLOB:
            arrived.blobs.add(oid)
            if size > MAX_FILE_BYTES:
                arrived.large[GitOid(oid)] = size
            elif MIN_POINTER_BYTES <= size <= MAX_POINTER_BYTES:
                pointer = parse_pointer(odb.read(oid)[1])
                if pointer is not None:
                    arrived.pointers[GitOid(oid)] = pointer
        elif kind == objects.TREE:
            entries = _entries(oid, odb.read(oid)[1])
            arrived.named.update([(name, found) for mode, name, found in entries if mode not in _NO_FILES])
            names = {name for _, name, _ in entries} - seen
            seen |= names
            for name in names:
                _judge_name(arrived, name)


def _entries(oid: str, raw: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """A tree's entries, every byte of it accounted for: what one reader takes for a file and another does not goes round the gate.

    Raises:
        BadPush: a mode is none of those that git writes.
    """
    entries = objects.split_tree(raw)
    if sum(len(mode) + len(name) + 22 for mode, name, _ in entries) != len(raw):
        raise BadPush(f"Tree {oid} has an entry whose mode git does not write. Nothing was stored.")
    for mode, name, _ in entries:
        if mode not in _MODES:
            raise BadPush(
                f"{name.decode(errors='replace')!r} in tree {oid} has the mode {mode.decode()}, which is none that git writes. "
                "Nothing was stored."
            )
    return entries


def _judge_name(arrived: Arrived, name: bytes) -> None:
    text = name.decode(errors="surrogateescape")
    try:
        check_path(text)
    except BadPath as exc:
        arrived.bad_names[text] = exc.message.partition(" cannot be a file's path: ")[2]


def find_kinds(snap: Snapshot, arrived: Arrived, oids: Iterable[str]) -> dict[str, tuple[int, int]]:
    """What each object is, and what it leads to when tags are followed; those that are not here are left out."""
    odb = open_odb(arrived.folder)

    def find(oid: str) -> tuple[int, bytes] | None:
        try:
            kind, data = odb.read(oid)
        except KeyError:
            return snap.find_object(oid)
        return int(kind), data

    kinds: dict[str, tuple[int, int]] = {}
    for oid in oids:
        first = found = find(oid)
        for _ in range(100):
            if found is None or found[0] != objects.TAG:
                break
            found = find(objects.tag_target(found[1])[0])
        if first is not None and found is not None:
            kinds[oid] = first[0], found[0]
    return kinds


def check_connected(
    snap: Snapshot, arrived: Arrived, news: Sequence[str], known: Sequence[str], *, all_paths: bool = False
) -> dict[GitOid, str]:
    """Walk everything that ``news`` reach and ``known`` (arguments of rev-list) do not: all must be here.

    Returns the paths of those new objects that ``check_contents`` and rights ask about, or of all.

    Raises:
        BadPush: something is missing.
        BadPath: a path is too long, or not allowed.
    """
    paths: dict[GitOid, str] = {}
    unreached = set(arrived.oids)
    with tempfile.TemporaryFile() as heads, tempfile.TemporaryFile() as errors:
        heads.write("".join(f"{oid}\n" for oid in news).encode())
        heads.seek(0)
        child = subprocess.Popen(
            git_command(snap.folder, "rev-list", "--objects", "--stdin", "--not", *known),
            stdin=heads,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=git_env(arrived.env(snap)),
            pass_fds=(snap.lock_fd,),
        )
        with child:
            try:
                for line in child.stdout or ():
                    oid, path = GitOid(line[:40].decode()), line[41:-1]
                    unreached.discard(oid)
                    if path:
                        _check_whole_path(arrived, path)
                        if all_paths or oid in arrived.pointers or oid in arrived.large:
                            paths[oid] = path.decode(errors="surrogateescape")
            except BaseException:
                child.kill()
                raise
        if child.returncode != 0:
            errors.seek(0)
            why = _explain(errors.read(4000).decode(errors="replace"))
            raise BadPush(f"Objects are missing, here and in the push: {why} Push from a complete clone.")
    arrived.unreached = unreached
    return paths


def drop_strays(snap: Snapshot, arrived: Arrived) -> None:
    """Make the pack anew without what no accepted ref of the push reaches; to be asked after ``check_connected``.

    Git gives any object of a store to whoever knows its id, and the gate judges files by the trees that name them: bytes without
    a name would be had by everybody, judged by nobody. What was here before (bases that git completed the pack with) may stay.
    """
    strays = {oid for oid in arrived.unreached if not snap.has_object(oid)}
    if not strays:
        return
    kept = [oid for oid in arrived.oids if oid not in strays]
    arrived.oids, arrived.pack = kept, None
    for found in (arrived.pointers, arrived.named, arrived.blobs):
        found.clear()
    if not kept:
        return
    _inspect(arrived, kept)
    folder = Path(tempfile.mkdtemp(prefix="kept-", dir=arrived.folder))
    out = snap.run_git(
        *("pack-objects", "--quiet", "--delta-base-offset", "--window=0", "--threads=1"),
        str(folder / "pack"),
        stdin="".join(f"{oid}\n" for oid in kept).encode(),
        timeout_s=REPACK_TIMEOUT_S,
        env=arrived.env(snap),
    )
    name = out.decode().strip()
    data, idx = folder / f"pack-{name}.pack", folder / f"pack-{name}.idx"
    arrived.pack = BuiltPack(name, len(kept), data.stat().st_size, idx, data, is_lent=True)


def _check_whole_path(arrived: Arrived, path: bytes) -> None:
    if len(path) > MAX_PATH_BYTES:
        why = f"it is {len(path)} bytes long, at most {MAX_PATH_BYTES} are allowed."
        raise BadPath(path.decode(errors="replace"), why)
    if arrived.bad_names:
        for part in path.decode(errors="surrogateescape").split("/"):
            if part in arrived.bad_names:
                raise BadPath(path.decode(errors="replace"), arrived.bad_names[part])


def check_contents(arrived: Arrived, paths: Mapping[GitOid, str]) -> None:
    """Refuse what may not be in a repository, whether or not a ref of this push reaches it.

    Raises:
        ObjectTooLarge, BadPath
    """
    for oid, size in arrived.large.items():
        raise ObjectTooLarge(paths.get(oid, oid), size, MAX_FILE_BYTES)
    for name, why in arrived.bad_names.items():
        raise BadPath(name.encode(errors="replace").decode(), why)

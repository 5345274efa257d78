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

ReadInto = Callable[[memoryview], int]


@dataclass
class Arrived:
    """``pack`` is None when nothing new came. ``n_objects`` counts what git completed the pack with, too."""

    folder: Path
    pack: BuiltPack | None
    pointers: dict[GitOid, Pointer] = field(default_factory=dict)
    large: dict[GitOid, int] = field(default_factory=dict)
    bad_names: dict[str, str] = field(default_factory=dict)

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
    oids = _read_index(idx)
    _inspect(arrived, oids)
    arrived.pack = BuiltPack(name, len(oids), data.stat().st_size, idx, data, is_lent=True)


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
            if size > MAX_FILE_BYTES:
                arrived.large[GitOid(oid)] = size
            elif MIN_POINTER_BYTES <= size <= MAX_POINTER_BYTES:
                pointer = parse_pointer(odb.read(oid)[1])
                if pointer is not None:
                    arrived.pointers[GitOid(oid)] = pointer
        elif kind == objects.TREE:
            names = {name for _, name, _ in objects.iter_tree(odb.read(oid)[1])} - seen
            seen |= names
            for name in names:
                _judge_name(arrived, name)


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
    return paths


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

"""Where backups are kept: a folder, or a bucket of an S3-compatible store.

objects/<ab>/<sha256>              all bytes, under their own sha256, shared by all snapshots; never changed
snapshots/<time>/backup.json       written last: what the snapshot is, and the sha256 of its contents
keys/<time>/<name>                 what the site signs with, unless it is kept elsewhere (``--keys-to``)

The contents, themselves an object, say line by line which parts (objects again) its files consist of: ``database``, or
``database/<name>`` of what pg_dump wrote, and ``objects``: key, size and sha256 of each of the site's objects.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from headwater.blobs import BlobStore
from headwater.hub.backup.folder import BackupDamaged, Manifest, folder_locked, list_snapshots
from headwater.hub.backup.parts import Part
from headwater.hub.backup.snapshots import Snapshot

KEY_FILES = ("secret", "log_key")  # of the data folder


class Place(ABC):
    """``name`` is what people call it by; ``is_remote``: reading costs a round trip."""

    name: str
    is_remote: bool

    @abstractmethod
    def prepare(self) -> None:
        """Make what is missing."""

    @abstractmethod
    def locked(self, *, exclusive: bool) -> AbstractContextManager[None]:
        """One backup at a time is made, and none while somebody restores, as far as this place can tell.

        Raises:
            BackupBusy
        """

    @abstractmethod
    def list_snapshots(self) -> list[str]:
        """Whole ones, the oldest first."""

    @abstractmethod
    def read_manifest(self, name: str) -> Manifest:
        """Raises: BackupDamaged."""

    @abstractmethod
    def making(self, name: str) -> AbstractContextManager[Path]:
        """A local folder to work in; nothing of the snapshot stays if the block raises."""

    @abstractmethod
    def publish(self, name: str, manifest: Manifest, work: Path, brought: Iterable[str]) -> None:
        """Make it whole: all that it names is durable before its manifest is there.

        Args:
            brought: the sha256 of what this backup has put here, and of what no whole snapshot has named yet.
        """

    @abstractmethod
    def object_sizes(self) -> dict[str, int]:
        """All that lies below ``objects/``, by ``object_name`` (but for what does not belong there): one listing."""

    @abstractmethod
    def put(self, temporary: Path, sha256: str) -> None:
        """Make an object of a local file, whole or not at all; ``publish`` makes it durable."""

    @abstractmethod
    def object(self, sha256: str) -> AbstractContextManager[Path]:
        """A local file of an object, to be read only.

        Raises:
            FileNotFoundError
        """

    @abstractmethod
    def read(self, part: Part) -> bytes:
        """As ``object``, of what is small: no more of it than one byte too many."""

    @abstractmethod
    def temporary(self) -> AbstractContextManager[Path]:
        """A path for a local file on its way here."""

    @abstractmethod
    def put_key(self, snapshot: str, name: str, data: bytes) -> None: ...

    @abstractmethod
    def read_keys(self, snapshot: str) -> dict[str, bytes]: ...

    @abstractmethod
    def remove_snapshots(self, kept: list[str]) -> None:
        """All but these, with their keys."""

    @abstractmethod
    def remove_object(self, name: str) -> None:
        """By its name below ``objects/``."""

    def forget_old(self, made: str, keep: int, there: Iterable[str]) -> None:
        """What ``made`` pushes out, and what others left that were killed. It stays, whatever the clock says of its age.

        Args:
            there: what lies below ``objects/``.
        """
        kept = [made, *[one for one in reversed(self.list_snapshots()) if one != made][: keep - 1]]
        self.remove_snapshots(kept)
        known: dict[tuple[Part, ...], frozenset[str]] = {}
        try:
            still = {object_name(one) for name in kept for one in Snapshot(self, name).named(known)}
        except BackupDamaged:  # what that one names is not known: nothing goes until it is pushed out itself
            return
        for name in there:
            if name not in still:
                self.remove_object(name)


class FolderPlace(Place):
    is_remote = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)
        self._objects = folder / "objects"

    def prepare(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in (
            "snapshots",
            "objects",
            "keys",
        ):  # private repositories are in there, whatever the folder's own mode is
            (self.folder / name).mkdir(exist_ok=True, mode=0o700)
            with contextlib.suppress(PermissionError):  # another user's, who lets this one write there
                (self.folder / name).chmod(0o700)

    def locked(self, *, exclusive: bool) -> AbstractContextManager[None]:
        return folder_locked(self.folder, exclusive=exclusive)

    def list_snapshots(self) -> list[str]:
        return [path.name for path in list_snapshots(self.folder)]

    def read_manifest(self, name: str) -> Manifest:
        return Manifest.read(self.folder / "snapshots" / name)

    @contextmanager
    def making(self, name: str) -> Iterator[Path]:
        snapshot = self.folder / "snapshots" / name
        snapshot.mkdir(mode=0o700)
        try:
            yield snapshot
        except BaseException:
            shutil.rmtree(snapshot, ignore_errors=True)
            shutil.rmtree(self.folder / "keys" / name, ignore_errors=True)
            raise

    def publish(self, name: str, manifest: Manifest, work: Path, brought: Iterable[str]) -> None:
        # Objects were written out one by one; that they lie in their folders was not, by backups that were broken off neither.
        folders = {(self._objects / object_name(sha256)).parent for sha256 in brought}
        keys = self.folder / "keys"
        sync([*folders, self._objects, *(one for one in (keys / name, keys) if one.exists()), self.folder])
        for left in work.iterdir():
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        manifest.write(work)
        sync([work, work.parent])

    def object_sizes(self) -> dict[str, int]:
        start = len(str(self._objects)) + 1
        return {path[start:]: size for path, size in _iter_files(str(self._objects))}

    def put(self, temporary: Path, sha256: str) -> None:
        path = self._objects / object_name(sha256)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        sync([temporary])
        temporary.replace(path)

    @contextmanager
    def object(self, sha256: str) -> Iterator[Path]:
        path = self._objects / object_name(sha256)
        if not path.exists():
            raise FileNotFoundError(str(path))
        yield path

    def read(self, part: Part) -> bytes:
        with (self._objects / object_name(part.sha256)).open("rb") as file:
            return file.read(part.size_bytes + 1)

    @contextmanager
    def temporary(self) -> Iterator[Path]:
        path = self._objects / f"{os.urandom(16).hex()}.part"
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    def put_key(self, snapshot: str, name: str, data: bytes) -> None:
        folder = self.folder / "keys" / snapshot
        folder.mkdir(mode=0o700, exist_ok=True)
        write_key(folder / name, data)

    def read_keys(self, snapshot: str) -> dict[str, bytes]:
        return read_key_files(self.folder / "keys" / snapshot)

    def remove_snapshots(self, kept: list[str]) -> None:
        for snapshot in (self.folder / "snapshots").iterdir():
            if snapshot.name not in kept:
                (snapshot / "backup.json").unlink(missing_ok=True)  # first: half a snapshot must not look whole
                shutil.rmtree(snapshot)
        for keys in (self.folder / "keys").iterdir():
            if keys.name not in kept:
                shutil.rmtree(keys)

    def remove_object(self, name: str) -> None:
        (self._objects / name).unlink(missing_ok=True)


class StorePlace(Place):
    """A bucket, or a prefix of one, that holds nothing else."""

    is_remote = True

    def __init__(self, name: str, store: BlobStore, work: Path) -> None:
        self.name = name
        self.store = store
        self._work = work

    def prepare(self) -> None:
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.store.ensure()

    @contextmanager
    def locked(self, *, exclusive: bool) -> Iterator[None]:
        self._work.mkdir(parents=True, exist_ok=True, mode=0o700)
        with folder_locked(
            self._work, exclusive=True
        ):  # of this host; across hosts the site's own lock stands (``making``)
            yield

    def list_snapshots(self) -> list[str]:
        found = (one.key.split("/") for one in self.store.iter_keys("snapshots/") if one.key.endswith("/backup.json"))
        return sorted(parts[1] for parts in found if len(parts) == 3)

    def read_manifest(self, name: str) -> Manifest:
        return Manifest.parse(self.store.read_range(f"snapshots/{name}/backup.json", 0, 1 << 20), name)

    @contextmanager
    def making(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(dir=self._work) as made:
            folder = Path(made) / name
            folder.mkdir()
            try:
                yield folder
            except BaseException:
                with contextlib.suppress(Exception):  # a store that is away
                    self._remove(f"snapshots/{name}/")
                    self._remove(f"keys/{name}/")
                raise

    def publish(self, name: str, manifest: Manifest, work: Path, brought: Iterable[str]) -> None:
        manifest.write(work)
        self.store.adopt(work / "backup.json", f"snapshots/{name}/backup.json")

    def object_sizes(self) -> dict[str, int]:
        return {one.key.removeprefix("objects/"): one.size_bytes for one in self.store.iter_keys("objects/")}

    def put(self, temporary: Path, sha256: str) -> None:
        self.store.adopt(temporary, f"objects/{object_name(sha256)}")

    @contextmanager
    def object(self, sha256: str) -> Iterator[Path]:
        with self.temporary() as path:
            self.store.fetch(f"objects/{object_name(sha256)}", path)
            yield path

    def read(self, part: Part) -> bytes:
        return self.store.read_range(f"objects/{object_name(part.sha256)}", 0, part.size_bytes + 1)

    def temporary(self) -> AbstractContextManager[Path]:
        return self.store.temporary()

    def put_key(self, snapshot: str, name: str, data: bytes) -> None:
        with self.temporary() as path:
            write_key(path, data)
            self.store.adopt(path, f"keys/{snapshot}/{name}")

    def read_keys(self, snapshot: str) -> dict[str, bytes]:
        found = [one for one in self.store.iter_keys(f"keys/{snapshot}/") if one.key.rpartition("/")[2] in KEY_FILES]
        return {one.key.rpartition("/")[2]: self.store.read_range(one.key, 0, one.size_bytes) for one in found}

    def remove_snapshots(self, kept: list[str]) -> None:
        names = {one.key.split("/")[1] for one in self.store.iter_keys("snapshots/")}
        for name in sorted(names - set(kept)):
            self.store.delete(f"snapshots/{name}/backup.json")
            self._remove(f"snapshots/{name}/")
            self._remove(f"keys/{name}/")

    def remove_object(self, name: str) -> None:
        self.store.delete(f"objects/{name}")

    def _remove(self, prefix: str) -> None:
        for key in [one.key for one in self.store.iter_keys(prefix)]:
            self.store.delete(key)


def object_name(sha256: str) -> str:
    """Below ``objects/``."""
    return f"{sha256[:2]}/{sha256}"


def read_key_files(folder: Path) -> dict[str, bytes]:
    """What of ``KEY_FILES`` lies in a folder."""
    return {name: (folder / name).read_bytes() for name in KEY_FILES if (folder / name).exists()}


def write_key(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(data)
    sync([path])


def sync(paths: list[Path]) -> None:
    for path in paths:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _iter_files(root: str) -> Iterator[tuple[str, int]]:
    todo = [root]
    while todo:
        with os.scandir(todo.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                else:
                    yield entry.path, entry.stat(follow_symlinks=False).st_size

"""Reading a snapshot: nothing of it is believed before its sha256 is what the snapshot says."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.hub.backup.folder import BackupDamaged, Manifest, hash_file, is_digest, size_of
from headwater.hub.backup.parts import Contents, Part, in_order

if TYPE_CHECKING:
    from headwater.hub.backup.places import Place

OBJECTS, DATABASE = "objects", "database"  # its files; what pg_dump wrote are several below the second


@dataclass(frozen=True)
class Kept:
    """An object of the site, and under which name the backup has it."""

    key: str
    size_bytes: int
    sha256: str

    @property
    def line(self) -> str:
        return f"{self.key}\t{self.size_bytes}\t{self.sha256}\n"


_KEY = re.compile(r"(sha256|git|xet)(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")


class Snapshot:
    def __init__(self, place: Place, name: str, manifest: Manifest | None = None) -> None:
        """
        Raises:
            BackupDamaged: its manifest cannot be read.
        """
        self.place, self.name = place, name
        self.manifest = manifest or place.read_manifest(name)

    @cached_property
    def contents(self) -> Contents:
        part = Part(self.manifest.contents_sha256, self.manifest.contents_bytes)
        return Contents.parse(self._read(part, "contents"), self.name)

    def _read(self, part: Part, what: str) -> bytes:
        try:
            data = self.place.read(part)
        except FileNotFoundError:
            data = b""
        if len(data) != part.size_bytes or hashlib.sha256(data).hexdigest() != part.sha256:
            raise BackupDamaged(f"the {what} of {self.name} is missing or altered: objects/{part.sha256}")
        return data

    def iter_file(self, name: str) -> Iterator[bytes]:
        """
        Raises:
            BackupDamaged
        """
        what = "list of objects" if name == OBJECTS else "database"
        return in_order(lambda part: self._read(part, what), self.contents.files.get(name, []))

    def write_database(self, folder: Path) -> None:
        """Put its file, or files, together.

        Raises:
            BackupDamaged
        """
        names = [name for name in self.contents.files if name != OBJECTS]
        if not names:
            raise BackupDamaged(f"{self.name} has no database")
        for name in names:
            path = folder / name
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)
            with path.open("wb") as file:
                file.writelines(self.iter_file(name))

    @cached_property
    def objects(self) -> dict[str, Kept]:
        """What it has, by key.

        Raises:
            BackupDamaged
        """
        found = {}
        try:
            for line in b"".join(self.iter_file(OBJECTS)).decode().splitlines():
                key, size, sha256 = line.split("\t")
                if not is_digest(sha256) or not _KEY.fullmatch(key):
                    raise ValueError(line)
                found[key] = Kept(key, size_of(size), sha256)
        except ValueError as exc:
            raise BackupDamaged(f"the list of objects of {self.name} cannot be read") from exc
        if len(found) != self.manifest.n_objects:
            raise BackupDamaged(f"the list of objects of {self.name} is not whole")
        return found

    @contextmanager
    def opened(self, kept: Kept) -> Iterator[Path]:
        """A local file of an object, to be read only.

        Raises:
            BackupDamaged: it is not there, or not what it was.
        """
        wrong = f"object {kept.key} of {self.name} is missing or altered: objects/{kept.sha256}"
        with ExitStack() as stack:
            try:
                path = stack.enter_context(self.place.object(kept.sha256))
                is_right = path.stat().st_size == kept.size_bytes and hash_file(path) == kept.sha256
            except FileNotFoundError as exc:
                raise BackupDamaged(wrong) from exc
            if not is_right:
                raise BackupDamaged(wrong)
            yield path

    def list_parts(self) -> list[Part]:
        """What its own files consist of, the list of them included."""
        own = Part(self.manifest.contents_sha256, self.manifest.contents_bytes)
        return [own, *(part for parts in self.contents.files.values() for part in parts)]

    def named(self, known: dict[tuple[Part, ...], frozenset[str]] | None = None) -> frozenset[str]:
        """The sha256 of all that it needs.

        Args:
            known: what lists of objects name, for whoever asks several snapshots, most of which have the same.
        """
        known = {} if known is None else known
        listed = tuple(self.contents.files.get(OBJECTS, ()))
        if listed not in known:
            known[listed] = frozenset(kept.sha256 for kept in self.objects.values())
        return known[listed].union(part.sha256 for part in self.list_parts())


def latest_snapshot(place: Place) -> Snapshot | None:
    """The latest that can be read."""
    for name in reversed(place.list_snapshots()):
        try:
            found = Snapshot(place, name)
            found.objects  # noqa: B018 -- read here, so that it can be read later
        except BackupDamaged:
            continue
        return found
    return None

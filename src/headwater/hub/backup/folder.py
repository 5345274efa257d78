"""What a backup's folder holds, and how it may disappoint."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import orjson

from headwater.kernel import HeadwaterError, Kind

FORMAT = 1


class NoBackup(HeadwaterError):
    code = "no_backup"
    kind = Kind.NOT_FOUND

    def __init__(self, folder: Path) -> None:
        super().__init__(f"{folder} has no whole snapshot. `headwater backup --to {folder}` makes one.")


class BackupDamaged(HeadwaterError):
    code = "backup_damaged"
    kind = Kind.UNPROCESSABLE

    def __init__(self, what: str) -> None:
        super().__init__(
            f"The backup cannot be used: {what}. Nothing was restored over; take another snapshot or copy."
        )


class BackupIncomplete(HeadwaterError):
    """The site itself lacks bytes."""

    code = "backup_incomplete"
    kind = Kind.UNPROCESSABLE

    def __init__(self, missing: list[str]) -> None:
        shown = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
        super().__init__(
            f"{len(missing)} objects that the database names are not in the site's store, or are not what they should be: "
            f"{shown}. No snapshot was made; look at the store's disk, and keep the last backup."
        )


class NotEmpty(HeadwaterError):
    code = "site_not_empty"
    kind = Kind.CONFLICT

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} already holds a site. A restore makes a new one: name an empty place, or move this away."
        )


class StoreNotEmpty(HeadwaterError):
    code = "store_not_empty"
    kind = Kind.CONFLICT

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} already holds this very site's objects. Two sites on them would remove what the other has stored since: "
            "name an empty bucket or prefix. Only if the database of that site is lost for good, and no host uses these "
            "objects any more, go on with --take-over-objects."
        )


class BackupOfAnotherSite(HeadwaterError):
    code = "backup_of_another_site"
    kind = Kind.CONFLICT

    def __init__(self, folder: Path, theirs: str, ours: str) -> None:
        super().__init__(
            f"{folder} keeps the backups of another site ({theirs}; this one is {ours}), which new snapshots would push out. "
            "Give each site a folder of its own, and look whether --data names the right one. Nothing was changed."
        )


class BackupFailed(HeadwaterError):
    code = "backup_failed"
    kind = Kind.UNAVAILABLE

    def __init__(self, folder: Path, why: object) -> None:
        super().__init__(
            f"No snapshot was made in {folder}: {why}. Look whether it can be written and has room; former snapshots stay."
        )


class BackupBusy(HeadwaterError):
    code = "backup_busy"
    kind = Kind.CONFLICT

    def __init__(self, folder: Path) -> None:
        super().__init__(f"A backup into {folder}, or a restore from it, is under way. Try again when it has ended.")


class NothingToBackUp(HeadwaterError):
    code = "nothing_to_back_up"
    kind = Kind.NOT_FOUND

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} holds no site. Look whether --data and HEADWATER_DATABASE_URL are those of the server."
        )


class DatabaseToolMissing(HeadwaterError):
    code = "database_tool_missing"
    kind = Kind.UNAVAILABLE

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name} is not installed here, and this site is kept in PostgreSQL. "
            "Install the client programs of the server's version, such as Debian's postgresql-client."
        )


class DatabaseToolFailed(HeadwaterError):
    code = "database_tool_failed"
    kind = Kind.UNAVAILABLE

    def __init__(self, name: str, said: str) -> None:
        super().__init__(f"{name} failed: {said.strip()[-1000:]}")


@dataclass(frozen=True)
class Manifest:
    """What ``backup.json`` says of one snapshot."""

    format: int
    made_at: str
    version: str  # of Headwater
    database: str  # sqlite | postgresql
    database_sha256: str
    database_bytes: int
    n_objects: int
    object_bytes: int
    site_id: str | None = None
    schema: str | None = None  # the version its database is at
    breaks_before: str | None = None  # the oldest schema whose code may run on that

    def write(self, snapshot: Path) -> None:
        temporary = snapshot / "backup.json.new"
        with temporary.open("wb") as file:
            file.write(orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(snapshot / "backup.json")

    @classmethod
    def read(cls, snapshot: Path) -> Manifest:
        """
        Raises:
            BackupDamaged: it is of another format, or no manifest.
        """
        try:
            facts = orjson.loads((snapshot / "backup.json").read_bytes())
            if facts["format"] != FORMAT:
                raise BackupDamaged(f"{snapshot.name} has format {facts['format']!r}, this release reads {FORMAT}")
            return cls(**{name: value for name, value in facts.items() if name in _KNOWN})
        except (ValueError, KeyError, TypeError) as exc:
            raise BackupDamaged(f"backup.json of {snapshot.name} cannot be read") from exc


_KNOWN = {field.name for field in fields(Manifest)}  # a later release may say more


@contextmanager
def folder_locked(folder: Path, *, exclusive: bool) -> Iterator[None]:
    """One backup at a time is made into a folder, and none while somebody restores from it.

    Raises:
        BackupBusy
    """
    try:
        fd = os.open(folder / "lock", (os.O_RDWR | os.O_CREAT if exclusive else os.O_RDONLY) | os.O_CLOEXEC, 0o600)
    except OSError:
        if exclusive:
            raise
        yield  # a copy, or one that cannot be read by whoever restores: nobody makes a backup into that
        return
    try:
        try:
            fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupBusy(folder) from None
        yield
    finally:
        os.close(fd)


def list_snapshots(folder: Path) -> list[Path]:
    """Whole ones, the oldest first: names are times."""
    return sorted(path.parent for path in (folder / "snapshots").glob("*/backup.json"))


def read_objects(snapshot: Path) -> Iterator[tuple[str, int]]:
    """Key and size of every object that a snapshot names."""
    with (snapshot / "objects.txt").open() as lines:
        for line in lines:
            key, _, size = line.rstrip("\n").partition("\t")
            yield key, int(size)


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def claimed_sha256(key: str) -> str | None:
    """The digest that a key itself promises; None for objects that are checked by size."""
    return key.rpartition("/")[2].partition(".")[0] if key.startswith("sha256/") else None

"""What a backup says of itself, and how it may disappoint."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import orjson

from headwater.kernel import HeadwaterError, Kind

FORMAT = 2


class NoBackup(HeadwaterError):
    code = "no_backup"
    kind = Kind.NOT_FOUND

    def __init__(self, where: str) -> None:
        super().__init__(f"{where} has no whole snapshot. `headwater backup {where}` makes one.")


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

    def __init__(self, where: str, theirs: str, ours: str) -> None:
        super().__init__(
            f"{where} keeps the backups of another site ({theirs}; this one is {ours}). "
            "Give each site a place of its own, and look whether --data names the right one. Nothing was changed."
        )


class BackupFailed(HeadwaterError):
    code = "backup_failed"
    kind = Kind.UNAVAILABLE

    def __init__(self, where: str, why: object) -> None:
        super().__init__(
            f"No snapshot was made in {where}: {why}. Look whether it can be written and has room; former snapshots stay."
        )


class BackupBusy(HeadwaterError):
    code = "backup_busy"
    kind = Kind.CONFLICT

    def __init__(self, where: object) -> None:
        super().__init__(f"A backup into {where}, or a restore from it, is under way. Try again when it has ended.")


class NothingToBackUp(HeadwaterError):
    code = "nothing_to_back_up"
    kind = Kind.NOT_FOUND

    def __init__(self, where: str) -> None:
        super().__init__(
            f"{where} holds no site. Look whether --data and HEADWATER_DATABASE_URL are those of the server."
        )


class KeysMissing(HeadwaterError):
    code = "backup_keys_missing"
    kind = Kind.NOT_FOUND

    def __init__(self, snapshot: str) -> None:
        super().__init__(
            f"The snapshot {snapshot} has no keys with it. Name the folder where they are kept with --keys-from; or let it "
            "make new ones with --new-keys: everybody then signs in anew, and the record's signatures are another's."
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
    contents_sha256: str  # of the list that names all the rest (``parts.Contents``)
    contents_bytes: int
    database_bytes: int
    n_objects: int
    object_bytes: int
    epoch: int  # of Xet; a restore raises it, and from then on a key may mean other bytes than before
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
        return cls.parse((snapshot / "backup.json").read_bytes(), snapshot.name)

    @classmethod
    def parse(cls, data: bytes, name: str) -> Manifest:
        """As ``read``, of the bytes of ``backup.json``."""
        try:
            facts = orjson.loads(data)
            if facts["format"] != FORMAT:
                raise BackupDamaged(f"{name} has format {facts['format']!r}, this release reads {FORMAT}")
            found = cls(**{name: value for name, value in facts.items() if name in _KNOWN})
            if not is_digest(found.contents_sha256) or not found.contents_bytes >= 0:
                raise ValueError("its contents have no name")
        except (ValueError, KeyError, TypeError) as exc:
            raise BackupDamaged(f"backup.json of {name} cannot be read") from exc
        return found


_KNOWN = {field.name for field in fields(Manifest)}  # a later release may say more
_DIGEST = re.compile("[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Whether it may become the name of a file."""
    return _DIGEST.fullmatch(text) is not None


def size_of(text: str) -> int:
    """
    Raises:
        ValueError: it is none.
    """
    if not (text.isascii() and text.isdecimal()) or len(text) > 18:
        raise ValueError(text)
    return int(text)


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


def hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def claimed_sha256(key: str) -> str | None:
    """The digest that a key itself promises; None for packs and xorbs, whose names are other sums."""
    return key.rpartition("/")[2].partition(".")[0] if key.startswith("sha256/") else None

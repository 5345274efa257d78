"""Whose log this is: its name, and the key that signs its checkpoints.

On one machine the private key is the file ``log_key`` in the data folder, readable by the server's user alone; where several
hosts share a database it stands there, beside the site's secret. The public half is always in the database. A log that had
to be begun anew (``headwater log begin-anew``) is another *generation*, with a name and a key of its own.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import insert, select, update

from headwater.db import Database, Tx, ends_hold
from headwater.db.moving import end_hold, forget_hold
from headwater.kernel import HeadwaterError, Kind, utcnow
from headwater.ledger.notes import SignerKey, VerifierKey, new_seed
from headwater.ledger.tables import log_identity

KEY_FILE = "log_key"
NEXT_KEY_FILE = "log_key.next"  # while a log is begun anew
_ANEW_LOCK = "log-begin-anew"


class LogKeyMissing(HeadwaterError):
    code = "log_key_missing"
    kind = Kind.UNAVAILABLE

    def __init__(self, why: str) -> None:
        super().__init__(
            f"The key that signs this site's log {why}. Put the file log_key back from a backup of the data folder, or begin the "
            "log anew: headwater log begin-anew --reason …"
        )


@dataclass(frozen=True)
class LogIdentity:
    generation: int
    origin: str
    public: bytes
    secret: bytes | None
    created_at: datetime

    @property
    def key(self) -> VerifierKey:
        return VerifierKey(self.origin, self.public)


def find_log(tx: Tx) -> LogIdentity | None:
    """The log as it is signed now; None before the site's first start."""
    found = list_logs(tx)
    return found[-1] if found else None


def list_logs(tx: Tx) -> list[LogIdentity]:
    """Every generation of it, the first one first."""
    rows = tx.execute(select(log_identity).order_by(log_identity.c.generation))
    return [
        LogIdentity(
            row.generation,
            row.origin,
            bytes.fromhex(row.public),
            None if row.secret is None else bytes.fromhex(row.secret),
            row.created_at,
        )
        for row in rows
    ]


def ensure_log_key(db: Database, data_dir: Path, site_id: str) -> LogIdentity:
    """The log's name and key, made if there are none; safe to repeat and to race."""
    found = db.read(find_log)
    return found if found is not None else _make(db, data_dir, site_id)


def begin_anew(
    db: Database, data_dir: Path, site_id: str, tell: Callable[[Tx, LogIdentity | None, LogIdentity], None]
) -> LogIdentity:
    """Another name and key from now on. Whoever kept a checkpoint of the former can no longer be answered by this log.

    One step: the name, what ``tell`` records of it (given the former and the new one), and the end of a hold because of the former.
    """
    with db.holding(_ANEW_LOCK, exclusive=True):
        last = db.read(find_log)
        values = _draw(db, site_id, 1 if last is None else last.generation + 1)
        if db.dialect == "sqlite":
            # Bytes first, beside the key that signs until the row is there.
            _keep(data_dir / NEXT_KEY_FILE, values.pop("seed"), again=True)

        @ends_hold
        def act(tx: Tx) -> LogIdentity:
            end_hold(tx)
            tx.execute(insert(log_identity).values(values))
            made = list_logs(tx)[-1]
            tell(tx, last, made)
            return made

        made = db.write(act)
        if db.dialect == "sqlite":
            _take_next(data_dir)
    forget_hold(db)
    return made


def _make(db: Database, data_dir: Path, site_id: str) -> LogIdentity:
    values = _draw(db, site_id, 1)
    if db.dialect == "sqlite":
        # Bytes first: the row names a key that is there. Who was faster has its own file, which the row then belongs to.
        seed = _keep(data_dir / KEY_FILE, values.pop("seed"), again=False)
        values["public"] = SignerKey(values["origin"], seed).public.hex()

    def act(tx: Tx) -> LogIdentity:
        if find_log(tx) is None:
            tx.execute(insert(log_identity).values(values))
        return list_logs(tx)[0]

    return db.write(act)


def _draw(db: Database, site_id: str, generation: int) -> dict[str, Any]:
    """A row with a new key. Where the key is kept in a file, it is there as ``seed``, and no part of the row."""
    seed, name = new_seed(), f"headwater/{site_id}" + ("" if generation == 1 else f"/{generation}")
    return {
        "generation": generation,
        "origin": name,
        "public": SignerKey(name, seed).public.hex(),
        "created_at": utcnow(),
        **({"seed": seed} if db.dialect == "sqlite" else {"secret": seed.hex()}),
    }


def signer_of(log: LogIdentity, data_dir: Path) -> SignerKey:
    """What signs this log.

    Raises:
        LogKeyMissing: it is not where it belongs, or is another log's.
    """
    if log.secret is not None:
        return _signer(log, log.secret)
    with suppress(FileNotFoundError, ValueError, LogKeyMissing):  # begun anew, and ended right after
        signer = _signer(log, _read_seed(data_dir / NEXT_KEY_FILE))
        _take_next(data_dir)
        return signer
    try:
        return _signer(log, _read_seed(data_dir / KEY_FILE))
    except FileNotFoundError as exc:
        raise LogKeyMissing("is not in the data folder") from exc
    except ValueError as exc:
        raise LogKeyMissing("cannot be read") from exc


def _read_seed(path: Path) -> bytes:
    return bytes.fromhex(path.read_text().strip())


def _signer(log: LogIdentity, seed: bytes) -> SignerKey:
    signer = SignerKey(log.origin, seed)
    if len(seed) != 32 or signer.public != log.public:
        raise LogKeyMissing("is not the one that its database names")
    return signer


def _take_next(data_dir: Path) -> None:
    with suppress(FileNotFoundError):  # another process has
        (data_dir / NEXT_KEY_FILE).replace(data_dir / KEY_FILE)


def keep_secret(tx: Tx, generation: int, seed: bytes | None) -> None:
    """Where the private key is kept from now on: in the database, or (None) not there."""
    values = {"secret": None if seed is None else seed.hex()}
    tx.execute(update(log_identity).where(log_identity.c.generation == generation).values(values))


def write_key_file(data_dir: Path, seed: bytes) -> None:
    """Put a private key into a data folder, in place of any that is there."""
    _keep(data_dir / KEY_FILE, seed, again=True)


def _keep(path: Path, seed: bytes, *, again: bool) -> bytes:
    """The first writer wins, unless it is ``again``, and nobody ever sees half of it; returns what is there then."""
    temporary = path.with_name(f"{KEY_FILE}.{os.getpid()}.{secrets.token_hex(4)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, f"{seed.hex()}\n".encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    try:
        if again:
            temporary.replace(path)
        else:
            os.link(temporary, path)
    except FileExistsError:
        return bytes.fromhex(path.read_text().strip())
    finally:
        temporary.unlink(missing_ok=True)
    return seed

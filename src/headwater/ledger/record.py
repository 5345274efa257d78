"""Appending to the record, and reading it back.

A leaf is canonical JSON (sorted keys, no spaces). Where the thing is private, ``subject``, ``actor`` and ``facts`` are
replaced by ``sha256:<hex>`` over a random salt and the value, so that the public record proves order and
integrity without telling names; the salt and the values stay in ``entry_secret``.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, func, insert, select

from headwater.db import Tx, prepared
from headwater.kernel import Actor, EntryId, Page, decode_number, encode_cursor, to_iso
from headwater.ledger.tables import entry, entry_secret, pending_entry, tombstone_entry

LEAF_VERSION = 1
LARGEST_LEAF_BYTES = 65_535  # what a bundle of entries has two bytes for (C2SP tlog-tiles)
SALT_BYTES = 16
# What says that something which was there is not any more, and why.
TOMBSTONES = frozenset(
    {"repository.deleted", "repository.hidden", "repository.disabled", "repository.pruned", "large_files.deleted"}
)

# Built once: every commit is recorded, and building a statement costs more than running it.
_INSERT_ENTRY = prepared(insert(entry).returning(entry.c.id))
_INSERT_SECRET = prepared(insert(entry_secret))
_INSERT_PENDING = prepared(insert(pending_entry))
_INSERT_TOMBSTONE = prepared(insert(tombstone_entry))


@dataclass(frozen=True)
class Entry:
    """One appended fact. ``names`` has the plain values: from the leaf when public, from the secret when private."""

    id: EntryId
    kind: str
    is_private: bool
    leaf: str
    names: dict[str, Any]
    created_at: datetime


def record(
    tx: Tx,
    actor: Actor,
    kind: str,
    subject: str,
    facts: dict[str, Any],
    *,
    now: datetime,
    private: bool = False,
    repo_id: int | None = None,
    owner_id: int | None = None,
) -> None:
    """Append one entry, as the last that the act's transaction writes, whenever in it this is called.

    Entries of one act stand in the order of the calls. The last, so that the time between an entry's number and its commit,
    for which the sequencer would have to wait, holds no work of the act's.

    Args:
        kind: ``noun.past_participle``, a constant: ``ref.moved``, ``repository.created``.
        subject: what it is about, by its public name.
        facts: JSON-able; digests and ids rather than texts, since it can never be erased.
        owner_id: whose thing it is, now: in that account's audit log the entry stays, whoever owns the thing later.
    """
    who = actor.name or "anonymous"
    names: dict[str, Any] = {"subject": subject, "actor": who, "facts": facts}
    salt = secrets.token_bytes(SALT_BYTES) if private else b""
    shown = {key: salted(salt, value) for key, value in names.items()} if private else names
    head = {"v": LEAF_VERSION, "kind": kind, "at": to_iso(now)}
    leaf = canonical({**head, **shown})
    is_long = len(leaf) > LARGEST_LEAF_BYTES
    if is_long:  # the leaf has their digest then, and they stand beside it
        leaf = canonical({**head, **names, "facts": digest_of(facts)})
    values = {
        "kind": kind,
        "repo_id": repo_id,
        "owner_id": owner_id,
        "account_id": actor.account_id,
        "is_private": private,
        "leaf": leaf.decode(),
        "created_at": now,
    }
    secret = {"salt": salt, "names": names} if private or is_long else None
    tx.at_end(lambda: _insert(tx, values, secret))


def _insert(tx: Tx, values: dict[str, Any], secret: dict[str, Any] | None) -> None:
    entry_id = tx.execute(_INSERT_ENTRY, values).scalar_one()
    if secret is not None:
        tx.execute(_INSERT_SECRET, {"entry_id": entry_id, **secret})
    if values["kind"] in TOMBSTONES:
        tx.execute(_INSERT_TOMBSTONE, {"entry_id": entry_id})
    tx.execute(_INSERT_PENDING, {"entry_id": entry_id})


def canonical(value: Any) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def salted(salt: bytes, value: Any) -> str:
    """What a private value looks like in a public leaf."""
    return f"sha256:{hashlib.sha256(salt + canonical(value)).hexdigest()}"


def digest_of(facts: Any) -> dict[str, str]:
    """What stands in a public leaf for facts that are too long for it."""
    return {"sha256": hashlib.sha256(canonical(facts)).hexdigest()}


def list_entries(tx: Tx, *, repo_id: int, cursor: str | None = None, limit: int = 50) -> Page[Entry]:
    """A repository's entries, newest first. The caller has asked for the right to read the repository."""
    before = None if cursor is None else decode_number(cursor)
    items = _list(tx, entry.c.repo_id == repo_id, before, limit + 1)
    return Page(items[:limit], encode_cursor(items[limit - 1].id) if len(items) > limit else None)


def list_of_owner(tx: Tx, owner_id: int, *, before: int | None = None, limit: int = 50) -> list[Entry]:
    """Entries about an account's things, newest first, from below the number ``before``. The caller has asked for the right."""
    return _list(tx, entry.c.owner_id == owner_id, before, limit)


def _list(tx: Tx, which: ColumnElement[bool], before: int | None, limit: int) -> list[Entry]:
    query = (
        select(entry, entry_secret.c.names)
        .outerjoin(entry_secret, entry_secret.c.entry_id == entry.c.id)
        .where(which)
        .order_by(entry.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(entry.c.id < before)
    return [
        Entry(
            id=EntryId(row.id),
            kind=row.kind,
            is_private=row.is_private,
            leaf=row.leaf,
            names=row.names if row.names is not None else _names_of(row.leaf),
            created_at=row.created_at,
        )
        for row in tx.execute(query)
    ]


def count_entries(tx: Tx, *, repo_id: int) -> int:
    """How many entries a repository has."""
    found: int = tx.execute(select(func.count()).select_from(entry).where(entry.c.repo_id == repo_id)).scalar_one()
    return found


def _names_of(leaf: str) -> dict[str, Any]:
    value = orjson.loads(leaf)
    return {key: value[key] for key in ("subject", "actor", "facts")}

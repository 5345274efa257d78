"""Which site this is: its id, and on several hosts the secret that they share.

The id is written into the object store, too (``S3Store.claim``), so that two sites never use the same objects.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import select

from headwater.accounts.tables import site_identity
from headwater.db import Tx, insert


@dataclass(frozen=True)
class Identity:
    """``secret`` is None where it lies in a file of the data folder instead."""

    id: str
    secret: bytes | None


def find_identity(tx: Tx) -> Identity | None:
    row = tx.execute(select(site_identity)).first()
    if row is None:
        return None
    return Identity(row.id, None if row.secret is None else bytes.fromhex(row.secret))


def ensure_identity(tx: Tx, *, secret: bytes | None, site_id: str | None = None) -> Identity:
    """The site's identity, made if there is none: with ``secret`` to be kept, and a new id unless one is given."""
    values = {"one": 1, "id": site_id or secrets.token_hex(16), "secret": None if secret is None else secret.hex()}
    tx.execute(insert(site_identity).values(values).on_conflict_do_nothing())
    found = find_identity(tx)
    assert found is not None  # noqa: S101 -- just written
    return found

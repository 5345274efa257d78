"""Second factors, recovery codes, and challenges that were answered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from headwater.accounts.models import SecondFactor
from headwater.accounts.tables import recovery_code, second_factor, spent_challenge
from headwater.db import Tx
from headwater.db import insert as insert_or_ignore
from headwater.kernel import AccountId


@dataclass(frozen=True)
class App:
    """An authenticator app: its sealed secret, and the last step of time for which a code was taken."""

    id: int
    sealed: str
    last_step: int


@dataclass(frozen=True)
class Passkey:
    id: int
    account_id: AccountId
    name: str
    credential_id: bytes
    rp_id: str
    public_key: bytes
    sign_count: int


class PasskeyTaken(Exception):
    """The credential is registered already, here or with another account."""


def factors_of(tx: Tx, account_id: int) -> list[SecondFactor]:
    """In the order in which they were added."""
    rows = tx.execute(
        select(second_factor).where(second_factor.c.account_id == account_id).order_by(second_factor.c.id)
    )
    return [
        SecondFactor(
            id=row.id,
            account_id=AccountId(row.account_id),
            kind=row.kind,
            name=row.name,
            rp_id=row.rp_id,
            created_at=row.created_at,
            last_used_at=row.last_used_at,
        )
        for row in rows
    ]


def kinds_of(tx: Tx, account_id: int) -> frozenset[str]:
    rows = tx.execute(select(second_factor.c.kind).where(second_factor.c.account_id == account_id).distinct())
    return frozenset(row.kind for row in rows)


def apps_of(tx: Tx, account_id: int) -> list[App]:
    query = select(second_factor.c.id, second_factor.c.sealed, second_factor.c.last_step).where(
        second_factor.c.account_id == account_id, second_factor.c.kind == "totp"
    )
    return [App(row.id, row.sealed, row.last_step) for row in tx.execute(query.order_by(second_factor.c.id))]


def list_sealed(tx: Tx) -> list[tuple[int, str]]:
    """Of every app: whose it is, and its sealed secret."""
    query = select(second_factor.c.account_id, second_factor.c.sealed).where(second_factor.c.kind == "totp")
    return [(row.account_id, row.sealed) for row in tx.execute(query.order_by(second_factor.c.id))]


def passkeys_of(tx: Tx, account_id: int) -> list[Passkey]:
    query = select(second_factor).where(second_factor.c.account_id == account_id, second_factor.c.kind == "passkey")
    return [_passkey(row) for row in tx.execute(query.order_by(second_factor.c.id))]


def find_passkey(tx: Tx, credential_id: bytes) -> Passkey | None:
    row = tx.execute(select(second_factor).where(second_factor.c.credential_id == credential_id)).first()
    return None if row is None else _passkey(row)


def insert_app(tx: Tx, account_id: int, *, name: str, sealed: str, last_step: int, now: datetime) -> None:
    tx.execute(
        insert(second_factor).values(
            account_id=account_id, kind="totp", name=name, sealed=sealed, last_step=last_step, created_at=now
        )
    )


def insert_passkey(
    tx: Tx,
    account_id: int,
    *,
    name: str,
    credential_id: bytes,
    rp_id: str,
    public_key: bytes,
    sign_count: int,
    now: datetime,
) -> None:
    """Raises: PasskeyTaken."""
    try:
        tx.execute(
            insert(second_factor).values(
                account_id=account_id,
                kind="passkey",
                name=name,
                credential_id=credential_id,
                rp_id=rp_id,
                public_key=public_key,
                sign_count=sign_count,
                created_at=now,
            )
        )
    except IntegrityError as exc:
        raise PasskeyTaken from exc


def use_app(tx: Tx, factor_id: int, *, step: int, now: datetime) -> bool:
    """Take the code of a step; False when one of this step or a later one was taken already."""
    changed = tx.execute(
        update(second_factor)
        .where(second_factor.c.id == factor_id, second_factor.c.last_step < step)
        .values(last_step=step, last_used_at=now)
    )
    return bool(changed.rowcount)


def use_passkey(tx: Tx, passkey: Passkey, *, sign_count: int, now: datetime) -> bool:
    """Note a use; False when the passkey is gone, or was used elsewhere since it was read."""
    changed = tx.execute(
        update(second_factor)
        .where(second_factor.c.id == passkey.id, second_factor.c.sign_count == passkey.sign_count)
        .values(sign_count=sign_count, last_used_at=now)
    )
    return bool(changed.rowcount)


def delete_factor(tx: Tx, account_id: int, factor_id: int) -> None:
    tx.execute(delete(second_factor).where(second_factor.c.account_id == account_id, second_factor.c.id == factor_id))


def delete_all(tx: Tx, account_id: int) -> None:
    """Factors and recovery codes."""
    tx.execute(delete(second_factor).where(second_factor.c.account_id == account_id))
    tx.execute(delete(recovery_code).where(recovery_code.c.account_id == account_id))


def put_recovery_codes(tx: Tx, account_id: int, digests: Iterable[str], *, now: datetime) -> None:
    """In place of those that there were."""
    tx.execute(delete(recovery_code).where(recovery_code.c.account_id == account_id))
    tx.execute(
        insert(recovery_code), [{"digest": each, "account_id": account_id, "created_at": now} for each in digests]
    )


def use_recovery_code(tx: Tx, account_id: int, digest: str, *, now: datetime) -> bool:
    """Take a code; False when there is none such, or it was taken before."""
    changed = tx.execute(
        update(recovery_code)
        .where(
            recovery_code.c.digest == digest,
            recovery_code.c.account_id == account_id,
            recovery_code.c.used_at.is_(None),
        )
        .values(used_at=now)
    )
    return bool(changed.rowcount)


def count_recovery_codes(tx: Tx, account_id: int) -> int:
    """How many are left."""
    found: int = tx.execute(
        select(func.count())
        .select_from(recovery_code)
        .where(recovery_code.c.account_id == account_id, recovery_code.c.used_at.is_(None))
    ).scalar_one()
    return found


def spend_challenge(tx: Tx, digest: str, *, expires_at: datetime) -> bool:
    """Mark a challenge as answered; False when it was before."""
    made = insert_or_ignore(spent_challenge).values(digest=digest, expires_at=expires_at).on_conflict_do_nothing()
    return tx.execute(made.returning(spent_challenge.c.digest)).first() is not None


def _passkey(row: Row[Any]) -> Passkey:
    return Passkey(
        id=row.id,
        account_id=AccountId(row.account_id),
        name=row.name,
        credential_id=row.credential_id,
        rp_id=row.rp_id,
        public_key=row.public_key,
        sign_count=row.sign_count,
    )

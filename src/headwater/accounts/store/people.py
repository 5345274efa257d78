"""Accounts, passwords, memberships, identities at other sites, the site's own settings."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from headwater.accounts.errors import AccountNameTaken
from headwater.accounts.models import Account, AccountKind, Member, Namespace, Role
from headwater.accounts.names import name_key
from headwater.accounts.tables import account, identity, membership, password, site_setting
from headwater.db import Tx, prepared
from headwater.kernel import AccountId

# What many requests ask: built once, for building costs more than running.
_BY_ID = prepared(select(account).where(account.c.id == bindparam("account_id")))
_BY_KEY = prepared(select(account).where(account.c.name_key == bindparam("key")))
_ORGANISATIONS = prepared(
    select(account, membership.c.role)
    .join(membership, membership.c.org_id == account.c.id)
    .where(membership.c.account_id == bindparam("member"))
    .order_by(account.c.name_key)
)


def account_of(row: Row[Any]) -> Account:
    return Account(
        id=AccountId(row.id),
        kind=AccountKind(row.kind),
        name=row.name,
        full_name=row.full_name,
        details=row.details,
        email=row.email,
        is_site_admin=row.is_site_admin,
        created_at=row.created_at,
        suspended_at=row.suspended_at,
    )


def insert_account(
    tx: Tx, kind: AccountKind, name: str, *, full_name: str, email: str | None, is_site_admin: bool, now: datetime
) -> Account:
    """A new row; the unique index over both kinds decides whether the name is free.

    Raises:
        AccountNameTaken: it is not.
    """
    try:
        row = tx.execute(
            insert(account)
            .values(
                kind=kind.value,
                name=name,
                name_key=name_key(name),
                full_name=full_name,
                email=email,
                is_site_admin=is_site_admin,
                created_at=now,
            )
            .returning(*account.c)
        ).one()
    except IntegrityError as exc:
        raise AccountNameTaken(name) from exc
    return account_of(row)


def find_account(tx: Tx, name: str) -> Account | None:
    row = tx.execute(_BY_KEY, {"key": name_key(name)}).first()
    return None if row is None else account_of(row)


def accounts_by_id(tx: Tx, ids: Iterable[int]) -> dict[AccountId, Account]:
    wanted = set(ids)
    if not wanted:
        return {}
    if len(wanted) == 1:
        rows = tx.execute(_BY_ID, {"account_id": wanted.pop()})
    else:
        rows = tx.execute(select(account).where(account.c.id.in_(wanted)))
    return {AccountId(row.id): account_of(row) for row in rows}


def accounts_page(
    tx: Tx, kind: AccountKind | None, *, search: str, after_id: int, limit: int
) -> tuple[list[Account], bool]:
    query = select(account).where(account.c.id > after_id).order_by(account.c.id).limit(limit + 1)
    if kind is not None:
        query = query.where(account.c.kind == kind.value)
    if search:
        query = query.where(account.c.name_key.contains(name_key(search), autoescape=True))
    rows = tx.execute(query).all()
    return [account_of(row) for row in rows[:limit]], len(rows) > limit


def accounts_by_prefix(tx: Tx, prefix: str, limit: int) -> list[Account]:
    """Whose names begin so, in order; by the unique index, however many there are."""
    key = name_key(prefix)
    query = select(account).where(
        account.c.name_key >= key, account.c.name_key < key + "\U0010ffff", account.c.suspended_at.is_(None)
    )
    rows = tx.execute(query.order_by(account.c.name_key).limit(limit))
    return [account_of(row) for row in rows]


def count_site_admins(tx: Tx) -> int:
    """Administrators who can sign in: suspended ones do not count."""
    found: int = tx.execute(
        select(func.count())
        .select_from(account)
        .where(account.c.kind == "person", account.c.is_site_admin.is_(True), account.c.suspended_at.is_(None))
    ).scalar_one()
    return found


def update_account(tx: Tx, account_id: int, **values: Any) -> None:
    tx.execute(update(account).where(account.c.id == account_id).values(**values))


def password_hash(tx: Tx, account_id: int) -> str | None:
    found: str | None = tx.execute(select(password.c.hash).where(password.c.account_id == account_id)).scalar()
    return found


def put_password(tx: Tx, account_id: int, hashed: str, *, now: datetime) -> None:
    tx.execute(delete(password).where(password.c.account_id == account_id))
    tx.execute(insert(password).values(account_id=account_id, hash=hashed, changed_at=now))


def find_role(tx: Tx, org_id: int, account_id: int) -> Role | None:
    found = tx.execute(
        select(membership.c.role).where(membership.c.org_id == org_id, membership.c.account_id == account_id)
    ).scalar()
    return None if found is None else Role(found)


def put_member(tx: Tx, org_id: int, account_id: int, role: Role, *, now: datetime) -> None:
    changed = tx.execute(
        update(membership)
        .where(membership.c.org_id == org_id, membership.c.account_id == account_id)
        .values(role=int(role))
    )
    if changed.rowcount == 0:
        tx.execute(insert(membership).values(org_id=org_id, account_id=account_id, role=int(role), since=now))


def delete_member(tx: Tx, org_id: int, account_id: int) -> None:
    tx.execute(delete(membership).where(membership.c.org_id == org_id, membership.c.account_id == account_id))


def count_admins(tx: Tx, org_id: int) -> int:
    found: int = tx.execute(
        select(func.count())
        .select_from(membership.join(account, account.c.id == membership.c.account_id))
        .where(membership.c.org_id == org_id, membership.c.role == int(Role.ADMIN), account.c.suspended_at.is_(None))
    ).scalar_one()
    return found


def members_page(tx: Tx, org_id: int, *, after_id: int, limit: int) -> tuple[list[Member], bool]:
    rows = tx.execute(
        select(account, membership.c.role, membership.c.since)
        .join(membership, membership.c.account_id == account.c.id)
        .where(membership.c.org_id == org_id, account.c.id > after_id)
        .order_by(account.c.id)
        .limit(limit + 1)
    ).all()
    return [Member(account_of(row), Role(row.role), row.since) for row in rows[:limit]], len(rows) > limit


def count_members(tx: Tx, org_ids: Iterable[int]) -> dict[int, int]:
    rows = tx.execute(
        select(membership.c.org_id, func.count().label("n"))
        .where(membership.c.org_id.in_(set(org_ids)))
        .group_by(membership.c.org_id)
    )
    return {row.org_id: row.n for row in rows}


def organisations_of(tx: Tx, account_id: int) -> list[Namespace]:
    rows = tx.execute(_ORGANISATIONS, {"member": account_id})
    return [Namespace(account_of(row), Role(row.role)) for row in rows]


def find_identity(tx: Tx, issuer: str, subject: str) -> AccountId | None:
    found = tx.execute(
        select(identity.c.account_id).where(identity.c.issuer == issuer, identity.c.subject == subject)
    ).scalar()
    return None if found is None else AccountId(found)


def insert_identity(tx: Tx, issuer: str, subject: str, account_id: int, *, now: datetime) -> None:
    tx.execute(insert(identity).values(issuer=issuer, subject=subject, account_id=account_id, linked_at=now))


def delete_identity(tx: Tx, issuer: str, account_id: int) -> int:
    found: int = tx.execute(
        delete(identity).where(identity.c.issuer == issuer, identity.c.account_id == account_id)
    ).rowcount
    return found


def identities_of(tx: Tx, account_id: int) -> list[tuple[str, str]]:
    rows = tx.execute(select(identity.c.issuer, identity.c.subject).where(identity.c.account_id == account_id))
    return [(row.issuer, row.subject) for row in rows]


def find_setting(tx: Tx, key: str) -> Any:
    return tx.execute(select(site_setting.c.value).where(site_setting.c.key == key)).scalar()


def put_setting(tx: Tx, key: str, value: Any) -> None:
    changed = tx.execute(update(site_setting).where(site_setting.c.key == key).values(value=value))
    if changed.rowcount == 0:
        tx.execute(insert(site_setting).values(key=key, value=value))

"""Whether a check sees that an entry was moved into another audit log, or out of all, and secrets that no longer open."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from headwater import accounts
from headwater.accounts import sealing
from headwater.accounts.store import factors
from headwater.hub.checking import check
from headwater.kernel import SYSTEM, utcnow
from headwater.ledger.tables import entry
from tests.storage import Storage

ONLY = ("owners", "second factors")


def test_every_entry_stands_where_it_belongs(varied: Storage) -> None:
    assert check(varied.site, only=ONLY).problems == []


@pytest.mark.parametrize("owner_id", [None, 99])
def test_an_entry_in_anothers_log_is_found(varied: Storage, owner_id: int | None) -> None:
    db = varied.site.db
    chosen = db.read(lambda tx: tx.execute(entry.select().where(entry.c.owner_id.is_not(None))).first())
    db.write(lambda tx: tx.execute(update(entry).where(entry.c.id == chosen.id).values(owner_id=owner_id)))
    (problem,) = check(varied.site, only=ONLY).problems
    assert (problem.code, problem.where) == ("entry.owner_differs", f"entry {chosen.id}")


def test_an_entry_that_is_nobodys_is_put_into_no_log(varied: Storage) -> None:
    db = varied.site.db
    from headwater import ledger

    db.write(lambda tx: ledger.record(tx, SYSTEM, "site.looked_at", "site", {}, now=utcnow(), owner_id=1))
    assert [problem.code for problem in check(varied.site, only=ONLY).problems] == ["entry.owner_differs"]


def test_a_secret_that_another_secret_sealed_is_found(varied: Storage) -> None:
    site = varied.site
    person = site.db.write(accounts.create_person, SYSTEM, "totty", password_hash=None, now=utcnow())

    def add(secret: bytes) -> None:
        sealed = sealing.seal(secret, "totp", b"x" * 20, bound_to=str(person.id))
        site.db.write(factors.insert_app, person.id, name="app", sealed=sealed, last_step=0, now=utcnow())

    add(site.secret)
    assert check(site, only=ONLY).problems == []
    add(b"another secret of another site..")
    (problem,) = check(site, only=ONLY).problems
    assert (problem.code, problem.where) == ("second_factor.unreadable", "account totty")

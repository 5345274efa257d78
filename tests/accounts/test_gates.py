from __future__ import annotations

import pytest

from headwater import accounts
from headwater.accounts import (
    AccessAlreadyHandled,
    AccessRequestNotFound,
    AccountNotFound,
    Action,
    GateClosed,
    Hidden,
    NotAllowed,
    NotGated,
    NotSignedIn,
    Resource,
)
from headwater.accounts.errors import BadSetting
from headwater.kernel import ANONYMOUS

from .conftest import NOW, with_token


@pytest.fixture
def gate(site, person):
    ada, bob = person("ada"), person("bob")
    return site, ada, bob, Resource(owner_id=ada.account_id, repo_id=5, gated="manual")


def names(site, actor, on, status):
    return [r.account.name for r in site.db.read(accounts.list_requests, actor, on, status).items]


def test_a_request_waits_is_accepted_and_then_opens_the_files(gate):
    site, ada, bob, on = gate
    asked = site.db.write(accounts.request_access, bob, on, fields={"why": "to learn"}, now=NOW)
    assert (asked.status, asked.fields) == ("pending", {"why": "to learn"})
    assert site.db.write(accounts.request_access, bob, on, fields={}, now=NOW) == asked
    with pytest.raises(GateClosed) as closed:
        site.db.read(accounts.require, bob, Action.READ_FILES, on=on)
    assert closed.value.asked
    assert names(site, ada, on, "pending") == ["bob"]
    done = site.db.write(accounts.handle_request, ada, on, user="bob", status="accepted", now=NOW)
    assert (done.status, done.by_grant) == ("accepted", False)
    site.db.read(accounts.require, bob, Action.READ_FILES, on=on)
    with pytest.raises(AccessAlreadyHandled):
        site.db.write(accounts.handle_request, ada, on, user="BOB", status="accepted", now=NOW)
    done = site.db.write(
        accounts.handle_request, ada, on, request_id=asked.id, status="rejected", reason="no more", now=NOW
    )
    assert done.rejection_reason == "no more"
    with pytest.raises(GateClosed):
        site.db.read(accounts.require, bob, Action.READ_FILES, on=on)
    done = site.db.write(accounts.handle_request, ada, on, request_id=asked.id, status="pending", now=NOW)
    assert (done.rejection_reason, done.handled_at) == (None, None)
    assert [r.repo_id for r in site.db.read(accounts.list_own_requests, bob)] == [5]


def test_an_automatic_gate_opens_to_whoever_asks(gate):
    site, ada, bob, _ = gate
    auto = Resource(owner_id=ada.account_id, repo_id=5, gated="auto")
    with pytest.raises(GateClosed):
        site.db.read(accounts.require, bob, Action.READ_FILES, on=auto)
    assert site.db.write(accounts.request_access, bob, auto, fields={}, now=NOW).status == "accepted"
    site.db.read(accounts.require, bob, Action.READ_FILES, on=auto)
    with pytest.raises(NotSignedIn):
        site.db.write(accounts.request_access, ANONYMOUS, auto, fields={}, now=NOW)


def test_access_can_be_granted_unasked_once(gate):
    site, ada, _, on = gate
    given = site.db.write(accounts.grant_access, ada, on, "bob", now=NOW)
    assert (given.status, given.by_grant) == ("accepted", True)
    with pytest.raises(AccessAlreadyHandled):
        site.db.write(accounts.grant_access, ada, on, "bob", now=NOW)
    with pytest.raises(AccountNotFound):
        site.db.write(accounts.grant_access, ada, on, "nobody", now=NOW)
    site.db.write(accounts.handle_request, ada, on, user="bob", status="rejected", now=NOW)
    assert site.db.write(accounts.grant_access, ada, on, "bob", now=NOW).status == "accepted"


def test_requests_are_handled_by_the_repositorys_administrators_only(gate, person):
    site, ada, bob, on = gate
    asked = site.db.write(accounts.request_access, bob, on, fields={}, now=NOW)
    for actor, refusal in ((bob, NotAllowed), (ANONYMOUS, NotSignedIn), (with_token(ada, "read"), NotAllowed)):
        for act in (
            lambda actor=actor: site.db.read(accounts.list_requests, actor, on, "pending"),
            lambda actor=actor: site.db.write(
                accounts.handle_request, actor, on, request_id=asked.id, status="accepted", now=NOW
            ),
            lambda actor=actor: site.db.write(accounts.grant_access, actor, on, "bob", now=NOW),
        ):
            with pytest.raises(refusal):
                act()
    private = Resource(owner_id=ada.account_id, repo_id=5, gated="manual", is_private=True)
    with pytest.raises(Hidden):
        site.db.write(accounts.request_access, person("eve"), private, fields={}, now=NOW)


def test_what_makes_no_sense_is_refused(gate):
    site, ada, bob, on = gate
    site.db.write(accounts.request_access, bob, on, fields={}, now=NOW)
    plain = Resource(owner_id=ada.account_id, repo_id=5)
    with pytest.raises(NotGated):
        site.db.write(accounts.request_access, bob, plain, fields={}, now=NOW)
    with pytest.raises(AccessRequestNotFound):
        site.db.write(accounts.handle_request, ada, on, request_id=99, status="accepted", now=NOW)
    other = Resource(owner_id=ada.account_id, repo_id=6, gated="manual")
    with pytest.raises(AccessRequestNotFound):  # the number of another repository's request
        site.db.write(accounts.handle_request, ada, other, request_id=1, status="accepted", now=NOW)
    with pytest.raises(BadSetting):
        site.db.read(accounts.list_requests, ada, on, "maybe")
    with pytest.raises(BadSetting):
        site.db.write(accounts.handle_request, ada, on, user="bob", status="accepted", reason="why", now=NOW)
    with pytest.raises(BadSetting):
        site.db.write(accounts.request_access, ada, on, fields={"x": "y" * 3000}, now=NOW)


def test_a_request_that_nobody_handled_can_be_taken_back(gate):
    site, ada, bob, on = gate
    site.db.write(accounts.request_access, bob, on, fields={}, now=NOW)
    site.db.write(accounts.withdraw_request, bob, on)
    assert site.db.read(accounts.find_request, bob, on) is None
    site.db.write(accounts.grant_access, ada, on, "bob", now=NOW)
    site.db.write(accounts.withdraw_request, bob, on)
    assert site.db.read(accounts.find_request, bob, on).status == "accepted"

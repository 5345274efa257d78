"""Access to gated repositories: asked for, handled, granted.

The caller finds the repository (READ) and passes it as a ``Resource``; who may handle requests is asked here.
"""

from __future__ import annotations

from datetime import datetime

from headwater import ledger
from headwater.accounts.errors import AccessAlreadyHandled, AccessRequestNotFound, BadSetting, NotGated
from headwater.accounts.models import AccessRequest, Action, Resource
from headwater.accounts.rights import require
from headwater.accounts.service.lookup import get_person, get_self
from headwater.accounts.store import gates
from headwater.db import Tx
from headwater.kernel import Actor, Page, decode_number, encode_cursor

STATUSES = ("pending", "accepted", "rejected")
MAX_FIELDS, MAX_FIELD_LENGTH = 50, 2000


def request_access(tx: Tx, actor: Actor, on: Resource, *, fields: dict[str, str], now: datetime) -> AccessRequest:
    """Ask to read the files. ``gated="auto"`` accepts at once; asking again returns the request there is.

    Raises:
        NotSignedIn, NotGated.
    """
    require(tx, actor, Action.DISCUSS, on=on)
    repo_id = _gated_id(on)
    account = get_self(tx, actor)
    if len(fields) > MAX_FIELDS or any(len(k) > 200 or len(v) > MAX_FIELD_LENGTH for k, v in fields.items()):
        raise BadSetting(f"At most {MAX_FIELDS} answers of {MAX_FIELD_LENGTH} characters fit into a request.")
    found = gates.find_request(tx, repo_id, account.id)
    if found is None:
        status = "accepted" if on.gated == "auto" else "pending"
        gates.insert_request(
            tx, repo_id, account.id, status=status, fields=fields, by_grant=False, handled_by=None, now=now
        )
        found = gates.find_request(tx, repo_id, account.id)
        if found is None:
            raise AccessRequestNotFound
        if status == "accepted":
            _record(tx, actor, on, account.name, "accepted", now=now)
    return found


def withdraw_request(tx: Tx, actor: Actor, on: Resource) -> None:
    """Take back one's own request that nobody has handled."""
    require(tx, actor, Action.DISCUSS, on=on)
    found = gates.find_request(tx, _gated_id(on), get_self(tx, actor).id)
    if found is not None and found.status == "pending":
        gates.delete_request(tx, found.id)


def find_request(tx: Tx, actor: Actor, on: Resource) -> AccessRequest | None:
    """The actor's own request."""
    if actor.account_id is None or on.repo_id is None:
        return None
    return gates.find_request(tx, on.repo_id, actor.account_id)


def list_own_requests(tx: Tx, actor: Actor, *, limit: int = 200) -> list[AccessRequest]:
    """The actor's requests to all repositories, newest first. The caller names the repositories, and hides what is hidden."""
    account = get_self(tx, actor)
    require(tx, actor, Action.MANAGE_ACCOUNT, on=Resource(owner_id=account.id))
    return gates.requests_by(tx, account.id, limit=limit)


def list_requests(
    tx: Tx, actor: Actor, on: Resource, status: str, *, cursor: str | None = None, limit: int = 100
) -> Page[AccessRequest]:
    """Requests of one status in the order they came, for the repository's administrators."""
    require(tx, actor, Action.ADMIN, on=on)
    if status not in STATUSES:
        raise BadSetting(f"{status!r} is no status of an access request. Use one of: {', '.join(STATUSES)}.")
    after = 0 if cursor is None else decode_number(cursor)
    items, more = gates.requests_page(tx, _gated_id(on), status, after_id=after, limit=limit)
    return Page(items, encode_cursor(items[-1].id) if more else None)


def handle_request(
    tx: Tx,
    actor: Actor,
    on: Resource,
    *,
    status: str,
    user: str | None = None,
    request_id: int | None = None,
    reason: str | None = None,
    now: datetime,
) -> AccessRequest:
    """Move a request, named by its person or its number, to another status.

    Raises:
        AccessAlreadyHandled: it has that status.
        AccountNotFound, AccessRequestNotFound: nobody asked by that name or number.
    """
    require(tx, actor, Action.ADMIN, on=on)
    repo_id = _gated_id(on)
    if status not in STATUSES:
        raise BadSetting(f"{status!r} is no status of an access request. Use one of: {', '.join(STATUSES)}.")
    if reason is not None and (status != "rejected" or len(reason) > MAX_FIELD_LENGTH):
        raise BadSetting(f"A reason of at most {MAX_FIELD_LENGTH} characters goes with a rejection only.")
    if user is not None:
        found = gates.find_request(tx, repo_id, get_person(tx, user).id)
    else:
        found = None if request_id is None else gates.find_request_by_id(tx, repo_id, request_id)
    if found is None:
        raise AccessRequestNotFound
    if found.status == status:
        raise AccessAlreadyHandled(status)
    gates.set_status(tx, found.id, status, reason=reason, handled_by=actor.account_id, now=now)
    _record(tx, actor, on, found.account.name, status, now=now)
    return _get(tx, repo_id, found.id)


def grant_access(tx: Tx, actor: Actor, on: Resource, user: str, *, now: datetime) -> AccessRequest:
    """Let someone in who may not have asked. An open or rejected request of theirs becomes accepted.

    Raises:
        AccountNotFound: no such person. AccessAlreadyHandled: they are in.
    """
    require(tx, actor, Action.ADMIN, on=on)
    repo_id = _gated_id(on)
    person = get_person(tx, user)
    found = gates.find_request(tx, repo_id, person.id)
    if found is not None and found.status == "accepted":
        raise AccessAlreadyHandled("accepted")
    if found is None:
        gates.insert_request(
            tx,
            repo_id,
            person.id,
            status="accepted",
            fields={},
            by_grant=True,
            handled_by=actor.account_id,
            now=now,
        )
        found = gates.find_request(tx, repo_id, person.id)
    else:
        gates.set_status(tx, found.id, "accepted", reason=None, handled_by=actor.account_id, now=now)
    if found is None:
        raise AccessRequestNotFound
    _record(tx, actor, on, person.name, "accepted", now=now)
    return _get(tx, repo_id, found.id)


def _gated_id(on: Resource) -> int:
    if not on.gated or on.repo_id is None:
        raise NotGated
    return on.repo_id


def _get(tx: Tx, repo_id: int, request_id: int) -> AccessRequest:
    found = gates.find_request_by_id(tx, repo_id, request_id)
    if found is None:
        raise AccessRequestNotFound
    return found


def _record(tx: Tx, actor: Actor, on: Resource, person: str, status: str, *, now: datetime) -> None:
    # Always salted: who asked for what is between them and the repository's administrators.
    facts = {"person": person, "status": status}
    ledger.record(
        tx,
        actor,
        "access.status_set",
        f"repository:{on.repo_id}",
        facts,
        private=True,
        owner_id=on.owner_id,
        now=now,
    )

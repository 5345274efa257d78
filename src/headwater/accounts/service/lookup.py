"""From names to accounts. Accounts are public: whoever asks may know that a name is in use."""

from __future__ import annotations

from collections.abc import Iterable

from headwater.accounts.errors import AccountNotFound, NotAnOrganisation, NotAPerson, NotSignedIn
from headwater.accounts.models import Account, AccountKind, Namespace, Resource, Role
from headwater.accounts.store import people
from headwater.db import Tx
from headwater.kernel import AccountId, Actor


def find_account(tx: Tx, name: str) -> Account | None:
    """The person or organisation called ``name``, in whatever case."""
    return people.find_account(tx, name)


def get_account(tx: Tx, name: str) -> Account:
    """As ``find_account``.

    Raises:
        AccountNotFound: nobody has this name.
    """
    found = people.find_account(tx, name)
    if found is None:
        raise AccountNotFound(name)
    return found


def get_accounts(tx: Tx, ids: Iterable[int]) -> dict[AccountId, Account]:
    """Many accounts in one query; ids that are none are left out."""
    return people.accounts_by_id(tx, ids)


def find_by_prefix(tx: Tx, prefix: str, *, limit: int = 5) -> list[Account]:
    """People and organisations whose names begin with ``prefix``; their names are public, as their pages are."""
    return people.accounts_by_prefix(tx, prefix, limit) if prefix else []


def get_person(tx: Tx, name: str) -> Account:
    """The person called ``name``.

    Raises:
        AccountNotFound, NotAPerson: there is none.
    """
    found = get_account(tx, name)
    if found.kind is not AccountKind.PERSON:
        raise NotAPerson(found.name)
    return found


def get_organisation(tx: Tx, name: str) -> Account:
    """The organisation called ``name``.

    Raises:
        AccountNotFound, NotAnOrganisation: there is none.
    """
    found = get_account(tx, name)
    if found.kind is not AccountKind.ORGANISATION:
        raise NotAnOrganisation(found.name)
    return found


def get_self(tx: Tx, actor: Actor) -> Account:
    """The account that acts.

    Raises:
        NotSignedIn: nobody does.
    """
    if actor.account_id is None:
        raise NotSignedIn
    return people.accounts_by_id(tx, [actor.account_id])[actor.account_id]


def namespaces_of(tx: Tx, actor: Actor) -> list[Namespace]:
    """The actor's own namespace first, then their organisations by name, each with the actor's role; nothing for strangers."""
    if actor.account_id is None:
        return []
    return [Namespace(get_self(tx, actor), Role.ADMIN), *people.organisations_of(tx, actor.account_id)]


def organisations_of(tx: Tx, account_id: AccountId) -> list[Namespace]:
    """Organisations of any person, with their role there: memberships are public."""
    return people.organisations_of(tx, account_id)


def namespace_resource(account: Account) -> Resource:
    """A namespace as ``require`` takes it."""
    return Resource(owner_id=account.id)

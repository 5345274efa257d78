"""What people, organisations and rights are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any

from headwater.kernel import AccountId, Grant


class AccountKind(Enum):
    PERSON = "person"
    ORGANISATION = "organisation"


class Role(IntEnum):
    """A member's role in an organisation; each holds those below it."""

    READ = 1
    CONTRIBUTE = 2  # may create repositories, and write to those they created
    WRITE = 3
    ADMIN = 4


class Action(Enum):
    """What ``require`` can be asked about one thing."""

    READ = "read"  # see that it exists, its metadata and discussions
    READ_FILES = "read_files"  # its bytes; gating asks more than READ
    DISCUSS = "discuss"  # open discussions and pull requests, like
    INFER = "infer"  # ask an endpoint that is served
    WRITE = "write"  # move refs, upload
    ADMIN = "admin"  # settings, delete, move, handle access requests, moderate
    CREATE_REPOSITORY = "create_repository"  # in a namespace
    MANAGE_ACCOUNT = "manage_account"  # an organisation's members, a person's tokens
    MANAGE_SITE = "manage_site"


@dataclass(frozen=True)
class Account:
    id: AccountId
    kind: AccountKind
    name: str
    full_name: str
    details: str
    email: str | None
    is_site_admin: bool
    created_at: datetime
    suspended_at: datetime | None


@dataclass(frozen=True)
class Resource:
    """What ``require`` must know about a thing in order to decide. Repositories and namespaces both become one.

    ``repo_id`` is None when the thing is the namespace itself. ``gated`` is "", "auto" or "manual".
    """

    owner_id: AccountId
    repo_id: int | None = None
    is_private: bool = False
    gated: str = ""
    created_by: AccountId | None = None
    is_disabled: bool = False


class SignUpPolicy(Enum):
    OPEN = "open"
    INVITE = "invite"  # with a link that any signed-in person may make
    CLOSED = "closed"  # only with a link that an administrator makes


@dataclass(frozen=True)
class Namespace:
    """A name under which someone may own or reach things, and their role there."""

    account: Account
    role: Role


@dataclass(frozen=True)
class Member:
    account: Account
    role: Role
    since: datetime


@dataclass(frozen=True)
class TokenInfo:
    """A token as its owner may see it: never the secret."""

    id: int
    account_id: AccountId
    name: str
    hint: str
    role: str
    grants: tuple[Grant, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class Session:
    """One browser that is signed in. ``id`` names it on pages and opens nothing.

    ``how`` says by what its person showed who they are, and ``proved_at`` when they last did; ``address`` is where it was
    last seen.
    """

    id: str
    account_id: AccountId
    csrf: str
    user_agent: str
    address: str
    how: str
    created_at: datetime
    proved_at: datetime
    last_seen_at: datetime
    expires_at: datetime


@dataclass(frozen=True)
class SecondFactor:
    """What is asked beside the password. ``rp_id`` is the host name that a passkey is for."""

    id: int
    account_id: AccountId
    kind: str  # "totp" | "passkey"
    name: str
    rp_id: str | None
    created_at: datetime
    last_used_at: datetime | None


@dataclass(frozen=True)
class AccountEvent:
    """One line of an account's own log. ``n`` counts refusals that one line stands for; ``created_at`` is the last of them."""

    id: int
    account_id: AccountId
    kind: str
    is_alert: bool
    n: int
    address: str
    user_agent: str
    facts: dict[str, Any]
    created_at: datetime
    seen_at: datetime | None


@dataclass(frozen=True)
class OneTimeLink:
    """``id`` names it on pages and opens nothing; the link's own secret is stored nowhere."""

    id: str
    purpose: str  # "first_admin" | "site" | "org" | "reset"
    account_id: AccountId | None
    org_id: AccountId | None
    role: Role | None
    note: str
    created_by: AccountId | None
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None


@dataclass(frozen=True)
class AccessRequest:
    """Someone's wish to read a gated repository's files. ``fields`` is what they answered to the gate's questions."""

    id: int
    repo_id: int
    account: Account
    status: str  # "pending" | "accepted" | "rejected"
    fields: dict[str, str]
    rejection_reason: str | None
    created_at: datetime
    handled_at: datetime | None
    by_grant: bool  # granted without having been asked for

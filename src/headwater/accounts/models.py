"""What people, organisations and rights are."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum

from headwater.kernel import AccountId


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

"""Who acts, and how far the credential they came with reaches."""

from dataclasses import dataclass, field

from headwater.kernel.ids import AccountId


@dataclass(frozen=True)
class Grant:
    """One line of a fine-grained token: ``action`` on one account's things or on one repository."""

    action: str  # "read" | "contribute" | "write" | "admin"
    account_id: int | None = None
    repo_id: int | None = None


@dataclass(frozen=True)
class TokenLimits:
    """What a token may do at most; the account's own rights bound it further.

    ``role`` is "read", "write", "admin" or "fine"; only "fine" looks at ``grants``.
    """

    token_id: int
    name: str
    role: str
    grants: tuple[Grant, ...] = ()


@dataclass(frozen=True)
class Actor:
    """A person, an organisation's service, the system itself, or nobody in particular.

    ``account_id`` is None for strangers and for the system. ``limits`` is None for a browser session, which
    may do all that the person may. ``session_id`` names that session, so that an act can ask how fresh the proof of
    who they are is; it is no part of who somebody is.
    """

    account_id: AccountId | None = None
    name: str = ""
    is_site_admin: bool = False
    is_system: bool = False
    limits: TokenLimits | None = field(default=None)
    session_id: str | None = field(default=None, compare=False, repr=False)

    @property
    def is_anonymous(self) -> bool:
        return self.account_id is None and not self.is_system


ANONYMOUS = Actor()
SYSTEM = Actor(name="system", is_system=True)

"""In whose audit log each entry of the record stands, and whether secrets that rest sealed can be opened.

An entry's owner is no part of its leaf, so the log's proofs say nothing of it; but its subject is, and that begins with the name of
the owner of then. Names are never given to anybody else.
"""

from __future__ import annotations

from collections.abc import Iterator

from headwater import accounts, ledger
from headwater.db import Tx
from headwater.hub.checking.models import BY_HAND, Looking, Problem
from headwater.hub.models import RepoKind
from headwater.kernel import RepoId
from headwater.ledger import Recorded

# Entries about an account itself: their subject is its name.
_OF_ACCOUNTS = ("organisation.created", "member.role_set", "member.removed", "quota.set")
# Things of packages above the hub that an account owns: their subjects are prefix, owner, name.
_OF_OTHER_THINGS = ("endpoints/", "run-quotas/")
_NAMES_NO_OWNER = ("run.",)  # their subject is a number
_PREFIXES = tuple(kind.url_prefix for kind in RepoKind if kind.url_prefix)
_SECRET_BACK = "Start with the secret that the site had, or: headwater user reset-second-factor NAME"  # noqa: S105


def check_owners(looking: Looking) -> Iterator[Problem]:
    """Each entry about somebody's thing stands in that somebody's log, and no other does."""
    yield from looking.site.db.read(_differing)


def check_second_factors(looking: Looking) -> Iterator[Problem]:
    """Each authenticator app's secret opens with the site's secret."""
    for name in accounts.list_unreadable_factors(looking.site):
        yield Problem(
            "second_factor.unreadable",
            f"No code of {name}'s authenticator app will fit: its secret was sealed with another secret of the site.",
            f"account {name}",
            _SECRET_BACK,
        )


def _differing(tx: Tx) -> list[Problem]:
    found: list[Problem] = []
    known: dict[str, int | None] = {}
    for entry in ledger.iter_entries(tx):
        name = _owner_name(entry)
        if entry.kind.startswith(_NAMES_NO_OWNER):
            is_right = True
        elif name is None:
            is_right = entry.owner_id is None or entry.kind == "access.status_set"
        else:
            if name not in known:
                account = accounts.find_account(tx, name)
                known[name] = None if account is None else account.id
            is_right = entry.owner_id == known[name]
        if not is_right:
            what = f"Entry {entry.id} of the record is about {name or 'nobody'} and stands in another's audit log, or in none."
            repo_id = None if entry.repo_id is None else RepoId(entry.repo_id)
            found.append(Problem("entry.owner_differs", what, f"entry {entry.id}", BY_HAND, repo_id=repo_id))
    return found


def _owner_name(entry: Recorded) -> str | None:
    """Whose thing the entry says that it is about; None where it is nobody's, or cannot be read."""
    try:
        subject = entry.subject()
    except (ValueError, KeyError, TypeError):
        return None  # another checker says so
    if entry.kind in _OF_ACCOUNTS or entry.kind.startswith("second_factor."):
        return subject
    if entry.repo_id is None:
        of = next((subject.removeprefix(prefix) for prefix in _OF_OTHER_THINGS if subject.startswith(prefix)), "")
        return of.partition("/")[0] or None
    if "/" not in subject:
        return None
    path = next((subject.removeprefix(prefix) for prefix in _PREFIXES if subject.startswith(prefix)), subject)
    return path.partition("/")[0]

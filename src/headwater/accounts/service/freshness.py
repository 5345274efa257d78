"""How fresh the proof is of who sits before a browser: asked before an act that a borrowed or stolen session must not do.

Deleting and moving repositories, making tokens, approving programs, changing how one signs in, and giving others power over
the site ask for it. A token is not asked: it was made for programs, and its scope is its limit. Nor is the system itself.
What would outlive a token, ways to sign in above all, no token may change.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from headwater.accounts import credentials
from headwater.accounts.errors import NotAllowed, NotSignedIn, ProofNeeded
from headwater.accounts.store import factors, people, secrets
from headwater.db import Tx
from headwater.kernel import AccountId, Actor

FRESH = timedelta(minutes=30)
NEVER = datetime.fromtimestamp(
    0, UTC
)  # a session whose person has not yet shown here, or provably elsewhere, who they are


def require_fresh(tx: Tx, actor: Actor, *, now: datetime) -> None:
    """Return unless ``actor`` came with a browser's session whose person last showed who they are too long ago.

    Raises:
        ProofNeeded: with what they can show.
    """
    if actor.session_id is None or actor.account_id is None:
        return
    proved_at = secrets.proved_at(tx, actor.session_id)
    if proved_at is None or not timedelta(0) <= now - proved_at < FRESH:
        raise proof_needed(tx, actor.account_id)


def require_no_token(actor: Actor) -> None:
    """Return unless ``actor`` came with a token: what it would make here stays when the token has ended.

    Raises:
        NotAllowed: it did.
    """
    if actor.limits is not None:
        raise NotAllowed("An access token cannot do this: it would outlive the token. Sign in with a browser.")


def proof_needed(tx: Tx, account_id: AccountId) -> ProofNeeded:
    """What to ask of a person: a second factor where there is one, else the password, else the other site again."""
    kinds = factors.kinds_of(tx, account_id)
    if kinds:
        known = tuple((each.rp_id, each.credential_id) for each in factors.passkeys_of(tx, account_id))
        return ProofNeeded(kinds | {"recovery"}, known)
    has_password = people.password_hash(tx, account_id) is not None
    return ProofNeeded(frozenset({"password" if has_password else "other_site"}))


def renew(tx: Tx, actor: Actor, *, now: datetime) -> str:
    """The person has just shown who they are: their session's new secret. The former one opens nothing any more.

    Raises:
        NotSignedIn: the session has ended meanwhile.
    """
    secret = credentials.new_secret()
    digest = credentials.digest_of(secret)
    if (
        actor.session_id is None
        or actor.account_id is None
        or not secrets.renew_session(tx, actor.account_id, actor.session_id, new_digest=digest, proved_at=now)
    ):
        raise NotSignedIn
    return secret

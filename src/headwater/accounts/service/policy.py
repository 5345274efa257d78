"""What the site's administrators have chosen: who may sign up."""

from __future__ import annotations

from datetime import datetime

from headwater import ledger
from headwater.accounts.models import Action, SignUpPolicy
from headwater.accounts.rights import require
from headwater.accounts.store import people
from headwater.db import Tx
from headwater.kernel import Actor

_SIGN_UP = "sign_up_policy"


def sign_up_policy(tx: Tx) -> SignUpPolicy:
    """Who may sign up; nobody, until an administrator says otherwise."""
    return SignUpPolicy(people.find_setting(tx, _SIGN_UP) or SignUpPolicy.CLOSED.value)


def set_sign_up_policy(tx: Tx, actor: Actor, policy: SignUpPolicy, *, now: datetime) -> None:
    """Change who may sign up."""
    require(tx, actor, Action.MANAGE_SITE, on=None)
    people.put_setting(tx, _SIGN_UP, policy.value)
    ledger.record(tx, actor, "site.sign_up_policy_set", "site", {"policy": policy.value}, now=now)

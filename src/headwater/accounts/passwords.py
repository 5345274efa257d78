"""Passwords: argon2id, 32 MiB and three passes, at most two at a time in one process.

Callers stand in a worker thread: one hash takes about 50 ms of CPU. The library is imported at first use.
"""

from __future__ import annotations

import threading
from functools import cache
from typing import TYPE_CHECKING

from headwater.accounts.errors import WeakPassword

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MIN_LENGTH, MAX_LENGTH = 8, 1024
_AT_ONCE = threading.BoundedSemaphore(2)  # bounds memory, whatever the number of people who sign in
_COMMON = frozenset(
    ("password", "passw0rd", "password1", "12345678", "123456789", "1234567890", "qwertyui", "qwertyuiop", "11111111")
)


def check_strength(password: str, *, name: str) -> str:
    """``password`` itself, if it may guard the account ``name``.

    Raises:
        WeakPassword: too short, too long, or the first that anyone would guess.
    """
    if len(password) < MIN_LENGTH:
        raise WeakPassword(f"A password needs at least {MIN_LENGTH} characters.")
    if len(password) > MAX_LENGTH:
        raise WeakPassword(f"A password may have at most {MAX_LENGTH} characters.")
    if password.casefold() in _COMMON or password.casefold() == name.casefold():
        raise WeakPassword("This password is among the first that anyone would guess. Choose another.")
    return password


def hash_password(password: str) -> str:
    """The PHC string to store."""
    with _AT_ONCE:
        return _hasher().hash(password)


def matches(stored: str | None, password: str) -> bool:
    """Whether ``password`` is the one hashed in ``stored``; with None the same work is done and the answer is no."""
    from argon2.exceptions import Argon2Error, InvalidHashError

    with _AT_ONCE:
        try:
            return _hasher().verify(stored or _nobodys_hash(), password) and stored is not None
        except (Argon2Error, InvalidHashError):
            return False


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher

    return PasswordHasher(time_cost=3, memory_cost=32 * 1024, parallelism=1)


@cache
def _nobodys_hash() -> str:
    return _hasher().hash("the password of nobody, compared so that unknown names take as long as known ones")

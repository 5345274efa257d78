"""Codes of an authenticator app: six digits that follow from a shared secret and the time. No I/O.

Source: RFC 6238 (TOTP) over RFC 4226 (HOTP), with HMAC-SHA-1 and steps of 30 seconds, which is what every app takes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from datetime import datetime
from urllib.parse import quote, urlencode

STEP_S, DIGITS = 30, 6
SECRET_BYTES = 20  # as long as the hash, as RFC 4226 recommends
DRIFT_STEPS = 1  # how far a clock may be off, to either side


def new_secret() -> bytes:
    return secrets.token_bytes(SECRET_BYTES)


def spelled(secret: bytes) -> str:
    """For typing into an app: base 32, in fours."""
    text = base64.b32encode(secret).decode().rstrip("=")
    return " ".join(text[at : at + 4] for at in range(0, len(text), 4))


def address_of(secret: bytes, *, account: str, issuer: str) -> str:
    """The ``otpauth:`` address that apps read from a picture."""
    label = quote(f"{issuer}:{account}", safe="")
    text = base64.b32encode(secret).decode().rstrip("=")
    return f"otpauth://totp/{label}?{urlencode({'secret': text, 'issuer': issuer})}"


def step_of(now: datetime) -> int:
    return int(now.timestamp()) // STEP_S


def code_at(secret: bytes, step: int) -> str:
    """The six digits of one step of time."""
    digest = hmac.new(secret, step.to_bytes(8), hashlib.sha1).digest()
    at = digest[-1] & 15
    number = int.from_bytes(digest[at : at + 4]) & 0x7FFFFFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def matching_step(secret: bytes, code: str, *, after: int, now: datetime) -> int | None:
    """The step that ``code`` belongs to; None when it fits none near ``now``, or one that is not later than ``after``.

    Whoever calls keeps the step, so that a code that was looked over somebody's shoulder opens nothing a second time.
    """
    here, found = step_of(now), None
    for step in range(here - DRIFT_STEPS, here + DRIFT_STEPS + 1):
        if hmac.compare_digest(code_at(secret, step).encode(), code.encode()) and step > after:
            found = step
    return found

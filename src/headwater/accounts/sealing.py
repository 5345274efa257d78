"""Tickets that a browser carries and cannot change, and secrets that rest in the database.

A ticket is signed, a secret is encrypted (AES-256-GCM), each under a key derived from the site's secret and a purpose, so that
what was made for one purpose opens nothing of another. Whoever steals the database alone, or a backup without its keys, reads
none of the secrets.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
from datetime import datetime, timedelta
from typing import Any

import orjson

_NONCE_BYTES = 12


def sign_ticket(site_secret: bytes, purpose: str, facts: dict[str, Any], *, life: timedelta, now: datetime) -> str:
    """Facts for a browser to bring back within ``life``. It can read them: they hold no secret that it must not know."""
    raw = orjson.dumps({**facts, "until": int((now + life).timestamp())})
    return f"{_text(raw)}.{_text(_signature(site_secret, purpose, raw))}"


def open_ticket(site_secret: bytes, purpose: str, text: str, *, now: datetime) -> dict[str, Any] | None:
    """The facts, or None where the ticket is not ours, not for this, was changed, or is too old."""
    packed, _, signature = text.partition(".")
    try:
        raw, given = _bytes(packed), _bytes(signature)
    except (binascii.Error, ValueError):
        return None
    if not hmac.compare_digest(given, _signature(site_secret, purpose, raw)):
        return None
    facts: dict[str, Any] = orjson.loads(raw)
    return facts if facts["until"] > now.timestamp() else None


def seal(site_secret: bytes, purpose: str, value: bytes, *, bound_to: str) -> str:
    """``value`` unreadable and unchangeable; it opens only with the same purpose and the same ``bound_to``."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(_key(site_secret, f"seal {purpose}")).encrypt(nonce, value, bound_to.encode())
    return _text(nonce + sealed)


def unseal(site_secret: bytes, purpose: str, text: str, *, bound_to: str) -> bytes | None:
    """What was sealed; None where another secret sealed it, or for something else, or it was changed."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        raw = _bytes(text)
        return AESGCM(_key(site_secret, f"seal {purpose}")).decrypt(
            raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], bound_to.encode()
        )
    except (InvalidTag, binascii.Error, ValueError):
        return None


def load() -> None:
    """Import what encrypts now, where nobody waits: a transaction must not."""
    import cryptography.hazmat.primitives.ciphers.aead  # noqa: F401


def _signature(site_secret: bytes, purpose: str, raw: bytes) -> bytes:
    return hmac.new(_key(site_secret, f"ticket {purpose}"), raw, hashlib.sha256).digest()


def _key(site_secret: bytes, purpose: str) -> bytes:
    return hmac.new(site_secret, purpose.encode(), hashlib.sha256).digest()


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)

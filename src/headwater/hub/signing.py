"""Facts that come back to us unchanged: links and short-lived tokens signed with a key derived from the site's secret.

The text is ``<payload>.<signature>``, both url-safe base64. Each purpose has its own key, so that a link made for one thing
opens no other.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from headwater.kernel import HeadwaterError, Kind, utcnow


class BadSignature(HeadwaterError):
    """Forged, cut short, made for something else, or too old: which of these is not told."""

    code = "bad_signature"
    kind = Kind.NOT_ALLOWED

    def __init__(self) -> None:
        super().__init__("This link or token is not valid, or no longer. Ask for a new one where this one came from.")


class BadXetToken(HeadwaterError):
    """As ``BadSignature``, where the client answers to 401 by asking for another token."""

    code = "bad_xet_token"
    kind = Kind.NOT_AUTHENTICATED

    def __init__(self) -> None:
        super().__init__("The Xet token is missing, not valid, or no longer. Ask the repository for a new one.")


def sign(secret: bytes, purpose: str, facts: Any, *, expires_at: datetime) -> str:
    """``facts`` (JSON-able) as text that ``verify`` opens until ``expires_at``."""
    payload = orjson.dumps([int(expires_at.timestamp()), facts])
    return f"{_encode(payload)}.{_encode(_mac(secret, purpose, payload))}"


def verify(secret: bytes, purpose: str, text: str, *, now: datetime | None = None) -> Any:
    """The facts that ``sign`` was given.

    Raises:
        BadSignature: not signed by this site for this purpose, or expired.
    """
    try:
        payload, signature = (_decode(part) for part in text.split("."))
        if not hmac.compare_digest(signature, _mac(secret, purpose, payload)):
            raise BadSignature
        expires, facts = orjson.loads(payload)
    except ValueError as exc:
        raise BadSignature from exc
    if datetime.fromtimestamp(expires, UTC) <= (now or utcnow()):
        raise BadSignature
    return facts


def rounded_expiry(now: datetime, lifetime: timedelta) -> datetime:
    """At least ``lifetime`` from now, at most half as much again; the same for a while, so that equal links are equal."""
    step = lifetime.total_seconds() / 2
    return datetime.fromtimestamp((now + lifetime).timestamp() // step * step + step, UTC)


def _mac(secret: bytes, purpose: str, payload: bytes) -> bytes:
    key = hmac.digest(secret, purpose.encode(), hashlib.sha256)
    return hmac.digest(key, payload, hashlib.sha256)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)

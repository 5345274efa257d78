"""What secrets look like and how they are kept: tokens, session cookies, one-time links. No I/O.

A token is ``hw_``, 32 random letters (190 bits) and a 6-letter checksum, so that a scanner can tell one from noise and a
mistyped one is refused before any look-up. All secrets are random and long, so a plain SHA-256 of them may be stored.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import string
import zlib

TOKEN_PREFIX = "hw_"  # noqa: S105 (the public mark of a token)
_LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM_LENGTH, _CHECKSUM_LENGTH = 32, 6
_TOKEN = re.compile(rf"{TOKEN_PREFIX}[0-9A-Za-z]{{{_RANDOM_LENGTH + _CHECKSUM_LENGTH}}}")


def new_token() -> str:
    """A new token, shown once to its owner."""
    body = TOKEN_PREFIX + "".join(secrets.choice(_LETTERS) for _ in range(_RANDOM_LENGTH))
    return body + checksum(body)


def is_token(text: str) -> bool:
    """Whether ``text`` has the form and checksum of a token; says nothing about whether it was ever given out."""
    return _TOKEN.fullmatch(text) is not None and checksum(text[:-_CHECKSUM_LENGTH]) == text[-_CHECKSUM_LENGTH:]


def looks_like_token(text: str) -> bool:
    """As ``is_token``, without the checksum: enough before a look-up, which decides anyway."""
    return _TOKEN.fullmatch(text) is not None


def checksum(body: str) -> str:
    """CRC-32 of ``body`` (prefix included) in base 62, most significant letter first."""
    number, out = zlib.crc32(body.encode()), ""
    for _ in range(_CHECKSUM_LENGTH):
        number, rest = divmod(number, 62)
        out = _LETTERS[rest] + out
    return out


def hint_of(token: str) -> str:
    """Enough of a token to tell it from its owner's others, too little to use it."""
    return f"{token[:6]}…{token[-4:]}"


def new_secret() -> str:
    """A random secret for a cookie or a link, safe in both."""
    return secrets.token_urlsafe(32)


def digest_of(secret: str) -> str:
    """What is stored instead of the secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def secret_of_authorization(header: str) -> str | None:
    """The token in an ``Authorization`` header: a Bearer's value, or the password of Basic whatever the user name.

    None when the header is of no known scheme or not well formed.
    """
    scheme, _, value = header.strip().partition(" ")
    value = value.strip()
    if scheme.lower() == "bearer":
        return value
    if scheme.lower() == "basic":
        try:
            _, _, password = base64.b64decode(value, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            return None
        return password
    return None

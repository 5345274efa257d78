"""Passkeys: what a browser is asked, and whether its answer holds. No database here.

The checks of an answer (challenge, origin, host name's digest, presence, signature, counter) are those of the library
``webauthn``, imported at first use; what is sent to a browser is plain JSON and needs no library.

Source: W3C Web Authentication, Level 2, sections 7.1 and 7.2.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from headwater.accounts.errors import PasskeyRefused

CHALLENGE_BYTES = 32
ANSWER_LIMIT_CHARS = 16 << 10
TIMEOUT_MS = 300_000
ALGORITHMS = (-7, -8, -257)  # ES256, EdDSA, RS256: what browsers and keys speak


@dataclass(frozen=True)
class Party:
    """The site as an authenticator knows it: passkeys belong to ``rp_id``, answers come from ``origin``."""

    rp_id: str
    origin: str


@dataclass(frozen=True)
class NewPasskey:
    credential_id: bytes
    public_key: bytes
    sign_count: int


def party_for(base_url: str, host: str) -> Party | None:
    """Whom a browser's passkeys are for; None where no browser gives any: on a bare address, or without encryption.

    ``host`` is what the browser asked for. It counts only where it is this machine under its own name: everything else
    follows from the site's address, which no request can change.
    """
    site = urlsplit(base_url)
    if site.scheme == "http" and re.fullmatch(r"localhost(:\d{1,5})?", host.lower()):
        return Party("localhost", f"http://{host.lower().removesuffix(':80')}")
    name = site.hostname or ""
    if site.scheme != "https" and name != "localhost":
        return None
    try:
        ipaddress.ip_address(name)
    except ValueError:
        origin = f"{site.scheme}://{site.netloc.lower()}"
        return Party(name, origin.removesuffix(":443" if site.scheme == "https" else ":80"))
    return None


def new_challenge() -> bytes:
    return secrets.token_bytes(CHALLENGE_BYTES)


def handle_of(site_secret: bytes, account_id: int) -> bytes:
    """What an authenticator keeps to know the account by: the same each time, and telling nothing."""
    return hmac.new(site_secret, b"passkey handle\0%d" % account_id, hashlib.sha256).digest()


def creation_options(
    party: Party, challenge: bytes, *, handle: bytes, account: str, site_name: str, known: Iterable[bytes]
) -> str:
    """What ``navigator.credentials.create`` is asked, as JSON with base64url where bytes stand."""
    return _json(
        {
            "challenge": to_text(challenge),
            "rp": {"id": party.rp_id, "name": site_name},
            "user": {"id": to_text(handle), "name": account, "displayName": account},
            "pubKeyCredParams": [{"type": "public-key", "alg": number} for number in ALGORITHMS],
            "authenticatorSelection": {"residentKey": "preferred", "userVerification": "preferred"},
            "excludeCredentials": [{"type": "public-key", "id": to_text(each)} for each in known],
            "attestation": "none",
            "timeout": TIMEOUT_MS,
        }
    )


def request_options(party: Party, challenge: bytes, *, known: Iterable[bytes] = ()) -> str:
    """What ``navigator.credentials.get`` is asked. With none ``known`` any passkey for this site may answer.

    Then the passkey stands for password and second factor at once, so the authenticator must verify its person.
    """
    allowed = [{"type": "public-key", "id": to_text(each)} for each in known]
    return _json(
        {
            "challenge": to_text(challenge),
            "rpId": party.rp_id,
            "allowCredentials": allowed,
            "userVerification": "preferred" if allowed else "required",
            "timeout": TIMEOUT_MS,
        }
    )


def credential_id_of(answer: str) -> bytes:
    """Which passkey says that it answers.

    Raises:
        PasskeyRefused: the text is no answer of an authenticator.
    """
    return _id_of(_parse(answer))


def verify_new(party: Party, challenge: bytes, answer: str) -> NewPasskey:
    """The passkey that an authenticator made.

    Raises:
        PasskeyRefused: for another site or page, or not well formed.
    """
    import webauthn
    from webauthn.helpers.cose import COSEAlgorithmIdentifier

    value = _parse(answer)
    _id_of(value)
    try:
        found = webauthn.verify_registration_response(
            credential=value,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=party.origin,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(number) for number in ALGORITHMS],
        )
    except Exception as exc:  # whatever a stranger's bytes break in the library is a refusal
        raise PasskeyRefused("its answer does not fit this page and site.") from exc
    if len(found.credential_id) > 1023:
        raise PasskeyRefused("its identifier is too long.")
    return NewPasskey(found.credential_id, found.credential_public_key, found.sign_count)


def verify_answer(
    party: Party, challenge: bytes, answer: str, *, public_key: bytes, sign_count: int, must_verify_person: bool
) -> int:
    """The authenticator's new count of uses.

    Raises:
        PasskeyRefused: for another site or page, not signed by this passkey, or by a copy of it.
    """
    import webauthn

    value = _parse(answer)
    _id_of(value)
    try:
        found = webauthn.verify_authentication_response(
            credential=value,
            expected_challenge=challenge,
            expected_rp_id=party.rp_id,
            expected_origin=party.origin,
            credential_public_key=public_key,
            credential_current_sign_count=sign_count,
            require_user_verification=must_verify_person,
        )
    except Exception as exc:  # as above
        raise PasskeyRefused("its answer does not fit this page, this site and this account.") from exc
    return found.new_sign_count


def to_text(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def from_text(text: str) -> bytes:
    return base64.b64decode(text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _json(value: dict[str, Any]) -> str:
    return orjson.dumps(value).decode()


def _parse(answer: str) -> dict[str, Any]:
    if len(answer) > ANSWER_LIMIT_CHARS:
        raise PasskeyRefused("its answer is too long.")
    try:
        value = orjson.loads(answer)
    except orjson.JSONDecodeError as exc:
        raise PasskeyRefused("its answer cannot be read.") from exc
    if not isinstance(value, dict):
        raise PasskeyRefused("its answer cannot be read.")
    return value


def _id_of(value: dict[str, Any]) -> bytes:
    try:
        return from_text(value["rawId"])
    except (KeyError, AttributeError, TypeError, binascii.Error, ValueError) as exc:
        raise PasskeyRefused("its answer cannot be read.") from exc

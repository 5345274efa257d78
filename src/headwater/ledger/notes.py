"""Signed notes, checkpoints and cosignatures: the texts by which a log says, and others confirm, how far it has come.

A note is a text, an empty line, and lines of signatures. A checkpoint is a note whose text has the log's name (its
*origin*), the number of its entries and the root over them. Keys are Ed25519; a key's name and four bytes of a digest over it
tell which one signed.

Sources: C2SP signed-note, tlog-checkpoint, tlog-cosignature.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from headwater.kernel import HeadwaterError, Kind
from headwater.ledger.tree import HASH_BYTES

SIGNS = 1  # the kind of key that signs a log's own checkpoints
COSIGNS = 4  # and of those by which others confirm them
LARGEST_NOTE_BYTES = 64 << 10
MOST_SIGNATURES = 64
_SIZE = re.compile(r"0|[1-9][0-9]{0,17}")
_KEY_NAME = re.compile(r"[^\s+]{1,255}")


class BadNote(HeadwaterError):
    code = "bad_checkpoint"
    kind = Kind.BAD_INPUT

    def __init__(self, why: str) -> None:
        super().__init__(f"This is no checkpoint of a log: {why}.")


class BadLogKey(HeadwaterError):
    code = "bad_log_key"
    kind = Kind.BAD_INPUT

    def __init__(self, text: str, why: str) -> None:
        super().__init__(
            f"{text[:80]!r} is not the key of a log or witness: {why}. It looks like name+01234567+base64; ask for it at /log/key."
        )


@dataclass(frozen=True)
class VerifierKey:
    """A public key with its name. As text: ``name+keyid+base64(kind, key)``."""

    name: str
    public: bytes
    kind: int = SIGNS

    @property
    def id(self) -> bytes:
        return key_id(self.name, self.public, self.kind)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    def with_kind(self, kind: int) -> VerifierKey:
        return VerifierKey(self.name, self.public, kind)


@dataclass(frozen=True)
class SignerKey:
    """A private key with its name."""

    name: str
    seed: bytes

    @property
    def public(self) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw()

    def verifier(self, kind: int = SIGNS) -> VerifierKey:
        return VerifierKey(self.name, self.public, kind)

    def sign(self, text: str) -> str:
        """The line that stands below ``text``, signed by it."""
        return self._line(SIGNS, self._sign(text.encode()))

    def cosign(self, text: str, at_s: int) -> str:
        """The line by which a witness says that it has seen ``text`` at ``at_s`` (Unix seconds) and nothing against it."""
        return self._line(COSIGNS, at_s.to_bytes(8) + self._sign(cosigned(text, at_s)))

    def _sign(self, data: bytes) -> bytes:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(data)

    def _line(self, kind: int, signature: bytes) -> str:
        return f"— {self.name} {base64.b64encode(key_id(self.name, self.public, kind) + signature).decode()}\n"


@dataclass(frozen=True)
class Signature:
    name: str
    key_id: bytes
    signature: bytes
    line: str


@dataclass(frozen=True)
class Note:
    text: str
    signatures: Sequence[Signature]

    def is_signed_by(self, key: VerifierKey) -> bool:
        """Whether one of the signatures is this key's, and right."""
        return self.signature_of(key) is not None

    def signature_of(self, key: VerifierKey) -> Signature | None:
        for one in self.signatures:
            if one.name == key.name and one.key_id == key.id and _is_right(key, self.text, one.signature):
                return one
        return None


@dataclass(frozen=True)
class Checkpoint:
    """What a log says of itself; ``text`` is what is signed."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


def new_seed() -> bytes:
    return secrets.token_bytes(32)


def key_id(name: str, public: bytes, kind: int) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


def cosigned(text: str, at_s: int) -> bytes:
    return f"cosignature/v1\ntime {at_s}\n{text}".encode()


def parse_key(text: str) -> VerifierKey:
    """Raises: BadLogKey."""
    name, _, rest = text.strip().partition("+")
    told_id, _, encoded = rest.partition("+")
    if not _KEY_NAME.fullmatch(name):
        raise BadLogKey(text, "it has no name")
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except ValueError as exc:
        raise BadLogKey(text, "its last part is not base64") from exc
    if len(decoded) != 33 or decoded[0] not in (SIGNS, COSIGNS):
        raise BadLogKey(text, "it is not an Ed25519 key")
    key = VerifierKey(name, decoded[1:], decoded[0])
    if told_id.lower() != key.id.hex():
        raise BadLogKey(text, "its middle part does not belong to the rest")
    return key


def parse_note(data: bytes | str) -> Note:
    """Raises: BadNote."""
    if len(data) > LARGEST_NOTE_BYTES:
        raise BadNote(f"it is longer than {LARGEST_NOTE_BYTES} bytes")
    try:
        whole = data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError as exc:
        raise BadNote("it is not UTF-8") from exc
    if any(ord(character) < 0x20 and character != "\n" for character in whole):
        raise BadNote("it holds control characters")
    head, separator, tail = whole.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise BadNote("its text and its signatures are not parted by an empty line")
    lines = tail.removesuffix("\n").split("\n")
    if len(lines) > MOST_SIGNATURES:
        raise BadNote(f"it has more than {MOST_SIGNATURES} signatures")
    return Note(f"{head}\n", [parse_signature(line) for line in lines])


def parse_signature(line: str) -> Signature:
    """Raises: BadNote."""
    parts = line.split(" ")
    if len(parts) != 3 or parts[0] != "—" or not _KEY_NAME.fullmatch(parts[1]):
        raise BadNote("a line of its signatures is not one")
    try:
        decoded = base64.b64decode(parts[2], validate=True)
    except ValueError as exc:
        raise BadNote("a signature is not base64") from exc
    if len(decoded) < 5:
        raise BadNote("a signature is too short")
    return Signature(parts[1], decoded[:4], decoded[4:], f"{line}\n")


def parse_checkpoint(text: str) -> Checkpoint:
    """What the text of a note says.

    Raises:
        BadNote
    """
    lines = text.split("\n")
    if len(lines) < 4 or not lines[0]:
        raise BadNote("it has fewer than three lines")
    if not _SIZE.fullmatch(lines[1]):
        raise BadNote("its second line is not a number of entries")
    try:
        root = base64.b64decode(lines[2], validate=True)
    except ValueError as exc:
        raise BadNote("its third line is not base64") from exc
    if len(root) != HASH_BYTES:
        raise BadNote(f"its root has {len(root)} bytes instead of {HASH_BYTES}")
    return Checkpoint(lines[0], int(lines[1]), root)


def cosigned_at(signature: Signature) -> int:
    """When a cosignature says that it was made, in Unix seconds."""
    return int.from_bytes(signature.signature[:8])


def _is_right(key: VerifierKey, text: str, signature: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    signed = text.encode()
    if key.kind == COSIGNS:
        if len(signature) != 72:
            return False
        signed, signature = cosigned(text, int.from_bytes(signature[:8])), signature[8:]
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(signature, signed)
    except (InvalidSignature, ValueError):
        return False
    return True

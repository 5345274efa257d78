"""The format of OpenSSF model-signing 1.x in key mode: a Sigstore bundle around a DSSE envelope around an in-toto statement. No I/O.

The statement names each file with its SHA-256 and, as its subject, the SHA-256 over those digests in the order of names. What is
signed (ECDSA over P-256, P-384 or P-521) is DSSE's encoding of the statement's bytes.

Sources: the model-signing specification (predicate https://model_signing/signature/v1.0), DSSE v1.0.0, Sigstore bundle v0.3.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from headwater.kernel import HeadwaterError, Kind

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://model_signing/signature/v1.0"
IGNORED = (".git", ".github", ".gitattributes", ".gitignore")
SIGNATURE_FILE = "model.sig"  # what model-signing calls its own file, where that lies among the others
LARGEST_BUNDLE_BYTES = 8 << 20
LARGEST_KEY_BYTES = 4096
MOST_FILES = 20_000
_FRAME_BYTES, _FILE_BYTES, _BYTES_OF_A_BYTE = (
    16 << 10,
    320,
    8,
)  # of a bundle, for each file, and for each byte of its name
_CURVES = {"secp256r1": "SHA256", "secp384r1": "SHA384", "secp521r1": "SHA512"}


class BadRelease(HeadwaterError):
    code = "bad_release_signature"
    kind = Kind.UNPROCESSABLE

    def __init__(self, why: str) -> None:
        super().__init__(
            f"This signature cannot be taken: {why}. Make one with `headwater release sign` or `model_signing sign key`."
        )


class BadSigningKey(HeadwaterError):
    code = "bad_signing_key"
    kind = Kind.BAD_INPUT

    def __init__(self, why: str) -> None:
        super().__init__(
            f"This is not a key that releases are signed with: {why}. "
            "Make one: openssl ecparam -name prime256v1 -genkey -noout -out key.pem; openssl ec -in key.pem -pubout -out key.pub"
        )


@dataclass(frozen=True)
class Statement:
    """What a bundle says: every file with its SHA-256. ``ignored``: what it wants left out (``compare`` says what may be)."""

    name: str
    files: Mapping[str, str]
    ignored: Sequence[str]


@dataclass(frozen=True)
class Bundle:
    payload: bytes
    signature: bytes
    hint: str
    statement: Statement


def key_id(public_key: Any) -> str:
    """What a bundle names its key by."""
    return hashlib.sha256(public_pem(public_key).encode()).hexdigest()


def public_pem(public_key: Any) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem: bytes = public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem.decode()


def load_public_key(pem: str) -> Any:
    """Raises: BadSigningKey."""
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if len(pem) > LARGEST_KEY_BYTES:
        raise BadSigningKey("it is too long")
    if "PRIVATE" in pem:
        raise BadSigningKey("it is a private key, which stays with its owner: consider it known to others now")
    try:
        key = load_pem_public_key(pem.encode())
    except Exception as exc:  # the library raises many kinds
        raise BadSigningKey("it is no public key in PEM") from exc
    return _known(key)


def load_private_key(pem: bytes, password: str | None = None) -> Any:
    """Raises: BadSigningKey."""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, None if password is None else password.encode())
    except Exception as exc:
        raise BadSigningKey("it is no private key in PEM, or its password is wrong") from exc
    _known(key)
    return key


def _known(key: Any) -> Any:
    if getattr(getattr(key, "curve", None), "name", "") not in _CURVES:
        raise BadSigningKey(f"it is not on one of the curves {', '.join(_CURVES)}")
    return key


def largest_for(statement: Statement) -> int:
    """How many bytes a bundle over these files may have, however it is written out: more is padding."""
    return _FRAME_BYTES + sum(_FILE_BYTES + _BYTES_OF_A_BYTE * len(path.encode()) for path in statement.files)


def is_ignored(path: str, ignored: Sequence[str]) -> bool:
    """Whether a path is one of these, or below one."""
    parts = PurePosixPath(path).parts
    ways = [PurePosixPath(one).parts for one in ignored]
    return any(parts[: len(way)] == way for way in ways if way)


def sign(name: str, files: Mapping[str, str], private_key: Any) -> bytes:
    """A bundle for these files (path to SHA-256); those that git itself keeps are left out, as the format does."""
    listed = {path: digest for path, digest in sorted(files.items()) if not is_ignored(path, IGNORED)}
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": _over(listed)}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "serialization": {
                "method": "files",
                "hash_type": "sha256",
                "allow_symlinks": False,
                "ignore_paths": list(IGNORED),
            },
            "resources": [{"name": path, "algorithm": "sha256", "digest": digest} for path, digest in listed.items()],
        },
    }
    payload = json.dumps(statement, ensure_ascii=False).encode()
    signature: bytes = private_key.sign(_encoded(payload), _scheme(private_key))
    bundle = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {"publicKey": {"hint": key_id(private_key.public_key())}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle).encode()


def parse(data: bytes) -> Bundle:
    """What a bundle says, before it is known who says so.

    Raises:
        BadRelease
    """
    if len(data) > LARGEST_BUNDLE_BYTES:
        raise BadRelease(f"it is longer than {LARGEST_BUNDLE_BYTES >> 20} MiB")
    try:
        told = json.loads(data)
        envelope = told["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = envelope["signatures"]
        signature = base64.b64decode(signatures[0]["sig"], validate=True)
        hint = told["verificationMaterial"].get("publicKey", {}).get("hint", "")
        kinds = told["mediaType"], envelope["payloadType"], len(signatures)
        statement = json.loads(payload)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError, binascii.Error) as exc:
        raise BadRelease("it is not a bundle of model-signing in key mode") from exc
    if kinds != (MEDIA_TYPE, PAYLOAD_TYPE, 1):
        raise BadRelease("it is not a bundle of version 0.3 with one signature over an in-toto statement")
    return Bundle(payload, signature, str(hint), _parse_statement(statement))


def _parse_statement(told: Any) -> Statement:
    try:
        if told["_type"] != STATEMENT_TYPE or told["predicateType"] != PREDICATE_TYPE or len(told["subject"]) != 1:
            raise BadRelease("its statement is of another kind")
        subject, how = told["subject"][0], told["predicate"]["serialization"]
        if how["method"] != "files" or how["hash_type"] != "sha256":
            raise BadRelease("it hashes otherwise than file by file with SHA-256")
        resources = told["predicate"]["resources"]
        if len(resources) > MOST_FILES:
            raise BadRelease(f"it names more than {MOST_FILES} files")
        files = {str(one["name"]): str(one["digest"]) for one in resources if one["algorithm"] == "sha256"}
        if len(files) != len(resources) or any(len(bytes.fromhex(digest)) != 32 for digest in files.values()):
            raise BadRelease("its files are not each named once with a SHA-256")
        ignored = tuple(str(one) for one in how.get("ignore_paths", ()))
        digest, name = subject["digest"]["sha256"], str(subject["name"])
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise BadRelease("its statement is not one of model-signing 1.x") from exc
    if digest != _over(files):
        raise BadRelease("its subject is not the digest over its files")
    return Statement(name, files, ignored)


def check_signature(bundle: Bundle, public_key: Any) -> None:
    """Raises: BadRelease: another key has made it, or nobody this one."""
    from cryptography.exceptions import InvalidSignature

    if bundle.hint and bundle.hint != key_id(public_key):
        raise BadRelease(f"it was made with the key {bundle.hint[:16]}…, and not with {key_id(public_key)[:16]}…")
    try:
        public_key.verify(bundle.signature, _encoded(bundle.payload), _scheme(public_key))
    except InvalidSignature as exc:
        raise BadRelease("the signature is not by this key, or what it signs was changed") from exc


def compare(statement: Statement, files: Mapping[str, str]) -> None:
    """That a statement names exactly these files, but for what git itself keeps and the signature, if it says that it leaves them out.

    Raises:
        BadRelease: names the first that differs.
    """
    if not statement.files:
        raise BadRelease("it names no file")
    ignored = [one for one in statement.ignored if one in IGNORED]
    expected = {path: digest for path, digest in files.items() if not is_ignored(path, ignored)}
    if SIGNATURE_FILE in statement.ignored:
        expected.pop(SIGNATURE_FILE, None)
    for path in sorted({*expected, *statement.files}):
        if path not in expected:
            raise BadRelease(f"it names {path!r}, which the revision does not have")
        if path not in statement.files:
            raise BadRelease(f"it does not name {path!r}, which the revision has")
        if statement.files[path] != expected[path]:
            raise BadRelease(f"{path!r} has other bytes in the revision than were signed")


def _over(files: Mapping[str, str]) -> str:
    """The digest over digests, in the order in which they are named."""
    hashed = hashlib.sha256()
    for digest in files.values():
        hashed.update(bytes.fromhex(digest))
    return hashed.hexdigest()


def _encoded(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding."""
    return f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload


def _scheme(key: Any) -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.ECDSA(getattr(hashes, _CURVES[key.curve.name])())

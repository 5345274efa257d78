"""What a witness answers to a log that brings a checkpoint: pure judgement, used by every site and by ``headwater witness``.

A witness remembers the last checkpoint of each log that it cosigned, and cosigns only what is proven to have grown out of it. So a
log that was rewritten, shortened or forked is refused, and the witness' answer says how large the log once was.

Source: C2SP tlog-witness.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headwater.ledger.notes import (
    BadNote,
    Checkpoint,
    Note,
    SignerKey,
    VerifierKey,
    parse_checkpoint,
    parse_note,
)
from headwater.ledger.tree import EMPTY_ROOT, HASH_BYTES, check_consistency

MOST_STEPS = 63
LARGEST_REQUEST_BYTES = 64 << 10
SIZE_TYPE = "text/x.tlog.size"
_OLD = re.compile(r"old (0|[1-9][0-9]{0,17})")


@dataclass(frozen=True)
class Seen:
    """The last checkpoint of a log that was cosigned."""

    size: int = 0
    root: bytes = EMPTY_ROOT


@dataclass(frozen=True)
class Request:
    old_size: int
    proof: Sequence[bytes]
    note: Note
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Answer:
    """``status`` is HTTP's. ``keep``: what must be kept, durably and only where nobody was faster, before this is said."""

    status: int
    body: str
    media_type: str = "text/plain; charset=utf-8"
    keep: Seen | None = None


def write_request(old_size: int, proof: Sequence[bytes], signed: str) -> bytes:
    """What a log sends."""
    lines = "".join(f"{base64.b64encode(step).decode()}\n" for step in proof)
    return f"old {old_size}\n{lines}\n{signed}".encode()


def parse_request(body: bytes) -> Request:
    """Raises: BadNote."""
    if len(body) > LARGEST_REQUEST_BYTES:
        raise BadNote("the request is too long")
    try:
        head, separator, signed = body.decode().partition("\n\n")
    except UnicodeDecodeError as exc:
        raise BadNote("the request is not UTF-8") from exc
    first, *steps = head.split("\n")
    old = _OLD.fullmatch(first)
    if old is None or not separator:
        raise BadNote("the request does not begin with 'old', a size, a proof and an empty line")
    if len(steps) > MOST_STEPS:
        raise BadNote(f"the proof has more than {MOST_STEPS} steps")
    try:
        proof = [base64.b64decode(step, validate=True) for step in steps]
    except ValueError as exc:
        raise BadNote("a step of the proof is not base64") from exc
    if any(len(step) != HASH_BYTES for step in proof):
        raise BadNote("a step of the proof is no hash")
    note = parse_note(signed)
    return Request(int(old[1]), proof, note, parse_checkpoint(note.text))


def judge(
    request: Request, known: Mapping[str, Sequence[VerifierKey]], seen: Seen, signer: SignerKey, at_s: int
) -> Answer:
    """What to answer, given the keys of the logs that this witness follows and what it has cosigned of this one.

    The caller keeps ``Answer.keep`` atomically with the look at ``seen``; where that fails, it looks again.
    """
    checkpoint = request.checkpoint
    keys = known.get(checkpoint.origin)
    if not keys:
        return Answer(404, "This witness does not follow a log of this name.\n")
    if not any(request.note.is_signed_by(key) for key in keys):
        return Answer(403, "No signature of this checkpoint is by a key of its log that this witness knows.\n")
    if request.old_size > checkpoint.size:
        return Answer(400, "The old size is larger than the checkpoint's.\n")
    if request.old_size != seen.size:
        return Answer(409, f"{seen.size}\n", SIZE_TYPE)
    if seen.size == checkpoint.size and checkpoint.root != seen.root:
        return Answer(409, f"{seen.size}\n", SIZE_TYPE)
    if not check_consistency(seen.size, seen.root, checkpoint.size, checkpoint.root, request.proof):
        return Answer(422, "The proof does not show that this log has grown out of what was cosigned before.\n")
    return Answer(200, signer.cosign(request.note.text, at_s), keep=Seen(checkpoint.size, checkpoint.root))

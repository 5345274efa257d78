"""What a Xet file is made of, and how its plain bytes are listed: no SQL, no protocol.

A *term* is a run of chunks of one xorb. Where xorbs are kept as raw payloads, a term is also a run of bytes of one
file on disk, and any range of the file is a few ``sendfile`` runs. Where they are kept as they came, it is decoded.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from headwater.blobs import BlobStore, Piece
from headwater.kernel import XetHash

FRAMED_FROM = 1 << 48  # from this generation on a xorb is kept as it came, under a key that nobody else writes

_TERM = struct.Struct("<32sIIII")
_WORDS, _WORDS_BIG = struct.Struct("<4Q"), struct.Struct(">4Q")


@dataclass(frozen=True)
class Term:
    """Chunks [first, last) of a xorb, which are ``size_bytes`` bytes from ``offset`` of its payload."""

    xorb: XetHash
    first: int
    last: int
    offset: int
    size_bytes: int


def to_text(digest: bytes) -> XetHash:
    """The string form of a 32-byte Xet hash: four little-endian u64 in hex."""
    return XetHash(_WORDS_BIG.pack(*_WORDS.unpack(digest)).hex())


def from_text(text: str) -> bytes:
    """The inverse of ``to_text``.

    Raises:
        ValueError: ``text`` is not 64 hex digits.
    """
    return struct.pack("<4Q", *struct.unpack(">4Q", bytes.fromhex(text))) if len(text) == 64 else _refuse(text)


def _refuse(text: str) -> bytes:
    raise ValueError(f"{text[:80]!r} is not a Xet hash")


def pack_terms(terms: Iterable[Term]) -> bytes:
    return b"".join(_TERM.pack(from_text(t.xorb), t.first, t.last, t.offset, t.size_bytes) for t in terms)


def unpack_terms(data: bytes) -> list[Term]:
    names: dict[bytes, XetHash] = {}
    return [
        Term(names.get(raw) or names.setdefault(raw, to_text(raw)), first, last, offset, size)
        for raw, first, last, offset, size in _TERM.iter_unpack(data)
    ]


def payload_key(name: XetHash, generation: int = 0) -> str:
    """Where the bytes of a xorb lie: ``.raw`` its plain payload, ``.xorb`` as it came; its index lies beside it as ``.idx``."""
    tail = f".{generation}" if generation else ""
    return f"xet/{name[:2]}/{name[2:4]}/{name}{tail}.{'raw' if generation < FRAMED_FROM else 'xorb'}"


def is_framed(key: str) -> bool:
    """Whether a xorb's key says that it is kept as it came."""
    return key.endswith(".xorb")


def payload_pieces(blobs: BlobStore, key: str, start: int, end: int) -> Iterator[Piece]:
    """Bytes [start, end) of a xorb's plain payload, however it is kept.

    Raises:
        ObjectDamaged: a kept xorb is not what its index says.
    """
    if is_framed(key):
        from headwater.hub.xet.framed import iter_plain

        return iter_plain(blobs, key, start, end)
    return blobs.source(key, end).pieces(start, end)


class XetSource:
    """The plain bytes of a file kept as xorbs; ``payloads`` has the key of each one's bytes.

    Raw payloads on a folder are runs of ``sendfile``; on a store they come range by range, and pass through this server, and so
    do the plain bytes of xorbs that are kept as they came.
    """

    def __init__(self, terms: list[Term], blobs: BlobStore, payloads: Mapping[XetHash, str]) -> None:
        self.terms = terms
        # Decoding is work for a thread, wherever the bytes come from.
        self.is_local = not blobs.is_remote and not any(is_framed(key) for key in payloads.values())
        self._blobs = blobs
        self._payloads = payloads
        self._starts = [0, *accumulate(term.size_bytes for term in terms)]

    @property
    def size_bytes(self) -> int:
        return self._starts[-1]

    def pieces(self, start: int, end: int) -> Iterator[Piece]:
        at = max(bisect_right(self._starts, start) - 1, 0)
        while start < end and at < len(self.terms):
            term, base = self.terms[at], self._starts[at]
            count = min(end, base + term.size_bytes) - start
            if count > 0:
                at_payload = term.offset + start - base
                yield from payload_pieces(self._blobs, self._payloads[term.xorb], at_payload, at_payload + count)
                start += count
            at += 1

    def signed_url(self, *, expires_s: int, disposition: str | None = None, media_type: str | None = None) -> None:
        return None

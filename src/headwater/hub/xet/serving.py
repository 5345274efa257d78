"""What clients ask for: tokens, how a file is put together, chunks they need not send, and the bytes of xorbs."""

from __future__ import annotations

import hashlib
import hmac
from bisect import bisect_right
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from headwater import accounts
from headwater.accounts import Action
from headwater.blobs import BlobStore, ByteSource
from headwater.db import Tx
from headwater.hub import access, gate, quotas, signing
from headwater.hub.files.service import has_right
from headwater.hub.files.terms import FRAMED_FROM, Term, payload_key
from headwater.hub.grants import require_grant
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.xet import store
from headwater.hub.xet.errors import ChunkUnknown, RangePastEnd, XetFileNotFound
from headwater.hub.xet.lost import forget_lost
from headwater.hub.xet.models import LINK_LIFETIME, TOKEN_LIFETIME, CasGrant, Xorb
from headwater.hub.xet.shards import build_dedup_shard
from headwater.hub.xet.xorbs import HEADER, FramedXorb, XorbIndex, read_index, unpack_ends
from headwater.kernel import Actor, XetHash
from headwater.web import Site

TOKEN_PURPOSE = "xet token"  # noqa: S105
LINK_PURPOSE = "xet range"
DEDUP_XORBS = 64  # told of in one answer: from the chunk on, in the order of its file; about 4 GB
DEDUP_FILES = 16  # looked at to find one whose xorbs the asker may read
DEDUP_LIFETIME = timedelta(days=14)  # how long a client may rely on an answer; well inside the collector's 28 days


@dataclass(frozen=True)
class XetToken:
    text: str
    expires_at: datetime
    cas_url: str


def issue_token(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    *,
    for_writing: bool,
    for_pull: bool,
    now: datetime,
) -> XetToken:
    """A short-lived token for one repository's files.

    ``for_pull``: who may not write here may still upload what a pull request of theirs will name.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed, GateClosed: as for any act on the repository.
        QuotaExceeded: who would pay for an upload has no room left.
    """
    with site.db.reading() as tx:
        action = Action.READ_FILES
        if for_writing:
            found = access.get_repository(tx, actor, kind, name, Action.DISCUSS if for_pull else Action.WRITE)
            writes = accounts.allows(tx, actor, Action.WRITE, on=found.resource)
            action = Action.WRITE if writes else Action.DISCUSS
        else:
            found = access.get_repository(tx, actor, kind, name, action)
        if for_writing:
            quotas.require_room(tx, actor, found.id)
        epoch = store.find_epoch(tx)
    grant = CasGrant(actor, found.id, action)
    expires_at = now + TOKEN_LIFETIME
    text = signing.sign(site.secret, TOKEN_PURPOSE, grant.to_facts(), expires_at=expires_at)
    return XetToken(text, expires_at, f"{site.base_url}/xet/{site_mark(site)}/{grant.owner}/{epoch}")


def site_mark(site: Site) -> str:
    """Tells this site's data from any other's that clients have met at the same address."""
    return hmac.digest(site.secret, b"xet site", hashlib.sha256).hex()[:12]


def read_token(site: Site, text: str) -> CasGrant:
    """
    Raises:
        BadXetToken: not ours, or expired.
    """
    try:
        return CasGrant.from_facts(signing.verify(site.secret, TOKEN_PURPOSE, text))
    except (signing.BadSignature, TypeError, ValueError) as exc:
        raise signing.BadXetToken from exc


@dataclass(frozen=True)
class Reconstruction:
    """The terms that a byte range needs, trimmed to whole chunks, and for each xorb the runs of chunks to fetch."""

    offset_into_first: int
    terms: list[Term]
    fetches: dict[XetHash, list[Fetch]]


@dataclass(frozen=True)
class Fetch:
    """Chunks [first, last) of a xorb, and where they lie in its framed form: bytes [start, end)."""

    first: int
    last: int
    start: int
    end: int
    url: str


def reconstruct(
    site: Site, grant: CasGrant, xet_hash: XetHash, byte_range: tuple[int, int | None] | None, *, now: datetime
) -> Reconstruction:
    """How the file, or bytes [start, end) of it, is put together out of xorbs.

    Raises:
        XetFileNotFound: absent, or not through the grant's repository.
        RangePastEnd: the range begins past the end.
        FileHeld: it is held back from all but those who may write to the repository.
    """
    with site.db.reading() as tx:
        repo = require_grant(tx, replace(grant, action=Action.READ_FILES))
        known = store.find_file(tx, xet_hash)
        if known is None or not has_right(tx, grant.repo_id, known[0], pull=None):
            raise XetFileNotFound
        hold = gate.find_hold_of_bytes(tx, grant.repo_id, known[0])
        if hold is not None:  # who wants a suspicious one all the same asks for it plainly, where that can be said
            gate.require_open(tx, grant.actor, repo, hold)
        terms = store.find_terms(tx, xet_hash)
        xorbs = store.find_xorbs(tx, {term.xorb for term in terms})
    offset = 0
    if byte_range is not None:
        start, end = byte_range
        size = known[1]
        if start >= size:
            raise RangePastEnd(size)
        terms, offset = _trim(site.blobs, terms, xorbs, start, size if end is None else min(end, size))
    framed = {term.xorb for term in terms if xorbs[term.xorb].generation >= FRAMED_FROM}
    framings = site.db.read(store.find_framings, framed) if framed else {}
    return Reconstruction(offset, terms, _fetches(site, terms, xorbs, framings, now))


def _trim(
    blobs: BlobStore, terms: list[Term], xorbs: dict[XetHash, Xorb], start: int, end: int
) -> tuple[list[Term], int]:
    """Terms that hold bytes [start, end), the outer two cut to whole chunks; and how many bytes to skip in the first."""
    kept: list[Term] = []
    offset = at = 0
    for term in terms:
        low, high = max(start - at, 0), min(end - at, term.size_bytes)
        at += term.size_bytes
        if low >= high:
            continue
        if low > 0 or high < term.size_bytes:
            ends = _index(blobs, xorbs[term.xorb]).ends
            first = bisect_right(ends, term.offset + low) - 1
            last = bisect_right(ends, term.offset + high - 1)
            if not kept:
                offset = term.offset + low - ends[first]
            term = Term(term.xorb, first, last, ends[first], ends[last] - ends[first])  # noqa: PLW2901
        kept.append(term)
    return kept, offset


def _fetches(
    site: Site, terms: list[Term], xorbs: dict[XetHash, Xorb], framings: dict[XetHash, bytes], now: datetime
) -> dict[XetHash, list[Fetch]]:
    """For each xorb the runs to fetch; runs that touch or overlap are one, gaps are never filled.

    What is kept as it came is fetched straight from the store, where clients reach it, by links that open just that run.
    """
    runs: dict[XetHash, list[tuple[int, int, int, int]]] = {}
    framed_ends = {name: unpack_ends(data) for name, data in framings.items()}
    for term in terms:
        ends = framed_ends.get(term.xorb)
        if ends is not None:
            start, end = ends[term.first], ends[term.last]
        else:
            start = term.offset + HEADER * term.first
            end = term.offset + term.size_bytes + HEADER * term.last
        runs.setdefault(term.xorb, []).append((term.first, term.last, start, end))
    expires_at = signing.rounded_expiry(now, LINK_LIFETIME)
    link_s = int(LINK_LIFETIME.total_seconds())
    fetches: dict[XetHash, list[Fetch]] = {}
    for name, wanted in runs.items():
        joined: list[tuple[int, int, int, int]] = []
        for first, last, start, end in sorted(wanted):
            if joined and first <= joined[-1][1]:
                before = joined[-1]
                joined[-1] = (before[0], max(before[1], last), before[2], max(before[3], end))
            else:
                joined.append((first, last, start, end))
        for first, last, start, end in joined:
            url = None
            if name in framed_ends:
                key = payload_key(name, xorbs[name].generation)
                url = site.blobs.signed_url(key, expires_s=link_s, start=start, end=end)
            if url is None:
                facts = [name, xorbs[name].generation, start, end]
                text = signing.sign(site.secret, LINK_PURPOSE, facts, expires_at=expires_at)
                url = f"{site.base_url}/xet/range/{text}"
            fetches.setdefault(name, []).append(Fetch(first, last, start, end, url))
    return fetches


def open_range(site: Site, link: str) -> tuple[ByteSource, int, int, XetHash]:
    """The xorb behind a signed link, and the bytes [start, end) of it that the link opens.

    Raises:
        BadSignature: forged or expired; the client asks for the reconstruction again.
    """
    name, generation, start, end = signing.verify(site.secret, LINK_PURPOSE, link)
    key = payload_key(name, generation)
    try:
        index = read_index(site.blobs, key)
    except OSError as exc:
        raise signing.BadSignature from exc
    if index.framed is not None:
        return site.blobs.source(key, index.framed_ends[-1]), start, end, name
    return FramedXorb(index, site.blobs, key), start, end, name


def answer_dedup(site: Site, grant: CasGrant, digest: str, *, now: datetime) -> bytes:
    """A shard of whole xorbs around a chunk that the asker need not send; all of them they may read.

    Being told of a xorb counts as having sent it: for weeks the client will name it without asking.

    Raises:
        ChunkUnknown: nothing that this asker may know of.
    """
    # Most chunks asked about are unknown: only a promise needs the writer.
    around = site.db.read(_usable_around, grant, digest)
    lost = forget_lost(site, around)
    names = [xorb.hash for xorb in around if xorb.hash not in lost]
    found = site.db.write(_promise, grant, names, now) if names else []
    if not found:
        raise ChunkUnknown
    told: list[tuple[XetHash, XorbIndex]] = [(x.hash, _index(site.blobs, x)) for x in found]
    created = int(now.timestamp())
    return build_dedup_shard(told, created=created, expires=created + int(DEDUP_LIFETIME.total_seconds()))


def _usable_around(tx: Tx, grant: CasGrant, digest: str) -> list[Xorb]:
    require_grant(tx, grant)
    for xet_hash, number in store.find_chunk(tx, digest, limit=DEDUP_FILES):
        terms = store.find_terms(tx, xet_hash)
        if store.find_usable(tx, grant, [terms[number].xorb]):
            names = list(dict.fromkeys(term.xorb for term in terms[number:]))[:DEDUP_XORBS]
            return list(store.find_usable(tx, grant, names).values())
    return []


def _promise(tx: Tx, grant: CasGrant, names: list[XetHash], now: datetime) -> list[Xorb]:
    """Those that are still there and theirs to read, kept for weeks from now."""
    usable = store.find_usable(tx, grant, names)
    store.promise(tx, usable, now)
    store.insert_holders(tx, grant, usable, now)
    return list(usable.values())


def _index(blobs: BlobStore, xorb: Xorb) -> XorbIndex:
    return read_index(blobs, payload_key(xorb.hash, xorb.generation))


def to_v1(found: Reconstruction) -> dict[str, Any]:
    """As ``GET /v1/reconstructions`` has it."""
    return {
        "offset_into_first_range": found.offset_into_first,
        "terms": _terms(found),
        "fetch_info": {
            name: [
                {
                    "range": {"start": f.first, "end": f.last},
                    "url": f.url,
                    "url_range": {"start": f.start, "end": f.end - 1},
                }
                for f in fetches
            ]
            for name, fetches in found.fetches.items()
        },
    }


def to_v2(found: Reconstruction) -> dict[str, Any]:
    """As ``GET /v2/reconstructions`` has it; each link opens one range."""
    return {
        "offset_into_first_range": found.offset_into_first,
        "terms": _terms(found),
        "xorbs": {
            name: [
                {
                    "url": f.url,
                    "ranges": [
                        {
                            "chunks": {"start": f.first, "end": f.last},
                            "bytes": {"start": f.start, "end": f.end - 1},
                        }
                    ],
                }
                for f in fetches
            ]
            for name, fetches in found.fetches.items()
        },
    }


def _terms(found: Reconstruction) -> list[dict[str, Any]]:
    return [
        {"hash": term.xorb, "unpacked_length": term.size_bytes, "range": {"start": term.first, "end": term.last}}
        for term in found.terms
    ]

"""What clients send: xorbs, and the shards that make files of them. Nothing is believed, everything recomputed.

A shard is accepted in this order, cheapest refusal first:

1. it parses (``shards``);
2. its sender may still write, and may read every xorb it names wholly;
3. lengths, range hashes and file hashes agree with our own indexes of those xorbs;
4. the sha256 of each new file, computed from the stored payloads, is the one claimed;
5. one transaction: the files, the sender's claims to them, and the promise to keep their xorbs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from headwater.blobs import BlobStore, feed, refusing_when_full
from headwater.db import Tx
from headwater.hub import quotas
from headwater.hub.files import placing
from headwater.hub.files import store as files_store
from headwater.hub.files.terms import FRAMED_FROM, Term, payload_key, payload_pieces, to_text
from headwater.hub.grants import require_grant
from headwater.hub.placing import placing as placing_lock
from headwater.hub.xet import store
from headwater.hub.xet.errors import BadShard, BadXorb
from headwater.hub.xet.hashes import Tree, file_hash, iter_asked_about, range_hash
from headwater.hub.xet.lost import forget_lost
from headwater.hub.xet.models import CasGrant, Xorb
from headwater.hub.xet.receiving import FramedFile, PlainFile, receive_xorb
from headwater.hub.xet.shards import ShardFile, parse_shard
from headwater.hub.xet.xorbs import XorbIndex, index_key, pack_ends, read_index
from headwater.kernel import Sha256, XetHash, utcnow
from headwater.web import BodyReader, Site

_INDEXES = 256  # kept at hand while one shard is verified; about 40 KiB each for full xorbs
_NOT_SENT = "it names xorbs that were not sent by you, or are no longer kept; send them again"


def accept_xorb(site: Site, grant: CasGrant, name: XetHash, body: BodyReader) -> bool:
    """Store a xorb; returns whether its sender had not sent it before.

    Raises:
        BadXorb: not a xorb, or not this one.
        StorageFull, QuotaExceeded: nothing stays.
    """
    site.db.read(_require_still, grant)
    present = site.db.read(store.find_xorbs, [name])
    forget_lost(site, [xorb for xorb in present.values() if xorb.is_stored])
    if site.db.write(_renew_if_held, grant, name):
        return False  # a retry, or a client with a cold cache: the body need not be looked at
    as_it_came = site.blobs.is_remote
    with site.blobs.temporary() as payload, site.blobs.temporary() as index_file, refusing_when_full():
        fd = os.open(payload, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            received = receive_xorb(body.read_into, FramedFile(fd) if as_it_came else PlainFile(fd))
        finally:
            os.close(fd)
        index = received.index
        found = index.name()
        if found != name:
            raise BadXorb(f"its chunks make {found}, not {name!r}")
        if as_it_came:
            index = replace(index, framed=received.framed_lengths)
        index_file.write_bytes(index.pack())
        if as_it_came:
            return _place_framed(site, grant, name, index, payload, index_file)
        return _place(site, grant, name, index, payload, index_file)


def _place(site: Site, grant: CasGrant, name: XetHash, index: XorbIndex, payload: Path, index_file: Path) -> bool:
    while True:
        present = site.db.read(store.find_xorbs, [name]).get(name)
        generation = _planned_generation(present)
        key = payload_key(name, generation)
        if present is None or not present.is_stored:
            placing.put_in_place(site.blobs, index_file, index_key(key))
            placing.put_in_place(site.blobs, payload, key)
        with placing_lock(site.db) as held:
            if not site.blobs.exists(key) or not site.blobs.exists(index_key(key)):
                continue  # they lay there as orphans, and a sweep came between
            held.check()
            is_new = site.db.write(_record_xorb, grant, name, index, generation)
            if is_new is not None:
                return is_new


def _place_framed(
    site: Site, grant: CasGrant, name: XetHash, index: XorbIndex, payload: Path, index_file: Path
) -> bool:
    """Clients may frame the same chunks differently, so every upload gets a key of its own; the first one's row stays."""
    generation = placing.new_generation()
    key = payload_key(name, generation)
    # Both are read when the shard comes, most often in a moment and here.
    site.blobs.adopt(index_file, index_key(key), keep=True)
    site.blobs.adopt(payload, key, keep=True)
    is_used, is_new = site.db.write(_record_framed, grant, name, index, generation)
    if not is_used:  # somebody else's came first
        site.blobs.delete(key)
        site.blobs.delete(index_key(key))
    return is_new


def _record_framed(tx: Tx, grant: CasGrant, name: XetHash, index: XorbIndex, generation: int) -> tuple[bool, bool]:
    """Whether the row names this generation now, and whether the sender had not sent the xorb before."""
    now = utcnow()
    present = store.find_xorbs(tx, [name]).get(name)
    is_used = present is None or not present.is_stored
    if is_used:
        store.ensure_xorb(
            tx, name, n_chunks=index.n_chunks, payload_bytes=index.payload_bytes, generation=generation, now=now
        )
        store.put_framing(tx, name, pack_ends(index))
        store.charge_xorb(tx, grant, name, index.payload_bytes)
    store.promise(tx, [name], now)
    return is_used, store.insert_holders(tx, grant, [name], now)


def _planned_generation(present: Xorb | None) -> int:
    """Of a raw payload, whose bytes are the same whoever sends them. One that was kept as it came once has another key."""
    if present is None or (present.generation >= FRAMED_FROM and not present.is_stored):
        return 0
    return present.generation + (0 if present.is_stored else 1)


def _record_xorb(tx: Tx, grant: CasGrant, name: XetHash, index: XorbIndex, generation: int) -> bool | None:
    """None when the row has moved to another generation since the bytes were placed."""
    now = utcnow()
    present = store.find_xorbs(tx, [name]).get(name)
    if _planned_generation(present) != generation:
        return None
    store.ensure_xorb(
        tx, name, n_chunks=index.n_chunks, payload_bytes=index.payload_bytes, generation=generation, now=now
    )
    if present is None or not present.is_stored:
        store.put_framing(tx, name, None)
        store.charge_xorb(tx, grant, name, index.payload_bytes)
    store.promise(tx, [name], now)
    return store.insert_holders(tx, grant, [name], now)


def _renew_if_held(tx: Tx, grant: CasGrant, name: XetHash) -> bool:
    present = store.find_xorbs(tx, [name]).get(name)
    if present is None or not present.is_stored or name not in store.find_held(tx, grant, [name]):
        return False
    store.promise(tx, [name], utcnow())
    return True


def _require_still(tx: Tx, grant: CasGrant) -> None:
    require_grant(tx, grant)


@dataclass(frozen=True)
class CheckedFile:
    """A file whose description agrees with the xorbs; its sha256 is known already, or still to be computed."""

    xet_hash: XetHash
    terms: list[Term]
    claimed: Sha256 | None
    known: Sha256 | None
    chunks: dict[str, int]

    @property
    def size_bytes(self) -> int:
        return sum(term.size_bytes for term in self.terms)


@dataclass(frozen=True)
class CheckedShard:
    """Steps 1 to 3 are done; ``payloads`` has the key of each xorb's bytes."""

    files: list[CheckedFile]
    xorbs: dict[XetHash, Xorb]
    payloads: dict[XetHash, str]

    @property
    def bytes_to_hash(self) -> int:
        return sum(file.size_bytes for file in self.files if file.known is None)


def check_shard(site: Site, grant: CasGrant, data: bytes) -> CheckedShard:
    """Steps 1 to 3 of accepting a shard.

    Raises:
        BadShard: it is no shard, or disagrees with what is stored, or names what its sender may not read.
    """
    site.db.read(_require_still, grant)  # before a word about the bytes: whoever lost the right hears nothing else
    files = parse_shard(data)
    names = {term.xorb for file in files for term in file.terms}
    with site.db.reading() as tx:
        _require_still(tx, grant)
        xorbs = store.find_usable(tx, grant, names)
        known = {file.xet_hash: store.find_file(tx, file.xet_hash) for file in files}
    if len(xorbs) < len(names):
        raise BadShard(_NOT_SENT)
    if forget_lost(site, xorbs.values()):
        raise BadShard(_NOT_SENT)
    payloads = {name: payload_key(name, x.generation) for name, x in xorbs.items()}
    indexes = _Indexes(site.blobs, payloads)
    checked = []
    try:
        for file in files:
            fact = known[file.xet_hash]
            checked.append(_check_file(file, indexes, None if fact is None else fact[0]))
    except FileNotFoundError as exc:  # gone since
        raise BadShard(_NOT_SENT) from exc
    return CheckedShard(checked, xorbs, payloads)


class _Indexes:
    def __init__(self, blobs: BlobStore, payloads: dict[XetHash, str]) -> None:
        self._blobs = blobs
        self._payloads = payloads
        self._kept: dict[XetHash, XorbIndex] = {}

    def get(self, name: XetHash) -> XorbIndex:
        found = self._kept.get(name)
        if found is None:
            if len(self._kept) >= _INDEXES:
                self._kept.pop(next(iter(self._kept)))
            found = self._kept[name] = read_index(self._blobs, self._payloads[name])
        return found


def _check_file(file: ShardFile, indexes: _Indexes, known: Sha256 | None) -> CheckedFile:
    tree = Tree()
    terms: list[Term] = []
    chunks: dict[str, int] = {}
    for number, described in enumerate(file.terms):
        index = indexes.get(described.xorb)
        if described.last > index.n_chunks:
            raise BadShard("a term reaches past the end of its xorb")
        offset = index.ends[described.first]
        size = index.ends[described.last] - offset
        if size != described.size_bytes:
            raise BadShard("a term states another length than its chunks have")
        hashes = index.hashes[32 * described.first : 32 * described.last]
        if range_hash(hashes) != described.range_hash:
            raise BadShard("the range hash of a term is not that of its chunks")
        for chunk in iter_asked_about(hashes):
            chunks.setdefault(to_text(hashes[32 * chunk : 32 * chunk + 32]), number)
        tree.add_chunks(hashes, index.lengths[described.first : described.last])
        terms.append(Term(described.xorb, described.first, described.last, offset, size))
    found = file_hash(tree.root())
    if found != file.xet_hash:
        raise BadShard(f"a file's chunks make {found}, not {file.xet_hash}")
    if terms:
        chunks.setdefault(to_text(indexes.get(terms[0].xorb).hash_of(terms[0].first)), 0)
    if known is not None and file.sha256 not in (None, known):
        raise BadShard(f"the file {found} has sha256 {known}, not {file.sha256}")
    return CheckedFile(found, terms, file.sha256, known, chunks)


def finish_shard(site: Site, grant: CasGrant, shard: CheckedShard, progress: Callable[[int], None]) -> bool:
    """Steps 4 and 5; ``progress`` is told how many bytes have been hashed. Returns whether any file was new.

    Raises:
        BadShard: a claimed sha256 is not that of the bytes, or a xorb was lost meanwhile.
        QuotaExceeded: who pays until the commit has no room for the files.
    """
    done = 0
    digests: dict[XetHash, Sha256] = {}
    sizes: dict[Sha256, int] = {}
    for file in shard.files:
        digest = file.known or digests.get(file.xet_hash)
        if digest is None:
            digest = _sha256_of(site.blobs, file.terms, shard.payloads, lambda n, base=done: progress(base + n))  # type: ignore[misc]
            done += file.size_bytes
        if file.claimed not in (None, digest):
            raise BadShard(f"the file {file.xet_hash} has sha256 {digest}, not {file.claimed} as claimed")
        digests[file.xet_hash] = digest
        sizes[digest] = file.size_bytes
    # Without ``hub.placing``: it names no object that has no row, and looks at the rows of its xorbs again.
    return site.db.write(_record_shard, grant, shard, digests)


def _sha256_of(
    blobs: BlobStore, terms: Iterable[Term], payloads: dict[XetHash, str], progress: Callable[[int], None]
) -> Sha256:
    digest, done = hashlib.sha256(), 0
    for term in terms:
        end = term.offset + term.size_bytes
        feed(digest.update, payload_pieces(blobs, payloads[term.xorb], term.offset, end))
        done += term.size_bytes
        progress(done)
    return Sha256(digest.hexdigest())


def _record_shard(tx: Tx, grant: CasGrant, shard: CheckedShard, digests: dict[XetHash, Sha256]) -> bool:
    now = utcnow()
    _require_still(tx, grant)
    present = store.find_xorbs(tx, shard.xorbs)
    for name, checked in shard.xorbs.items():
        row = present.get(name)
        if row is None or not row.is_stored or row.generation != checked.generation:
            raise BadShard(_NOT_SENT)
    store.promise(tx, shard.xorbs, now)
    is_new, bill = False, quotas.Bill()
    for file in shard.files:
        sha256 = digests[file.xet_hash]
        blob = files_store.find_blobs(tx, [sha256]).get(sha256)
        is_new |= blob is None or not blob.is_stored
        generation = 0 if blob is None else blob.generation + (0 if blob.is_stored else 1)
        placing.ensure_blob(
            tx, sha256, file.size_bytes, layout="xet", xet_hash=file.xet_hash, generation=generation, now=now
        )
        store.insert_file(tx, file.xet_hash, sha256=sha256, terms=file.terms, chunks=file.chunks, now=now, bill=bill)
        files_store.insert_claim(tx, grant.repo_id, sha256, grant.actor, now, bill=bill)
        files_store.revive(tx, [sha256])
    bill.settle(tx)
    return is_new

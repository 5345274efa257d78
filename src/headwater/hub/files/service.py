"""What may happen to large files: who may read which, who may commit which, and how their bytes are opened.

The right to read is a row (repository, digest). An upload leaves a *claim* (repository, digest, person); a commit that
names the digest turns the claim into the right of the repository. Callers have asked ``hub.access`` about the
repository before.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sqlalchemy import delete, select

from headwater.blobs import BlobStore, ByteSource, MemorySource, blob_key
from headwater.db import Tx
from headwater.hub import quotas
from headwater.hub.errors import BlobNotStored
from headwater.hub.files import store
from headwater.hub.files.copies import note_read
from headwater.hub.files.errors import BadDigest, DeclaredSizeDiffers, LargeFileNotFound
from headwater.hub.files.store import Blob
from headwater.hub.files.terms import Term, XetSource, payload_key, unpack_terms
from headwater.hub.tables.files import blob, file_right
from headwater.kernel import Actor, Page, RepoId, Sha256, XetHash, decode_number, encode_cursor

if TYPE_CHECKING:
    from headwater.web.site import Site

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class RepoFile:
    """One large file of a repository, for its list of them."""

    sha256: Sha256
    size_bytes: int
    xet_hash: XetHash | None
    filename: str
    uploaded_by: int | None
    created_at: datetime
    pull: int


def parse_sha256(text: str) -> Sha256:
    """A digest out of somebody's message.

    Raises:
        BadDigest: it is not 64 lower-case hex digits.
    """
    if not isinstance(text, str) or _SHA256.fullmatch(text) is None:
        raise BadDigest(str(text))
    return Sha256(text)


def has_right(tx: Tx, repo_id: RepoId, sha256: Sha256, *, pull: int | None = 0) -> bool:
    """Whether the repository may read the digest.

    ``pull`` 0: by its own right; N: also through pull request N; None: through any of its pull requests (a commit asked
    for by its id).
    """
    through = store.find_rights(tx, repo_id, [sha256]).get(sha256, set())
    return bool(through) if pull is None else not through.isdisjoint({0, pull})


def find_missing(tx: Tx, actor: Actor, repo_id: RepoId, digests: Iterable[Sha256]) -> set[Sha256]:
    """Which of these ``grant_rights`` would refuse: not stored, or nothing that this actor may name here."""
    wanted = set(digests)
    stored = {d for d, b in store.find_blobs(tx, wanted).items() if b.is_stored}
    if actor.is_system:
        return wanted - stored
    left = stored - store.find_rights(tx, repo_id, stored).keys()
    left -= store.find_claims(tx, repo_id, actor, left)
    left -= store.find_readable_elsewhere(tx, actor, left)
    return (wanted - stored) | left


def grant_rights(
    tx: Tx,
    repo_id: RepoId,
    files: Mapping[Sha256, str],
    *,
    actor: Actor,
    now: datetime,
    pull: int = 0,
    sizes: Mapping[Sha256, int] | None = None,
    bill: quotas.Bill | None = None,
) -> None:
    """Give a repository the right to read digests that a commit names; in the commit's own transaction.

    A digest may be named by who uploaded it to this repository, and by who may read it through a repository they can
    see. With ``pull`` the right belongs to that pull request.

    Args:
        files: digest to the path that names it.
        sizes: what the pointers state; compared with what is stored.
        bill: what the transaction charges so far; its caller settles it.

    Raises:
        BlobNotStored: unknown, or not theirs to name: the same answer.
        DeclaredSizeDiffers: a pointer lies about the size.
        QuotaExceeded: who pays has no room for them; not raised with a ``bill``.
    """
    if not files:
        return
    for missing in find_missing(tx, actor, repo_id, files):
        raise BlobNotStored(missing, files[missing])
    stored = blob_sizes(tx, files)
    for sha256, size in stored.items():
        stated = (sizes or stored).get(sha256, size)
        if stated != size:
            raise DeclaredSizeDiffers(sha256, stated, size)
    rights = store.find_rights(tx, repo_id, files)
    new = {d: path for d, path in files.items() if rights.get(d, set()).isdisjoint({0, pull})}
    store.insert_rights(tx, repo_id, new, actor=actor, pull=pull, now=now)
    charged = bill or quotas.Bill()
    quotas.grant(tx, charged, repo_id, new, rights, stored, pull=pull)
    if bill is None:
        charged.settle(tx)
    store.revive(tx, files)


def drop_rights(tx: Tx, repo_id: RepoId, digests: Iterable[Sha256]) -> None:
    """Take digests from a repository, and claims to them; the collector removes bytes that nobody else may read."""
    gone, bill = list(digests), quotas.Bill()
    with quotas.rights_changing(tx, repo_id):
        for part in store.batches(gone):
            tx.execute(delete(file_right).where(file_right.c.repo_id == repo_id, file_right.c.sha256.in_(part)))
    quotas.refund_claims(tx, bill, quotas.delete_claims(tx, repo_id, gone))
    bill.settle(tx)


def claim_upload(
    tx: Tx, repo_id: RepoId, sha256: Sha256, *, actor: Actor, now: datetime, bill: quotas.Bill | None = None
) -> None:
    """Note that ``actor`` has sent these bytes, whole and verified, to this repository.

    Raises:
        QuotaExceeded: as ``store.insert_claim``.
    """
    store.insert_claim(tx, repo_id, sha256, actor, now, bill=bill)
    store.revive(tx, [sha256])


def blob_sizes(tx: Tx, digests: Iterable[Sha256]) -> dict[Sha256, int]:
    """Sizes of those that are stored; rights are the caller's affair."""
    return {d: b.size_bytes for d, b in store.find_blobs(tx, digests).items() if b.is_stored}


def xet_hashes(tx: Tx, digests: Iterable[Sha256]) -> dict[Sha256, XetHash]:
    """The Xet name of those files that can be downloaded through Xet."""
    found = store.find_blobs(tx, digests).items()
    return {d: b.xet_hash for d, b in found if b.is_stored and b.xet_hash is not None}


def open_file(site: Site, repo_id: RepoId, sha256: Sha256, *, pull: int | None = 0) -> ByteSource:
    """The bytes of a large file, whichever way they came; ``pull`` as for ``has_right``.

    Raises:
        LargeFileNotFound: not here, or not through this repository.
    """
    with site.db.reading() as tx:
        found = get_readable(tx, repo_id, sha256, pull=pull)
        note_read(site, found, takes_bytes=True)
        return source_of(tx, site.blobs, found)


def get_readable(tx: Tx, repo_id: RepoId, sha256: Sha256, *, pull: int | None = 0) -> Blob:
    """The row of a large file that the repository may read; ``pull`` as for ``has_right``.

    Raises:
        LargeFileNotFound: not here, or not through this repository.
    """
    found, through = store.find_readable(tx, repo_id, sha256)
    if found is None or not found.is_stored or (pull is not None and through.isdisjoint({0, pull})):
        raise LargeFileNotFound(sha256)
    return found


def source_of(tx: Tx, blobs: BlobStore, found: Blob) -> ByteSource:
    """The bytes behind a row, for callers that have settled the right to them."""
    plain = _plain_key(found)
    if plain is not None:
        return blobs.source(plain, found.size_bytes)
    assert found.xet_hash is not None  # noqa: S101
    generations = store.find_generations(tx, found.xet_hash)
    terms = _known_terms.get(found.xet_hash)
    if terms is None or not all(term.xorb in generations for term in terms):
        terms = unpack_terms(store.find_terms(tx, found.xet_hash) or b"")
        _keep_terms(found.xet_hash, terms)
    return XetSource(terms, blobs, {name: payload_key(name, n) for name, n in generations.items()})


def open_stored(tx: Tx, blobs: BlobStore, sha256: Sha256) -> ByteSource:
    """The bytes of a digest that a row of the caller's own keeps, and to which it has settled the right.

    Raises:
        LargeFileNotFound: they are not here.
    """
    found = store.find_blobs(tx, [sha256]).get(sha256)
    if found is None or not found.is_stored:
        raise LargeFileNotFound(sha256)
    return source_of(tx, blobs, found)


def is_brief(source: ByteSource) -> bool:
    """Whether it says in few words where bytes lie, so that many such can be remembered."""
    if isinstance(source, XetSource):
        return len(source.terms) <= _BRIEF_TERMS
    return not isinstance(source, MemorySource)


def direct_link(blobs: BlobStore, found: Blob, *, expires_s: int) -> str | None:
    """Where clients fetch the plain bytes straight from the store; None where they pass through this server."""
    plain = _plain_key(found)
    return None if plain is None else blobs.signed_url(plain, expires_s=expires_s)


def _plain_key(found: Blob) -> str | None:
    """The object that is the file; None where it lies in xorbs only."""
    generation = found.generation if found.layout == "plain" else found.copy_generation
    return None if generation is None else blob_key(found.sha256, generation)


# A file's name in Xet says what its bytes are; so terms whose xorbs are still among the file's own lead to the same bytes.
_known_terms: dict[XetHash, list[Term]] = {}
_MOST_TERMS, _MOST_FILES = 500, 500
_BRIEF_TERMS = 64


def _keep_terms(name: XetHash, terms: list[Term]) -> None:
    if len(terms) <= _MOST_TERMS:
        if len(_known_terms) >= _MOST_FILES:
            _known_terms.clear()
        _known_terms[name] = terms


def repo_lfs_files(tx: Tx, repo_id: RepoId, *, cursor: str | None = None, limit: int = 100) -> Page[RepoFile]:
    """Large files that a repository may read, newest first."""
    query = (
        select(file_right, blob.c.size_bytes, blob.c.xet_hash)
        .join(blob, blob.c.sha256 == file_right.c.sha256)
        .where(file_right.c.repo_id == repo_id)
        .order_by(file_right.c.created_at.desc(), file_right.c.sha256, file_right.c.pull)
    )
    offset = decode_number(cursor) if cursor else 0
    rows = tx.execute(query.offset(offset).limit(limit + 1)).all()
    items = [
        RepoFile(row.sha256, row.size_bytes, row.xet_hash, row.filename, row.uploaded_by, row.created_at, row.pull)
        for row in rows[:limit]
    ]
    return Page(items, encode_cursor(offset + limit) if len(rows) > limit else None)


def repo_stored_bytes(tx: Tx, repo_id: RepoId) -> int:
    """Bytes of all large files the repository may read by its own right, each counted once."""
    return store.stored_bytes(tx, repo_id)

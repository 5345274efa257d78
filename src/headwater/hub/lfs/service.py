"""LFS: which objects must be sent and where, taking them in, whole or in parts, and links to read them.

An upload link is bound to repository, digest, size and person. What comes in is hashed on the way and named only when it is
what was announced. A retry finds its row and is answered without looking at the bytes again.
"""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from headwater import accounts
from headwater.accounts import Action
from headwater.blobs import ByteSource, DigestMismatch, SizeMismatch, StorageFull, blob_key
from headwater.db import Held, Tx
from headwater.hub import access, files, gate, quotas, signing
from headwater.hub.files import placing
from headwater.hub.files import store as files_store
from headwater.hub.grants import RepoGrant, require_grant
from headwater.hub.lfs import parts as lfs_parts
from headwater.hub.lfs import store
from headwater.hub.lfs.errors import BadLfsRequest, NotUploaded, PartsMissing
from headwater.hub.lfs.settings import LfsSettings
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.quotas.errors import size
from headwater.kernel import AccountId, Actor, HeadwaterError, RepoId, Sha256, TokenLimits
from headwater.web import BodyReader, Site, watch

UPLOAD = "lfs upload"
PART = "lfs part"
COMPLETE = "lfs complete"
VERIFY = "lfs verify"
DOWNLOAD = "lfs download"

UPLOAD_LIFETIME = timedelta(hours=24)
DOWNLOAD_LIFETIME = timedelta(hours=1)
LINK_S = 600  # of an object in a store, when one of our own links is followed
MAX_OBJECTS = 1000  # huggingface_hub sends at most 256, git-lfs 100
MAX_PARTS = 1000

MAX_LINKS = 20_000  # to parts, in one answer

MIN_STORE_PART_BYTES = 5 << 20  # a rule of S3, for all parts but the last
MAX_STORE_PART_BYTES = 5 << 30  # and for all

_READ_BYTES = 512 << 10


@dataclass(frozen=True)
class Wanted:
    """One object of a batch request, as the client names it."""

    oid: str
    size_bytes: int


@dataclass(frozen=True)
class Link:
    href: str
    header: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Answered:
    """What to do about one object: follow links, nothing (it is stored), or give up (``error``)."""

    wanted: Wanted
    links: dict[str, Link]
    error: str | None = None
    error_status: int = 404


@dataclass(frozen=True)
class Batch:
    objects: list[Answered]
    transfer: str
    expires_at: datetime


def plan_upload(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    wanted: list[Wanted],
    *,
    transfers: tuple[str, ...],
    now: datetime,
) -> Batch:
    """Where to send each object. Those that this person could name in a commit already get no links at all.

    Who may not write may still upload what a pull request of theirs will name.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed: as for any act on the repository.
        TooManyOpenUploads: nothing was begun.
    """
    settings = site.settings.of(LfsSettings) if site.settings is not None else LfsSettings()
    # git-lfs moves a whole batch by one transfer, so one large object puts all of them into parts.
    in_parts = "multipart" in transfers and any(w.size_bytes >= settings.multipart_from_bytes for w in wanted)
    with site.db.reading() as tx:
        found = access.get_repository(tx, actor, kind, name, Action.DISCUSS)
        writes = accounts.allows(tx, actor, Action.WRITE, on=found.resource)
        valid = [Sha256(w.oid) for w in wanted if _is_digest(w.oid)]
        stored = set(valid) - files.find_missing(tx, actor, found.id, valid)
        sizes = files.blob_sizes(tx, stored)
        here = files_store.find_rights(tx, found.id, stored).keys()
        room, payer = quotas.find_room(tx, actor, found.id), quotas.payer_of(tx, actor, found.id)
        held_bytes = 0
        if in_parts:
            store.require_few(tx, actor.account_id, 1)
            if payer is not None and room.left_bytes is not None:
                held_bytes = store.held_bytes(tx, payer.account_id, set(valid))
                room.left_bytes = max(room.left_bytes - held_bytes, 0)
    over: dict[str, str] = {}
    if stored:
        try:
            stored -= site.db.write(_keep, actor, found.id, stored, now)
        except quotas.QuotaExceeded as exc:  # those that the repository has already cost nothing
            over = dict.fromkeys(stored - here, exc.message)
            stored = (stored & here) - site.db.write(_keep, actor, found.id, stored & here, now)
    action = Action.WRITE if writes else Action.DISCUSS
    grant = RepoGrant(_lasting(actor), found.id, action)
    expires_at = signing.rounded_expiry(now, UPLOAD_LIFETIME)
    coming = [w.size_bytes for w in wanted if w.oid not in stored and _refusal(w, settings) is None]
    links = _Links(site, grant, expires_at, _least_part_bytes(site, settings, coming) if in_parts else None)
    answers = []
    with links.noting_begun(None if payer is None else payer.account_id, now):
        for one in wanted:
            error = _refusal(one, settings)
            if error is None and one.oid in stored:
                if sizes.get(Sha256(one.oid)) == one.size_bytes:
                    answers.append(Answered(one, {}))
                    continue
                error = f"the object has {sizes.get(Sha256(one.oid))} bytes, not {one.size_bytes}"
            if error is not None:
                answers.append(Answered(one, {}, error, 422))
            elif not links.take(one):
                too_many = f"this batch takes more than {MAX_LINKS} parts: ask for this object again in a smaller one"
                answers.append(Answered(one, {}, f"{too_many} (git-lfs: push again)", 422))
            elif full := over.get(one.oid) or room.take(one.size_bytes):
                why = f" Uploads that were begun and not finished hold {size(held_bytes)} of it, for two days at most."
                answers.append(Answered(one, {}, full + (why if held_bytes else ""), 507))
            else:
                answers.append(Answered(one, links.for_upload(one)))
    return Batch(answers, "multipart" if in_parts else "basic", expires_at)


def _lasting(actor: Actor) -> Actor:
    """For the links: what the token may was asked just now, later only whether it still stands. Their text stays short."""
    limits = actor.limits
    if limits is not None:
        limits = TokenLimits(limits.token_id, "", "write" if limits.role == "fine" else limits.role)
    return replace(actor, limits=limits)


def _keep(tx: Tx, actor: Actor, repo_id: RepoId, stored: set[Sha256], now: datetime) -> set[Sha256]:
    """Hold what was said to be stored until the commit comes; returns what has gone meanwhile."""
    gone = files.find_missing(tx, actor, repo_id, stored)
    bill = quotas.Bill()
    for sha256 in stored - gone:
        files.claim_upload(tx, repo_id, sha256, actor=actor, now=now, bill=bill)
    bill.settle(tx)
    return gone


def _is_digest(oid: str) -> bool:
    try:
        files.parse_sha256(oid)
    except files.BadDigest:
        return False
    return True


def _refusal(wanted: Wanted, settings: LfsSettings) -> str | None:
    if not _is_digest(wanted.oid):
        return "its oid is not a sha256 of 64 lower-case hex digits"
    if not 0 <= wanted.size_bytes <= settings.max_file_bytes:
        return f"its size is not between 0 and {settings.max_file_bytes} bytes"
    return None


def _least_part_bytes(site: Site, settings: LfsSettings, sizes: list[int]) -> int:
    """Larger than what is set where the parts of a batch would be too many."""
    least = settings.part_size_bytes
    if site.blobs.multipart is not None:
        least = max(least, MIN_STORE_PART_BYTES)
    enough = -(-sum(sizes) // (MAX_LINKS - MAX_OBJECTS))  # each object may have one part that is not full
    return max(least, min(enough, MAX_STORE_PART_BYTES))


def _part_bytes(wanted: Wanted, least: int) -> int:
    return max(least, -(-wanted.size_bytes // MAX_PARTS))


class _Links:
    """Makes the signed links of one batch, in parts of ``least_part_bytes`` or more if that is given."""

    def __init__(self, site: Site, grant: RepoGrant, expires_at: datetime, least_part_bytes: int | None) -> None:
        self._site, self._expires_at = site, expires_at
        self._least_part_bytes, self._n_left = least_part_bytes, MAX_LINKS
        self._account_id, self._facts = grant.actor.account_id, grant.to_facts()
        self._begun: list[store.OpenUpload] = []

    @contextmanager
    def noting_begun(self, payer_id: AccountId | None, now: datetime) -> Iterator[None]:
        """What the block begins in the store counts until it is over; nothing stays of it where the block fails.

        Raises:
            TooManyOpenUploads
        """
        given_up = self._begun
        try:
            yield
            if self._begun:
                given_up = self._site.db.write(store.insert_open, self._account_id, payer_id, self._begun, now)
        finally:
            for one in given_up:
                lfs_parts.give_up(self._site.blobs, one)

    def take(self, wanted: Wanted) -> bool:
        """Whether the batch may have the links of one more object."""
        if self._least_part_bytes is not None:
            count = -(-wanted.size_bytes // _part_bytes(wanted, self._least_part_bytes))
            if count > self._n_left:
                return False
            self._n_left -= count
        return True

    def for_upload(self, wanted: Wanted) -> dict[str, Link]:
        verify = Link(self._sign("verify", VERIFY, [self._facts, wanted.oid, wanted.size_bytes]))
        if self._least_part_bytes is not None and wanted.size_bytes:
            return {"upload": self._in_parts(wanted, _part_bytes(wanted, self._least_part_bytes)), "verify": verify}
        upload = self._sign("objects", UPLOAD, [self._facts, wanted.oid, wanted.size_bytes])
        return {"upload": Link(upload), "verify": verify}

    def _in_parts(self, wanted: Wanted, part_size: int) -> Link:
        multipart = self._site.blobs.multipart
        begun = lfs_parts.begin(self._site.blobs, Sha256(wanted.oid), wanted.size_bytes)
        self._begun.append(begun)
        key = blob_key(begun.sha256, begun.generation)
        count = -(-wanted.size_bytes // part_size)
        header = {"chunk_size": str(part_size)}
        for number in range(1, count + 1):
            offset = (number - 1) * part_size
            size = min(part_size, wanted.size_bytes - offset)
            href = None
            if multipart is not None:
                expires_s = int(UPLOAD_LIFETIME.total_seconds())
                href = multipart.part_link(key, begun.upload_id, number, size_bytes=size, expires_s=expires_s)
            header[f"{number:05d}"] = href or self._sign(
                "parts", PART, [self._facts, begun.generation, number, offset, size]
            )
        facts = [self._facts, wanted.oid, wanted.size_bytes, begun.upload_id, count, begun.generation]
        return Link(self._sign("uploads", COMPLETE, facts), header)

    def _sign(self, word: str, purpose: str, facts: list[Any]) -> str:
        text = signing.sign(self._site.secret, purpose, facts, expires_at=self._expires_at)
        return f"{self._site.base_url}/lfs/{word}/{text}"


def plan_download(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    wanted: list[Wanted],
    *,
    now: datetime,
    accepts: gate.Accepts = gate.accepts_nothing,
) -> Batch:
    """Links to the objects that this repository may read; of all others the same is said: not here.

    What is held back from this reader gets a refusal of its own instead of a link.

    Raises:
        RepositoryNotFound, GateClosed: as for any act on the repository.
    """
    expires_at = signing.rounded_expiry(now, DOWNLOAD_LIFETIME)
    answers = []
    with site.db.reading() as tx:
        found = access.get_repository(tx, actor, kind, name, Action.READ_FILES)
        valid = [Sha256(w.oid) for w in wanted if _is_digest(w.oid)]
        readable = files_store.find_rights(tx, found.id, valid).keys()
        stored = {d: b for d, b in files_store.find_blobs(tx, readable).items() if b.is_stored}
        holds = gate.find_holds_of_bytes(tx, found.id, stored)
        writes = bool(holds) and accounts.allows(tx, actor, Action.WRITE, on=found.resource)
        shut = {d: hold for d, hold in holds.items() if not gate.is_open(tx, actor, found, hold, accepts)}
    word = "writer" if writes else "accepts" if holds else ""
    for one in wanted:
        blob = stored.get(Sha256(one.oid))
        if blob is None:
            answers.append(Answered(one, {}, "Object does not exist on the server"))
            continue
        if one.oid in shut:
            answers.append(Answered(one, {}, gate.FileHeld(shut[one.oid]).message, 403))
            continue
        href = files.direct_link(site.blobs, blob, expires_s=int(DOWNLOAD_LIFETIME.total_seconds()))
        files.note_read(site, blob, takes_bytes=False)
        if href is None:
            facts = [found.id, one.oid, word if one.oid in holds else ""]
            text = signing.sign(site.secret, DOWNLOAD, facts, expires_at=expires_at)
            href = f"{site.base_url}/lfs/objects/{text}"
        else:
            watch.count_redirect(blob.size_bytes)
        answers.append(Answered(replace(one, size_bytes=blob.size_bytes), {"download": Link(href)}))
    return Batch(answers, "basic", expires_at)


def open_object(site: Site, link: str) -> tuple[ByteSource, Sha256]:
    """What a download link opens.

    Raises:
        BadSignature, LargeFileNotFound
        FileHeld: it is held back since the link was made, or worse by now than its bearer said they would take.
    """
    repo_id, oid, *words = signing.verify(site.secret, DOWNLOAD, link)
    with site.db.reading() as tx:
        hold = gate.find_hold_of_bytes(tx, RepoId(repo_id), Sha256(oid))
    word = words[0] if words else ""
    if hold is not None and word != "writer" and not (word == "accepts" and hold.status is gate.Status.SUSPICIOUS):
        raise gate.FileHeld(hold)
    return files.open_file(site, RepoId(repo_id), Sha256(oid), pull=None), Sha256(oid)


def receive_object(site: Site, link: str, body: BodyReader) -> Sha256:
    """Take in one whole object.

    Raises:
        BadSignature: the link is not ours, or too old.
        SizeMismatch, DigestMismatch: not what was announced; nothing stays.
        StorageFull: nothing stays.
    """
    facts, oid, size_bytes = signing.verify(site.secret, UPLOAD, link)
    grant, claimed = RepoGrant.from_facts(facts), Sha256(oid)
    if site.db.read(_is_here, grant, claimed):
        return claimed
    if body.size_bytes is not None and body.size_bytes != size_bytes:
        raise SizeMismatch(size_bytes, body.size_bytes)
    with site.blobs.temporary() as path:
        found, total = files.write_hashed(path, body.read_into, limit_bytes=size_bytes)
        return files.place_plain(
            site, grant.actor, grant.repo_id, path, found=found, total=total, claimed=claimed, size_bytes=size_bytes
        )


def _is_here(tx: Tx, grant: RepoGrant, sha256: Sha256) -> bool:
    """Whether the grant's person has sent it already; asks again whether they may write."""
    require_grant(tx, grant)
    found = files_store.find_blobs(tx, [sha256]).get(sha256)
    if found is None or not found.is_stored:
        return False
    claimed = files_store.find_claims(tx, grant.repo_id, grant.actor, [sha256])
    return bool(claimed) or files.has_right(tx, grant.repo_id, sha256)


def receive_part(site: Site, link: str, body: BodyReader) -> str:
    """Take in one part of a multipart upload; returns the ETag that says it has come whole.

    Raises:
        BadSignature, SizeMismatch, StorageFull
        PartsMissing: the upload is over.
    """
    facts, generation, number, offset, size_bytes = signing.verify(site.secret, PART, link)
    begun = site.db.read(_begun, RepoGrant.from_facts(facts), generation)
    if body.size_bytes is not None and body.size_bytes != size_bytes:
        raise SizeMismatch(size_bytes, body.size_bytes)
    if site.blobs.multipart is not None:
        return lfs_parts.pass_on(site.blobs, begun, number, size_bytes, body)
    try:
        lfs_parts.write(site.blobs, begun.upload_id, offset, size_bytes, body)
    except StorageFull:
        site.db.write(store.forget_open, generation)
        raise
    return _etag(site, begun.upload_id, number)


def _begun(tx: Tx, grant: RepoGrant, generation: int) -> store.OpenUpload:
    require_grant(tx, grant)
    found = store.find_open(tx, generation)
    if found is None:
        raise PartsMissing
    return found


def complete_upload(site: Site, link: str, oid: object, parts: object) -> Sha256:
    """Make an object of its parts: all there, read back and hashed, then named.

    Raises:
        BadSignature, BadLfsRequest
        PartsMissing: a part has not come, or the upload was given up.
        PartsStillArriving: a part is being written this moment.
        DigestMismatch: the whole is not what was announced; nothing stays.
    """
    facts, signed_oid, size_bytes, upload_id, count, generation = signing.verify(site.secret, COMPLETE, link)
    grant, claimed = RepoGrant.from_facts(facts), Sha256(signed_oid)
    if oid != claimed:
        raise BadLfsRequest(f"this upload is of {claimed}")
    if site.db.read(_is_here, grant, claimed):
        return claimed
    given = _read_parts(parts)
    if site.blobs.multipart is None:
        _require_parts(site, upload_id, count, given)
        path = lfs_parts.path_of(site.blobs, upload_id)
        with lfs_parts.sealed(path) as fd:
            try:
                found, total = _hash_of(fd)
                files.place_plain(
                    site,
                    grant.actor,
                    grant.repo_id,
                    path,
                    found=found,
                    total=total,
                    claimed=claimed,
                    size_bytes=size_bytes,
                )
            except HeadwaterError:
                _end(site, path, generation)
                raise
            _end(site, path, generation)
        return claimed
    # One at a time: a second one could put other parts together after the first has read back what lay there.
    stripe = hashlib.sha256(upload_id.encode()).hexdigest()[:2]
    with site.db.holding(f"lfs-{stripe}", exclusive=True) as held:
        if not site.db.read(_is_here, grant, claimed):
            _complete_in_store(site, held, grant, claimed, size_bytes, upload_id, count, generation, given)
    return claimed


def _end(site: Site, path: Path, generation: int) -> None:
    path.unlink(missing_ok=True)
    site.db.write(store.forget_open, generation)


def _complete_in_store(
    site: Site,
    held: Held,
    grant: RepoGrant,
    claimed: Sha256,
    size_bytes: int,
    upload_id: str,
    count: int,
    generation: int,
    given: dict[int, str],
) -> None:
    """Its key is this upload's alone, so that nobody sees what lies there before it has been read back."""
    multipart, key = site.blobs.multipart, blob_key(claimed, generation)
    if multipart is None or any(number not in given for number in range(1, count + 1)):
        raise PartsMissing
    word = multipart.complete_multipart(key, upload_id, [(number, given[number]) for number in range(1, count + 1)])
    if word not in ("", "NoSuchUpload"):
        raise PartsMissing
    try:  # no such upload: completed by an earlier try of the same request, or given up
        there = site.blobs.size_of(key)
        if there is not None and there != size_bytes:  # known before a byte of it is read
            site.blobs.delete(key)
            site.db.write(store.forget_open, generation)
            raise SizeMismatch(size_bytes, there)
        found, total = site.blobs.digest_of(key)
    except FileNotFoundError as exc:
        raise PartsMissing from exc
    if (found, total) != (claimed, size_bytes):
        site.blobs.delete(key)
        site.db.write(store.forget_open, generation)
        raise SizeMismatch(size_bytes, total) if total != size_bytes else DigestMismatch(claimed, found)
    held.check()
    try:
        placing.place_verified(site, grant.actor, grant.repo_id, claimed, size_bytes, generation)
    except FileNotFoundError as exc:
        raise PartsMissing from exc
    site.db.write(store.forget_open, generation)


def _read_parts(parts: object) -> dict[int, str]:
    if not isinstance(parts, list) or len(parts) > MAX_PARTS:
        raise BadLfsRequest("`parts` is not a list of parts")
    given = {}
    for part in parts:
        if not isinstance(part, dict) or not isinstance(part.get("partNumber"), int):
            raise BadLfsRequest("a part has no `partNumber`")
        given[part["partNumber"]] = str(part.get("etag"))
    return given


def _require_parts(site: Site, upload_id: str, count: int, given: dict[int, str]) -> None:
    for number in range(1, count + 1):
        if not hmac.compare_digest(given.get(number, "").encode(), _etag(site, upload_id, number).encode()):
            raise PartsMissing


def _etag(site: Site, upload_id: str, number: int) -> str:
    """Says that the part came whole; what it holds is proven by hashing the whole."""
    mac = hmac.digest(site.secret, f"lfs etag {upload_id} {number}".encode(), hashlib.sha256)
    return f'"{mac.hex()[:32]}"'


def _hash_of(fd: int) -> tuple[Sha256, int]:
    digest, total, window = hashlib.sha256(), 0, memoryview(bytearray(_READ_BYTES))
    while count := os.preadv(fd, [window], total):
        digest.update(window[:count])
        total += count
    return Sha256(digest.hexdigest()), total


def verify_upload(site: Site, link: str, oid: object, size_bytes: object) -> None:
    """Whether an upload has arrived.

    Raises:
        BadSignature, BadLfsRequest
        NotUploaded: it has not.
    """
    facts, signed_oid, signed_size = signing.verify(site.secret, VERIFY, link)
    if oid != signed_oid or size_bytes != signed_size:
        raise BadLfsRequest(f"this link verifies {signed_oid} of {signed_size} bytes")
    if not site.db.read(_is_here, RepoGrant.from_facts(facts), Sha256(signed_oid)):
        raise NotUploaded(signed_oid)

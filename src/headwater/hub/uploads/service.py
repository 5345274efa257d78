"""Files that come from a browser in parts: begin, add a part, ask how far, finish, give up.

A connection that breaks in the middle of a part loses nothing that arrived (``parts``). When the last byte is here the
server hashes the file itself: on plain http a browser has nothing to hash with. Nothing is readable before a commit names
it.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headwater.accounts import Action, NotAllowed, NotSignedIn
from headwater.blobs import Extent, feed
from headwater.db import Tx
from headwater.hub import access, files, quotas
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.names import check_path
from headwater.hub.uploads import store
from headwater.hub.uploads.errors import (
    BadUpload,
    OffsetDiffers,
    PartTooLong,
    TooManyUploads,
    UploadIncomplete,
    UploadNotFound,
)
from headwater.hub.uploads.forms import SentFile
from headwater.hub.uploads.parts import parts_of
from headwater.hub.uploads.store import Upload
from headwater.kernel import AccountId, Actor, Sha256, utcnow

if TYPE_CHECKING:
    from headwater.web.bodies import BodyReader
    from headwater.web.site import Site

MAX_OPEN = 20_000
MAX_AT_ONCE = 1000
MAX_SIZE_BYTES = 5 << 40
KEPT_DAYS = 7
ORPHAN_AGE_S = 3600
# Larger files never go into git itself (a commit refuses them), so their bytes can take their final place at once.
ALWAYS_LARGE_BYTES = 10_000_000
# For a site whose parts have stayed behind: files that had come whole begin again. Large ones have taken their place already.
SEND_AGAIN = f"UPDATE upload_session SET sha256 = NULL WHERE size_bytes <= {ALWAYS_LARGE_BYTES}"


@dataclass(frozen=True)
class Announced:
    """A file that a sender is about to send. ``stamp`` tells a changed file from the one begun before."""

    path: str
    size_bytes: int
    stamp: int = 0


@dataclass(frozen=True)
class Progress:
    """How far one upload is."""

    id: str
    path: str
    size_bytes: int
    received_bytes: int
    sha256: Sha256 | None

    @property
    def is_complete(self) -> bool:
        return self.sha256 is not None


def begin(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    announced: Sequence[Announced],
    *,
    now: datetime | None = None,
) -> list[Progress]:
    """One upload for each file; one begun earlier for the same path, size and stamp is taken up where it broke off.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed: no right to propose changes there.
        BadPath, BadUpload, TooManyUploads: the list cannot be taken; nothing was begun.
        QuotaExceeded: who pays has no room for them; nothing was begun.
    """
    if len(announced) > MAX_AT_ONCE:
        raise BadUpload(f"at most {MAX_AT_ONCE} files are announced at once, these are {len(announced)}")
    paths: set[str] = set()
    for file in announced:
        check_path(file.path)
        if file.path in paths:
            raise BadUpload(f"{file.path!r} is announced twice")
        if not 0 <= file.size_bytes <= MAX_SIZE_BYTES:
            raise BadUpload(f"{file.path!r} cannot have {file.size_bytes} bytes")
        paths.add(file.path)
    chosen, new = site.db.write(_begin, actor, kind, name, list(announced), now or utcnow())
    return [_fresh(upload) if upload.id in new else _progress(site, upload) for upload in chosen]


def _begin(
    tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, announced: list[Announced], now: datetime
) -> tuple[list[Upload], set[str]]:
    repo = access.get_repository(tx, actor, kind, name, Action.DISCUSS)
    assert actor.account_id is not None  # noqa: S101 - DISCUSS needs a person
    n_open = store.count_uploads(tx, actor.account_id)
    known = {
        (upload.path, upload.size_bytes, upload.stamp): upload
        for upload in store.list_uploads(tx, actor.account_id, repo.id, limit=MAX_OPEN)
    }
    chosen, new = [], []
    for file in announced:
        upload = known.get((file.path, file.size_bytes, file.stamp))
        if upload is None:
            upload = Upload(
                id=secrets.token_urlsafe(18),
                repo_id=repo.id,
                account_id=actor.account_id,
                path=file.path,
                size_bytes=file.size_bytes,
                stamp=file.stamp,
                sha256=None,
                created_at=now,
            )
            new.append(upload)
        chosen.append(upload)
    if n_open + len(new) > MAX_OPEN:
        raise TooManyUploads(n_open)
    store.insert_uploads(tx, new, quotas.payer_of(tx, actor, repo.id))
    return chosen, {upload.id for upload in new}


def adopt_files(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    folder: str,
    sent: Sequence[SentFile],
    *,
    now: datetime | None = None,
) -> list[str]:
    """Files that came whole in a form, as complete uploads into ``folder``; returns their ids.

    Raises:
        As ``begin``; the caller discards the files then.
    """
    announced = []
    for file in sent:
        path = f"{folder}/{file.name}" if folder else file.name
        announced.append(Announced(check_path(path), file.size_bytes, stamp=secrets.randbits(62)))
    ids = [progress.id for progress in begin(site, actor, kind, name, announced, now=now)]
    for upload_id, file in zip(ids, sent, strict=True):
        parts_of(site).take_file(upload_id, file.path)
    site.db.write(_set_digests, [(upload_id, file.sha256) for upload_id, file in zip(ids, sent, strict=True)])
    return ids


def _set_digests(tx: Tx, found: list[tuple[str, Sha256]]) -> None:
    for upload_id, sha256 in found:
        store.set_digest(tx, upload_id, sha256)


def new_part(site: Site) -> Path:
    """A path for a file whose upload has no row yet; the collector removes it when none follows."""
    return site.blobs.tmp / f"form-{secrets.token_hex(16)}"


def list_open(site: Site, actor: Actor, repo: Repository, *, limit: int = 200) -> list[Progress]:
    """The actor's uploads to ``repo`` that no commit has taken yet."""
    if actor.account_id is None:
        return []
    return [
        _progress(site, found) for found in site.db.read(store.list_uploads, actor.account_id, repo.id, limit=limit)
    ]


def get_progress(site: Site, actor: Actor, upload_id: str) -> Progress:
    """Raises: UploadNotFound."""
    return _progress(site, _get(site, actor, upload_id, Action.READ))


def append(site: Site, actor: Actor, upload_id: str, offset: int, reader: BodyReader) -> Progress:
    """Add a part that begins at ``offset``; when the file is whole, hash it. Safe to repeat with an empty part.

    Raises:
        UploadNotFound, OffsetDiffers, UploadBusy, PartTooLong, StorageFull: nothing of this part was taken.
        NotAllowed: they began it, but this token may not, or they may no longer.
        BodyTruncated, BodyTooSlow: what came before that is kept; ask how far it is.
    """
    upload = _get(site, actor, upload_id, Action.DISCUSS)
    if upload.sha256 is not None:
        if offset != upload.size_bytes:
            raise OffsetDiffers(upload.size_bytes, offset)
        return _progress(site, upload)
    with parts_of(site).appending(upload.id) as part:
        if offset != part.received:
            raise OffsetDiffers(part.received, offset)
        if reader.size_bytes is not None and part.received + reader.size_bytes > upload.size_bytes:
            raise PartTooLong(upload.size_bytes)
        received = part.take(reader.read_into, upload.size_bytes)
        if received < upload.size_bytes:
            return Progress(upload.id, upload.path, upload.size_bytes, received, None)
        return _finish(site, actor, upload)


def _finish(site: Site, actor: Actor, upload: Upload) -> Progress:
    parts, is_large = parts_of(site), upload.size_bytes > ALWAYS_LARGE_BYTES
    with parts.gathered(upload.id) as path:
        found, total = _hash(path)
        if total != upload.size_bytes:
            raise UploadIncomplete(upload.path, total, upload.size_bytes)
        if is_large and path is not None:
            with released(site, [upload.id]):
                files.place_plain(site, actor, upload.repo_id, path, found=found, total=total)
    site.db.write(store.set_digest, upload.id, found)
    if is_large:
        parts.drop(upload.id)
    return Progress(upload.id, upload.path, upload.size_bytes, upload.size_bytes, found)


def _hash(path: Path | None) -> tuple[Sha256, int]:
    hasher, total = hashlib.sha256(), 0
    if path is not None:
        size = path.stat().st_size
        total = feed(hasher.update, [Extent(path, 0, size)])
    return Sha256(hasher.hexdigest()), total


def give_up(site: Site, actor: Actor, ids: Sequence[str]) -> int:
    """Forget uploads and their bytes; returns how many there were.

    Raises:
        NotSignedIn.
    """
    if actor.account_id is None:
        raise NotSignedIn
    found = site.db.read(_find_own, actor, actor.account_id, list(ids))
    forget(site, found)
    return len(found)


def _find_own(tx: Tx, actor: Actor, account_id: AccountId, ids: list[str]) -> dict[str, Upload]:
    """Those that the account began and that this credential of it may change."""
    found = store.find_uploads(tx, account_id, ids)
    return {key: upload for key, upload in found.items() if _may_change(tx, actor, upload)}


def _may_change(tx: Tx, actor: Actor, upload: Upload) -> bool:
    try:
        access.get_repository_by_id(tx, actor, upload.repo_id, Action.DISCUSS)
    except RepositoryNotFound:
        return True  # nothing is left that could be changed, but for what it takes on disk
    except NotAllowed:
        return False
    return True


def get_complete(site: Site, actor: Actor, repo: Repository, ids: Sequence[str]) -> list[Upload]:
    """The uploads a commit may take, in the order of ``ids``.

    Raises:
        UploadNotFound: one is not the actor's, or was for another repository.
        UploadIncomplete: one is not whole.
    """
    if actor.account_id is None:
        raise UploadNotFound
    found = site.db.read(store.find_uploads, actor.account_id, list(ids))
    chosen = []
    for upload_id in ids:
        upload = found.get(upload_id)
        if upload is None or upload.repo_id != repo.id:
            raise UploadNotFound
        if upload.sha256 is None:
            raise UploadIncomplete(upload.path, _progress(site, upload).received_bytes, upload.size_bytes)
        chosen.append(upload)
    return chosen


@contextmanager
def released(site: Site, ids: Sequence[str]) -> Iterator[None]:
    """While uploads become something else that is charged, they are not; they are again if that comes to nothing."""
    payers = site.db.write(store.release_uploads, ids)
    try:
        yield
    except BaseException:
        site.db.write(store.charge_again, payers)
        raise


def forget(site: Site, ids: Iterable[str]) -> None:
    """Rows first, then bytes: a crash between leaves a part file for the collector."""
    gone = list(ids)
    site.db.write(store.delete_uploads, gone)
    for upload_id in gone:
        parts_of(site).drop(upload_id)


def collect(site: Site, *, now: datetime | None = None) -> int:
    """Give up what nobody has gone on with, and part files without a row; returns how many files went."""
    now = now or utcnow()
    old = site.db.read(store.list_older, now - timedelta(days=KEPT_DAYS), limit=1000)
    forget(site, old)
    parts = parts_of(site)
    names = parts.list_older(now.timestamp() - ORPHAN_AGE_S)
    orphans = set(names) - site.db.read(store.existing_ids, names)
    for name in orphans:
        parts.drop(name)
    return len(old) + len(orphans)


def sent_again(row: tuple[Any, ...], sha256: int, size_bytes: int) -> tuple[Any, ...]:
    """A row of ``upload_session`` as ``SEND_AGAIN`` leaves it; given where in it the columns are."""
    if row[size_bytes] > ALWAYS_LARGE_BYTES:
        return row
    return (*row[:sha256], None, *row[sha256 + 1 :])


def _get(site: Site, actor: Actor, upload_id: str, action: Action) -> Upload:
    if actor.account_id is None:
        raise UploadNotFound
    return site.db.read(_get_own, actor, actor.account_id, upload_id, action)


def _get_own(tx: Tx, actor: Actor, account_id: AccountId, upload_id: str, action: Action) -> Upload:
    found = store.find_uploads(tx, account_id, [upload_id]).get(upload_id)
    if found is None:
        raise UploadNotFound
    # Asked again for each part: the token at hand may be another than the one it was begun with.
    try:
        access.get_repository_by_id(tx, actor, found.repo_id, action)
    except RepositoryNotFound as exc:
        raise UploadNotFound from exc
    return found


def _fresh(upload: Upload) -> Progress:
    return Progress(upload.id, upload.path, upload.size_bytes, 0, None)


def _progress(site: Site, upload: Upload) -> Progress:
    received = parts_of(site).received(upload.id) if upload.sha256 is None else upload.size_bytes
    return Progress(upload.id, upload.path, upload.size_bytes, received, upload.sha256)

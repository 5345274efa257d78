"""Pictures in comments: brought by one call, seen by its uploader alone, until a comment of theirs names the link.

From then on whoever may read the comment's repository may see the picture, whoever else quotes it; hiding the comment, or
deleting the repository, ends that. What no comment names goes after some days.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from headwater import accounts
from headwater.accounts import Action, Resource
from headwater.blobs import ByteSource, SizeMismatch
from headwater.db import Tx
from headwater.hub import files, gate, quotas
from headwater.hub.community.errors import AttachmentNotFound, ImageTooLarge, NotAnImage, TooManyPictures
from headwater.hub.community.images import find_image
from headwater.hub.community.models import Event
from headwater.hub.community.settings import AttachmentSettings
from headwater.hub.community.store import attachments as store
from headwater.hub.community.store.attachments import Attachment
from headwater.kernel import AccountId, Actor, RepoId, Sha256, utcnow

if TYPE_CHECKING:
    from headwater.web.bodies import BodyReader
    from headwater.web.site import Site

MAX_PIXELS = 64_000_000  # a picture is unpacked by everybody who looks at it
MAX_USES = 200  # in one comment
EXTENSIONS = {"image/png": "png", "image/jpeg": "jpg", "image/gif": "gif", "image/webp": "webp"}

_LINK = re.compile(r"/uploads/([0-9a-f]{32})\.(?:png|jpg|gif|webp)")


def path_of(found: Attachment) -> str:
    """Where it is served, and what comments name."""
    return f"/uploads/{found.id}.{EXTENSIONS[found.media_type]}"


def require_attaching(tx: Tx, actor: Actor) -> AccountId:
    """Return whose it will be; to be asked before any byte is taken.

    Whoever may comment somewhere may: for a fine-grained token, at any of the places that it names.

    Raises:
        NotSignedIn, NotAllowed.
    """
    if actor.account_id is None:
        raise accounts.NotSignedIn
    own = Resource(owner_id=actor.account_id)
    named = actor.limits.grants if actor.limits is not None else ()
    places = [Resource(owner_id=AccountId(each.account_id or 0), repo_id=each.repo_id) for each in named]
    if not any(accounts.allows(tx, actor, Action.DISCUSS, on=place) for place in places):
        accounts.require(tx, actor, Action.DISCUSS, on=own)
    return actor.account_id


def receive(site: Site, actor: Actor, reader: BodyReader) -> Attachment:
    """Take a picture as it comes; the caller has asked ``require_attaching``.

    Raises:
        NotSignedIn, NotAllowed, NotAnImage, ImageTooLarge, QuotaExceeded: nothing stays.
    """
    most = site.settings.of(AttachmentSettings).max_bytes
    if reader.size_bytes is not None and reader.size_bytes > most:
        raise ImageTooLarge(most)
    with site.blobs.temporary() as path:
        try:
            sha256, size_bytes = files.write_hashed(path, reader.read_into, limit_bytes=most)
        except SizeMismatch as exc:
            raise ImageTooLarge(most) from exc
        return keep(site, actor, path, sha256, size_bytes)


def keep(site: Site, actor: Actor, path: Path, sha256: Sha256, size_bytes: int) -> Attachment:
    """Keep a picture that lies in a temporary file, written and hashed; its uploader is charged for it.

    Raises:
        NotSignedIn, NotAllowed, NotAnImage, ImageTooLarge, QuotaExceeded: nothing stays.
        FileRefused: it is something else as well, by the rules for files of repositories.
    """
    most, now = site.settings.of(AttachmentSettings).max_bytes, utcnow()
    account_id = site.db.read(require_attaching, actor)
    if size_bytes > most:
        raise ImageTooLarge(most)
    with path.open("rb") as file:
        image = find_image(file)
    if image is None:
        raise NotAnImage
    if image.n_pixels > MAX_PIXELS:
        raise ImageTooLarge(most, f"{image.width} × {image.height} pixels")
    gate.require_harmless(f"picture.{EXTENSIONS[image.media_type]}", path, size_bytes)
    made = Attachment(secrets.token_hex(16), account_id, sha256, image.media_type, size_bytes, now)
    files.place_noted(site, path, found=sha256, total=size_bytes, note=lambda tx: _insert(tx, made), now=now)
    return made


def _insert(tx: Tx, made: Attachment) -> None:
    store.insert_attachment(tx, made)
    bill = quotas.Bill()
    bill.attached(made.account_id, made.size_bytes)
    bill.settle(tx)


def open_attachment(site: Site, actor: Actor, name: str) -> tuple[Attachment, ByteSource, bool]:
    """What lies at ``/uploads/<name>``, its bytes, and whether everybody may see it.

    Raises:
        AttachmentNotFound: there is none, or not for this actor: the same answer.
    """
    with site.db.reading() as tx:
        found = store.find_attachment(tx, name.partition(".")[0])
        if found is None or path_of(found) != f"/uploads/{name}":
            raise AttachmentNotFound
        is_public = store.find_most_open(tx, actor, found.id)
        if is_public is None and (found.account_id != actor.account_id or store.is_used(tx, found.id)):
            raise AttachmentNotFound
        return found, files.open_stored(tx, site.blobs, found.sha256), bool(is_public)


def check_pictures(body: str) -> list[str]:
    """The ids of the pictures that a comment's text names.

    Raises:
        TooManyPictures: some of them would never be shown to anybody else.
    """
    ids = sorted(set(_LINK.findall(body)))
    if len(ids) > MAX_USES:
        raise TooManyPictures(len(ids), MAX_USES, "Name the others in a comment of their own.")
    return ids


def note_uses(tx: Tx, repo_id: RepoId, event: Event, body: str) -> None:
    """A comment's text was written: pictures of its author that it names are shown to its readers from now on."""
    ids = check_pictures(body)
    if ids:
        store.insert_uses(tx, ids, event_id=event.id, repo_id=repo_id, of=event.author_id)


def end_uses(tx: Tx, event: Event) -> None:
    """A comment was hidden: what it alone showed is seen no more."""
    store.delete_uses_by(tx, event.id)


def drop_uses_in_deleted(tx: Tx, before: datetime) -> int:
    """For the collector: comments of repositories that were deleted before ``before`` show nothing; a batch of them."""
    return store.delete_uses_in_deleted(tx, before)


def drop_unused(tx: Tx, before: datetime) -> int:
    """For the collector: a batch of pictures that no comment names, brought before ``before``; they are charged no more."""
    bill, gone = quotas.Bill(), store.delete_unused(tx, before)
    for account_id, size_bytes in gone:
        bill.attached(account_id, -size_bytes)
    bill.settle(tx)
    return len(gone)

"""Uploads in parts, where their bytes are: in an object store, or in one file of the working folder, each part at its place."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headwater.blobs import BlobStore, SizeMismatch, StorageFull, StoreAway, blob_key
from headwater.blobs.folder import refusing_when_full
from headwater.hub import files
from headwater.hub.files import placing
from headwater.hub.lfs.errors import PartsMissing, PartsStillArriving
from headwater.hub.lfs.store import OpenUpload
from headwater.kernel import Sha256
from headwater.web import BodyReader


def begin(blobs: BlobStore, sha256: Sha256, size_bytes: int) -> OpenUpload:
    """The file is made here and nowhere else, so that no late part brings it back once the upload was given up."""
    generation = placing.new_generation()
    if blobs.multipart is not None:
        upload_id = blobs.multipart.begin_multipart(blob_key(sha256, generation))
    else:
        upload_id = secrets.token_hex(16)
        with refusing_when_full():
            os.close(os.open(path_of(blobs, upload_id), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    return OpenUpload(generation, upload_id, sha256, size_bytes)


def give_up(blobs: BlobStore, one: OpenUpload) -> None:
    if blobs.multipart is None:
        path_of(blobs, one.upload_id).unlink(missing_ok=True)
        return
    with contextlib.suppress(StoreAway):  # the collector comes to it
        blobs.multipart.abort_multipart(blob_key(one.sha256, one.generation), one.upload_id)


def write(blobs: BlobStore, upload_id: str, offset: int, size_bytes: int, body: BodyReader) -> None:
    """One part into the file of the working folder.

    Raises:
        PartsMissing: the upload is over.
        SizeMismatch
        StorageFull: nothing stays of any part.
    """
    path = path_of(blobs, upload_id)
    try:
        with refusing_when_full(), _opened(path, os.O_RDWR) as fd:
            # Completion takes this lock alone: no late part can change bytes that have been verified.
            fcntl.flock(fd, fcntl.LOCK_SH)
            if not path.exists():
                raise PartsMissing
            _write_at(fd, offset, size_bytes, body)
    except StorageFull:
        path.unlink(missing_ok=True)
        raise


def pass_on(blobs: BlobStore, one: OpenUpload, number: int, size_bytes: int, body: BodyReader) -> str:
    """One part to the object store, from a client that does not reach that; returns its ETag.

    Raises:
        PartsMissing, SizeMismatch
    """
    if blobs.multipart is None:
        raise PartsMissing
    with blobs.temporary() as path:
        _, total = files.write_hashed(path, body.read_into, limit_bytes=size_bytes)
        if total != size_bytes:
            raise SizeMismatch(size_bytes, total)
        try:
            return blobs.multipart.put_part(blob_key(one.sha256, one.generation), one.upload_id, number, path)
        except FileNotFoundError as exc:
            raise PartsMissing from exc


@contextmanager
def sealed(path: Path) -> Iterator[int]:
    """The file of an upload whose parts have all come, while no part can change it.

    Raises:
        PartsMissing: the upload is over.
        PartsStillArriving
    """
    with _opened(path, os.O_RDONLY) as fd:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise PartsStillArriving from exc
        yield fd


def path_of(blobs: BlobStore, upload_id: str) -> Path:
    return blobs.tmp / f"parts-{upload_id}"


@contextmanager
def _opened(path: Path, how: int) -> Iterator[int]:
    try:
        fd = os.open(path, how | os.O_CLOEXEC)
    except FileNotFoundError as exc:
        raise PartsMissing from exc
    try:
        yield fd
    finally:
        os.close(fd)


def _write_at(fd: int, offset: int, size_bytes: int, body: BodyReader) -> None:
    window, done = memoryview(bytearray(placing.WINDOW_BYTES)), 0
    while count := body.read_into(window):
        if done + count > size_bytes:
            raise SizeMismatch(size_bytes, done + count)
        data = window[:count]
        while data:
            written = os.pwrite(fd, data, offset + done)
            data, done = data[written:], done + written
    if done != size_bytes:
        raise SizeMismatch(size_bytes, done)

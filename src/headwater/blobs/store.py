"""What every place for bytes can do: objects under keys, written once, never changed.

Keys are ours, never a user's: ``sha256/ab/cd/<digest>[.<generation>]`` for plain files, ``xet/…`` for xorbs, ``git/<id>/…``
for packs. ``BlobFolder`` keeps them as files on this machine's disk, ``S3Store`` as objects of a bucket. Code that wants to
work on both:

- receives and builds in ``tmp`` (``temporary()``), which is a local folder everywhere, and ends with ``adopt(path, key)``;
- reads what is small by ``read_range``, hands ``source(...)`` to doors and to ``read_all``, and asks for ``local_copy`` or
  ``fetch`` only where a program needs a real path (git, a parser that maps files);
- never makes a path out of a key, and takes a missing object as ``FileNotFoundError``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from headwater.blobs.sources import ByteSource
from headwater.kernel import Sha256

PROBE_S = 1.5  # less than a balancer waits


def blob_key(sha256: Sha256, generation: int = 0) -> str:
    """Where a digest's bytes lie; a later generation has its number as suffix (storage rules, 3)."""
    name = sha256 if generation == 0 else f"{sha256}.{generation}"
    return f"sha256/{sha256[:2]}/{sha256[2:4]}/{name}"


@dataclass(frozen=True)
class StoredObject:
    """One line of a listing; ``modified_at`` in seconds since 1970."""

    key: str
    size_bytes: int
    modified_at: float


@dataclass(frozen=True)
class OpenMultipart:
    """A multipart upload that is neither completed nor aborted; ``begun_at`` in seconds since 1970."""

    key: str
    upload_id: str
    begun_at: float


class Multipart(Protocol):
    """Objects whose parts others send, straight to the store. The only presigned writes there are."""

    def begin_multipart(self, key: str) -> str:
        """Returns the upload's id. Parts but the last have at least 5 MiB."""
        ...

    def part_link(self, key: str, upload_id: str, number: int, *, size_bytes: int, expires_s: int) -> str | None:
        """Where a client may PUT one part of just this size, whose ``ETag`` completes it; None where clients do not reach the store."""
        ...

    def put_part(self, key: str, upload_id: str, number: int, path: Path) -> str:
        """Send one part from here; returns its ETag.

        Raises:
            FileNotFoundError: there is no such upload, or no longer.
        """
        ...

    def complete_multipart(self, key: str, upload_id: str, parts: Sequence[tuple[int, str]]) -> str:
        """Make an object of parts (number, ETag). Returns "" or the store's word: NoSuchUpload, InvalidPart …

        What it holds is not proven by this: read it back before a row names it (storage rules, 3).
        """
        ...

    def abort_multipart(self, key: str, upload_id: str) -> None: ...

    def iter_multiparts(self) -> Iterator[OpenMultipart]:
        """Those that are neither completed nor aborted."""
        ...


class BlobStore(Protocol):
    @property
    def is_remote(self) -> bool:
        """Whether objects lie on another machine: reading them then costs a round trip, and can fail for a time."""
        ...

    @property
    def tmp(self) -> Path:
        """A folder on this machine for what is being received or made; it exists."""
        ...

    @property
    def multipart(self) -> Multipart | None:
        """None where there is no such thing."""
        ...

    def ensure(self) -> None:
        """Make what is missing, or say what is wrong with the place; safe to repeat."""
        ...

    def probe(self) -> None:
        """Whether objects can be had at this moment, told within ``PROBE_S``; raises whatever stands in the way."""
        ...

    def claim(self, site_id: str) -> None:
        """Note whose objects these are, where others could come to use them by mistake.

        Raises:
            StoreOfAnotherSite
        """
        ...

    def temporary(self) -> AbstractContextManager[Path]:
        """A path for a temporary file in ``tmp``; removed at the end if it is still there.

        Raises:
            StorageFull: (out of the block, too) the disk is full.
        """
        ...

    def adopt(self, temporary: Path, key: str, *, keep: bool = False) -> None:
        """Make a written local file durable under ``key``, whole or not at all; the file stays its owner's to remove.

        The same bytes twice is harmless; other bytes never come under a key that a row names. ``keep``: where that is another
        machine, keep a copy at hand as well, for it is going to be read soon (``at_hand``); nothing writes to the file any more.
        """
        ...

    def find(self, key: str) -> StoredObject | None: ...

    def exists(self, key: str) -> bool: ...

    def size_of(self, key: str) -> int | None:
        """None when there is no such object."""
        ...

    def sizes_of(self, keys: Sequence[str]) -> dict[str, int | None]:
        """``size_of`` each, several at once where that costs a round trip."""
        ...

    def delete(self, key: str) -> int:
        """Remove an object; returns its size, 0 when it was gone already."""
        ...

    def iter_keys(self, prefix: str) -> Iterator[StoredObject]:
        """Every object below ``prefix`` (which ends with a slash), in the order of their keys, however many there are."""
        ...

    def read_range(self, key: str, start: int, end: int) -> bytes:
        """Bytes [start, end); fewer where the object ends before.

        Raises:
            FileNotFoundError: there is no such object.
        """
        ...

    def iter_ranges(self, key: str, ranges: Iterable[tuple[int, int]]) -> Iterator[bytes]:
        """``read_range`` of each, in order; some are fetched ahead where that costs a round trip."""
        ...

    def at_hand(self, key: str) -> AbstractContextManager[Path | None]:
        """As ``local_copy`` where that fetches nothing, else None. A copy is the bytes that were adopted, or fetched, here."""
        ...

    def digest_of(self, key: str) -> tuple[Sha256, int]:
        """Read the whole of it: its sha256 and size.

        Raises:
            FileNotFoundError: there is no such object.
        """
        ...

    def local_copy(self, key: str) -> AbstractContextManager[Path]:
        """A real path with the object's bytes, to be read only; good inside the block.

        Raises:
            FileNotFoundError: there is no such object.
        """
        ...

    def fetch(self, key: str, target: Path) -> None:
        """Make ``target`` a local file of the object's bytes, all of them or none; a file that is there already stays.

        Raises:
            FileNotFoundError: there is no such object.
        """
        ...

    def source(self, key: str, size_bytes: int) -> ByteSource:
        """The object as doors send it; ``size_bytes`` is what its row says, nothing is looked up."""
        ...

    def signed_url(
        self,
        key: str,
        *,
        expires_s: int,
        start: int | None = None,
        end: int | None = None,
        disposition: str | None = None,
        media_type: str | None = None,
    ) -> str | None:
        """A link by which anyone can read the object straight from the store for a time; None where there is no such way.

        Args:
            start, end: bind it to the bytes [start, end): the reader must send exactly ``Range: bytes=<start>-<end - 1>``.
            disposition: a whole ``Content-Disposition`` that the store answers with.
            media_type: the ``Content-Type`` that the store answers with.
        """
        ...

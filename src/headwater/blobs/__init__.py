"""Bytes under keys, in a local folder or an S3-compatible store, and the one shape in which they are handed to a door.

Which repository may read which digest is not known here: rights live in ``hub``.
"""

from headwater.blobs.errors import DigestMismatch, ObjectDamaged, SizeMismatch, StorageFull, StoreAway
from headwater.blobs.folder import BlobFolder, refusing_when_full
from headwater.blobs.sources import ByteSource, Extent, FileSource, MemorySource, Piece, feed, read_all
from headwater.blobs.store import BlobStore, StoredObject, blob_key

__all__ = [
    "BlobFolder",
    "BlobStore",
    "ByteSource",
    "DigestMismatch",
    "Extent",
    "FileSource",
    "MemorySource",
    "ObjectDamaged",
    "Piece",
    "SizeMismatch",
    "StorageFull",
    "StoreAway",
    "StoredObject",
    "blob_key",
    "feed",
    "read_all",
    "refusing_when_full",
]

"""Bytes by digest in a local folder, and the one shape in which bytes are handed to a door.

Which repository may read which digest is not known here: rights live in ``hub``.
"""

from headwater.blobs.folder import BlobFolder, DigestMismatch, SizeMismatch, StorageFull, Stored, refusing_when_full
from headwater.blobs.sources import ByteSource, Extent, FileSource, MemorySource, Piece, read_all

__all__ = [
    "BlobFolder",
    "ByteSource",
    "DigestMismatch",
    "Extent",
    "FileSource",
    "MemorySource",
    "Piece",
    "SizeMismatch",
    "StorageFull",
    "Stored",
    "read_all",
    "refusing_when_full",
]

"""Large files: blob states, who may read and who may name which digest, and opening their bytes.

The two layouts (one plain file; terms of xorbs) look the same to every reader: a ``ByteSource``.
"""

from headwater.hub.files.copies import note_read
from headwater.hub.files.errors import BadDigest, DeclaredSizeDiffers, LargeFileNotFound
from headwater.hub.files.placing import place_noted, place_plain, store_plain, write_hashed
from headwater.hub.files.service import (
    RepoFile,
    blob_sizes,
    claim_upload,
    direct_link,
    drop_rights,
    find_missing,
    get_readable,
    grant_rights,
    has_right,
    is_brief,
    open_file,
    open_stored,
    parse_sha256,
    repo_lfs_files,
    repo_stored_bytes,
    source_of,
    xet_hashes,
)
from headwater.hub.files.terms import payload_key

__all__ = [
    "BadDigest",
    "DeclaredSizeDiffers",
    "LargeFileNotFound",
    "RepoFile",
    "blob_sizes",
    "claim_upload",
    "direct_link",
    "drop_rights",
    "find_missing",
    "get_readable",
    "grant_rights",
    "has_right",
    "is_brief",
    "note_read",
    "open_file",
    "open_stored",
    "parse_sha256",
    "payload_key",
    "place_noted",
    "place_plain",
    "repo_lfs_files",
    "repo_stored_bytes",
    "source_of",
    "store_plain",
    "write_hashed",
    "xet_hashes",
]

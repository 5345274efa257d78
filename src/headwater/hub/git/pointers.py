"""LFS pointers: small text files in git that stand for a large file. Only pure functions.

Format: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

import re

from headwater.hub.git.models import Pointer
from headwater.kernel import Sha256

MIN_POINTER_BYTES = 100
MAX_POINTER_BYTES = 1024

# git-lfs takes a blob for a pointer when it is short and these lines are there; extension lines may stand between.
_POINTER = re.compile(
    rb"version https://(?:git-lfs\.github\.com/spec/v1|hawser\.github\.com/spec/v1)\r?\n"
    rb"(?:ext-[^\n]*\n)*"
    rb"oid sha256:([0-9a-f]{64})\r?\n"
    rb"size (\d{1,18})\s*"
)


def parse_pointer(data: bytes) -> Pointer | None:
    """What a git blob says if it is an LFS pointer, else None."""
    if not MIN_POINTER_BYTES <= len(data) <= MAX_POINTER_BYTES or not data.startswith(b"version https://"):
        return None
    match = _POINTER.fullmatch(data)
    return None if match is None else Pointer(Sha256(match[1].decode()), int(match[2]))


def format_pointer(sha256: str, size_bytes: int) -> bytes:
    """The pointer exactly as git-lfs writes it, so that both doors make the same git blob."""
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size_bytes}\n".encode()

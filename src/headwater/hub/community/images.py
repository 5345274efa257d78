"""What kind of picture some bytes are, and how large it is when drawn: told by the bytes alone.

Only kinds that browsers draw and never run: PNG, JPEG, GIF and WebP. Neither a name nor a declared type is asked, and SVG,
which is a document with scripts, is not among them. However long a file is, little of it is looked at: of three kinds the first
bytes, of a JPEG the heads of a bounded number of segments.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

_HEAD_BYTES = 32
_MAX_SEGMENTS = 2000  # of a JPEG, before its frame
_MAX_FILL_BYTES = 16  # of a JPEG, before each marker; writers put one or two there, if any
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # start of frame, whichever coding
_BARE = frozenset([0x01, *range(0xD0, 0xD8)])  # markers without a length


@dataclass(frozen=True)
class Image:
    media_type: str
    width: int
    height: int

    @property
    def n_pixels(self) -> int:
        return self.width * self.height


def find_image(file: BinaryIO) -> Image | None:
    """What ``file`` is from its start; None when it is none of the four, or breaks off before its size is told."""
    head = file.read(_HEAD_BYTES)
    try:
        if head.startswith(b"\x89PNG\r\n\x1a\n") and head[12:16] == b"IHDR":
            return _image("image/png", *struct.unpack(">II", head[16:24]))
        if head[:6] in (b"GIF87a", b"GIF89a"):
            return _image("image/gif", *struct.unpack("<HH", head[6:10]))
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _webp(head)
        if head[:3] == b"\xff\xd8\xff":
            return _jpeg(file)
    except struct.error:
        pass
    return None


def _image(media_type: str, width: int, height: int) -> Image | None:
    return Image(media_type, width, height) if width and height else None


def _webp(head: bytes) -> Image | None:
    """Source: RFC 9649, sections 2.5 to 2.7."""
    kind = head[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") + 1 for at in (24, 27))
        return _image("image/webp", width, height) if len(head) >= 30 else None
    if kind == b"VP8L" and head[20:21] == b"\x2f":
        (bits,) = struct.unpack("<I", head[21:25])
        return _image("image/webp", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    if kind == b"VP8 " and head[23:26] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", head[26:30])
        return _image("image/webp", width & 0x3FFF, height & 0x3FFF)
    return None


def _jpeg(file: BinaryIO) -> Image | None:
    """Step over segments (thumbnails, colour profiles) to the frame. Source: ITU-T T.81, annex B."""
    file.seek(2)
    for _ in range(_MAX_SEGMENTS):
        (mark,) = struct.unpack("B", file.read(1))
        if mark != 0xFF:
            return None
        for _ in range(_MAX_FILL_BYTES + 1):
            (mark,) = struct.unpack("B", file.read(1))
            if mark != 0xFF:
                break
        else:
            return None
        if mark in _BARE:
            continue
        (length,) = struct.unpack(">H", file.read(2))
        if mark in _FRAMES:
            height, width = struct.unpack(">xHH", file.read(5))
            return _image("image/jpeg", width, height)
        if length < 2 or mark in (0xD9, 0xDA):  # the picture's own data before any frame, or its end
            return None
        file.seek(length - 2, 1)
    return None

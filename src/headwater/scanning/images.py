"""Pictures that claim more than any screen or program wants: few bytes, and a width and height that take all memory to open.

PNG, JPEG, GIF, WebP and BMP, by their heads only. Formats: ISO/IEC 15948, ITU-T T.81, GIF89a, RFC 9649.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from headwater.scanning import rules
from headwater.scanning.models import Finding, Judgement
from headwater.scanning.reading import Bytes

MAX_PIXELS = 1 << 27  # from here on a picture must have bytes for what it claims
MAX_SIDE = 1 << 20
PIXELS_PER_BYTE = 200  # what an ordinary large picture stays below; one colour in PNG has some 8,000
_HEAD = 256 << 10
_PNG = b"\x89PNG\r\n\x1a\n"

_Size = tuple[int, int]


def judge(source: Bytes) -> Judgement:
    head = source.read_at(0, _HEAD)
    kind, read = next((kind, read) for magic, (kind, read) in MAGICS.items() if head.startswith(magic))
    kinds = frozenset({"image", kind})
    try:
        size = read(head)
    except (struct.error, IndexError):
        size = None
    if size is None:
        return Judgement()  # a damaged picture, or none, opens nowhere and does nothing
    width, height = size
    if max(size) > MAX_SIDE or width * height > max(MAX_PIXELS, PIXELS_PER_BYTE * source.size_bytes):
        return Judgement((Finding(rules.IMAGE_BOMB, f"{width} x {height} in {source.size_bytes} bytes"),), kinds=kinds)
    return Judgement(kinds=kinds)


def _png(head: bytes) -> _Size | None:
    if head[12:16] != b"IHDR":
        return None
    width, height = struct.unpack_from(">II", head, 16)
    return width, height


def _gif(head: bytes) -> _Size | None:
    width, height = struct.unpack_from("<HH", head, 6)
    return width, height


def _bmp(head: bytes) -> _Size | None:
    if head[6:10] != bytes(4) or struct.unpack_from("<I", head, 14)[0] not in (40, 52, 56, 64, 108, 124):
        return None  # a text that begins with these two letters
    width, height = struct.unpack_from("<ii", head, 18)
    return abs(width), abs(height)


def _jpeg(head: bytes) -> _Size | None:
    at = 2
    while at + 9 < len(head):
        if head[at] != 0xFF:
            return None
        mark = head[at + 1]
        if mark == 0xFF:
            at += 1
            continue
        if 0xC0 <= mark <= 0xCF and mark not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", head, at + 5)
            return width, height
        at += 2 if mark == 1 or 0xD0 <= mark <= 0xD8 else 2 + max(2, struct.unpack_from(">H", head, at + 2)[0])
    return None


def _webp(head: bytes) -> _Size | None:
    if head[8:12] != b"WEBP":
        return None
    kind = head[12:16]
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", head, 26)
    return width & 0x3FFF, height & 0x3FFF


MAGICS: dict[bytes, tuple[str, Callable[[bytes], _Size | None]]] = {
    _PNG: ("png", _png),
    b"GIF87a": ("gif", _gif),
    b"GIF89a": ("gif", _gif),
    b"\xff\xd8\xff": ("jpeg", _jpeg),
    b"RIFF": ("webp", _webp),
    b"BM": ("bmp", _bmp),
}

"""How last-changed nodes are written down: per name the commit that changed it last, and for a folder its own node."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

Content = dict[bytes, tuple[bytes, int]]
"""Name to (20-byte commit id, number of the folder's node or 0)."""

_PLAIN, _PACKED = 0, 1
_PACK_FROM_BYTES = 400


@dataclass(frozen=True)
class Node:
    """``whole`` is the number of the node that holds the complete data this one is kept as a difference from; its own
    number when it is complete itself.
    """

    number: int
    whole: int
    content: Content


def encode_whole(content: Content) -> bytes:
    return _encode(content, [])


def encode_difference(content: Content, whole: Content) -> bytes | None:
    """What to change in ``whole``; None when that would not be much shorter."""
    changed = {name: value for name, value in content.items() if whole.get(name) != value}
    removed = [name for name in whole if name not in content]
    n_changes = len(changed) + len(removed)
    if n_changes * 2 >= len(content) or n_changes > max(16, len(content) // 16):
        return None
    return _encode(changed, removed)


def decode(data: bytes, whole: Content | None) -> Content:
    """The content; ``whole`` is that of the node it is a difference from."""
    body = zlib.decompress(data[1:]) if data[0] == _PACKED else data[1:]
    at, content = 0, dict(whole or {})
    n_commits, at = _read_number(body, at)
    commits = [body[at + 20 * n : at + 20 * n + 20] for n in range(n_commits)]
    at += 20 * n_commits
    n_entries, at = _read_number(body, at)
    for _ in range(n_entries):
        name, at = _read_name(body, at)
        commit, at = _read_number(body, at)
        child, at = _read_number(body, at)
        content[name] = commits[commit], child
    n_removed, at = _read_number(body, at)
    for _ in range(n_removed):
        name, at = _read_name(body, at)
        content.pop(name, None)
    return content


def _encode(content: Content, removed: list[bytes]) -> bytes:
    commits: dict[bytes, int] = {}
    entries = bytearray()
    for name, (commit, child) in content.items():
        _write_number(entries, len(name))
        entries += name
        _write_number(entries, commits.setdefault(commit, len(commits)))
        _write_number(entries, child)
    body = bytearray()
    _write_number(body, len(commits))
    body += b"".join(commits)
    _write_number(body, len(content))
    body += entries
    _write_number(body, len(removed))
    for name in removed:
        _write_number(body, len(name))
        body += name
    if len(body) >= _PACK_FROM_BYTES:
        return bytes([_PACKED]) + zlib.compress(body, 3)
    return bytes([_PLAIN]) + bytes(body)


def _write_number(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _read_number(body: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _read_name(body: bytes, at: int) -> tuple[bytes, int]:
    size, at = _read_number(body, at)
    return body[at : at + size], at + size

"""Git's object formats: ids, trees, commits. Bytes in, values out; no I/O.

Trees are kept and edited as raw bytes. To splice one entry into a folder of ten thousand is then a copy, not a parse.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from headwater.hub.git.models import DIRECTORY_MODE, CommitInfo
from headwater.kernel import CommitId, GitOid

COMMIT, TREE, BLOB, TAG = 1, 2, 3, 4
TYPE_NAMES = {COMMIT: b"commit", TREE: b"tree", BLOB: b"blob", TAG: b"tag"}
EMPTY_TREE = GitOid("4b825dc642cb6eb9a060e54bf8d69288fbee4904")

_ENTRY = re.compile(rb"([0-7]{5,6}) ([^\0]+)\0(.{20})", re.DOTALL)
_ENTRIES = re.compile(rb"(?>[0-7]{5,6} [^\0]++\0.{20})*+", re.DOTALL)
_SIGNATURE = re.compile(rb"(.*?) ?<([^>]*)> ?(-?\d+)? ?([+-]\d{4})?.*", re.DOTALL)

RawEntry = tuple[int, bytes, bytes]
"""Mode, name, 20-byte id."""


def object_id(kind: int, data: bytes) -> bytes:
    """The 20-byte id of an object."""
    hasher = hashlib.sha1(b"%s %d\0" % (TYPE_NAMES[kind], len(data)), usedforsecurity=False)
    hasher.update(data)
    return hasher.digest()


def iter_tree(raw: bytes, start: int = 0) -> Iterator[RawEntry]:
    """The entries of a tree from the byte ``start`` (the beginning of an entry), in git's order."""
    for match in _ENTRY.finditer(raw, start):
        mode, name, oid = match.groups()
        yield int(mode, 8), name, oid


def split_tree(raw: bytes, start: int = 0) -> list[tuple[bytes, bytes, bytes]]:
    """As ``iter_tree``, all at once, modes as they are written."""
    found: list[tuple[bytes, bytes, bytes]] = _ENTRY.findall(raw, start)
    return found


def find_in_tree(raw: bytes, name: bytes) -> RawEntry | None:
    """The entry called ``name``, without reading the others."""
    span = entry_span(raw, name)
    if span is None:
        return None
    start, end = span
    return int(raw[start : raw.index(b" ", start)], 8), name, raw[end - 20 : end]


def entry_span(raw: bytes, name: bytes) -> tuple[int, int] | None:
    """Where the entry called ``name`` begins and ends in the raw tree."""
    needle = b" %s\0" % name
    at = raw.find(needle)
    while at != -1:
        for width in (6, 5):
            start = at - width
            # The same bytes may stand inside an id or at the end of a longer name, so all before must be whole entries.
            if (start == 0 or (start >= 28 and raw[start - 21] == 0)) and _ENTRIES.fullmatch(raw, 0, start):
                match = _ENTRY.match(raw, start)
                if match is not None and match[2] == name:
                    return start, match.end()
        at = raw.find(needle, at + 1)
    return None


def first_after(raw: bytes, name: bytes) -> int:
    """Where the first entry that comes after ``name`` begins; ``name`` itself need not be there."""
    for match in _ENTRY.finditer(raw):
        if sort_key(int(match[1], 8), match[2]) > name:
            return match.start()
    return len(raw)


def sort_key(mode: int, name: bytes) -> bytes:
    """Git orders a folder as if its name ended in a slash."""
    return name + b"/" if mode == DIRECTORY_MODE else name


def format_entry(mode: int, name: bytes, oid: bytes) -> bytes:
    return b"%o %s\0%s" % (mode, name, oid)


def format_tree(entries: Iterable[RawEntry]) -> bytes:
    return b"".join(format_entry(*entry) for entry in sorted(entries, key=lambda e: sort_key(e[0], e[1])))


def edit_tree(raw: bytes, changes: dict[bytes, tuple[int, bytes] | None]) -> bytes:
    """The tree with some names set to (mode, id), or removed where None."""
    if not raw:
        return format_tree((set_to[0], name, set_to[1]) for name, set_to in changes.items() if set_to is not None)
    if len(changes) <= 4:
        for name, set_to in changes.items():
            raw = _splice(raw, name, set_to)
        return raw
    entries = {name: (mode, oid) for mode, name, oid in iter_tree(raw)}
    for name, set_to in changes.items():
        if set_to is None:
            entries.pop(name, None)
        else:
            entries[name] = set_to
    return format_tree((mode, name, oid) for name, (mode, oid) in entries.items())


def _splice(raw: bytes, name: bytes, set_to: tuple[int, bytes] | None) -> bytes:
    span = entry_span(raw, name)
    if span is not None:
        start, end = span
        old_mode = int(raw[start : raw.index(b" ", start)], 8)
        if set_to is None:
            return raw[:start] + raw[end:]
        if sort_key(old_mode, name) == sort_key(set_to[0], name):
            return raw[:start] + format_entry(set_to[0], name, set_to[1]) + raw[end:]
        raw = raw[:start] + raw[end:]
    if set_to is None:
        return raw
    at, key = len(raw), sort_key(set_to[0], name)
    for match in _ENTRY.finditer(raw):
        if sort_key(int(match[1], 8), match[2]) > key:
            at = match.start()
            break
    return raw[:at] + format_entry(set_to[0], name, set_to[1]) + raw[at:]


@dataclass(frozen=True, slots=True)
class RawCommit:
    """A commit as it is written; times are (seconds since 1970, offset in minutes)."""

    tree: GitOid
    parents: tuple[CommitId, ...]
    author: bytes
    committer: bytes
    message: bytes

    @property
    def committed_s(self) -> int:
        return parse_signature(self.committer)[2]


def parse_commit(raw: bytes) -> RawCommit:
    head, _, message = raw.partition(b"\n\n")
    tree, author, committer, parents = "", b"", b"", []
    for line in head.split(b"\n"):
        key, _, value = line.partition(b" ")
        if key == b"tree":
            tree = value.decode()
        elif key == b"parent":
            parents.append(CommitId(value.decode()))
        elif key == b"author":
            author = value
        elif key == b"committer":
            committer = value
        elif key == b"encoding":
            message = _recode(message, value)
    return RawCommit(GitOid(tree), tuple(parents), author, committer, message)


def _recode(message: bytes, encoding: bytes) -> bytes:
    try:
        return message.decode(encoding.decode("ascii")).encode()
    except (LookupError, UnicodeError):
        return message


def parse_signature(raw: bytes) -> tuple[str, str, int, int]:
    """Name, address, seconds since 1970, offset from UTC in minutes."""
    match = _SIGNATURE.fullmatch(raw)
    if match is None:
        return raw.decode(errors="replace"), "", 0, 0
    name, email, seconds, offset = match.groups()
    minutes = 0
    if offset:
        minutes = int(offset[1:3]) * 60 + int(offset[3:5])
        minutes = -minutes if offset[:1] == b"-" else minutes
    return name.decode(errors="replace"), email.decode(errors="replace"), int(seconds or 0), minutes


def _moment(seconds: int, minutes: int) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, timezone(timedelta(minutes=minutes)))
    except (ValueError, OverflowError, OSError):
        return datetime.fromtimestamp(0, UTC)


def commit_info(oid: CommitId, raw: RawCommit) -> CommitInfo:
    author_name, author_email, author_s, author_m = parse_signature(raw.author)
    _, _, committer_s, committer_m = parse_signature(raw.committer)
    title, _, body = raw.message.decode(errors="replace").lstrip("\n").partition("\n")
    return CommitInfo(
        oid=oid,
        title=title.rstrip(),
        message=body.strip("\n"),
        author_name=author_name,
        author_email=author_email,
        authored_at=_moment(author_s, author_m),
        committed_at=_moment(committer_s, committer_m),
        parents=raw.parents,
    )


def format_commit(
    tree: str,
    parents: Iterable[str],
    *,
    author_name: str,
    author_email: str,
    author_s: int,
    committer_s: int,
    message: str,
) -> bytes:
    """A commit as git writes it, in UTC, author and committer the same person."""
    who = f"{_clean(author_name) or 'unknown'} <{_clean(author_email)}>"
    lines = [f"tree {tree}", *(f"parent {parent}" for parent in parents)]
    lines += [f"author {who} {author_s} +0000", f"committer {who} {committer_s} +0000", "", message]
    return "\n".join(lines).encode(errors="replace")


def _clean(text: str) -> str:
    # What git itself drops from names and addresses ("crud" at the ends, and what would break the line).
    return re.sub(r"[<>\0\n\r]", "", text).strip(" .,:;\"'\\")


def format_message(title: str, body: str) -> str:
    """Title, blank line, body, one newline at the end; as ``git commit`` cleans it up."""
    title = " ".join(title.split("\n")).replace("\0", "").strip() or "Update"
    body = body.replace("\0", "").replace("\r\n", "\n").strip("\n").rstrip()
    return f"{title}\n\n{body}\n" if body else f"{title}\n"


def tag_target(raw: bytes) -> tuple[str, bytes]:
    """The id and type that an annotated tag points at."""
    lines = raw.split(b"\n", 2)
    return lines[0].removeprefix(b"object ").decode(), lines[1].removeprefix(b"type ")

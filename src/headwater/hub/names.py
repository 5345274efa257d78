"""What may be called what: repositories, files, branches and tags.

One rule for every door. A name that passes here is safe in an address and in a git tree, never leads out of the folder it is
checked out into, and no two names that pass look the same by means of invisible characters. Paths that some system cannot
hold (``CON``, a dot at the end, two that differ by letter case) do pass, as with git itself: docs/protocols/huggingface.md.
"""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from headwater.hub.errors import BadName, BadPath
from headwater.hub.models import RepoName

MAX_NAME_CHARS = 96
MAX_PATH_BYTES = 1024
RESERVED = frozenset({"resolve"})  # /{name}/resolve/… is how old clients ask for a repository without a namespace
MAX_SEGMENT_BYTES = 255
MAX_REF_BYTES = 255

_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?")
_PLAIN_PATH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(?:/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_REF_REFUSED = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|^\.|^/|/$|\.$|\.lock(?:/|$)")

# They look like a slash and are none.
_SLASH_ALIKE = frozenset("⁄∕⧸⧵")
# Control, format (zero-width, bidi, soft hyphen, byte order mark), surrogate, line and paragraph separators.
_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def check_name(text: str) -> str:
    """``text``, if a repository (or namespace) may be called so: the rule that huggingface_hub checks before it sends.

    Raises:
        BadName: with what to change.
    """
    if not text:
        raise BadName(text, "it is empty.")
    if len(text) > MAX_NAME_CHARS:
        raise BadName(text[:MAX_NAME_CHARS] + "…", f"it is longer than {MAX_NAME_CHARS} characters.")
    if not _NAME.fullmatch(text):
        raise BadName(text, "use letters a-z, digits, '-', '_' and '.'; '-' and '.' may not come first or last.")
    if "--" in text or ".." in text:
        raise BadName(text, "'--' and '..' are not allowed in names.")
    if text.lower() in RESERVED:
        raise BadName(text, "addresses of this site need the word.")
    if text.lower().endswith((".git", ".ipynb")):
        raise BadName(text, "names may not end in '.git' or '.ipynb'.")
    return text


def parse_repo_name(text: str) -> RepoName:
    """``namespace/name``, both checked.

    Raises:
        BadName: it is not two good names with one slash between.
    """
    namespace, slash, name = text.partition("/")
    if not slash or "/" in name:
        raise BadName(text[:200], "write it as namespace/name.")
    return RepoName(check_name(namespace), check_name(name))


def check_path(text: str) -> str:
    """``text``, if a file or folder of a repository may lie there.

    Any script may be used, spaces too. Text must be in Unicode's composed form (NFC): two spellings of one word would
    be two files that nobody can tell apart, and that some disks cannot hold side by side.

    Raises:
        BadPath: with what to change.
    """
    if len(text) <= MAX_SEGMENT_BYTES and _PLAIN_PATH.fullmatch(text):
        return text  # nearly every path; none of the traps below can be written with these letters
    if not text:
        raise BadPath(text, "it is empty.")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as exc:
        raise BadPath(ascii(text), "it is not valid UTF-8.") from exc
    if size > MAX_PATH_BYTES:
        raise BadPath(text, f"it is {size} bytes long, at most {MAX_PATH_BYTES} are allowed.")
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        raise BadPath(text, "rename it to Unicode's composed form (NFC), as most systems write it.")
    for segment in text.split("/"):
        _check_segment(text, segment)
    return text


def _check_segment(path: str, segment: str) -> None:
    if not segment:
        raise BadPath(path, "it has an empty part: no '/' at either end, no two in a row.")
    if segment in (".", ".."):
        raise BadPath(path, "'.' and '..' are not allowed as parts.")
    if "\\" in segment:
        raise BadPath(path, "it holds a backslash; use '/' between folders.")
    if len(segment.encode()) > MAX_SEGMENT_BYTES:
        raise BadPath(path, f"a part of it is longer than {MAX_SEGMENT_BYTES} bytes.")
    if segment.isspace():
        raise BadPath(path, "a part of it is only spaces.")
    for char in segment:
        if unicodedata.category(char) in _REFUSED_CATEGORIES or char in _SLASH_ALIKE:
            raise BadPath(path, f"it holds U+{ord(char):04X}, which is invisible or looks like something else.")
    # What a careless reader makes of it, by decoding once more or by folding compatible characters.
    for seen in (unquote(segment), unicodedata.normalize("NFKC", segment)):
        if seen in (".", "..") or any(char in seen for char in "/\\\0"):
            raise BadPath(path, "a part of it reads as '.', '..', a slash or a backslash once decoded.")
    if _is_git(segment):
        raise BadPath(path, "'.git' and what file systems take for it are reserved.")


def _is_git(segment: str) -> bool:
    """Whether some file system takes the name for ``.git``: by letter case, NTFS streams, short names, final dots."""
    folded = unicodedata.normalize("NFKC", segment).casefold().split(":")[0].rstrip(" .")
    return folded == ".git" or re.fullmatch(r"git~\d+", folded) is not None


def check_ref(name: str) -> str:
    """The full name of a branch or tag (``refs/heads/x``), if git allows it and nobody takes it for something else.

    Raises:
        BadName: with what to change.
    """
    short = name.split("/", 2)[-1]
    if not short or _REF_REFUSED.search(short):
        raise BadName(
            short, "git does not allow it as the name of a branch or tag (spaces, '..', '~^:?*[\\' and such)."
        )
    if len(name.encode(errors="surrogatepass")) > MAX_REF_BYTES:
        raise BadName(short[:80] + "…", f"it is longer than {MAX_REF_BYTES} bytes.")
    if any(unicodedata.category(char) in _REFUSED_CATEGORIES for char in short):
        raise BadName(ascii(short), "it holds an invisible character.")
    if short in ("HEAD", "@") or short.startswith(("-", "refs/")) or re.fullmatch(r"[0-9a-fA-F]{40}", short):
        raise BadName(short, "it would be taken for something else.")
    return name

"""Before an upload: which files belong in git, which are large files, which are to be left out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headwater.accounts import Action
from headwater.hub import quotas
from headwater.hub.content.reading import Revision, open_revision
from headwater.hub.git import EntryKind, Snapshot
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.names import check_path
from headwater.kernel import Actor, CommitId, GitOid, Sha256
from headwater.web import Site

MAX_RULES_BYTES = 256 << 10
LARGE_BYTES = 10_000_000  # what a push may hold outside git LFS, too
LARGE_BINARY_BYTES = 1 << 20


@dataclass(frozen=True)
class Candidate:
    path: str
    sample: bytes
    size_bytes: int


@dataclass(frozen=True)
class Plan:
    """``oid`` names the bytes at that path now, as the client would name its own: sha256 or git's object id."""

    path: str
    is_large: bool
    is_ignored: bool
    oid: Sha256 | GitOid | None


def plan_uploads(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    revision: str,
    candidates: Sequence[Candidate],
    *,
    git_ignore: str | None,
    as_pull: bool,
) -> list[Plan]:
    """How each candidate should come. ``git_ignore`` is the sender's own; else the repository's applies.

    Raises:
        BadPath: a file could not lie there.
        QuotaExceeded: it is plain already that there is no room for them.
        As ``open_revision``; a stranger may ask when a pull request is what they want.
    """
    for candidate in candidates:
        check_path(candidate.path)
    action = Action.DISCUSS if as_pull or revision.startswith("refs/pr/") else Action.WRITE
    with open_revision(site, actor, kind, name, revision, action=action) as at:
        attributes = Attributes(at.snap, at.commit)
        ignored = _ignored(at, git_ignore, [c.path for c in candidates])
        plans = []
        for candidate in candidates:
            entry = at.snap.entry(at.commit, candidate.path)
            oid = None if entry is None or entry.kind is not EntryKind.FILE else entry.sha256 or entry.oid
            plans.append(Plan(candidate.path, _is_large(candidate, attributes), candidate.path in ignored, oid))
        large = [candidate.size_bytes for candidate, plan in zip(candidates, plans, strict=True) if plan.is_large]
        site.db.read(quotas.require_room, actor, at.repo.id, large)
        return plans


class Attributes:
    """Which paths ``.gitattributes`` sends through git LFS at one commit; files nearer to the path win."""

    def __init__(self, snap: Snapshot, commit: CommitId) -> None:
        self._snap = snap
        self._commit = commit
        self._rules: dict[str, list[tuple[object, bool]]] = {}

    def is_large(self, path: str) -> bool:
        folder = path.rpartition("/")[0]
        while True:
            below = path[len(folder) + 1 :] if folder else path
            for pattern, is_large in reversed(self._rules_of(folder)):
                if pattern.match_file(below) is not None:  # type: ignore[attr-defined]
                    return is_large
            if not folder:
                return False
            folder = folder.rpartition("/")[0]

    def _rules_of(self, folder: str) -> list[tuple[object, bool]]:
        if folder not in self._rules:
            text = read_rules(self._snap, self._commit, f"{folder}/.gitattributes" if folder else ".gitattributes")
            self._rules[folder] = list(parse_attributes(text))
        return self._rules[folder]


def parse_attributes(text: str) -> Iterable[tuple[object, bool]]:
    """(compiled pattern, whether it sets ``filter=lfs``) for each line that speaks of a filter."""
    from pathspec.patterns.gitignore.basic import GitIgnoreBasicPattern

    for line in text.splitlines():
        words = line.split()
        if len(words) < 2 or words[0].startswith(("#", "[", "!")):
            continue
        filters = [word for word in words[1:] if word.lstrip("-!").partition("=")[0] == "filter"]
        if filters:
            yield GitIgnoreBasicPattern(words[0].strip('"')), filters[-1] == "filter=lfs"


def read_rules(snap: Snapshot, commit: CommitId, path: str) -> str:
    """The text of a rules file, "" where there is none or it is absurdly long."""
    entry = snap.entry(commit, path)
    if entry is None or entry.kind is not EntryKind.FILE or entry.is_pointer or entry.size_bytes > MAX_RULES_BYTES:
        return ""
    return snap.read_blob(entry.oid, limit_bytes=MAX_RULES_BYTES).decode("utf-8", "replace")


def _is_large(candidate: Candidate, attributes: Attributes) -> bool:
    if candidate.size_bytes == 0:
        return False  # the protocol: empty files are always regular
    if candidate.size_bytes > LARGE_BYTES or attributes.is_large(candidate.path):
        return True
    return candidate.size_bytes > LARGE_BINARY_BYTES and is_binary(candidate.sample)


def is_binary(sample: bytes) -> bool:
    """Whether the beginning of a file is no text: a NUL, or no UTF-8 (a character cut off at the end is fine)."""
    if b"\0" in sample:
        return True
    try:
        sample.decode()
    except UnicodeDecodeError as exc:
        return exc.start < len(sample) - 3
    return False


def _ignored(at: Revision, git_ignore: str | None, paths: Sequence[str]) -> set[str]:
    text = read_rules(at.snap, at.commit, ".gitignore") if git_ignore is None else git_ignore[:MAX_RULES_BYTES]
    if not text.strip():
        return set()
    from pathspec import GitIgnoreSpec

    return set(GitIgnoreSpec.from_lines(text.splitlines()).match_files(paths))

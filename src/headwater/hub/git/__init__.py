"""Git: immutable packs and refs in SQL, a disposable cache on disk, and the smart HTTP door.

    with site.part(GitStore).open(repo.id) as snap:
        commit = snap.resolve("main")
        built = build_commit(snap, commit, [AddFile("a.txt", b"hello")], author_name=..., ...)
    publish(site, actor, repo.id, [RefMove("refs/heads/main", commit, built.commit)], built, epoch=snap.prune_epoch, now=...)

pygit2 is imported on first use only.
"""

from headwater.hub.events import RefMove
from headwater.hub.git.build import build_commit, is_retry_of, squash_commit
from headwater.hub.git.cache import GitStore
from headwater.hub.git.merge import merge_commit
from headwater.hub.git.models import (
    AddFile,
    AddPointer,
    BuiltCommit,
    BuiltPack,
    ChangeKind,
    CommitInfo,
    CopyEntry,
    DeleteFile,
    DeleteFolder,
    Diff,
    EntryKind,
    FileChange,
    Hunk,
    Line,
    MergeResult,
    Operation,
    Pointer,
    TreeEntry,
)
from headwater.hub.git.pointers import format_pointer, parse_pointer
from headwater.hub.git.publish import Published, publish, publish_first
from headwater.hub.git.snapshot import Snapshot, TreeColumns, find_ref
from headwater.hub.git.store import find_pointers
from headwater.hub.git.tags import build_tag
from headwater.hub.names import check_ref as check_ref_name

__all__ = [
    "AddFile",
    "AddPointer",
    "BuiltCommit",
    "BuiltPack",
    "ChangeKind",
    "CommitInfo",
    "CopyEntry",
    "DeleteFile",
    "DeleteFolder",
    "Diff",
    "EntryKind",
    "FileChange",
    "GitStore",
    "Hunk",
    "Line",
    "MergeResult",
    "Operation",
    "Pointer",
    "Published",
    "RefMove",
    "Snapshot",
    "TreeColumns",
    "TreeEntry",
    "build_commit",
    "build_tag",
    "check_ref_name",
    "find_pointers",
    "find_ref",
    "format_pointer",
    "is_retry_of",
    "merge_commit",
    "parse_pointer",
    "publish",
    "publish_first",
    "squash_commit",
]

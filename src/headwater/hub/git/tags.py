"""Annotated tags made by this server."""

from __future__ import annotations

from datetime import datetime

from headwater.hub.git import objects
from headwater.hub.git.models import BuiltPack
from headwater.hub.git.packs import PackWriter
from headwater.hub.git.snapshot import Snapshot
from headwater.kernel import CommitId


def build_tag(
    snap: Snapshot, commit: CommitId, name: str, message: str, *, author_name: str, author_email: str, now: datetime
) -> tuple[BuiltPack, CommitId]:
    """The tag object ``name`` (short) on a commit, as a pack, and its id; publish it under ``refs/tags/<name>``."""
    title, _, body = message.strip().partition("\n")
    commit_data = objects.format_commit(
        commit,
        (),
        author_name=author_name,
        author_email=author_email,
        author_s=int(now.timestamp()),
        committer_s=int(now.timestamp()),
        message=objects.format_message(title, body),
    )
    # The same signature and message as in a commit, below other headers.
    head, _, text = commit_data.partition(b"\n\n")
    who = head.rpartition(b"\ncommitter ")[2]
    data = b"object %s\ntype commit\ntag %s\ntagger %s\n\n%s" % (commit.encode(), name.encode(), who, text)
    with PackWriter(snap.owner.blobs.tmp) as pack:
        oid = CommitId(pack.add(objects.TAG, data).hex())
        return pack.finish(), oid

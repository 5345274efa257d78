"""What follows when refs move, in the same transaction: jobs, pull requests, webhooks, and the record last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from headwater import ledger, queue
from headwater.db import Tx
from headwater.hub.models import Repository
from headwater.kernel import Actor, CommitId, RepoId

INDEX_REPOSITORY = "hub.index_repository"
BUILD_LAST_CHANGED = "hub.build_last_changed"

SETTLE_S = 1.0  # commits come in bursts; readers of a lagging index are answered from the commit itself
MERGE_PACKS = "hub.merge_packs"
PRUNE_REPOSITORY = "hub.prune_repository"
COLLECT_BYTES = "hub.collect_bytes"
MARK_MERGED = "hub.mark_merged"
JUDGE_FILE = "hub.judge_file"
CONVERT_FILE = "hub.convert_file"


Changed = Callable[[Tx, RepoId, datetime], None]
_ON_CHANGE: list[Changed] = []


def on_change(act: Changed) -> None:
    """Have ``act`` called in each transaction after which something else may be said of a repository: its card was read anew, a ref that is not
    its default branch moved, or it was created, renamed, hidden, shown, gated or deleted. It does no more than queue a job.

    For packages that stand on the hub: each calls this once, in its ``install``.
    """
    if act not in _ON_CHANGE:
        _ON_CHANGE.append(act)


def repository_changed(tx: Tx, repo_id: RepoId, now: datetime) -> None:
    for act in _ON_CHANGE:
        act(tx, repo_id, now)


@dataclass(frozen=True)
class RefMove:
    """One ref from ``old`` to ``new``; None stands for "not there"."""

    ref: str
    old: CommitId | None
    new: CommitId | None


def refs_moved(tx: Tx, actor: Actor, repo: Repository, moves: list[RefMove], now: datetime) -> None:
    """Called by ``git.publish`` once the refs are moved; ``repo`` is as it was before."""
    from headwater.hub.community import pull_requests_moved, queue_webhooks
    from headwater.hub.community.reaching import look_later

    default_ref = f"refs/heads/{repo.default_branch}"
    if any(move.ref == default_ref for move in moves):
        queue.put(tx, INDEX_REPOSITORY, {"repo_id": repo.id}, unique=str(repo.id), delay_s=SETTLE_S, now=now)
    if any(move.ref != default_ref for move in moves):
        repository_changed(tx, repo.id, now)  # of the default branch, once its card has been read
    heads = [move.new for move in moves if move.new is not None]
    if heads:
        queue.put(tx, BUILD_LAST_CHANGED, {"repo_id": repo.id}, unique=str(repo.id), delay_s=SETTLE_S, now=now)
    pull_requests_moved(tx, actor, repo, moves, now)
    for move in moves:
        if move.new is not None and move.ref.startswith("refs/heads/"):
            look_later(tx, actor, repo.id, move.ref, move.old, now)
    queue_webhooks(
        tx,
        repo,
        scope="repo.content",
        action="update",
        facts={"updatedRefs": [{"ref": m.ref, "oldSha": m.old, "newSha": m.new} for m in moves]},
        now=now,
    )
    for move in moves:
        ledger.record(
            tx,
            actor,
            "ref.moved",
            repo.path,
            {"ref": move.ref, "old": move.old, "new": move.new},
            private=repo.is_private,
            repo_id=repo.id,
            owner_id=repo.owner_id,
            now=now,
        )

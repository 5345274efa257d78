"""Duplicating a repository: a new pack of what its branches and tags reach, and the rights on the large files they name.

Nothing else is copied: git serves any object of a store by its id, so what only pull requests or lost commits reach must
not come along (storage rules, 1).
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from headwater import ledger
from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub import access, search
from headwater.hub.events import RefMove
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.repos.service import delete_repository, insert_repository
from headwater.kernel import Actor, CommitId, GitOid, Sha256, utcnow
from headwater.web import Site

if TYPE_CHECKING:
    from headwater.hub.git import BuiltPack, Snapshot

PACK_TIMEOUT_S = 3600


def duplicate_repository(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    source_name: RepoName,
    target: RepoName,
    *,
    is_private: bool | None = None,
    now: datetime | None = None,
) -> Repository:
    """A new repository with the branches, tags and large files of another.

    It is private if the source is, or if asked for; a private source never becomes a public copy by default, and only
    who administers it may make one.

    Raises:
        RepositoryNotFound, GateClosed, NotAllowed: the source's files are not the actor's to read, or the target's
            namespace not theirs to create in.
        NameTaken, NameLeadsOn, BadName: as for ``create_repository``.
        CloneHeld: the source holds files back from the actor.
    """
    from headwater.hub import gate
    from headwater.hub.git import GitStore, publish

    now = now or utcnow()
    private = is_private
    source = site.db.read(access.get_repository, actor, kind, source_name, Action.READ_FILES)
    site.db.read(gate.require_copy, actor, source)
    if private is None:
        private = source.is_private
    if source.is_private and not private:
        site.db.read(access.get_repository, actor, kind, source_name, Action.ADMIN)
    with site.part(GitStore).open(source.id) as snap, tempfile.TemporaryDirectory(dir=site.blobs.tmp) as folder:
        refs = {name: oid for name, oid in snap.refs.items() if name.startswith(("refs/heads/", "refs/tags/"))}
        packed = _pack(snap, sorted(set(refs.values())), Path(folder))
        target_repo = site.db.write(_insert, site, actor, source, target, is_private=private, now=now)
        try:
            paths = site.db.read(_large_files, packed.oids)
            publish(
                site,
                actor,
                target_repo.id,
                [RefMove(name, None, CommitId(oid)) for name, oid in refs.items()],
                packed.pack,
                epoch=target_repo.prune_epoch,
                now=now,
                paths=paths,
                also=partial(_hold_alike, actor, source, target_repo, {*packed.oids, *paths}, now),
            )
        except BaseException:
            site.db.write(delete_repository, actor, kind, target_repo.name, now=now)
            raise
    return site.db.read(access.get_repository_by_id, actor, target_repo.id, Action.READ)


@dataclass(frozen=True)
class _Packed:
    pack: BuiltPack
    oids: Sequence[GitOid]


def _pack(snap: Snapshot, tips: Sequence[str], folder: Path) -> _Packed:
    """Everything that ``tips`` reach, as one pack with its index."""
    from headwater.hub.git import BuiltPack

    lines = "".join(f"{oid}\n" for oid in tips).encode()
    out = snap.run_git(
        "pack-objects",
        "--revs",
        "--delta-base-offset",
        "-q",
        str(folder / "pack"),
        stdin=lines,
        timeout_s=PACK_TIMEOUT_S,
    )
    name = out.decode().strip()
    data, idx = folder / f"pack-{name}.pack", folder / f"pack-{name}.idx"
    oids = [
        GitOid(line.split()[1]) for line in snap.run_git("show-index", stdin=idx.read_bytes()).decode().splitlines()
    ]
    pack = BuiltPack(name, len(oids), data.stat().st_size, idx, data, is_lent=True)
    return _Packed(pack, oids)


def _large_files(tx: Tx, oids: Sequence[GitOid]) -> dict[Sha256, str]:
    from headwater.hub.git import find_pointers

    return {pointer.sha256: "" for pointer in find_pointers(tx, oids).values()}


def _hold_alike(
    actor: Actor, source: Repository, target: Repository, contents: set[str], now: datetime, tx: Tx
) -> None:
    """What the source holds back of these, its copy does, too; asked where it counts, for files may be held since they were packed.

    Raises:
        CloneHeld
    """
    from headwater.hub import gate
    from headwater.hub.gate import store

    gate.require_copy(tx, actor, source)
    held = {key: path for key, path in store.copy_holds(tx, source.id).items() if key[0] in contents}
    store.hold(tx, target.id, held, pull=0, now=now)
    store.copy_due(tx, source.id, target.id)


def _insert(
    tx: Tx, site: Site, actor: Actor, source: Repository, target: RepoName, *, is_private: bool, now: datetime
) -> Repository:
    repo = insert_repository(tx, site, actor, source.kind, target, is_private=is_private, sdk=source.sdk, now=now)
    search.refresh(tx, repo.id)
    ledger.record(
        tx,
        actor,
        "repository.duplicated",
        repo.path,
        {"repo_id": repo.id, "from": source.id, "private": is_private},
        private=is_private or source.is_private,
        repo_id=repo.id,
        owner_id=repo.owner_id,
        now=now,
    )
    return repo

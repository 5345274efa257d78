"""A site with a little of everything that can be kept, made through the services as the doors call them."""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

from headwater.hub import files
from headwater.hub.content import refs
from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Change, Deleted, Draft, InlineFile, LargeFile
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.repos import service as repos
from headwater.hub.xet import ingest
from headwater.kernel import SYSTEM, Actor, RepoId, Sha256, utcnow
from tests.storage import Storage, make_storage
from tests.xet.making import Body, MadeXorb, grant_of, make_shard

MODEL = RepoKind.MODEL
OPEN, CLOSED, GONE = RepoName("ada", "open"), RepoName("ada", "closed"), RepoName("ada", "gone")


def draft(*changes: Change, title: str = "change", parent: str | None = None) -> Draft:
    return Draft(title, "", parent, list(changes))


def commit(
    storage: Storage, actor: Actor, name: RepoName, *changes: Change, revision: str = "main", as_pull: bool = False
) -> str:
    done = commit_draft(storage.site, actor, MODEL, name, revision, draft(*changes), as_pull=as_pull)
    return done.commit


def put_plain(storage: Storage, actor: Actor, repo_id: RepoId, data: bytes) -> Sha256:
    return files.store_plain(storage.site, actor, repo_id, data)


def put_by_xet(storage: Storage, person: str, repo_id: RepoId, *xorbs: MadeXorb) -> Sha256:
    """One file of all chunks of these xorbs."""
    grant = grant_of(storage, person, repo_id)
    for xorb in xorbs:
        ingest.accept_xorb(storage.site, grant, xorb.name, Body(xorb.body))
    data = b"".join(chunk for xorb in xorbs for chunk in xorb.chunks)
    digest = Sha256(hashlib.sha256(data).hexdigest())
    shard = make_shard([([(xorb, 0, len(xorb.chunks)) for xorb in xorbs], digest)])
    ingest.finish_shard(storage.site, grant, ingest.check_shard(storage.site, grant, shard), lambda _: None)
    return digest


def make_varied(data_dir: Path) -> Storage:
    """Public and private, small and large, branches, tags, a pull request, something deleted."""
    storage = make_storage(data_dir, hub=True)
    site, rng = storage.site, random.Random(7)
    ada = storage.person("ada")
    eve = storage.person("eve")
    ids = {
        name: repos.create_repository(site, ada, MODEL, name, is_private=name is CLOSED).id
        for name in (OPEN, CLOSED, GONE)
    }
    for name in (OPEN, CLOSED):
        commit(storage, ada, name, InlineFile("README.md", f"# {name.name}\n".encode()))
        whole = put_plain(storage, ada, ids[name], rng.randbytes(300_000))
        xorbs = [MadeXorb([rng.randbytes(9_000 + 500 * n) for n in range(12)]) for _ in range(2)]
        pieces = put_by_xet(storage, "ada", ids[name], *xorbs)
        commit(storage, ada, name, LargeFile("whole.bin", whole, None), LargeFile("in/pieces.bin", pieces, None))
        # Too large for its row: this pack lies among the objects.
        commit(storage, ada, name, InlineFile("notes.txt", rng.randbytes(100_000).hex().encode()))
        for n in range(3):
            commit(storage, ada, name, InlineFile(f"folder/{n}.txt", rng.randbytes(40).hex().encode()))
        refs.create_branch(site, ada, MODEL, name, "side")
        commit(storage, ada, name, Deleted("folder/0.txt", is_folder=False), revision="side")
        refs.create_tag(site, ada, MODEL, name, "v1", message="the first")
    refs.create_branch(site, ada, MODEL, OPEN, "short")
    refs.delete_branch(site, ada, MODEL, OPEN, "short")
    commit(storage, eve, OPEN, InlineFile("idea.txt", b"from eve"), as_pull=True)
    site.db.write(repos.delete_repository, SYSTEM, MODEL, GONE, now=utcnow())
    return storage

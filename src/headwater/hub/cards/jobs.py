"""Bringing the index to a repository's present head: card, tags, files, used storage, search document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, update

from headwater.accounts import Action
from headwater.blobs import ByteSource
from headwater.db import Tx, prepared
from headwater.hub import access
from headwater.hub.cards import store
from headwater.hub.cards.changes import files_between, files_from_list
from headwater.hub.cards.models import Card, Sibling
from headwater.hub.cards.reading import read_card
from headwater.hub.cards.service import held_in
from headwater.hub.cards.vocabulary import SDKS
from headwater.hub.errors import RepositoryNotFound
from headwater.hub.models import RepoKind, Repository
from headwater.hub.search.documents import Body, body_of
from headwater.hub.search.indexing import refresh
from headwater.hub.tables.repositories import repository
from headwater.kernel import SYSTEM, CommitId, RepoId, Sha256, utcnow
from headwater.web import Site

_ATTEMPTS = 3

_SET_SIZE = prepared(
    update(repository).where(repository.c.id == bindparam("at_repo")).values(size_bytes=bindparam("now_bytes"))
)


class IndexMoved(Exception):
    """Another process indexed the same repository meanwhile; the queue tries again."""


def index_repository(site: Site, payload: Mapping[str, Any]) -> None:
    """The job's handler; payload ``{"repo_id": int}``. Safe to repeat, and to run beside itself."""
    index_now(site, RepoId(payload["repo_id"]))


def index_now(site: Site, repo_id: RepoId) -> None:
    """Index the present head, and return once it can be seen. For after a commit that touched README.md.

    Raises:
        IndexMoved: others indexed it at the same time, three times in a row.
    """
    for _ in range(_ATTEMPTS):
        if _index_once(site, repo_id):
            return
    raise IndexMoved(repo_id)


def _index_once(site: Site, repo_id: RepoId) -> bool:
    with site.db.reading() as tx:
        try:
            repo = access.get_repository_by_id(tx, SYSTEM, repo_id, Action.READ)
        except RepositoryNotFound:
            repo = None
        before = store.indexed_commit(tx, repo_id)
        used = store.used_storage(tx, repo_id)
    if repo is None:
        site.db.write(_forget, repo_id)
        return True
    card, put, gone = _read(site, repo, before)
    return site.db.write(_write, repo, card, body_of(card), put, gone, before, used)


def _read(site: Site, repo: Repository, before: CommitId | None) -> tuple[Card, list[Sibling], list[str]]:
    """All that needs git and blobs, outside of any transaction."""
    from headwater.hub import files
    from headwater.hub.git import GitStore

    def open_large(sha256: Sha256) -> ByteSource | None:
        try:
            return files.open_file(site, repo.id, sha256)
        except files.LargeFileNotFound:
            return None

    with site.part(GitStore).open(repo.id) as snap:
        head = snap.head_commit()
        if head is None:
            return Card(commit=None), [], []
        if before is not None and not snap.has_object(before):
            # Pruned since: the list is compared as it stands in the table.
            put, gone = files_from_list(snap, site.db.read(store.list_siblings, repo.id), head)
        else:
            put, gone = files_between(snap, before, head)
        return read_card(snap, head, repo.kind, is_held=held_in(site, repo.id), open_large=open_large), put, gone


def _write(
    tx: Tx,
    repo: Repository,
    card: Card,
    body: Body,
    put: list[Sibling],
    gone: list[str],
    before: CommitId | None,
    used: int,
) -> bool:
    if store.indexed_commit(tx, repo.id) != before:
        return False  # ``put`` and ``gone`` start from another commit than the table now stands at
    now = utcnow()
    store.change_files(tx, repo.id, put, gone)
    card = replace(card, n_files=store.count_files(tx, repo.id), used_storage_bytes=used)
    store.put_card(tx, repo.id, repo.kind, card, now=now)
    tx.execute(_SET_SIZE, {"at_repo": repo.id, "now_bytes": store.packed_storage(tx, repo.id)})
    if repo.kind is RepoKind.SPACE and card.data.get("sdk") in SDKS:
        tx.execute(update(repository).where(repository.c.id == repo.id).values(sdk=card.data["sdk"]))
    refresh(tx, repo.id, body=body)
    return True


def _forget(tx: Tx, repo_id: RepoId) -> None:
    store.delete_card(tx, repo_id)
    refresh(tx, repo_id)

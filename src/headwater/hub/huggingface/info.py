"""What is known of one repository at one revision: ``GET /api/{type}/{ns}/{name}[/revision/{rev}]``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from headwater.accounts import Action
from headwater.db import Tx
from headwater.hub import access, cards, files
from headwater.hub.cards import Card
from headwater.hub.content.errors import BadParameter
from headwater.hub.content.known import KnownFacts
from headwater.hub.gate import repository_security
from headwater.hub.git import GitStore, Snapshot
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import Actor, CommitId, Sha256, to_iso
from headwater.web import Site

ALL = (
    "author", "cardData", "createdAt", "disabled", "downloads", "downloadsAllTime", "gated", "lastModified", "likes",
    "private", "resourceGroup", "sha", "siblings", "tags", "trendingScore", "usedStorage", "xetEnabled", "gitalyUid",
)  # fmt: skip
EXPANDABLE = {
    RepoKind.MODEL: (
        *ALL, "baseModels", "childrenModelCount", "config", "evalResults", "gguf", "inference",
        "inferenceProviderMapping", "library_name", "mask_token", "model-index", "pipeline_tag", "safetensors",
        "securityRepoStatus", "spaces", "transformersInfo", "widgetData",
    ),
    RepoKind.DATASET: (*ALL, "citation", "description", "mainSize", "paperswithcode_id"),
    RepoKind.SPACE: (*ALL, "datasets", "host", "models", "runtime", "sdk", "subdomain", "region"),
}  # fmt: skip
SHOWN = {
    RepoKind.MODEL: (
        "author", "sha", "lastModified", "createdAt", "private", "gated", "disabled", "downloads", "likes", "tags",
        "library_name", "pipeline_tag", "mask_token", "model-index", "config", "cardData", "transformersInfo",
        "safetensors", "gguf", "widgetData", "siblings", "spaces", "usedStorage",
    ),
    RepoKind.DATASET: (
        "author", "sha", "lastModified", "createdAt", "private", "gated", "disabled", "downloads", "likes", "tags",
        "citation", "description", "paperswithcode_id", "cardData", "siblings", "usedStorage",
    ),
    RepoKind.SPACE: (
        "author", "sha", "lastModified", "createdAt", "private", "gated", "disabled", "likes", "tags", "sdk",
        "subdomain", "host", "runtime", "cardData", "siblings", "models", "datasets", "usedStorage",
    ),
}  # fmt: skip
# Left out of the whole answer where there is nothing to say; named in ``expand`` they are null.
_OPTIONAL = frozenset(
    {"mask_token", "model-index", "config", "transformersInfo", "safetensors", "gguf", "widgetData", "library_name",
     "pipeline_tag", "citation", "description", "paperswithcode_id", "cardData", "host", "subdomain", "runtime"}
)  # fmt: skip


@dataclass(frozen=True)
class Info:
    """``shown`` is the JSON answer."""

    repo: Repository
    shown: dict[str, Any]


def read_info(
    site: Site,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    revision: str | None,
    *,
    expand: tuple[str, ...],
    with_blobs: bool,
    with_security: bool,
) -> Info:
    """The answer, whole or only what ``expand`` names.

    Raises:
        BadParameter: ``expand`` names what is not known.
        RepositoryNotFound, RevisionNotFound, AmbiguousRevision.
    """
    wanted = _wanted(kind, expand, with_security=with_security)
    repo = site.db.read(access.get_repository, actor, kind, name, Action.READ)
    commit = repo.head_commit
    if revision is not None:
        with site.part(GitStore).open(repo.id) as snap:
            commit = snap.resolve(revision, repo.default_branch)
    facts = _Facts(site, repo, commit, with_blobs=with_blobs)
    if not expand:
        facts.remember()
    return _told(repo, facts, wanted, is_whole=not expand)


def read_info_at_once(
    site: Site,
    tx: Tx,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    *,
    expand: tuple[str, ...],
    with_blobs: bool,
    with_security: bool,
) -> tuple[Repository, bytes] | None:
    """As ``read_info`` for the default branch, from the open snapshot and from memory alone; None where that does not do.

    Gives the answer as JSON: it is the same for all who may read it.

    Raises:
        BadParameter, RepositoryNotFound.
    """
    wanted = _wanted(kind, expand, with_security=with_security)
    repo = access.get_repository(tx, actor, kind, name, Action.READ)

    def tell() -> bytes | None:
        stamp = cards.find_stamp(tx, repo.id)
        if stamp is None or stamp[0] != repo.head_commit:
            return None
        known = site.part(KnownFacts).find((repo.id, with_blobs), stamp)
        if known is None:
            return None
        facts = _Facts(site, repo, repo.head_commit, with_blobs=with_blobs, known=known)
        return orjson.dumps(_told(repo, facts, wanted, is_whole=not expand).shown)

    shown = tx.remembered(("info", repo.id, expand, with_blobs, with_security), tell)
    return None if shown is None else (repo, shown)


def _wanted(kind: RepoKind, expand: tuple[str, ...], *, with_security: bool) -> tuple[str, ...]:
    for word in expand:
        if word not in EXPANDABLE[kind]:
            raise BadParameter("expand", f"{word[:40]!r} is not one of {', '.join(sorted(EXPANDABLE[kind]))}")
    return expand or (SHOWN[kind] + (("securityRepoStatus",) if with_security and kind is RepoKind.MODEL else ()))


def _told(repo: Repository, facts: _Facts, wanted: tuple[str, ...], *, is_whole: bool) -> Info:
    shown: dict[str, Any] = {"_id": f"{repo.id:024x}", "id": str(repo.name)}
    if repo.kind is RepoKind.MODEL and is_whole:
        shown["modelId"] = str(repo.name)
    for word in wanted:
        value = facts.get(word)
        if value is None and is_whole and word in _OPTIONAL:
            continue
        shown[word] = value
    return Info(repo, shown)


def plain_facts(repo: Repository) -> dict[str, Any]:
    """What the repository's own row tells."""
    return {
        "author": repo.name.namespace,
        "private": repo.is_private,
        "gated": repo.gated or False,
        "disabled": repo.is_disabled,
        "createdAt": to_iso(repo.created_at),
        "lastModified": to_iso(repo.updated_at),
        "likes": repo.n_likes,
        "downloads": repo.n_downloads,
        "downloadsAllTime": repo.n_downloads,
        "trendingScore": repo.trending_score,
        "sdk": repo.sdk,
        "xetEnabled": True,
        "spaces": [],
        "baseModels": None,
        "childrenModelCount": {},
        "inferenceProviderMapping": [],
        "evalResults": [],
    }


def card_facts(card: Card) -> dict[str, Any]:
    """What the card and the files' heads tell."""
    data = card.data
    return {
        **card.facts,
        "cardData": dict(data) or None,
        "tags": list(card.tags),
        "library_name": card.library,
        "pipeline_tag": card.pipeline_tag,
        "model-index": data.get("model-index"),
        "models": _texts(data.get("models")),
        "datasets": _texts(data.get("datasets")),
        "paperswithcode_id": data.get("paperswithcode_id"),
        "mask_token": data.get("mask_token"),
        "widgetData": data.get("widget"),
    }


class _Facts:
    """Finds each fact when it is first asked for; card and tree are read at most once.

    ``known`` is what ``remember`` has kept: then neither is read.
    """

    def __init__(
        self,
        site: Site,
        repo: Repository,
        commit: CommitId | None,
        *,
        with_blobs: bool,
        known: Mapping[str, Any] | None = None,
    ) -> None:
        self._site = site
        self._repo = repo
        self._commit = commit
        self._with_blobs = with_blobs
        self._plain = plain_facts(repo)
        self._card: Mapping[str, Any] | None = known
        self._files: Any = None if known is None else known["siblings"]

    def get(self, word: str) -> Any:
        if word in self._plain:
            return self._plain[word]
        match word:
            case "sha":
                return self._commit
            case "siblings":
                return self._siblings()
            case "usedStorage":
                return self._used_storage()
            case "securityRepoStatus":
                return self._site.db.read(repository_security, self._repo.id).to_json()
        return self._of_card().get(word)

    def remember(self) -> None:
        """Keep what the index says, where it stands at this commit, as JSON for those who ask next."""
        stamp = self._site.db.read(cards.find_stamp, self._repo.id)
        if stamp is None or stamp[0] != self._commit:
            return
        found = {**self._of_card(), "siblings": self._siblings()}
        texts = {word: orjson.dumps(value) for word, value in found.items() if value is not None}
        self._site.part(KnownFacts).keep((self._repo.id, self._with_blobs), stamp, texts, orjson.Fragment)

    def _of_card(self) -> Mapping[str, Any]:
        if self._card is None:
            self._card = card_facts(cards.card_at(self._site, self._repo, self._commit))
        return self._card

    def _used_storage(self) -> int:
        return self._site.db.read(files.repo_stored_bytes, self._repo.id) + self._repo.size_bytes

    def _siblings(self) -> Any:
        if self._files is None:
            self._files = self._list_siblings()
        return self._files

    def _list_siblings(self) -> list[dict[str, Any]]:
        if self._commit is None:
            return []
        known = self._site.db.read(cards.list_siblings, self._repo.id, self._commit)
        if known is not None:
            return [self._sibling(s.path, s.oid, s.size_bytes, s.sha256, s.pointer_size) for s in known]
        with self._site.part(GitStore).open(self._repo.id) as snap:
            return self._from_tree(snap, self._commit)

    def _from_tree(self, snap: Snapshot, commit: CommitId) -> list[dict[str, Any]]:
        return [
            self._sibling(entry.path, entry.oid, entry.size_bytes, entry.sha256, entry.pointer_size)
            for entry in snap.iter_files(commit)
        ]

    def _sibling(
        self, path: str, oid: str, size_bytes: int, sha256: Sha256 | None, pointer_size: int | None
    ) -> dict[str, Any]:
        shown: dict[str, Any] = {"rfilename": path}
        if self._with_blobs:
            shown |= {"size": size_bytes, "blobId": oid}
            if sha256 is not None:
                # Here the key is ``sha256``; in ``tree`` the same thing is called ``oid``.
                shown["lfs"] = {"sha256": sha256, "size": size_bytes, "pointerSize": pointer_size}
        return shown


def _texts(value: Any) -> list[str] | None:
    if isinstance(value, str):
        return [value]
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else None

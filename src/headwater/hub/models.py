"""What repositories are; no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from functools import cached_property

from headwater.accounts import Resource
from headwater.kernel import AccountId, CommitId, RepoId


class RepoKind(Enum):
    """As it is kept. Code and apps are both ``spaces`` on the wire; code is a space whose ``sdk`` is ``static``."""

    MODEL = "model"
    DATASET = "dataset"
    SPACE = "space"

    @property
    def plural(self) -> str:
        """The word in API paths: ``models``, ``datasets``, ``spaces``."""
        return f"{self.value}s"

    @property
    def url_prefix(self) -> str:
        """What stands before ``ns/name`` in page, resolve and git addresses; empty for models."""
        return "" if self is RepoKind.MODEL else f"{self.plural}/"

    @classmethod
    def from_plural(cls, word: str) -> RepoKind:
        return _BY_PLURAL.get(word) or cls(word)


_BY_PLURAL = {kind.plural: kind for kind in RepoKind}


@dataclass(frozen=True)
class RepoName:
    """``namespace/name`` as its owner spells it."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    @cached_property
    def key(self) -> str:
        """By which it is looked up: names that differ in letter case alone are one."""
        return str(self).casefold()


@dataclass(frozen=True)
class Repository:
    """One row of ``repository``. ``version`` moves with every change of refs or packs; caches compare it."""

    id: RepoId
    kind: RepoKind
    owner_id: AccountId
    name: RepoName
    sdk: str | None
    is_private: bool
    gated: str  # "", "auto", "manual"
    is_disabled: bool
    default_branch: str
    head_commit: CommitId | None
    version: int
    prune_epoch: int
    created_by: AccountId | None
    created_at: datetime
    updated_at: datetime
    size_bytes: int
    n_likes: int
    n_downloads: int
    trending_score: float

    @property
    def path(self) -> str:
        """``datasets/ns/name``: the address below the site's root, without a leading slash."""
        return f"{self.kind.url_prefix}{self.name}"

    @cached_property
    def resource(self) -> Resource:
        return Resource(
            owner_id=self.owner_id,
            repo_id=self.id,
            is_private=self.is_private,
            gated=self.gated,
            created_by=self.created_by,
            is_disabled=self.is_disabled,
        )

"""Repositories as recipes and runs name them: with their type before the name, models too."""

from __future__ import annotations

from headwater.hub.models import RepoKind, RepoName, Repository


def typed_path(repo: Repository) -> str:
    """``models/ada/tiny``."""
    return f"{repo.kind.plural}/{repo.name}"


def split_path(path: str) -> tuple[RepoKind, RepoName]:
    """The inverse of ``typed_path``."""
    plural, namespace, name = path.split("/")
    return RepoKind.from_plural(plural), RepoName(namespace, name)


def page_path(path: str) -> str:
    """The address of the page: models have no prefix there."""
    return path.removeprefix("models/")

"""Where things are: the one place that knows the addresses of pages. They are those of the public hub, so links in READMEs work."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from headwater.hub.models import RepoKind, Repository

PREFIXES = ("", "datasets/", "spaces/")


def kind_of(path: str) -> RepoKind:
    """The kind that an address names: by its first segment, else a model."""
    head = path.split("/", 2)[1]
    return RepoKind.from_plural(head) if head in ("datasets", "spaces") else RepoKind.MODEL


def repository(repo: Repository) -> str:
    return f"/{repo.path}"


def at(repo: Repository, view: str, revision: str, path: str = "") -> str:
    """``/ns/name/{view}/{revision}/{path}``; a revision's slashes are quoted, a path's stay."""
    tail = f"/{quote(path)}" if path else ""
    return f"/{repo.path}/{view}/{quote(revision, safe='')}{tail}"


def of(repo: Repository, view: str) -> str:
    return f"/{repo.path}/{view}"


def with_query(address: str, **values: str | int | None) -> str:
    """``address?a=b``; None is left out."""
    query = urlencode({key: value for key, value in values.items() if value is not None})
    return f"{address}?{query}" if query else address


def parent(path: str) -> str:
    return path.rpartition("/")[0]

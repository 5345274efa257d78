"""Under which name a commit made by this server is written."""

from __future__ import annotations

from dataclasses import dataclass

from headwater.kernel import Actor


@dataclass(frozen=True)
class Author:
    """``email`` tells nothing about the person: a commit can never be taken back."""

    name: str
    email: str


def author_of(actor: Actor) -> Author:
    """The author and committer of what ``actor`` does through the API or a page."""
    name = actor.name or "system"
    return Author(name, f"{name}@users.noreply")

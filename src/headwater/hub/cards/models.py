"""What a card is: a README's front matter and body, and what the files beside it tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headwater.kernel import CommitId, GitOid, Sha256


@dataclass(frozen=True)
class Problem:
    """What is wrong in a front matter. Only errors make the whole front matter count as absent."""

    message: str
    is_error: bool = True


@dataclass(frozen=True)
class Card:
    """What is known of a repository at ``commit`` from its README and its files; a pure function of that commit.

    ``data`` is the front matter as JSON (empty when it could not be read), ``text`` the README below it. ``tags`` are all that
    lists filter by, in the order in which they are shown. ``facts`` come from files: ``config``, ``safetensors``, ``gguf``,
    ``transformersInfo``, under the names of the protocol.
    """

    commit: CommitId | None
    readme_oid: GitOid | None = None
    text: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    tags: tuple[str, ...] = ()
    library: str | None = None
    pipeline_tag: str | None = None
    n_parameters: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    n_files: int = 0
    used_storage_bytes: int = 0

    @property
    def error(self) -> str | None:
        """Why the front matter was not read, if so: shown on the repository's page."""
        return next((problem.message for problem in self.problems if problem.is_error), None)


@dataclass(frozen=True)
class Sibling:
    """One file of the default branch's head."""

    path: str
    oid: GitOid
    size_bytes: int
    sha256: Sha256 | None = None
    pointer_size: int | None = None

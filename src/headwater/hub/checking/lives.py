"""Repositories as the record tells of them: which there are, under which names, who sees them; and under which each entry stands.

Entries say all of it from the first on, so what a name leads to, or that something was deleted, cannot be changed in its row alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from headwater import accounts, ledger
from headwater.db import Tx
from headwater.hub.checking.models import BY_HAND, Looking, Problem
from headwater.hub.models import RepoKind
from headwater.hub.tables.repositories import repository, repository_name
from headwater.kernel import RepoId
from headwater.ledger import Recorded

# Their subject has the form of a repository's name, and is none.
_OF_OTHERS = frozenset({"files.judged", "log.begun_anew"})
# What an act that began before a repository was moved, and ended after, may still have called it.
_STILL_CALLED_SO = timedelta(minutes=2)
_STEP = 1000
_Name = tuple[str, str]
"""Kind and folded name, as ``repository_name`` has them."""


@dataclass
class _Life:
    """``left``: until when it had each of its names; None for the present one. ``settings``: those that some entry tells of."""

    path: str
    left: dict[str, datetime | None] = field(default_factory=dict)
    is_made: bool = False
    is_deleted: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def was_called(self, path: str, at: datetime) -> bool:
        if path not in self.left:
            return False
        until = self.left[path]
        return until is None or at <= until + _STILL_CALLED_SO


@dataclass
class _Lives:
    by_id: dict[int, _Life] = field(default_factory=dict)
    names: dict[_Name, int] = field(default_factory=dict)
    misplaced: list[Recorded] = field(default_factory=list)
    homeless: dict[_Name, list[Recorded]] = field(default_factory=dict)
    """Entries under no repository, by a name that none had yet: the first commit is told of before what it is in."""

    def apply(self, entry: Recorded) -> None:
        """Raises: ValueError, KeyError, TypeError: it cannot be read."""
        path = entry.subject().partition("#")[0]
        if "/" not in path or entry.kind in _OF_OTHERS:
            return
        if entry.repo_id is None:
            if _name_of(path) in self.names:
                self.misplaced.append(entry)
            else:
                self.homeless.setdefault(_name_of(path), []).append(entry)
            return
        life = self.by_id.get(entry.repo_id)
        if life is None:  # its first commit is told of before itself
            life = self.by_id[entry.repo_id] = _Life(path)
            self._call(entry.repo_id, path, entry.created_at)
        if not life.was_called(path, entry.created_at):
            self.misplaced.append(entry)
            return
        facts = entry.facts()
        match entry.kind:
            case "repository.created" | "repository.duplicated":
                life.is_made = True
                life.settings = {"default_branch": "main", "gated": facts.get("gated", ""), "is_disabled": False}
                if "private" in facts:
                    life.settings["is_private"] = facts["private"]
            case "repository.moved":
                self._call(entry.repo_id, str(facts["to"]), entry.created_at)
            case "repository.deleted":
                life.is_deleted = True
            case "repository.settings_changed":
                life.settings |= {
                    name: facts[name] for name in ("default_branch", "gated", "is_private") if name in facts
                }
            case "repository.hidden" | "refs.shown":
                life.settings["is_private"] = entry.kind == "repository.hidden"
            case "repository.disabled" | "repository.enabled":
                life.settings["is_disabled"] = entry.kind == "repository.disabled"

    def _call(self, repo_id: int, path: str, at: datetime) -> None:
        life = self.by_id[repo_id]
        if life.path in life.left:
            life.left[life.path] = at
        life.path, life.left[path] = path, None
        self.names[_name_of(path)] = repo_id
        self.misplaced += (
            one for one in self.homeless.pop(_name_of(path), ()) if at <= one.created_at + _STILL_CALLED_SO
        )


def _name_of(path: str) -> _Name:
    for kind in RepoKind:
        if kind.url_prefix and path.startswith(kind.url_prefix):
            return kind.value, path.removeprefix(kind.url_prefix).casefold()
    return RepoKind.MODEL.value, path.casefold()


def check_lives(looking: Looking) -> Iterator[Problem]:
    """A checker: each repository's row, and its names, against what the record tells of it."""
    yield from looking.site.db.read(_compare)


def _compare(tx: Tx) -> list[Problem]:
    lives = _Lives()
    for entry in ledger.iter_entries(tx):
        try:
            lives.apply(entry)
        except (ValueError, KeyError, TypeError):
            continue  # another checker tells of it
    found = [
        Problem(
            "entry.misplaced",
            f"Entry {entry.id} of the record stands under another repository than it is about, or under none.",
            f"entry {entry.id}",
            BY_HAND,
            repo_id=None if entry.repo_id is None else RepoId(entry.repo_id),
        )
        for entry in lives.misplaced
    ]
    seen: set[int] = set()
    for row in _rows(tx):
        seen.add(row.id)
        found += _compare_row(tx, row, lives.by_id.get(row.id))
    for repo_id in lives.by_id.keys() - seen:
        what = f"The repository {lives.by_id[repo_id].path} stands in the record and is not here."
        found.append(Problem("repository.lost", what, f"repository {repo_id}", BY_HAND, repo_id=RepoId(repo_id)))
    return found + list(_compare_names(tx, lives))


def _rows(tx: Tx) -> Iterator[Any]:
    after = 0
    columns = ("id", "kind", "owner_id", "namespace", "name", "is_private", "gated", "is_disabled", "default_branch")
    query = select(*(repository.c[name] for name in columns), repository.c.deleted_at).order_by(repository.c.id)
    while rows := tx.execute(query.where(repository.c.id > after).limit(_STEP)).all():
        yield from rows
        after = rows[-1].id


def _compare_row(tx: Tx, row: Any, life: _Life | None) -> Iterator[Problem]:
    path = f"{RepoKind(row.kind).url_prefix}{row.namespace}/{row.name}"

    def differs(what: str) -> Problem:
        return Problem("repository.differs", f"{what}.", f"repository {row.id}", BY_HAND, repo_id=RepoId(row.id))

    if life is None or not life.is_made:
        yield differs(f"No entry of the record has made the repository {path}")
        return
    if path != life.path:
        yield differs(f"The repository {path} is {life.path} by the record")
    if (row.deleted_at is not None) != life.is_deleted:
        yield differs(
            f"{path} is {'' if row.deleted_at else 'not '}deleted, and by the record it is {'' if life.is_deleted else 'not '}so"
        )
    if life.is_deleted:
        return
    for name, told in life.settings.items():
        if getattr(row, name) != told:
            yield differs(f"{path} says {name}: {getattr(row, name)!r}, and the record {told!r}")
    owner = accounts.find_account(tx, row.namespace)
    if owner is None or owner.id != row.owner_id:
        yield differs(f"{path} belongs to another account than its name says")


def _compare_names(tx: Tx, lives: _Lives) -> Iterator[Problem]:
    there: dict[_Name, tuple[int, str]] = {}
    for row in tx.execute(select(repository_name)):
        there[row.kind, row.name_key] = row.repo_id, row.state
    told: Mapping[_Name, tuple[int, str]] = {
        name: (repo_id, _state(lives.by_id[repo_id], name)) for name, repo_id in lives.names.items()
    }
    for kind, key in sorted(there.keys() | told.keys()):
        if there.get((kind, key)) != told.get((kind, key)):
            what = f"The name {key} of a {kind} leads elsewhere than the record says, or to nothing, or says otherwise why."
            yield Problem("name.differs", what, f"{kind} {key}", BY_HAND)


def _state(life: _Life, name: _Name) -> str:
    if life.is_deleted:
        return "deleted"
    return "current" if _name_of(life.path) == name else "moved"

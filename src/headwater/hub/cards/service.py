"""What may be done with cards: find the right one for a commit, check one before it is committed, list a head's files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime

from headwater.db import Tx
from headwater.hub.cards import store
from headwater.hub.cards.models import Card, Problem, Sibling
from headwater.hub.cards.reading import IsHeld, parse_readme, read_card
from headwater.hub.models import RepoKind, Repository
from headwater.kernel import CommitId, RepoId
from headwater.web import Site


def find_card(tx: Tx, repo_id: RepoId) -> Card | None:
    """The card as it was last indexed; ``card.commit`` tells at which head. None before the first time."""
    return store.find_card(tx, repo_id)


def find_stamp(tx: Tx, repo_id: RepoId) -> tuple[CommitId | None, datetime] | None:
    """The commit that ``find_card`` and ``list_siblings`` stand at, and when they were written; None before the first time."""
    return store.find_stamp(tx, repo_id)


def get_cards(tx: Tx, repo_ids: Collection[RepoId]) -> dict[RepoId, Card]:
    """Of many repositories in one query, without the cards' texts."""
    return store.get_cards(tx, repo_ids)


def card_at(site: Site, repo: Repository, commit: CommitId | None) -> Card:
    """The card of ``commit``, from the index when that stands there, else read from git on the spot. Always right.

    Call it outside of any write. Access is the caller's business, as for every content of ``repo``.
    """
    found = site.db.read(store.find_card, repo.id)
    if commit is None:
        return Card(commit=None)
    if found is not None and found.commit == commit:
        return found
    from headwater.hub.git import GitStore

    with site.part(GitStore).open(repo.id) as snap:
        return read_card(snap, commit, repo.kind, is_held=held_in(site, repo.id))


def held_in(site: Site, repo_id: RepoId) -> IsHeld:
    """What the gate keeps back in a repository; one look-up for most, which hold nothing."""
    from headwater.hub import gate
    from headwater.hub.gate.store import list_contents

    contents = site.db.read(list_contents, repo_id)

    def is_held(content: str, path: str) -> bool:
        return content in contents and site.db.read(gate.find_hold, repo_id, content, path) is not None

    return is_held


def list_siblings(tx: Tx, repo_id: RepoId, commit: CommitId) -> list[Sibling] | None:
    """All files of the default branch's head, by path; None when the index does not stand at ``commit``: read the tree then."""
    if store.indexed_commit(tx, repo_id) != commit:
        return None
    return store.list_siblings(tx, repo_id)


def find_files(tx: Tx, repo_id: RepoId, part: str, *, limit: int = 50) -> list[Sibling]:
    """Files of the default branch whose path holds ``part``, shortest first."""
    return store.find_files(tx, repo_id, part, limit)


def check_readme(readme: str, kind: RepoKind) -> tuple[Problem, ...]:
    """What a client hears before it commits a README: errors refuse it, warnings do not."""
    _, _, problems = parse_readme(readme, kind)
    return problems


MAX_LISTED_FILES = 1000
MAX_LISTED_IN_ALL = 20_000


def paths_of_many(tx: Tx, cards: Mapping[RepoId, Card]) -> dict[RepoId, list[str]]:
    """Paths of the files of many repositories in one query. Those with more than ``MAX_LISTED_FILES`` are left out, and all that come once the
    answer would hold ``MAX_LISTED_IN_ALL``: lists need not tell files.
    """
    chosen, room = [], MAX_LISTED_IN_ALL
    for repo_id, card in cards.items():
        if card.n_files <= min(MAX_LISTED_FILES, room):
            chosen.append(repo_id)
            room -= card.n_files
    return store.paths_of_many(tx, chosen) if chosen else {}

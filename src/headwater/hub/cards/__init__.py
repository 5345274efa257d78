"""Cards: what a README's front matter and a repository's files say, and where that is kept for lists and search.

card = cards.card_at(site, repo, commit)      # right for any commit, also one the index has not reached
cards.find_card(tx, repo.id)                  # as last indexed; compare card.commit with repo.head_commit
cards.list_siblings(tx, repo.id, commit)      # None when the index does not stand at that commit
cards.index_now(site, repo.id)                # after a commit that touched README.md
"""

from headwater.hub.cards.models import Card, Problem, Sibling
from headwater.hub.cards.service import (
    card_at,
    check_readme,
    find_card,
    find_files,
    find_stamp,
    get_cards,
    list_siblings,
    paths_of_many,
)
from headwater.kernel import RepoId
from headwater.web import Site

__all__ = [
    "Card",
    "Problem",
    "Sibling",
    "card_at",
    "check_readme",
    "find_card",
    "find_files",
    "find_stamp",
    "get_cards",
    "index_now",
    "list_siblings",
    "paths_of_many",
]


def index_now(site: Site, repo_id: RepoId) -> None:
    """Bring card, tags, files and search document to the present head, and return once lists show them."""
    from headwater.hub.cards import jobs  # it stands on search, which stands on the models of this package

    jobs.index_now(site, repo_id)

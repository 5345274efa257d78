from dataclasses import replace

import pytest

from headwater.hub.cards import store as card_store
from headwater.hub.cards.models import Card
from headwater.hub.cards.reading import parse_readme
from headwater.hub.cards.tags import FileFacts, derive
from headwater.hub.models import RepoKind
from headwater.hub.search.documents import body_of
from headwater.hub.search.indexing import refresh
from headwater.kernel import utcnow
from tests.storage import Storage, make_storage


@pytest.fixture
def storage(tmp_path):
    made = make_storage(tmp_path / "data")
    yield made
    made.site.db.close()


def put_card(tx, repo_id, kind: RepoKind, readme: str, *, files=(), n_parameters=None) -> Card:
    """What the index job writes, from a README given here instead of one in git."""
    data, body, problems = parse_readme(readme, kind)
    derived = derive(kind, data, body, FileFacts(tuple(files)))
    card = Card(
        commit=None, text=body, data=data, problems=problems, tags=derived.tags, library=derived.library,
        pipeline_tag=derived.pipeline_tag, n_parameters=n_parameters,
    )  # fmt: skip
    card_store.put_card(tx, repo_id, kind, replace(card, n_files=len(files)), now=utcnow())
    refresh(tx, repo_id, body=body_of(card))
    return card


class Shelf:
    """Repositories with cards, to search in."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage
        self.db = storage.site.db

    def add(self, owner, name, readme="", *, kind="model", private=False, gated="", files=(), n_parameters=None):
        repo_id = self.storage.repo(owner, name, kind=kind, private=private, gated=gated)
        self.db.write(put_card, repo_id, RepoKind(kind), readme, files=files, n_parameters=n_parameters)
        return repo_id


@pytest.fixture
def shelf(storage):
    return Shelf(storage)

"""Whether a check sees that a repository's row, its names or the place of an entry say something else than the record."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from headwater.db import Tx
from headwater.hub.checking import check
from headwater.hub.checking.lives import _compare
from headwater.hub.models import RepoKind, RepoName
from headwater.hub.repos import Settings
from headwater.hub.repos import service as repos
from headwater.hub.repos.copying import duplicate_repository
from headwater.kernel import SYSTEM, Actor, utcnow
from tests.checking.varied import CLOSED, MODEL, OPEN, make_varied
from tests.storage import Storage


def make(storage: Storage, ada: Actor, name: RepoName, kind: RepoKind = MODEL) -> None:
    repos.create_repository(storage.site, ada, kind, name, is_private=False)


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Storage]:
    """Moved, there and back, under names that were another's; shown, hidden, closed, copied, deleted."""
    storage = make_varied(tmp_path_factory.mktemp("lives") / "data")
    db, ada = storage.site.db, storage.person("ada")
    names = [RepoName("ada", name) for name in ("one", "two", "three")]
    one, two, three = names
    make(storage, ada, one)
    make(storage, ada, one, RepoKind.DATASET)
    for source, target in ((one, two), (two, one), (one, three)):
        db.write(repos.move_repository, ada, MODEL, source, target, now=utcnow())
    db.write(repos.move_repository, ada, RepoKind.DATASET, one, two, now=utcnow())
    make(storage, ada, RepoName("ada", "four"))
    db.write(repos.delete_repository, SYSTEM, MODEL, RepoName("ada", "four"), now=utcnow())
    make(storage, ada, RepoName("ada", "Four"))
    for private in (True, False):
        db.write(repos.change_settings, ada, MODEL, OPEN, Settings(is_private=private), now=utcnow())
    db.write(repos.change_settings, ada, MODEL, three, Settings(gated="auto"), now=utcnow())
    db.write(repos.change_settings, ada, MODEL, CLOSED, Settings(default_branch="side"), now=utcnow())
    for disabled in (True, False, True):
        db.write(repos.set_disabled, SYSTEM, MODEL, three, is_disabled=disabled, now=utcnow())
    duplicate_repository(storage.site, ada, MODEL, OPEN, RepoName("ada", "copy"), is_private=True)
    yield storage
    storage.site.close()


def test_what_happened_to_repositories_is_what_they_say(lived: Storage) -> None:
    assert check(lived.site).problems == []


class Undone(Exception):
    pass


def found_after(storage: Storage, *statements: str) -> set[str]:
    found: set[str] = set()

    def act(tx: Tx) -> None:
        for statement in statements:
            assert tx.execute(text(statement)).rowcount
        found.update(problem.code for problem in _compare(tx))
        raise Undone

    with pytest.raises(Undone):
        storage.site.db.write(act)
    return found


OPENS = "name = 'open'"
THE_CLOSED = "select id from repository where name = 'closed'"
A_FIRST_COMMIT = "id = (select min(id) from entry where kind = 'ref.moved')"
A_PRUNE = "id = (select max(id) from entry where kind = 'repository.settings_changed')"


@pytest.mark.parametrize(
    ("statements", "code"),
    [
        ((f"update repository set deleted_at = created_at where {OPENS}", "delete from ref"), "repository.differs"),
        (("update repository set deleted_at = null where name = 'gone'",), "repository.differs"),
        ((f"update repository set is_private = not is_private where {OPENS}",), "repository.differs"),
        (("update repository set is_private = not is_private where name = 'copy'",), "repository.differs"),
        (("update repository set gated = '' where name = 'three'",), "repository.differs"),
        (("update repository set is_disabled = not is_disabled where name = 'three'",), "repository.differs"),
        ((f"update repository set default_branch = 'side' where {OPENS}",), "repository.differs"),
        ((f"update repository set name = 'opened' where {OPENS}",), "repository.differs"),
        ((f"update repository set kind = 'space' where {OPENS}",), "repository.differs"),
        (
            (f"update repository set owner_id = (select id from account where name = 'eve') where {OPENS}",),
            "repository.differs",
        ),
        (("delete from repository_name where name_key = 'ada/open'",), "name.differs"),
        (
            (f"update repository_name set repo_id = ({THE_CLOSED}) where name_key = 'ada/open'",),
            "name.differs",
        ),
        (("update repository_name set state = 'moved' where name_key = 'ada/gone'",), "name.differs"),
        (("update repository_name set state = 'current' where name_key = 'ada/two'",), "name.differs"),
        ((f"update entry set repo_id = repo_id + 1 where {A_PRUNE}",), "entry.misplaced"),
        ((f"update entry set repo_id = 999 where {A_PRUNE}",), "repository.lost"),
        ((f"update entry set repo_id = null, owner_id = null where {A_PRUNE}",), "entry.misplaced"),
        ((f"update entry set repo_id = null, owner_id = null where {A_FIRST_COMMIT}",), "entry.misplaced"),
    ],
)
def test_a_row_that_says_otherwise_is_found(lived: Storage, statements: tuple[str, ...], code: str) -> None:
    assert code in found_after(lived, *statements)

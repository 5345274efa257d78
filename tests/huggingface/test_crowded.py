"""Many commit to one branch at the same moment, none of whom says where it is: each of them gets through."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from headwater.hub import repos
from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Draft, InlineFile
from headwater.hub.git import GitStore
from headwater.hub.models import RepoKind, RepoName
from tests.storage import Storage, make_storage

MODEL = RepoKind.MODEL
WRITERS, EACH = 24, 3


@pytest.fixture
def storage(tmp_path: Path):
    made = make_storage(tmp_path / "data", hub=True)
    yield made
    made.site.close()


def test_nobody_is_told_that_the_branch_moved(storage: Storage) -> None:
    ada, name = storage.person("ada"), RepoName("ada", "m")
    repo = repos.create_repository(storage.site, ada, MODEL, name)
    gate = Barrier(WRITERS)

    def write(n: int) -> None:
        gate.wait(60)
        for k in range(EACH):
            draft = Draft(f"{n} {k}", "", None, [InlineFile(f"{n}/{k}.txt", b"%d" % k)])
            commit_draft(storage.site, ada, MODEL, name, "main", draft)

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(WRITERS)))
    with storage.site.part(GitStore).open(repo.id) as snap:
        head = snap.refs["refs/heads/main"]
        n_commits = 0
        while parents := snap.commit_info(head).parents:
            head, n_commits = parents[0], n_commits + 1
    assert n_commits == WRITERS * EACH

"""What this site's own runs tell of a repository: who evaluated it here, and whether a second run of the same recipe gave the same bytes.

Seen as everybody sees it: runs with a private repository among them do not count, so nobody learns of them by a grade.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from headwater.compute import State
from headwater.compute.rows import Commit, Run
from headwater.compute.service.reading import find_around, find_makers
from headwater.compute.store import runs
from headwater.db import Tx
from headwater.governance import store
from headwater.governance.facts import Evidence, Facts
from headwater.hub.models import Repository
from headwater.kernel import ANONYMOUS, RepoId

EVALUATE = "evaluate"
MOST = 100

# What differs between two runs though they are of one recipe: when it was, and the words around it.
_ABOUT = ("provenance.intoto.json", "README.md", ".gitattributes")


def with_runs(tx: Tx, repo: Repository, facts: Facts) -> Facts:
    """The facts with what runs add to them."""
    around = [each for each in find_around(tx, ANONYMOUS, [repo.id], most=MOST) if each.run.state is State.SUCCEEDED]
    results: list[Evidence] = []
    evaluations = [each for each in around if each.run.kind == EVALUATE and repo.id in each.read]
    made = {RepoId(one) for each in evaluations for one in each.made} - {repo.id}
    known = store.visible_repositories(tx, ANONYMOUS, made) if made else {}
    for each in evaluations:
        for commit in runs.commits_of(tx, each.run.id):
            place = known.get(commit.repo_id)
            if place is not None:
                results.append(Evidence(place.path, commit.commit))
            elif commit.repo_id == repo.id:
                results.append(Evidence(repo.path, commit.commit))
    return dataclasses.replace(facts, evaluations=tuple(results[:10]), is_reproduced=_is_reproduced(tx, repo, facts))


def _is_reproduced(tx: Tx, repo: Repository, facts: Facts) -> bool:
    """Whether another run of the same recipe on the same inputs put the same bytes somewhere, beside the one that made this head."""
    if repo.head_commit is None or not facts.is_provenance_right:
        return False
    for commit, run in find_makers(tx, ANONYMOUS, repo.id, [repo.head_commit]):
        mine = _bytes_of(commit)
        inputs = [each.repo_id for each in runs.inputs_of(tx, [run.id])[run.id]]
        if not mine or not inputs:
            continue
        for other in find_around(tx, ANONYMOUS, inputs, most=MOST):
            if other.run.id == run.id or other.run.state is not State.SUCCEEDED or not _is_same(run, other.run):
                continue
            if any(_bytes_of(each) == mine for each in runs.commits_of(tx, other.run.id)):
                return True
    return False


def _bytes_of(commit: Commit) -> dict[str, str]:
    return {path: digest for path, digest in commit.files.items() if path not in _ABOUT}


def _is_same(one: Run, other: Run) -> bool:
    """The same work on the same inputs; where its outputs go does not count."""
    return one.kind == other.kind and _work(one.resolved) == _work(other.resolved)


def _work(resolved: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in resolved.items() if key not in ("outputs", "name", "resources", "retries")}

"""What a verifier makes of the log's entries: which are contradictions, and which are not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from headwater.hub.verifying.history import History
from headwater.hub.verifying.models import Kept, Repo, read_kept, write_kept

A, B, C = "a" * 40, "b" * 40, "c" * 40
SALTED = "sha256:" + "0" * 64


def entry(kind: str, subject: object, facts: object) -> bytes:
    return json.dumps({"v": 1, "kind": kind, "subject": subject, "actor": "ada", "facts": facts, "at": "t"}).encode()


def moved(path: str, old: str | None, new: str | None) -> bytes:
    return entry("ref.moved", path, {"ref": "refs/heads/main", "old": old, "new": new})


def created(path: str, number: int) -> bytes:
    return entry("repository.created", path, {"repo_id": number})


def told(*entries: bytes) -> Kept:
    kept = Kept("https://hub.example.edu")
    for index, one in enumerate(entries):
        History(kept).apply(index, one)
    return kept


def codes(kept: Kept) -> list[str]:
    return [one.code for one in kept.findings]


def wanted(repo: Repo) -> list[str]:
    return sorted(commit for commit in repo.revisions if commit not in repo.gone)


BEGUN = [created("v/m", 1), moved("v/m", None, A), created("x/y", 2)]
TAKEN = [entry("repository.moved", "x/y", {"repo_id": 2, "to": "v/m"}), moved("v/m", None, B)]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([*BEGUN, *TAKEN], ["repository.contradicted"]),
        ([*BEGUN, entry("repository.disabled", "v/m", {"repo_id": 1}), *TAKEN], ["repository.contradicted"]),
        ([*BEGUN, entry("repository.deleted", "v/m", {"repo_id": 1}), *TAKEN], []),
        ([*BEGUN, entry("repository.hidden", "v/m", {"repo_id": 1}), *TAKEN], []),
        ([*BEGUN, created("v/m", 3)], ["repository.contradicted"]),
        ([*BEGUN, entry("repository.hidden", "v/m", {"repo_id": 1}), created("v/m", 3), moved("v/m", None, B)], []),
        ([*BEGUN, moved("v/m", A, B)], []),
        ([*BEGUN, moved("v/m", B, C)], ["ref.contradicted"]),
        ([*BEGUN, moved("v/m", None, C)], ["ref.contradicted"]),
        ([*BEGUN, moved("x/y", B, C)], ["ref.contradicted"]),
    ],
)
def test_a_name_or_a_ref_that_changes_hands_unexplained_is_a_finding(entries: list[bytes], expected: list[str]) -> None:
    assert codes(told(*entries)) == expected


def test_a_contradiction_is_found_again_by_every_later_run(tmp_path: Path) -> None:
    kept = told(*BEGUN, moved("v/m", B, C))
    write_kept(tmp_path / "state", kept)
    again = read_kept(tmp_path / "state", kept.url)
    assert again.findings == kept.findings
    History(again).apply(9, moved("v/m", C, A))
    assert codes(again) == ["ref.contradicted"]


def test_what_was_pruned_while_it_was_hidden_is_not_asked_for() -> None:
    shown = {"repo_id": 1, "refs": {"refs/heads/main": B}, "is_first": True}
    hidden = entry("repository.hidden", "v/m", {"repo_id": 1, "reason": "x"})
    pruned = entry("repository.pruned", SALTED, SALTED)
    kept = told(*BEGUN, moved("v/m", A, C), hidden, pruned, entry("refs.shown", "v/m", shown))
    assert (codes(kept), wanted(kept.repos["v/m"])) == ([], [B])


@pytest.mark.parametrize(
    "bad",
    [
        b"what",
        b"[" * 60_000,
        b"[]",
        entry("ref.moved", "a/b", {}),
        entry("ref.moved", ["a"], {}),
        entry("ref.moved", "a/b", None),
        entry("ref.moved", "a/b", {"ref": [], "old": None, "new": A}),
        moved("a/b", None, "+refs/heads/*:refs/heads/*"),
        entry("ref.moved", "a/b", {"ref": "refs/heads/main", "old": None, "new": 5}),
        entry("refs.shown", "a/b", {"refs": [A]}),
        entry("repository.moved", "v/m", {"to": 5}),
        entry("large_files.deleted", "v/m", {"sha256": [5, "x", None]}),
    ],
)
def test_an_entry_that_nobody_can_read_is_named_and_changes_nothing(bad: bytes) -> None:
    kept = told(*BEGUN)
    History(kept).apply(3, bad)
    assert codes(kept) == ["entry.unreadable"]
    assert wanted(kept.repos["v/m"]) == [A]

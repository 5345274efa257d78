"""Waiting, judging again, recording, and finding what was altered: services on a real database."""

from __future__ import annotations

import pytest
from sqlalchemy import delete, update

from headwater import scanning
from headwater.hub import files, gate
from headwater.hub.checking import Looking
from headwater.hub.content.commits import commit_draft
from headwater.hub.content.draft import Deleted, Draft, InlineFile, LargeFile
from headwater.hub.content.known import KnownEntries, KnownFacts
from headwater.hub.content.reached import ReachedCommits
from headwater.hub.content.reading import find_file
from headwater.hub.content.refs import squash_branch
from headwater.hub.gate import Status, jobs, judging, store
from headwater.hub.gate.checking import check_verdicts
from headwater.hub.gate.recording import record_again
from headwater.hub.git.collector import prune_repository
from headwater.hub.jobs import GATE_HANDLERS
from headwater.hub.tables.gate import file_verdict, gate_due, gate_release, held_file, verdict_batch
from headwater.kernel import ANONYMOUS, utcnow
from headwater.queue import Runner
from tests.gate.files import EVIL, EVIL_CONFIG, safetensors
from tests.git.conftest import ada, repo, site  # noqa: F401 -- fixtures


@pytest.fixture(autouse=True)
def _parts(site):  # noqa: F811
    site.add_part(KnownEntries())
    site.add_part(KnownFacts())
    site.add_part(ReachedCommits())


def bring(site, ada, repo, path: str, data: bytes, *, large: bool = False) -> None:  # noqa: F811
    change = InlineFile(path, data)
    if large:
        change = LargeFile(path, files.store_plain(site, ada, repo.id, data), len(data))
    commit_draft(site, ada, repo.kind, repo.name, "main", Draft("add", "", None, [change]))


def get(site, actor, repo, path: str):  # noqa: F811
    return find_file(site, actor, repo.kind, repo.name, "main", path)


def run_jobs(site) -> None:  # noqa: F811
    Runner(site.db, GATE_HANDLERS, site).run_all()


@pytest.mark.parametrize("large", [True, False])
def test_what_takes_too_long_waits_and_is_served_to_nobody_else(site, ada, repo, monkeypatch, large):  # noqa: F811
    monkeypatch.setattr(judging, "CPU_S", -1.0)
    monkeypatch.setattr(judging, "SMALL_CPU_S", -1.0)
    monkeypatch.setattr(judging.Budget.__init__, "__defaults__", (-1.0, -1.0))
    bring(site, ada, repo, "ok.safetensors", safetensors(), large=large)
    with pytest.raises(gate.FileHeld) as refusal:
        get(site, ANONYMOUS, repo, "ok.safetensors")
    assert refusal.value.hold.status is Status.QUEUED
    with pytest.raises(gate.FileHeld):  # nor does it help to want it
        find_file(site, ANONYMOUS, repo.kind, repo.name, "main", "ok.safetensors", accepts=lambda: True)
    assert get(site, ada, repo, "ok.safetensors").hold.status is Status.QUEUED
    security = site.db.read(gate.repository_security, repo.id)
    assert not security.is_done
    monkeypatch.setattr(judging.Budget.__init__, "__defaults__", (9.0, 9.0))
    run_jobs(site)
    assert get(site, ANONYMOUS, repo, "ok.safetensors").hold is None
    assert site.db.read(gate.repository_security, repo.id).is_done


def test_a_judge_that_dies_leaves_a_suspicious_file(site, ada, repo, monkeypatch):  # noqa: F811
    monkeypatch.setattr(judging.Budget.__init__, "__defaults__", (-1.0, -1.0))
    bring(site, ada, repo, "model.pkl", EVIL, large=True)
    dead = scanning.Judgement((scanning.Finding(scanning.rules.NOT_JUDGED),))
    monkeypatch.setattr(scanning, "judge_apart", lambda *_: dead)
    run_jobs(site)
    with pytest.raises(gate.FileHeld) as refusal:
        get(site, ANONYMOUS, repo, "model.pkl")
    assert refusal.value.hold.status is Status.SUSPICIOUS


@pytest.mark.parametrize("large", [True, False])
def test_new_rules_judge_again_what_old_ones_let_pass(site, ada, repo, large):  # noqa: F811
    path, data = ("model.pkl", EVIL) if large else ("config.json", EVIL_CONFIG)
    bring(site, ada, repo, path, data, large=large)

    def as_of_old(tx):
        values = {"status": "safe", "rules": "old", "findings": {}}
        tx.execute(update(file_verdict).values(values))
        tx.execute(delete(held_file))

    site.db.write(as_of_old)
    assert get(site, ANONYMOUS, repo, path).hold is None
    jobs.judge_again(site)
    with pytest.raises(gate.FileHeld):
        get(site, ANONYMOUS, repo, path)
    assert site.db.read(store.list_due, 10) == []
    assert site.db.read(store.is_settled, scanning.RULES_VERSION)


def test_files_from_before_the_gate_are_served_and_marked_until_they_are_judged(site, ada, repo):  # noqa: F811
    bring(site, ada, repo, "config.json", EVIL_CONFIG)
    bring(site, ada, repo, "notes.txt", b"hello")

    def before(tx):
        tx.execute(delete(held_file))
        tx.execute(delete(file_verdict))
        store.mark_due(tx, scanning.RULES_VERSION, 1000)

    site.db.write(before)
    found = get(site, ANONYMOUS, repo, "config.json")
    assert found.hold is None
    told = site.db.read(gate.find_security, repo.id, [(found.etag, "config.json"), ("0" * 40, "notes.txt")])
    assert [each.status for each in told.values()] == [Status.QUEUED, Status.QUEUED]
    jobs.judge_again(site)
    with pytest.raises(gate.FileHeld):
        get(site, ANONYMOUS, repo, "config.json")
    told = site.db.read(gate.find_security, repo.id, [("0" * 40, "notes.txt")])
    assert [each.status for each in told.values()] == [Status.SAFE]


def test_a_release_holds_for_what_it_was_given_for(site, ada, repo):  # noqa: F811
    bring(site, ada, repo, "model.pkl", EVIL, large=True)
    (held,) = site.db.read(gate.repository_security, repo.id).held
    key = held.hold.content, held.hold.role
    site.db.write(gate.release, ada, repo.kind, repo.name, key, "A demonstration of ours.", now=utcnow())
    assert get(site, ANONYMOUS, repo, "model.pkl").hold is None
    site.db.write(lambda tx: tx.execute(update(file_verdict).values(status="unsafe")))
    with pytest.raises(gate.FileHeld):
        get(site, ANONYMOUS, repo, "model.pkl")


def problems(site) -> set[str]:  # noqa: F811
    return {problem.code for problem in check_verdicts(Looking(site))}


@pytest.fixture
def recorded(site, ada, repo):  # noqa: F811
    bring(site, ada, repo, "model.pkl", EVIL, large=True)
    bring(site, ada, repo, "config.json", b"{}")
    jobs.seal_verdicts(site)
    (held,) = site.db.read(gate.repository_security, repo.id).held
    key = held.hold.content, held.hold.role
    site.db.write(gate.release, ada, repo.kind, repo.name, key, "A demonstration of ours.", now=utcnow())
    assert problems(site) == set()


TAMPERS = {
    "a verdict becomes safe": (update(file_verdict).values(status="safe"), "verdict.differs"),
    "findings go": (update(file_verdict).values(findings={}), "verdict.differs"),
    "a verdict is marked as not recorded": (
        update(file_verdict).values(status="safe", batch_id=None),
        "verdict.differs",
    ),
    "a batch says another number": (update(verdict_batch).values(n_verdicts=7), "verdicts.differ"),
    "a verdict waits again": (update(file_verdict).values(rules="", batch_id=None), "verdict.differs"),
    "a verdict goes": (delete(file_verdict), "verdict.lost"),
    "its batch is made again": (update(verdict_batch).values(digest="0" * 64), "verdicts.differ"),
    "its batch is emptied": (update(verdict_batch).values(marks=b""), "verdicts.differ"),
    "it is not held any more": (delete(held_file), "hold.lost"),
    "a release of nobody's": (update(gate_release).values(content="0" * 64), "release.unrecorded"),
    "a release goes": (delete(gate_release), "release.lost"),
    "a release for worse": (update(gate_release).values(status="unsafe"), "release.differs"),
    "a release for another reason": (update(gate_release).values(reason="because it is so"), "release.differs"),
}


@pytest.mark.parametrize("tamper", TAMPERS)
def test_what_is_altered_behind_the_gate_is_found(site, recorded, tamper):  # noqa: F811
    statement, code = TAMPERS[tamper]
    site.db.write(lambda tx: tx.execute(statement))
    assert code in problems(site)


def test_what_was_altered_and_recorded_anew_is_found(site, recorded):  # noqa: F811
    site.db.write(lambda tx: tx.execute(update(file_verdict).values(status="safe", batch_id=None)))
    jobs.seal_verdicts(site)
    assert problems(site) == {"verdict.differs"}


def of_the_large_file(site):  # noqa: F811
    return next(each for each in site.db.read(lambda tx: list(store.iter_verdicts(tx))) if len(each.content) == 64)


def test_what_was_altered_is_not_recorded_by_what_comes_later(site, recorded):  # noqa: F811
    site.db.write(lambda tx: tx.execute(update(file_verdict).values(status="safe")))
    verdict = of_the_large_file(site)
    assert site.db.write(store.set_second, verdict.key, {"says": "fine"}) == []
    assert site.db.write(store.carry_over, [verdict.key], "others") == []
    assert problems(site) == {"verdict.differs"}


def test_what_is_judged_again_is_recorded_with_it(site, recorded):  # noqa: F811
    verdict = of_the_large_file(site)
    site.db.write(jobs._add_second, verdict.key, {"says": "fine"}, utcnow())
    assert problems(site) == set()
    site.db.write(lambda tx: record_again(tx, store.carry_over(tx, [verdict.key], "others"), utcnow()))
    assert problems(site) == set()
    site.db.write(store.mark_due, scanning.RULES_VERSION, 1000)
    jobs.judge_again(site)
    assert problems(site) == set()
    jobs.seal_verdicts(site)
    assert problems(site) == set()
    (now,) = site.db.read(store.find_verdicts, [verdict.key]).values()
    assert (now.rules, now.status, now.batch_id) == (scanning.RULES_VERSION, Status.SUSPICIOUS, verdict.batch_id + 3)


def test_a_site_of_clean_texts_keeps_no_rows_of_them(site, ada, repo):  # noqa: F811
    bring(site, ada, repo, "notes.txt", b"hello")
    bring(site, ada, repo, "src/train.py", b"print()")
    assert site.db.read(lambda tx: tx.execute(file_verdict.select()).all()) == []
    assert site.db.read(lambda tx: tx.execute(gate_due.select()).all()) == []


def test_what_is_pruned_is_held_no_more(site, ada, repo):  # noqa: F811
    """Otherwise nobody could clone a repository whose owner has squashed a mistake away."""
    bring(site, ada, repo, "config.json", EVIL_CONFIG)
    bring(site, ada, repo, "model.pkl", EVIL, large=True)
    with pytest.raises(gate.CloneHeld):
        site.db.read(gate.require_clone, ANONYMOUS, repo)
    changes = [Deleted("config.json", is_folder=False), Deleted("model.pkl", is_folder=False)]
    commit_draft(site, ada, repo.kind, repo.name, "main", Draft("go", "", None, changes))
    with pytest.raises(gate.CloneHeld):  # the history has it still
        site.db.read(gate.require_clone, ANONYMOUS, repo)
    squash_branch(site, ada, repo.kind, repo.name, "main")
    prune_repository(site, ada, repo.id)
    site.db.read(gate.require_clone, ANONYMOUS, repo)
    assert site.db.read(gate.repository_security, repo.id).held == []

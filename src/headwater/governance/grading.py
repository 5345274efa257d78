"""Grading one repository: facts, rules, rows; and then those whose grade may follow from it. A job of the queue."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from headwater import ledger, licensing, queue
from headwater.accounts import Action
from headwater.db import Tx
from headwater.governance import frameworks, gathering, lineages, store
from headwater.governance.facts import MODEL, Facts
from headwater.governance.gathering import Gathered
from headwater.governance.jobs import BEHIND
from headwater.governance.made import with_runs
from headwater.governance.models import Kept, Row
from headwater.governance.rules import rules_for, version
from headwater.governance.signals import ask
from headwater.hub import access
from headwater.hub.errors import RepositoryNotFound, RevisionNotFound
from headwater.hub.models import Repository
from headwater.kernel import ANONYMOUS, SYSTEM, RepoId, utcnow
from headwater.web import Site

MOST_WAVES = 20  # from one repository to those that name it, and on
MOST_FOLLOWING = 2000
LOOKED_AT_ONCE = 500
PAUSE_S = 30.0

# Labels that say nothing yet: a first one of these is no event.
_NOTHING = ("G0", "closed", "unknown")


class GradeMoved(Exception):
    """The head moved while it was looked at; the queue tries again."""


def grade_repository(site: Site, payload: Mapping[str, Any]) -> None:
    """The job's handler; payload ``{"repo_id": int, "wave": int}``. Safe to repeat."""
    grade_now(site, RepoId(payload["repo_id"]), wave=int(payload.get("wave", 0)))


def grade_now(site: Site, repo_id: RepoId, *, wave: int = 0) -> None:
    """Grade the present head, and return once that can be seen.

    Raises:
        GradeMoved: it moved meanwhile.
    """
    try:
        repo = site.db.read(access.get_repository_by_id, SYSTEM, repo_id, Action.READ)
    except RepositoryNotFound:
        site.db.write(_forget, repo_id, wave=wave)
        return
    if repo.head_commit is None:
        site.db.write(_forget, repo_id, wave=wave)
        return
    try:
        found = gathering.gather(site, repo)
    except RevisionNotFound as exc:
        raise GradeMoved(repo_id) from exc
    facts = _with_lineage(site, repo, found)
    site.db.write(_keep, repo, facts, found, wave=wave)


def _with_lineage(site: Site, repo: Repository, found: Gathered) -> Facts:
    """What the rules along the lineage say, of what everybody can see."""

    def act(tx: Tx) -> tuple[lineages.Graph, Facts]:
        return lineages.above(tx, ANONYMOUS, repo, links=found.links), with_runs(tx, repo, found.facts)

    graph, facts = site.db.read(act)
    graph.grades[repo.path] = _kept(repo, found.facts, found, "", utcnow())
    verdicts = graph.lineage().judge(repo.path)
    worst = licensing.worst(verdicts)
    first = next((each for each in verdicts if each.outcome == worst), None)
    return dataclasses.replace(
        facts,
        lineage=worst,
        lineage_chain=tuple(first.chain) if first is not None else (),
        lineage_clause=f"{first.licence} {first.clause}".strip() if first is not None else "",
    )


def _keep(tx: Tx, repo: Repository, facts: Facts, found: Gathered, *, wave: int) -> None:
    now = utcnow()
    try:
        here = access.get_repository_by_id(tx, SYSTEM, repo.id, Action.READ)
    except RepositoryNotFound:
        _forget(tx, repo.id, wave=wave)
        return
    if here.head_commit != repo.head_commit:
        ask(tx, repo.id, now, wave=wave)
        return
    rows = judge(facts, now)
    before = store.find_grade(tx, repo.id)
    after = _kept(here, facts, found, label_of(facts.kind, rows), now)
    after = dataclasses.replace(after, ladder=ladder_of(facts.kind, rows), digest=_digest(here, after, rows))
    store.put_grade(tx, after, rows, found.links)
    if after.label != (before.label if before is not None else None) and not (
        before is None and after.label in _NOTHING
    ):
        _record(tx, here, before, after, rows, now)
    for repo_id in found.behind:
        ask(tx, repo_id, now, wave=wave + 1)
    if before is None or before.digest != after.digest:
        _follow(tx, repo.id, now, wave)


def judge(facts: Facts, now: datetime) -> list[Row]:
    """Every rule's word, in the order in which they are shown."""
    rows = []
    for rule in rules_for(facts.kind):
        finding = rule.judge(facts)
        rows.append(
            Row(
                rule.criterion,
                rule.version,
                finding.value,
                finding.basis,
                finding.reason,
                dict(finding.words),
                finding.licence,
                finding.is_open_licence,
                tuple(finding.evidence),
                now,
            )
        )
    # Whether it stands under an open licence, for those who name it, whatever the text's state.
    return [
        dataclasses.replace(row, is_open_licence=facts.is_open_licence) if row.criterion == "licence" else row
        for row in rows
    ]


def ladder_of(kind: str, rows: Sequence[Row]) -> int | None:
    if kind != MODEL:
        return None
    return frameworks.summarise({row.criterion: row for row in rows}, with_declared=False).ladder


def label_of(kind: str, rows: Sequence[Row]) -> str:
    """In one word: the step of the ladder of a model, else what its data or code came to."""
    step = ladder_of(kind, rows)
    return f"G{step}" if step is not None else frameworks.short({row.criterion: row for row in rows})


def _kept(repo: Repository, facts: Facts, found: Gathered, label: str, now: datetime) -> Kept:
    return Kept(
        repo_id=repo.id,
        commit=repo.head_commit,
        rules=version(),
        label=label,
        ladder=None,
        licences=tuple(found.licences),
        declared=", ".join(facts.declared_licences)[:200],
        texts=frozenset(text.key for text in facts.licence_texts if text.key),
        shows=found.shows,
        roles=frozenset(role for script in facts.scripts if script.is_sound for role in script.roles),
        digest="",
        graded_at=now,
    )


def _digest(repo: Repository, kept: Kept, rows: Sequence[Row]) -> str:
    """Of what the grades of others may follow from: not of what it itself follows from others, so that two that name each other come to rest."""
    said = [
        repo.is_private,
        bool(repo.gated),
        repo.path,
        kept.commit,
        list(kept.licences),
        sorted(kept.texts),
        sorted(kept.roles),
        [(row.criterion, row.value, row.is_open_licence) for row in rows],
    ]
    return hashlib.sha256(orjson.dumps(said)).hexdigest()


def _follow(tx: Tx, repo_id: RepoId, now: datetime, wave: int) -> None:
    """Those that name it are graded again, and what was derived from them by their own change."""
    if wave >= MOST_WAVES:
        return
    keys = store.keys_of_many(tx, [repo_id])
    if not keys:
        return
    naming = store.linking_to(tx, set(keys), most=MOST_FOLLOWING)
    for other in dict.fromkeys(other for other, _ in naming):
        if other != repo_id:
            ask(tx, other, now, wave=wave + 1)


def _forget(tx: Tx, repo_id: RepoId, *, wave: int) -> None:
    was_graded = store.find_grade(tx, repo_id) is not None
    store.forget(tx, repo_id)
    if was_graded:
        _follow(tx, repo_id, utcnow(), wave)


def _record(tx: Tx, repo: Repository, before: Kept | None, after: Kept, rows: Sequence[Row], now: datetime) -> None:
    facts = {
        "commit": after.commit,
        "rules": after.rules,
        "before": before.label if before is not None else None,
        "after": after.label,
        "values": {row.criterion: row.value for row in rows},
    }
    ledger.record(
        tx,
        SYSTEM,
        "openness.graded",
        repo.path,
        facts,
        private=repo.is_private,
        repo_id=repo.id,
        owner_id=repo.owner_id,
        now=now,
    )


def grade_behind(site: Site, payload: Mapping[str, Any]) -> None:
    """A job: look at some repositories whether their grade is there and by today's rules, and go on to the next; ``{"after": repo_id}``."""

    def act(tx: Tx) -> None:
        now = utcnow()
        behind, last = store.find_behind(tx, version(), int(payload.get("after", 0)), LOOKED_AT_ONCE)
        for repo_id in behind:
            ask(tx, repo_id, now, delay_s=0)
        if last is not None:
            # What was asked for is to be done before more is.
            delay_s = PAUSE_S if behind else 0.0
            queue.put(tx, BEHIND, {"after": last}, unique=f"after {last}", delay_s=delay_s, now=now)

    site.db.write(act)

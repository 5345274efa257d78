"""What may be asked of grades, and what people may decide beside the machine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from headwater import accounts, ledger, licensing
from headwater.accounts import Action
from headwater.db import Tx
from headwater.governance import frameworks, lineages, store
from headwater.governance.errors import BadOverride, OverrideNotFound, UnknownCriterion
from headwater.governance.facts import MODEL, VALUES, VERIFIED
from headwater.governance.frameworks import Summary
from headwater.governance.lineages import Graph
from headwater.governance.models import Kept, Override, Row
from headwater.governance.rules import rules_for
from headwater.hub import access
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.kernel import Actor

LEAST_REASON, MOST_REASON = 10, 2000


@dataclass(frozen=True)
class Judged:
    """A criterion: the machine's row, and what somebody decided beside it."""

    row: Row
    override: Override | None

    @property
    def shown(self) -> str:
        return self.override.value if self.override is not None else self.row.value


@dataclass(frozen=True)
class Grade:
    """Of one repository. Summaries are there for models: the machine's from what was verified, with what is declared, and with what people decided.

    ``is_behind``: the head has moved, and it is being looked at.
    """

    repo: Repository
    kept: Kept | None
    rows: Sequence[Judged]
    verified: Summary | None
    declared: Summary | None
    decided: Summary | None
    overrides: Sequence[Override]
    is_behind: bool


def get_grade(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName) -> Grade:
    """Raises: RepositoryNotFound."""
    repo = access.get_repository(tx, actor, kind, name, Action.READ)
    kept = store.find_grade(tx, repo.id)
    found = {row.criterion: row for row in store.list_rows(tx, repo.id)}
    overrides = store.list_overrides(tx, repo.id)
    in_force = {each.criterion: each for each in reversed(overrides) if each.withdrawn_at is None}
    order = [rule.criterion for rule in rules_for(repo.kind.value)]
    rows = [Judged(found[each], in_force.get(each)) for each in order if each in found]
    verified = declared = decided = None
    if repo.kind.value == MODEL and rows:
        machine = {each.row.criterion: each.row for each in rows}
        verified = frameworks.summarise(machine, with_declared=False)
        declared = frameworks.summarise(machine, with_declared=True)
        if in_force:
            decided = frameworks.summarise(_decided(rows), with_declared=False)
    is_behind = repo.head_commit is not None and (kept is None or kept.commit != repo.head_commit)
    return Grade(repo, kept, rows, verified, declared, decided, overrides, is_behind)


def _decided(rows: Sequence[Judged]) -> Mapping[str, Row]:
    return {
        each.row.criterion: each.row
        if each.override is None
        else dataclasses.replace(each.row, value=each.override.value, basis=VERIFIED)
        for each in rows
    }


def override(
    tx: Tx,
    actor: Actor,
    kind: RepoKind,
    name: RepoName,
    criterion: object,
    value: object,
    reason: object,
    *,
    now: datetime,
) -> Override:
    """Decide a criterion otherwise than the machine, which keeps its word beside it. An earlier decision on it is withdrawn.

    Raises:
        RepositoryNotFound
        NotSignedIn, NotAllowed: administrators of the site alone may.
        UnknownCriterion, BadOverride
    """
    repo = access.get_repository(tx, actor, kind, name, Action.READ)
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    known = [rule.criterion for rule in rules_for(repo.kind.value)]
    if not isinstance(criterion, str) or criterion not in known:
        raise UnknownCriterion(str(criterion), known)
    if value not in VALUES or not isinstance(value, str):
        raise BadOverride(f"the value is one of {', '.join(VALUES)}")
    text = reason.strip() if isinstance(reason, str) else ""
    if not LEAST_REASON <= len(text) <= MOST_REASON:
        raise BadOverride(f"a reason of {LEAST_REASON} to {MOST_REASON} letters is needed, for everyone to read")
    row = next((each for each in store.list_rows(tx, repo.id) if each.criterion == criterion), None)
    machine = row.value if row is not None else "unknown"
    store.withdraw(tx, repo.id, by=actor.name, now=now, criterion=criterion)
    values = {
        "criterion": criterion,
        "value": value,
        "reason": text,
        "machine_value": machine,
        "made_by": actor.name,
        "made_at": now,
    }
    number = store.put_override(tx, repo.id, values)
    facts = {"id": number, "criterion": criterion, "value": value, "machine": machine, "reason": text}
    _record(tx, actor, repo, "openness.overridden", facts, now)
    return next(each for each in store.list_overrides(tx, repo.id) if each.id == number)


def withdraw(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName, number: int, *, now: datetime) -> None:
    """Take a decision back; that it was taken stays to be seen.

    Raises:
        RepositoryNotFound, NotSignedIn, NotAllowed, OverrideNotFound
    """
    repo = access.get_repository(tx, actor, kind, name, Action.READ)
    accounts.require(tx, actor, Action.MANAGE_SITE, on=None)
    if not store.withdraw(tx, repo.id, by=actor.name, now=now, number=number):
        raise OverrideNotFound
    _record(tx, actor, repo, "openness.override_withdrawn", {"id": number}, now)


def _record(tx: Tx, actor: Actor, repo: Repository, kind: str, facts: dict[str, object], now: datetime) -> None:
    ledger.record(
        tx,
        actor,
        kind,
        repo.path,
        facts,
        private=repo.is_private,
        repo_id=repo.id,
        owner_id=repo.owner_id,
        now=now,
    )


@dataclass(frozen=True)
class LineageView:
    """What a reader may see of a repository's lineage, with the verdicts on it."""

    repo: Repository
    graph: Graph
    verdicts: Sequence[licensing.Verdict]

    @property
    def worst(self) -> str:
        return licensing.worst(self.verdicts)


def get_lineage(tx: Tx, actor: Actor, kind: RepoKind, name: RepoName) -> LineageView:
    """Raises: RepositoryNotFound."""
    repo = access.get_repository(tx, actor, kind, name, Action.READ)
    graph = lineages.around(tx, actor, repo)
    return LineageView(repo, graph, graph.lineage().judge(repo.path))


def may_decide(actor: Actor) -> bool:
    """Whether ``override`` would let this actor: for buttons."""
    return actor.is_site_admin and (actor.limits is None or actor.limits.role == "admin")

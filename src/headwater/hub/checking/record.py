"""The record against what it tells of: entries that say what they were made of, and refs that are where they were moved to."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import select

from headwater import accounts, ledger
from headwater.db import Tx
from headwater.hub.checking.models import BY_HAND, Looking, Problem
from headwater.hub.git import store
from headwater.hub.log import witnesses
from headwater.hub.tables.repositories import repository
from headwater.kernel import RepoId
from headwater.ledger import Recorded, iter_entries, keys

BY_RECORD = "headwater repair (puts it where the record says, if the commit is here)"
_STEP = 1000


def check_log(looking: Looking) -> Iterator[Problem]:
    """The log is what the entries make; and entries that have no place in it yet, each by itself."""

    def read(tx: Tx) -> list[Problem]:
        found = [
            Problem(
                one.code, one.what, one.where, one.mend, repo_id=None if one.repo_id is None else RepoId(one.repo_id)
            )
            for one in ledger.audit(tx)
        ]
        for entry in ledger.iter_entries(tx, only_pending=True):
            why = entry.what_is_wrong()
            if why is not None:
                what = f"Entry {entry.id} of the record was altered: {why}."
                found.append(Problem("entry.differs", what, f"entry {entry.id}", BY_HAND))
        return found

    looking.seen.entries = looking.site.db.read(ledger.count_all)
    yield from looking.site.db.read(read)
    logs, site = looking.site.db.read(lambda tx: (keys.list_logs(tx), accounts.find_identity(tx)))
    for log in logs:
        if site is None or log.origin.split("/")[1:2] != [site.id]:
            what = f"The log {log.origin} is not this site's, which is {site and site.id}"
            yield Problem("log.of_another_site", f"{what}.", f"log {log.origin}", BY_HAND)
    why = witnesses.own_copy_says(looking.site)
    if why is not None:
        yield Problem(
            "log.behind", f"{why}.", "log", "Restore the latest backup, or: headwater log begin-anew --reason …"
        )
    for name in witnesses.wrong_cosignatures(looking.site):
        what = f"What is kept as the signature of the witness {name} below the latest checkpoint is not one"
        yield Problem("log.cosignature_differs", f"{what}.", f"log {name}", "The next checkpoint brings another")


def check_refs(looking: Looking) -> Iterator[Problem]:
    """Each repository's refs: where the record moved them, step by step."""
    after = 0
    while rows := looking.site.db.read(_next_repositories, after):
        for repo_id, where, is_deleted in rows:
            after = repo_id
            yield from looking.site.db.read(_compare, RepoId(repo_id), where, is_deleted)


def _next_repositories(tx: Tx, after: int) -> list[tuple[int, str, bool]]:
    columns = repository.c.id, repository.c.kind, repository.c.namespace, repository.c.name, repository.c.deleted_at
    query = select(*columns).where(repository.c.id > after).order_by(repository.c.id).limit(_STEP)
    return [(row.id, f"{row.kind} {row.namespace}/{row.name}", row.deleted_at is not None) for row in tx.execute(query)]


def recorded_refs(tx: Tx, repo_id: RepoId) -> tuple[dict[str, str], list[Recorded], int]:
    """Where the record says that refs are; entries that do not follow from those before; how many moves there were."""
    refs: dict[str, str] = {}
    broken, n_moves = [], 0
    for entry in iter_entries(tx, repo_id=repo_id):
        if entry.kind == "repository.deleted":
            refs.clear()
        if entry.kind != "ref.moved":
            continue
        n_moves += 1
        try:
            facts = entry.facts()
            name, old, new = facts["ref"], facts["old"], facts["new"]
        except (ValueError, KeyError, TypeError):
            broken.append(entry)
            continue
        if refs.get(name) != old:
            broken.append(entry)
        if new is None:
            refs.pop(name, None)
        else:
            refs[name] = new
    return refs, broken, n_moves


def recorded_revisions(tx: Tx, repo_id: RepoId) -> list[str]:
    """What refs of the repository ever were at, but for what was pruned since."""
    refs: dict[str, str] = {}
    found: dict[str, None] = {}
    for entry in iter_entries(tx, repo_id=repo_id):
        if entry.kind == "repository.pruned":
            found = dict.fromkeys(refs.values())
        if entry.kind != "ref.moved":
            continue
        try:
            name, new = entry.facts()["ref"], entry.facts()["new"]
        except (ValueError, KeyError, TypeError):
            continue
        if new is None:
            refs.pop(name, None)
        elif isinstance(new, str):
            refs[name] = new
            found[new] = None
    return list(found)


def _compare(tx: Tx, repo_id: RepoId, where: str, is_deleted: bool) -> list[Problem]:  # noqa: FBT001
    said, broken, _ = recorded_refs(tx, repo_id)
    found = [
        Problem(
            "record.broken",
            f"Entry {entry.id} moves a ref of {where} from where no entry before it had moved it: one was altered, or is gone.",
            f"entry {entry.id}",
            BY_HAND,
            repo_id=repo_id,
        )
        for entry in broken
    ]
    there = store.read_refs(tx, repo_id)
    if is_deleted:
        said = {}
    for name in sorted(said.keys() | there.keys()):
        if said.get(name) != there.get(name):
            what = f"{name} of {where} is {_at(there.get(name))}; the record moved it {_to(said.get(name))}"
            found.append(Problem("ref.differs", f"{what}.", f"{where} {name}", BY_RECORD, repo_id=repo_id))
    return found


def _at(oid: str | None) -> str:
    return "not there" if oid is None else f"at {oid}"


def _to(oid: str | None) -> str:
    return "away" if oid is None else f"to {oid}"

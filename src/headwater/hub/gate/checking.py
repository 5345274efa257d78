"""Whether verdicts are what the record says they were, and whether everything is held that should be."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headwater import ledger
from headwater.db import Tx
from headwater.hub.gate import store
from headwater.hub.gate.models import FileVerdict, Release, Status
from headwater.kernel import RepoId

if TYPE_CHECKING:
    from headwater.hub.checking.models import Looking, Problem

_UNTIL_JUDGED = (
    "Look at a backup of that time; when the file is judged again by new rules, what is found then is recorded"
)
_Released = tuple[int, str, str]
"""Repository, content, role."""


@dataclass(frozen=True)
class _Batch:
    """A batch as the record tells of it. ``again``: of verdicts that were recorded before as something else."""

    digest: str
    again: bool


@dataclass
class _Told:
    """What the record says of verdicts and releases. ``twice``: batches that two entries tell of."""

    batches: dict[int, _Batch] = field(default_factory=dict)
    twice: set[int] = field(default_factory=set)
    released: dict[_Released, Release] = field(default_factory=dict)


@dataclass(frozen=True)
class _Mark:
    """The latest mark of a verdict. ``is_explained``: the first, or made when the file was judged again."""

    batch: int
    value: bytes
    is_explained: bool


def check_verdicts(looking: Looking) -> Iterator[Problem]:
    """A checker of ``hub.checking``: verdicts against their batches, batches and releases against the record."""
    yield from looking.site.db.read(_check)


def check_holds(looking: Looking, repo_id: RepoId, where: str, contents: Collection[str]) -> Iterator[Problem]:
    """A part of a repository's check: what its refs name and is not safe is held. ``contents``: all that it has."""
    from headwater.hub.checking.models import Problem, Row
    from headwater.hub.gate.jobs import files_of_refs
    from headwater.hub.git import GitStore

    db = looking.site.db
    unsafe = db.read(store.list_unsafe, contents)
    if not unsafe or db.read(store.is_waiting, repo_id):
        return
    with looking.site.part(GitStore).open(repo_id) as snap:
        named = {key: (path, pull) for key, path, pull in files_of_refs(snap) if key[0] in unsafe}
    if db.read(store.is_waiting, repo_id):
        return
    for key in db.read(store.find_unheld, repo_id, {key: pull for key, (_, pull) in named.items()}):
        what = f"{named[key][0]!r} of {where} is not safe, and not held back there"
        rows = (Row("held_file", (("repo_id", repo_id), ("content", key[0]), ("role", key[1]))),)
        yield Problem("hold.lost", f"{what}.", f"{where} {key[1]} {key[0]}", repo_id=repo_id, rows=rows)


def _check(tx: Tx) -> list[Problem]:
    from headwater.hub.checking.models import BY_HAND, Problem, Row

    found: list[Problem] = []
    told = _recorded(tx)
    marks: dict[bytes, _Mark] = {}
    for number, n_verdicts, digest, data in store.iter_batches(tx):
        batch = told.batches.pop(number, None)
        is_so = batch is not None and hashlib.sha256(data).hexdigest() == digest == batch.digest
        if not is_so or len(data) != n_verdicts * store.MARK_BYTES or number in told.twice:
            what = f"Batch {number} of verdicts is not the one in the record."
            found.append(Problem("verdicts.differ", what, f"verdicts/{number}", BY_HAND))
        for at in range(0, len(data), store.MARK_BYTES):
            key, value = data[at : at + store.KEY_BYTES], data[at + store.KEY_BYTES : at + store.MARK_BYTES]
            marks[key] = _Mark(number, value, key not in marks or (batch is not None and batch.again))
    for number in told.batches:
        what = f"Batch {number} of verdicts is in the record and not here."
        found.append(Problem("verdicts.lost", what, f"verdicts/{number}"))
    found += _compare(store.iter_verdicts(tx), marks)
    for content, role in store.list_unheld(tx):
        what = "A file that is not safe is not held back in every repository that names it."
        rows = (Row("held_file", (("content", content), ("role", role))),)
        found.append(Problem("hold.lost", what, f"{role} {content}", rows=rows))
    found += _compare_releases(store.list_releases(tx), told.released)
    return found


def _compare(verdicts: Iterator[FileVerdict], marks: dict[bytes, _Mark]) -> Iterator[Problem]:
    from headwater.hub.checking.models import FROM_BACKUP, Problem, Row

    def differs(verdict: FileVerdict, what: str, mend: str = FROM_BACKUP) -> Problem:
        rows = (Row("file_verdict", (("content", verdict.content), ("role", verdict.role))),)
        what = f"The verdict on {verdict.name!r} {what}."
        return Problem("verdict.differs", what, f"{verdict.role} {verdict.content}", mend, rows=rows)

    for verdict in verdicts:
        mark = store.mark_of(verdict)
        known = marks.pop(mark[: store.KEY_BYTES], None)
        if known is None:
            if verdict.batch_id is not None:
                yield differs(verdict, "says that it is recorded, and is not")
        elif verdict.batch_id is None:
            yield differs(verdict, "is recorded, and says that it is not")
        elif (known.batch, known.value) != (verdict.batch_id, mark[store.KEY_BYTES :]):
            yield differs(verdict, "is not the one that was recorded")
        elif not known.is_explained:
            what = f"was recorded anew by batch {known.batch} though nothing had judged the file again"
            yield differs(verdict, what, _UNTIL_JUDGED)
    for left in marks.values():
        yield Problem("verdict.lost", "A verdict that was recorded is not here.", f"verdicts/{left.batch}")


def _compare_releases(there: Mapping[_Released, Release], told: Mapping[_Released, Release]) -> Iterator[Problem]:
    from headwater.hub.checking.models import BY_HAND, Problem

    for key in sorted(there.keys() | told.keys()):
        repo_id, content, role = key
        where = f"{role} {content} in {repo_id}"
        if key not in told:
            what = "A file was released without an entry in the record."
            yield Problem("release.unrecorded", what, where, BY_HAND)
        elif key not in there:
            yield Problem("release.lost", "A file's release stands in the record and is not here.", where, BY_HAND)
        elif there[key] != told[key]:
            what = "A file's release says another status, reason, person or time than its entry in the record."
            yield Problem("release.differs", what, where, BY_HAND)


def _recorded(tx: Tx) -> _Told:
    told = _Told()
    for entry in ledger.iter_entries(tx):
        if entry.kind not in ("files.judged", "file.released", "file.held_again"):
            continue
        try:
            facts = entry.facts()
            if entry.kind == "files.judged":
                number = int(facts["batch"])
                if number in told.batches:
                    told.twice.add(number)
                told.batches[number] = _Batch(str(facts["digest"]), facts.get("again") is True)
            elif entry.repo_id is not None:
                key = entry.repo_id, str(facts["content"]), str(facts["role"])
                if entry.kind == "file.released":
                    by = entry.actor()
                    told.released[key] = Release(Status(facts["status"]), str(facts["reason"]), by, entry.created_at)
                else:
                    told.released.pop(key, None)
        except (ValueError, KeyError, TypeError):
            continue  # the record's own check tells of it
    return told

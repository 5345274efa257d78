"""What a run's own process says of it: with the run's token, about this run, while it goes on."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from headwater import accounts
from headwater.compute.errors import BadReport, NoSuchOutput
from headwater.compute.models import LARGEST_RESULT_BYTES, METRIC_NAME, State
from headwater.compute.naming import split_path
from headwater.compute.rows import Commit, Output, Run
from headwater.compute.service import access
from headwater.compute.service.reading import facts_of
from headwater.compute.service.submitting import grants_of
from headwater.compute.store import attempts, runs, said
from headwater.db import Tx
from headwater.hub.access import check_repository, find_by_name, get_repository_by_id
from headwater.hub.errors import NameTaken, RepositoryNotFound
from headwater.hub.git import GitStore
from headwater.hub.models import RepoKind, RepoName, Repository
from headwater.hub.repos.service import create_repository
from headwater.kernel import Actor, CommitId, RepoId, utcnow
from headwater.web import Site

MOST_POINTS = 200_000  # of one run; what comes after is left out
MOST_NAMES = 128
MOST_NOTES = 1000
MOST_FILES = 20_000
LONGEST_TEXT = 4000
DEEPEST = 32  # of objects and lists within each other


@dataclass(frozen=True)
class Report:
    """One batch. ``None`` says nothing of a thing."""

    points: Sequence[said.Point] = ()
    progress: Mapping[str, Any] | None = None
    notes: Sequence[str] = ()
    result: Mapping[str, Any] | None = None
    failure: tuple[str, str] | None = None
    environment: Mapping[str, Any] | None = None
    energy: Mapping[str, Any] | None = None
    commits: Sequence[Mapping[str, Any]] = field(default=())


def get_context(tx: Tx, actor: Actor, run_id: int, base_url: str) -> dict[str, Any]:
    """All that the process needs to know to begin. Raises: RunNotFound, NotThisRun."""
    run, attempt = access.get_own(tx, actor, run_id)
    return {
        "id": run.id,
        "attempt": attempt.number,
        "recipe": run.resolved,
        "recipe_text": run.recipe_text,
        "endpoint": base_url,
        "submitter": actor.name,
        "statement": facts_of(tx, run, base_url),
        "result": run.result,
    }


def take_report(site: Site, actor: Actor, run_id: int, report: Report) -> dict[str, Any]:
    """Keep what it says; answers whether it is to end.

    Raises:
        RunNotFound, NotThisRun, BadReport, NoSuchOutput
    """
    made = []
    if report.commits:
        run, attempt = site.db.read(access.get_own, actor, run_id)
        outputs = {each.name: each for each in site.db.read(lambda tx: runs.outputs_of(tx, [run.id])[run.id])}
        made = [_commit(site, run, attempt.number, outputs, told) for told in report.commits]
    return site.db.write(_keep, actor, run_id, report, made)


def _keep(tx: Tx, actor: Actor, run_id: int, report: Report, made: Sequence[Commit]) -> dict[str, Any]:
    run, attempt = access.get_own(tx, actor, run_id)
    now = utcnow()
    values: dict[str, Any] = {}
    if report.points:
        values["n_points"] = _keep_points(tx, run, report.points, now)
    if report.progress is not None:
        values["progress"] = dict(report.progress)
    if report.result is not None:
        values["result"] = dict(report.result)
    if report.energy is not None:
        values["energy"] = dict(report.energy)
    if report.environment is not None:
        values["environment"] = dict(report.environment)
    if report.notes:
        room = MOST_NOTES - said.count_notes(tx, run.id)
        for text in list(report.notes)[: max(room, 0)]:
            said.put_note(tx, run.id, attempt.number, text, now)
    for commit in made:
        runs.insert_commit(tx, commit)
    if run.state is State.STARTING:
        values["state"] = State.RUNNING.value
    if values:
        runs.update_run(tx, run.id, **values)
    marks: dict[str, Any] = {"reported_at": now}
    if attempt.state is State.STARTING:
        marks["state"] = State.RUNNING.value
    if report.failure is not None:
        marks["reason_code"], marks["reason"] = report.failure
    attempts.update_attempt(tx, run.id, attempt.number, **marks)
    return {"cancel": run.cancel_requested_at is not None}


def _keep_points(tx: Tx, run: Run, points: Sequence[said.Point], now: datetime) -> int:
    room = MOST_POINTS - run.n_points
    if room <= 0:
        return run.n_points
    names = {name for name, _, _ in points}
    known = set(said.metric_names(tx, run.id)) if run.n_points else set()
    new = sorted(names - known)[: max(0, MOST_NAMES - len(known))]
    kept = [point for point in points if point[0] in known or point[0] in new][:room]
    said.put_points(tx, run.id, kept, now)
    return run.n_points + len(kept)


def _commit(site: Site, run: Run, attempt: int, outputs: Mapping[str, Output], told: Mapping[str, Any]) -> Commit:
    """What it says to have put into an output, once that is found there."""
    output = outputs.get(told["output"])
    if output is None:
        raise NoSuchOutput(str(told["output"])[:80])
    if output.repo_id is None:
        raise BadReport(f"the output {output.name} has no repository yet")
    with site.part(GitStore).open(output.repo_id) as snap:
        commit = snap.resolve(told["commit"])
        entries = snap.entries(commit, list(told["files"]))
        for path in told["files"]:
            if path not in entries:
                raise BadReport(f"there is no file {path[:200]!r} in commit {commit}")
        for path, entry in entries.items():
            found = entry.sha256 or hashlib.sha256(snap.read_blob(entry.oid)).hexdigest()
            if found != told["files"][path]:
                raise BadReport(f"the sha256 of {path[:200]!r} is another in commit {commit}")
    return Commit(
        run.id, output.name, attempt, output.repo_id, CommitId(commit), told["revision"], dict(told["files"]), utcnow()
    )


def ensure_output(site: Site, actor: Actor, run_id: int, name: str) -> dict[str, Any]:
    """The repository of an output, created now if it is not there, in the name of who submitted the run.

    One that has come to be there meanwhile is taken if they may write it: an earlier attempt, or another output of the same
    name, made it. Not so a public one for what is to be private.

    Raises:
        RunNotFound, NotThisRun, NoSuchOutput.
        NotAllowed, NameTaken, QuotaExceeded: it cannot be created any more.
    """

    def look(tx: Tx) -> tuple[Run, Output, Actor, Repository | None]:
        run, _ = access.get_own(tx, actor, run_id)
        found = {each.name: each for each in runs.outputs_of(tx, [run.id])[run.id]}
        if name not in found:
            raise NoSuchOutput(name[:80])
        output = found[name]
        account = accounts.get_accounts(tx, [run.created_by])[run.created_by]
        person = Actor(account.id, account.name, account.is_site_admin)
        there = None
        if output.repo_id is not None:
            there = get_repository_by_id(tx, actor, output.repo_id, accounts.Action.WRITE)
        return run, output, person, there

    _run, output, person, repo = site.db.read(look)
    if repo is None:
        kind, repo_name = split_path(output.repo_path)
        try:
            repo = create_repository(site, person, kind, repo_name, is_private=output.is_private)
        except NameTaken:
            found = site.db.read(_find_writable, person, kind, repo_name)
            if found is None or (output.is_private and not found.is_private):
                raise
            repo = found
        site.db.write(_give_output, actor, run_id, name, repo.id)
    return {"type": repo.kind.value, "id": str(repo.name), "branch": repo.default_branch, "private": repo.is_private}


def _find_writable(tx: Tx, person: Actor, kind: RepoKind, name: RepoName) -> Repository | None:
    there = find_by_name(tx, kind, name)
    if there is None:
        return None
    try:
        return check_repository(tx, person, there, accounts.Action.WRITE)
    except (accounts.NotAllowed, RepositoryNotFound):
        return None


def _give_output(tx: Tx, actor: Actor, run_id: int, name: str, repo_id: RepoId) -> None:
    run, attempt = access.get_own(tx, actor, run_id)
    runs.set_output_repository(tx, run.id, name, repo_id)
    if attempt.token_id is not None:
        inputs, outputs = runs.inputs_of(tx, [run.id])[run.id], runs.outputs_of(tx, [run.id])[run.id]
        accounts.set_run_grants(tx, attempt.token_id, grants_of(tx, run, inputs, outputs))


# ---- what came over the wire


def parse_report(body: Mapping[str, Any]) -> Report:
    """Raises: BadReport."""
    known = {"points", "progress", "notes", "result", "failure", "environment", "energy", "commits"}
    if set(body) - known:
        raise BadReport(f"it has the unknown field {min(set(body) - known)[:40]!r}")
    failure = body.get("failure")
    if failure is not None and not (
        isinstance(failure, dict) and isinstance(failure.get("code"), str) and isinstance(failure.get("message"), str)
    ):
        raise BadReport("a failure has the texts code and message")
    return Report(
        points=_points(body.get("points", [])),
        progress=_progress(body.get("progress")),
        notes=[_text(each, "a note") for each in _list(body.get("notes", []), "notes", 100)],
        result=_object(body.get("result"), "the result", LARGEST_RESULT_BYTES),
        failure=None if failure is None else (failure["code"][:64], failure["message"][:LONGEST_TEXT]),
        environment=_object(body.get("environment"), "the environment", 64 << 10),
        energy=_object(body.get("energy"), "the energy", 4096),
        commits=[_parse_commit(each) for each in _list(body.get("commits", []), "commits", 16)],
    )


def _list(value: Any, what: str, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise BadReport(f"{what} is a list of at most {most}")
    return value


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str):
        raise BadReport(f"{what} is a text")
    return value[:LONGEST_TEXT].replace("\0", "\ufffd")


def _object(value: Any, what: str, most_bytes: int) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadReport(f"{what} is an object")
    if _is_deeper(value, DEEPEST):
        raise BadReport(f"{what} has objects and lists in more than {DEEPEST} levels")
    size = len(orjson.dumps(value))
    if size > most_bytes:
        raise BadReport(f"{what} has {size} bytes, and at most {most_bytes} are kept")
    return value


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [
            each
            for one in level
            if isinstance(one, dict | list)
            for each in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return any(isinstance(one, dict | list) for one in level)


def _points(value: Any) -> list[said.Point]:
    found: list[said.Point] = []
    for each in _list(value, "points", 20_000):
        if not isinstance(each, list) or len(each) != 3:
            raise BadReport("a point is [name, step, value]")
        name, step, number = each
        if not isinstance(name, str) or not METRIC_NAME.fullmatch(name):
            raise BadReport(f"{str(name)[:80]!r} is no name of a metric: letters, digits, and _ . / @ -")
        if type(step) is not int or not -(2**53) <= step <= 2**53:
            raise BadReport("a step is a whole number")
        if number is not None and (type(number) not in (int, float) or not math.isfinite(number)):
            raise BadReport("a value is a finite number, or null where it is none")
        found.append((name, step, None if number is None else float(number)))
    return found


def _progress(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise BadReport("progress is an object")
    done, total = value.get("done"), value.get("total")
    for number in (done, total):
        if number is not None and (type(number) not in (int, float) or not math.isfinite(number) or number < 0):
            raise BadReport("done and total are numbers, at least 0")
    return {"done": done, "total": total, "what": _text(value.get("what", ""), "what is done")[:200]}


def _parse_commit(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(
        isinstance(value.get(name), str) for name in ("output", "commit", "revision")
    ):
        raise BadReport("a commit has the texts output, commit and revision")
    files = value.get("files")
    if not isinstance(files, dict) or len(files) > MOST_FILES:
        raise BadReport(f"a commit has files: at most {MOST_FILES} paths, with the sha256 of each")
    for path, digest in files.items():
        if not isinstance(digest, str) or len(digest) != 64 or len(path) > 1024:
            raise BadReport("a commit has files: paths, with the sha256 of each in 64 hex digits")
    commit = value["commit"]
    if len(commit) != 40 or any(letter not in "0123456789abcdef" for letter in commit):
        raise BadReport("a commit is named by 40 hex digits")
    return {"output": value["output"], "commit": commit, "revision": value["revision"][:255], "files": files}

"""Runs on a Ray cluster, as Ray Jobs, by the REST interface of its dashboard: the server itself needs no Ray.

What is started there is ``compute.runners.remote``, which holds the program to its limits on whatever node it comes to; program and site
speak over HTTP as they do on one machine. Who of several hosts of a site speaks with the cluster is decided by a lock; what it knows is
in the database and in Ray, so another goes on where one was lost.
"""

from __future__ import annotations

import hashlib
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import structlog

from headwater import accounts
from headwater.compute.kinds import find_kind, kinds
from headwater.compute.models import RunId, State
from headwater.compute.rows import Run, RunHost
from headwater.compute.runners import Held, RunnerAway, StartFailed
from headwater.compute.runners.environment import command_of, variables_of
from headwater.compute.service.lifecycle import GRACE_S, Claimed, Outcome
from headwater.compute.settings import ComputeSettings
from headwater.kernel import utcnow
from headwater.web import Site

CALL_S = 20.0
LOOK_S = 1.0  # at one job
LOG_S = 2.0
SILENT_S = 5.0  # one that did not answer is not asked again for so long: each call may take CALL_S
AWAY_S = 300.0  # a cluster that has not answered for so long has lost its jobs
LARGEST_LOG_BYTES = 32 << 20

log = structlog.get_logger("headwater.compute")


class ClusterAway(RunnerAway):
    """It does not answer, or not as it should."""


@dataclass
class _Job:
    name: str
    status: str = "PENDING"
    facts: dict[str, Any] | None = None
    looked_at: float = 0.0
    answered_at: float = 0.0
    log: bytes = b""
    log_at: float = 0.0


class RayRunner:
    """One a cluster."""

    begins_at_once = False

    def __init__(self, site: Site) -> None:
        self._site = site
        self._site_id: str | None = None
        self.settings = site.settings.of(ComputeSettings)
        self.endpoint = self.settings.endpoint or site.base_url
        self.address = (self.settings.ray_address or "").rstrip("/")
        self.host_id = f"ray-{hashlib.sha256(self.address.encode()).hexdigest()[:24]}"
        token = self.settings.ray_token
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=self.address, headers=headers, timeout=CALL_S, trust_env=False)
        self._jobs: dict[Held, _Job] = {}
        self._silent_until = 0.0
        self._is_away = False  # that it is was told

    def describe(self) -> RunHost | None:
        try:
            nodes = self._nodes()
        except (ClusterAway, KeyError, TypeError) as exc:
            if not self._is_away:
                log.warning("ray.away", address=self.address, reason=str(exc)[:200])
            self._is_away = True
            return None
        self._is_away = False
        totals: dict[str, float] = {}
        for node in nodes:
            for name, amount in node.items():
                totals[name] = totals.get(name, 0.0) + amount
        chips = sorted(name for name in totals if name.startswith("chip_"))
        return RunHost(
            id=self.host_id,
            name=f"Ray {self.address.partition('://')[2]} ({len(nodes)})",
            runner="ray",
            cpus=totals.get("CPU", 0.0),
            memory_bytes=int(totals.get("memory", 0.0)),
            gpus=int(totals[chips[0]] if chips else totals.get("GPU", 0.0)),
            chip=chips[0].removeprefix("chip_") if chips else self.settings.chip,
            extras=dict.fromkeys(kinds(), True),
            seen_at=utcnow(),
        )

    def _nodes(self) -> list[dict[str, float]]:
        """What each node that lives has, by resource."""
        told = self._call("GET", "/api/v0/nodes", params={"detail": "1", "limit": "1000"})
        return [
            {name: float(amount) for name, amount in each["resources_total"].items() if isinstance(amount, int | float)}
            for each in told["data"]["result"]["result"]
            if each["state"] == "ALIVE"
        ]

    def _key_of(self, run: Run) -> str:
        """What no other run on this cluster has: numbers of runs are given by every site, and again by one that was restored."""
        if self._site_id is None:
            identity = self._site.db.read(accounts.find_identity)
            self._site_id = "" if identity is None else identity.id
        what = f"{self._site_id} {run.id} {run.created_at.isoformat()} {run.recipe_digest}"
        return hashlib.sha256(what.encode()).hexdigest()[:16]

    def _name_of(self, run: Run, attempt: int) -> str:
        return f"headwater-{self._key_of(run)}-{run.id}-{attempt}"

    def start(self, claimed: Claimed) -> str | None:
        run, held = claimed.run, (claimed.run.id, claimed.attempt)
        kind = find_kind(run.kind)
        if kind is None:
            raise StartFailed(f"this server knows no kind of run {run.kind!r}")
        name = self._name_of(run, claimed.attempt)
        command = command_of(run, self.settings)
        variables = variables_of(run, claimed.token, self.settings, self.endpoint, None)
        variables |= {
            "HEADWATER_RUN_ATTEMPT": str(claimed.attempt),
            "HEADWATER_RUN_KEY": self._key_of(run),
            "HEADWATER_RUN_TIME_LIMIT_S": str(run.need.time_limit_s or ""),
            "HEADWATER_RUN_GRACE_S": str(GRACE_S),
            # How long Ray waits between asking a job to end and ending it.
            "RAY_JOB_STOP_WAIT_TIME_S": str(GRACE_S + 5),
        }
        chips = {} if run.need.chip is None else {f"chip_{run.need.chip}": float(run.need.gpus)}
        body: dict[str, Any] = {
            "entrypoint": shlex.join([command[0], "-m", "headwater.compute.runners.remote", *command[2:]]),
            "submission_id": name,
            "runtime_env": {"env_vars": variables},
            "metadata": {"headwater_run": str(run.id)},
            "entrypoint_num_cpus": run.need.cpus,
            "entrypoint_memory": run.need.memory_bytes,
            "entrypoint_resources": chips,
        }
        if run.need.gpus and not chips:
            body["entrypoint_num_gpus"] = run.need.gpus
        self._clear(name)
        try:
            self._call("POST", "/api/jobs/", json=body)
        except _NotTaken as exc:
            raise StartFailed(str(exc)) from exc
        self._jobs[held] = _Job(name, answered_at=time.monotonic())
        return name

    def _clear(self, name: str) -> None:
        """A call whose answer was not heard may have left a job of this name there, whose token is no more.

        Raises:
            ClusterAway: it does not answer, or the job is still ending.
        """
        try:
            told = self._call("GET", f"/api/jobs/{name}")
        except _NoSuchJob:
            return
        if told.get("status") in ("PENDING", "RUNNING"):
            self._call("POST", f"/api/jobs/{name}/stop")
            raise ClusterAway(f"the job {name}, begun by a call that was not answered, is being ended")
        self._call("DELETE", f"/api/jobs/{name}")

    def adopt(self, run: Run, number: int, remote_id: str | None) -> None:
        name = remote_id or self._name_of(run, number)
        self._jobs[run.id, number] = _Job(name, answered_at=time.monotonic())

    def read_log(self, held: Held, start: int, most_bytes: int) -> bytes:
        job = self._jobs.get(held)
        if job is None:
            return b""
        now = time.monotonic()
        if now - job.log_at >= LOG_S and start >= len(job.log):
            job.log_at = now
            try:
                told = self._call("GET", f"/api/jobs/{job.name}/logs")
            except ClusterAway:
                return b""
            job.log = str(told.get("logs") or "").encode()[:LARGEST_LOG_BYTES]
        return job.log[start : start + most_bytes]

    def find_outcome(self, held: Held) -> Outcome | None:
        job = self._jobs.get(held)
        if job is None:
            return Outcome(State.LOST, "host_lost", "Nobody knows of its job any more.")
        now = time.monotonic()
        if now - job.looked_at < LOOK_S:
            return None
        job.looked_at = now
        try:
            told = self._call("GET", f"/api/jobs/{job.name}")
        except _NoSuchJob:
            return Outcome(State.LOST, "host_lost", "The Ray cluster was restarted, and knows nothing of its job.")
        except ClusterAway as exc:
            if now - job.answered_at > AWAY_S:
                return Outcome(State.LOST, "host_lost", f"The Ray cluster does not answer: {exc}")
            return None
        job.answered_at, job.status = now, str(told.get("status"))
        if job.status in ("PENDING", "RUNNING"):
            return None
        job.log_at = 0.0  # the last of it is fetched once more
        return _outcome(told)

    def ask_to_end(self, held: Held) -> bool:
        return self._stop(held)  # Ray remembers it of one that has not begun, too

    def end(self, held: Held) -> None:
        self._stop(held)

    def _stop(self, held: Held) -> bool:
        job = self._jobs.get(held)
        if job is None:
            return False
        try:
            self._call("POST", f"/api/jobs/{job.name}/stop")
        except _NoSuchJob:
            return True
        except ClusterAway as exc:
            log.warning("ray.not_stopped", job=job.name, reason=str(exc)[:200])
            return False
        return True

    def forget(self, held: Held, *, is_over: bool) -> None:
        self._jobs.pop(held, None)

    def tidy(self, over: Sequence[RunId]) -> None:
        """Ray keeps its own."""

    def list_kept(self) -> list[RunId]:
        return []

    def _call(self, method: str, path: str, **more: Any) -> Any:
        if time.monotonic() < self._silent_until:
            raise ClusterAway(f"{self.address} did not answer a moment ago")
        try:
            answer = self._http.request(method, path, **more)
        except httpx.HTTPError as exc:
            self._silent_until = time.monotonic() + SILENT_S
            raise ClusterAway(f"{self.address} does not answer ({type(exc).__name__})") from exc
        if answer.status_code == 404 and path.startswith("/api/jobs/headwater"):
            raise _NoSuchJob(path)
        if answer.status_code in (401, 403):
            raise ClusterAway(f"{self.address} does not take the token of HEADWATER_COMPUTE_RAY_TOKEN")
        if not answer.is_success:
            refused = _NotTaken if answer.status_code in (400, 413, 422, 500) else ClusterAway
            raise refused(f"{path} was answered with {answer.status_code}: {answer.text[:300]}")
        return answer.json()


class _NoSuchJob(ClusterAway):
    pass


class _NotTaken(ClusterAway):
    """It answers, and will not have this."""


def _outcome(told: dict[str, Any]) -> Outcome:
    status, code = told.get("status"), told.get("driver_exit_code")
    if status == "SUCCEEDED":
        return Outcome(State.SUCCEEDED, exit_code=0)
    if status == "STOPPED":
        return Outcome(State.CANCELLED, "cancelled", "It was cancelled.", code)
    message = str(told.get("message") or "")[:500]
    if code is None:  # the program did not end by itself: its node, or what watched it there, did
        return Outcome(State.LOST, "host_lost", f"The node it ran on was lost. Ray says: {message}")
    return Outcome(State.FAILED, "exit_code", f"Its process ended with exit code {code}; the log may say why.", code)

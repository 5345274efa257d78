"""Where the processes of runs are started: on this host, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from headwater.compute.models import RunId
from headwater.compute.rows import Run, RunHost
from headwater.compute.service.lifecycle import Claimed, Outcome

Held = tuple[RunId, int]
"""A run and the number of its attempt."""


class Runner(Protocol):
    """Starts processes and tells what became of them. Nothing of it is kept in this process alone.

    ``begins_at_once``: what was started runs; else it may wait there, and says itself when it runs.
    ``host_id``: under which the site knows it, whether it answers or not.
    """

    begins_at_once: bool
    host_id: str

    def describe(self) -> RunHost | None:
        """What there is to run on; None while it does not answer."""
        ...

    def start(self, claimed: Claimed) -> str | None:
        """Start the process; returns how it is called there. Raises: StartFailed, RunnerAway."""
        ...

    def adopt(self, run: Run, number: int, remote_id: str | None) -> None:
        """Watch one that was started before this process was."""
        ...

    def read_log(self, held: Held, start: int, most_bytes: int) -> bytes:
        """What it has printed from this byte on; may be none."""
        ...

    def find_outcome(self, held: Held) -> Outcome | None:
        """How it ended; None while it goes on."""
        ...

    def ask_to_end(self, held: Held) -> bool:
        """It may save what it has for a grace time. False where nothing could hear it: it is asked again."""
        ...

    def end(self, held: Held) -> None:
        """At once: the site counts it as over."""
        ...

    def forget(self, held: Held, *, is_over: bool) -> None:
        """It has been written down how it ended. ``is_over``: and no further attempt follows."""
        ...

    def tidy(self, over: Sequence[RunId]) -> None:
        """Remove what is left of runs that are long over."""
        ...

    def list_kept(self) -> list[RunId]:
        """Of which runs something is left here."""
        ...


class RunnerAway(Exception):
    """What starts processes does not answer, or not as it should: nothing is known against the run."""


class StartFailed(Exception):
    """The process could not be started; the text says why."""

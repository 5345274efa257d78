"""How acts on runs may be refused."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from headwater.compute.models import Problem
from headwater.kernel import HeadwaterError, Kind


class RunNotFound(HeadwaterError):
    """Absent, or hidden from this actor."""

    code = "run_not_found"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("There is no such run, or you may not see it. `headwater run list` shows those you may.")


class UnknownKind(HeadwaterError):
    code = "unknown_run_kind"
    kind = Kind.NOT_FOUND

    def __init__(self, name: str, known: Collection[str]) -> None:
        super().__init__(f"There is no kind of run {name!r} here. There are: {', '.join(sorted(known)) or 'none'}.")


class BadRecipe(HeadwaterError):
    """``problems`` are all that were found."""

    code = "bad_recipe"
    kind = Kind.UNPROCESSABLE

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"The recipe has {len(problems)} problem(s), and nothing was started:\n{lines}")


class NotThisRun(HeadwaterError):
    code = "not_this_run"
    kind = Kind.NOT_ALLOWED

    def __init__(self) -> None:
        super().__init__("Only the process of the run itself reports for it, with the token that the run was given.")


class RunIsOver(HeadwaterError):
    code = "run_is_over"
    kind = Kind.CONFLICT

    def __init__(self, state: str) -> None:
        super().__init__(f"This run is {state}: there is nothing to end. Submit it again, or retry it.")


class RunGoesOn(HeadwaterError):
    code = "run_goes_on"
    kind = Kind.CONFLICT

    def __init__(self, state: str) -> None:
        super().__init__(f"This run is {state}: only one that has failed, was cancelled or lost can be tried again.")


class NoSuchOutput(HeadwaterError):
    code = "no_such_output"
    kind = Kind.NOT_FOUND

    def __init__(self, name: str) -> None:
        super().__init__(f"The recipe of this run has no output {name!r}.")


class BadReport(HeadwaterError):
    code = "bad_run_report"
    kind = Kind.BAD_INPUT

    def __init__(self, why: str) -> None:
        super().__init__(f"This report of a run cannot be taken: {why}.")


class PriorityNotAllowed(HeadwaterError):
    code = "priority_not_allowed"
    kind = Kind.NOT_ALLOWED

    def __init__(self) -> None:
        super().__init__("Only the site's administrators put a run before others'. Use the priority normal or low.")


class TooManyWaiting(HeadwaterError):
    code = "too_many_waiting_runs"
    kind = Kind.TOO_MANY

    def __init__(self, whose: str, most: int) -> None:
        super().__init__(
            f"{most} runs {whose} wait already, and no more may (HEADWATER_COMPUTE_ACCOUNT_WAITING). "
            "Cancel some of them, or come back when some have begun.",
            headers={"Retry-After": "600"},
        )


class TooManyStreams(HeadwaterError):
    code = "too_many_streams"
    kind = Kind.TOO_MANY

    def __init__(self, most: int) -> None:
        super().__init__(f"You follow {most} runs at once already. Close some of them.", headers={"Retry-After": "30"})


class BadRunRequest(HeadwaterError):
    code = "bad_run_request"
    kind = Kind.BAD_INPUT

    def __init__(self, why: str) -> None:
        super().__init__(f"This cannot be submitted: {why}.")

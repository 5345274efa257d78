"""Why a tour does not begin, or ends on the way."""

from __future__ import annotations

from pathlib import Path

from headwater.kernel import HeadwaterError, Kind


class SiteNotRunning(HeadwaterError):
    code = "site_not_running"
    kind = Kind.CONFLICT

    def __init__(self, data_dir: Path) -> None:
        super().__init__(
            f"No site runs on {data_dir}. Start it first: `make up`, or headwater up --background --data {data_dir}"
        )


class TourNeeds(HeadwaterError):
    """Something on this machine is missing; says how to get it."""

    code = "tour_needs"
    kind = Kind.UNPROCESSABLE

    def __init__(self, what: str, mend: str) -> None:
        super().__init__(f"The tour needs {what}. {mend}")


class TourBrokeOff(HeadwaterError):
    """A step failed. What came before it stays, and another tour goes on from here."""

    code = "tour_broke_off"
    kind = Kind.UNPROCESSABLE

    def __init__(self, step: str, why: str, page: str) -> None:
        self.step, self.page = step, page
        super().__init__(
            f"{step}: {why.rstrip('.')}. Read {page} for what happened; `headwater tour` goes on from this step."
        )

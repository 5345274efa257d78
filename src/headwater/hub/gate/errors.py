"""How the gate refuses. Codes are listed in docs/errors.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from headwater.hub.gate.models import Found, Hold, Status
from headwater.kernel import HeadwaterError, Kind

_HELD = {
    Status.QUEUED: "has not been judged yet, and is served to those who may write to the repository only. Try again in a moment.",
    Status.SUSPICIOUS: (
        "is held back: it may run code, or was made to mislead. Its page says what was found. Whoever wants it all the same asks "
        "with the header 'X-Headwater-Accept: suspicious', or ?accept=suspicious."
    ),
    Status.UNSAFE: (
        "is not served: it is not what its format says, and would be refused if it were uploaded today. Its page says what was "
        "found; those who write to the repository can replace it."
    ),
}


class FileHeld(HeadwaterError):
    """Bytes that this reader does not get, or not without an explicit step.

    ``found`` is what the door had found by then, for pages that show everything but the bytes.
    """

    code = "file_held"
    kind = Kind.NOT_ALLOWED

    def __init__(self, hold: Hold, found: Any = None) -> None:
        self.hold = hold
        self.found = found
        super().__init__(f"{hold.path!r} {_HELD[hold.status]}", headers={"X-Headwater-File-Status": hold.status.value})


class CloneHeld(HeadwaterError):
    """A clone would bring small files that are held back; git has no way to leave them out."""

    code = "clone_held"
    kind = Kind.NOT_ALLOWED

    def __init__(self, hold: Hold, number: int) -> None:
        more = f" and {number - 1} more" if number > 1 else ""
        if hold.status is Status.SUSPICIOUS:
            how = "To clone them all the same: git -c http.extraHeader='X-Headwater-Accept: suspicious' clone …"
        elif hold.status is Status.QUEUED:
            how = "They are being judged; try again in a moment."
        else:
            how = "Those who write to the repository can remove or release them."
        super().__init__(f"This repository holds files that are held back: {hold.path!r}{more}. {how}")


class FileRefused(HeadwaterError):
    """A file lies about itself; the commit or push that brings it is refused as a whole."""

    code = "file_refused"
    kind = Kind.UNPROCESSABLE

    def __init__(self, path: str, findings: Sequence[Found], others: int = 0) -> None:
        self.path = path
        self.findings = tuple(findings)
        first = findings[0]
        where = f" in {first.member}" if first.member else ""
        where += f" at byte {first.offset}" if first.offset is not None else ""
        what = f" ({first.what})" if first.what else ""
        more = f" {others} more files are refused, too." if others else ""
        super().__init__(
            f"{path!r} is refused: {first.says}{what}{where} [{first.rule}, version {first.version}]. {first.advice}{more}"
        )


class NotHeld(HeadwaterError):
    code = "not_held"
    kind = Kind.NOT_FOUND

    def __init__(self) -> None:
        super().__init__(
            "No such file is held back in this repository. It may have been judged anew, or released already."
        )


class ReasonMissing(HeadwaterError):
    code = "release_reason_missing"
    kind = Kind.BAD_INPUT

    def __init__(self) -> None:
        super().__init__("Say in 10 to 1,000 characters why this file may be served; the reason is recorded.")

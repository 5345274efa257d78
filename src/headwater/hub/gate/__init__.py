"""The file gate: every file is judged before others can download it, and what is not safe is held back at every door.

Judging is ``headwater.scanning``'s; here is when it is asked, what is kept of its verdicts, and who is served what.
docs/decisions/0053-verdicts-and-holds.md has the reasons.
"""

from headwater.hub.gate.errors import CloneHeld, FileHeld, FileRefused
from headwater.hub.gate.judging import (
    LargeFile,
    SmallFile,
    judge_commit,
    judge_incoming,
    record_judged,
    require_harmless,
    small_file,
)
from headwater.hub.gate.models import NOTHING, FileVerdict, Found, HeldFile, Hold, Judged, Key, Release, Status
from headwater.hub.gate.service import (
    Accepts,
    RepositorySecurity,
    Security,
    accepts_nothing,
    find_hold,
    find_hold_of_bytes,
    find_holds_of_bytes,
    find_security,
    holds_small,
    is_open,
    list_held,
    list_queue,
    release,
    repository_security,
    require_clone,
    require_copy,
    require_open,
    withdraw,
)

__all__ = [
    "NOTHING",
    "Accepts",
    "CloneHeld",
    "FileHeld",
    "FileRefused",
    "FileVerdict",
    "Found",
    "HeldFile",
    "Hold",
    "Judged",
    "Key",
    "LargeFile",
    "Release",
    "RepositorySecurity",
    "Security",
    "SmallFile",
    "Status",
    "accepts_nothing",
    "find_hold",
    "find_hold_of_bytes",
    "find_holds_of_bytes",
    "find_security",
    "holds_small",
    "is_open",
    "judge_commit",
    "judge_incoming",
    "list_held",
    "list_queue",
    "record_judged",
    "release",
    "repository_security",
    "require_clone",
    "require_copy",
    "require_harmless",
    "require_open",
    "small_file",
    "withdraw",
]

"""Types of ids and digests, so that one is not taken for another."""

from typing import NewType

AccountId = NewType("AccountId", int)
RepoId = NewType("RepoId", int)
JobId = NewType("JobId", int)
EntryId = NewType("EntryId", int)

Sha256 = NewType("Sha256", str)
"""64 lower-case hex digits."""

GitOid = NewType("GitOid", str)
"""40 lower-case hex digits naming any git object."""

CommitId = NewType("CommitId", str)
"""40 lower-case hex digits naming a git commit: what this project calls a revision."""

XetHash = NewType("XetHash", str)
"""64 lower-case hex digits in the string form of the Xet specification (8-byte groups reversed)."""

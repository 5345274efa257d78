"""What is counted, and what may be used."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

NO_LIMIT = -1  # as kept and as typed; None stands for the site's default
MEASURES = ("max_bytes", "max_private_bytes", "max_repositories")


@dataclass(frozen=True)
class Limits:
    """What an account may use. None is no limit when in force, and "as the site" when it is an account's own."""

    max_bytes: int | None = None
    max_private_bytes: int | None = None
    max_repositories: int | None = None

    def over(self, default: Limits) -> Limits:
        """These where they are given, else the default's; ``NO_LIMIT`` becomes None."""
        own = {name: getattr(self, name) for name in MEASURES}
        merged = {name: getattr(default, name) if value is None else value for name, value in own.items()}
        return Limits(**{name: None if value is None or value < 0 else value for name, value in merged.items()})

    def to_facts(self) -> dict[str, int | None]:
        return {name: getattr(self, name) for name in MEASURES}

    @classmethod
    def from_facts(cls, facts: dict[str, Any] | None) -> Limits:
        return cls(**{name: (facts or {}).get(name) for name in MEASURES})


@dataclass(frozen=True)
class SiteLimits:
    """What holds for every account that has no limits of its own.

    ``max_waiting_bytes`` bounds what one account may leave uncommitted in repositories that it may not write to.
    """

    limits: Limits = Limits()
    max_waiting_bytes: int | None = None

    def to_facts(self) -> dict[str, int | None]:
        return {**self.limits.to_facts(), "max_waiting_bytes": self.max_waiting_bytes}

    @classmethod
    def from_facts(cls, facts: dict[str, Any] | None) -> SiteLimits:
        return cls(Limits.from_facts(facts), (facts or {}).get("max_waiting_bytes"))


@dataclass(frozen=True)
class Usage:
    """What an account is charged: its repositories, its pull requests to others, its uploads without a commit, its pictures."""

    public_bytes: int = 0
    private_bytes: int = 0
    pull_bytes: int = 0
    pending_bytes: int = 0
    attachment_bytes: int = 0
    n_repositories: int = 0

    @property
    def used_bytes(self) -> int:
        return self.public_bytes + self.private_bytes + self.pull_bytes + self.pending_bytes + self.attachment_bytes

    @classmethod
    def from_row(cls, row: Any) -> Usage:
        """Out of a row that has columns of these names."""
        return cls(**{each.name: getattr(row, each.name) for each in fields(cls)})


@dataclass(frozen=True)
class Quota:
    """One account: used, its own limits, and those in force for it."""

    usage: Usage
    own: Limits
    limits: Limits

    @property
    def left_bytes(self) -> int | None:
        """None when there is no limit; never below 0."""
        return None if self.limits.max_bytes is None else max(self.limits.max_bytes - self.usage.used_bytes, 0)

    def left_for(self, *, is_private: bool) -> int | None:
        """How many bytes more a public or private repository of the account may take."""
        lefts = [self.left_bytes]
        if is_private and self.limits.max_private_bytes is not None:
            lefts.append(max(self.limits.max_private_bytes - self.usage.private_bytes, 0))
        return min((left for left in lefts if left is not None), default=None)

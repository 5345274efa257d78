"""What an operator may set about quotas; an administrator's choice on the site's page stands above it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from headwater.hub.quotas.models import Limits, SiteLimits
from headwater.kernel import setting


def _check(value: int) -> str | None:
    return None if value >= -1 else f"{value} is neither a size nor -1, which stands for no limit"


@dataclass(frozen=True)
class QuotaSettings:
    section: ClassVar[str] = "quota"

    bytes: int = setting(-1, "Bytes that each account and organisation may use; -1: no limit.", check=_check)
    private_bytes: int = setting(-1, "Of these, bytes in private repositories; -1: no limit.", check=_check)
    repositories: int = setting(-1, "Repositories of each account and organisation; -1: no limit.", check=_check)
    waiting_bytes: int = setting(
        100 << 30,
        "Bytes that one account may have waiting for commits in repositories it may not write to; -1: no limit.",
        check=_check,
    )

    def as_limits(self) -> SiteLimits:
        return SiteLimits(Limits(self.bytes, self.private_bytes, self.repositories), self.waiting_bytes)

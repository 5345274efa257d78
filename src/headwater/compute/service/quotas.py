"""What one account's runs may hold at once, and how many may wait."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headwater.compute.errors import TooManyWaiting
from headwater.compute.models import Need
from headwater.compute.settings import ComputeSettings
from headwater.compute.store import runs
from headwater.db import Tx
from headwater.kernel import AccountId


@dataclass(frozen=True)
class Quota:
    """What one account's runs may hold at once; None: no bound."""

    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: int | None = None
    runs: int | None = None


def quota_of(row: Any, settings: ComputeSettings) -> Quota:
    """What one account has: its own row, where there is one, and else what the settings say."""

    def own(name: str, default: float) -> Any:
        found = None if row is None else getattr(row, name)
        if found is not None:
            return found
        return None if default < 0 else default

    memory = settings.account_memory_gb
    return Quota(
        own("cpus", settings.account_cpus),
        own("memory_bytes", memory if memory < 0 else int(memory * 1e9)),
        own("gpus", settings.account_gpus),
        own("runs", settings.account_runs),
    )


def within(quota: Quota, used: Need, n_runs: int, need: Need) -> bool:
    """Whether there is room for what is needed beside what is used."""
    return (
        (quota.runs is None or n_runs + 1 <= quota.runs)
        and (quota.cpus is None or used.cpus + need.cpus <= quota.cpus + 1e-9)
        and (quota.memory_bytes is None or used.memory_bytes + need.memory_bytes <= quota.memory_bytes)
        and (quota.gpus is None or used.gpus + need.gpus <= quota.gpus)
    )


def require_room(tx: Tx, settings: ComputeSettings, *, owner_id: AccountId, created_by: AccountId) -> None:
    """That one more may wait. Raises: TooManyWaiting."""
    most = settings.account_waiting
    if most < 0:
        return
    for column, account_id, whose in (
        ("owner_id", owner_id, "of this owner"),
        ("created_by", created_by, "that you submitted"),
    ):
        if runs.count_waiting(tx, column, account_id) >= most:
            raise TooManyWaiting(whose, most)

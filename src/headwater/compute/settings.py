"""What an operator may set about runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar
from urllib.parse import urlsplit

from headwater.kernel import setting


def _at_least(least: float) -> Callable[[float], str | None]:
    return lambda value: None if value >= least else f"{value} is less than {least:g}"


def _at_least_or_none(value: float | None) -> str | None:
    return None if value is None or value >= 0 else f"{value} is negative"


def _check_endpoint(value: str | None) -> str | None:
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.path.strip("/"):
        return f"{value!r} is not an address such as http://127.0.0.1:7860, without a path"
    return None


def _check_pairs(value: tuple[str, ...]) -> str | None:
    wrong = [each for each in value if not each.partition("=")[2]]
    return f"{wrong[0]!r} is not kind=/path/to/python" if wrong else None


@dataclass(frozen=True)
class ComputeSettings:
    section: ClassVar[str] = "compute"

    cpus: float = setting(
        -1.0,
        "Processors of this host that runs may declare together; -1: all there are. 0: no runs are started here.",
        check=_at_least(-1),
    )
    memory_gb: float = setting(
        -1.0, "Memory that they may declare together, in GB; -1: four fifths of what there is.", check=_at_least(-1)
    )
    gpus: int = setting(0, "Accelerators of this host that runs may declare together.", check=_at_least(0))
    chip: str | None = setting(None, "What those accelerators are called; a recipe may ask for it by this name.")
    peak_tflops: float | None = setting(
        None,
        "What those accelerators, or else the processors, reach together at most, in TFLOP/s, as their maker says; trainings tell which share of it they use (MFU).",
        check=_at_least_or_none,
    )
    peak_source: str | None = setting(None, "Where that figure is from; it stands beside the share.")
    endpoint: str | None = setting(
        None, "Address at which runs reach this site, where that is not its public one.", check=_check_endpoint
    )
    interpreters: tuple[str, ...] = setting(
        (),
        "Interpreters of kinds whose programs need an environment of their own, as kind=/path/to/python; headwater must be "
        "installed there too.",
        check=_check_pairs,
    )
    time_limit_s: int = setting(86_400, "How long a run may take whose recipe does not say.", check=_at_least(1))
    account_runs: int = setting(
        -1, "How many runs of one person or organisation may go on at once; -1: as many as fit.", check=_at_least(-1)
    )
    account_waiting: int = setting(
        1000,
        "How many runs of one person or organisation may wait at once, and how many that one person submitted; -1: any number.",
        check=_at_least(-1),
    )
    account_cpus: float = setting(
        -1.0, "Processors that these may declare together; -1: as many as there are.", check=_at_least(-1)
    )
    account_memory_gb: float = setting(
        -1.0, "Memory that these may declare together, in GB; -1: as much as there is.", check=_at_least(-1)
    )
    account_gpus: int = setting(
        -1, "Accelerators that these may declare together; -1: as many as there are.", check=_at_least(-1)
    )
    log_bytes: int = setting(
        8 << 20, "How much of a run's log is kept: its beginning and its end.", check=_at_least(1 << 16)
    )
    keep_days: float = setting(
        7.0, "After so many days the work folder of a run that is over is removed.", check=_at_least(0)
    )
    ray_address: str | None = setting(
        None,
        "Address of a Ray cluster's dashboard, such as http://127.0.0.1:8265: runs are then started there, not on this host. "
        "Every node needs headwater with the extras of its runs.",
        check=_check_endpoint,
    )
    ray_token: str | None = setting(None, "What that cluster asks for, as RAY_AUTH_TOKEN.")
    country: str = setting("CHN", "Where this host draws its power from: an ISO 3166 code of three letters.")
    province: str | None = setting(None, "And the province, where its grid is known apart: Sichuan, Guangdong.")
    grid_g_per_kwh: float | None = setting(
        None,
        "Grams of CO2e for a kWh, where the operator knows better; it is then labelled as declared.",
        check=_at_least_or_none,
    )

"""Where a program runs: interpreter, packages, hardware; and what it draws, where codecarbon is here to tell."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import sys
import threading
import warnings
from collections.abc import Mapping
from importlib import util
from pathlib import Path
from typing import Any

from headwater import __version__
from headwater.compute import provenance

ENERGY_EVERY_S = 15
_RAPL = Path("/sys/class/powercap/intel-rapl:0/energy_uj")


def describe() -> dict[str, Any]:
    """As JSON values; ``packages`` is the environment's lock, one line a package."""
    packages = _packages()
    return {
        "headwater": __version__,
        "python": platform.python_version(),
        "interpreter": platform.python_implementation(),
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "packages_digest": provenance.packages_digest(packages),
        "packages": packages,
    }


def _packages() -> list[str]:
    """Names and versions as their folders are called: to read what each says of itself would take longer than a run's start may."""
    found = set()
    for folder in dict.fromkeys(sys.path):
        with contextlib.suppress(OSError):
            for entry in os.listdir(folder or "."):
                if entry.endswith(".dist-info"):
                    name, _, version = entry.removesuffix(".dist-info").rpartition("-")
                    found.add(f"{name}=={version}")
    return sorted(found, key=str.lower)


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor()


def hush_libraries() -> None:
    """Leave out of the log what torch and transformers say of themselves on import, and of which a reader can mend nothing."""
    for name in ("torchao", "torch.utils._pytree"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")


def measure_energy(reporter: Any) -> Energy | None:
    """What this process draws, from now on; None where codecarbon is not installed."""
    if util.find_spec("codecarbon") is None:
        return None
    found = Energy(reporter, os.environ)
    found.start()
    return found


class Energy:
    """codecarbon without network, on a thread of its own: its import takes longer than a run's start may.

    It reads counters where the machine has them (``measured``), else computes from the processor's model and its load
    (``modelled``); what the operator says of the grid is ``declared``. A run that is over before it has begun has no figure.
    """

    def __init__(self, reporter: Any, environ: Mapping[str, str]) -> None:
        self._reporter = reporter
        self._country = environ.get("HEADWATER_RUN_COUNTRY", "CHN")
        self._province = environ.get("HEADWATER_RUN_PROVINCE") or None
        declared = environ.get("HEADWATER_RUN_GRID_G_PER_KWH")
        self._declared = float(declared) if declared else None
        self._by = "codecarbon"
        self._latest: dict[str, Any] | None = None
        self._begun, self._ended = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="energy", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def latest(self) -> dict[str, Any] | None:
        return self._latest

    def stop(self) -> None:
        self._ended.set()
        if self._begun.is_set():
            self._thread.join(timeout=10)

    def _run(self) -> None:
        logging.getLogger("codecarbon").addFilter(lambda _: False)  # a program's log is its own
        try:
            tracker = self._tracker()
            tracker.start()
        except Exception as exc:  # noqa: BLE001 -- a run goes on without this figure
            print(f"energy is not counted: {exc}", file=sys.stderr)
            return
        self._begun.set()
        wait_s = 2.0  # the first figure comes soon, and then now and then
        while not self._ended.wait(wait_s):
            tracker.flush()
            wait_s = ENERGY_EVERY_S
        tracker.stop()

    def _tracker(self) -> Any:
        from importlib.metadata import version

        from codecarbon import OfflineEmissionsTracker
        from codecarbon.output_methods.base_output import BaseOutput

        say, self._by = self._say, f"codecarbon {version('codecarbon')}"
        if self._province is not None and not _knows_grid(self._country, self._province):
            print(f"the grid of {self._province} is not known apart: that of {self._country} is taken", file=sys.stderr)
            self._province = None

        class Figures(BaseOutput):  # type: ignore[misc]
            def out(self, total: Any, delta: Any) -> None:
                say(total)

            def live_out(self, total: Any, delta: Any) -> None:
                say(total)

        return OfflineEmissionsTracker(
            country_iso_code=self._country,
            region=self._province,
            tracking_mode="process",
            measure_power_secs=ENERGY_EVERY_S,
            save_to_file=False,
            output_handlers=[Figures()],
            log_level="critical",
            allow_multiple_runs=True,
        )

    def _say(self, data: Any) -> None:
        kwh = float(data.energy_consumed)
        if kwh <= 0:
            return
        per_kwh = self._declared if self._declared is not None else float(data.emissions) / kwh * 1000
        how = {"cpu": "measured" if _RAPL.exists() and os.access(_RAPL, os.R_OK) else "modelled", "ram": "modelled"}
        if data.gpu_count:
            how["gpu"] = "measured"
        self._latest = {
            "kwh": kwh,
            "g_co2e": kwh * per_kwh,
            "g_per_kwh": per_kwh,
            "power": "measured" if set(how.values()) == {"measured"} else "modelled",
            "parts": how,
            "grid": "declared" if self._declared is not None else "modelled",
            "country": self._country,
            "province": self._province,
            "seconds": round(float(data.duration), 1),
            "by": self._by,
        }
        self._reporter.say(energy=self._latest)


def _knows_grid(country: str, province: str) -> bool:
    """Whether codecarbon has a figure for it: of what it does not know, it takes the country's without a word."""
    from codecarbon.core.emissions import Emissions
    from codecarbon.core.units import Energy as Amount
    from codecarbon.external.geography import GeoMetadata
    from codecarbon.input import DataSource

    def factor(region: str | None) -> float:
        where = GeoMetadata(country_iso_code=country, region=region)
        found: float = Emissions(DataSource()).get_private_infra_emissions(Amount.from_energy(kWh=1.0), where)
        return found

    return factor(province) != factor(None)

"""What the process of a run finds around it: nothing of the server's own settings and secrets."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from headwater.compute import engines
from headwater.compute.kinds import find_kind
from headwater.compute.rows import Run
from headwater.compute.settings import ComputeSettings

# What the operator has set for programs of this host, and what these need to find libraries, devices and the network.
_KEPT = frozenset(
    """PATH LANG LANGUAGE TZ LD_LIBRARY_PATH SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE VIRTUAL_ENV
    HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy PYTHONPATH PYTHONDONTWRITEBYTECODE
    COVERAGE_PROCESS_START""".split()  # noqa: SIM905 -- a list of this length reads better as text
)
_KEPT_BEGINNINGS = ("LC_", "CUDA_", "NVIDIA_", "ROCM_", "HIP_", "ASCEND_", "NCCL_", "HCCL_")
_THREADS = (
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def command_of(run: Run, settings: ComputeSettings, *, default: str = sys.executable) -> list[str]:
    """The interpreter of this kind, and its program as a module."""
    kind = find_kind(run.kind)
    if kind is None:
        raise KeyError(run.kind)
    chosen = dict(pair.partition("=")[::2] for pair in settings.interpreters)
    return [chosen.get(run.kind, default), "-m", kind.program]


def variables_of(run: Run, token: str, settings: ComputeSettings, endpoint: str, work: Path | None) -> dict[str, str]:
    """What the contract with programs names. ``work`` is None where the runner has a folder of its own."""
    threads = str(max(1, int(run.need.cpus)))
    found = {
        "HF_ENDPOINT": endpoint,
        "HF_TOKEN": token,
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": "0",
        "DO_NOT_TRACK": "1",
        "HEADWATER_RUN_ID": str(run.id),
        "HEADWATER_RUN_URL": f"{endpoint}/api/v1/runs/{run.id}",
        "HEADWATER_RUN_CPUS": f"{run.need.cpus:g}",
        "HEADWATER_RUN_MEMORY_BYTES": str(run.need.memory_bytes),
        "PYTHONUNBUFFERED": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONFAULTHANDLER": "1",
        "PYTHONHASHSEED": str(run.resolved.get("seed", 0) % (1 << 32)),
        "TOKENIZERS_PARALLELISM": "false",
        **dict.fromkeys(_THREADS, threads),
    }
    found["HEADWATER_RUN_COUNTRY"] = settings.country
    if settings.province is not None:
        found["HEADWATER_RUN_PROVINCE"] = settings.province
    if settings.grid_g_per_kwh is not None:
        found["HEADWATER_RUN_GRID_G_PER_KWH"] = f"{settings.grid_g_per_kwh:g}"
    if settings.peak_tflops is not None:
        found["HEADWATER_RUN_PEAK_TFLOPS"] = f"{settings.peak_tflops:g}"
        found["HEADWATER_RUN_PEAK_SOURCE"] = settings.peak_source or ""
    if work is not None:
        found |= {
            "HEADWATER_RUN_FOLDER": str(work),
            "HF_HOME": str(work / "hf"),
            "HOME": str(work),
            "TMPDIR": str(work / "tmp"),
            engines.FOLDER_VARIABLE: str(engines.folder()),
        }
    return found


def inherited(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """Of the server's own environment, what a run may have."""
    environ = os.environ if environ is None else environ
    return {name: value for name, value in environ.items() if name in _KEPT or name.startswith(_KEPT_BEGINNINGS)}

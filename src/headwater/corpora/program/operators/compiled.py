"""How kernels are compiled: once a machine, kept on disk, without the interpreter's lock, for all of the processor there is.

Compilers hold back from 512-bit registers, for processors of 2017 ran slower with them; the loop over permutations gains a factor of two on later ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import llvmlite.binding as llvm
import numba
from numba.core import config

F = TypeVar("F", bound=Callable[..., Any])


def _prefer_wide_registers() -> None:
    if config.CPU_FEATURES is None and config.CPU_NAME is None:
        features = llvm.get_host_cpu_features()
        if features.get("avx512f") and features.get("avx512vl"):
            config.CPU_FEATURES = f"{features.flatten()},-prefer-256-bit"


# Before the first kernel: what is compiled is kept under the features that it was compiled for.
_prefer_wide_registers()


def kernel(function: F) -> F:
    """Compile ``function`` when it is first called."""
    compiled: F = numba.njit(cache=True, nogil=True)(function)
    return compiled

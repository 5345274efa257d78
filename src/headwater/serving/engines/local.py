"""The engine transformers: our own small server (``serving.program.local_engine``) in a process of its own.

For models that llama.cpp does not read, and where it is not installed. One answer after another, no batching: the last resort.
"""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path

from headwater.serving.models import Endpoint


@cache
def is_installed() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("torch", "transformers"))


def command(one: Endpoint, folder: Path, host: str, port: int, threads: int) -> list[str]:
    arguments = {
        "--model": str(folder),
        "--alias": one.model,
        "--host": host,
        "--port": str(port),
        "--context": str(one.context_tokens),
        "--threads": str(threads),
        "--task": one.task,
    }
    flags = [part for pair in arguments.items() for part in pair]
    return [sys.executable, "-m", "headwater.serving.program.local_engine", *flags]

"""The threads of one process where acts may wait for disk, database and peers; the event loop never does."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

# Acts are short, bodies last as long as their sender does: each kind has threads of its own, and more of a kind wait.
SIZES = {"act": 16, "body": 32, "store": 16, "probe": 4}

_pools: dict[str, ThreadPoolExecutor] = {}
_lock = threading.Lock()


def _pool(name: str) -> ThreadPoolExecutor:
    """Made on first use: threads do not survive a fork."""
    with _lock:
        found = _pools.get(name)
        if found is None:
            found = _pools[name] = ThreadPoolExecutor(SIZES[name], thread_name_prefix=name)
        return found


async def run_in(name: str, act: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """``act(...)`` on a thread of that kind, with the request's log context."""
    bound = functools.partial(contextvars.copy_context().run, act, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_pool(name), bound)


async def in_thread(act: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """``act(...)`` on a thread that may wait for disk and database."""
    return await run_in("act", act, *args, **kwargs)

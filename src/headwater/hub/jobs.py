"""Every job of the hub and what is done again and again; the queue worker takes its lists from here.

Handlers are imported when a job of their kind first runs: most sites run few kinds, and an idle worker stays small.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from headwater.hub.events import (
    BUILD_LAST_CHANGED,
    COLLECT_BYTES,
    CONVERT_FILE,
    INDEX_REPOSITORY,
    JUDGE_FILE,
    MARK_MERGED,
    MERGE_PACKS,
    PRUNE_REPOSITORY,
)
from headwater.queue import Handler
from headwater.web.site import Site


def _late(module: str, name: str) -> Callable[..., None]:
    """A function of ``headwater.hub`` by name, imported at its first call."""

    def act(*args: Any) -> None:
        getattr(importlib.import_module(f"headwater.hub.{module}"), name)(*args)

    act.__name__ = f"{module}.{name}"
    return act


HANDLERS: dict[str, Handler] = {
    INDEX_REPOSITORY: _late("cards.jobs", "index_repository"),
    BUILD_LAST_CHANGED: _late("git.lastchanged", "build_last_changed"),
    MERGE_PACKS: _late("git.collector", "merge_packs"),
    PRUNE_REPOSITORY: _late("git.collector", "run_prune"),
    MARK_MERGED: _late("community.reaching", "mark_merged"),
    COLLECT_BYTES: _late("collector", "run_asked"),
}

# These wait for servers of others, so they have a lane of their own.
OUTBOUND_HANDLERS: dict[str, Handler] = {
    "hub.send_webhook": _late("community.deliveries", "send_webhook"),
    "hub.ask_witnesses": _late("log.witnesses", "ask_witnesses"),
}

# These read whole files, and a file may be made to be read slowly.
GATE_HANDLERS: dict[str, Handler] = {
    JUDGE_FILE: _late("gate.jobs", "judge_waiting"),
    CONVERT_FILE: _late("converting.jobs", "convert_file"),
}

# This reads all that is stored, slowly.
SCRUB_HANDLERS: dict[str, Handler] = {
    "hub.scrub": _late("checking.scrubbing", "run_asked"),
}

# Seconds between, and what; once for the whole site.
# These move whole files from the store to the store, which may take hours; only where there is one.
STORE_HANDLERS: dict[str, Handler] = {
    "hub.make_plain_copy": _late("files.copies", "make_copy"),
}

PERIODIC: list[tuple[float, Callable[[Site], None]]] = [
    (300.0, _late("git.collector", "collect")),
    (600.0, _late("search.upkeep", "update_rising")),
    (3600.0, _late("search.upkeep", "update_trending")),
    (3600.0, _late("search.upkeep", "daily")),
    (3600.0, _late("collector", "run_periodically")),
    (3600.0, _late("uploads.service", "collect")),
    (60.0, _late("checking.scrubbing", "ask_for_turn")),
    (15.0, _late("gate.jobs", "seal_verdicts")),
    (60.0, _late("gate.jobs", "judge_again")),
]

# What lies on a host's own disk, on every host.
FOR_EACH_HOST: list[tuple[float, Callable[[Site], None]]] = [
    (300.0, _late("git.collector", "evict_here")),
    (3600.0, _late("collector", "sweep_here")),
]

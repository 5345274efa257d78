"""Clients in processes of their own, so that each can have its own caches and settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx

from tests import growth
from tests.conftest import LiveApp, wait_for


def run_client(app: LiveApp, user: str, code: str, *arguments: str, home: Path, **env: str) -> str:
    """Run ``code`` with huggingface_hub set up for ``user`` and caches in ``home``; returns what it printed.

    ``code`` finds ``api`` and ``args`` ready.
    """
    head = "import io, os, sys\nfrom huggingface_hub import *\nargs = sys.argv[1:]\napi = HfApi()\n"
    done = subprocess.run(
        [sys.executable, "-c", head + code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "HF_HOME": str(home),
            "HF_ENDPOINT": app.url,
            "HF_TOKEN": app.token(user),
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            **env,
        },
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def stored_bytes(app: LiveApp) -> int:
    """What the site keeps: all objects, and what is being received."""
    with app.opened() as site:
        return sum(found.size_bytes for found in site.blobs.iter_keys("")) + sum(
            path.stat().st_size for path in site.blobs.tmp.iterdir()
        )


def being_received(app: LiveApp) -> list[Path]:
    """What lies in the working folder of the server's host."""
    with app.opened() as site:
        return list(site.blobs.tmp.iterdir())


def lead_to_the_store(url: str) -> None:
    """Where sites have a store: a file that came by Xet is plain there once it was read, and from then on answers say where."""
    if growth.ON_GROWTH:
        wait_for(lambda: httpx.get(url).is_redirect, what="the plain copy")


def keys_of(app: LiveApp, prefix: str) -> list[str]:
    with app.opened() as site:
        return [found.key for found in site.blobs.iter_keys(prefix)]


def routes_called(app: LiveApp, since: int = 0) -> list[str]:
    """Patterns of the routes answered so far, in order; skips the first ``since``."""
    return [f"{line['method']} {line['route']}" for line in app.log_lines("request.answered")][since:]

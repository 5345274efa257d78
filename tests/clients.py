"""Clients in processes of their own, so that each can have its own caches and settings."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import LiveApp


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
    """What lies in the folder of xorbs and blobs."""
    return sum(p.stat().st_size for p in (app.data / "blobs").rglob("*") if p.is_file())


def routes_called(app: LiveApp, since: int = 0) -> list[str]:
    """Patterns of the routes answered so far, in order; skips the first ``since``."""
    return [f"{line['method']} {line['route']}" for line in app.log_lines("request.answered")][since:]

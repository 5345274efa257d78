"""``python -m headwater.compute.runners.remote PROGRAM``: a program of a run on a node of a cluster, held to what its recipe declares.

Makes the work folder on this node, starts the program as the supervisor of a local run does, with its output going to this process's own,
and has the site told when it was a limit that ended it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from headwater.compute import supervisor

LARGEST_LOG_BYTES = 32 << 20
_REASONS = {
    "memory_limit": "It used more memory than its recipe declares (resources.memory_gb), and was ended.",
    "time_limit": "It took longer than its recipe allows (resources.time_limit_s).",
}


def main(program: str) -> int:
    """Returns the exit code that this process is to end with."""
    run_id, attempt = os.environ["HEADWATER_RUN_ID"], os.environ["HEADWATER_RUN_ATTEMPT"]
    # Kept between attempts that come to the same node: a checkpoint is found again.
    base = Path(tempfile.gettempdir()) / f"headwater-runs-{os.getuid()}"
    work, own = base / f"{run_id}-{os.environ['HEADWATER_RUN_KEY']}", base / f"{run_id}-{attempt}-{os.getpid()}"
    for folder in (base, work, work / "tmp", work / "hf", own):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    limit = os.environ.get("HEADWATER_RUN_TIME_LIMIT_S", "")
    environment = {
        **os.environ,
        "HEADWATER_RUN_FOLDER": str(work),
        "HF_HOME": str(work / "hf"),
        "HOME": str(work),
        "TMPDIR": str(work / "tmp"),
    }
    spec = {
        "name": f"{run_id}-{attempt}-{os.getpid()}",
        "command": [sys.executable, "-m", program],
        "cwd": str(work),
        "env": environment,
        "log": "-",
        "log_bytes": LARGEST_LOG_BYTES,
        "grace_s": float(os.environ.get("HEADWATER_RUN_GRACE_S", "20")),
        "memory_bytes": int(os.environ["HEADWATER_RUN_MEMORY_BYTES"]),
        "cpus": float(os.environ["HEADWATER_RUN_CPUS"]),
        "time_limit_s": int(limit) if limit else None,
    }
    (own / "spec.json").write_text(json.dumps(spec))
    supervisor.main(str(own))
    told = json.loads((own / "exit.json").read_text())
    shutil.rmtree(own, ignore_errors=True)
    if told["reason"] in _REASONS:
        _tell(told["reason"])
    if told.get("code") == 0:
        shutil.rmtree(work, ignore_errors=True)
    return int(told["code"]) if told.get("code") is not None else 128 + (told.get("signal") or 9)


def _tell(reason: str) -> None:
    import httpx

    with contextlib.suppress(httpx.HTTPError):
        httpx.post(
            f"{os.environ['HEADWATER_RUN_URL']}/report",
            json={"failure": {"code": reason, "message": _REASONS[reason]}},
            headers={"Authorization": f"Bearer {os.environ['HF_TOKEN']}"},
            timeout=30,
            trust_env=False,
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

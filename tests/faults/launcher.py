"""Starts servers quickly: a process that has imported everything already, and forks one for each line it is told.

A line is ``{"data": …, "log": …}``; the answer is the new process's id, or ``{"ended": id}`` when asked whether one has.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.conftest import clean_env


class Launcher:
    """As a context manager."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.launcher"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=clean_env(),
            cwd=Path(__file__).parents[2],
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=20)

    def start(self, data: Path, log: Path) -> int:
        return int(self._ask({"data": str(data), "log": str(log)}))

    def reap(self, pid: int) -> None:
        """Wait until a process that was killed is gone."""
        self._ask({"reap": pid})

    def _ask(self, what: dict) -> str:
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the launcher has ended"
        return answer


def main() -> None:
    import gc

    from headwater import server, worker  # noqa: F401 -- so that what is forked has them
    from headwater.cli import main as headwater
    from headwater.cli import up  # noqa: F401
    from headwater.hub.git import GitStore  # noqa: F401

    server._preload()
    server.routes()
    gc.freeze()
    for line in sys.stdin:
        asked = json.loads(line)
        if "reap" in asked:
            os.waitpid(asked["reap"], 0)
            print("reaped", flush=True)
            continue
        pid = os.fork()
        if pid:
            print(pid, flush=True)
            continue
        os.setsid()
        with open(asked["log"], "ab") as log, open(os.devnull) as nothing:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            os.dup2(nothing.fileno(), 0)
        try:
            headwater(["up", f"--data={asked['data']}", "--port=0", "--workers=1"])
        finally:
            os._exit(1)


if __name__ == "__main__":
    main()

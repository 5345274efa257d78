"""Whether a program that a model wrote ends without an error: in a process that can reach nothing."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from pathlib import Path

from headwater.evaluation.program import confined

WALL_S = 20


class NoSandbox(Exception):
    """No program is run, for this machine cannot confine one."""


def holds(program: str) -> bool:
    """Raises: NoSandbox."""
    word = secrets.token_hex(16)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", str(Path(confined.__file__))],
            input=json.dumps({"program": program, "word": word}).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=WALL_S,
            env={},
            cwd="/",
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode == confined.NO_SANDBOX:
        raise NoSandbox
    return done.returncode == 0 and done.stdout.endswith(word.encode())

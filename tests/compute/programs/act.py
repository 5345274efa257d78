"""One act, as the recipe names it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from headwater.compute.program import Run


def main() -> None:
    with Run.from_environment() as run:
        print(f"started {run.own['act']} attempt {run.attempt}", flush=True)
        ACTS[run.own["act"]](run)


def sleep(run: Run) -> None:
    """Says a step every tenth of a second."""
    until, step = time.monotonic() + run.own["seconds"], 0
    while time.monotonic() < until:
        step += 1
        run.metric(step, step=step)
        time.sleep(0.1)
    run.result({"steps": step})


def count(run: Run) -> None:
    """Says as many steps as there are seconds, without waiting for them."""
    for step in range(1, int(run.own["seconds"]) + 1):
        run.metric(step, step=step)
    run.result({"steps": int(run.own["seconds"])})


def first(run: Run) -> None:
    """The first attempt takes its time; a later one does not."""
    time.sleep(run.own["seconds"] if run.attempt == 1 else 0)
    run.result({"attempt": run.attempt})


def save(run: Run) -> None:
    """Asked to end, it saves what it has."""
    asked: list[bool] = []
    run.on_cancel(lambda: asked.append(True))
    until = time.monotonic() + run.own["seconds"]
    while not asked and time.monotonic() < until:
        time.sleep(0.02)
    run.result({"saved": bool(asked)})
    print("saved", flush=True)


def stubborn(run: Run) -> None:
    """Hears nothing, and has a child that hears nothing."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    subprocess.Popen([sys.executable, "-c", "import signal,time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
    time.sleep(600)


def exit_with(run: Run) -> None:
    os._exit(run.own["code"])


def crash(run: Run) -> None:
    raise ValueError("the weights are of another shape")


def fail(run: Run) -> None:
    run.fail("nan_loss", "The loss is no number any more at step 3.")


def eat(run: Run) -> None:
    held = bytearray()
    while len(held) < run.own["mb"] << 20:
        held += bytes(8 << 20)
        time.sleep(0.01)
    time.sleep(run.own["seconds"])


def flood(run: Run) -> None:
    for number in range(run.own["mb"] * 16):
        sys.stdout.write(f"{number:08d} " + "x" * 65000 + "\n")
    print("the end", flush=True)


def environment(run: Run) -> None:
    run.result({"names": sorted(os.environ), "folder": str(run.folder), "cwd": str(Path.cwd())})


def digests(run: Run) -> None:
    """Says what it reads of its input ``files``."""
    folder = run.input("files")
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    run.result({name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in found.items()})


def again(run: Run) -> None:
    """Fails once, then goes on from its checkpoint."""
    last = run.last_checkpoint()
    if last is None:
        kept = run.folder / "state"
        kept.mkdir()
        (kept / "step").write_text("7")
        run.checkpoint(kept, step=7)
        os._exit(3)
    run.result({"from": int((last / "step").read_text()), "attempt": run.attempt})


ACTS = {
    "sleep": sleep,
    "count": count,
    "first": first,
    "save": save,
    "stubborn": stubborn,
    "exit": exit_with,
    "crash": crash,
    "fail": fail,
    "eat": eat,
    "flood": flood,
    "environment": environment,
    "again": again,
    "digests": digests,
}


if __name__ == "__main__":
    main()

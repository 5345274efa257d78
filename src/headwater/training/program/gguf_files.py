"""GGUF files written from safetensors, by llama.cpp's own converter and quantizer, as children."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from headwater.compute import engines
from headwater.training.program.problems import CannotGoOn

# What the converter writes itself; all else is made of its f16 by llama-quantize.
DIRECT = {"f32": "f32", "f16": "f16", "bf16": "bf16", "Q8_0": "q8_0"}
CONVERTER = "convert_hf_to_gguf"


def require(types: Sequence[str]) -> None:
    """That all programs are here, before minutes are spent.

    Raises:
        CannotGoOn
    """
    if find_spec(CONVERTER) is None:
        raise CannotGoOn(
            "no_converter",
            "The converter of llama.cpp is not installed: pip install 'headwater[train]'",
        )
    others = [each for each in types if each not in DIRECT]
    if others and engines.find_program("llama.cpp", "llama-quantize") is None:
        raise CannotGoOn(
            "no_quantizer",
            f"{', '.join(others)}: written by llama-quantize, which is not on this machine. Build it with "
            "`headwater engine install llama.cpp`, or ask for f16 or Q8_0 alone.",
        )


def convert(model: Path, out: Path, kind: str, *, name: str) -> None:
    """One file of a type in ``DIRECT``. Raises: CannotGoOn."""
    _run(
        [
            sys.executable,
            "-m",
            CONVERTER,
            str(model),
            "--outfile",
            str(out),
            "--outtype",
            DIRECT[kind],
            "--model-name",
            name,
        ],
        "not_convertible",
        f"llama.cpp's converter cannot write this model as {kind}",
        out,
    )


def quantize(source: Path, out: Path, kind: str) -> None:
    """Raises: CannotGoOn."""
    program = engines.find_program("llama.cpp", "llama-quantize")
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    _run(
        [str(program), str(source), str(out), kind, threads],
        "not_convertible",
        f"llama-quantize cannot write {kind}",
        out,
    )


def _run(command: list[str], code: str, what: str, out: Path) -> None:
    """Its words go to the run's log; its last ones into the reason where it fails."""
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    print(done.stdout, flush=True)
    if done.returncode or not out.is_file():
        last = next((line.strip() for line in reversed(done.stdout.splitlines()) if line.strip()), "")
        raise CannotGoOn(code, f"{what}: {last[-600:] or f'it ended with {done.returncode}'}")
